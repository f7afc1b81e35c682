//! IPv4 and IPv6 headers and the Internet checksum (RFC 1071).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Frame, IPV4, IPV6, array};

/// The Internet checksum of all `parts` in a row; each part but the last has an even length.
/// Over a message that holds its own correct checksum it is 0.
#[must_use]
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Pseudo-header of `length` bytes of `protocol` (RFC 793 for IPv4, RFC 8200 §8.1 for IPv6).
#[must_use]
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend([0, protocol]);
            bytes.extend((length as u16).to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend((length as u32).to_be_bytes());
            bytes.extend([0, 0, 0, protocol]);
        }
        _ => panic!("{source} and {destination} are of different families"),
    }
    bytes
}

/// A decoded IP packet inside a frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol or next header.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// IPv4: whether the header checksum is right; true for IPv6.
    pub header_sum: bool,
    /// What the header says is the payload.
    pub payload: &'a [u8],
    /// Bytes of the frame behind it.
    pub padding: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The packet in `frame`; none where it is not IP or is cut.
    #[must_use]
    pub fn decode(frame: &'a Frame) -> Option<Self> {
        let bytes = frame.payload();
        match frame.ethertype() {
            IPV4 => {
                let header = usize::from(bytes.first()? & 0x0f) * 4;
                let total = usize::from(u16::from_be_bytes(array(bytes, 2)?));
                if bytes[0] >> 4 != 4 || header < 20 || total < header || total > bytes.len() {
                    return None;
                }
                Some(Self {
                    source: Ipv4Addr::from(array::<4>(bytes, 12)?).into(),
                    destination: Ipv4Addr::from(array::<4>(bytes, 16)?).into(),
                    protocol: bytes[9],
                    ttl: bytes[8],
                    tos: bytes[1],
                    header_sum: checksum(&[&bytes[..header]]) == 0,
                    payload: &bytes[header..total],
                    padding: &bytes[total..],
                })
            }
            IPV6 => {
                let length = usize::from(u16::from_be_bytes(array(bytes, 4)?));
                Some(Self {
                    source: Ipv6Addr::from(array::<16>(bytes, 8)?).into(),
                    destination: Ipv6Addr::from(array::<16>(bytes, 24)?).into(),
                    protocol: bytes[6],
                    ttl: bytes[7],
                    tos: (bytes[0] << 4) | (bytes[1] >> 4),
                    header_sum: true,
                    payload: bytes.get(40..40 + length)?,
                    padding: bytes.get(40 + length..)?,
                })
            }
            _ => None,
        }
    }
}

/// An IPv4 or IPv6 packet without options, by the family of the addresses.
#[must_use]
pub fn packet(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ttl: u8,
    tos: u8,
    payload: &[u8],
) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut bytes = vec![0x45, tos];
            bytes.extend(((20 + payload.len()) as u16).to_be_bytes());
            bytes.extend([0, 0, 0, 0, ttl, protocol, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            let sum = checksum(&[&bytes]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            bytes.extend(payload);
            bytes
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut bytes = vec![0x60 | (tos >> 4), tos << 4, 0, 0];
            bytes.extend((payload.len() as u16).to_be_bytes());
            bytes.extend([protocol, ttl]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend(payload);
            bytes
        }
        _ => panic!("{source} and {destination} are of different families"),
    }
}
