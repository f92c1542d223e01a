//! What is written on an archive: its notes, and whether it is protected against removal. Both can be taken back.

use serde::{Deserialize, Serialize};

use super::Archive;
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::guest::Vmid;
use crate::domain::plan::{Check, Plan, Purpose, Refusal, Risk, Step};
use crate::domain::pve;
use crate::domain::stamp::bytes;
use crate::domain::world::World;

/// Notes may be so long, in characters: what vzdump takes.
const LONGEST: usize = 1024;

/// What is to be written on an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelWish {
    /// Which.
    pub volid: String,
    /// What.
    pub change: Change,
}

/// One of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Protect it, or no more.
    Protect(bool),
    /// These notes; nothing takes them away.
    Note(String),
}

/// What stands on an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// All of its notes; empty where there are none.
    pub notes: String,
    /// Protected against removal.
    pub protected: bool,
}

/// Notes as somebody typed them: lines of printable text. Why not, otherwise.
pub fn note(text: &str) -> Result<String, String> {
    let text = text.trim_end();
    if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\n') {
        return Err(format!("notes hold no control character ({:#04x})", u32::from(c)));
    }
    match text.chars().count() {
        n if n > LONGEST => Err(format!("notes of {n} characters; at most {LONGEST} are taken")),
        _ => Ok(text.to_owned()),
    }
}

/// The archive that a wish is about, and its guest.
pub fn archive<'w>(world: &'w World, volid: &str) -> Result<(&'w Archive, Vmid), Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new(format!("label {}", clean(volid)), why, hint);
    let archives = world.archives.known.as_ref().map_err(|why| refuse(format!("the backups are unknown: {why}"), "see doctor"))?;
    let archive = archives.iter().find(|a| a.volid == volid);
    let archive = archive.ok_or_else(|| refuse(format!("there is no archive {}", clean(volid)), "see backup list"))?;
    let guest = archive.vmid.ok_or_else(|| refuse("its name tells no guest".into(), "use the Proxmox page"))?;
    Ok((archive, guest))
}

/// The command that asks for all that stands on an archive.
pub fn question(archive: &Archive) -> Cmd {
    pve::pvesh_get(&path(archive), &[])
}

/// Proxmox takes the rest of this path as it is, with its colon and its slash.
fn path(archive: &Archive) -> String {
    format!("/nodes/localhost/storage/{}/content/{}", archive.storage, archive.volid)
}

/// The plan, knowing what stands on it now. A plan without steps where it stands there already.
pub fn plan(world: &World, wish: &LabelWish, now: &Label) -> Result<Plan, Refusal> {
    let (archive, guest) = archive(world, &wish.volid)?;
    let set = |key: &str, value: &str| pve::pvesh("set", &path(archive), &[(key, value)]);
    let on = |on: bool| if on { "1" } else { "0" };
    let volid = clean(&archive.volid);
    let (purpose, title, then, act, back) = match &wish.change {
        Change::Protect(true) => (
            Purpose::Label,
            format!("protect {volid}"),
            Label { protected: true, ..now.clone() },
            set("protected", "1"),
            set("protected", on(now.protected)),
        ),
        Change::Protect(false) => {
            let then = Label { protected: false, ..now.clone() };
            (Purpose::Unprotect, format!("protect {volid} no more"), then, set("protected", "0"), set("protected", on(now.protected)))
        }
        Change::Note(text) => {
            let text = note(text).map_err(|why| Refusal::new(format!("write on {volid}"), why, ""))?;
            let title = if text.is_empty() { format!("take the notes of {volid} away") } else { format!("write on {volid}") };
            (Purpose::Label, title, Label { notes: text.clone(), ..now.clone() }, set("notes", &text), set("notes", &now.notes))
        }
    };
    let mut facts = vec![format!("{}, {}", archive.made.rfc3339(), archive.size.map_or("its size is unknown".into(), bytes))];
    match &wish.change {
        Change::Note(_) if !now.notes.is_empty() => facts.push(format!("its notes now: {}", clean(&now.notes.replace('\n', " / ")))),
        Change::Note(_) => facts.push("it has no notes now".into()),
        Change::Protect(_) => facts.push(format!("it is {}protected now", if now.protected { "" } else { "not " })),
    }
    let unprotects = purpose == Purpose::Unprotect;
    let check = Check::Labelled { volid: archive.volid.clone(), question: question(archive), label: then.clone() };
    let steps = if then == *now { Vec::new() } else { vec![Step::run(title.clone(), act, check).undone_by(back)] };
    Ok(Plan {
        purpose,
        title,
        guest,
        host: world.place.host.clone(),
        facts,
        notes: if unprotects { vec!["retention and everybody may remove it from then on".into()] } else { Vec::new() },
        risk: if unprotects { Risk::Interrupts } else { Risk::Low },
        steps,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::stamp::Stamp;
    use crate::domain::world::{From, Part};

    const VOLID: &str = "local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst";

    fn world() -> World {
        let mut w = crate::domain::backup::tests::world();
        let archive = Archive {
            notes: Some("web".into()),
            ..crate::domain::backup::tests::archive(101, VOLID, Stamp::from_secs(1_787_796_003), 5 << 20)
        };
        w.archives = Part::new(vec![archive], Stamp(1), From::Files);
        w
    }

    fn planned(change: Change, notes: &str, protected: bool) -> Result<Plan, Refusal> {
        plan(&world(), &LabelWish { volid: VOLID.into(), change }, &Label { notes: notes.into(), protected })
    }

    #[test]
    fn plans_and_their_way_back() {
        let p = planned(Change::Note("before\nthe 'upgrade'".into()), "web\nold", true).unwrap();
        insta::assert_snapshot!(p.lines().join("\n"), @r"
        write on local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst
        1 write on local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst
            $ pvesh set /nodes/localhost/storage/local/content/local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst --notes 'before␊the '\''upgrade'\'''
            then: it has 20 bytes of notes, and is protected
            undo: pvesh set /nodes/localhost/storage/local/content/local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst --notes 'web␊old'
        2026-08-27T02:00:03Z, 5.0 MiB
        its notes now: web / old
        ");
        assert_eq!(p.risk, Risk::Low);
        let p = planned(Change::Protect(false), "", true).unwrap();
        insta::assert_snapshot!(p.lines().join("\n"), @"
        protect local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst no more
        1 protect local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst no more
            $ pvesh set /nodes/localhost/storage/local/content/local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst --protected 0
            then: it has no notes, and is not protected
            undo: pvesh set /nodes/localhost/storage/local/content/local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst --protected 1
        2026-08-27T02:00:03Z, 5.0 MiB
        it is protected now
        ! retention and everybody may remove it from then on
        ");
        assert_eq!((p.risk, p.purpose), (Risk::Interrupts, Purpose::Unprotect));
        assert!(planned(Change::Protect(true), "", true).unwrap().steps.is_empty(), "it holds already");
        assert!(planned(Change::Note("a\u{7}".into()), "", false).unwrap_err().why.contains("0x07"));
        assert!(planned(Change::Note("x".repeat(1025)), "", false).is_err());
        let other = LabelWish { volid: "local:backup/x".into(), change: Change::Protect(true) };
        assert!(plan(&world(), &other, &Label::default()).unwrap_err().why.starts_with("there is no archive"));
    }
}
