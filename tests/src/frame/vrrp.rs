//! VRRP advertisements, version 2 (RFC 3768 §5.1) and 3 (RFC 9568 §5.1).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::ip::{Packet, checksum, packet, pseudo_header};
use super::{Frame, IPV4, IPV6, Mac, array, ethernet};

/// How the checksum of an advertisement was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sum {
    /// Over the message alone.
    Message,
    /// Over the message and a pseudo-header.
    PseudoHeader,
    /// Neither.
    Wrong,
}

/// A decoded advertisement with what carried it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Advert {
    /// Ethernet source.
    pub mac: Mac,
    /// Ethernet destination.
    pub group_mac: Mac,
    /// IP source.
    pub source: IpAddr,
    /// IP destination.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Whether the checksum of the IPv4 header is right.
    pub header_sum: bool,
    /// 2 or 3, or what else is there.
    pub version: u8,
    /// 1 is an advertisement.
    pub kind: u8,
    /// VRID.
    pub vrid: u8,
    /// Priority.
    pub priority: u8,
    /// Number of addresses as claimed.
    pub count: u8,
    /// Version 2: authentication type; 0 in version 3.
    pub auth_type: u8,
    /// Advertisement interval.
    pub interval: Duration,
    /// Verdict on the checksum.
    pub sum: Sum,
    /// Addresses, as many as are there.
    pub addresses: Vec<IpAddr>,
    /// Version 2: the 8 bytes of authentication data.
    pub auth_data: Vec<u8>,
    /// The whole VRRP message as the IP header delimits it, with a trailer.
    pub message: Vec<u8>,
    /// The Authentication Header in front of the message; empty where there is none.
    pub ah: Vec<u8>,
    /// The trailer of HMAC-SHA256 behind the message; empty where there is none.
    pub trailer: Vec<u8>,
    /// What follows the IP packet in the frame.
    pub padding: Vec<u8>,
}

impl Advert {
    /// The advertisement in `frame`; none where it is not of protocol 112 or shorter than 8 bytes.
    #[must_use]
    pub fn decode(frame: &Frame) -> Option<Self> {
        let ip = Packet::decode(frame)?;
        let (message, ah) = match (ip.protocol, ip.payload) {
            (112, message) => (message, Vec::new()),
            // An Authentication Header of 24 bytes in front (RFC 2402).
            (51, [112, 4, ..]) => (ip.payload.get(24..)?, ip.payload[..24].to_vec()),
            _ => return None,
        };
        let head: [u8; 8] = array(message, 0)?;
        let version = head[0] >> 4;
        let size = if ip.source.is_ipv4() { 4 } else { 16 };
        let list = &message[8..];
        let claimed = usize::from(head[3]) * size;
        let addresses = list[..claimed.min(list.len())]
            .chunks_exact(size)
            .map(|bytes| match size {
                4 => IpAddr::from(Ipv4Addr::from(array::<4>(bytes, 0).unwrap_or_default())),
                _ => IpAddr::from(Ipv6Addr::from(array::<16>(bytes, 0).unwrap_or_default())),
            })
            .collect();
        let interval = if version == 2 {
            Duration::from_secs(u64::from(head[5]))
        } else {
            Duration::from_millis(u64::from(u16::from_be_bytes([head[4] & 0x0f, head[5]])) * 10)
        };
        // Over IPv4 the checksum does not cover the trailer of HMAC-SHA256.
        let fixed = claimed + if version == 2 { 16 } else { 8 };
        let trailer = match message.get(fixed..) {
            Some(trailer) if trailer.len() == 28 => trailer.to_vec(),
            _ => Vec::new(),
        };
        let covered = if ip.source.is_ipv4() {
            &message[..message.len() - trailer.len()]
        } else {
            message
        };
        let pseudo = pseudo_header(ip.source, ip.destination, 112, covered.len());
        let sum = if ip.source.is_ipv4() && checksum(&[covered]) == 0 {
            Sum::Message
        } else if version == 3 && checksum(&[&pseudo, covered]) == 0 {
            Sum::PseudoHeader
        } else {
            Sum::Wrong
        };
        Some(Self {
            mac: frame.source(),
            group_mac: frame.destination(),
            source: ip.source,
            destination: ip.destination,
            ttl: ip.ttl,
            tos: ip.tos,
            header_sum: ip.header_sum,
            version,
            kind: head[0] & 0x0f,
            vrid: head[1],
            priority: head[2],
            count: head[3],
            auth_type: if version == 2 { head[4] } else { 0 },
            interval,
            sum,
            addresses,
            auth_data: list
                .get(claimed..list.len() - trailer.len())
                .unwrap_or_default()
                .to_vec(),
            message: message.to_vec(),
            ah,
            trailer,
            padding: ip.padding.to_vec(),
        })
    }

