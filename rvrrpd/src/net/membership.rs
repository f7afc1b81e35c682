//! Whether an interface is a member of the VRRP group, by `/proc/net/igmp` and `/proc/net/igmp6`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv6Addr;

use crate::wire::{Family, GROUP_V4, GROUP_V6};

/// Whether the interface with this index has joined the group of the family, in the network
/// namespace of the calling thread.
///
/// # Errors
/// The list cannot be read: the kernel lacks the family or its multicast.
pub(super) fn is_member(index: u32, family: Family) -> io::Result<bool> {
    let list = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
    Ok(match family {
        Family::V4 => has_ipv4(&list("igmp")?, index),
        Family::V6 => has_ipv6(&list("igmp6")?, index),
    })
}

/// The IPv6 groups that the interface with this index has joined, in the network namespace of the
/// calling thread.
///
/// # Errors
/// As [`is_member`].
pub(super) fn groups_ipv6(index: u32) -> io::Result<BTreeSet<Ipv6Addr>> {
    let list = fs::read_to_string("/proc/thread-self/net/igmp6")?;
    Ok(ipv6_of(&list, index).collect())
}

/// A line `INDEX NAME : …` for an interface, then an indented one for each of its groups, which
/// begins with the address as a number in the byte order of the host.
fn has_ipv4(list: &str, index: u32) -> bool {
    let group = format!("{:08X}", u32::from_ne_bytes(GROUP_V4.octets()));
    let mut here = false;
    for line in list.lines() {
        let first = line.split_whitespace().next();
        if !line.starts_with([' ', '\t']) {
            here = first.and_then(|text| text.parse().ok()) == Some(index);
        } else if here && first == Some(&group) {
            return true;
        }
    }
    false
}

/// A line `INDEX NAME GROUP …` for each group, the address as 32 hexadecimal digits.
fn has_ipv6(list: &str, index: u32) -> bool {
    ipv6_of(list, index).any(|group| group == GROUP_V6)
}

fn ipv6_of(list: &str, index: u32) -> impl Iterator<Item = Ipv6Addr> {
    list.lines().filter_map(move |line| {
        let mut fields = line.split_whitespace();
        let here = fields.next().and_then(|text| text.parse().ok()) == Some(index);
        let group = u128::from_str_radix(fields.nth(1)?, 16).ok()?;
        here.then(|| Ipv6Addr::from_bits(group))
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
        assert_eq!(
            [2, 3, 4].map(|index| has_ipv4(&list, index)),
            [false, true, false]
        );
        let list = "2    eth0            ff020000000000000000000000000001     1 0000000C 0\n\
                    3    eth1            ff020000000000000000000000000012     1 0000000C 0\n";
        assert_eq!(
            [2, 3, 4].map(|index| has_ipv6(list, index)),
            [false, true, false]
        );
    }

    #[test]
    fn the_loopback_interface_is_no_member() {
        assert!(!is_member(1, Family::V4).unwrap());
    }
}
