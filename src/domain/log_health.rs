//! Health of logs: from the sizes and times of the files in `/var/log`, which are never opened for it, to what is wrong.
//! A directory that was not looked at gives no finding and no comfort.

use std::collections::BTreeMap;

use super::appliance;
use super::clean::clean;
use super::fact::LogSource;
use super::guest::Vmid;
use super::health::Level;
use super::stamp::{Stamp, bytes, span};
use super::storage::Space;

/// Where logs are looked for, and in the directories right below.
pub const DIR: &str = "/var/log";
/// A log of so many bytes in one file is not being put away by anybody: twice what Caddy takes by default, and far more
/// than a day or week of logrotate's usual care lets any other grow to.
const HUGE: u64 = 200 << 20;
/// Something put away longer ago does not count: monthly is the slowest rotation in use.
const MONTH_S: i64 = 35 * 86_400;
/// A log that grows by so many bytes an hour, 2.4 GiB a day, is a fault in whatever writes it or a debug level left on.
const FAST: u64 = 100 << 20;
/// Growth that may be taken for a trend: below it a day's worth is noise on any disk.
const TREND: u64 = 1 << 20;
/// A growth is told once it was watched for so long; a burst of a minute is none.
const WATCHED_S: i64 = 240;
/// Looks kept of each file: with one a minute a growth is that of the last quarter of an hour.
const LOOKS: usize = 15;
/// A disk that is full within a day cannot wait; one within a week wants a look.
const DAY_S: u64 = 86_400;
const WEEK_S: u64 = 7 * DAY_S;
/// A disk so full, in hundredths, of which logs hold such a part, is full of logs.
const FULL: u64 = 85;
const FULL_BAD: u64 = 95;
const PART: u64 = 25;
/// What was written so long after the last line of a log should have stood in it.
const SILENT_S: i64 = 900;

/// One file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its whole path, in the guest where it is one's.
    pub path: String,
    /// Bytes it takes on the disk, or holds, whichever is less: a sparse file holds little.
    pub size: u64,
    /// Last change of its content.
    pub modified: Stamp,
    /// When it came to be, where the file system tells.
    pub born: Option<Stamp>,
}

/// The logs of one tree, as they lie there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// All files, and those that were asked for besides.
    pub files: Vec<Entry>,
    /// Space of the file system they lie on.
    pub space: Space,
    /// So many entries were not looked at: there are too many.
    pub left_out: u64,
}

/// A log and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The file that is written now.
    pub file: Entry,
    /// When the newest of its files that were put away was changed last.
    put_away: Option<Stamp>,
    /// The same of those that are not compressed, with its name: one may still be written to.
    plain: Option<(Stamp, String)>,
    /// Earlier looks at its size since it last shrank, the oldest first, with this one.
    looks: Vec<(Stamp, u64)>,
}

/// What was looked at of one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The guest; `None` for the host itself.
    pub guest: Option<Vmid>,
    /// Whether that is the appliance.
    appliance: bool,
    /// Its logs by path.
    pub logs: BTreeMap<String, Log>,
    /// Bytes of all files, put away or not, and the largest of them.
    pub total: u64,
    largest: Option<(u64, String)>,
    /// Space of the file system.
    pub space: Space,
    /// When the leases were written last, for the appliance.
    leases: Option<Stamp>,
    /// Names of processes in the guest, where they were asked for.
    running: Option<Vec<String>>,
}

impl Seen {
    /// From what was found at `now`, and from the look before. Processes are those of the appliance.
    pub fn new(
        guest: Option<Vmid>,
        appliance: bool,
        found: Found,
        running: Option<Vec<String>>,
        before: Option<&Seen>,
        now: Stamp,
    ) -> Seen {
        let mut logs: BTreeMap<String, Log> = BTreeMap::new();
        let mut away: Vec<(String, Entry)> = Vec::new();
        let (mut total, mut leases, mut largest) = (0, None, None);
        for file in found.files {
            if file.path == appliance::LEASES {
                leases = Some(file.modified);
                continue;
            }
            total += file.size;
            largest = largest.max(Some((file.size, file.path.clone())));
            match put_away_of(&file.path) {
                Some(of) => away.push((of, file)),
                None => drop(logs.insert(
                    file.path.clone(),
                    Log { looks: looks(before.and_then(|b| b.logs.get(&file.path)), &file, now), file, put_away: None, plain: None },
                )),
            }
        }
        for (of, file) in away {
            let Some(log) = logs.get_mut(&of) else { continue };
            log.put_away = log.put_away.max(Some(file.modified));
            if !is_compressed(&file.path) {
                log.plain = log.plain.take().max(Some((file.modified, file.path)));
            }
        }
        Seen { guest, appliance, logs, total, largest, space: found.space, leases, running }
    }

