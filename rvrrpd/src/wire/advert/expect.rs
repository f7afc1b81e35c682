//! The checks that depend on the virtual router that receives the advertisement.

use std::net::IpAddr;
use std::time::Duration;

use super::{Advert, Datagram, Peers};
use crate::wire::auth::{Key, Stamp};
use crate::wire::message::ChecksumForm;
use crate::wire::verdict::Reject;
use crate::wire::{PRIORITY_OWNER, Version, Versions, Vrid, v2};

/// What a virtual router demands of an advertisement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expect {
    /// Versions that it speaks.
    pub versions: Versions,
    /// Its VRID.
    pub vrid: Vrid,
    /// Its own primary address, which also says the family.
    pub source: IpAddr,
    /// Whom it listens to.
    pub peers: Peers,
    /// Its own advertisement interval. In version 2 others must announce the same, in whole
    /// seconds, a fraction rounded up (MIX-2).
    pub interval: Duration,
    /// Its virtual addresses, without duplicates.
    pub addresses: Vec<IpAddr>,
    /// Whether `addresses` are compared with those of the advertisement.
    pub address_list_check: bool,
    /// Whether it owns `addresses`.
    pub owner: bool,
    /// Its authentication, which every advertisement needs, whatever its version; in version 3
    /// [`Key::None`] or [`Key::HmacSha256`], with any other nothing is accepted.
    pub auth: Key,
}

/// What an accepted advertisement says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Accepted {
    /// Version.
    pub version: Version,
    /// Priority, 0..=255.
    pub priority: u8,
    /// Primary address of the sender.
    pub source: IpAddr,
    /// Advertisement interval of the sender, in version 2 whole seconds (MIX-1).
    pub interval: Duration,
    /// How the sender makes its checksums (V3-CK-1).
    pub checksum_form: ChecksumForm,
    /// Version 3: the interval is not ours (V3-RX-8).
    pub interval_differs: bool,
    /// The address list is not ours (V2-RX-9, V3-RX-9).
    pub address_list_differs: bool,
    /// Its place in the order of its sender's messages, where authentication numbers them. Whether
    /// it is a repeated one is not known yet (AUTH-RX-4, AUTH-RX-5).
    pub stamp: Option<Stamp>,
}

impl Accepted {
    /// Whether the advertisement came over IPv6 from another address than a link-local one, which
    /// is to be logged: the tie-break compares link-local addresses (V3-RX-16).
    #[must_use]
    pub const fn source_not_link_local(&self) -> bool {
        match self.source {
            IpAddr::V4(_) => false,
            IpAddr::V6(source) => !source.is_unicast_link_local(),
        }
    }
}

impl Expect {
    /// Checks an advertisement, in this order:
    ///
    /// 1. [`Reject::Destination`], not the group of our family or, where we have peers, not our
    ///    own address; [`Reject::Multicast`], a group although we have peers (V2-RX-12);
    /// 2. [`Reject::Source`], no unicast address (V2-RX-12);
    /// 3. [`Reject::OwnAddress`], ours (V3-RX-19);
    /// 4. [`Reject::NotPeer`], we have peers and the sender is none of them (V2-RX-12);
    /// 5. [`Reject::Version`], [`Reject::Vrid`], not ours;
    /// 6. [`Reject::Owner`], we own the addresses; see [`Self::rival_owner`];
    /// 7. authentication: [`Reject::AuthType`], [`Reject::AuthData`] (V2-RX-8),
    ///    [`Reject::AuthMissing`], [`Reject::AuthHeader`], [`Reject::AuthTrailer`],
    ///    [`Reject::AuthKeyUnknown`], or [`Reject::Length`] for a trailer that is not wanted;
    /// 8. [`Reject::AddressList`], version 2, unless the sender is the owner (V2-RX-9);
    /// 9. [`Reject::Interval`], version 2 (V2-RX-10); [`Reject::IntervalZero`], version 3
    ///    (V3-RX-12).
    ///
    /// Version 3 accepts another list or interval and says so in the answer (V3-RX-8, V3-RX-9).
    ///
    /// # Errors
    /// The first of these that applies.
    pub fn verify(&self, datagram: &Datagram<'_>, advert: &Advert<'_>) -> Result<Accepted, Reject> {
        self.peers
            .verify_destination(self.source, datagram.destination)?;
        if !is_host_address(datagram.source) {
            return Err(Reject::Source);
        }
        if datagram.source == self.source {
            return Err(Reject::OwnAddress);
        }
        self.peers.verify_sender(datagram)?;
        if !self.versions.include(advert.version()) {
            return Err(Reject::Version);
        }
        if advert.vrid() != self.vrid {
            return Err(Reject::Vrid);
        }
        if self.owner {
            return Err(Reject::Owner);
        }
        self.judge(datagram, advert)
    }

