//! `settings`: list, get, set, unset, history, revert, export, import. The same table, rules and save as the screen.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::login::{Open, login_for};
use super::{Ctx, Done, Form, Need, api_test, on_host, output};
use crate::domain::access::{Permission, Who};
use crate::domain::clean::clean;
use crate::domain::settings::{self, Change, Held, Key, Past, Save, SecretChange, Settings, Staged, Weight};
use crate::domain::world::{From, Part, World};
use crate::ops::settings::Saver;
use crate::ops::settings_file;
use crate::problem::{Kind, Problem};
use crate::store::{SaveError, Store, Unlocked, Vault, new_file};

/// `settings`.
#[derive(Subcommand)]
pub(super) enum Command {
    /// All settings, or those of one category
    List {
        /// proxmox, proxmox@SITE, network, resources, ports, backups or system
        category: Option<String>,
        #[command(flatten)]
        check: Check,
    },
    /// What one setting holds
    Get {
        /// Its key, such as network.subnet
        key: String,
        #[command(flatten)]
        check: Check,
    },
    /// Set one
    Set {
        /// Its key, such as network.subnet
        key: String,
        /// The value; - reads it from standard input. A secret is kept by settings test proxmox --save
        value: Option<String>,
        /// More that is saved together with it, such as a gateway with its subnet
        #[arg(long, value_name = "KEY=VALUE")]
        with: Vec<String>,
        #[command(flatten)]
        open: Open,
    },
    /// Set one back to its default
    Unset {
        /// Its key
        key: String,
        #[command(flatten)]
        open: Open,
    },
    /// What was changed, when and by whom
    History {
        /// Of this setting only
        key: Option<String>,
        #[command(flatten)]
        check: Check,
    },
    /// Bring back what one held before; of proxmox or proxmox@SITE the whole credential that was kept before
    Revert {
        /// Its key
        key: String,
        /// The version, see history; the whole credential has none
        version: Option<u32>,
        #[command(flatten)]
        open: Open,
    },
    /// Write all settings that are set to a file, without secrets
    Export {
        /// The file, which must not be there yet; standard output if not given
        file: Option<PathBuf>,
        #[command(flatten)]
        check: Check,
    },
    /// Take settings in from a file: all of it or nothing
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        open: Open,
    },
    /// Try a credential step by step: the saved one, or one that is given. Nothing is saved
    #[command(subcommand)]
    Test(Tested),
}

/// What can be tried.
#[derive(Subcommand)]
pub(super) enum Tested {
    /// The Proxmox API: reached, certificate, login, version, privileges
    Proxmox(api_test::Test),
}

/// Whether the vault is opened only to check what is read.
#[derive(Args)]
pub(super) struct Check {
    /// Open the vault and check every row
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    open: Open,
}

impl Check {
    /// Whether the vault is opened.
    pub(super) fn is_given(&self) -> bool {
        self.check || self.open.is_given()
    }

    /// How.
    pub(super) fn open(&self) -> &Open {
        &self.open
    }
}

impl Command {
    /// What it takes. What changes something asks for a passphrase besides, and what that proves counts.
    pub(super) fn needs(&self) -> Vec<Need> {
        let look = on_host(Permission::ReadSettings);
        match self {
            Command::List { .. } | Command::Get { .. } | Command::History { .. } | Command::Export { file: None, .. } => vec![look],
            Command::Set { .. } | Command::Unset { .. } | Command::Revert { .. } => vec![look, Need::Login],
            // They read and write files of the host.
            Command::Export { file: Some(_), .. } => vec![look, Need::Unrestricted],
            Command::Import { .. } => vec![look, Need::Login, Need::Unrestricted],
            Command::Test(Tested::Proxmox(test)) => test.needs(),
        }
    }
}

/// Entries of a history that are printed.
const PAST: usize = 1000;

