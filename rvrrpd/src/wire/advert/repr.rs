//! What is sent.

use std::net::IpAddr;
use std::time::Duration;

use crate::wire::auth::{self, Key};
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{self, MIN_FRAME_LEN, TYPE_IPV4, TYPE_IPV6};
use crate::wire::message::{ChecksumForm, HEADER_LEN, TYPE_ADVERTISEMENT};
use crate::wire::{
    Family, GROUP_V4, GROUP_V6, IP_PROTOCOL, Mac, Version, Vrid, ipv4, ipv6, v2, v3,
};

/// One advertisement as a value.
///
/// The family is that of the source address. The addresses are expected to be of that family and
/// 1..=255 in number, and version 2 to go over IPv4; a configuration where they are not is
/// refused. Nothing here depends on it: other addresses and those after the 255th are left out,
/// so that the count is always that of the list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdvertRepr<'a> {
    /// Version.
    pub version: Version,
    /// VRID.
    pub vrid: Vrid,
    /// Priority, 0..=255.
    pub priority: u8,
    /// Interval: 1..=255 seconds in version 2, a fraction rounded up (MIX-2); 1..=4095
    /// centiseconds in version 3.
    pub interval: Duration,
    /// Virtual addresses in the order in which they are listed.
    pub addresses: &'a [IpAddr],
    /// Authentication; in version 3 all but [`Key::HmacSha256`] is ignored.
    pub auth: &'a Key,
    /// What the checksum covers; looked at only in version 3 over IPv4.
    pub checksum_form: ChecksumForm,
}

impl AdvertRepr<'_> {
    /// The message. The addresses are those of the IP header, which the checksum may cover. A
    /// trailer is zeros; see [`Key::seal`].
    #[must_use]
    pub fn emit(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.payload_len(source));
        self.append(&mut message, source, destination);
        message
    }

    /// The whole Ethernet frame, from `source_mac` and `source` to the group. With authentication
    /// it is padded with zeros to 60 bytes: rVRRPd 0.1.3 finds the authentication data only in a
    /// frame of that length, and not every link pads. Where messages are numbered the frame still
    /// has to be sealed; see [`Key::seal`].
    #[must_use]
    pub fn frame(&self, source_mac: Mac, source: IpAddr) -> Vec<u8> {
        let (group, group_mac, ethertype) = match source {
            IpAddr::V4(_) => (GROUP_V4.into(), Mac::of_group(Family::V4), TYPE_IPV4),
            IpAddr::V6(_) => (GROUP_V6.into(), Mac::of_group(Family::V6), TYPE_IPV6),
        };
        let mut frame = Vec::with_capacity(ethernet::HEADER_LEN + self.datagram_len(source));
        frame.extend(ethernet::header(group_mac, source_mac, ethertype));
        self.append_datagram(&mut frame, source, group);
        let authenticated = self.version == Version::V2 && self.auth.wire_type() != 0;
        if authenticated && frame.len() < MIN_FRAME_LEN {
            frame.resize(MIN_FRAME_LEN, 0);
        }
        frame
    }

    /// The IP datagram from `source` to one peer, `destination`, header included. Empty where the
    /// two are of different families. Where messages are numbered it still has to be sealed; see
    /// [`Key::seal`].
    #[must_use]
    pub fn datagram(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(self.datagram_len(source));
        self.append_datagram(&mut datagram, source, destination);
        datagram
    }

    fn append_datagram(&self, out: &mut Vec<u8>, source: IpAddr, destination: IpAddr) {
        let payload_len = self.payload_len(source);
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                out.extend(ipv4::header(source, destination, payload_len));
                if self.version == Version::V2 {
                    self.auth.open(out);
                }
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                out.extend(ipv6::header(
                    ipv6::TRAFFIC_CLASS,
                    IP_PROTOCOL,
                    source,
                    destination,
                    payload_len,
                ));
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return,
        }
        self.append(out, source, destination);
    }

    /// Length of the message with what authentication adds to it, in bytes.
    fn payload_len(&self, source: IpAddr) -> usize {
        let auth_len = match self.version {
            Version::V2 => self.auth.header_len() + auth::DATA_LEN,
            Version::V3 => 0,
        };
        let list_len = usize::from(self.count(source)) * address_len(source);
        HEADER_LEN + list_len + auth_len + self.auth.trailer_len()
    }

    /// Length of message and IP header in bytes, at most.
    fn datagram_len(&self, source: IpAddr) -> usize {
        ipv6::HEADER_LEN + self.payload_len(source)
    }

    /// The addresses that are listed.
    fn listed(&self, source: IpAddr) -> impl Iterator<Item = &IpAddr> {
        self.addresses
            .iter()
            .filter(move |address| address.is_ipv4() == source.is_ipv4())
            .take(usize::from(u8::MAX))
    }

    /// How many they are.
    fn count(&self, source: IpAddr) -> u8 {
        u8::try_from(self.listed(source).count()).unwrap_or(u8::MAX)
    }

    /// Appends the message to `out`: with checksum zero, as authentication wants it; then the
    /// authentication data; then the checksum over all.
    fn append(&self, out: &mut Vec<u8>, source: IpAddr, destination: IpAddr) {
        let start = out.len();
        let count = self.count(source);
        let (version, [high, low]) = match self.version {
            Version::V2 => (
                2,
                [self.auth.wire_type(), v2::interval_field(self.interval)],
            ),
            Version::V3 => (3, v3::interval_field(self.interval).to_be_bytes()),
        };
        out.extend([
            version << 4 | TYPE_ADVERTISEMENT,
            self.vrid.number(),
            self.priority,
            count,
            high,
            low,
            0,
            0,
        ]);
        for address in self.listed(source) {
            match address {
                IpAddr::V4(address) => out.extend(address.octets()),
                IpAddr::V6(address) => out.extend(address.octets()),
            }
        }
        if self.version == Version::V2 {
            let tag = self.auth.tag(&out[start..]);
            out.extend(tag);
        }
        let message = &mut out[start..];
        let sum = Sum::default().bytes(message);
        let sum = match self.form(source) {
            ChecksumForm::Message => sum,
            ChecksumForm::PseudoHeader => {
                sum.pseudo_header(source, destination, IP_PROTOCOL, message.len())
            }
        };
        message[6..8].copy_from_slice(&sum.checksum().to_be_bytes());
        out.resize(out.len() + self.auth.trailer_len(), 0);
    }

    const fn form(&self, source: IpAddr) -> ChecksumForm {
        match (self.version, source) {
            (Version::V2, _) => ChecksumForm::Message,
            (Version::V3, IpAddr::V4(_)) => self.checksum_form,
            (Version::V3, IpAddr::V6(_)) => ChecksumForm::PseudoHeader,
        }
    }
}

const fn address_len(source: IpAddr) -> usize {
    match source {
        IpAddr::V4(_) => Family::V4.address_len(),
        IpAddr::V6(_) => Family::V6.address_len(),
    }
}
