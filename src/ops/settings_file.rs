//! Settings as a file that leaves the host. TOML with a header; its last line is a sum over all lines above, so that a
//! file that was cut, changed or is of something else is refused whole. Secrets are not in it.

use serde_json::json;

use crate::domain::clean::clean;
use crate::domain::settings::{Held, Key, Settings, Value};
use crate::domain::stamp::Stamp;
use crate::store::{StoreError, checksum};

const FORMAT: &str = "proximity-settings-1";
const SUM: &str = "# sha256 of all lines above: ";

/// More than this is no file of ours.
pub const MOST: u64 = 1 << 20;

/// The file of all settings that are set. Fails where one cannot be used: what is wrong must not travel on.
pub fn write(settings: &Settings, host: &str, now: Stamp) -> Result<Result<String, String>, StoreError> {
    if let Some((key, why)) = settings.bad().next() {
        return Ok(Err(format!("setting {key} {why}")));
    }
    let (mut body, mut left_out) = (Vec::new(), Vec::new());
    for key in Key::all(&settings.sites()) {
        match settings.held(&key) {
            Held::Value(value) => body.push((key.to_string(), value.to_string())),
            Held::Secret => left_out.push(key.to_string()),
            Held::Default | Held::Bad(_) => {}
        }
    }
    // Text, lists of text and truth are written the same in TOML as in JSON.
    let line = |name: &str, value: serde_json::Value| format!("{name} = {value}\n");
    let mut out = String::from("# Settings of Proximity. To take them in: proximity settings import FILE\n");
    out.push_str(&line("format", FORMAT.into()));
    out.push_str(&line("made", now.rfc3339().into()));
    out.push_str(&line("host", clean(host).into()));
    out.push_str(&line("checked", settings.checked.into()));
    out.push_str(&line("left_out", left_out.into()));
    out.push_str("\n[settings]\n");
    for (key, value) in body {
        out.push_str(&line(&json!(key).to_string(), value.into()));
    }
    out.push('\n');
    let sum = checksum(out.as_bytes())?;
    Ok(Ok(format!("{out}{SUM}{sum}\n")))
}

/// What a file sets, in its order; else why it is refused.
pub fn read(text: &str) -> Result<Result<Vec<(Key, Value)>, String>, StoreError> {
    let Some(at) = text.rfind(SUM) else {
        return Ok(Err("its last line is missing: it was cut, or is no file of settings".into()));
    };
    let (above, last) = text.split_at(at);
    if checksum(above.as_bytes())? != last[SUM.len()..].trim_end() || !(above.is_empty() || above.ends_with('\n')) {
        return Ok(Err("it is not as it was written: cut, changed or damaged on the way".into()));
    }
    Ok(parse(above))
}

fn parse(text: &str) -> Result<Vec<(Key, Value)>, String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| clean(e.message()))?;
    if table.get("format").and_then(toml::Value::as_str) != Some(FORMAT) {
        return Err(format!("it is of another kind or version; this Proximity reads {FORMAT}"));
    }
    let settings = table.get("settings").and_then(toml::Value::as_table).ok_or("it has no [settings]")?;
    let one = |(name, value): (&String, &toml::Value)| {
        let key: Key = name.parse()?;
        let text = value.as_str().ok_or_else(|| format!("{key} is no text"))?;
        let value = key.definition().parse(text).map_err(|why| format!("{key}: {why}"))?;
        Ok((key, value))
    };
    settings.iter().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::settings::{Change, Row, SecretChange};

    fn settings() -> Settings {
        let mut out = Settings::default();
        for (name, text) in [("network.domain", "a.lan"), ("proxmox@lab.hosts", "fd00::1, pve2"), ("proxmox.ca", "/etc/x\"\\ y")] {
            let key: Key = name.parse().unwrap();
            let held = Held::Value(key.definition().parse(text).unwrap());
            out.put(key, Row { held, version: 1, at: Stamp(1), by: "ada".into() });
        }
        let secret: Key = "proxmox@lab.secret".parse().unwrap();
        out.with([(&secret, &Change::Secret(SecretChange::Previous))])
    }

    #[test]
    fn a_file_comes_back_whole_or_not_at_all() {
        let text = write(&settings(), "pve1", Stamp(1_795_000_000_000)).unwrap().unwrap();
        let back = read(&text).unwrap().unwrap();
        assert_eq!(back.len(), 3);
        assert!(back.iter().all(|(key, value)| settings().held(key) == &Held::Value(value.clone())));
        assert!(text.contains("left_out = [\"proxmox@lab.secret\"]"), "{text}");
        for cut in (0..text.len() - 1).filter(|n| text.is_char_boundary(*n)) {
            assert!(read(&text[..cut]).unwrap().is_err(), "cut at {cut}");
        }
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(read(&changed).unwrap().is_err(), "changed at {at}");
            }
        }
    }

    #[test]
    fn other_files_and_bad_values_are_refused_whole() {
        let signed = |text: &str| format!("{text}{SUM}{}\n", checksum(text.as_bytes()).unwrap());
        let why = |text: &str| read(&signed(text)).unwrap().unwrap_err();
        assert!(why("format = \"other\"\n").contains("another kind"));
        assert!(why("x = [\n").len() > 3);
        let with = |line: &str| format!("format = \"{FORMAT}\"\n[settings]\n{line}\n");
        assert!(why(&with("\"network.nothing\" = \"1\"")).contains("no setting"));
        assert!(why(&with("\"network.domain\" = 1")).contains("no text"));
        assert!(why(&with("\"network.domain\" = \"-\"")).contains("for example prox.local"));
        assert!(why(&with("\"proxmox.secret\" = \"hunter2\"")).contains("never given in the open"));
        assert!(read("").unwrap().is_err());
    }
}