pub(super) async fn run(ctx: &Ctx, command: Command) -> Done {
    match command {
        Command::List { category, check } => list(ctx, category.as_deref(), &check),
        Command::Get { key, check } => get(ctx, &parse(&key)?, &check),
        Command::Set { key, value, with, open } => set(ctx, parse(&key)?, value.as_deref(), &with, &open).await,
        Command::Unset { key, open } => {
            let key = parse(&key)?;
            let secret = key.definition().is_secret();
            let change = if secret { Change::Secret(SecretChange::Clear) } else { Change::Unset };
            save(ctx, vec![(key, change)], &open).await
        }
        Command::History { key, check } => history(ctx, key.as_deref().map(parse).transpose()?.as_ref(), &check),
        Command::Revert { key, version: Some(version), open } => revert(ctx, parse(&key)?, version, &open).await,
        Command::Revert { key, version: None, open } => back(ctx, &key, &open).await,
        Command::Export { file, check } => export(ctx, file.as_deref(), &check),
        Command::Import { file, open } => import(ctx, &file, &open).await,
        Command::Test(Tested::Proxmox(test)) => api_test::test_proxmox(ctx, &test).await,
    }
}

fn parse(key: &str) -> Result<Key, Problem> {
    key.parse().map_err(|why: String| Problem::new(Kind::NotFound, "the settings", why, "see proximity settings list"))
}

/// The store; of the demo one that ends with the command.
pub(super) fn store(ctx: &Ctx) -> Result<Store, Problem> {
    Ok(if ctx.host.is_demo() { Store::in_memory()? } else { Store::open(&ctx.config.state)? })
}

/// The open vault and who opened it.
pub(super) fn open(ctx: &Ctx, store: &Store, open: &Open, permission: Permission) -> Result<Unlocked, Problem> {
    if ctx.host.is_demo() {
        return Ok(Unlocked { vault: Vault::of_demo(store)?, who: Who::owner("demo") });
    }
    login_for(ctx, store, open, permission)
}

/// What holds, checked where that was asked for; else it is said on standard error that it is not.
fn read(ctx: &Ctx, store: &Store, check: &Check) -> Result<(Settings, Option<Vault>), Problem> {
    let vault = if check.is_given() { Some(open(ctx, store, &check.open, Permission::ReadSettings)?.vault) } else { None };
    let settings = store.settings(vault.as_ref())?;
    if !settings.checked && ctx.form != Form::Json && !ctx.host.is_demo() {
        eprintln!("not checked against changes from outside: that takes the vault, see --check");
    }
    Ok((settings, vault))
}

fn as_json(settings: &Settings, key: &Key) -> Json {
    let (of, row) = (key.definition(), settings.row(key));
    let (value, bad) = match settings.value(key) {
        Ok(value) => (value.map(|v| v.json()), None),
        Err(why) => (None, Some(why)),
    };
    json!({
        "key": key.to_string(), "category": of.category.word(), "site": key.site(), "type": of.kind.word(), "unit": of.unit,
        "value": value, "default": of.default().map(|v| v.json()), "set": !matches!(settings.held(key), Held::Default), "bad": bad,
        "secret": of.is_secret(), "takes": of.takes(), "help": of.help, "applies": of.applies, "used": of.used,
        "version": settings.version(key), "changed_at": row.map(|r| r.at.rfc3339()), "changed_by": row.map(|r| r.by.clone()),
    })
}

/// Fails where one of these cannot be used, after all were printed.
fn none_bad(settings: &Settings, keys: &[Key]) -> Done {
    match settings.bad().find(|(key, _)| keys.contains(key)) {
        None => Ok(0),
        Some((key, why)) => {
            let hint = "neither it nor its default is used; look who wrote there, then set it anew";
            Err(Problem::new(Kind::Failed, format!("setting {key}"), format!("it {why}"), hint))
        }
    }
}

