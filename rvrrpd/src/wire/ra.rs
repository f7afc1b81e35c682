//! Router advertisements and solicitations (RFC 4861 §4.1, §4.2), with router preferences
//! (RFC 4191) and the DNS options (RFC 8106).
//!
//! An advertisement is made of the configuration and of the virtual router alone, nothing of the
//! host is in it: whoever is Master sends the same bytes (RA-2).

use core::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::advert::Datagram;
use super::checksum::Sum;
use super::ethernet::{self, TYPE_IPV6};
use super::ndp::{ALL_NODES, ALL_NODES_MAC, ICMPV6};
use super::{Family, Mac, TTL, ipv6};

/// All routers on the link, whom hosts solicit (RFC 4861 §4.1).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// ICMPv6 type of a router solicitation.
pub const ROUTER_SOLICITATION: u8 = 133;
/// Most bytes of an advertisement, from the IPv6 header on: what every link carries (RFC 8200 §5).
pub const MOST_PACKET_LEN: usize = 1280;

/// ICMPv6 type of a router advertisement.
const ROUTER_ADVERTISEMENT: u8 = 134;
/// Length of both messages without options, in bytes.
const ADVERTISEMENT_LEN: usize = 16;
const SOLICITATION_LEN: usize = 8;
/// M and O: DHCPv6 has addresses, or other information.
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
/// L and A of a prefix.
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

// Option types: RFC 4861 §4.6, RFC 8106 §5.
const SOURCE_LINK_LAYER: u8 = 1;
const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;
const RDNSS: u8 = 25;
const DNSSL: u8 = 31;
/// Options are measured in units of so many bytes.
const UNIT: usize = 8;

/// What a router advertisement says of its router and link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouterAdvertisement {
    /// Hop limit that hosts send with; 0: not said.
    pub hop_limit: u8,
    /// M: addresses are to be had by DHCPv6.
    pub managed: bool,
    /// O: other information is to be had by DHCPv6.
    pub other: bool,
    /// Preference over other default routers; medium where the lifetime is 0 (RFC 4191 §2.2).
    pub preference: Preference,
    /// How long, in seconds, the router is a default router; 0: it is none.
    pub lifetime: u16,
    /// How long, in milliseconds, a confirmed neighbour counts as reachable; 0: not said.
    pub reachable_time: u32,
    /// Time, in milliseconds, between neighbour solicitations; 0: not said.
    pub retrans_timer: u32,
    /// MTU of the link in bytes; none: not said.
    pub mtu: Option<u32>,
    /// Prefixes of the link.
    pub prefixes: Vec<PrefixInformation>,
    /// Recursive DNS servers.
    pub rdnss: Vec<Ipv6Addr>,
    /// DNS search domains.
    pub dnssl: Vec<DomainName>,
    /// How long, in seconds, servers and domains may be used; 2³² − 1: for ever.
    pub dns_lifetime: u32,
}

/// A prefix of the link (RFC 4861 §4.6.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PrefixInformation {
    /// The prefix; all other bits are zero.
    pub prefix: Ipv6Addr,
    /// Its length in bits.
    pub length: u8,
    /// L: hosts reach its addresses without a router.
    pub on_link: bool,
    /// A: hosts make addresses of it by themselves.
    pub autonomous: bool,
    /// How long, in seconds, it is on the link; 2³² − 1: for ever.
    pub valid_lifetime: u32,
    /// How long, in seconds, addresses made of it are preferred; at most the valid lifetime.
    pub preferred_lifetime: u32,
}

/// Preference of a default router (RFC 4191 §2.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Preference {
    /// Only if there is no other one.
    Low,
    /// As any router that says nothing.
    #[default]
    Medium,
    /// Before the others.
    High,
}

impl Preference {
    /// Prf, two bits in two's complement, in their place among the flags.
    const fn bits(self) -> u8 {
        match self {
            Self::Low => 0b11 << 3,
            Self::Medium => 0,
            Self::High => 0b01 << 3,
        }
    }
}

