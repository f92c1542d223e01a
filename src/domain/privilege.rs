//! The privileges of a Proxmox account: which this program needs and why, and which of them are missing.
//!
//! The table follows the commands of `pve` and the API reference of PVE 9 ("Required permissions" of each call).

use std::collections::{BTreeMap, BTreeSet};

/// A privilege we need.
#[derive(Debug, PartialEq, Eq)]
pub struct Need {
    /// Its name in Proxmox.
    pub name: &'static str,
    /// Where it must be held, for everything below.
    pub path: &'static str,
    /// What it is for, to go on after "to …".
    pub to: &'static str,
    /// The first release that has it.
    pub since: u32,
}

const fn need(name: &'static str, path: &'static str, to: &'static str) -> Need {
    Need { name, path, to, since: 7 }
}

/// Everything we need, in the order of the words below.
pub const NEEDS: [Need; 15] = [
    need("Sys.Audit", "/", "see the load of nodes, the cluster and all tasks"),
    need("Sys.Syslog", "/nodes", "read the journal of a node"),
    need("VM.Audit", "/vms", "see guests and how they are set up"),
    need("VM.PowerMgmt", "/vms", "start, stop, shut down and reboot guests"),
    need("VM.Backup", "/vms", "back guests up, and see the backups there are"),
    need("Datastore.Audit", "/storage", "see storages and the room in them"),
    need("Datastore.AllocateSpace", "/storage", "write backups, and the disks of a restore"),
    need("VM.Allocate", "/vms", "make the new guest of a restore"),
    need("VM.Config.Disk", "/vms", "give a restored guest its disks"),
    need("VM.Config.CPU", "/vms", "give a restored guest its cores"),
    need("VM.Config.Memory", "/vms", "give a restored guest its memory"),
    need("VM.Config.Network", "/vms", "give a restored guest its network"),
    need("VM.Config.Options", "/vms", "name a restored guest, and keep it from starting with the host"),
    need("Datastore.AllocateTemplate", "/storage", "fetch the template of a new container"),
    // Bridges ask for it since PVE 8.0.
    Need { since: 8, ..need("SDN.Use", "/sdn", "connect a guest to a bridge") },
];

/// What lets an account take over the host, far beyond the table.
const TOO_MUCH: [&str; 5] = ["Permissions.Modify", "Sys.Modify", "Sys.Console", "User.Modify", "Realm.Allocate"];

/// What an account holds, as `/access/permissions` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held(BTreeMap<String, BTreeMap<String, bool>>);

/// How well one need is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// Wherever it is needed.
    Yes,
    /// On these paths only.
    Partly(Vec<String>),
    /// Not at all.
    No,
}

impl Held {
    /// From path, privilege and whether it holds for everything below the path.
    pub fn new(all: impl IntoIterator<Item = (String, String, bool)>) -> Held {
        let mut held: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
        for (path, privilege, below) in all {
            held.entry(path).or_default().insert(privilege, below);
        }
        Held(held)
    }

    /// Whether nothing at all is held anywhere.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    /// How well a need is met.
    pub fn meets(&self, need: &Need) -> Met {
        // What is told of `/vms` takes the place of what `/` would hand down.
        let at = [need.path, "/"].into_iter().find_map(|path| self.0.get(path));
        // `/` itself is asked at `/` only, so there it need not hold below.
        if at.and_then(|held| held.get(need.name)).is_some_and(|below| *below || need.path == "/") {
            return Met::Yes;
        }
        let prefix = if need.path == "/" { "/".to_owned() } else { format!("{}/", need.path) };
        // A pool hands its privileges on guests and storages to its members.
        let under =
            |path: &str| path == need.path || path.starts_with(&prefix) || (path.starts_with("/pool/") && !need.name.starts_with("Sys."));
        let some: Vec<String> =
            self.0.iter().filter(|(path, held)| under(path) && held.contains_key(need.name)).map(|(path, _)| path.clone()).collect();
        if some.is_empty() { Met::No } else { Met::Partly(some) }
    }

    /// The needs of this major release that are not wholly met.
    pub fn missing(&self, major: u32) -> Vec<(&'static Need, Met)> {
        NEEDS.iter().filter(|n| n.since <= major).map(|n| (n, self.meets(n))).filter(|(_, met)| *met != Met::Yes).collect()
    }

    /// What is held that lets an account take over the host.
    pub fn too_much(&self) -> Vec<&'static str> {
        let all: BTreeSet<&str> = self.0.values().flat_map(|held| held.keys().map(String::as_str)).collect();
        TOO_MUCH.into_iter().filter(|p| all.contains(p)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn held(text: &str) -> Held {
        let all: BTreeMap<String, BTreeMap<String, u8>> = serde_json::from_str(text).unwrap();
        Held::new(all.into_iter().flat_map(|(path, p)| p.into_iter().map(move |(name, below)| (path.clone(), name, below == 1))))
    }

    #[test]
    fn root_has_all_of_it_and_more() {
        let root = held(include_str!("../../tests/recordings/pve-9.1/pvesh-access-permissions.out"));
        assert!(root.missing(9).is_empty());
        assert_eq!(root.too_much(), ["Permissions.Modify", "Sys.Modify", "Sys.Console", "User.Modify", "Realm.Allocate"]);
    }

    #[test]
    fn what_holds_for_one_guest_does_not_hold_for_all() {
        let some = held(
            r#"{"/":{"Sys.Audit":0},"/vms":{"VM.Audit":1},"/vms/100":{"VM.Audit":1,"VM.PowerMgmt":1},"/storage":{},"/pool/p":{"VM.Backup":1}}"#,
        );
        let missing = some.missing(9);
        let met = |name: &str| missing.iter().find(|(n, _)| n.name == name).map(|(_, met)| met.clone());
        assert_eq!(met("VM.Audit"), None);
        assert_eq!(met("Sys.Audit"), None);
        assert_eq!(met("VM.PowerMgmt"), Some(Met::Partly(vec!["/vms/100".into()])));
        assert_eq!(met("VM.Backup"), Some(Met::Partly(vec!["/pool/p".into()])));
        assert_eq!(met("SDN.Use"), Some(Met::No));
        assert!(!some.missing(7).iter().any(|(n, _)| n.name == "SDN.Use"));
        assert!(Held::default().is_empty() && Held::default().missing(9).len() == NEEDS.len());
    }
}