fn list(ctx: &Ctx, category: Option<&str>, check: &Check) -> Done {
    let store = store(ctx)?;
    let (settings, _) = read(ctx, &store, check)?;
    let mut keys = Key::all(&settings.sites());
    if let Some(category) = category {
        keys.retain(|k| k.heading() == category || k.definition().category.word() == category);
        if keys.is_empty() {
            return Err(Problem::new(
                Kind::NotFound,
                "the settings",
                format!("there is no category '{}'", clean(category)),
                "see proximity settings list",
            ));
        }
    }
    if ctx.form == Form::Json {
        let items: Vec<Json> = keys.iter().map(|k| as_json(&settings, k)).collect();
        let as_of = ctx.host.clock().0.rfc3339();
        let odd: Vec<Json> = settings.odd.iter().map(|k| json!({"what": clean(k), "why": "it is no setting of this version"})).collect();
        output::object(&json!({"as_of": as_of, "checked": settings.checked, "items": items, "unknown": odd}));
    } else {
        let row = |k: &Key| {
            let held = match (settings.held(k), settings.row(k)) {
                (Held::Default, _) => "default".to_owned(),
                (_, Some(r)) => format!("set by {} {}", clean(&r.by), r.at.rfc3339()),
                _ => String::new(),
            };
            vec![k.to_string(), settings.shown(k), held]
        };
        output::table(ctx.form, &["KEY", "VALUE", ""], &keys.iter().map(row).collect::<Vec<_>>());
        settings.odd.iter().for_each(|k| eprintln!("unknown: {}: it is no setting of this version", clean(k)));
    }
    none_bad(&settings, &keys)
}

fn get(ctx: &Ctx, key: &Key, check: &Check) -> Done {
    let store = store(ctx)?;
    let (settings, _) = read(ctx, &store, check)?;
    none_bad(&settings, std::slice::from_ref(key))?;
    if ctx.form == Form::Json {
        let mut item = as_json(&settings, key);
        item["checked"] = json!(settings.checked);
        item["as_of"] = json!(ctx.host.clock().0.rfc3339());
        output::object(&item);
    } else {
        output::say(&settings.value(key).ok().flatten().map_or_else(|| settings.shown(key), |v| v.to_string()));
    }
    Ok(0)
}

/// The other changes of one `set`.
fn more(with: &[String]) -> Result<Vec<(Key, Change)>, Problem> {
    let one = |pair: &String| {
        let no = |why: String| Problem::new(Kind::Usage, "--with", why, "such as --with network.gateway=10.30.0.1");
        let (key, text) = pair.split_once('=').ok_or_else(|| no(format!("'{}' is no KEY=VALUE", clean(pair))))?;
        let key = parse(key)?;
        let value = key.definition().parse(text).map_err(|why| no(format!("{key}: {why}")))?;
        Ok((key, Change::Set(value)))
    };
    with.iter().map(one).collect()
}

async fn set(ctx: &Ctx, key: Key, value: Option<&str>, with: &[String], open: &Open) -> Done {
    let more = more(with)?;
    let of = key.definition();
    let usage = |why: String, hint: &str| Problem::new(Kind::Usage, key.to_string(), why, hint);
    if of.is_secret() {
        let why = "a secret is tried before it is kept, and never given as an argument: every user of this machine can read those";
        return Err(usage(why.into(), "proximity settings test proxmox HOST USER --save; settings unset takes one away"));
    }
    let text = match value {
        None => return Err(usage("the value is missing".into(), &format!("it takes {}", of.takes()))),
        Some("-") => {
            let mut text = String::new();
            let read = std::io::stdin().take(settings::LONGEST as u64 + 2).read_to_string(&mut text);
            read.map_err(|e| usage(e.to_string(), "write the value to standard input"))?;
            text
        }
        Some(text) => text.to_owned(),
    };
    let value = of.parse(&text).map_err(|why| usage(why, &format!("it takes {}", of.takes())))?;
    save(ctx, std::iter::once((key, Change::Set(value))).chain(more).collect(), open).await
}

/// What changes are weighed by: all of the host, and the ports that somebody has.
async fn world(ctx: &Ctx, store: &Store) -> World {
    let mut world = ctx.whole_world().await;
    let now = ctx.host.clock().0;
    world.ports = store.ports(None, now).map_or_else(|e| Part::unknown(e.to_string(), now), |ports| Part::new(ports, now, From::Files));
    world
}

