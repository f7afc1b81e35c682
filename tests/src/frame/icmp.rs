//! ICMP echo over IPv4 (RFC 792).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::ip::{Packet, checksum, packet};
use super::{Frame, IPV4, Mac, array, ethernet};

/// An ICMP message over IPv4.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Icmp {
    /// IPv4 source.
    pub source: IpAddr,
    /// IPv4 destination.
    pub destination: IpAddr,
    /// 8 echo request, 0 echo reply.
    pub kind: u8,
    /// Identifier of an echo.
    pub identifier: u16,
    /// Sequence number of an echo.
    pub sequence: u16,
}

impl Icmp {
    /// The ICMP message in `frame`.
    #[must_use]
    pub fn decode(frame: &Frame) -> Option<Self> {
        if frame.ethertype() != IPV4 {
            return None;
        }
        let ip = Packet::decode(frame)?;
        if ip.protocol != 1 {
            return None;
        }
        Some(Self {
            source: ip.source,
            destination: ip.destination,
            kind: *ip.payload.first()?,
            identifier: u16::from_be_bytes(array(ip.payload, 4)?),
            sequence: u16::from_be_bytes(array(ip.payload, 6)?),
        })
    }

    /// An echo request as an ICMP message.
    #[must_use]
    pub fn echo(identifier: u16, sequence: u16) -> Vec<u8> {
        let mut message = vec![8, 0, 0, 0];
        message.extend(identifier.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        message.extend([0x5a; 16]);
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }

    /// An echo request as a whole frame.
    #[must_use]
    pub fn echo_frame(
        macs: (Mac, Mac),
        addresses: (Ipv4Addr, Ipv4Addr),
        identifier: u16,
        sequence: u16,
    ) -> Vec<u8> {
        let message = Self::echo(identifier, sequence);
        let ip = packet(addresses.0.into(), addresses.1.into(), 1, 64, 0, &message);
        ethernet(macs.1, macs.0, IPV4, &ip)
    }
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ICMP {} > {} type {} id {:04x} seq {}",
            self.source, self.destination, self.kind, self.identifier, self.sequence
        )
    }
}
