//! What is the same for both address families, by family: the usual virtual router, its peer that
//! exists in frames only, and its names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frame::{AdvertSpec, Mac, Sum};
use crate::rvrrpd::Vrouter;
use crate::scene::{GHOST, NAME, VIP, VIP_TEXT, VRID};

/// The families that tests run with where a rule is the same for both.
pub const FAMILIES: &[Family] = &[Family::V4, Family::V6];

/// An address family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6, version 3 only.
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl Family {
    /// The virtual address; for IPv6 a link-local one.
    #[must_use]
    pub fn vip(self) -> IpAddr {
        match self {
            Self::V4 => VIP.into(),
            Self::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100).into(),
        }
    }

    /// Another address that could be virtual.
    #[must_use]
    pub fn other_vip(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 0, 0, 99).into(),
            Self::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99).into(),
        }
    }

    /// Source of the peer that exists in frames only; higher than those of the scene's routers.
    #[must_use]
    pub fn ghost_address(self) -> IpAddr {
        match self {
            Self::V4 => GHOST.into(),
            Self::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0xffff, 0, 0, 0x200).into(),
        }
    }

    /// Name of the usual virtual router.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => NAME,
            Self::V6 => "eth0-7-v6",
        }
    }

    /// Its virtual MAC.
    #[must_use]
    pub const fn vmac(self) -> Mac {
        match self {
            Self::V4 => Mac::virtual_v4(VRID),
            Self::V6 => Mac::virtual_v6(VRID),
        }
    }

    /// The usual virtual router, version 3, every 0.1 s, on a macvlan.
    #[must_use]
    pub fn vrouter(self) -> Vrouter {
        let vip = match self {
            Self::V4 => VIP_TEXT.to_owned(),
            Self::V6 => self.vip().to_string(),
        };
        Vrouter::new(VRID, &[&vip]).macvlan()
    }

    /// A correct advert of version 3 of the peer for it.
    #[must_use]
    pub fn ghost(self, priority: u8, centiseconds: u16) -> AdvertSpec {
        let v4 = AdvertSpec::v3(VRID, priority, centiseconds, GHOST, &[VIP]);
        match self {
            Self::V4 => v4,
            Self::V6 => AdvertSpec {
                source: self.ghost_address(),
                addresses: vec![self.vip()],
                sum: Sum::PseudoHeader,
                ..v4
            },
        }
    }
}
