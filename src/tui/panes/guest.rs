//! Guests as several panes show them: the table's cells, the details, what `b`, `r`, `x`, `l` mean on one.

use crate::domain::backup::BackupWish;
use crate::domain::fact::Wish;
use crate::domain::guest::{Guest, Kind, Power};
use crate::domain::stamp;
use crate::tui::action::Action;
use crate::tui::dialogs::menu::{Menu, log_words};
use crate::tui::dialogs::restore::Restore;
use crate::tui::dialogs::text::{Line, Text, field};
use crate::tui::list::{Column, column};
use crate::tui::pane::{Known, Then};
use crate::tui::theme::Tone;
use crate::tui::words;

/// Columns of the guests table.
const COLUMNS: [Column; 10] = [
    column("id", 4, 4, 0, true),
    column("name", 12, 30, 0, false),
    column("state", 9, 9, 0, false),
    column("lock", 8, 12, 2, false),
    column("memory", 9, 9, 3, true),
    column("of", 8, 8, 7, true),
    column("up", 6, 6, 5, true),
    column("backup", 6, 6, 1, true),
    column("address", 15, 18, 4, false),
    column("bridge", 14, 15, 6, false),
];

/// Where `up` stands.
const UP: usize = 6;

/// The columns for these guests: an id takes as many as the longest has, and what no guest tells takes none.
pub fn columns(guests: &[Guest]) -> [Column; 10] {
    let digits = guests.iter().map(|g| u32::from(g.id)).max().map_or(4, |id| id.ilog10() as u16 + 1).max(4);
    let mut columns = COLUMNS;
    columns[0] = column("id", digits, digits, 0, true);
    if guests.iter().all(|g| g.uptime_s.is_none()) {
        columns[UP].most = 0;
    }
    columns
}

/// The texts of one guest's row.
pub fn cells(g: &Guest, known: &Known) -> [(String, Tone); 10] {
    let quiet = || (String::new(), Tone::Quiet);
    let unknown = || ("?".to_owned(), Tone::Unknown);
    let plain = |text: String| (text, Tone::Plain);
    let runs = g.power == Power::Running;
    let state = match (g.power, g.template) {
        (_, true) => ("template".to_owned(), Tone::Quiet),
        (Power::Running, _) => ("● running".to_owned(), Tone::Good),
        (Power::Stopped, _) => ("○ stopped".to_owned(), Tone::Plain),
        (Power::Unknown, _) => ("? unknown".to_owned(), Tone::Unknown),
    };
    let lock = match &g.lock {
        Some(lock) => (lock.clone(), Tone::Warn),
        None if g.conf_read => quiet(),
        None => unknown(),
    };
    // What only a running guest has is not unknown where it is stopped.
    let live = |value: Option<String>| match value {
        Some(text) => plain(text),
        None if runs => unknown(),
        None => quiet(),
    };
    let of = |value: Option<String>| value.map_or_else(|| if g.conf_read { quiet() } else { unknown() }, plain);
    let backup = match (known.world.archives.get(), known.world.last_archive(g.id)) {
        (None, _) => unknown(),
        (Some(_), Some(a)) => plain(words::age(known.now, a.made)),
        (Some(_), None) if g.template || g.kind == Kind::Qemu => quiet(),
        // A storage that did not answer may hold one.
        (Some(_), None) if !known.world.archives.gaps.is_empty() => unknown(),
        (Some(_), None) => ("never".to_owned(), Tone::Warn),
    };
    let (address, bridge) = match g.nics.first() {
        Some(nic) => (of(nic.ip.clone()), of(nic.bridge.clone())),
        None => (of(None), of(None)),
    };
    [
        plain(g.id.to_string()),
        plain(if g.name.is_some() || g.conf_read { g.label() } else { "?".into() }),
        state,
        lock,
        live(g.mem.map(stamp::bytes)),
        of(g.mem_max.map(stamp::bytes)),
        live(g.uptime_s.map(coarse)),
        backup,
        address,
        bridge,
    ]
}

