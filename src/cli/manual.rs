//! `manual`, `print-keys`, `print-config`: what the program says of itself, from the tables it runs by.

use serde_json::json;

use super::{Ctx, Done, Form, output};
use crate::config::DEFINITIONS;
use crate::problem::{Kind, Problem};
use crate::tui::action::{key_table, keys_text};

macro_rules! pages {
    ($($name:literal),*) => { [$(($name, include_str!(concat!("../../assets/help/", $name, ".md")))),*] };
}

/// Name and text of every page, in reading order.
const PAGES: [(&str, &str); 16] = pages![
    "start",
    "overview",
    "appliance",
    "ports",
    "drift",
    "logs",
    "backups",
    "locks",
    "settings",
    "jobs",
    "vault",
    "operators",
    "audit",
    "api",
    "trouble",
    "exit-status"
];

/// A page of the manual by its name, or the list of pages.
pub(super) fn page(topic: Option<&str>) -> Done {
    let Some(topic) = topic else {
        PAGES
            .iter()
            .for_each(|(name, text)| output::say(&format!("{name:<14} {}", text.lines().next().unwrap_or("").trim_start_matches("# "))));
        return Ok(0);
    };
    match PAGES.iter().find(|(name, _)| *name == topic) {
        Some((_, text)) => {
            output::say(text.trim_end());
            Ok(0)
        }
        None => {
            let hint = format!("pages: {}", PAGES.map(|(name, _)| name).join(", "));
            Err(Problem::new(Kind::NotFound, "manual", format!("there is no page '{}'", crate::domain::clean::clean(topic)), hint))
        }
    }
}

/// The configuration that holds, with sources.
pub(super) fn config(ctx: &Ctx) -> Done {
    let help = |key: &str| DEFINITIONS.iter().find(|d| d.key == key).map_or("", |d| d.help);
    if ctx.form == Form::Json {
        let items: Vec<_> =
            ctx.config.values().iter().map(|v| json!({"key": v.key, "value": v.text, "source": v.source, "help": help(v.key)})).collect();
        output::object(&json!({ "items": items }));
    } else {
        let rows: Vec<_> =
            ctx.config.values().iter().map(|v| vec![v.key.to_owned(), v.text.clone(), v.source.clone(), help(v.key).to_owned()]).collect();
        output::table(ctx.form, &["KEY", "VALUE", "FROM", "MEANING"], &rows);
    }
    Ok(0)
}

/// All keys of the console, from the one table.
pub(super) fn keys(ctx: &Ctx) -> Done {
    if ctx.form == Form::Json {
        let items: Vec<_> =
            key_table().iter().map(|b| json!({"keys": b.key_names(), "action": format!("{:?}", b.action), "help": b.sentence})).collect();
        output::object(&json!({ "items": items }));
    } else {
        output::say(keys_text().trim_end());
    }
    Ok(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::PAGES;
    use crate::domain::settings::DEFINITIONS;

    /// White space aside, so that a page may be broken into lines.
    fn flat(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_setting_is_described_as_the_table_has_it() {
        let page = PAGES.iter().find(|(name, _)| *name == "settings").unwrap().1;
        let text = flat(page);
        for d in &DEFINITIONS {
            let mut entry = format!("{}.{} {} {} Takes: {}.", d.category.word(), d.name, d.default_shown(), d.help, d.takes());
            if !d.used {
                entry.push_str(" Nothing uses it yet.");
            }
            assert!(text.contains(&flat(&entry)), "the page lacks: {entry}");
        }
    }

    #[test]
    fn every_page_on_disk_can_be_read_and_fits_eighty_columns() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/help");
        let mut on_disk: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        let mut known: Vec<String> = PAGES.iter().map(|(n, _)| format!("{n}.md")).collect();
        on_disk.sort();
        known.sort();
        assert_eq!(on_disk, known, "pages on disk and in the table");
        for (name, text) in PAGES {
            assert!(text.starts_with("# ") && text.lines().all(|l| l.chars().count() <= 100), "{name}");
        }
    }
}
