//! Properties that hold for every message and for all bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::golden::{group, internet_checksum};
use super::{Advert, AdvertRepr, ChecksumForm, Datagram, Expect, Peers, peek_vrid};
use crate::wire::auth::{Key, TRAILER_LEN};
use crate::wire::verdict::Reject;
use crate::wire::{Family, Mac, Version, Versions, Vrid};

/// Everything that makes an advertisement, owned.
#[derive(Clone, Debug)]
struct Sent {
    version: Version,
    vrid: Vrid,
    priority: u8,
    interval: Duration,
    source: IpAddr,
    addresses: Vec<IpAddr>,
    auth: Key,
    form: ChecksumForm,
}

impl Sent {
    fn family(&self) -> Family {
        if self.source.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        }
    }

    fn frame(&self) -> Vec<u8> {
        let repr = AdvertRepr {
            version: self.version,
            vrid: self.vrid,
            priority: self.priority,
            interval: self.interval,
            addresses: &self.addresses,
            auth: &self.auth,
            checksum_form: self.form,
        };
        repr.frame(
            Mac::of_virtual_router(self.family(), self.vrid),
            self.source,
        )
    }

    /// What a peer with the same configuration expects.
    fn expect(&self) -> Expect {
        Expect {
            versions: self.version.into(),
            vrid: self.vrid,
            source: match self.source {
                IpAddr::V4(source) => IpAddr::V4(Ipv4Addr::from_bits(source.to_bits() ^ 1)),
                IpAddr::V6(source) => IpAddr::V6(Ipv6Addr::from_bits(source.to_bits() ^ 1)),
            },
            peers: Peers::Group,
            interval: self.interval,
            addresses: self.addresses.clone(),
            address_list_check: true,
            owner: false,
            auth: self.auth.clone(),
        }
    }
}

fn vrid() -> impl Strategy<Value = Vrid> {
    (1..=255u8).prop_map(|number| Vrid::new(number).unwrap())
}

fn secret() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..100)
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::None),
        secret().prop_map(|secret| Key::simple(&secret)),
        secret().prop_map(|secret| Key::P0Sha256(secret.into())),
        secret().prop_map(|secret| Key::P1Shake256(secret.into())),
    ]
}

/// 10/8, in which every address is a unicast one.
fn ipv4() -> impl Strategy<Value = IpAddr> + Clone {
    any::<[u8; 3]>().prop_map(|[b, c, d]| IpAddr::from([10, b, c, d]))
}

fn ipv6() -> impl Strategy<Value = IpAddr> + Clone {
    any::<u64>().prop_map(|id| IpAddr::V6(Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(id))))
}

/// Version, interval, source, addresses, key.
type Body = (Version, Duration, IpAddr, Vec<IpAddr>, Key);

fn v2() -> impl Strategy<Value = Body> {
    (1..=255u64, ipv4(), vec(ipv4(), 1..=255), key()).prop_map(
        |(seconds, source, addresses, auth)| {
            let interval = Duration::from_secs(seconds);
            (Version::V2, interval, source, addresses, auth)
        },
    )
}

fn v3(address: impl Strategy<Value = IpAddr> + Clone) -> impl Strategy<Value = Body> {
    (1..=4095u64, address.clone(), vec(address, 1..=255)).prop_map(
        |(centiseconds, source, addresses)| {
            let interval = Duration::from_millis(centiseconds * 10);
            (Version::V3, interval, source, addresses, Key::None)
        },
    )
}

