//! The frozen form of an entry: what is hashed, sealed and kept. A change of it gets a new version number and the old
//! one stays readable.
//!
//! ```text
//! "PXA" version=1 | seq u64 | epoch u32 | wall ms i64 | boottime ms u64 | phase u8 | of u64 | ending u8      42 bytes
//! decision u8 | exit? i32 | job? i64 | argv? 32 bytes | login uid? u32        ?: a byte 1 and the value, or a byte 0
//! boot id, operator, role, mode, action, object, title                       texts: length u16 and UTF-8
//! sudo user?, ssh?, tty?, key?, before?, after?, undo?                        length 65535: not there
//! ```
//!
//! Numbers are big endian. There is one form for each entry: whatever else is read is refused.

use super::{Decision, Deed, Ending, Entry, Phase, Who};
use crate::domain::stamp::Stamp;

const MAGIC: [u8; 4] = *b"PXA\x01";
/// Bytes that every entry begins with.
const HEAD: usize = 42;
const NO_TEXT: u16 = u16::MAX;
/// Bytes a short text keeps, and one that tells before or after.
const SHORT: usize = 512;
const LONG: usize = 4096;

/// These bytes are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What a chain is checked by, read without looking at the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heading {
    /// Number.
    pub seq: u64,
    /// Key of its seal.
    pub epoch: u32,
    /// Wall clock.
    pub at: Stamp,
    /// Intent, outcome or event; the exit status is not read.
    pub phase: Phase,
}

impl Heading {
    /// The heading of an entry in its frozen form.
    pub fn read(bytes: &[u8]) -> Result<Heading, Malformed> {
        let mut from = From(bytes);
        head(&mut from).map(|(heading, _)| heading)
    }
}

impl Entry {
    /// The frozen form. Texts are cut: 4096 bytes for before and after, 512 for all else.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(320);
        out.extend(MAGIC);
        out.extend(self.seq.to_be_bytes());
        out.extend(self.epoch.to_be_bytes());
        out.extend(self.at.0.to_be_bytes());
        out.extend(self.boottime_ms.to_be_bytes());
        let (phase, of, ending, exit) = match self.phase {
            Phase::Intent => (0, 0, 0, None),
            Phase::Outcome { of, ending, exit } => (1, of, ending_code(ending), exit),
            Phase::Event { ending } => (2, 0, ending_code(ending), None),
        };
        out.push(phase);
        out.extend(of.to_be_bytes());
        out.push(ending);
        let d = &self.deed;
        out.push(u8::from(d.decision == Decision::Refused));
        maybe(&mut out, exit.map(i32::to_be_bytes));
        maybe(&mut out, d.job.map(i64::to_be_bytes));
        maybe(&mut out, d.argv);
        maybe(&mut out, self.who.login_uid.map(u32::to_be_bytes));
        for text in [&self.boot_id, &d.operator, &d.role, &self.mode, &d.action, &d.object, &d.title] {
            put(&mut out, Some(text), SHORT);
        }
        let w = &self.who;
        for text in [&w.sudo_user, &w.ssh, &w.tty, &w.key] {
            put(&mut out, text.as_deref(), SHORT);
        }
        for text in [&d.before, &d.after, &d.undo] {
            put(&mut out, text.as_deref(), LONG);
        }
        out
    }

    /// The entry of a frozen form.
    pub fn read(bytes: &[u8]) -> Result<Entry, Malformed> {
        let mut from = From(bytes);
        let (heading, boottime_ms) = head(&mut from)?;
        let decision = match from.take()? {
            [0] => Decision::Allowed,
            [1] => Decision::Refused,
            _ => return Err(Malformed),
        };
        let status = from.maybe()?.map(i32::from_be_bytes);
        let phase = match (heading.phase, status) {
            (Phase::Outcome { of, ending, .. }, exit) => Phase::Outcome { of, ending, exit },
            (other, None) => other,
            _ => return Err(Malformed),
        };
        let job = from.maybe()?.map(i64::from_be_bytes);
        let argv = from.maybe()?;
        let login_uid = from.maybe()?.map(u32::from_be_bytes);
        let mut text = || from.text(SHORT)?.ok_or(Malformed);
        let (boot_id, operator, role, mode) = (text()?, text()?, text()?, text()?);
        let (action, object, title) = (text()?, text()?, text()?);
        let who = Who { login_uid, sudo_user: from.text(SHORT)?, ssh: from.text(SHORT)?, tty: from.text(SHORT)?, key: from.text(SHORT)? };
        let (before, after, undo) = (from.text(LONG)?, from.text(LONG)?, from.text(LONG)?);
        if !from.0.is_empty() {
            return Err(Malformed);
        }
        let deed = Deed { operator, role, action, object, title, decision, argv, before, after, undo, job };
        Ok(Entry { seq: heading.seq, epoch: heading.epoch, at: heading.at, boottime_ms, boot_id, who, mode, phase, deed })
    }
}

