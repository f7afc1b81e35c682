//! Ethernet II: the header in front of every frame that is sent or sniffed.

use super::Mac;

/// EtherType of IPv4.
pub const TYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const TYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const TYPE_IPV6: u16 = 0x86dd;
/// Length of the header in bytes.
pub const HEADER_LEN: usize = 14;
/// Shortest frame that Ethernet carries, in bytes without the frame check sequence.
pub const MIN_FRAME_LEN: usize = 60;

/// The header: destination, source, EtherType.
pub(super) fn header(destination: Mac, source: Mac, ethertype: u16) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0..6].copy_from_slice(&destination.0);
    header[6..12].copy_from_slice(&source.0);
    header[12..14].copy_from_slice(&ethertype.to_be_bytes());
    header
}

/// One received frame. The payload may end with padding: only the layer above knows its length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// Destination address.
    pub destination: Mac,
    /// Source address.
    pub source: Mac,
    /// EtherType; a VLAN tag stands here as it came (0x8100) and is not walked.
    pub ethertype: u16,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Splits a frame; none if it is shorter than the header.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (destination, rest) = bytes.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let (ethertype, payload) = rest.split_first_chunk()?;
        Some(Self {
            destination: Mac(*destination),
            source: Mac(*source),
            ethertype: u16::from_be_bytes(*ethertype),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Frame, TYPE_ARP, header};
    use crate::wire::Mac;

    #[test]
    fn header_is_parsed_as_it_was_written() {
        let bytes = header(Mac::BROADCAST, Mac([0, 0, 0x5e, 0, 1, 10]), TYPE_ARP);
        assert_eq!(
            bytes,
            [
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x5e, 0, 1, 10, 0x08, 0x06
            ]
        );
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(frame.destination, Mac::BROADCAST);
        assert_eq!(frame.source, Mac([0, 0, 0x5e, 0, 1, 10]));
        assert_eq!(frame.ethertype, TYPE_ARP);
        assert!(frame.payload.is_empty());
        for len in 0..bytes.len() {
            assert_eq!(Frame::parse(&bytes[..len]), None, "{len} bytes");
        }
    }
}
