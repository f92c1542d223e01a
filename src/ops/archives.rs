//! Lists backup archives: from the dump directories where a storage has one, else from pvesm's API answer.

use serde::Deserialize;

use crate::domain::backup::label::{self, Label};
use crate::domain::backup::{Archive, parse_name};
use crate::domain::cmd::Cmd;
use crate::domain::fact::ArchiveConf;
use crate::domain::guest::{Kind, Vmid};
use crate::domain::pve;
use crate::domain::stamp::Stamp;
use crate::domain::storage::Storage;
use crate::domain::world::{From, Gap, Part};
use crate::host::{Found, Host, HostError, Look};

/// All archives on all storages that take backups, newest first. Storages that do not answer are gaps.
pub async fn list(host: &dyn Host, storages: &Part<Vec<Storage>>, now: Stamp) -> Part<Vec<Archive>> {
    let all = match &storages.known {
        Ok(all) => all,
        Err(why) => return Part::unknown(why.clone(), now),
    };
    let (mut archives, mut gaps) = (Vec::new(), Vec::new());
    for storage in all.iter().filter(|s| s.takes("backup")) {
        let found = match (&storage.space, storage.dump_dir()) {
            (Err(why), _) if why == "not for this node" => continue,
            (Err(why), _) => Err(why.clone()),
            (Ok(_), Some(dir)) => in_dir(host, storage, &dir).await.map_err(|e| e.to_string()),
            (Ok(_), None) => by_api(host, storage).await.map_err(|e| e.to_string()),
        };
        match found {
            Ok(found) => archives.extend(found),
            Err(why) => gaps.push(Gap { what: format!("backups on {}", storage.id), why }),
        }
    }
    archives.sort_by(|a: &Archive, b| b.made.cmp(&a.made).then_with(|| a.volid.cmp(&b.volid)));
    Part::new(archives, now, From::Files).with_gaps(gaps)
}

async fn in_dir(host: &dyn Host, storage: &Storage, dir: &str) -> Result<Vec<Archive>, HostError> {
    let mut found = host.look(vec![Look::Dir(dir.into()), Look::Glob(format!("{dir}/*.notes"), 4096)]).await.into_iter();
    let names = match found.next() {
        Some(Ok(Found::Names(names))) => names,
        // The directory is made by the first backup.
        Some(Err(HostError::Missing { .. })) => return Ok(Vec::new()),
        Some(Err(e)) => return Err(e),
        _ => return Err(HostError::Io { what: dir.into(), why: "no answer".into() }),
    };
    let notes = match found.next() {
        Some(Ok(Found::Files(files))) => files,
        _ => Vec::new(),
    };
    let archives: Vec<&String> = names.iter().filter(|n| parse_name(n).is_some()).collect();
    let looks = archives.iter().map(|n| Look::Stat(format!("{dir}/{n}"))).collect();
    let mut out = Vec::new();
    for (name, stat) in archives.iter().zip(host.look(looks).await) {
        let Some((kind, id, civil)) = parse_name(name) else { continue };
        let (size, modified) = match stat {
            Ok(Found::Stat(s)) => (s.size, s.modified),
            // Removed between the two looks.
            Err(HostError::Missing { .. }) => continue,
            Err(e) => return Err(e),
            Ok(_) => continue,
        };
        let path = format!("{dir}/{name}.notes");
        let note = notes.binary_search_by(|(p, _)| p.cmp(&path)).ok().and_then(|at| notes[at].1.as_ref().ok());
        out.push(Archive {
            volid: format!("{}:backup/{name}", storage.id),
            storage: storage.id.clone(),
            vmid: Some(id),
            kind: Some(kind),
            made: host.local_time(civil).unwrap_or(modified),
            size: Some(size),
            notes: note.and_then(|b| String::from_utf8_lossy(b).lines().next().map(str::to_owned)),
            protected: names.binary_search(&format!("{name}.protected")).is_ok(),
            server_says: None,
        });
    }
    Ok(out)
}

/// A row of `/nodes/N/storage/S/content`; sizes may be missing, flags may be texts (facts §6.3, §16).
#[derive(Deserialize)]
struct Row {
    volid: String,
    ctime: Option<serde_json::Value>,
    size: Option<serde_json::Value>,
    subtype: Option<String>,
    vmid: Option<serde_json::Value>,
    notes: Option<String>,
    protected: Option<serde_json::Value>,
    /// `{"state":"ok","upid":"…"}`, of a backup server.
    verification: Option<serde_json::Value>,
}

async fn by_api(host: &dyn Host, storage: &Storage) -> Result<Vec<Archive>, HostError> {
    let path = format!("/nodes/localhost/storage/{}/content", storage.id);
    let out = host.run(pve::pvesh_get(&path, &[("content", "backup")])).await?;
    let rows: Vec<Row> = serde_json::from_slice(out.success()?.out).map_err(|e| HostError::Io { what: path, why: e.to_string() })?;
    let number = |v: &Option<serde_json::Value>| v.as_ref().and_then(|v| v.as_u64().or_else(|| v.as_str()?.parse().ok()));
    let one = |row: Row| Archive {
        storage: storage.id.clone(),
        vmid: number(&row.vmid).and_then(|n| u32::try_from(n).ok()).and_then(|n| Vmid::try_from(n).ok()),
        kind: match row.subtype.as_deref() {
            Some("lxc") => Some(Kind::Lxc),
            Some("qemu") => Some(Kind::Qemu),
            _ => None,
        },
        made: Stamp::from_secs(number(&row.ctime).and_then(|n| i64::try_from(n).ok()).unwrap_or(0)),
        size: number(&row.size),
        notes: row.notes,
        protected: number(&row.protected).is_some_and(|n| n > 0),
        server_says: row.verification.as_ref().and_then(|v| v.get("state")?.as_str()).map(|state| state == "ok"),
        volid: row.volid,
    };
    Ok(rows.into_iter().map(one).collect())
}

/// What stands on an archive now: all of its notes, and whether it is protected.
pub async fn label(host: &dyn Host, archive: &Archive) -> Result<Label, HostError> {
    label_by(host, label::question(archive)).await
}

/// The same by its question.
pub async fn label_by(host: &dyn Host, question: Cmd) -> Result<Label, HostError> {
    let what = question.shown();
    let out = host.run(question).await?;
    let bad = |why: String| HostError::Io { what: what.clone(), why };
    let value: serde_json::Value = serde_json::from_slice(out.success()?.out).map_err(|e| bad(e.to_string()))?;
    let Some(row) = value.as_object() else { return Err(bad("no object was answered".into())) };
    // 1, "1" or true, by version and by who asks.
    let protected = row.get("protected").is_some_and(|v| v.as_u64() == Some(1) || v.as_str() == Some("1") || v.as_bool() == Some(true));
    Ok(Label { notes: row.get("notes").and_then(|v| v.as_str()).unwrap_or("").trim_end().to_owned(), protected })
}

/// The configuration inside an archive, as a restore needs it.
pub async fn conf_in(host: &dyn Host, archive: &Archive) -> Result<ArchiveConf, HostError> {
    let out = host.run(pve::extract_config(&archive.volid).limit(120)).await?;
    let conf = String::from_utf8_lossy(out.success()?.out).into_owned();
    Ok(ArchiveConf { archive: archive.clone(), conf })
}
