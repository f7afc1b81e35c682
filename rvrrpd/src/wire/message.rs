//! A VRRP message whose structure holds: version, type, count and length. Whether it may be
//! believed is decided elsewhere; this alone is enough to show it.

use std::net::IpAddr;
use std::time::Duration;

use super::auth::{TRAILER_LEN, Trailer};
use super::checksum::Sum;
use super::verdict::Reject;
use super::{Family, IP_PROTOCOL, Version, auth, v2, v3};

/// Length of the part that all messages have, in bytes.
pub const HEADER_LEN: usize = 8;
/// Type ADVERTISEMENT, the only one (RFC 9568 §5.2.2).
pub(super) const TYPE_ADVERTISEMENT: u8 = 1;

/// What the checksum of a message covers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ChecksumForm {
    /// The message alone: version 2; version 3 over IPv4 as RFC 9568 §5.2.8 says.
    Message,
    /// Pseudo-header and message: version 3 over IPv6; version 3 over IPv4 as RFC 5798 §5.2.8 was
    /// read by FRR and keepalived.
    PseudoHeader,
}

/// View of one message of exactly the length that its address count asks for, alone or with an
/// HMAC trailer behind it.
///
/// TTL, checksum and VRID have not been looked at: this is for showing what is on the wire. An
/// [`Advert`](super::advert::Advert) is a message for which they hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    family: Family,
    version: Version,
    /// The message without the trailer.
    bytes: &'a [u8],
    /// Both.
    payload: &'a [u8],
    header: &'a [u8; HEADER_LEN],
    list: &'a [u8],
    auth_data: Option<&'a [u8; auth::DATA_LEN]>,
    trailer: Option<Trailer<'a>>,
}

impl<'a> Message<'a> {
    /// Reads the message that is the whole of `payload`, what a datagram of `family` carries.
    ///
    /// # Errors
    /// In this order: [`Reject::Truncated`], [`Reject::Version`], [`Reject::Type`],
    /// [`Reject::CountZero`], [`Reject::Length`].
    pub fn parse(family: Family, payload: &'a [u8]) -> Result<Self, Reject> {
        let (header, body) = payload
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(Reject::Truncated)?;
        let [version_type, _, _, count, ..] = *header;
        let version = match (version_type >> 4, family) {
            (2, Family::V4) => Version::V2,
            (3, _) => Version::V3,
            _ => return Err(Reject::Version),
        };
        if version_type & 0x0f != TYPE_ADVERTISEMENT {
            return Err(Reject::Type);
        }
        if count == 0 {
            return Err(Reject::CountZero);
        }
        let (list, rest) = body
            .split_at_checked(usize::from(count) * family.address_len())
            .ok_or(Reject::Length)?;
        let (auth_data, rest) = match version {
            Version::V2 => {
                let (data, rest) = rest.split_first_chunk().ok_or(Reject::Length)?;
                (Some(data), rest)
            }
            Version::V3 => (None, rest),
        };
        let (bytes, trailer) = match rest.len() {
            0 => (payload, None),
            TRAILER_LEN => {
                let (bytes, trailer) = payload.split_last_chunk().ok_or(Reject::Length)?;
                (bytes, Some(Trailer(trailer)))
            }
            _ => return Err(Reject::Length),
        };
        Ok(Self {
            family,
            version,
            bytes,
            payload,
            header,
            list,
            auth_data,
            trailer,
        })
    }

    /// Address family of the datagram and of the addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// VRID as it stands there, 0 included.
    #[must_use]
    pub const fn vrid_field(&self) -> u8 {
        self.header[1]
    }

    /// Priority, 0..=255.
    #[must_use]
    pub const fn priority(&self) -> u8 {
        self.header[2]
    }

