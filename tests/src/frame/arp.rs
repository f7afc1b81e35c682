//! ARP over Ethernet (RFC 826).

use std::fmt;
use std::net::Ipv4Addr;

use super::{ARP, Frame, Mac, array, ethernet};

/// An ARP packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender hardware address.
    pub sender_mac: Mac,
    /// Sender protocol address.
    pub sender: Ipv4Addr,
    /// Target hardware address.
    pub target_mac: Mac,
    /// Target protocol address.
    pub target: Ipv4Addr,
}

impl Arp {
    /// The ARP packet in `frame`.
    #[must_use]
    pub fn decode(frame: &Frame) -> Option<Self> {
        let bytes = frame.payload();
        if frame.ethertype() != ARP || array(bytes, 0)? != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        Some(Self {
            operation: u16::from_be_bytes(array(bytes, 6)?),
            sender_mac: Mac(array(bytes, 8)?),
            sender: array::<4>(bytes, 14)?.into(),
            target_mac: Mac(array(bytes, 18)?),
            target: array::<4>(bytes, 24)?.into(),
        })
    }

    /// Whether it announces `address`: sender and target protocol address are the same.
    #[must_use]
    pub fn announces(&self, address: Ipv4Addr) -> bool {
        self.sender == address && self.target == address
    }

    /// Whether it is a reply for `address`.
    #[must_use]
    pub fn answers(&self, address: Ipv4Addr) -> bool {
        self.operation == 2 && self.sender == address
    }

    /// A request for `target`, broadcast, as a whole frame.
    #[must_use]
    pub fn request(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
        let packet = Self {
            operation: 1,
            sender_mac: mac,
            sender,
            target_mac: Mac([0; 6]),
            target,
        };
        ethernet(Mac::BROADCAST, mac, ARP, &packet.bytes())
    }

    /// The packet itself.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4];
        bytes.extend(self.operation.to_be_bytes());
        bytes.extend(self.sender_mac.0);
        bytes.extend(self.sender.octets());
        bytes.extend(self.target_mac.0);
        bytes.extend(self.target.octets());
        bytes
    }
}

impl fmt::Display for Arp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ARP op {} sender {} {} target {} {}",
            self.operation, self.sender, self.sender_mac, self.target, self.target_mac
        )
    }
}
