//! Unsolicited neighbour advertisement (RFC 4861 §4.4, RFC 9568 §6.4.2): tells hosts and bridges
//! where a virtual IPv6 address is now.

use std::net::{IpAddr, Ipv6Addr};

use super::checksum::Sum;
use super::ethernet::{self, TYPE_IPV6};
use super::{Mac, ipv6};

/// Next header of ICMPv6.
pub(super) const ICMPV6: u8 = 58;
/// ICMPv6 type of a neighbour advertisement.
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// R: the sender is a router.
const ROUTER: u8 = 0x80;
/// O: the link-layer address replaces what is known.
const OVERRIDE: u8 = 0x20;
/// Option "target link-layer address", and its length in units of 8 bytes.
const TARGET_LINK_LAYER: [u8; 2] = [2, 1];
/// Length of the message with its one option, in bytes.
const LEN: usize = 32;
/// All nodes on the link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Ethernet address of all nodes.
pub(super) const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

/// Whole frame of 86 bytes from `mac` and `address` to all nodes: target `address`, target
/// link-layer address `mac`, flags O and, with `router`, R (ND-3: a virtual router sets it).
#[must_use]
pub fn unsolicited_advertisement(mac: Mac, address: Ipv6Addr, router: bool) -> Vec<u8> {
    let mut message = [0; LEN];
    message[0] = NEIGHBOUR_ADVERTISEMENT;
    message[4] = if router { ROUTER | OVERRIDE } else { OVERRIDE };
    message[8..24].copy_from_slice(&address.octets());
    message[24..26].copy_from_slice(&TARGET_LINK_LAYER);
    message[26..32].copy_from_slice(&mac.0);
    let checksum = Sum::default()
        .bytes(&message)
        .pseudo_header(IpAddr::V6(address), IpAddr::V6(ALL_NODES), ICMPV6, LEN)
        .checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());

    let mut frame = Vec::with_capacity(ethernet::HEADER_LEN + ipv6::HEADER_LEN + LEN);
    frame.extend(ethernet::header(ALL_NODES_MAC, mac, TYPE_IPV6));
    frame.extend(ipv6::header(0, ICMPV6, address, ALL_NODES, LEN));
    frame.extend(message);
    frame
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::unsolicited_advertisement;
    use crate::wire::{Family, Mac, Vrid};

    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    /// ND-3: golden bytes.
    #[test]
    fn nd_3_unsolicited_advertisement() {
        let mac = Mac::of_virtual_router(Family::V6, Vrid::new(10).unwrap());
        let mut expected = vec![
            0x33, 0x33, 0, 0, 0, 1, 0, 0, 0x5e, 0, 2, 10, 0x86, 0xdd, //
            0x60, 0, 0, 0, 0, 0x20, 0x3a, 0xff,
        ];
        expected.extend(ADDRESS.octets());
        expected.extend(super::ALL_NODES.octets());
        expected.extend([0x88, 0, 0x79, 0x91, 0xa0, 0, 0, 0]);
        expected.extend(ADDRESS.octets());
        expected.extend([2, 1, 0, 0, 0x5e, 0, 2, 10]);
        assert_eq!(unsolicited_advertisement(mac, ADDRESS, true), expected);
    }

    /// A host with the address sets no R; the checksum follows.
    #[test]
    fn router_flag() {
        let frame = unsolicited_advertisement(Mac([2, 0, 0, 0, 0, 1]), ADDRESS, false);
        assert_eq!(frame.len(), 86);
        assert_eq!(frame[58], 0x20);
    }
}