/// Shows changes and what they would mean, and saves them unless only the preview is wanted.
async fn save(ctx: &Ctx, changes: Vec<(Key, Change)>, how: &Open) -> Done {
    let store = store(ctx)?;
    // What can be refused without the vault is refused before anybody types a passphrase.
    let now = store.settings(None)?;
    let world = world(ctx, &store).await;
    let pairs = || changes.iter().map(|(k, c)| (k, c));
    let mut troubles = settings::check(&now.with(pairs()), &settings::fixed_addresses(&world));
    troubles.retain(|t| t.keys.iter().any(|k| changes.iter().any(|(c, _)| c == k)));
    if let Some(first) = troubles.first() {
        let hint = "nothing was saved; what belongs together is saved together: see --with";
        return Err(Problem::new(Kind::Refused, "the settings", first.why.clone(), hint));
    }
    if let Some(key) = settings::untried(&now, pairs()) {
        return Err(SaveError::Untried { key }.into());
    }
    if ctx.dry_run {
        show(ctx, &now, &changes, &world);
        return Ok(0);
    }
    if ctx.read_only {
        return Err(Problem::new(Kind::ReadOnly, "the settings", "--read-only refuses everything that changes something", ""));
    }
    if ctx.host.is_demo() && ctx.form != Form::Json {
        eprintln!("the demo keeps nothing: this change ends with the command");
    }
    let Unlocked { vault, who } = open(ctx, &store, how, Permission::ChangeSettings)?;
    let now = store.settings(Some(&vault))?;
    let staged: Save =
        changes.iter().map(|(key, change)| Staged { key: key.clone(), change: change.clone(), seen: now.version(key) }).collect();
    let audit = ctx.audit();
    let saver = Saver { audit: &audit, store: &store, vault: &vault, world: &world, who: &who, now: ctx.host.clock().0 };
    let saved = saver.save(&staged)?;
    if ctx.form == Form::Json {
        let then = store.settings(Some(&vault))?;
        let items: Vec<Json> = changes.iter().map(|(k, _)| json!({"key": k.to_string(), "version": then.version(k)})).collect();
        output::object(&json!({"saved": saved, "items": items}));
    } else if saved == 0 {
        output::say("nothing to change: it holds already");
    } else {
        show(ctx, &now, &changes, &world);
    }
    Ok(0)
}

fn show(ctx: &Ctx, now: &Settings, changes: &[(Key, Change)], world: &World) {
    let impact = settings::impact(now, changes.iter().map(|(k, c)| (k, c)), world);
    let lines = changes.iter().map(|(k, c)| (k.to_string(), now.shown(k), c.shown(k.definition())));
    if ctx.form == Form::Json {
        let changes: Vec<Json> = lines.map(|(key, old, new)| json!({"key": key, "old": old, "new": new})).collect();
        let word = |w| match w {
            Weight::Note => "note",
            Weight::Caution => "caution",
            Weight::Unknown => "unknown",
        };
        let impact: Vec<Json> = impact.iter().map(|i| json!({"weight": word(i.weight), "what": i.what})).collect();
        return output::object(&json!({"changes": changes, "impact": impact}));
    }
    lines.for_each(|(key, old, new)| output::say(&format!("{key}: {old} -> {new}")));
    for i in impact {
        let sign = match i.weight {
            Weight::Note => " ",
            Weight::Caution => "!",
            Weight::Unknown => "?",
        };
        output::say(&format!("  {sign} {}", i.what));
    }
}

fn history(ctx: &Ctx, key: Option<&Key>, check: &Check) -> Done {
    let store = store(ctx)?;
    let (settings, vault) = read(ctx, &store, check)?;
    let past = store.setting_history(vault.as_ref(), key, PAST)?;
    if ctx.form == Form::Json {
        let item = |p: &Past| {
            let words = p.words();
            json!({"key": p.key.to_string(), "version": p.version, "at": p.at.rfc3339(), "by": p.by, "old": words.0, "new": words.1, "now": p.now})
        };
        output::object(&json!({"checked": settings.checked, "items": past.iter().map(item).collect::<Vec<_>>()}));
    } else if past.is_empty() {
        output::say("nothing was ever changed");
    } else {
        let row = |p: &Past| {
            let words = p.words();
            vec![p.at.rfc3339(), clean(&p.by), p.key.to_string(), p.version.to_string(), words.0, words.1]
        };
        output::table(ctx.form, &["WHEN", "WHO", "KEY", "VERSION", "OLD", "NEW"], &past.iter().map(row).collect::<Vec<_>>());
    }
    Ok(0)
}

