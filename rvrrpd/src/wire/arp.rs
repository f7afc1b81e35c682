//! Gratuitous ARP (RFC 826, RFC 9568 §6.4.2): tells hosts and bridges where a virtual IPv4
//! address is now.

use std::net::Ipv4Addr;

use super::Mac;
use super::ethernet::{self, TYPE_ARP, TYPE_IPV4};

/// Hardware type of Ethernet.
const HARDWARE_ETHERNET: u16 = 1;
/// Operation "request"; RFC 3768 asks for it, and hosts take it more readily than a reply.
const REQUEST: u16 = 1;
/// Length of an ARP packet for Ethernet and IPv4, in bytes.
const LEN: usize = 28;

/// Whole frame of 42 bytes: a broadcast request from `mac` whose sender and target are both
/// `address`. The target hardware address is `mac` too (RFC 9568 §8.1.2, errata 7947 and 7949).
#[must_use]
pub fn gratuitous(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ethernet::HEADER_LEN + LEN);
    frame.extend(ethernet::header(Mac::BROADCAST, mac, TYPE_ARP));
    frame.extend(HARDWARE_ETHERNET.to_be_bytes());
    frame.extend(TYPE_IPV4.to_be_bytes());
    // Lengths of a hardware and of a protocol address.
    frame.extend([6, 4]);
    frame.extend(REQUEST.to_be_bytes());
    for _sender_then_target in 0..2 {
        frame.extend(mac.0);
        frame.extend(address.octets());
    }
    frame
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::gratuitous;
    use crate::wire::{Family, Mac, Vrid};

    /// ARP-3: golden bytes.
    #[test]
    fn arp_3_gratuitous_request() {
        let mac = Mac::of_virtual_router(Family::V4, Vrid::new(10).unwrap());
        let expected: [u8; 42] = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x5e, 0, 1, 10, 0x08, 0x06, //
            0, 1, 0x08, 0, 6, 4, 0, 1, //
            0, 0, 0x5e, 0, 1, 10, 192, 0, 2, 1, //
            0, 0, 0x5e, 0, 1, 10, 192, 0, 2, 1,
        ];
        assert_eq!(gratuitous(mac, Ipv4Addr::new(192, 0, 2, 1)), expected);
    }
}