/// How long a guest runs, without seconds.
fn coarse(secs: u64) -> String {
    match secs {
        0..=59 => "now".into(),
        60..=3599 => format!("{} min", secs / 60),
        3600..=172_799 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

/// Everything known of a guest, and why the rest is not.
pub fn details(g: &Guest, known: &Known) -> Text {
    let why_conf = "its configuration could not be read";
    let conf = |value: Option<String>| if g.conf_read { Ok(value.unwrap_or_else(|| "none".into())) } else { Err(why_conf) };
    let yes = |b: bool| Some(if b { "yes".to_owned() } else { "no".to_owned() });
    let gap = known.world.guests.gaps.iter().find(|gap| gap.what.contains(&g.id.to_string())).map(|gap| gap.why.as_str());
    let live = |value: Option<String>| match (value, g.power) {
        (Some(v), _) => Ok(v),
        (None, Power::Stopped) => Ok("-".into()),
        (None, _) => Err(gap.unwrap_or("the host did not tell")),
    };
    let kind = if g.kind == Kind::Lxc { "container" } else { "virtual machine: shown, not driven by proximity" };
    let mut out: Vec<Line> = vec![
        field("kind", Ok(kind.into())),
        field("node", g.node.clone().ok_or("nothing told which node it lives on")),
        field(
            "state",
            if g.power == Power::Unknown { Err(gap.unwrap_or("nobody could say whether it runs")) } else { Ok(g.power.word().into()) },
        ),
        field("lock", conf(g.lock.clone())),
        field("memory", live(g.mem.map(|m| format!("{} of {}", stamp::bytes(m), g.mem_max.map_or("?".into(), stamp::bytes))))),
        field("root disk", live(g.disk.map(|(used, all)| format!("{} of {}", stamp::bytes(used), stamp::bytes(all))))),
        field("runs for", live(g.uptime_s.map(stamp::span))),
        field("system", conf(g.ostype.clone())),
        field("unprivileged", g.unprivileged.and_then(yes).ok_or(why_conf)),
        field("with host", conf(yes(g.onboot))),
        field("tags", conf((!g.tags.is_empty()).then(|| g.tags.join(" ")))),
    ];
    for n in &g.nics {
        let bridge = n.bridge.as_deref().unwrap_or("no bridge");
        out.push(field(
            &n.key,
            Ok(format!("{} {} on {bridge}  {}", n.name, n.ip.as_deref().unwrap_or("no address"), n.hwaddr.as_deref().unwrap_or(""))),
        ));
    }
    for m in &g.mounts {
        let size = m.size.map(|s| format!("  {}", stamp::bytes(s))).unwrap_or_default();
        out.push(field(&m.key, Ok(format!("{} at {}{size}", m.source, m.path))));
    }
    if !g.snapshots.is_empty() {
        out.push(field("snapshots", Ok(g.snapshots.join(" "))));
    }
    out.extend(g.not_in_backup().into_iter().map(|l| (Tone::Warn, format!("not in a backup: {l}"))));
    out.extend(g.odd_lines.iter().map(|l| (Tone::Warn, format!("line that cannot be read: {l}"))));
    out.push((Tone::Quiet, words::source(&known.world.guests, known.now)));
    Text::new(g.title(), out)
}

/// What the keys for guests mean on this one; `None` for other actions.
pub fn act(action: Action, guest: Option<&Guest>, known: &Known) -> Option<Vec<Then>> {
    if !matches!(action, Action::Backup | Action::Restore | Action::Menu | Action::LogsOf) {
        return None;
    }
    let Some(g) = guest else { return Some(vec![Then::Say("no guest is selected".into())]) };
    Some(vec![match action {
        Action::Backup => Then::Wish(Wish::Backup(BackupWish::of(g.id))),
        Action::Menu => Then::Open(Box::new(Menu::new(g.clone(), &known.world))),
        Action::LogsOf => Then::LogsOf(None, log_words(g)),
        _ => match (known.world.archives.get(), known.world.last_archive(g.id)) {
            (None, _) => Then::Say("? the backups are unknown; pane 6 says why".into()),
            (_, None) => Then::Say(format!("{} has no backup; b makes one", g.title())),
            (_, Some(a)) => Then::Open(Box::new(Restore::new(a.clone(), known))),
        },
    }])
}

/// Whether a search finds this guest: id, name, address.
pub fn matches(g: &Guest, needle: &str) -> bool {
    let holds = |text: &str| text.to_lowercase().contains(needle);
    holds(&g.id.to_string()) || holds(&g.label()) || g.nics.iter().any(|n| n.ip.as_deref().is_some_and(&holds))
}

/// A search over the entries of a list.
#[derive(Default)]
pub struct Search {
    /// The line that is typed in, while somebody types.
    pub input: Option<crate::tui::input::Input>,
    /// What is searched, in lower case; empty for nothing.
    pub needle: String,
}

impl Search {
    /// Takes over what was typed.
    pub fn read(&mut self) {
        self.needle = self.input.as_ref().map(|i| i.text().trim().to_lowercase()).unwrap_or_default();
    }

    /// The next entry from `at` on for which `hit` holds, going round.
    pub fn next(&self, at: usize, len: usize, forward: bool, here_too: bool, hit: impl Fn(usize) -> bool) -> Option<usize> {
        if self.needle.is_empty() || len == 0 {
            return None;
        }
        let first = usize::from(!here_too);
        (first..len + first).map(|d| if forward { (at + d) % len } else { (at + 2 * len - d) % len }).find(|i| hit(*i))
    }
}