fn sent_with(body: impl Strategy<Value = Body>) -> impl Strategy<Value = Sent> {
    let form = prop_oneof![
        Just(ChecksumForm::Message),
        Just(ChecksumForm::PseudoHeader)
    ];
    (body, vrid(), any::<u8>(), form).prop_map(
        |((version, interval, source, addresses, auth), vrid, priority, form)| Sent {
            version,
            vrid,
            priority,
            interval,
            source,
            addresses,
            auth,
            form,
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    sent_with(prop_oneof![v2(), v3(ipv4()), v3(ipv6())])
}

/// Bytes that get far: often a right version, type, count and TTL.
fn likely_payload() -> impl Strategy<Value = Vec<u8>> {
    (
        prop_oneof![Just(0x21), Just(0x31), any::<u8>()],
        0..6u8,
        vec(any::<u8>(), 0..120),
    )
        .prop_map(|(version_type, count, mut bytes)| {
            if let Some(first) = bytes.get_mut(0) {
                *first = version_type;
            }
            if let Some(fourth) = bytes.get_mut(3) {
                *fourth = count;
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// decode ∘ encode is the identity, for both versions and families and all authentication
    /// types, and a peer of the same configuration accepts it.
    #[test]
    fn what_is_sent_is_what_is_received(sent in sent()) {
        let frame = sent.frame();
        let datagram = Datagram::from_ethernet(&frame).unwrap();
        prop_assert_eq!(datagram.family, sent.family());
        prop_assert_eq!(datagram.source, sent.source);
        prop_assert_eq!(datagram.destination, group(sent.family()));
        prop_assert_eq!(peek_vrid(&datagram), Some(sent.vrid));

        let advert = Advert::check(&datagram).unwrap();
        prop_assert_eq!(advert.version(), sent.version);
        prop_assert_eq!(advert.vrid(), sent.vrid);
        prop_assert_eq!(advert.priority(), sent.priority);
        prop_assert_eq!(advert.interval(), sent.interval);
        prop_assert_eq!(advert.auth_type(), sent.auth.wire_type());
        prop_assert!(advert.addresses().eq(sent.addresses.iter().copied()));

        let accepted = sent.expect().verify(&datagram, &advert).unwrap();
        prop_assert_eq!(accepted.priority, sent.priority);
        prop_assert_eq!(accepted.source, sent.source);
        prop_assert!(!accepted.interval_differs && !accepted.address_list_differs);
    }

    /// One flipped bit is refused, or makes a message that is not the same and whose checksum
    /// holds all the same (in the other form).
    #[test]
    fn a_flipped_bit_is_never_taken_for_the_same(sent in sent(), at in any::<prop::sample::Index>()) {
        let frame = sent.frame();
        let original = Datagram::from_ethernet(&frame).unwrap();
        let form = Advert::check(&original).unwrap().checksum_form();
        let mut payload = original.payload.to_vec();
        let bit = at.index(payload.len() * 8);
        payload[bit / 8] ^= 1 << (bit % 8);
        let flipped = Datagram { payload: &payload, ..original };
        if let Ok(advert) = Advert::check(&flipped) {
            prop_assert_ne!(advert.message(), original.payload);
            prop_assert_ne!(advert.checksum_form(), form);
        }
    }

    /// A message cut anywhere is refused.
    #[test]
    fn a_cut_message_is_refused(sent in sent(), at in any::<prop::sample::Index>()) {
        let frame = sent.frame();
        let original = Datagram::from_ethernet(&frame).unwrap();
        let len = at.index(original.payload.len());
        let cut = Datagram { payload: &original.payload[..len], ..original };
        let expected = if len < 8 { Reject::Truncated } else { Reject::Length };
        prop_assert_eq!(Advert::check(&cut), Err(expected));
    }

    /// A frame cut anywhere before the end of the message is refused by its IP header.
    #[test]
    fn a_cut_frame_is_refused(sent in sent(), at in any::<prop::sample::Index>()) {
        let frame = sent.frame();
        let ip = &frame[14..];
        let verdict = match sent.family() {
            Family::V4 => {
                let total_len = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
                Datagram::from_ipv4(&ip[..at.index(total_len)])
            }
            Family::V6 => Datagram::from_ipv6(&ip[..at.index(ip.len())]),
        };
        prop_assert_eq!(verdict, Err(Reject::IpHeader));
    }

    /// Two keys never accept each other's messages.
    #[test]
    fn another_key_is_refused(sent in sent_with(v2()), other in key()) {
        // Zeros at the end of an HMAC key make no difference (RFC 2104 §2).
        let same_data = other.tag(b"any") == sent.auth.tag(b"any");
        prop_assume!(other.wire_type() != sent.auth.wire_type() || !same_data);
        let frame = sent.frame();
        let datagram = Datagram::from_ethernet(&frame).unwrap();
        let advert = Advert::check(&datagram).unwrap();
        let expected = if other.wire_type() == sent.auth.wire_type() {
            Reject::AuthData
        } else {
            Reject::AuthType
        };
        let expect = Expect { auth: other, ..sent.expect() };
        prop_assert_eq!(expect.verify(&datagram, &advert), Err(expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// No bytes make a panic, and what passes has the checksum of an independent sum.
    #[test]
    fn any_payload_is_judged(
        payload in prop_oneof![likely_payload(), vec(any::<u8>(), 0..1200)],
        source in prop_oneof![ipv4(), ipv6()],
        ttl in prop_oneof![3 => Just(255), 1 => any::<u8>()],
        repair in any::<bool>(),
        sent in (vrid(), key()),
    ) {
        let mut payload = payload;
        if repair && payload.len() >= 8 {
            payload[6..8].fill(0);
            let checksum = internet_checksum(&payload);
            payload[6..8].copy_from_slice(&checksum.to_be_bytes());
        }
        let family = if source.is_ipv4() { Family::V4 } else { Family::V6 };
        let datagram = Datagram {
            family,
            source,
            destination: group(family),
            ttl,
            payload: &payload,
            ah: None,
        };
        let _ = peek_vrid(&datagram);
        if let Ok(advert) = Advert::check(&datagram) {
            prop_assert_eq!(ttl, 255);
            let trailer_len = advert.trailer().map_or(0, |_| TRAILER_LEN);
            prop_assert_eq!(advert.message(), &payload[..payload.len() - trailer_len]);
            prop_assert_eq!(advert.addresses().len(), usize::from(advert.count()));
            if advert.checksum_form() == ChecksumForm::Message {
                prop_assert_eq!(internet_checksum(advert.message()), 0);
            }
            let (vrid, auth) = sent;
            let expect = Expect {
                versions: Versions::Both,
                vrid,
                source: group(family),
                peers: Peers::Group,
                interval: advert.interval(),
                addresses: Vec::new(),
                address_list_check: true,
                owner: false,
                auth,
            };
            let _ = expect.verify(&datagram, &advert);
            let _ = expect.rival_owner(&advert);
        }
    }

    /// No bytes make a panic in front of the message either, whatever is claimed there.
    #[test]
    fn any_packet_is_judged(bytes in vec(any::<u8>(), 0..200), nibble in 0..16u8) {
        let mut bytes = bytes;
        let _ = Datagram::from_ethernet(&bytes);
        for (first, protocol) in [(0x40 | nibble, 9), (0x60, 6)] {
            if let Some(byte) = bytes.get_mut(0) {
                *byte = first;
            }
            if let Some(byte) = bytes.get_mut(protocol) {
                *byte = 112;
            }
            let packets = [Datagram::from_ipv4(&bytes), Datagram::from_ipv6(&bytes)];
            for datagram in packets.into_iter().flatten() {
                prop_assert!(datagram.payload.len() + 20 <= bytes.len());
                let _ = Advert::check(&datagram);
            }
        }
    }
}
