//! Who may do what: roles, permissions, and the one table that joins them. Everything that is not in it is refused.
//!
//! A permission is made in the table below together with its line of policy, so there is none without. Whoever carries
//! something out asks [`authorize`] first: the command line before a command, the console before an effect, the
//! worker before a job.

use serde::{Deserialize, Serialize};

use super::backup::parse_name;
use super::fact::{LogSource, Wish};
use super::guest::Vmid;
use super::inside::pull::{PullWish, Target};
use super::inside::verify::VerifyWish;
use super::plan::{Plan, Purpose};

/// What an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything, also operators, vault and settings.
    Admin,
    /// All guests and their backups, but neither operators nor settings nor a shell.
    Operator,
    /// The guests that are assigned to him, and no others.
    ServiceOwner,
    /// Looks, and changes nothing.
    Viewer,
}

impl Role {
    /// All of them, in the order of the table's columns.
    pub const ALL: [Role; 4] = [Role::Admin, Role::Operator, Role::ServiceOwner, Role::Viewer];

    /// The word on the screen, on the command line and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Operator => "operator",
            Role::ServiceOwner => "service-owner",
            Role::Viewer => "viewer",
        }
    }

    /// The role of a word; `None` for a word nobody wrote.
    pub fn from_word(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.word() == word)
    }
}

/// How far a role reaches with a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Not at all.
    No,
    /// Guests that are assigned to the operator.
    Own,
    /// Everything.
    All,
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $permission:ident $words:literal: $admin:ident $operator:ident $owner:ident $viewer:ident;)*) => {
        /// Everything that reads or changes something.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission { $($(#[$doc])* $permission),* }

        impl Permission {
            /// All of them.
            pub const ALL: &[Permission] = &[$(Permission::$permission),*];

            /// What it is, as the end of "may not …".
            pub fn words(self) -> &'static str {
                match self { $(Permission::$permission => $words),* }
            }

            /// How far each role reaches with it, in the order of [`Role::ALL`].
            pub fn policy(self) -> [Reach; 4] {
                match self { $(Permission::$permission => [Reach::$admin, Reach::$operator, Reach::$owner, Reach::$viewer]),* }
            }
        }
    };
}

permissions! {
    //                                                                  admin operator service-owner viewer
    /// Manual, keys, configuration of the program.
    Help            "read the manual":                                  All All All All;
    /// Node, guests, storages, tasks, archives.
    Look            "look at this":                                     All All Own All;
    /// The network appliance: its leases name all guests.
    LookAppliance   "look at the network appliance":                    All All No  All;
    /// The standing logs: they tell of all guests.
    ReadLogs        "read the logs of the host":                        All All No  All;
    /// Any file of the host, or of a guest, as a log.
    ReadFile        "read files of the host and of guests":                           All No  No  No;
    /// Jobs and their logs.
    ReadJobs        "look at this job":                                 All All Own All;
    /// Asking a job to end.
    CancelJob       "cancel this job":                                  All All Own No;
    /// Start, stop, shut down, reboot.
    Power           "start or stop this guest":                         All All Own No;
    /// Taking away what killed jobs left: locks that nobody holds, files, half guests.
    Unlock          "take away locks and what killed jobs left":        All All No  No;
    /// Making a backup.
    Backup          "back this guest up":                               All All Own No;
    /// Building and changing the appliance: it changes the network of the host and of all apps.
    Appliance       "build or change the network appliance":            All No  No  No;
    /// Reserving, pinning and blocking ports.
    Ports           "publish apps, reserve, pin or block ports":                      All All No  No;
    /// Restoring beside: it makes a new guest.
    Restore         "restore backups":                                  All All No  No;
    /// Removing backups for good.
    Prune           "remove backups":                                   All No  No  No;
    /// Changing what is backed up or drilled by the clock.
    Schedule        "change schedules":                                 All No  No  No;
    /// A command or a shell inside a guest; as root there.
    Enter           "run commands inside guests":                       All No  No  No;
    /// Proving that the vault and its records open.
    VaultStatus     "open the vault":                                   All All All All;
    /// Rotation, recovery words, snapshots, export and import.
    KeepVault       "change or export the vault":                       All No  No  No;
    /// Names, roles and assignments of operators.
    ListOperators   "list the operators":                               All All No  No;
    /// Adding, removing and changing operators.
    ChangeOperators "change operators":                                 All No  No  No;
    /// One's own passphrase and second factor.
    OwnLogin        "change a passphrase or second factor of one's own": All All All All;
    /// Settings, without secrets.
    ReadSettings    "read the settings":                                All All No  All;
    /// Settings and credentials.
    ChangeSettings  "change settings":                                  All No  No  No;
    /// The audit log.
    ReadAudit       "read the audit log":                               All All No  No;
}

