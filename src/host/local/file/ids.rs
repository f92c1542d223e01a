//! Which number an owner inside a guest has on the host (user_namespaces(7)).

use crate::domain::guest::Vmid;

/// Ranges of one kind of owners: first inside, first on the host, how many.
type Ranges = Vec<(u32, u32, u32)>;

/// The owners of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    users: Ranges,
    groups: Ranges,
}

impl Ids {
    /// Of the kernel's own tables, `uid_map` and `gid_map`.
    pub(in crate::host::local) fn of_maps(users: &str, groups: &str) -> Option<Ids> {
        let ranges = |text: &str| text.lines().map(range).collect::<Option<Ranges>>().filter(|r| !r.is_empty());
        Some(Ids { users: ranges(users)?, groups: ranges(groups)? })
    }

    /// By the configuration of a container that does not run: its own ranges, else those that Proxmox gives.
    pub(super) fn of_conf(conf: &str) -> Option<Ids> {
        let own = || conf.lines().take_while(|l| !l.starts_with('['));
        let all = |kind: &str| -> Option<Ranges> {
            own().filter_map(|l| l.strip_prefix("lxc.idmap")?.trim_start_matches([':', '=', ' ']).strip_prefix(kind)).map(range).collect()
        };
        let (users, groups) = (all("u ")?, all("g ")?);
        if !users.is_empty() && !groups.is_empty() {
            return Some(Ids { users, groups });
        }
        let one = if own().any(|l| l.trim_end() == "unprivileged: 1") { (0, 100_000, 65_536) } else { (0, 0, u32::MAX) };
        Some(Ids { users: vec![one], groups: vec![one] })
    }

    /// An owner and a group as the host knows them.
    pub fn outside(&self, user: u32, group: u32, guest: Vmid) -> Result<(u32, u32), String> {
        let of = |ranges: &Ranges, id: u32| {
            let has = |(inside, _, count): &&(u32, u32, u32)| id.checked_sub(*inside).is_some_and(|n| n < *count);
            ranges.iter().find(has).and_then(|(inside, outside, _)| outside.checked_add(id - inside))
        };
        let both = of(&self.users, user).zip(of(&self.groups, group));
        both.ok_or_else(|| format!("its owner {user}:{group} cannot be in {guest}"))
    }
}

fn range(line: &str) -> Option<(u32, u32, u32)> {
    let numbers: Vec<u32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [inside, outside, count] = numbers.try_into().ok()?;
    Some((inside, outside, count))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_moved_as_the_kernel_moves_them() {
        let id: Vmid = "101".parse().unwrap();
        let ids = Ids::of_maps("         0     100000      65536\n", "0 100000 33\n33 33 1\n34 100034 65502\n").unwrap();
        assert_eq!(ids.outside(1000, 33, id), Ok((101_000, 33)));
        assert_eq!(ids.outside(65_536, 0, id).unwrap_err(), "its owner 65536:0 cannot be in 101");
        let of = |conf: &str, user| Ids::of_conf(conf).unwrap().outside(user, 5, id);
        assert_eq!(of("arch: amd64\nunprivileged: 1\n", 7), Ok((100_007, 100_005)));
        assert_eq!(of("arch: amd64\n[snap]\nunprivileged: 1\n", 7), Ok((7, 5)));
        assert_eq!(of("unprivileged: 1\nlxc.idmap: u 0 200000 1000\nlxc.idmap: g 0 300000 1000\n", 7), Ok((200_007, 300_005)));
        assert!(Ids::of_conf("lxc.idmap: u 0 x 1000\n").is_none() && Ids::of_maps("", "0 0 1").is_none());
    }
}
