//! `manual`, `print-keys`, `print-config`: what the program says of itself, from the tables it runs by.

use include_dir::{Dir, include_dir};
use serde_json::json;

use super::{Ctx, Done, Form, output};
use crate::config::DEFINITIONS;
use crate::problem::{Kind, Problem};

static PAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/help");

fn pages() -> Vec<(String, &'static str)> {
    let name = |f: &include_dir::File<'static>| f.path().file_stem().map(|s| s.to_string_lossy().into_owned());
    let mut pages: Vec<_> = PAGES.files().filter_map(|f| Some((name(f)?, f.contents_utf8()?))).collect();
    pages.sort();
    pages
}

/// A page of the manual by its name.
pub(super) fn page(topic: Option<&str>) -> Done {
    let pages = pages();
    match topic {
        None => {
            for (name, text) in &pages {
                output::say(&format!("{name:<14} {}", text.lines().next().unwrap_or("").trim_start_matches("# ")));
            }
            Ok(0)
        }
        Some(topic) => match pages.iter().find(|(name, _)| name == topic) {
            Some((_, text)) => {
                output::say(text.trim_end());
                Ok(0)
            }
            None => {
                let names: Vec<_> = pages.iter().map(|(n, _)| n.as_str()).collect();
                Err(Problem::new(Kind::NotFound, "manual", format!("there is no page '{}'", crate::domain::clean::clean(topic)), format!("pages: {}", names.join(", "))))
            }
        },
    }
}

pub(super) fn config(ctx: &Ctx) -> Done {
    let help = |key: &str| DEFINITIONS.iter().find(|d| d.key == key).map_or("", |d| d.help);
    if ctx.form == Form::Json {
        let items: Vec<_> = ctx.config.values().iter().map(|v| json!({"key": v.key, "value": v.text, "source": v.source, "help": help(v.key)})).collect();
        output::object(&json!({ "items": items }));
    } else {
        let rows: Vec<_> = ctx.config.values().iter().map(|v| vec![v.key.to_owned(), v.text.clone(), v.source.clone(), help(v.key).to_owned()]).collect();
        output::table(ctx.form, &["KEY", "VALUE", "FROM", "MEANING"], &rows);
    }
    Ok(0)
}

