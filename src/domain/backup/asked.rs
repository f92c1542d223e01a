//! What an operator may ask of a backup in words of his own: how fast it may read, and what its notes say.

/// vzdump takes no longer template.
const LONGEST: usize = 1024;

/// What vzdump fills in, between double braces.
const VARIABLES: [&str; 4] = ["cluster", "guestname", "node", "vmid"];

/// A bandwidth in KiB/s: a number of them, or one with a unit of 1024 each (`K`, `M`, `G`, also `MiB/s`). 0 is no limit.
pub fn bandwidth(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let bad = || format!("'{}' is no bandwidth: give KiB/s such as 51200, or 50M", crate::domain::clean::clean(text));
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.trim().trim_end_matches("/s").trim_end_matches('B').trim_end_matches('i').to_ascii_uppercase();
    let factor = match unit.as_str() {
        "" | "K" => 1,
        "M" => 1 << 10,
        "G" => 1 << 20,
        _ => return Err(bad()),
    };
    number.parse::<u32>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(bad)
}

/// Notes of a backup, as the template that vzdump makes them of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes(String);

impl Notes {
    /// Of a text: what vzdump would read in a template is escaped, but for the variables it fills in.
    pub fn new(text: &str) -> Result<Notes, String> {
        let text = text.trim_end();
        if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\n') {
            return Err(format!("notes hold no control character ({:#04x})", u32::from(c)));
        }
        // vzdump refuses what it would not fill in.
        for name in text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(name, _)| name) {
            if !VARIABLES.contains(&name) {
                let known = VARIABLES.map(|v| format!("{{{{{v}}}}}")).join(", ");
                return Err(format!("'{{{{{}}}}}' is nothing that is filled in; there is {known}", crate::domain::clean::clean(name)));
            }
        }
        let template = text.replace('\\', "\\\\").replace('\n', "\\n");
        match template.chars().count() {
            0 => Err("notes that say nothing".into()),
            n if n > LONGEST => Err(format!("notes of {n} characters; at most {LONGEST} are taken, a new line counts as two")),
            _ => Ok(Notes(template)),
        }
    }

    /// What `--notes-template` gets.
    pub fn template(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths() {
        for (text, kib) in [("0", 0), ("51200", 51_200), ("50M", 51_200), ("50 MiB/s", 51_200), ("1g", 1 << 20), ("8KB/s", 8)] {
            assert_eq!(bandwidth(text), Ok(kib), "{text}");
        }
        for bad in ["", "M", "-1", "1.5M", "5T", "4096G", "10 apples"] {
            assert!(bandwidth(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn notes_mean_what_was_typed() {
        let template = |text: &str| Notes::new(text).map(|n| n.0);
        assert_eq!(template("before the upgrade\n").unwrap(), "before the upgrade");
        assert_eq!(template("two\nlines, C:\\new").unwrap(), "two\\nlines, C:\\\\new");
        assert_eq!(template("{{guestname}} of {{node}} { {").unwrap(), "{{guestname}} of {{node}} { {");
        assert!(template("{{hostname}}").unwrap_err().contains("{{guestname}}"));
        assert!(template("a\u{1b}[31m").is_err() && template(" \n").is_err());
        assert!(
            template(&"ä".repeat(1024)).is_ok()
                && template(&"ä".repeat(1025)).is_err()
                && template(&"\n".repeat(600).replace('\n', "x\n")).is_err()
        );
    }
}
