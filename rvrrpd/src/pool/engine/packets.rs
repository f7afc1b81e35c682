//! An advertisement as it leaves: one frame for the group, or a datagram for each unicast peer.

use std::net::IpAddr;

use crate::wire::Mac;
use crate::wire::advert::{AdvertRepr, Peers};

/// One advertisement, made when something in it changes, not when it is sent.
#[derive(Debug)]
pub(super) enum Packets {
    /// A whole frame.
    Frame(Vec<u8>),
    /// Whole IP datagrams, and whom they are for: they differ in the destination, and with a
    /// pseudo-header also in the checksum.
    Datagrams(Vec<(IpAddr, Vec<u8>)>),
}

impl Packets {
    /// The packets of `advert` from `source`.
    pub(super) fn new(
        advert: &AdvertRepr<'_>,
        peers: &Peers,
        source_mac: Mac,
        source: IpAddr,
    ) -> Self {
        match peers {
            Peers::Group => Self::Frame(advert.frame(source_mac, source)),
            Peers::Listed { addresses, .. } => Self::Datagrams(
                addresses
                    .iter()
                    .map(|peer| (*peer, advert.datagram(source, *peer)))
                    .collect(),
            ),
        }
    }

    /// The frame for the group; none with unicast peers.
    pub(super) fn frame(&self) -> Option<&[u8]> {
        match self {
            Self::Frame(frame) => Some(frame),
            Self::Datagrams(_) => None,
        }
    }
}