    fn runs(&self, name: &str) -> bool {
        self.running.as_ref().is_some_and(|all| all.iter().any(|r| r == name))
    }

    fn source(&self, path: &str) -> LogSource {
        match self.guest {
            _ if self.appliance && path == appliance::DNSMASQ_LOG => LogSource::Dnsmasq,
            _ if self.appliance && path == appliance::CADDY_LOG => LogSource::Caddy,
            Some(id) => LogSource::InGuest(id, path.into()),
            None => LogSource::File(path.into()),
        }
    }
}

fn looks(before: Option<&Log>, file: &Entry, now: Stamp) -> Vec<(Stamp, u64)> {
    let mut looks = before.map_or(Vec::new(), |b| b.looks.clone());
    if looks.last().is_some_and(|(at, size)| *size > file.size || *at >= now) {
        looks.clear();
    }
    looks.push((now, file.size));
    looks.drain(..looks.len().saturating_sub(LOOKS));
    looks
}

/// What is wrong with a log, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// How bad.
    pub level: Level,
    /// The log that leads to it.
    pub log: LogSource,
    /// What is the matter, with the evidence.
    pub why: String,
}

impl Wrong {
    /// What it is about, the name of the log first: `log app.log of 105`, `log dnsmasq`.
    pub fn what(&self) -> String {
        let name = |path: &str| clean(path.rsplit('/').next().unwrap_or(path));
        match &self.log {
            LogSource::InGuest(id, path) => format!("log {} of {id}", name(path)),
            LogSource::File(path) => format!("log {}", name(path)),
            other => format!("log {}", other.name()),
        }
    }
}

/// What is wrong with the logs of one tree as of `now`.
pub fn wrong(seen: &Seen, now: Stamp) -> Vec<Wrong> {
    let mut out = Vec::new();
    for log in seen.logs.values() {
        let mut add = |(level, why)| out.push(Wrong { level, log: seen.source(&log.file.path), why });
        not_rotated(log, now).map(&mut add);
        growing(log, &seen.space, now).map(&mut add);
        written_elsewhere(log).map(&mut add);
    }
    full(seen).into_iter().for_each(|w| out.push(w));
    silent(seen, now).into_iter().for_each(|w| out.push(w));
    out
}

fn not_rotated(log: &Log, now: Stamp) -> Option<(Level, String)> {
    if log.file.size < HUGE || log.put_away.is_some_and(|at| now.secs() - at.secs() < MONTH_S) {
        return None;
    }
    let begun = log.file.born.map_or_else(String::new, |at| format!(", begun {} ago", since(at, now)));
    let away =
        log.put_away.map_or("none beside it was put away".to_owned(), |at| format!("the last one was put away {} ago", since(at, now)));
    Some((Level::Warn, format!("not rotated: {} in one file{begun}; {away}", bytes(log.file.size))))
}

/// Bytes an hour, and since when: of the looks, or else of its whole life.
fn growth(log: &Log, now: Stamp) -> Option<(u64, Stamp)> {
    let (first, size) = match log.looks.first() {
        Some((at, size)) if now.secs() - at.secs() >= WATCHED_S => (*at, *size),
        // One look alone: what it grew by since it came to be, if it is still being written.
        _ => log.file.born.filter(|_| now.secs() - log.file.modified.secs() < 3600).map(|at| (at, 0))?,
    };
    let secs = u64::try_from(now.secs() - first.secs()).ok().filter(|s| *s >= WATCHED_S as u64)?;
    Some(((u128::from(log.file.size.saturating_sub(size)) * 3600 / u128::from(secs)) as u64, first))
}

