//! Which interfaces are members of which groups, by `/proc/net/igmp` and `/proc/net/igmp6`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv6Addr;

use crate::wire::{Family, GROUP_V4, GROUP_V6};

/// The interfaces, by index, that have joined the group of each family. With a thousand macvlans
/// the lists are long: they are read once for all interfaces that somebody asks about.
#[derive(Debug)]
pub struct Members {
    v4: io::Result<BTreeSet<u32>>,
    v6: io::Result<BTreeSet<u32>>,
}

impl Members {
    /// Those of the network namespace of the calling thread.
    #[must_use]
    pub fn read() -> Self {
        let list = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        Self {
            v4: list("igmp").map(|list| of_ipv4(&list)),
            v6: list("igmp6").map(|list| of_ipv6(&list)),
        }
    }

    /// Whether the interface with this index has joined the group of the family.
    ///
    /// # Errors
    /// The list could not be read: the kernel lacks the family or its multicast.
    pub(super) fn has(&self, index: u32, family: Family) -> io::Result<bool> {
        let members = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        match members {
            Ok(members) => Ok(members.contains(&index)),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

/// The IPv6 groups that each interface has joined.
#[derive(Debug)]
pub struct GroupsIpv6(BTreeSet<(u32, Ipv6Addr)>);

impl GroupsIpv6 {
    /// Those of the network namespace of the calling thread.
    ///
    /// # Errors
    /// The list cannot be read: the kernel lacks IPv6 or its multicast.
    pub fn read() -> io::Result<Self> {
        let list = fs::read_to_string("/proc/thread-self/net/igmp6")?;
        Ok(Self(memberships_ipv6(&list).collect()))
    }

    /// Whether the interface with this index has joined this group.
    pub(super) fn has(&self, index: u32, group: Ipv6Addr) -> bool {
        self.0.contains(&(index, group))
    }
}

/// A line `INDEX NAME : …` for an interface, then an indented one for each of its groups, which
/// begins with the address as a number in the byte order of the host.
fn of_ipv4(list: &str) -> BTreeSet<u32> {
    let group = format!("{:08X}", u32::from_ne_bytes(GROUP_V4.octets()));
    let mut members = BTreeSet::new();
    let mut here: Option<u32> = None;
    for line in list.lines() {
        let first = line.split_whitespace().next();
        if !line.starts_with([' ', '\t']) {
            here = first.and_then(|text| text.parse().ok());
        } else if first == Some(&group) {
            members.extend(here);
        }
    }
    members
}

/// A line `INDEX NAME GROUP …` for each group, the address as 32 hexadecimal digits.
fn of_ipv6(list: &str) -> BTreeSet<u32> {
    let members = memberships_ipv6(list).filter(|(_, group)| *group == GROUP_V6);
    members.map(|(index, _)| index).collect()
}

fn memberships_ipv6(list: &str) -> impl Iterator<Item = (u32, Ipv6Addr)> {
    list.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let index = fields.next()?.parse().ok()?;
        let group = u128::from_str_radix(fields.nth(1)?, 16).ok()?;
        Some((index, Ipv6Addr::from_bits(group)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        let own = format!("{:08X}", u32::from_ne_bytes([224, 0, 0, 18]));
        let list = format!(
            "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
             2\teth0      :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
             3\teth1      :     2      V3\n\t\t\t\t{own}     1 0:00000000\t\t0\n\
             4\teth2      :     0      V3\n"
        );
        assert_eq!(of_ipv4(&list), BTreeSet::from([3]));
        let list = "2    eth0            ff020000000000000000000000000001     1 0000000C 0\n\
                    3    eth1            ff020000000000000000000000000012     1 0000000C 0\n";
        assert_eq!(of_ipv6(list), BTreeSet::from([3]));
    }

    #[test]
    fn the_loopback_interface_is_no_member() {
        assert!(!Members::read().has(1, Family::V4).unwrap());
    }
}
