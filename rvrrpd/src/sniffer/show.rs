//! One frame as text, in the line style of rVRRPd.
//!
//! The fields come from the raw bytes, so that a packet which the daemon would refuse is shown as
//! far as it goes; the verdict is the daemon's own.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::advert::{Advert, ChecksumForm, Datagram};
use crate::wire::auth::AH_LEN;
use crate::wire::ethernet::{Frame, TYPE_IPV4, TYPE_IPV6};
use crate::wire::message::Message;
use crate::wire::verdict::Reject;
use crate::wire::{Family, IP_PROTOCOL, IP_PROTOCOL_AH, Mac};

/// Ethernet types of a VLAN tag, IEEE 802.1Q and 802.1ad.
const TYPES_VLAN: [u16; 2] = [0x8100, 0x88a8];
/// The VLAN identifier in a tag; 0 is a priority tag and no VLAN (IEEE 802.1Q §9.6).
const VLAN_MASK: u16 = 0x0fff;

/// The lines of a frame; none where it carries no VRRP on the interface itself.
pub(super) fn frame(bytes: &[u8]) -> Option<String> {
    let frame = untagged(Frame::parse(bytes)?)?;
    let (packet, datagram) = match frame.ethertype {
        TYPE_IPV4 => (
            Packet::from_ipv4(frame.payload)?,
            Datagram::from_ipv4(frame.payload),
        ),
        TYPE_IPV6 => (
            Packet::from_ipv6(frame.payload)?,
            Datagram::from_ipv6(frame.payload),
        ),
        _ => return None,
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = packet.write(frame.source, datagram, &mut text);
    Some(text)
}

/// The frame without its priority tag; none where it belongs to a VLAN.
fn untagged(frame: Frame<'_>) -> Option<Frame<'_>> {
    if !TYPES_VLAN.contains(&frame.ethertype) {
        return Some(frame);
    }
    let (tag, rest) = frame.payload.split_first_chunk()?;
    let (ethertype, payload) = rest.split_first_chunk()?;
    (u16::from_be_bytes(*tag) & VLAN_MASK == 0).then_some(Frame {
        ethertype: u16::from_be_bytes(*ethertype),
        payload,
        ..frame
    })
}

/// An IP packet of protocol 112, or of protocol 51 with 112 inside, right or wrong.
struct Packet<'a> {
    family: Family,
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    /// SPI and sequence number of the Authentication Header.
    ah: Option<(u32, u32)>,
    message: &'a [u8],
}

impl<'a> Packet<'a> {
    fn from_ipv4(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; 20] = bytes.first_chunk()?;
        let with_ah = match header[9] {
            IP_PROTOCOL => false,
            IP_PROTOCOL_AH => true,
            _ => return None,
        };
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let is_first_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
        let message = bytes.get(header_len.max(20)..total_len.min(bytes.len()));
        let address = |at: usize| {
            let octets = header[at..].first_chunk::<4>();
            IpAddr::V4(octets.map_or(Ipv4Addr::UNSPECIFIED, |octets| Ipv4Addr::from(*octets)))
        };
        let message = message.filter(|_| is_first_fragment).unwrap_or_default();
        let (ah, message) = if with_ah {
            let (ah, message) = authentication_header(message)?;
            (Some(ah), message)
        } else {
            (None, message)
        };
        Some(Self {
            family: Family::V4,
            source: address(12),
            destination: address(16),
            ttl: header[8],
            ah,
            message,
        })
    }

    fn from_ipv6(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<40>()?;
        if header[6] != IP_PROTOCOL {
            return None;
        }
        let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let address = |at: usize| {
            let octets = header[at..].first_chunk::<16>();
            IpAddr::V6(octets.map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets)))
        };
        Some(Self {
            family: Family::V6,
            source: address(8),
            destination: address(24),
            ttl: header[7],
            ah: None,
            message: &rest[..payload_len.min(rest.len())],
        })
    }

    fn write(
        &self,
        mac: Mac,
        datagram: Result<Datagram<'_>, Reject>,
        text: &mut String,
    ) -> std::fmt::Result {
        let field = |at: usize| self.message.get(at).copied();
        let version = field(0).map(|byte| byte >> 4);
        match version {
            Some(version) => writeln!(text, "VRRPv{version} Packet:")?,
            None => writeln!(text, "VRRP Packet:")?,
        }
        let (from, to, ttl) = (self.source, self.destination, self.ttl);
        writeln!(
            text,
            " Source: {from} ({mac}), Destination: {to}, TTL: {ttl}"
        )?;
        if let Some((spi, sequence)) = self.ah {
            writeln!(
                text,
                " Authentication Header: SPI 0x{spi:08x}, Sequence {sequence}"
            )?;
        }
        if let Some(byte) = field(0) {
            writeln!(text, " Version/Type: 0x{byte:02x}")?;
        }
        for (at, name) in [
            (1, "Virtual Router ID"),
            (2, "Priority"),
            (3, "IP Address Count"),
        ] {
            if let Some(number) = field(at) {
                writeln!(text, " {name}: {number}")?;
            }
        }
        if let (Some(high), Some(low)) = (field(4), field(5)) {
            if version == Some(3) {
                let centiseconds = u16::from_be_bytes([high & 0x0f, low]);
                writeln!(text, " Advertisement Interval: {centiseconds}cs")?;
            } else {
                writeln!(text, " Authentication Type: 0x{high:02X}")?;
                writeln!(text, " Advertisement Interval: {low}s")?;
            }
        }
        if let (Some(high), Some(low)) = (field(6), field(7)) {
            let checksum = u16::from_be_bytes([high, low]);
            let verdict = self.checksum_verdict();
            writeln!(text, " VRRP Checksum: 0x{checksum:04x} {verdict}")?;
        }
        self.write_addresses(text)?;
        let message = Message::parse(self.family, self.message).ok();
        if let Some(trailer) = message.and_then(|message| message.trailer()) {
            let (key, time) = (trailer.key_id(), trailer.sequence() >> 32);
            writeln!(text, " HMAC Trailer: Key {key}, Time {time}s")?;
        }
        match datagram.and_then(|datagram| Advert::check(&datagram)) {
            Ok(_) => Ok(()),
            Err(reject) => writeln!(text, " Malformed: {reject}"),
        }
    }

    fn checksum_verdict(&self) -> &'static str {
        let Ok(message) = Message::parse(self.family, self.message) else {
            return "not checked";
        };
        match message.verify_checksum(self.source, self.destination) {
            // IPv6 has no other form.
            Some(ChecksumForm::PseudoHeader) if self.family == Family::V4 => "ok (pseudo-header)",
            Some(ChecksumForm::Message | ChecksumForm::PseudoHeader) => "ok",
            None => "bad",
        }
    }

    /// The addresses that are really there, at most as many as are claimed.
    fn write_addresses(&self, text: &mut String) -> std::fmt::Result {
        let Some((header, body)) = self.message.split_first_chunk::<8>() else {
            return Ok(());
        };
        writeln!(text, " IP Address(es):")?;
        // Version 2 ends with 8 bytes of authentication data, which may be secret.
        let list = match header[0] >> 4 {
            2 => &body[..body.len().saturating_sub(8)],
            _ => body,
        };
        let addresses = list.chunks_exact(self.family.address_len());
        for bytes in addresses.take(usize::from(header[3])) {
            match (bytes.first_chunk::<16>(), bytes.first_chunk::<4>()) {
                (Some(octets), _) => writeln!(text, "  - {}", Ipv6Addr::from(*octets))?,
                (None, Some(octets)) => writeln!(text, "  - {}", Ipv4Addr::from(*octets))?,
                (None, None) => {}
            }
        }
        Ok(())
    }
}

/// SPI and sequence number of the Authentication Header in front of a message, and the message;
/// none where it protects another protocol.
fn authentication_header(payload: &[u8]) -> Option<((u32, u32), &[u8])> {
    let (header, message) = payload.split_first_chunk::<AH_LEN>()?;
    let [IP_PROTOCOL, _, _, _, a, b, c, d, e, f, g, h, ..] = *header else {
        return None;
    };
    let numbers = [[a, b, c, d], [e, f, g, h]].map(u32::from_be_bytes);
    Some((numbers.into(), message))
}

#[cfg(test)]
mod tests;