fn growing(log: &Log, space: &Space, now: Stamp) -> Option<(Level, String)> {
    let (rate, first) = growth(log, now)?;
    let full_in = (rate >= TREND).then(|| (u128::from(space.avail) * 3600 / u128::from(rate)) as u64);
    let level = match full_in {
        Some(s) if s < DAY_S => Level::Bad,
        Some(s) if s < WEEK_S => Level::Warn,
        _ if rate >= FAST => Level::Warn,
        _ => return None,
    };
    let over = since(first, now);
    let left = match full_in {
        Some(s) if s < WEEK_S => format!("fills the disk: the {} left are full in about {}", bytes(space.avail), span(s)),
        _ => format!("growing too fast, {} are left", bytes(space.avail)),
    };
    Some((level, format!("{left}; {} an hour over the last {over}, {} now", bytes(rate), bytes(log.file.size))))
}

/// Somebody moved it away and did not tell whoever writes it.
fn written_elsewhere(log: &Log) -> Option<(Level, String)> {
    let (at, path) = log.plain.as_ref()?;
    let behind = at.secs() - log.file.modified.secs();
    (behind >= SILENT_S).then(|| {
        let name = clean(path.rsplit('/').next().unwrap_or(path));
        let how = format!("written {} after the last line here", span(behind as u64));
        (Level::Warn, format!("silent: its service still writes to {name}, {how}; it was not told of the rotation"))
    })
}

/// The disk is nearly full, and logs are a good part of it: told once, at the largest.
fn full(seen: &Seen) -> Option<Wrong> {
    let Space { total, used, avail } = seen.space;
    let percent = (used.saturating_mul(100)).checked_div(total)?;
    let held = seen.total.saturating_mul(100) / total;
    if percent < FULL || held < PART {
        return None;
    }
    let (largest, path) = seen.largest.as_ref()?;
    let level = if percent >= FULL_BAD { Level::Bad } else { Level::Warn };
    let why = format!(
        "fills the disk: logs hold {} of its {}, which is {percent} % full with {} left; this one holds {}",
        bytes(seen.total),
        bytes(total),
        bytes(avail),
        bytes(*largest)
    );
    Some(Wrong { level, log: seen.source(path), why })
}

/// dnsmasq writes a line for each lease, so that leases newer than its log mean a log that it does not write. Of Caddy no
/// such thing is known: where nobody asks it has nothing to write.
fn silent(seen: &Seen, now: Stamp) -> Option<Wrong> {
    let leases = seen.leases.filter(|_| seen.runs("dnsmasq"))?;
    let path = appliance::DNSMASQ_LOG;
    let why = match seen.logs.get(path) {
        None => format!("silent: dnsmasq runs and wrote its leases {} ago, and there is no {path}", since(leases, now)),
        Some(log) if leases.secs() - log.file.modified.secs() >= SILENT_S => {
            format!("silent: dnsmasq runs and wrote its leases {} after the last line of its log", since(log.file.modified, leases))
        }
        Some(_) => return None,
    };
    Some(Wrong { level: Level::Warn, log: seen.source(path), why })
}

fn since(at: Stamp, now: Stamp) -> String {
    span(u64::try_from(now.secs() - at.secs()).unwrap_or(0))
}

const PACKED: [&str; 6] = [".gz", ".xz", ".zst", ".bz2", ".lz4", ".zip"];

fn is_compressed(path: &str) -> bool {
    PACKED.iter().any(|end| path.ends_with(end))
}

