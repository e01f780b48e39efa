//! Who a process that is not PID 1 itself may be.

use pinfold_proto::FailureKind;
use pinfold_sys::identity::Identity;
use rustix::fs::{Gid, Uid};
use rustix::thread::CapabilitySet;

use crate::failure::{Outcome, Refusal};
use crate::users::User;

/// What root of a sandbox may do, like in the usual container engines. Everything it allows is
/// still confined to the sandbox's own user namespace.
const ROOT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL);
/// Capabilities are numbered below this; the kernel knows 41 today.
const CAPABILITIES_END: u32 = 64;

/// What PID 1 itself may do, found once at boot: children only ever have less.
#[derive(Debug, Clone)]
pub(crate) struct Powers {
    uid: Uid,
    gid: Gid,
    held: CapabilitySet,
    /// In the bounding set and to be taken out of it.
    surplus: CapabilitySet,
    uids: IdMap,
    gids: IdMap,
}

impl Powers {
    pub(crate) fn find() -> rustix::io::Result<Self> {
        let held = rustix::thread::capabilities(None)?.effective;
        let mut surplus = CapabilitySet::empty();
        for number in 0..CAPABILITIES_END {
            let one = CapabilitySet::from_bits_retain(1 << number);
            // An error says that the kernel knows none from here on.
            let Ok(bounded) = rustix::thread::capability_is_in_bounding_set(one) else {
                break;
            };
            if bounded && !ROOT.contains(one) {
                surplus |= one;
            }
        }
        Ok(Self {
            uid: rustix::process::geteuid(),
            gid: rustix::process::getegid(),
            held,
            surplus,
            uids: IdMap::read("/proc/self/uid_map"),
            gids: IdMap::read("/proc/self/gid_map"),
        })
    }
}

/// The user, where this sandbox has it, ready to be taken on.
pub(crate) fn identity(user: &User, powers: &Powers) -> Outcome<Identity> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if !powers.uids.contains(user.uid) {
        return Err(unmapped("user", user.uid));
    }
    if !powers.gids.contains(user.gid) {
        return Err(unmapped("group", user.gid));
    }
    let may_set_groups = powers.held.contains(CapabilitySet::SETGID);
    let groups = user.groups.iter().filter(|gid| powers.gids.contains(**gid));
    // Without a range of ids of its own (rootless), a sandbox may not set groups at all.
    let may_set_groups = may_set_groups && !powers.gids.is_single();
    Ok(Identity {
        uid: (uid != powers.uid).then_some(uid),
        gid: (gid != powers.gid).then_some(gid),
        groups: may_set_groups.then(|| groups.map(|gid| Gid::from_raw(*gid)).collect()),
        surplus: powers.surplus,
        kept: if user.uid == 0 {
            powers.held & ROOT
        } else {
            CapabilitySet::empty()
        },
    })
}

fn unmapped(what: &str, id: u32) -> Refusal {
    let message = format!("this sandbox has no {what} {id}: it runs with fewer ids");
    Refusal::new(FailureKind::NoSuchUser, message)
}

/// Ranges of ids that exist in this user namespace (user_namespaces(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
struct IdMap(Vec<(u64, u64)>);

impl IdMap {
    fn read(path: &str) -> Self {
        // What cannot be read is not used to refuse anything: the kernel still does.
        std::fs::read_to_string(path).map_or(Self(vec![(0, 1 << 32)]), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let ranges = text.lines().filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
            let (inside, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
            Some((inside.ok()?, count.ok()?))
        });
        Self(ranges.collect())
    }

    fn contains(&self, id: u32) -> bool {
        self.0
            .iter()
            .any(|(first, count)| (*first..first + count).contains(&u64::from(id)))
    }

    fn is_single(&self) -> bool {
        self.0.iter().map(|(_, count)| count).sum::<u64>() <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_maps_tell_which_ids_exist() {
        let map = IdMap::parse("         0     100000      65536\n");
        assert!(map.contains(0) && map.contains(65_535));
        assert!(!map.contains(65_536) && !map.is_single());
        let single = IdMap::parse("0 1000 1\n");
        assert!(single.contains(0) && !single.contains(1) && single.is_single());
        assert!(IdMap::parse("0 0 4294967295\n").contains(u32::MAX - 1));
    }
}
