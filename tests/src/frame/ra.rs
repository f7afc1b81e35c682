//! Router advertisements and solicitations (RFC 4861 §4.1, §4.2).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::ip::{Packet, checksum, packet, pseudo_header};
use super::{Frame, IPV6, Mac, array, ethernet};

/// All routers on the link.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A router advertisement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ra {
    /// IPv6 source.
    pub source: IpAddr,
    /// IPv6 destination.
    pub destination: IpAddr,
    /// Hop limit.
    pub ttl: u8,
    /// Router lifetime in seconds.
    pub lifetime: u16,
    /// The message with zeros for its checksum.
    pub message: Vec<u8>,
    /// Whether the checksum is right.
    pub sum: bool,
}

impl Ra {
    /// The message in `frame`.
    #[must_use]
    pub fn decode(frame: &Frame) -> Option<Self> {
        if frame.ethertype() != IPV6 {
            return None;
        }
        let ip = Packet::decode(frame)?;
        if ip.protocol != 58 || ip.payload.first() != Some(&134) {
            return None;
        }
        let pseudo = pseudo_header(ip.source, ip.destination, 58, ip.payload.len());
        let mut message = ip.payload.to_vec();
        message.get_mut(2..4)?.fill(0);
        Some(Self {
            source: ip.source,
            destination: ip.destination,
            ttl: ip.ttl,
            lifetime: array(ip.payload, 6).map(u16::from_be_bytes)?,
            message,
            sum: checksum(&[&pseudo, ip.payload]) == 0,
        })
    }
}

impl fmt::Display for Ra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RA {} > {} lifetime {} ({} bytes)",
            self.source,
            self.destination,
            self.lifetime,
            self.message.len()
        )
    }
}

/// A router solicitation to be sent, right or wrong.
#[derive(Clone, Debug)]
pub struct RsSpec {
    /// Ethernet source.
    pub mac: Mac,
    /// IPv6 source.
    pub source: Ipv6Addr,
    /// Hop limit.
    pub ttl: u8,
    /// ICMPv6 code.
    pub code: u8,
    /// What stands behind the first four bytes: four reserved ones, then options.
    pub rest: Vec<u8>,
    /// Bits that are wrong in the checksum.
    pub wrong_sum: u16,
}

impl RsSpec {
    /// A right one with a source link-layer address.
    #[must_use]
    pub fn new(mac: Mac, source: Ipv6Addr) -> Self {
        let mut rest = vec![0, 0, 0, 0, 1, 1];
        rest.extend(mac.0);
        Self {
            mac,
            source,
            ttl: 255,
            code: 0,
            rest,
            wrong_sum: 0,
        }
    }

    /// The whole frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let (source, destination) = (self.source.into(), ALL_ROUTERS.into());
        let mut message = vec![133, self.code, 0, 0];
        message.extend(&self.rest);
        let pseudo = pseudo_header(source, destination, 58, message.len());
        let sum = checksum(&[&pseudo, &message]) ^ self.wrong_sum;
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let ip = packet(source, destination, 58, self.ttl, 0, &message);
        ethernet(Mac([0x33, 0x33, 0, 0, 0, 2]), self.mac, IPV6, &ip)
    }
}