    /// The checks from the authentication on.
    fn judge(&self, datagram: &Datagram<'_>, advert: &Advert<'_>) -> Result<Accepted, Reject> {
        let stamp = self.auth.check(datagram, advert)?;
        let address_list_differs = self.verify_addresses(advert)?;
        let interval_differs = self.verify_interval(advert)?;
        Ok(Accepted {
            version: advert.version(),
            priority: advert.priority(),
            source: datagram.source,
            interval: advert.interval(),
            checksum_form: advert.checksum_form(),
            interval_differs,
            address_list_differs,
            stamp,
        })
    }

    /// Whether an advertisement that was refused with [`Reject::Owner`] comes from a second
    /// owner, which is a mistake in somebody's configuration and should be logged (V3-RX-17).
    #[must_use]
    pub fn rival_owner(&self, advert: &Advert<'_>) -> bool {
        self.owner && advert.priority() == PRIORITY_OWNER
    }

    /// What an advertisement of version 3 says that was refused with [`Reject::Owner`] and is else a
    /// good one: an owner listens to nobody, but it has to speak the form of the checksum that its
    /// Backups understand (V3-CK-2), or they would be Masters beside it for ever.
    #[must_use]
    pub fn teaches_owner(&self, datagram: &Datagram<'_>, advert: &Advert<'_>) -> Option<Accepted> {
        let is_lesson = self.owner && advert.version() == Version::V3;
        (is_lesson && self.versions.include(Version::V3))
            .then(|| self.judge(datagram, advert).ok())
            .flatten()
    }

    /// Whether the list differs and that is tolerated.
    fn verify_addresses(&self, advert: &Advert<'_>) -> Result<bool, Reject> {
        if !self.address_list_check || self.lists_same_addresses(advert) {
            return Ok(false);
        }
        match advert.version() {
            Version::V2 if advert.priority() != PRIORITY_OWNER => Err(Reject::AddressList),
            Version::V2 | Version::V3 => Ok(true),
        }
    }

    /// Lists are compared as sets: that all routers list the addresses in the same order is a
    /// recommendation only (RFC 9568 §5.2.9), and two routers whose addresses are the same stand
    /// in for each other whatever the order. A list that names an address twice is another one.
    ///
    /// Nothing is allocated: in the usual case the order is the same, otherwise there are at most
    /// 255 addresses on either side.
    fn lists_same_addresses(&self, advert: &Advert<'_>) -> bool {
        let theirs = advert.addresses();
        theirs.len() == self.addresses.len()
            && (theirs.clone().eq(self.addresses.iter().copied())
                || (self
                    .addresses
                    .iter()
                    .all(|ours| theirs.clone().any(|address| address == *ours))
                    && theirs
                        .clone()
                        .all(|address| self.addresses.contains(&address))))
    }

    /// Whether the interval differs and that is tolerated.
    fn verify_interval(&self, advert: &Advert<'_>) -> Result<bool, Reject> {
        let ours = match advert.version() {
            Version::V2 => v2::interval(v2::interval_field(self.interval)),
            Version::V3 => self.interval,
        };
        let differs = advert.interval() != ours;
        match advert.version() {
            Version::V2 if differs => Err(Reject::Interval),
            Version::V3 if advert.interval().is_zero() => Err(Reject::IntervalZero),
            Version::V2 | Version::V3 => Ok(differs),
        }
    }
}

/// Whether a host can have the address.
fn is_host_address(address: IpAddr) -> bool {
    let is_broadcast = match address {
        IpAddr::V4(address) => address.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    !(is_broadcast || address.is_unspecified() || address.is_multicast() || address.is_loopback())
}
