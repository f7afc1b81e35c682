//! IPv6 (RFC 8200): the header in front of an advertisement or a neighbour advertisement.

use std::net::{IpAddr, Ipv6Addr};

use super::advert::Datagram;
use super::verdict::Reject;
use super::{Family, IP_PROTOCOL, TTL};

/// Length of the header in bytes.
pub(super) const HEADER_LEN: usize = 40;
/// Traffic class of an advertisement: that of the IPv4 one.
pub(super) const TRAFFIC_CLASS: u8 = 0xc0;

/// Header of a datagram of `payload_len` bytes with hop limit 255 and flow label 0.
pub(super) fn header(
    traffic_class: u8,
    next_header: u8,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    payload_len: usize,
) -> [u8; HEADER_LEN] {
    let payload_len = u16::try_from(payload_len).unwrap_or(u16::MAX);
    let mut header = [0; HEADER_LEN];
    header[0] = 0x60 | traffic_class >> 4;
    header[1] = traffic_class << 4;
    header[4..6].copy_from_slice(&payload_len.to_be_bytes());
    header[6] = next_header;
    header[7] = TTL;
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&destination.octets());
    header
}

/// The datagram in `bytes`, which begin with the header; cut at the payload length (V3-RX-13).
///
/// # Errors
/// [`Reject::IpHeader`], or [`Reject::NotVrrp`], also for a message behind an extension header,
/// which is not walked (V3-RX-14).
pub(super) fn parse(bytes: &[u8]) -> Result<Datagram<'_>, Reject> {
    let (fixed, rest) = bytes.split_first_chunk::<8>().ok_or(Reject::IpHeader)?;
    let (source, rest) = rest.split_first_chunk::<16>().ok_or(Reject::IpHeader)?;
    let (destination, rest) = rest.split_first_chunk::<16>().ok_or(Reject::IpHeader)?;
    let [version, _, _, _, len_high, len_low, next_header, hop_limit] = *fixed;
    if version >> 4 != 6 {
        return Err(Reject::IpHeader);
    }
    if next_header != IP_PROTOCOL {
        return Err(Reject::NotVrrp);
    }
    let payload_len = usize::from(u16::from_be_bytes([len_high, len_low]));
    Ok(Datagram {
        family: Family::V6,
        source: IpAddr::from(*source),
        destination: IpAddr::from(*destination),
        ttl: hop_limit,
        payload: rest.get(..payload_len).ok_or(Reject::IpHeader)?,
        ah: None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::{TRAFFIC_CLASS, header, parse};
    use crate::wire::verdict::Reject;
    use crate::wire::{GROUP_V6, IP_PROTOCOL};

    const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xc8);

    fn packet() -> Vec<u8> {
        let mut packet = header(TRAFFIC_CLASS, IP_PROTOCOL, SOURCE, GROUP_V6, 24).to_vec();
        packet.extend(1..=24);
        packet
    }

    #[test]
    fn golden_header() {
        assert_eq!(packet()[..8], [0x6c, 0, 0, 0, 0, 24, 112, 255]);
    }

    /// V3-RX-13: padding behind the payload length is not part of the message.
    #[test]
    fn v3_rx_13_cut_at_the_payload_length() {
        let mut bytes = packet();
        bytes.extend([0; 9]);
        let datagram = parse(&bytes).unwrap();
        assert_eq!(datagram.source, SOURCE);
        assert_eq!(datagram.destination, GROUP_V6);
        assert_eq!(datagram.ttl, 255);
        assert_eq!(datagram.payload, (1..=24).collect::<Vec<u8>>());
    }

    #[test]
    fn v3_rx_14_truncated_at_every_byte() {
        for len in 0..64 {
            assert_eq!(
                parse(&packet()[..len]),
                Err(Reject::IpHeader),
                "{len} bytes"
            );
        }
    }

    /// V3-RX-14: hop-by-hop, routing, fragment, AH and destination options are not walked.
    #[test]
    fn v3_rx_14_extension_headers() {
        for next_header in [0, 43, 44, 51, 60, 58] {
            let mut bytes = packet();
            bytes[6] = next_header;
            assert_eq!(parse(&bytes), Err(Reject::NotVrrp), "{next_header}");
        }
    }

    #[test]
    fn other_version() {
        let mut bytes = packet();
        bytes[0] = 0x4c;
        assert_eq!(parse(&bytes), Err(Reject::IpHeader));
    }
}