/// A domain name in the form of the wire (RFC 1035 §3.1): labels with their lengths, uncompressed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DomainName(Vec<u8>);

impl DomainName {
    /// Longest label in bytes.
    const LONGEST_LABEL: usize = 63;
    /// Longest name in bytes.
    const LONGEST: usize = 255;

    /// The name that is written as `text`, with or without a final dot; none unless all labels
    /// have 1 to 63 letters, digits, `-` (inside) and `_`, and the whole has at most 255 bytes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut name = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            let is_right = label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                && !label.starts_with('-')
                && !label.ends_with('-');
            let len = u8::try_from(label.len()).ok()?;
            if !is_right || label.is_empty() || label.len() > Self::LONGEST_LABEL {
                return None;
            }
            name.push(len);
            name.extend(label.bytes());
        }
        name.push(0);
        (name.len() <= Self::LONGEST).then_some(Self(name))
    }
}

/// Without a final dot.
impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut first = true;
        while let Some((len, labels)) = rest.split_first()
            && let Some((label, others)) = labels.split_at_checked(usize::from(*len))
            && !label.is_empty()
        {
            if !first {
                f.write_str(".")?;
            }
            first = false;
            label.escape_ascii().fmt(f)?;
            rest = others;
        }
        Ok(())
    }
}

impl RouterAdvertisement {
    /// The one by which a router says that it is no default router any more (RFC 4861 §6.2.5).
    #[must_use]
    pub fn farewell(&self) -> Self {
        Self {
            lifetime: 0,
            preference: Preference::Medium,
            ..self.clone()
        }
    }

    /// Length in bytes, from the IPv6 header on.
    #[must_use]
    pub fn packet_len(&self) -> usize {
        ipv6::HEADER_LEN + self.message(Mac::BROADCAST).len()
    }

    /// Whole frame from `mac` and `source`, the virtual MAC and the virtual link-local address, to
    /// all nodes (RA-1).
    #[must_use]
    pub fn frame(&self, mac: Mac, source: Ipv6Addr) -> Vec<u8> {
        let mut message = self.message(mac);
        let checksum = sum(&message, source.into(), ALL_NODES.into()).checksum();
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        let mut frame = Vec::with_capacity(ethernet::HEADER_LEN + ipv6::HEADER_LEN + message.len());
        frame.extend(ethernet::header(ALL_NODES_MAC, mac, TYPE_IPV6));
        frame.extend(ipv6::header(0, ICMPV6, source, ALL_NODES, message.len()));
        frame.extend(message);
        frame
    }

    /// The message with checksum 0.
    fn message(&self, mac: Mac) -> Vec<u8> {
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = flag(self.managed, MANAGED) | flag(self.other, OTHER) | self.preference.bits();
        let mut message = Vec::with_capacity(ADVERTISEMENT_LEN + UNIT);
        message.extend([ROUTER_ADVERTISEMENT, 0, 0, 0, self.hop_limit, flags]);
        message.extend(self.lifetime.to_be_bytes());
        message.extend(self.reachable_time.to_be_bytes());
        message.extend(self.retrans_timer.to_be_bytes());
        option(&mut message, SOURCE_LINK_LAYER, &[&mac.0]);
        if let Some(mtu) = self.mtu {
            option(&mut message, MTU, &[&[0; 2], &mtu.to_be_bytes()]);
        }
        for prefix in &self.prefixes {
            let flags = flag(prefix.on_link, ON_LINK) | flag(prefix.autonomous, AUTONOMOUS);
            let parts: [&[u8]; 5] = [
                &[prefix.length, flags],
                &prefix.valid_lifetime.to_be_bytes(),
                &prefix.preferred_lifetime.to_be_bytes(),
                &[0; 4],
                &prefix.prefix.octets(),
            ];
            option(&mut message, PREFIX_INFORMATION, &parts);
        }
        let lifetime = self.dns_lifetime.to_be_bytes();
        if !self.rdnss.is_empty() {
            let servers: Vec<u8> = self.rdnss.iter().flat_map(Ipv6Addr::octets).collect();
            option(&mut message, RDNSS, &[&[0; 2], &lifetime, &servers]);
        }
        if !self.dnssl.is_empty() {
            let names: Vec<u8> = self.dnssl.iter().flat_map(|name| name.0.clone()).collect();
            option(&mut message, DNSSL, &[&[0; 2], &lifetime, &names]);
        }
        message
    }
}

