//! Why an advertisement is refused: one variant is one receive rule and one counter.

use core::fmt;

/// Receive rule that a datagram broke.
///
/// The variants stand in no order of precedence; that is the business of
/// [`Advert::check`](super::advert::Advert::check) and
/// [`Expect::verify`](super::advert::Expect::verify).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reject {
    /// The IP protocol or next header is not 112, nor is that of an IPv4 Authentication Header.
    /// IPv6 extension headers are not walked, so that a message behind one is refused here too.
    NotVrrp,
    /// IP header with a wrong version, header length or total length, cut short, or a fragment.
    IpHeader,
    /// TTL or hop limit other than 255, or below what unicast peers may have (V2-RX-1, V3-RX-1).
    Ttl,
    /// Sent to another address than the group of the family or, where the virtual router has
    /// unicast peers, than its own.
    Destination,
    /// Sent to a multicast group, while the virtual router has unicast peers: somebody uses the
    /// VRID in the other mode.
    Multicast,
    /// Sent by somebody who is none of the unicast peers of the virtual router.
    NotPeer,
    /// Sent from an address that no router can have: unspecified, multicast, broadcast, loopback.
    Source,
    /// Sent from our own primary address: a looped copy (V3-RX-19).
    OwnAddress,
    /// Shorter than the 8 bytes that every message has.
    Truncated,
    /// Unknown version, version 2 over IPv6, or no version that this router speaks (V2-RX-2,
    /// V3-RX-2).
    Version,
    /// Type other than 1, ADVERTISEMENT (V2-RX-3, V3-RX-3).
    Type,
    /// Address count of 0 (V3-RX-5).
    CountZero,
    /// Shorter or longer than the address count asks for (V2-RX-4, V3-RX-4, V3-RX-11, V3-RX-13).
    Length,
    /// The checksum does not hold in any form (V2-RX-5, V3-RX-6).
    Checksum,
    /// VRID 0, or not the VRID of this router (V2-RX-6, V3-RX-7).
    Vrid,
    /// This router owns the addresses and listens to nobody (V2-RX-7, V3-RX-7).
    Owner,
    /// Another authentication type than the configured one (V2-RX-8).
    AuthType,
    /// Wrong password or wrong authentication code (V2-RX-8).
    AuthData,
    /// `hmac-sha256`: no trailer (AUTH-RX-1).
    AuthMissing,
    /// `hmac-sha256`: a trailer of an unknown scheme, or its reserved field is not zero
    /// (AUTH-RX-2).
    AuthTrailer,
    /// `hmac-sha256`: made with a key that we do not have (AUTH-RX-3).
    AuthKeyUnknown,
    /// `hmac-sha256`: the time in it is too far from ours (AUTH-RX-4).
    AuthStale,
    /// Not after the last message of that sender (AUTH-RX-5).
    AuthReplay,
    /// `rfc2338-ah`: an Authentication Header of another length, with a reserved field that is not
    /// zero, or with an SPI that is not the source address (AUTH-RX-6).
    AuthHeader,
    /// Version 2: another address list than ours (V2-RX-9).
    AddressList,
    /// Version 2: another interval than ours (V2-RX-10).
    Interval,
    /// Version 3: interval 0, which would let every Backup take over at once (V3-RX-12).
    IntervalZero,
}

impl Reject {
    /// All of them, in the order of [`Self::index`].
    pub const ALL: [Self; 27] = [
        Self::NotVrrp,
        Self::IpHeader,
        Self::Ttl,
        Self::Destination,
        Self::Multicast,
        Self::NotPeer,
        Self::Source,
        Self::OwnAddress,
        Self::Truncated,
        Self::Version,
        Self::Type,
        Self::CountZero,
        Self::Length,
        Self::Checksum,
        Self::Vrid,
        Self::Owner,
        Self::AuthType,
        Self::AuthData,
        Self::AuthMissing,
        Self::AuthTrailer,
        Self::AuthKeyUnknown,
        Self::AuthStale,
        Self::AuthReplay,
        Self::AuthHeader,
        Self::AddressList,
        Self::Interval,
        Self::IntervalZero,
    ];