    /// Everything that a configuration decides: what two adverts of the same configuration share.
    #[must_use]
    pub fn fields(&self) -> String {
        format!(
            "v{} vrid {} prio {} auth {} {} interval {:?} {:?} sum {:?} from {} {} ttl {}",
            self.version,
            self.vrid,
            self.priority,
            self.auth_type,
            super::to_hex(&self.auth_data),
            self.interval,
            self.addresses,
            self.sum,
            self.mac,
            self.source,
            self.ttl
        )
    }
}

impl fmt::Display for Advert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "VRRPv{} {} > {} ttl {} vrid {} prio {} auth {} int {:?} {:?} sum {:?}",
            self.version,
            self.source,
            self.destination,
            self.ttl,
            self.vrid,
            self.priority,
            self.auth_type,
            self.interval,
            self.addresses,
            self.sum
        )
    }
}

/// An advertisement to inject. Every field can be set to something wrong.
#[derive(Clone, Debug)]
pub struct AdvertSpec {
    /// Version nibble.
    pub version: u8,
    /// Type nibble.
    pub kind: u8,
    /// VRID.
    pub vrid: u8,
    /// Priority.
    pub priority: u8,
    /// Count of addresses; none: as many as there are.
    pub count: Option<u8>,
    /// Version 2: authentication type.
    pub auth_type: u8,
    /// Seconds in version 2, centiseconds (with the reserved bits) in version 3.
    pub interval: u16,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Version 2: authentication data.
    pub auth_data: [u8; 8],
    /// How the checksum is made; [`Sum::Wrong`] is one off.
    pub sum: Sum,
    /// IP source.
    pub source: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Ethernet source; none: the virtual MAC.
    pub mac: Option<Mac>,
    /// To whom; none: to the group.
    pub peer: Option<(IpAddr, Mac)>,
}

impl AdvertSpec {
    /// A correct version 2 advertisement.
    #[must_use]
    pub fn v2(vrid: u8, priority: u8, seconds: u8, source: Ipv4Addr, vips: &[Ipv4Addr]) -> Self {
        Self {
            version: 2,
            interval: u16::from(seconds),
            ..Self::v3(vrid, priority, 0, source, vips)
        }
    }

    /// A correct version 3 advertisement over IPv4, checksum as RFC 9568 has it.
    #[must_use]
    pub fn v3(
        vrid: u8,
        priority: u8,
        centiseconds: u16,
        source: Ipv4Addr,
        vips: &[Ipv4Addr],
    ) -> Self {
        Self {
            version: 3,
            kind: 1,
            vrid,
            priority,
            count: None,
            auth_type: 0,
            interval: centiseconds,
            addresses: vips.iter().copied().map(IpAddr::from).collect(),
            auth_data: [0; 8],
            sum: Sum::Message,
            source: source.into(),
            ttl: 255,
            mac: None,
            peer: None,
        }
    }

    /// The VRRP message with its checksum.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let count = self.count.unwrap_or(self.addresses.len() as u8);
        let [high, low] = self.interval.to_be_bytes();
        let high = if self.version == 2 {
            self.auth_type
        } else {
            high
        };
        let mut bytes = vec![
            (self.version << 4) | self.kind,
            self.vrid,
            self.priority,
            count,
            high,
            low,
            0,
            0,
        ];
        for address in &self.addresses {
            match address {
                IpAddr::V4(address) => bytes.extend(address.octets()),
                IpAddr::V6(address) => bytes.extend(address.octets()),
            }
        }
        if self.version == 2 {
            bytes.extend(self.auth_data);
        }
        let sum = self.checksum(&bytes);
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// The checksum of `message`, whose own checksum is zero.
    fn checksum(&self, message: &[u8]) -> u16 {
        let pseudo = pseudo_header(self.source, self.destination(), 112, message.len());
        match self.sum {
            Sum::Message => checksum(&[message]),
            Sum::PseudoHeader => checksum(&[&pseudo, message]),
            Sum::Wrong => checksum(&[message]).wrapping_add(1),
        }
    }

