//! What holds for every datagram, whoever sent it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::time::Duration;

use rvrrpd::wire::advert::{Advert, AdvertRepr, ChecksumForm, Datagram, Expect, Peers, peek_vrid};
use rvrrpd::wire::auth::{HmacKey, HmacKeys, Key, TRAILER_LEN};
use rvrrpd::wire::ra::{ALL_ROUTERS, ROUTER_SOLICITATION, check_solicitation};
use rvrrpd::wire::verdict::Reject;
use rvrrpd::wire::{Family, Version};

/// Judges the datagram as it is, then with TTL and checksum repaired, so that the fuzzer gets
/// behind them.
pub fn judge(datagram: &Datagram<'_>) {
    judge_one(datagram);
    let mut payload = datagram.payload.to_vec();
    if payload.len() < 8 {
        return;
    }
    for form in [ChecksumForm::Message, ChecksumForm::PseudoHeader] {
        payload[6..8].fill(0);
        let checksum = internet_checksum(&covered(datagram, &payload, form));
        payload[6..8].copy_from_slice(&checksum.to_be_bytes());
        let repaired = Datagram {
            ttl: 255,
            payload: &payload,
            ..*datagram
        };
        judge_one(&repaired);
    }
}

fn judge_one(datagram: &Datagram<'_>) {
    let vrid = peek_vrid(datagram);
    let Ok(advert) = Advert::check(datagram) else {
        return;
    };
    assert_eq!(datagram.ttl, 255);
    assert_eq!(vrid, Some(advert.vrid()));
    let trailer_len = advert.trailer().map_or(0, |_| TRAILER_LEN);
    assert_eq!(advert.message().len() + trailer_len, datagram.payload.len());
    assert_eq!(advert.addresses().len(), usize::from(advert.count()));
    let message = match datagram.family {
        Family::V4 => advert.message(),
        Family::V6 => datagram.payload,
    };
    let covered = covered(datagram, message, advert.checksum_form());
    assert_eq!(internet_checksum(&covered), 0, "the checksum does not hold");
    re_encode(datagram, &advert);
    verify(datagram, &advert);
}

/// A message that can be sent is the same after decoding and encoding.
fn re_encode(datagram: &Datagram<'_>, advert: &Advert<'_>) {
    let auth = match (advert.auth_type(), advert.auth_data()) {
        (0, None | Some([0, 0, 0, 0, 0, 0, 0, 0])) => Key::None,
        (1, Some(password)) => Key::simple(&password),
        _ => return,
    };
    let reserve_bits = advert.version() == Version::V3 && advert.message()[4] & 0xf0 != 0;
    if advert.trailer().is_some() {
        return;
    }
    // 0xffff in place of 0x0000 holds, but is never written.
    if reserve_bits || advert.interval_raw() == 0 || advert.checksum() == 0xffff {
        return;
    }
    let addresses: Vec<IpAddr> = advert.addresses().collect();
    let repr = AdvertRepr {
        versions: advert.version().into(),
        vrid: advert.vrid(),
        priority: advert.priority(),
        interval: advert.interval(),
        addresses: &addresses,
        auth: &auth,
        checksum_form: advert.checksum_form(),
    };
    let emitted = repr.emit(datagram.source, datagram.destination);
    assert_eq!(emitted, advert.message());
}

/// The partner of the sender accepts it, or names what no configuration can mend.
fn verify(datagram: &Datagram<'_>, advert: &Advert<'_>) {
    let secret = || b"secret".to_vec().into();
    let expect = Expect {
        version: advert.version(),
        vrid: advert.vrid(),
        source: match datagram.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 252)),
            Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        },
        peers: Peers::Group,
        interval: advert.interval(),
        addresses: advert.addresses().collect(),
        address_list_check: true,
        owner: false,
        auth: match advert.auth_type() {
            0 if advert.trailer().is_some() => Key::HmacSha256(HmacKeys {
                active: HmacKey {
                    id: NonZeroU8::MIN,
                    secret: secret(),
                },
                others: Vec::new(),
                clock_skew: Duration::from_secs(30),
            }),
            0 => Key::None,
            2 => Key::ah(b"secret"),
            1 => Key::simple(&advert.auth_data().unwrap_or_default()),
            250 => Key::P0Sha256(secret()),
            _ => Key::P1Shake256(secret()),
        },
    };
    match expect.verify(datagram, advert) {
        Ok(accepted) => {
            assert_eq!(accepted.priority, advert.priority());
            assert_eq!(accepted.source, datagram.source);
            assert!(!accepted.interval_differs && !accepted.address_list_differs);
        }
        Err(
            Reject::Destination
            | Reject::Source
            | Reject::OwnAddress
            | Reject::AuthType
            | Reject::AuthData
            | Reject::AuthTrailer
            | Reject::AuthKeyUnknown
            | Reject::AuthHeader
            | Reject::IntervalZero,
        ) => {}
        // A trailer behind another type of authentication.
        Err(Reject::Length) if advert.trailer().is_some() => {}
        Err(reject) => panic!("{reject:?}"),
    }
}

/// Judges a router solicitation as it is, then with its checksum repaired.
pub fn judge_solicitation(hop_limit: u8, unspecified: bool, message: &[u8]) {
    let host = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let source = if unspecified {
        Ipv6Addr::UNSPECIFIED
    } else {
        host
    };
    let covered = |message: &[u8]| {
        let mut covered = [source.octets(), ALL_ROUTERS.octets()].concat();
        covered.extend(
            u32::try_from(message.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
        );
        covered.extend([0, 0, 0, 58]);
        covered.extend(message);
        covered
    };
    let judge = |message: &[u8]| {
        let datagram = Datagram {
            family: Family::V6,
            source: source.into(),
            destination: ALL_ROUTERS.into(),
            ttl: hop_limit,
            payload: message,
            ah: None,
        };
        if check_solicitation(&datagram).is_err() {
            return;
        }
        assert_eq!(
            (hop_limit, &message[..2]),
            (255, &[ROUTER_SOLICITATION, 0][..])
        );
        assert!(message.len() >= 8 && message.len() % 8 == 0);
        assert_eq!(
            internet_checksum(&covered(message)),
            0,
            "the checksum does not hold"
        );
        let mut options = &message[8..];
        while let [kind, units, ..] = options {
            assert!(*units > 0 && !(unspecified && *kind == 1));
            options = &options[usize::from(*units) * 8..];
        }
    };
    judge(message);
    let mut repaired = message.to_vec();
    if let Some(checksum) = repaired.get_mut(2..4) {
        checksum.fill(0);
        let checksum = internet_checksum(&covered(&repaired));
        repaired[2..4].copy_from_slice(&checksum.to_be_bytes());
        judge(&repaired);
    }
}

/// The bytes that a checksum of this form covers.
fn covered(datagram: &Datagram<'_>, message: &[u8], form: ChecksumForm) -> Vec<u8> {
    let mut covered = Vec::new();
    if form == ChecksumForm::PseudoHeader {
        for address in [datagram.source, datagram.destination] {
            match address {
                IpAddr::V4(address) => covered.extend(address.octets()),
                IpAddr::V6(address) => covered.extend(address.octets()),
            }
        }
        let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
        covered.extend(len.to_be_bytes());
        covered.extend([0, 0, 0, 112]);
    }
    covered.extend(message);
    covered
}

/// Internet checksum (RFC 1071), written apart from the one under test.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let total: u64 = bytes
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = match total % 0xffff {
        0 if total > 0 => 0xffff,
        folded => folded,
    };
    !(folded as u16)
}