/// Appends an option with these parts, filled up with zeros. One that is too long for its length
/// field is left out; [`MOST_PACKET_LEN`] is far below.
fn option(message: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let len = 2 + parts.iter().map(|part| part.len()).sum::<usize>();
    let Ok(units) = u8::try_from(len.div_ceil(UNIT)) else {
        return;
    };
    let end = message.len() + usize::from(units) * UNIT;
    message.extend([kind, units]);
    for part in parts {
        message.extend(*part);
    }
    message.resize(end, 0);
}

fn sum(message: &[u8], source: IpAddr, destination: IpAddr) -> Sum {
    // The only part with an odd length may be the message, so it is the last one.
    Sum::default()
        .pseudo_header(source, destination, ICMPV6, message.len())
        .bytes(message)
}

/// Why a packet is no valid router solicitation (RFC 4861 §6.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// It may come from beyond the link.
    #[error("hop limit is not 255")]
    HopLimit,
    /// Shorter than 8 bytes.
    #[error("too short")]
    Length,
    /// The checksum does not hold.
    #[error("wrong checksum")]
    Checksum,
    /// No router solicitation, or a code other than 0.
    #[error("wrong type or code")]
    Type,
    /// An option of length 0, or one that goes beyond the message.
    #[error("wrong length of an option")]
    Option,
    /// A source link-layer address although the source is unspecified.
    #[error("link-layer address of an unspecified source")]
    LinkLayer,
}