/// What a permission is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// The host, the store, or several things at once.
    Host,
    /// One guest.
    Guest(Vmid),
}

/// Somebody who wants to do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Name of the operator.
    pub name: String,
    /// His role.
    pub role: Role,
    /// Whether he may do anything at all.
    pub active: bool,
    /// The guests that are assigned to him; they limit a service owner only.
    pub guests: Vec<Vmid>,
    /// He is the Unix account that owns the store, and not one of the operators: roles cannot hold him.
    pub owner: bool,
}

impl Who {
    /// The Unix account that owns the store. Whoever can write the file is held by no row in it.
    pub fn owner(name: impl Into<String>) -> Who {
        Who { name: name.into(), role: Role::Admin, active: true, guests: Vec::new(), owner: true }
    }

    /// His role in a word; `owner` for the owner of the store, whom no role holds.
    pub fn word(&self) -> &'static str {
        if self.owner { "owner" } else { self.role.word() }
    }

    /// Whether a guest is his to look at.
    pub fn sees(&self, guest: Vmid) -> bool {
        authorize(Some(self), Permission::Look, Object::Guest(guest)).is_ok()
    }
}

/// Why something is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: String,
}

/// Says whether `who` may do this. `None` is somebody who has not proven who he is: he may read the manual.
pub fn authorize(who: Option<&Who>, permission: Permission, object: Object) -> Result<(), Refused> {
    let no = |why: String, hint: &str| Err(Refused { why, hint: hint.to_owned() });
    let Some(who) = who else {
        return match permission {
            Permission::Help => Ok(()),
            _ => no(format!("nobody is logged in, and nobody may {}", permission.words()), "unlock first"),
        };
    };
    if !who.active {
        return no(format!("{} is deactivated", who.name), "an admin can activate it: proximity operator activate NAME");
    }
    let [admin, operator, owner, viewer] = permission.policy();
    let reach = match who.role {
        Role::Admin => admin,
        Role::Operator => operator,
        Role::ServiceOwner => owner,
        Role::Viewer => viewer,
    };
    let (name, role) = (&who.name, who.role.word());
    match (reach, object) {
        (Reach::All, _) => Ok(()),
        // A list holds what is his; whoever makes it leaves the rest out.
        (Reach::Own, Object::Host) if matches!(permission, Permission::Look | Permission::ReadJobs) => Ok(()),
        (Reach::Own, Object::Guest(id)) if who.guests.contains(&id) => Ok(()),
        (Reach::Own, Object::Guest(id)) => {
            no(format!("guest {id} is not assigned to {name} ({role})"), "an admin can assign it: proximity operator assign NAME ID")
        }
        (Reach::Own | Reach::No, _) => {
            no(format!("{name} ({role}) may not {}", permission.words()), "ask an admin; roles: proximity manual operators")
        }
    }
}

/// What it takes to carry a plan out.
pub fn of_plan(plan: &Plan) -> (Permission, Object) {
    let permission = match plan.purpose {
        // Both read a whole guest, and change nothing of it.
        Purpose::Backup | Purpose::Verify | Purpose::Label => Permission::Backup,
        // A file of the host can be any file.
        Purpose::PullOut => Permission::ReadFile,
        Purpose::RestoreBeside | Purpose::RestoreInPlace | Purpose::Drill | Purpose::Swap | Purpose::Pull => Permission::Restore,
        Purpose::Prune | Purpose::Unprotect => Permission::Prune,
        Purpose::Schedule => Permission::Schedule,
        Purpose::Power => Permission::Power,
        Purpose::Unlock => Permission::Unlock,
        Purpose::Appliance | Purpose::Pin(_) => Permission::Appliance,
        Purpose::Publish(_) => Permission::Ports,
    };
    (permission, Object::Guest(plan.guest))
}

/// What it takes to have a wish planned.
pub fn of_wish(wish: &Wish) -> (Permission, Object) {
    match wish {
        Wish::Backup(w) => (Permission::Backup, Object::Guest(w.guest)),
        // Which guest it was stands in the archive; the plan knows.
        Wish::Restore(_) => (Permission::Restore, Object::Host),
        Wish::Prune(_) => (Permission::Prune, Object::Host),
        // The plan knows the guest and what is taken from it.
        Wish::Label(_) => (Permission::Look, Object::Host),
        Wish::Schedule(_) | Wish::Drills(_) => (Permission::Schedule, Object::Host),
        Wish::Verify(VerifyWish::Guest(id)) => (Permission::Backup, Object::Guest(*id)),
        Wish::Verify(VerifyWish::Archive(volid)) => {
            let of = parse_name(volid.rsplit('/').next().unwrap_or_default());
            (Permission::Backup, of.map_or(Object::Host, |(_, id, _)| Object::Guest(id)))
        }
        Wish::Verify(VerifyWish::All) => (Permission::Backup, Object::Host),
        Wish::Pull(PullWish { into: Target::Guest(id, _), .. }) => (Permission::Restore, Object::Guest(*id)),
        Wish::Pull(PullWish { into: Target::Host(_), .. }) => (Permission::ReadFile, Object::Host),
        Wish::Swap(wish) => (Permission::Restore, Object::Guest(wish.from)),
        Wish::Power(w) => (Permission::Power, Object::Guest(w.guest)),
        Wish::Unlock(w) => (Permission::Unlock, w.guest.map_or(Object::Host, Object::Guest)),
        Wish::Publish(_) => (Permission::Ports, Object::Host),
        Wish::Appliance(_) | Wish::KeepChange | Wish::Move(_) => (Permission::Appliance, Object::Host),
    }
}