    /// The peer, or the multicast group of the family.
    fn destination(&self) -> IpAddr {
        if let Some((peer, _)) = self.peer {
            return peer;
        }
        match self.source {
            IpAddr::V4(_) => Ipv4Addr::new(224, 0, 0, 18).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12).into(),
        }
    }

    /// The whole frame with this message in it.
    #[must_use]
    pub fn frame_of(&self, message: &[u8]) -> Vec<u8> {
        let ip = packet(
            self.source,
            self.destination(),
            112,
            self.ttl,
            0xc0,
            message,
        );
        let (group, mac, ethertype) = match self.source {
            IpAddr::V4(_) => (
                Mac([1, 0, 0x5e, 0, 0, 0x12]),
                Mac::virtual_v4(self.vrid),
                IPV4,
            ),
            IpAddr::V6(_) => (
                Mac([0x33, 0x33, 0, 0, 0, 0x12]),
                Mac::virtual_v6(self.vrid),
                IPV6,
            ),
        };
        let to = self.peer.map_or(group, |(_, mac)| mac);
        ethernet(to, self.mac.unwrap_or(mac), ethertype, &ip)
    }

    /// The whole frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        self.frame_of(&self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{hex, to_hex};
    use crate::sys::Stamp;

    /// V3-CK-4: golden messages that two independent implementations agree on, those of the form
    /// of RFC 9568 too, which tcpdump calls wrong.
    #[test]
    fn golden_messages() {
        let vips = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
        let source = Ipv4Addr::new(192, 0, 2, 251);
        let v2 = AdvertSpec::v2(10, 200, 1, source, &vips);
        assert_eq!(
            to_hex(&v2.message()),
            "210ac802000192edc0000201c00002020000000000000000"
        );
        let simple = AdvertSpec {
            auth_type: 1,
            auth_data: *b"secret\0\0",
            ..v2
        };
        assert_eq!(
            to_hex(&simple.message()),
            "210ac802010155a1c0000201c00002027365637265740000"
        );
        let v3 = AdvertSpec::v3(10, 200, 100, source, &vips);
        assert_eq!(to_hex(&v3.message()), "310ac8020064828ac0000201c0000202");
        let pseudo = AdvertSpec {
            sum: Sum::PseudoHeader,
            ..v3
        };
        assert_eq!(
            to_hex(&pseudo.message()),
            "310ac8020064defbc0000201c0000202"
        );
        let v6 = AdvertSpec {
            priority: 100,
            source: "fe80::c8".parse().unwrap(),
            addresses: vec!["fe80::1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            ..pseudo
        };
        assert_eq!(
            to_hex(&v6.message()),
            "310a640200643f5dfe80000000000000000000000000000120010db8000000000000000000000001"
        );
    }

    /// What is written is read back, and a wrong sum is seen.
    #[test]
    fn decode_inverts_encode() {
        let vips = [Ipv4Addr::new(192, 0, 2, 1)];
        for sum in [Sum::Message, Sum::PseudoHeader, Sum::Wrong] {
            let spec = AdvertSpec {
                sum,
                ..AdvertSpec::v3(10, 200, 100, Ipv4Addr::new(192, 0, 2, 251), &vips)
            };
            let mut bytes = spec.frame();
            bytes.extend([0; 14]);
            let frame = Frame {
                stamp: Stamp::default(),
                port: "r1".into(),
                bytes,
            };
            let advert = frame.advert().unwrap();
            assert_eq!(advert.sum, sum);
            assert_eq!(advert.padding, [0; 14]);
            assert!(advert.header_sum);
            assert_eq!(advert.addresses, [IpAddr::from(vips[0])]);
            assert_eq!(advert.interval, Duration::from_secs(1));
        }
        assert_eq!(hex("0a FF"), [10, 255]);
    }
}
