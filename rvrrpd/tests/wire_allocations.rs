//! Receiving allocates nothing, whatever a message claims; nor does sealing what is sent.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use allocation_counter::measure;
use rvrrpd::wire::advert::{Advert, AdvertRepr, ChecksumForm, Datagram, Expect, Peers, peek_vrid};
use rvrrpd::wire::auth::{HmacKey, HmacKeys, Key, Sequence};
use rvrrpd::wire::verdict::Reject;
use rvrrpd::wire::{Family, GROUP_V6, Mac, Version, Vrid};
use zeroize::Zeroizing;

/// Otherwise the other tests of this file could not fail.
#[test]
fn the_counter_counts() {
    let info = measure(|| drop(std::hint::black_box(vec![1u8; 100])));
    assert_eq!(info.count_total, 1);
}

/// V3-RX-4: 255 addresses claimed, one there.
#[test]
fn v3_rx_4_a_claimed_count_allocates_nothing() {
    let mut payload = vec![0x31, 10, 200, 255, 0, 100, 0, 0];
    payload.extend([0; 16]);
    let datagram = Datagram {
        family: Family::V6,
        source: IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]),
        destination: IpAddr::V6(GROUP_V6),
        ttl: 255,
        payload: &payload,
        ah: None,
    };
    let info = measure(|| assert_eq!(Advert::check(&datagram), Err(Reject::Length)));
    assert_eq!(info.count_total, 0);
}

/// 255 addresses that are there, in another order than ours, under every kind of authentication.
#[test]
fn receiving_allocates_nothing() {
    let secret = || Zeroizing::new(vec![7; 100]);
    let addresses: Vec<IpAddr> = (0..255).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let mut reversed = addresses.clone();
    reversed.reverse();
    let vrid = Vrid::new(10).unwrap();
    let interval = Duration::from_secs(1);
    let key = |id| HmacKey {
        id: NonZeroU8::new(id).unwrap(),
        secret: secret(),
    };
    let keys = HmacKeys {
        active: key(2),
        others: vec![key(1)],
        clock_skew: Duration::from_secs(30),
    };
    for (version, auth) in [
        (Version::V2, Key::None),
        (Version::V2, Key::simple(b"secret")),
        (Version::V2, Key::P0Sha256(secret())),
        (Version::V2, Key::P1Shake256(secret())),
        (Version::V2, Key::ah(b"secret")),
        (Version::V2, Key::HmacSha256(keys.clone())),
        (Version::V3, Key::HmacSha256(keys)),
        (Version::V3, Key::None),
    ] {
        let repr = AdvertRepr {
            version,
            vrid,
            priority: 200,
            interval,
            addresses: &addresses,
            auth: &auth,
            checksum_form: ChecksumForm::PseudoHeader,
        };
        let mut frame = repr.frame(Mac([2, 0, 0, 0, 0, 1]), IpAddr::from([192, 0, 2, 251]));
        let now = Duration::from_secs(1_800_000_000);
        let info = measure(|| auth.seal(&mut frame[14..], &mut Sequence::default(), now));
        assert_eq!(info.count_total, 0, "sealing {version:?} {auth:?}");
        let expect = Expect {
            versions: version.into(),
            vrid,
            source: IpAddr::from([192, 0, 2, 252]),
            peers: Peers::Group,
            interval,
            addresses: reversed.clone(),
            address_list_check: true,
            owner: false,
            auth: auth.clone(),
        };
        let info = measure(|| {
            let datagram = Datagram::from_ethernet(&frame).unwrap();
            assert_eq!(peek_vrid(&datagram), Some(vrid));
            let advert = Advert::check(&datagram).unwrap();
            assert_eq!(advert.count(), 255);
            expect.verify(&datagram, &advert).unwrap();
        });
        assert_eq!(info.count_total, 0, "{version:?} {auth:?}");
    }
}
