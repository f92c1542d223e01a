//! Large log files: beside less, lnav, ripgrep and tail at what each is good at.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use proximity::domain::log_page::{FileAsk, FileNews, PageAsk, Reading, Spot};
use proximity::host::file::{Begin, Reader, Told, Tree, stream};
use tokio_util::sync::CancellationToken;

use super::PROXIMITY;
use super::figures::{Table, Times, check, memory, ms, p50_p99, ratio, short};
use super::pty::{Term, command};

const LAST: &str = "this is the last line";
const ROUNDS: usize = 5;

/// One GiB of lines of 84 bytes; each tenth has status 500, ten have a rare word.
fn gib(home: &Path) -> PathBuf {
    let path = home.join("gib.log");
    if path.exists() {
        return path;
    }
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&path).unwrap());
    let count = (1usize << 30) / 84;
    for n in 0..count {
        let rare = if n % (count / 10) == count / 20 { "unicornfish" } else { "-----------" };
        let status = if n % 10 == 3 { 500 } else { 200 };
        writeln!(out, "2026-11-21T14:31:58Z INFO {n:010} GET /apps/files/{rare} status={status} 000012 ms").unwrap();
    }
    writeln!(out, "{LAST}").unwrap();
    out.into_inner().unwrap().sync_all().unwrap();
    path
}

fn shown(argv: &[&str], home: &Path) -> Option<Duration> {
    let mut term = Term::start(command(argv, home));
    let born = term.born;
    term.until_text(60, LAST).map(|at| at.saturating_duration_since(born))
}