    /// Number of addresses, 1..=255.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.header[3]
    }

    /// Authentication type; 0 in version 3, which has none.
    #[must_use]
    pub const fn auth_type(&self) -> u8 {
        match self.version {
            Version::V2 => self.header[4],
            Version::V3 => 0,
        }
    }

    /// The interval as a number: seconds in version 2, centiseconds in version 3 without the
    /// Reserve bits (V3-RX-10).
    #[must_use]
    pub const fn interval_raw(&self) -> u16 {
        match self.version {
            Version::V2 => self.header[5] as u16,
            Version::V3 => v3::centiseconds([self.header[4], self.header[5]]),
        }
    }

    /// The interval.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        match self.version {
            Version::V2 => v2::interval(self.header[5]),
            Version::V3 => v3::interval(self.interval_raw()),
        }
    }

    /// The checksum as it stands there.
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }

    /// The addresses in the order of the message.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = IpAddr> + Clone + use<'a> {
        let family = self.family;
        self.list
            .chunks_exact(family.address_len())
            .map(move |bytes| address(family, bytes))
    }

    /// Whether the first address is an IPv6 one and not link-local, as it has to be; to be logged,
    /// not refused (V3-RX-15).
    #[must_use]
    pub fn first_not_link_local(&self) -> bool {
        match self.addresses().next() {
            Some(IpAddr::V6(first)) => !first.is_unicast_link_local(),
            Some(IpAddr::V4(_)) | None => false,
        }
    }

    /// Authentication data; none in version 3.
    #[must_use]
    pub fn auth_data(&self) -> Option<[u8; auth::DATA_LEN]> {
        self.auth_data.copied()
    }

    /// The HMAC trailer, if there is one.
    #[must_use]
    pub const fn trailer(&self) -> Option<Trailer<'a>> {
        self.trailer
    }

    /// The message itself, exactly, without the trailer.
    #[must_use]
    pub const fn message(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the checksum covers, none if it holds in no form. Where both hold (the pseudo-header
    /// can sum to nothing) it is [`ChecksumForm::Message`]. A trailer is covered over IPv6 alone.
    #[must_use]
    pub fn verify_checksum(&self, source: IpAddr, destination: IpAddr) -> Option<ChecksumForm> {
        let covered = match self.family {
            Family::V4 => self.bytes,
            Family::V6 => self.payload,
        };
        let sum = Sum::default().bytes(covered);
        let with_pseudo_header =
            || sum.pseudo_header(source, destination, IP_PROTOCOL, covered.len());
        match (self.version, self.family) {
            (Version::V2, _) | (Version::V3, Family::V4) if sum.holds() => {
                Some(ChecksumForm::Message)
            }
            (Version::V3, _) if with_pseudo_header().holds() => Some(ChecksumForm::PseudoHeader),
            _ => None,
        }
    }

    /// What authentication covers: the header with checksum zero, and the address list.
    pub(super) fn authenticated(&self) -> ([u8; HEADER_LEN], &'a [u8]) {
        let mut header = *self.header;
        header[6..8].fill(0);
        (header, self.list)
    }
}

/// The address in `bytes`, which are as many as the family wants.
fn address(family: Family, bytes: &[u8]) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from(bytes.first_chunk::<4>().copied().unwrap_or_default()),
        Family::V6 => IpAddr::from(bytes.first_chunk::<16>().copied().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::auth::TRAILER_LEN;
    use super::Message;
    use crate::wire::Family;
    use crate::wire::verdict::Reject;

    fn header(version_type: u8, count: u8) -> Vec<u8> {
        vec![version_type, 10, 200, count, 0, 1, 0, 0]
    }

    /// V2-RX-4, V3-RX-4, V3-RX-13: every length but the right one is refused.
    #[test]
    fn v2_rx_4_v3_rx_4_v3_rx_13_exact_length() {
        for (family, version_type, count, exact) in [
            (Family::V4, 0x21, 1, 20),
            (Family::V4, 0x21, 2, 24),
            (Family::V4, 0x31, 1, 12),
            (Family::V4, 0x31, 255, 1028),
            (Family::V6, 0x31, 1, 24),
            (Family::V6, 0x31, 2, 40),
        ] {
            let mut bytes = header(version_type, count);
            bytes.resize(1100, 0);
            for len in 0..bytes.len() {
                let verdict = Message::parse(family, &bytes[..len]);
                let case = format!("{family:?} {version_type:02x} count {count}, {len} bytes");
                match len {
                    0..8 => assert_eq!(verdict, Err(Reject::Truncated), "{case}"),
                    _ if len == exact || len == exact + TRAILER_LEN => {
                        let message = verdict.unwrap();
                        assert_eq!(message.addresses().len(), usize::from(count));
                        assert_eq!(message.message().len(), exact);
                        assert_eq!(message.trailer().is_some(), len > exact);
                    }
                    _ => assert_eq!(verdict, Err(Reject::Length), "{case}"),
                }
            }
        }
    }

    /// V3-RX-11: an IPv6 address in an IPv4 datagram is a length error, and the reverse.
    #[test]
    fn v3_rx_11_family_of_the_list() {
        let mut bytes = header(0x31, 1);
        bytes.resize(8 + 16, 0);
        assert_eq!(Message::parse(Family::V4, &bytes), Err(Reject::Length));
        bytes.truncate(8 + 4);
        assert_eq!(Message::parse(Family::V6, &bytes), Err(Reject::Length));
    }

    /// V3-RX-13: the 8 bytes that version 2 has at the end are too much in version 3.
    #[test]
    fn v3_rx_13_trailer_of_version_2() {
        let mut bytes = header(0x31, 1);
        bytes.resize(8 + 4 + 8, 0);
        assert_eq!(Message::parse(Family::V4, &bytes), Err(Reject::Length));
    }

    /// V2-RX-2, V3-RX-2: every nibble.
    #[test]
    fn v2_rx_2_v3_rx_2_versions() {
        for nibble in 0..16 {
            let mut bytes = header(nibble << 4 | 1, 1);
            bytes.resize(24, 0);
            let over_v6 = Message::parse(Family::V6, &bytes);
            assert_eq!(over_v6.is_ok(), nibble == 3, "version {nibble} over IPv6");
            if nibble != 3 {
                assert_eq!(over_v6, Err(Reject::Version), "version {nibble} over IPv6");
            }
            let over_v4 = Message::parse(Family::V4, &bytes);
            if nibble != 2 && nibble != 3 {
                assert_eq!(over_v4, Err(Reject::Version), "version {nibble} over IPv4");
            } else {
                assert_ne!(over_v4, Err(Reject::Version), "version {nibble} over IPv4");
            }
        }
    }

    /// V2-RX-3, V3-RX-3: every type but 1.
    #[test]
    fn v2_rx_3_v3_rx_3_types() {
        for version in [0x20, 0x30] {
            for kind in (0..16).filter(|kind| *kind != 1) {
                let bytes = header(version | kind, 1);
                assert_eq!(Message::parse(Family::V4, &bytes), Err(Reject::Type));
            }
        }
    }

    /// V3-RX-5: no address, and as long as that asks for.
    #[test]
    fn v3_rx_5_count_zero() {
        let bytes = header(0x31, 0);
        assert_eq!(Message::parse(Family::V4, &bytes), Err(Reject::CountZero));
        assert_eq!(Message::parse(Family::V6, &bytes), Err(Reject::CountZero));
        let mut bytes = header(0x21, 0);
        bytes.resize(16, 0);
        assert_eq!(Message::parse(Family::V4, &bytes), Err(Reject::CountZero));
    }
}