/// The log that a file was put away from by its name, as logrotate, savelog and Caddy give them: `app.log.1`,
/// `app.log.2.gz`, `app.log-20261101`, `app-20261101.log`, `access-2026-11-01T10-00-00.000.log.gz`, `app.log.old`.
fn put_away_of(path: &str) -> Option<String> {
    let (dir, name) = path.rsplit_once('/')?;
    let bare = PACKED.iter().find_map(|end| name.strip_suffix(end));
    let name = bare.unwrap_or(name);
    let of = |name: &str| Some(format!("{dir}/{name}"));
    if let Some((stem, end)) = name.rsplit_once('.')
        && !stem.is_empty()
        && (end == "old" || (!end.is_empty() && end.bytes().all(|b| b.is_ascii_digit())))
    {
        return of(stem);
    }
    for (at, _) in name.match_indices('-').filter(|(at, _)| *at > 0) {
        let rest = &name[at + 1..];
        let run = rest.find(|c: char| !(c.is_ascii_digit() || "-T:_.".contains(c))).unwrap_or(rest.len());
        // The point before an ending is no part of the date.
        let date = if run < rest.len() { rest[..run].strip_suffix('.') } else { Some(&rest[..run]) };
        let Some(date) = date.filter(|d| d.bytes().filter(u8::is_ascii_digit).count() >= 8) else { continue };
        return of(&format!("{}{}", &name[..at], &rest[date.len()..]));
    }
    bare.and_then(of)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Stamp = Stamp(1_795_271_528_000);
    const GIB: u64 = 1 << 30;

    fn ago(s: i64) -> Stamp {
        Stamp(NOW.0 - s * 1000)
    }

    fn entry(path: &str, size: u64, modified_s: i64, born_s: i64) -> Entry {
        Entry { path: path.into(), size, modified: ago(modified_s), born: Some(ago(born_s)) }
    }

    fn found(files: Vec<Entry>) -> Found {
        Found { files, space: Space { total: 16 * GIB, used: 6 * GIB, avail: 10 * GIB }, left_out: 0 }
    }

    fn guest() -> Option<Vmid> {
        "101".parse().ok()
    }

    fn of(files: Vec<Entry>) -> Vec<Wrong> {
        wrong(&Seen::new(guest(), false, found(files), None, None, NOW), NOW)
    }

    fn whys(all: &[Wrong]) -> String {
        all.iter().map(|w| w.why.clone()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn names_of_what_was_put_away() {
        for (path, expected) in [
            ("/var/log/app.log.1", Some("/var/log/app.log")),
            ("/var/log/app.log.12.gz", Some("/var/log/app.log")),
            ("/var/log/app.log.old", Some("/var/log/app.log")),
            ("/var/log/app.log-20261101", Some("/var/log/app.log")),
            ("/var/log/app.log-20261101.zst", Some("/var/log/app.log")),
            ("/var/log/app-20261101.log", Some("/var/log/app.log")),
            ("/var/log/caddy/access-2026-11-01T10-00-00.000.log.gz", Some("/var/log/caddy/access.log")),
            ("/var/log/caddy/access-2026-11-01T10-00-00.000.log", Some("/var/log/caddy/access.log")),
            ("/var/log/app.log.20261101", Some("/var/log/app.log")),
            ("/var/log/mysql/binlog.000017", Some("/var/log/mysql/binlog")),
            ("/var/log/postgresql/postgresql-2026-11-21_000000.log", Some("/var/log/postgresql/postgresql.log")),
            ("/var/log/app.log", None),
            ("/var/log/syslog", None),
            ("/var/log/my-app-2.log", None),
            ("/var/log/postgresql/postgresql-17-main.log", None),
            ("/var/log/-20261101", None),
            ("/var/log/.1", None),
        ] {
            assert_eq!(put_away_of(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_huge_file_without_any_put_away_is_not_rotated() {
        let all = of(vec![entry("/var/log/app.log", 3 * GIB, 5, 40 * 86_400)]);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((all[0].level, all[0].log.name().as_str()), (Level::Warn, "101:/var/log/app.log"));
        assert_eq!(all[0].what(), "log app.log of 101");
        assert_eq!(all[0].why, "not rotated: 3.0 GiB in one file, begun 40 d ago; none beside it was put away");
        // With one put away yesterday it is, with one of last year it is not any more.
        let with = |days: i64| vec![entry("/var/log/app.log", 3 * GIB, 5, 40 * 86_400), entry("/var/log/app.log.1", 9, days * 86_400, 0)];
        assert_eq!(of(with(1)), []);
        assert!(whys(&of(with(300))).contains("the last one was put away 300 d ago"));
        assert_eq!(of(vec![entry("/var/log/app.log", 90 << 20, 5, 40 * 86_400)]), []);
    }

    #[test]
    fn growth_is_what_was_watched_or_else_the_whole_life() {
        let mut seen: Option<Seen> = None;
        for n in 0..6 {
            let at = ago((5 - n) * 60);
            let size = (n as u64) * (4 << 20) + (1 << 20);
            let file = Entry { modified: at, ..entry("/var/log/app.log", size, 0, 90 * 86_400) };
            seen = Some(Seen::new(guest(), false, found(vec![file]), None, seen.as_ref(), at));
        }
        let all = wrong(seen.as_ref().unwrap(), NOW);
        // 20 MiB in five minutes; ten GiB are full in 43 hours.
        assert_eq!(whys(&all), "fills the disk: the 10 GiB left are full in about 1 d; 240 MiB an hour over the last 5 min, 21 MiB now");
        assert_eq!(all[0].level, Level::Warn);
        // What shrank begins anew, so that a rotation is no growth and no fall.
        let after = Seen::new(
            guest(),
            false,
            found(vec![entry("/var/log/app.log", 5, 0, 90 * 86_400)]),
            None,
            seen.as_ref(),
            Stamp(NOW.0 + 60_000),
        );
        assert_eq!(after.logs["/var/log/app.log"].looks.len(), 1);
        // One look: 100 MiB in an hour of life.
        assert!(whys(&of(vec![entry("/var/log/app.log", 110 << 20, 5, 3600)])).contains("110 MiB an hour over the last 1 h"));
        assert_eq!(of(vec![entry("/var/log/app.log", 110 << 20, 7200, 10_800)]), [], "nobody writes it any more");
        assert_eq!(of(vec![entry("/var/log/app.log", 110 << 20, 5, 90 * 86_400)]), []);
    }

    #[test]
    fn a_disk_that_is_full_within_a_day_is_bad() {
        let space = Space { total: 4 * GIB, used: 3 * GIB, avail: GIB };
        let files = vec![entry("/var/log/app.log", 100 << 20, 5, 3600)];
        let all = wrong(&Seen::new(guest(), false, Found { space, ..found(files) }, None, None, NOW), NOW);
        assert_eq!((all[0].level, all.len()), (Level::Bad, 1));
        assert!(all[0].why.contains("the 1.0 GiB left are full in about 10 h"), "{all:?}");
    }

    #[test]
    fn a_disk_full_of_logs_is_told_once_at_the_largest() {
        let space = |used: u64| Space { total: 4 * GIB, used: used << 20, avail: (4096 - used) << 20 };
        let files =
            || vec![entry("/var/log/a.log", 60 << 20, 90_000, 90 * 86_400), entry("/var/log/b.log.1", 1 << 30, 90_000, 90 * 86_400)];
        let with = |used, files| whys(&wrong(&Seen::new(None, false, Found { space: space(used), ..found(files) }, None, None, NOW), NOW));
        assert_eq!(
            with(3900, files()),
            "fills the disk: logs hold 1.1 GiB of its 4.0 GiB, which is 95 % full with 196 MiB left; this one holds 1.0 GiB"
        );
        assert_eq!(with(2000, files()), "");
        assert_eq!(with(3900, files()[..1].to_vec()), "", "something else fills it");
    }

    #[test]
    fn a_service_that_writes_to_what_was_put_away_is_seen() {
        let files = |away: i64| vec![entry("/var/log/app.log", 0, 86_400, 86_400), entry("/var/log/app.log.1", 500, away, 9 * 86_400)];
        assert!(whys(&of(files(10))).contains("still writes to app.log.1"));
        assert_eq!(of(files(86_400)), [], "put away, and nothing to say since");
        let packed = vec![entry("/var/log/app.log", 0, 86_400, 86_400), entry("/var/log/app.log.1.gz", 500, 10, 10)];
        assert_eq!(of(packed), []);
    }

    #[test]
    fn the_appliance_is_silent_only_where_it_had_something_to_say() {
        let look = |log: Option<i64>, leases: i64, running: Option<&str>| {
            let log = log.map(|s| entry(appliance::DNSMASQ_LOG, 500, s, 9 * 86_400));
            let files = log.into_iter().chain([entry(appliance::LEASES, 9, leases, 86_400)]).collect();
            let running = running.map(|r| vec![r.to_owned()]);
            wrong(&Seen::new(Some(appliance::VMID), true, found(files), running, None, NOW), NOW)
        };
        let all = look(Some(7200), 60, Some("dnsmasq"));
        assert_eq!(all[0].log, LogSource::Dnsmasq);
        assert_eq!(whys(&all), "silent: dnsmasq runs and wrote its leases 1 h 59 min after the last line of its log");
        assert!(whys(&look(None, 60, Some("dnsmasq"))).contains("there is no /var/log/dnsmasq.log"));
        assert_eq!(look(Some(120), 60, Some("dnsmasq")), []);
        assert_eq!(look(Some(7200), 7200, Some("dnsmasq")), [], "nobody asked for a lease");
        assert_eq!(look(Some(7200), 60, Some("caddy")), [], "dnsmasq does not run, which is a finding of its own");
        assert_eq!(look(Some(7200), 60, None), [], "nobody looked whether it runs");
    }
}