    /// What RFC 8347 counts as `packet-length-errors`.
    pub const PACKET_LENGTH: [Self; 3] = [Self::Truncated, Self::Length, Self::CountZero];

    /// Place in [`Self::ALL`], for tables of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Label of the counter, in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Id of the receive rule; where both versions have one, that of version 2.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        self.row().1
    }

    /// Label, rule and sentence.
    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::NotVrrp => ("not-vrrp", "V3-RX-14", "not a VRRP datagram"),
            Self::IpHeader => ("ip-header", "V3-RX-14", "malformed IP header or fragment"),
            Self::Ttl => ("ttl", "V2-RX-1", "TTL or hop limit is too low"),
            Self::Destination => (
                "destination",
                "V2-RX-12",
                "destination is neither the VRRP group nor, with unicast peers, our own address",
            ),
            Self::Multicast => (
                "multicast",
                "V2-RX-12",
                "sent to a multicast group, but this virtual router has unicast peers",
            ),
            Self::NotPeer => (
                "not-peer",
                "V2-RX-12",
                "source is none of the unicast peers of this virtual router",
            ),
            Self::Source => ("source", "V2-RX-12", "source is not a unicast address"),
            Self::OwnAddress => ("own-address", "V3-RX-19", "source is our own address"),
            Self::Truncated => ("truncated", "V3-RX-4", "shorter than the VRRP header"),
            Self::Version => ("version", "V2-RX-2", "wrong VRRP version"),
            Self::Type => ("type", "V2-RX-3", "not an advertisement"),
            Self::CountZero => ("count-zero", "V3-RX-5", "address count is zero"),
            Self::Length => (
                "length",
                "V2-RX-4",
                "length does not match the address count",
            ),
            Self::Checksum => ("checksum", "V2-RX-5", "wrong checksum"),
            Self::Vrid => ("vrid", "V2-RX-6", "no virtual router with this VRID"),
            Self::Owner => ("owner", "V2-RX-7", "received by the address owner"),
            Self::AuthType => ("auth-type", "V2-RX-8", "wrong authentication type"),
            Self::AuthData => ("auth-data", "V2-RX-8", "wrong authentication data"),
            Self::AuthMissing => ("auth-missing", "AUTH-RX-1", "no authentication trailer"),
            Self::AuthTrailer => (
                "auth-trailer",
                "AUTH-RX-2",
                "malformed authentication trailer",
            ),
            Self::AuthKeyUnknown => (
                "auth-key-unknown",
                "AUTH-RX-3",
                "unknown authentication key id",
            ),
            Self::AuthStale => (
                "auth-stale",
                "AUTH-RX-4",
                "too old, or the clocks of the two routers differ too much",
            ),
            Self::AuthReplay => ("auth-replay", "AUTH-RX-5", "repeated or out of order"),
            Self::AuthHeader => (
                "auth-header",
                "AUTH-RX-6",
                "malformed authentication header",
            ),
            Self::AddressList => ("address-list", "V2-RX-9", "address list differs"),
            Self::Interval => ("interval", "V2-RX-10", "advertisement interval differs"),
            Self::IntervalZero => (
                "interval-zero",
                "V3-RX-12",
                "advertisement interval is zero",
            ),
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Reject;

    #[test]
    fn index_is_the_place_in_all() {
        for (place, reject) in Reject::ALL.into_iter().enumerate() {
            assert_eq!(reject.index(), place, "{reject:?}");
        }
    }

    #[test]
    fn names_are_unique_and_in_kebab_case() {
        let names: HashSet<_> = Reject::ALL.into_iter().map(Reject::name).collect();
        assert_eq!(names.len(), Reject::ALL.len());
        for name in names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{name}"
            );
        }
    }

    #[test]
    fn every_variant_names_a_receive_rule_and_says_what_is_wrong() {
        for reject in Reject::ALL {
            assert!(
                ["V2-RX-", "V3-RX-", "AUTH-RX-"]
                    .iter()
                    .any(|section| reject.rule().starts_with(section)),
                "{reject:?}"
            );
            assert!(!reject.to_string().is_empty());
        }
    }
}
