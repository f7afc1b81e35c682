//! With whom a virtual router exchanges advertisements: with everybody in the group of its family,
//! or with named peers. Never with both: what comes the other way is refused, with a verdict of
//! its own.

use std::net::IpAddr;
use std::sync::Arc;

use super::Datagram;
use crate::wire::verdict::Reject;
use crate::wire::{GROUP_V4, GROUP_V6, TTL};

/// With whom a virtual router exchanges advertisements.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Peers {
    /// With the multicast group of the family (RFC 9568 §5.1.1.2, §5.1.2.2).
    Group,
    /// With these routers, each of which is sent its own copy.
    Listed {
        /// Their addresses, of the family of the router, without duplicates.
        addresses: Arc<[IpAddr]>,
        /// Least TTL or hop limit that is accepted. 255 proves that no router has forwarded the
        /// packet (RFC 5082); everything below proves nothing.
        least_ttl: u8,
    },
}

impl Peers {
    /// Least TTL or hop limit of an advertisement.
    #[must_use]
    pub const fn least_ttl(&self) -> u8 {
        match self {
            Self::Group => TTL,
            Self::Listed { least_ttl, .. } => *least_ttl,
        }
    }

    /// Checks to whom an advertisement was sent, `source` being our own address:
    /// [`Reject::Multicast`] where we have peers and it went to a group, [`Reject::Destination`]
    /// where it was neither for the group nor for our address (V2-RX-12).
    ///
    /// # Errors
    /// The one that applies.
    pub(super) fn verify_destination(
        &self,
        source: IpAddr,
        destination: IpAddr,
    ) -> Result<(), Reject> {
        let expected = match self {
            Self::Group => group(source),
            Self::Listed { .. } if destination.is_multicast() => return Err(Reject::Multicast),
            Self::Listed { .. } => source,
        };
        if destination == expected {
            Ok(())
        } else {
            Err(Reject::Destination)
        }
    }

    /// Checks who sent an advertisement: [`Reject::NotPeer`], none of the peers.
    ///
    /// # Errors
    /// That one.
    pub(super) fn verify_sender(&self, datagram: &Datagram<'_>) -> Result<(), Reject> {
        match self {
            Self::Listed { addresses, .. } if !addresses.contains(&datagram.source) => {
                Err(Reject::NotPeer)
            }
            Self::Group | Self::Listed { .. } => Ok(()),
        }
    }
}

/// The group of the family of `address`.
const fn group(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(GROUP_V4),
        IpAddr::V6(_) => IpAddr::V6(GROUP_V6),
    }
}