/// S2: from the start of the program to the last line on the screen.
pub fn end(table: &mut Table, home: &Path) {
    let path = gib(home);
    let file = path.to_str().unwrap();
    let programs: [(&str, Vec<&str>); 3] =
        [("ours", vec![PROXIMITY, "logs", file, "-n", "38"]), ("less", vec!["less", "+G", file]), ("lnav", vec!["lnav", file])];
    let mut times: Vec<Times> = programs.iter().map(|_| Times::default()).collect();
    for round in 0..ROUNDS {
        let mut order: Vec<usize> = (0..programs.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for n in order {
            if let Some(took) = shown(&programs[n].1, home) {
                times[n].add(took);
            }
        }
    }
    let (ours, less, lnav) = (times[0].p50(), times[1].p50(), times[2].p50());
    table.row(
        "S2",
        "1 GiB: start to its last line on a screen",
        ms(ours),
        format!("less {}, lnav {}", ms(less), ms(lnav)),
        vec![check("<= 10 ms", ours <= 10.0), ratio(ours, Some(less), 2.0, "less"), ratio(ours, Some(lnav), 0.1, "lnav")],
    );
}

fn reader(path: &Path) -> (Reader, Receiver<FileNews>) {
    let (tell, news) = channel();
    let path = path.to_str().unwrap().to_owned();
    (Reader::start(Ok(Tree::machine()), path, move |n| tell.send(n).is_ok()).unwrap(), news)
}

/// Time to the first page with a line and to the end of the count, and what was counted.
fn filtered(path: &Path, words: &str, lines: usize) -> (Duration, Duration, Reading) {
    let begun = Instant::now();
    let (reader, news) = reader(path);
    reader.ask(FileAsk::Filter(words.into()));
    reader.ask(FileAsk::Page(PageAsk { nth: 1, spot: Spot::End, before: 40, after: 0, all: false }));
    let mut first = None;
    loop {
        match news.recv().unwrap() {
            FileNews::Page(page) if page.lines.len() >= lines && first.is_none() => first = Some(begun.elapsed()),
            FileNews::Reading(r) if r.looked == 100 && r.hits > 0 => return (first.unwrap_or_default(), begun.elapsed(), r),
            FileNews::Failed(why) => panic!("{why}"),
            _ => {}
        }
    }
}

fn rg(args: &[&str], path: &Path) -> Option<(Duration, u64)> {
    let begun = Instant::now();
    let out = Command::new("rg").args(args).arg(path).output().ok()?;
    Some((begun.elapsed(), String::from_utf8_lossy(&out.stdout).trim().parse().ok()?))
}

/// S6 and S7: a rare word, and a filter that passes most lines, against what ripgrep takes to count the same.
pub fn search(table: &mut Table, home: &Path, wanted: &str) {
    let path = gib(home);
    for (id, what, words, args, lines, most) in [
        ("S6", "a rare word, first hit / all counted", "unicornfish", ["-S", "-c", "unicornfish"], 1, 1.2),
        ("S7", "a filter that drops a tenth, first screen / complete", "!status=500", ["-S", "-vc", "status=500"], 40, 1.3),
        ("S7", "a filter that keeps a tenth, first screen / complete", "status=500", ["-S", "-c", "status=500"], 40, 1.3),
    ] {
        if id != wanted {
            continue;
        }
        let (mut first, mut whole, mut other) = (Times::default(), Times::default(), Times::default());
        let mut same = true;
        for round in 0..ROUNDS {
            let theirs = if round % 2 == 0 { rg(&args, &path) } else { None };
            let (one, all, reading) = filtered(&path, words, lines);
            let theirs = theirs.or_else(|| rg(&args, &path));
            first.add(one);
            whole.add(all);
            if let Some((took, count)) = theirs {
                other.add(took);
                same &= count == reading.hits;
            }
        }
        table.row(
            id,
            format!("1 GiB: {what}"),
            format!("{} / {}", ms(first.p50()), ms(whole.p50())),
            format!("rg {} {}", args[1], ms(other.p50())),
            vec![
                check("first <= 30 ms", first.p50() <= 30.0),
                ratio(whole.p50(), Some(other.p50()), most, "rg"),
                check("same count as rg", same),
            ],
        );
    }
}

/// S8: private memory that an open file takes, its lines and hits counted.
pub fn file_memory(table: &mut Table, home: &Path) {
    let path = gib(home);
    let before = memory(std::process::id()).0;
    let (reader, news) = reader(&path);
    reader.ask(FileAsk::Filter("status=500".into()));
    reader.ask(FileAsk::Page(PageAsk { nth: 1, spot: Spot::End, before: 160, after: 0, all: false }));
    while !matches!(news.recv().unwrap(), FileNews::Reading(r) if r.looked == 100 && r.counted == 100) {}
    let more = memory(std::process::id()).0 - before;
    table.row(
        "S8",
        "1 GiB open, lines and hits counted, private memory",
        format!("{} MiB", short(more)),
        "",
        vec![check("<= 8 MiB", more <= 8.0)],
    );
}

/// S5: from the writing of a line to a pipe's reader having it.
pub fn appended(table: &mut Table, home: &Path) {
    let path = home.join("grows.log");
    let of = |argv: &[&str]| {
        std::fs::write(&path, "begin\n").unwrap();
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        let mut child = Command::new(argv[0])
            .args(&argv[1..])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next();
        let mut times = Times::default();
        for n in 0..100 {
            std::thread::sleep(Duration::from_millis(20));
            let begun = Instant::now();
            writeln!(file, "line {n}").unwrap();
            lines.next();
            times.add(begun.elapsed());
        }
        let _ = child.kill();
        let _ = child.wait();
        times
    };
    let (ours, tail) = (of(&[PROXIMITY, "logs", "-f"]), of(&["tail", "-F"]));
    table.row(
        "S5",
        "an appended line after a silence, p50 / p99",
        p50_p99(&ours),
        format!("tail -F {}", p50_p99(&tail)),
        vec![check("p50 <= 20 ms", ours.p50() <= 20.0), check("p50 <= 2 ms, first after silence", ours.p50() <= 2.0)],
    );
}

/// S9: a file that is written as fast as one thread can is followed at the same time; every line is accounted for.
pub fn stream_speed(table: &mut Table, home: &Path) {
    const LINES: u64 = 5_000_000;
    let path = home.join("flood.log");
    std::fs::write(&path, "").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (begun, stop, name) = (Instant::now(), CancellationToken::new(), path.to_str().unwrap().to_owned());
    let writer = std::thread::spawn(move || {
        let mut out = std::io::BufWriter::with_capacity(16 << 10, std::fs::File::options().append(true).open(&path).unwrap());
        for n in 0..LINES {
            writeln!(out, "Nov 21 14:31:58 pve1 dnsmasq[88]: query[A] host-{n:07}.prox.local from 10.20.0.104").unwrap();
        }
        out.flush().unwrap();
    });
    let seen = runtime.block_on(async {
        let (told, mut hear) = tokio::sync::mpsc::channel(16);
        let reading = tokio::spawn(stream(Tree::machine(), name, Begin::All, told, stop.clone()));
        let mut seen = 0;
        while seen < LINES {
            match tokio::time::timeout(Duration::from_secs(20), hear.recv()).await {
                Ok(Some(Told::Lines(lines))) => seen += lines.len() as u64,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        stop.cancel();
        let _ = reading.await;
        seen
    });
    let rate = seen as f64 / begun.elapsed().as_secs_f64();
    writer.join().unwrap();
    table.row(
        "S9",
        "5,000,000 lines written and followed at once",
        format!("{} lines/s", short(rate)),
        "",
        vec![check(">= 1,000,000 lines/s", rate >= 1e6), check("all accounted for", seen == LINES)],
    );
}
