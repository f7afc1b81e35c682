//! Frames as the judge reads and writes them, from the RFCs alone.
//!
//! [`Frame`] is what a capture holds. `frame.advert()`, `frame.arp()` and `frame.icmp()` give the
//! decoded forms; the structures with `frame()` build whole frames to inject.

pub mod arp;
pub mod icmp;
pub mod ip;
pub mod nd;
pub mod ra;
pub mod vrrp;

use std::fmt;

use crate::sys::Stamp;

pub use arp::Arp;
pub use icmp::Icmp;
pub use nd::Nd;
pub use ra::{Ra, RsSpec};
pub use vrrp::{Advert, AdvertSpec, Sum};

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// Ethernet address.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Virtual MAC of an IPv4 virtual router (RFC 9568 §7.3).
    #[must_use]
    pub const fn virtual_v4(vrid: u8) -> Self {
        Self([0, 0, 0x5e, 0, 1, vrid])
    }

    /// Virtual MAC of an IPv6 virtual router (RFC 9568 §7.3).
    #[must_use]
    pub const fn virtual_v6(vrid: u8) -> Self {
        Self([0, 0, 0x5e, 0, 2, vrid])
    }

    /// The address written as six hexadecimal bytes with colons.
    ///
    /// # Panics
    /// Where `text` is none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let bytes: Vec<u8> = text
            .trim()
            .split(':')
            .filter_map(|part| u8::from_str_radix(part, 16).ok())
            .collect();
        Self(
            bytes
                .try_into()
                .unwrap_or_else(|_| panic!("{text:?} is not an Ethernet address")),
        )
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A captured frame.
#[derive(Clone, Eq, PartialEq)]
pub struct Frame {
    /// When the kernel took it.
    pub stamp: Stamp,
    /// On a LAN: the host that it came from; on a host: the interface.
    pub port: String,
    /// All bytes, from the Ethernet destination on.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Ethernet destination.
    #[must_use]
    pub fn destination(&self) -> Mac {
        Mac(array(&self.bytes, 0).unwrap_or_default())
    }

    /// Ethernet source.
    #[must_use]
    pub fn source(&self) -> Mac {
        Mac(array(&self.bytes, 6).unwrap_or_default())
    }

    /// EtherType.
    #[must_use]
    pub fn ethertype(&self) -> u16 {
        array(&self.bytes, 12).map_or(0, u16::from_be_bytes)
    }

    /// What follows the Ethernet header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(14..).unwrap_or_default()
    }

    /// The frame as a VRRP advertisement.
    #[must_use]
    pub fn advert(&self) -> Option<Advert> {
        Advert::decode(self)
    }

    /// The frame as an ARP packet.
    #[must_use]
    pub fn arp(&self) -> Option<Arp> {
        Arp::decode(self)
    }

    /// The frame as an ICMP echo over IPv4.
    #[must_use]
    pub fn icmp(&self) -> Option<Icmp> {
        Icmp::decode(self)
    }

    /// The frame as a neighbor advertisement or solicitation.
    #[must_use]
    pub fn nd(&self) -> Option<Nd> {
        Nd::decode(self)
    }

    /// The frame as a router advertisement.
    #[must_use]
    pub fn ra(&self) -> Option<Ra> {
        Ra::decode(self)
    }

    /// Whether it is an advertisement of virtual router `vrid`.
    #[must_use]
    pub fn is_advert_of(&self, vrid: u8) -> bool {
        self.advert().is_some_and(|advert| advert.vrid == vrid)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.stamp.0.as_secs_f64() % 1000.0;
        write!(
            f,
            "{seconds:10.6} {:8} {} > {} ",
            self.port,
            self.source(),
            self.destination()
        )?;
        if let Some(advert) = self.advert() {
            return write!(f, "{advert}");
        }
        if let Some(arp) = self.arp() {
            return write!(f, "{arp}");
        }
        if let Some(icmp) = self.icmp() {
            return write!(f, "{icmp}");
        }
        if let Some(nd) = self.nd() {
            return write!(f, "{nd}");
        }
        if let Some(ra) = self.ra() {
            return write!(f, "{ra}");
        }
        write!(f, "{:04x}, {} bytes", self.ethertype(), self.bytes.len())
    }
}

/// `N` bytes at `offset`, none if `bytes` is too short.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// An Ethernet frame of these parts.
#[must_use]
pub fn ethernet(destination: Mac, source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    frame.extend(destination.0);
    frame.extend(source.0);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Bytes written in hexadecimal, white space ignored.
///
/// # Panics
/// Where `text` has anything else.
#[must_use]
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| {
            c.to_digit(16)
                .unwrap_or_else(|| panic!("{c:?} is not a hexadecimal digit"))
        })
        .collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

/// `bytes` in hexadecimal.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