async fn revert(ctx: &Ctx, key: Key, version: u32, how: &Open) -> Done {
    let past = store(ctx)?.setting_history(None, Some(&key), usize::MAX)?;
    let no = |kind, why: String| Problem::new(kind, key.to_string(), why, format!("see proximity settings history {key}"));
    let past = past.iter().find(|p| p.version == version).ok_or_else(|| no(Kind::NotFound, format!("there is no version {version}")))?;
    let change = past.back().map_err(|why| no(Kind::Refused, why))?;
    save(ctx, vec![(key, change)], how).await
}

/// The whole credential that was kept before.
async fn back(ctx: &Ctx, site: &str, how: &Open) -> Done {
    let no = |why: &str, hint: &str| Problem::new(Kind::Usage, clean(site), why, hint);
    let name = site.strip_prefix("proxmox").filter(|rest| rest.is_empty() || rest.starts_with('@'));
    let name = name.ok_or_else(|| no("the version is missing", &format!("see proximity settings history {}", clean(site))))?;
    let store = store(ctx)?;
    if ctx.dry_run {
        return Err(no("a credential is brought back whole, and there is nothing to show before", "see proximity settings history"));
    }
    if ctx.read_only {
        return Err(Problem::new(Kind::ReadOnly, "the settings", "--read-only refuses everything that changes something", ""));
    }
    let world = ctx.whole_world().await;
    let Unlocked { vault, who } = open(ctx, &store, how, Permission::ChangeSettings)?;
    let audit = ctx.audit();
    let saver = Saver { audit: &audit, store: &store, vault: &vault, world: &world, who: &who, now: ctx.host.clock().0 };
    let saved = saver.back(name.trim_start_matches('@'))?;
    if ctx.form == Form::Json {
        output::object(&json!({"saved": saved}));
    } else {
        output::say(&format!("the credential before holds again ({saved} setting(s)); once more brings the other one back"));
    }
    Ok(0)
}

fn export(ctx: &Ctx, file: Option<&Path>, check: &Check) -> Done {
    let store = store(ctx)?;
    let (settings, _) = read(ctx, &store, check)?;
    let text = settings_file::write(&settings, ctx.host.name(), ctx.host.clock().0)?;
    let text = text.map_err(|why| Problem::new(Kind::Failed, "the export", why, "nothing was written; set it anew first"))?;
    let Some(path) = file else {
        output::say(text.trim_end());
        return Ok(0);
    };
    let no = |e: std::io::Error| Problem::new(Kind::Failed, clean(&path.display().to_string()), e.to_string(), "give another file");
    // Networks and hosts are nobody else's business; and a file that is there is never written over.
    let mut out = new_file(path).map_err(no)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(no)?;
    Ok(0)
}

async fn import(ctx: &Ctx, path: &Path, how: &Open) -> Done {
    let what = clean(&path.display().to_string());
    let no = |kind, why: String| Problem::new(kind, what.clone(), why, "nothing was changed");
    let mut text = String::new();
    let read = File::open(path).and_then(|f| f.take(settings_file::MOST).read_to_string(&mut text));
    read.map_err(|e| no(if e.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Refused }, e.to_string()))?;
    let found = settings_file::read(&text)?.map_err(|why| no(Kind::Refused, why))?;
    let now = store(ctx)?.settings(None)?;
    let changes: Vec<(Key, Change)> =
        found.into_iter().map(|(key, value)| (key, Change::Set(value))).filter(|(key, change)| *now.held(key) != change.held()).collect();
    if changes.is_empty() {
        if ctx.form != Form::Json {
            output::say("nothing to change: all of it holds already");
        }
        return Ok(0);
    }
    if !ctx.yes && !ctx.dry_run {
        if !output::at_terminal() {
            let why = format!("it changes {} setting(s) and nobody is there to ask", changes.len());
            return Err(Problem::new(Kind::Refused, what, why, "give --yes, after a look with --dry-run"));
        }
        show(ctx, &now, &changes, &world(ctx, &store(ctx)?).await);
        if !output::ask_yes()? {
            return Err(no(Kind::Refused, "you said no".into()));
        }
    }
    save(ctx, changes, how).await
}
