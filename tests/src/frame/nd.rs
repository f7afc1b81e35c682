//! Neighbor advertisements and solicitations (RFC 4861 §4.3, §4.4).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::ip::{Packet, checksum, packet, pseudo_header};
use super::{Frame, IPV6, Mac, array, ethernet};

/// A neighbor advertisement or solicitation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nd {
    /// 135 solicitation, 136 advertisement.
    pub kind: u8,
    /// IPv6 source.
    pub source: IpAddr,
    /// IPv6 destination.
    pub destination: IpAddr,
    /// Hop limit.
    pub ttl: u8,
    /// Advertisement: router flag.
    pub router: bool,
    /// Advertisement: solicited flag.
    pub solicited: bool,
    /// Advertisement: override flag.
    pub overrides: bool,
    /// Target address.
    pub target: Ipv6Addr,
    /// Source (1) or target (2) link-layer address option.
    pub link_layer: Option<Mac>,
    /// Whether the checksum is right.
    pub sum: bool,
}

impl Nd {
    /// The message in `frame`.
    #[must_use]
    pub fn decode(frame: &Frame) -> Option<Self> {
        if frame.ethertype() != IPV6 {
            return None;
        }
        let ip = Packet::decode(frame)?;
        let bytes = ip.payload;
        let kind = *bytes.first()?;
        if ip.protocol != 58 || !matches!(kind, 135 | 136) {
            return None;
        }
        let flags = *bytes.get(4)?;
        let pseudo = pseudo_header(ip.source, ip.destination, 58, bytes.len());
        let option = bytes
            .get(24..32)
            .filter(|option| option[0] == kind - 134 && option[1] == 1);
        Some(Self {
            kind,
            source: ip.source,
            destination: ip.destination,
            ttl: ip.ttl,
            router: flags & 0x80 != 0,
            solicited: flags & 0x40 != 0,
            overrides: flags & 0x20 != 0,
            target: array::<16>(bytes, 8)?.into(),
            link_layer: option.and_then(|option| array(option, 2)).map(Mac),
            sum: checksum(&[&pseudo, bytes]) == 0,
        })
    }

    /// A solicitation for `target` as a whole frame, to its solicited-node group.
    #[must_use]
    pub fn solicitation(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
        let [.., a, b, c] = target.octets();
        let mut group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).octets();
        group[13..].copy_from_slice(&[a, b, c]);
        let group_mac = Mac([0x33, 0x33, 0xff, a, b, c]);
        Self::solicitation_to(mac, source, target, (group.into(), group_mac))
    }

    /// The same to `target` itself at `target_mac`, as a host sends it that wants to know whether
    /// its neighbour is still there (RFC 4861 §7.3.3).
    #[must_use]
    pub fn probe(mac: Mac, source: Ipv6Addr, target: Ipv6Addr, target_mac: Mac) -> Vec<u8> {
        Self::solicitation_to(mac, source, target, (target, target_mac))
    }

    fn solicitation_to(
        mac: Mac,
        source: Ipv6Addr,
        target: Ipv6Addr,
        (to, to_mac): (Ipv6Addr, Mac),
    ) -> Vec<u8> {
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend(target.octets());
        message.extend([1, 1]);
        message.extend(mac.0);
        let pseudo = pseudo_header(source.into(), to.into(), 58, message.len());
        let sum = checksum(&[&pseudo, &message]);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let ip = packet(source.into(), to.into(), 58, 255, 0, &message);
        ethernet(to_mac, mac, IPV6, &ip)
    }
}

impl fmt::Display for Nd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.kind == 135 { "NS" } else { "NA" };
        write!(
            f,
            "{name} {} > {} target {} link-layer {:?} R={} S={} O={}",
            self.source,
            self.destination,
            self.target,
            self.link_layer,
            u8::from(self.router),
            u8::from(self.solicited),
            u8::from(self.overrides)
        )
    }
}
