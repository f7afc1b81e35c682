//! The wire: every byte that is sent or received, and nothing else.
//!
//! Pure: no sockets, no clock, no threads; never panics on input and allocates nothing from a
//! claimed count. Imports no other module of the crate.
#![forbid(unsafe_code)]

pub mod advert;
pub mod arp;
pub mod auth;
mod checksum;
pub mod ethernet;
mod ipv4;
mod ipv6;
pub mod message;
pub mod ndp;
pub mod ra;
mod v2;
mod v3;
pub mod verdict;

use core::fmt;
use core::num::NonZeroU8;
use std::net::{Ipv4Addr, Ipv6Addr};

/// IP protocol number (IPv6: next header) of VRRP, RFC 9568 §5.1.1.4.
pub const IP_PROTOCOL: u8 = 112;
/// IP protocol number of the Authentication Header, RFC 2402 §2.
pub const IP_PROTOCOL_AH: u8 = 51;
/// TTL or hop limit that an advertisement is sent with and must arrive with, RFC 9568 §5.1.1.3.
pub const TTL: u8 = 255;
/// Group that IPv4 advertisements are sent to, RFC 9568 §5.1.1.2.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Group that IPv6 advertisements are sent to, RFC 9568 §5.1.2.2.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// Priority of an advertisement by which a Master resigns, RFC 9568 §5.2.4.
pub const PRIORITY_RESIGN: u8 = 0;
/// Priority of the router that owns the virtual addresses, RFC 9568 §5.2.4.
pub const PRIORITY_OWNER: u8 = 255;

/// Address family of a virtual router; the two families are independent (RFC 9568 §1).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Length of one address on the wire, in bytes.
    #[must_use]
    pub const fn address_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

/// VRRP version of an advertisement.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// VRRPv2, RFC 3768 (and RFC 2338).
    V2,
    /// VRRPv3, RFC 9568 (and RFC 5798).
    V3,
}

/// Versions that a virtual router speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Versions {
    /// Version 2 alone.
    V2,
    /// Version 3 alone.
    V3,
    /// Both at once, for a migration over IPv4 (MIX-1, RFC 9568 §8.4).
    Both,
}

impl Versions {
    /// Each of them, in the order in which their advertisements leave: whoever hears both knows by
    /// the first one that the second one is not for it.
    #[must_use]
    pub const fn each(self) -> &'static [Version] {
        match self {
            Self::V2 => &[Version::V2],
            Self::V3 => &[Version::V3],
            Self::Both => &[Version::V3, Version::V2],
        }
    }

    /// Whether this version is one of them.
    #[must_use]
    pub fn include(self, version: Version) -> bool {
        self.each().contains(&version)
    }

    /// The one whose timers and state machine apply: version 3 where it is spoken (RFC 9568
    /// §8.4.2).
    #[must_use]
    pub const fn timers(self) -> Version {
        match self {
            Self::V2 => Version::V2,
            Self::V3 | Self::Both => Version::V3,
        }
    }
}

impl From<Version> for Versions {
    fn from(version: Version) -> Self {
        match version {
            Version::V2 => Self::V2,
            Version::V3 => Self::V3,
        }
    }
}

/// Virtual router identifier, 1..=255 (RFC 9568 §5.2.3).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// The lowest VRID.
    pub const MIN: Self = Self(NonZeroU8::MIN);

    /// The VRID with this number, none for 0.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match NonZeroU8::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, 1..=255.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Ethernet address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Virtual MAC of a virtual router: 00-00-5E-00-01-VRID for IPv4, 00-00-5E-00-02-VRID for
    /// IPv6 (RFC 9568 §7.3).
    #[must_use]
    pub const fn of_virtual_router(family: Family, vrid: Vrid) -> Self {
        let block = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        Self([0x00, 0x00, 0x5e, 0x00, block, vrid.number()])
    }

    /// The virtual router whose virtual MAC it is; none where it is not one.
    #[must_use]
    pub const fn virtual_router(self) -> Option<(Family, Vrid)> {
        let (family, vrid) = match self.0 {
            [0x00, 0x00, 0x5e, 0x00, 1, vrid] => (Family::V4, vrid),
            [0x00, 0x00, 0x5e, 0x00, 2, vrid] => (Family::V6, vrid),
            _ => return None,
        };
        match Vrid::new(vrid) {
            Some(vrid) => Some((family, vrid)),
            None => None,
        }
    }

    /// Ethernet address of the multicast group that advertisements go to.
    #[must_use]
    pub const fn of_group(family: Family) -> Self {
        match family {
            Family::V4 => Self([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]),
            Family::V6 => Self([0x33, 0x33, 0x00, 0x00, 0x00, 0x12]),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
