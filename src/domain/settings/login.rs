//! The settings that together are the credential of a Proxmox site: from a candidate that was tried, and back to one.

use std::sync::Arc;

use super::{Change, Held, Key, Save, SecretChange, Settings, Staged};
use crate::domain::credential::{Candidate, Trust};
use crate::domain::secret::Secret;

/// Their names in the category.
const NAMES: [&str; 6] = ["hosts", "port", "user", "secret", "ca", "fingerprint"];

/// One of them, of a site; the first site has no name.
fn key(site: &str, name: &str) -> Result<Key, String> {
    let at = if site.is_empty() { String::new() } else { format!("@{site}") };
    format!("proxmox{at}.{name}").parse()
}

/// All of them, of a site; why not, where that is no name of one.
pub fn login_keys(site: &str) -> Result<Vec<Key>, String> {
    NAMES.iter().map(|name| key(site, name)).collect()
}

/// The host that is asked first.
fn first(hosts: &str) -> &str {
    hosts.split(',').next().unwrap_or_default().trim()
}

/// The changes that keep a candidate as the credential of a site. Further hosts stay behind the one that was tried.
pub fn of_candidate(candidate: &Candidate, site: &str, now: &Settings) -> Result<Save, String> {
    let host = candidate.address.host();
    let held = now.value(&key(site, "hosts")?).ok().flatten().map(|v| v.to_string()).unwrap_or_default();
    let others = held.split(',').map(str::trim).filter(|other| !other.is_empty() && *other != host);
    let hosts = std::iter::once(host).chain(others).collect::<Vec<_>>().join(", ");
    let (ca, pin) = match &candidate.trust {
        Trust::System => (None, None),
        Trust::File(path) => (Some(path.clone()), None),
        Trust::Pin(pin) => (None, Some(pin.to_string())),
        Trust::Pem(_) => return Err("an authority is kept as the path of its file".into()),
    };
    let texts = [Some(hosts), Some(candidate.address.port().to_string()), Some(candidate.account.as_str().to_owned()), None, ca, pin];
    let staged = |(name, text): (&&str, Option<String>)| {
        let key = key(site, name)?;
        let change = match text {
            _ if *name == "secret" => Change::Secret(SecretChange::Set(Arc::clone(&candidate.secret))),
            Some(text) => Change::Set(key.definition().parse(&text)?),
            None => Change::Unset,
        };
        Ok(Staged { seen: now.version(&key), key, change })
    };
    NAMES.iter().zip(texts).map(staged).collect()
}

/// The credential that a site holds, with its secret; which setting is wrong and why, where it holds none.
pub fn to_candidate(settings: &Settings, site: &str, secret: Arc<Secret>) -> Result<Candidate, (String, String)> {
    let text = |name: &str| -> Result<Option<String>, (String, String)> {
        let key = key(site, name).map_err(|why| (site.to_owned(), why))?;
        let value = settings.value(&key).map_err(|why| (key.to_string(), why))?;
        Ok(value.map(|v| v.to_string()).filter(|text| !text.is_empty()))
    };
    let named = |name: &str| key(site, name).map_or_else(|_| name.to_owned(), |key| key.to_string());
    let needed = |name: &str| text(name)?.ok_or_else(|| (named(name), "it is not set".to_owned()));
    let wrong = |name: &'static str| move |why: String| (named(name), why);
    let hosts = needed("hosts")?;
    let host = first(&hosts);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let address = format!("{host}:{}", needed("port")?).parse().map_err(wrong("hosts"))?;
    let account = needed("user")?.parse().map_err(wrong("user"))?;
    let trust = match (text("ca")?, text("fingerprint")?) {
        (_, Some(pin)) => Trust::Pin(pin.parse().map_err(wrong("fingerprint"))?),
        (Some(path), None) => Trust::File(path),
        (None, None) => Trust::System,
    };
    Ok(Candidate { address, account, secret, trust })
}

/// The first change that would have a secret sent where, or as whom, nobody tried: such a credential is saved by trying it.
/// Taking the secret away is always possible.
pub fn untried<'c>(now: &Settings, changes: impl IntoIterator<Item = (&'c Key, &'c Change)> + Clone) -> Option<Key> {
    let then = now.with(changes.clone());
    let asked = |settings: &Settings, key: &Key| {
        let text = settings.value(key).map(|value| value.map(|v| v.to_string()).unwrap_or_default());
        if key.definition().name == "hosts" { text.map(|hosts| first(&hosts).to_owned()) } else { text }
    };
    let mut tells = changes.into_iter().filter(|(key, change)| {
        let of_login = key.to_string().starts_with("proxmox") && NAMES.contains(&key.definition().name);
        let holds = self::key(key.site(), "secret").is_ok_and(|secret| *then.held(&secret) == Held::Secret);
        let replaced = matches!(change, Change::Secret(SecretChange::Set(_) | SecretChange::Previous));
        of_login && holds && (replaced || asked(now, key) != asked(&then, key))
    });
    tells.next().map(|(key, _)| key.clone())
}
