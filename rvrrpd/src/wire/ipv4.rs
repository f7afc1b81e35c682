//! IPv4 (RFC 791): the header in front of an advertisement.

use std::net::{IpAddr, Ipv4Addr};

use super::advert::Datagram;
use super::auth::Ah;
use super::checksum::Sum;
use super::verdict::Reject;
use super::{Family, IP_PROTOCOL, IP_PROTOCOL_AH, TTL};

/// Length of a header without options, in bytes.
pub(super) const HEADER_LEN: usize = 20;
/// Type of service of an advertisement: precedence 6, internetwork control.
const TOS: u8 = 0xc0;
/// "More fragments" and the fragment offset.
const FRAGMENT_MASK: u16 = 0x3fff;

/// Header of an advertisement of `payload_len` bytes: no options, identification and flags 0.
pub(super) fn header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload_len: usize,
) -> [u8; HEADER_LEN] {
    let total_len = u16::try_from(HEADER_LEN + payload_len).unwrap_or(u16::MAX);
    let mut header = [0; HEADER_LEN];
    header[0] = 0x45;
    header[1] = TOS;
    header[2..4].copy_from_slice(&total_len.to_be_bytes());
    header[8] = TTL;
    header[9] = IP_PROTOCOL;
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    let checksum = Sum::default().bytes(&header).checksum();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// The datagram in `bytes`, which begin with the header; cut at the total length, so that
/// Ethernet padding behind a short one does no harm (V3-RX-13).
///
/// The header checksum is not looked at: a raw socket delivers nothing with a wrong one.
///
/// # Errors
/// [`Reject::IpHeader`] or [`Reject::NotVrrp`] (V3-RX-14), [`Reject::AuthHeader`] (AUTH-RX-6).
pub(super) fn parse(bytes: &[u8]) -> Result<Datagram<'_>, Reject> {
    let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(Reject::IpHeader)?;
    let [
        version_ihl,
        _,
        len_high,
        len_low,
        _,
        _,
        fragment_high,
        fragment_low,
        ttl,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = *header;
    if version_ihl >> 4 != 4 {
        return Err(Reject::IpHeader);
    }
    // Before the rest of the header: what another protocol does is not our error.
    if protocol != IP_PROTOCOL && protocol != IP_PROTOCOL_AH {
        return Err(Reject::NotVrrp);
    }
    if u16::from_be_bytes([fragment_high, fragment_low]) & FRAGMENT_MASK != 0 {
        return Err(Reject::IpHeader);
    }
    let header_len = usize::from(version_ihl & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([len_high, len_low]));
    if header_len < HEADER_LEN {
        return Err(Reject::IpHeader);
    }
    // None where the header is longer than the datagram or the datagram than what came.
    let payload = bytes.get(header_len..total_len).ok_or(Reject::IpHeader)?;
    let (ah, payload) = if protocol == IP_PROTOCOL_AH {
        let ip = bytes.get(..header_len).ok_or(Reject::IpHeader)?;
        let (ah, payload) = Ah::parse(ip, payload)?;
        (Some(ah), payload)
    } else {
        (None, payload)
    };
    Ok(Datagram {
        family: Family::V4,
        source: IpAddr::from([s0, s1, s2, s3]),
        destination: IpAddr::from([d0, d1, d2, d3]),
        ttl,
        payload,
        ah,
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{header, parse};
    use crate::wire::GROUP_V4;
    use crate::wire::verdict::Reject;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 2);

    fn packet() -> Vec<u8> {
        let mut packet = header(SOURCE, GROUP_V4, 20).to_vec();
        packet.extend(1..=20);
        packet
    }

    /// Bytes that other implementations send for the same values.
    #[test]
    fn golden_header() {
        assert_eq!(
            header(SOURCE, GROUP_V4, 20),
            [
                0x45, 0xc0, 0x00, 0x28, 0, 0, 0, 0, 0xff, 0x70, 0xb5, 0xe8, 192, 168, 100, 2, 224,
                0, 0, 18
            ]
        );
    }

    /// V3-RX-13: padding behind the total length is not part of the message.
    #[test]
    fn v3_rx_13_cut_at_the_total_length() {
        let mut bytes = packet();
        bytes.extend([0; 6]);
        let datagram = parse(&bytes).unwrap();
        assert_eq!(datagram.source, SOURCE);
        assert_eq!(datagram.destination, GROUP_V4);
        assert_eq!(datagram.ttl, 255);
        assert_eq!(datagram.payload, (1..=20).collect::<Vec<u8>>());
    }

    /// V3-RX-14: the payload begins where the header length says, here behind a router alert.
    #[test]
    fn v3_rx_14_options_are_skipped() {
        let mut bytes = packet();
        bytes[0] = 0x46;
        bytes[3] += 4;
        bytes.splice(20..20, [0x94, 0x04, 0x00, 0x00]);
        assert_eq!(
            parse(&bytes).unwrap().payload,
            (1..=20).collect::<Vec<u8>>()
        );
    }

    /// V3-RX-14: header length under 5 words or over the datagram.
    #[test]
    fn v3_rx_14_bad_header_length() {
        for ihl in [0, 1, 4, 11, 15] {
            let mut bytes = packet();
            bytes[0] = 0x40 | ihl;
            assert_eq!(parse(&bytes), Err(Reject::IpHeader), "IHL {ihl}");
        }
        // Ten words are exactly the datagram: nothing is left for a message.
        let mut bytes = packet();
        bytes[0] = 0x4a;
        assert!(parse(&bytes).unwrap().payload.is_empty());
    }

    /// V3-RX-14: first, middle and last fragments; "don't fragment" is none.
    #[test]
    fn v3_rx_14_fragments() {
        for (flags, low) in [(0x20, 0), (0x20, 1), (0x00, 1), (0x1f, 0xff)] {
            let mut bytes = packet();
            bytes[6] = flags;
            bytes[7] = low;
            assert_eq!(parse(&bytes), Err(Reject::IpHeader), "{flags:02x}{low:02x}");
        }
        let mut bytes = packet();
        bytes[6] = 0x40;
        assert!(parse(&bytes).is_ok());
    }

    /// V3-RX-14: a total length beyond what came or inside the header.
    #[test]
    fn v3_rx_14_total_length() {
        for len in [0u16, 19, 41, 0xffff] {
            let mut bytes = packet();
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            assert_eq!(parse(&bytes), Err(Reject::IpHeader), "total length {len}");
        }
        for len in 0..40 {
            assert_eq!(
                parse(&packet()[..len]),
                Err(Reject::IpHeader),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn other_versions_and_protocols() {
        let mut bytes = packet();
        bytes[0] = 0x65;
        assert_eq!(parse(&bytes), Err(Reject::IpHeader));
        // AH in front of something else, and a fragment of TCP.
        let mut bytes = packet();
        bytes[9] = 51;
        assert_eq!(parse(&bytes), Err(Reject::NotVrrp));
        bytes[6] = 0x20;
        bytes[9] = 6;
        assert_eq!(parse(&bytes), Err(Reject::NotVrrp));
    }
}
