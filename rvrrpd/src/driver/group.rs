//! The link group of our macvlans: by it they are told from those of other daemons in the same
//! network namespace, and as long as a daemon lives it holds the number of its group.
//!
//! The hold is the name of an abstract Unix socket: there is one of a name in each network namespace,
//! and it goes with the process, however that ends.

use std::collections::BTreeSet;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::Link;

/// Link group of our macvlans, "VRRP"; the next one where somebody else uses it.
const FIRST: u32 = 0x5652_5250;
/// How many groups there may be, two for each daemon in a network namespace: one more for the moment
/// when some of many leave.
const GROUPS: u32 = 0x1000;
const EACH: u32 = 2;

/// A group that is ours while this is there.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) number: u32,
    _hold: Option<UnixDatagram>,
}

impl Group {
    /// A group that no link here is of and no living daemon holds.
    pub(super) fn free(links: &[Link]) -> Self {
        let used: BTreeSet<u32> = links.iter().map(|link| base(link.group)).collect();
        let groups = FIRST..FIRST + GROUPS;
        let mut free = groups
            .step_by(EACH as usize)
            .filter(|group| !used.contains(group));
        let held = free.find_map(|number| Some((number, hold(number).ok()?)));
        match held {
            Some((number, hold)) => Self {
                number,
                _hold: Some(hold),
            },
            None => Self {
                number: FIRST,
                _hold: None,
            },
        }
    }
}

/// Whether a link group is one of those that rvrrpd uses.
pub(super) const fn is_ours(group: u32) -> bool {
    matches!(group.checked_sub(FIRST), Some(0..GROUPS))
}

/// Whether the daemon lives whose macvlans are of this group, in the network namespace of the calling
/// thread.
pub(super) fn is_held(group: u32) -> bool {
    let tried = is_ours(group).then(|| hold(base(group)));
    tried.is_some_and(|tried| tried.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse))
}

/// The first of the groups of a daemon.
const fn base(group: u32) -> u32 {
    match group.checked_sub(FIRST) {
        Some(place) => group - place % EACH,
        None => group,
    }
}

fn hold(group: u32) -> io::Result<UnixDatagram> {
    let name = SocketAddr::from_abstract_name(format!("rvrrpd-group-{group}"))?;
    UnixDatagram::bind_addr(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_held_as_long_as_its_daemon_lives() {
        let first = Group::free(&[]);
        let second = Group::free(&[]);
        assert_ne!(first.number, second.number);
        assert!(is_ours(first.number) && is_held(first.number));
        assert!(is_held(first.number + 1), "that of who leaves");
        assert!(!is_held(0) && !is_held(FIRST - 1));
        let number = first.number;
        drop(first);
        assert!(!is_held(number));
        assert!(is_held(second.number));
    }
}