/// Checks what was received to be a router solicitation; all that it says is that somebody asks.
///
/// # Errors
/// The first rule of RFC 4861 §6.1.1 that it breaks.
pub fn check_solicitation(datagram: &Datagram<'_>) -> Result<(), Invalid> {
    let message = datagram.payload;
    if datagram.family != Family::V6 || datagram.ttl != TTL {
        return Err(Invalid::HopLimit);
    }
    let Some((header, mut options)) = message.split_first_chunk::<SOLICITATION_LEN>() else {
        return Err(Invalid::Length);
    };
    if !sum(message, datagram.source, datagram.destination).holds() {
        return Err(Invalid::Checksum);
    }
    if header[..2] != [ROUTER_SOLICITATION, 0] {
        return Err(Invalid::Type);
    }
    while let [kind, rest @ ..] = options {
        let len = rest.first().map_or(0, |units| usize::from(*units) * UNIT);
        let next = (len > 0).then(|| options.get(len..)).flatten();
        if *kind == SOURCE_LINK_LAYER && datagram.source.is_unspecified() {
            return Err(Invalid::LinkLayer);
        }
        options = next.ok_or(Invalid::Option)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Vrid;

    const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50);

    fn advertisement() -> RouterAdvertisement {
        RouterAdvertisement {
            hop_limit: 64,
            managed: false,
            other: false,
            preference: Preference::Medium,
            lifetime: 1800,
            reachable_time: 0,
            retrans_timer: 0,
            mtu: None,
            prefixes: Vec::new(),
            rdnss: Vec::new(),
            dnssl: Vec::new(),
            dns_lifetime: 1800,
        }
    }

    fn mac() -> Mac {
        Mac::of_virtual_router(Family::V6, Vrid::new(10).unwrap())
    }

    /// Headers of a message of this length and its first four bytes.
    fn beginning(len: u8, checksum: [u8; 2]) -> Vec<u8> {
        let mut bytes = vec![
            0x33, 0x33, 0, 0, 0, 1, 0, 0, 0x5e, 0, 2, 10, 0x86, 0xdd, //
            0x60, 0, 0, 0, 0, len, 0x3a, 0xff,
        ];
        bytes.extend(SOURCE.octets());
        bytes.extend(ALL_NODES.octets());
        bytes.extend([0x86, 0]);
        bytes.extend(checksum);
        bytes
    }

    /// RA-1: golden bytes of the least that is sent: source the virtual link-local, hop limit 255,
    /// the virtual MAC as Ethernet source and as source link-layer address.
    #[test]
    fn ra_1_least() {
        let mut expected = beginning(24, [0xd4, 0x13]);
        expected.extend([64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([1, 1, 0, 0, 0x5e, 0, 2, 10]);
        assert_eq!(advertisement().frame(mac(), SOURCE), expected);
        assert_eq!(advertisement().packet_len(), 64);
    }

    /// RA-1: golden bytes of all fields and options, in the order in which they stand.
    #[test]
    fn ra_1_all_options() {
        let prefix = PrefixInformation {
            prefix: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0),
            length: 64,
            on_link: true,
            autonomous: true,
            valid_lifetime: 2_592_000,
            preferred_lifetime: 604_800,
        };
        let all = RouterAdvertisement {
            hop_limit: 7,
            managed: true,
            other: true,
            preference: Preference::High,
            lifetime: 0x1234,
            reachable_time: 0x0001_0203,
            retrans_timer: 0x0405_0607,
            mtu: Some(1492),
            prefixes: vec![
                prefix,
                PrefixInformation {
                    prefix: Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0),
                    length: 48,
                    on_link: false,
                    autonomous: false,
                    valid_lifetime: u32::MAX,
                    preferred_lifetime: 0,
                },
            ],
            rdnss: vec![
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53),
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x53),
            ],
            dnssl: ["example.org", "a.example.net."]
                .map(|name| DomainName::new(name).unwrap())
                .into(),
            dns_lifetime: 0x0a0b_0c0d,
        };
        let frame = all.frame(mac(), SOURCE);
        let mut expected = beginning(176, [0x0f, 0x63]);
        expected.extend([7, 0xc8, 0x12, 0x34, 0, 1, 2, 3, 4, 5, 6, 7]);
        expected.extend([1, 1, 0, 0, 0x5e, 0, 2, 10]);
        expected.extend([5, 1, 0, 0, 0, 0, 0x05, 0xd4]);
        expected.extend([
            3, 4, 64, 0xc0, 0, 0x27, 0x8d, 0, 0, 0x09, 0x3a, 0x80, 0, 0, 0, 0,
        ]);
        expected.extend([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([3, 4, 48, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([25, 5, 0, 0, 0x0a, 0x0b, 0x0c, 0x0d]);
        expected.extend([
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53,
        ]);
        expected.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53]);
        expected.extend([31, 5, 0, 0, 0x0a, 0x0b, 0x0c, 0x0d]);
        expected.extend(b"\x07example\x03org\0\x01a\x07example\x03net\0");
        expected.resize(14 + 40 + 176, 0);
        assert_eq!(frame, expected);
        assert!(sum(&frame[54..], SOURCE.into(), ALL_NODES.into()).holds());
        assert_eq!(all.packet_len(), frame.len() - 14);
    }

    /// RFC 4191 §2.2: the preference in its two bits, medium with lifetime 0; all else stays.
    #[test]
    fn preference_and_farewell() {
        for (preference, flags) in [
            (Preference::Low, 0x18),
            (Preference::Medium, 0),
            (Preference::High, 0x08),
        ] {
            let one = RouterAdvertisement {
                preference,
                ..advertisement()
            };
            let frame = one.frame(mac(), SOURCE);
            assert_eq!(frame[59..62], [flags, 0x07, 0x08], "{preference:?}");
            let farewell = one.farewell().frame(mac(), SOURCE);
            assert_eq!(farewell[59..62], [0, 0, 0]);
            assert_eq!(
                (&farewell[..56], &farewell[62..]),
                (&frame[..56], &frame[62..])
            );
        }
    }

    #[test]
    fn domain_names() {
        let label = "x".repeat(63);
        let long = [label.as_str(); 3].join(".") + "." + &"x".repeat(61);
        for name in [
            "a",
            "a.b",
            "_dns.example.org.",
            "xn--bcher-kva.example",
            &label,
            &long,
        ] {
            let read = DomainName::new(name).expect(name);
            assert_eq!(read.to_string(), name.trim_end_matches('.'));
        }
        for name in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "-a",
            "a-",
            "bücher.example",
            "a.b..",
            "a\0",
            &(label.clone() + "x"),
            &(long.clone() + "x"),
        ] {
            assert_eq!(DomainName::new(name), None, "{name}");
        }
    }

    /// A solicitation of `source` with these bytes after the checksum, which is right.
    fn solicit(kind: [u8; 2], source: Ipv6Addr, rest: &[u8]) -> Vec<u8> {
        let mut message = vec![kind[0], kind[1], 0, 0];
        message.extend(rest);
        let checksum = sum(&message, source.into(), ALL_ROUTERS.into()).checksum();
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        message
    }

    fn check(source: Ipv6Addr, ttl: u8, payload: &[u8]) -> Result<(), Invalid> {
        check_solicitation(&Datagram {
            family: Family::V6,
            source: source.into(),
            destination: ALL_ROUTERS.into(),
            ttl,
            payload,
            ah: None,
        })
    }

    /// RFC 4861 §6.1.1: each rule is broken alone.
    #[test]
    fn solicitations_are_checked() {
        const NONE: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
        let rs = [133, 0];
        let link_layer = [0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1];
        let nonce = [0, 0, 0, 0, 14, 1, 1, 2, 3, 4, 5, 6];
        let with_link_layer = solicit(rs, HOST, &link_layer);
        assert_eq!(check(HOST, 255, &with_link_layer), Ok(()));
        assert_eq!(check(HOST, 255, &solicit(rs, HOST, &[0; 4])), Ok(()));
        assert_eq!(check(NONE, 255, &solicit(rs, NONE, &[0; 4])), Ok(()));
        assert_eq!(check(NONE, 255, &solicit(rs, NONE, &nonce)), Ok(()));
        // Reserved bits and unknown options mean nothing.
        assert_eq!(check(HOST, 255, &solicit(rs, HOST, &[0xff; 4])), Ok(()));

        for ttl in [0, 1, 64, 254] {
            assert_eq!(check(HOST, ttl, &with_link_layer), Err(Invalid::HopLimit));
        }
        for len in 0..8 {
            assert_eq!(
                check(HOST, 255, &with_link_layer[..len]),
                Err(Invalid::Length)
            );
        }
        let mut wrong = with_link_layer.clone();
        wrong[15] ^= 1;
        assert_eq!(check(HOST, 255, &wrong), Err(Invalid::Checksum));
        for kind in [[133, 1], [134, 0], [135, 0]] {
            let message = solicit(kind, HOST, &link_layer);
            assert_eq!(check(HOST, 255, &message), Err(Invalid::Type));
        }
        for option in [
            &[1, 0, 0, 0, 0, 0, 0, 0][..],
            &[1, 2, 0, 0, 0, 0, 0, 0],
            &[1],
            &[1, 1, 0],
        ] {
            let message = solicit(rs, HOST, &[&[0; 4], option].concat());
            assert_eq!(
                check(HOST, 255, &message),
                Err(Invalid::Option),
                "{option:?}"
            );
        }
        let message = solicit(rs, NONE, &link_layer);
        assert_eq!(check(NONE, 255, &message), Err(Invalid::LinkLayer));
    }

    proptest! {
        /// Any bytes: no panic, and what is accepted keeps every rule.
        #[test]
        fn any_bytes(rest in prop::collection::vec(any::<u8>(), 0..64), ttl: u8) {
            let message = solicit([133, 0], HOST, &rest);
            if check(HOST, ttl, &message).is_ok() {
                prop_assert!(ttl == 255 && message.len() >= 8 && message.len().is_multiple_of(8));
            }
            let _verdict = check(HOST, 255, &rest);
        }
    }
}