/// Heading and time since boot.
fn head(from: &mut From<'_>) -> Result<(Heading, u64), Malformed> {
    if from.0.len() < HEAD || from.take()? != MAGIC {
        return Err(Malformed);
    }
    let (seq, epoch) = (u64::from_be_bytes(from.take()?), u32::from_be_bytes(from.take()?));
    let at = Stamp(i64::from_be_bytes(from.take()?));
    let boottime_ms = u64::from_be_bytes(from.take()?);
    let [phase] = from.take()?;
    let of = u64::from_be_bytes(from.take()?);
    let [ending] = from.take()?;
    let phase = match (phase, of, ending) {
        (0, 0, 0) => Phase::Intent,
        (1, 1.., code) => Phase::Outcome { of, ending: ending_of(code)?, exit: None },
        (2, 0, code) => Phase::Event { ending: ending_of(code)? },
        _ => return Err(Malformed),
    };
    Ok((Heading { seq, epoch, at, phase }, boottime_ms))
}

fn ending_code(ending: Ending) -> u8 {
    match ending {
        Ending::Ok => 1,
        Ending::Warned => 2,
        Ending::Failed => 3,
        Ending::Cancelled => 4,
        Ending::Unknown => 5,
    }
}

fn ending_of(code: u8) -> Result<Ending, Malformed> {
    [Ending::Ok, Ending::Warned, Ending::Failed, Ending::Cancelled, Ending::Unknown]
        .into_iter()
        .find(|e| ending_code(*e) == code)
        .ok_or(Malformed)
}

fn maybe<const N: usize>(out: &mut Vec<u8>, value: Option<[u8; N]>) {
    out.push(value.is_some().into());
    out.extend(value.into_iter().flatten());
}

fn put(out: &mut Vec<u8>, text: Option<&str>, most: usize) {
    let Some(text) = text else { return out.extend(NO_TEXT.to_be_bytes()) };
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let cut = &text[..end];
    out.extend((cut.len() as u16).to_be_bytes());
    out.extend(cut.as_bytes());
}

/// What is left to read.
struct From<'a>(&'a [u8]);

impl From<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (now, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*now)
    }

    fn maybe<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Malformed> {
        match self.take()? {
            [0] => Ok(None),
            [1] => self.take().map(Some),
            _ => Err(Malformed),
        }
    }

    fn text(&mut self, most: usize) -> Result<Option<String>, Malformed> {
        let length = u16::from_be_bytes(self.take()?);
        if length == NO_TEXT {
            return Ok(None);
        }
        let (now, rest) = self.0.split_at_checked(length.into()).filter(|(now, _)| now.len() <= most).ok_or(Malformed)?;
        self.0 = rest;
        std::str::from_utf8(now).map(|t| Some(t.to_owned())).map_err(|_| Malformed)
    }
}