/// What it takes to read a log. `job` is the guest that a job is about.
pub fn of_log(source: &LogSource, job: Option<Vmid>) -> (Permission, Object) {
    match source {
        LogSource::Dnsmasq | LogSource::Caddy | LogSource::Journal => (Permission::ReadLogs, Object::Host),
        LogSource::Job(_) => (Permission::ReadJobs, job.map_or(Object::Host, Object::Guest)),
        LogSource::File(_) => (Permission::ReadFile, Object::Host),
        // Whatever root reads in there: as much as a shell.
        LogSource::InGuest(id, _) => (Permission::ReadFile, Object::Guest(*id)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn who(role: Role) -> Who {
        Who { name: "x".into(), role, active: true, guests: vec!["101".parse().unwrap()], owner: false }
    }

    /// The policy once more, by hand: a change must be made here too. Columns: own guest, other guest, host as a whole.
    const EXPECTED: &str = "\
Help            admin +++  operator +++  service-owner +++  viewer +++
Look            admin +++  operator +++  service-owner +-+  viewer +++
LookAppliance   admin +++  operator +++  service-owner ---  viewer +++
ReadLogs        admin +++  operator +++  service-owner ---  viewer +++
ReadFile        admin +++  operator ---  service-owner ---  viewer ---
ReadJobs        admin +++  operator +++  service-owner +-+  viewer +++
CancelJob       admin +++  operator +++  service-owner +--  viewer ---
Power           admin +++  operator +++  service-owner +--  viewer ---
Unlock          admin +++  operator +++  service-owner ---  viewer ---
Backup          admin +++  operator +++  service-owner +--  viewer ---
Appliance       admin +++  operator ---  service-owner ---  viewer ---
Ports           admin +++  operator +++  service-owner ---  viewer ---
Restore         admin +++  operator +++  service-owner ---  viewer ---
Prune           admin +++  operator ---  service-owner ---  viewer ---
Schedule        admin +++  operator ---  service-owner ---  viewer ---
Enter           admin +++  operator ---  service-owner ---  viewer ---
VaultStatus     admin +++  operator +++  service-owner +++  viewer +++
KeepVault       admin +++  operator ---  service-owner ---  viewer ---
ListOperators   admin +++  operator +++  service-owner ---  viewer ---
ChangeOperators admin +++  operator ---  service-owner ---  viewer ---
OwnLogin        admin +++  operator +++  service-owner +++  viewer +++
ReadSettings    admin +++  operator +++  service-owner ---  viewer +++
ChangeSettings  admin +++  operator ---  service-owner ---  viewer ---
ReadAudit       admin +++  operator +++  service-owner ---  viewer ---
";

    #[test]
    fn the_whole_matrix_is_as_it_was_decided() {
        let objects = [Object::Guest("101".parse().unwrap()), Object::Guest("102".parse().unwrap()), Object::Host];
        let mut out = String::new();
        for permission in Permission::ALL {
            let cells = Role::ALL.map(|role| {
                let marks = objects.map(|o| if authorize(Some(&who(role)), *permission, o).is_ok() { '+' } else { '-' });
                format!("{} {}", role.word(), marks.iter().collect::<String>())
            });
            out.push_str(&format!("{:<15} {}\n", format!("{permission:?}"), cells.join("  ")));
        }
        assert_eq!(out, EXPECTED);
    }

    #[test]
    fn whoever_is_not_logged_in_or_not_active_may_nothing() {
        for permission in Permission::ALL {
            for object in [Object::Guest("101".parse().unwrap()), Object::Host] {
                assert_eq!(authorize(None, *permission, object).is_ok(), *permission == Permission::Help, "{permission:?}");
                for role in Role::ALL {
                    assert!(authorize(Some(&Who { active: false, ..who(role) }), *permission, object).is_err(), "{permission:?}");
                }
            }
        }
    }

    #[test]
    fn roles_have_words_that_lead_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_word(role.word()), Some(role));
        }
        assert_eq!(Role::from_word("root"), None);
    }
}
