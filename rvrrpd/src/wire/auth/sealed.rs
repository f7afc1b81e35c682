//! What is numbered and sealed: every bit counts, and numbers only grow.

use core::num::NonZeroU8;
use core::time::Duration;
use std::net::IpAddr;

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::{HmacKey, HmacKeys, Key, Sequence, Stamp, clock_sequence, is_after};
use crate::wire::advert::{Accepted, Advert, AdvertRepr, ChecksumForm, Datagram, Expect, Peers};
use crate::wire::verdict::Reject;
use crate::wire::{Mac, Version, Vrid};

const NOW: Duration = Duration::new(1_800_000_000, 500_000_000);
const SKEW: Duration = Duration::from_secs(30);

fn key(id: u8, secret: &[u8]) -> HmacKey {
    HmacKey {
        id: NonZeroU8::new(id).unwrap(),
        secret: Zeroizing::new(secret.to_vec()),
    }
}

fn keys(active: HmacKey, others: &[HmacKey]) -> Key {
    Key::HmacSha256(HmacKeys {
        active,
        others: others.to_vec(),
        clock_skew: SKEW,
    })
}

/// A sender and its partner.
struct Pair {
    version: Version,
    source: IpAddr,
    addresses: Vec<IpAddr>,
    auth: Key,
}

impl Pair {
    fn new(version: Version, source: &str, vip: &str, auth: Key) -> Self {
        Self {
            version,
            source: source.parse().unwrap(),
            addresses: vec![vip.parse().unwrap()],
            auth,
        }
    }

    /// Every version and family that can be sealed, every way.
    fn all() -> Vec<Self> {
        let hmac = || keys(key(7, b"a secret of the group"), &[]);
        vec![
            Self::new(Version::V2, "192.0.2.251", "192.0.2.1", Key::ah(b"secret")),
            Self::new(Version::V2, "192.0.2.251", "192.0.2.1", hmac()),
            Self::new(Version::V3, "192.0.2.251", "192.0.2.1", hmac()),
            Self::new(Version::V3, "fe80::251", "fe80::1", hmac()),
        ]
    }

    fn repr(&self) -> AdvertRepr<'_> {
        AdvertRepr {
            version: self.version,
            vrid: Vrid::new(10).unwrap(),
            priority: 200,
            interval: Duration::from_secs(1),
            addresses: &self.addresses,
            auth: &self.auth,
            checksum_form: ChecksumForm::Message,
        }
    }

    fn frame(&self, now: Duration) -> Vec<u8> {
        let mut frame = self.repr().frame(Mac([2, 0, 0, 0, 0, 1]), self.source);
        self.auth
            .seal(&mut frame[14..], &mut Sequence::default(), now);
        frame
    }

    /// What a partner with the key `auth` says.
    fn verdict(&self, frame: &[u8], auth: &Key) -> Result<Accepted, Reject> {
        let expect = Expect {
            versions: self.version.into(),
            vrid: Vrid::new(10).unwrap(),
            source: match self.source {
                IpAddr::V4(_) => IpAddr::from([192, 0, 2, 252]),
                IpAddr::V6(_) => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x252]),
            },
            peers: Peers::Group,
            interval: Duration::from_secs(1),
            addresses: self.addresses.clone(),
            address_list_check: true,
            owner: false,
            auth: auth.clone(),
        };
        let datagram = Datagram::from_ethernet(frame)?;
        let advert = Advert::check(&datagram)?;
        expect.verify(&datagram, &advert)
    }
}

/// The number of an accepted message is the one it was sealed with.
#[test]
fn sealed_and_accepted() {
    for pair in Pair::all() {
        let stamp = match pair.auth {
            Key::Ah(_) => Stamp::Counter(1_800_000_000),
            _ => Stamp::Clock {
                sequence: 1_800_000_000 << 32 | 0x8000 << 16,
                clock_skew: SKEW,
            },
        };
        let accepted = pair.verdict(&pair.frame(NOW), &pair.auth).unwrap();
        assert_eq!(accepted.stamp, Some(stamp), "{:?}", pair.auth);
    }
}

/// What goes to a unicast peer holds as well, after the kernel that sends it has filled in an
/// identification where there is none, and routers have counted down the TTL.
#[test]
fn sealed_for_a_peer() {
    for pair in Pair::all() {
        let own = match pair.source {
            IpAddr::V4(_) => IpAddr::from([192, 0, 2, 252]),
            IpAddr::V6(_) => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x252]),
        };
        let mut bytes = pair.repr().datagram(pair.source, own);
        pair.auth.seal(&mut bytes, &mut Sequence::default(), NOW);
        let datagram = match pair.source {
            IpAddr::V4(_) => {
                if bytes[4..6] == [0, 0] {
                    bytes[4..6].copy_from_slice(&[0x12, 0x34]);
                }
                bytes[8] -= 3;
                Datagram::from_ipv4(&bytes).unwrap()
            }
            IpAddr::V6(_) => {
                bytes[7] -= 3;
                Datagram::from_ipv6(&bytes).unwrap()
            }
        };
        let expect = Expect {
            versions: pair.version.into(),
            vrid: Vrid::new(10).unwrap(),
            source: own,
            peers: Peers::Listed {
                addresses: [pair.source].into(),
                least_ttl: 252,
            },
            interval: Duration::from_secs(1),
            addresses: pair.addresses.clone(),
            address_list_check: true,
            owner: false,
            auth: pair.auth.clone(),
        };
        let advert = Advert::check_from(&datagram, 252).unwrap();
        let accepted = expect.verify(&datagram, &advert).unwrap();
        assert!(accepted.stamp.is_some());
    }
}

/// V2-RX-8: whatever bit of IP header, header, message or trailer is changed, the frame is refused,
/// but for what the network may change: type of service, identification, "do not fragment", and
/// the IP header checksum (which the kernel checks). AH covers the identification too.
#[test]
fn v2_rx_8_every_bit_counts() {
    for pair in Pair::all() {
        let frame = pair.frame(NOW);
        for bit in 14 * 8..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 0x80 >> (bit % 8);
            let ip_byte = bit / 8 - 14;
            let is_mutable = match (pair.source, ip_byte) {
                (IpAddr::V4(_), 1 | 10 | 11) => true,
                (IpAddr::V4(_), 4 | 5) => !matches!(pair.auth, Key::Ah(_)),
                (IpAddr::V4(_), 6) => bit % 8 < 2,
                // Traffic class and flow label.
                (IpAddr::V6(_), 0) => bit % 8 >= 4,
                (IpAddr::V6(_), 1..4) => true,
                _ => false,
            };
            let verdict = pair.verdict(&changed, &pair.auth);
            assert_eq!(
                verdict.is_ok(),
                is_mutable,
                "{:?} byte {ip_byte}",
                pair.auth
            );
        }
    }
}

/// The same with a checksum that was made right again: it is the code that refuses.
#[test]
fn v2_rx_8_every_bit_is_authenticated() {
    for pair in Pair::all() {
        let frame = pair.frame(NOW);
        let start = 14
            + match pair.source {
                IpAddr::V4(_) => 20,
                IpAddr::V6(_) => 40,
            };
        let message = start + pair.auth.header_len();
        // Priority, interval and addresses.
        let end = frame.len() - pair.auth.trailer_len();
        for bit in
            (message * 8..end * 8).filter(|bit| !matches!(bit / 8 - message, 0 | 1 | 3 | 4 | 6 | 7))
        {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 0x80 >> (bit % 8);
            if !pair.repair(&mut changed, message) {
                continue;
            }
            assert_eq!(
                pair.verdict(&changed, &pair.auth),
                Err(Reject::AuthData),
                "{bit}"
            );
        }
    }
}

impl Pair {
    /// Makes the checksum of the message right, if it is over IPv4.
    fn repair(&self, frame: &mut [u8], message: usize) -> bool {
        let end = frame.len() - self.auth.trailer_len();
        let covered = &mut frame[message..end];
        covered[6..8].fill(0);
        let checksum = crate::wire::checksum::Sum::default()
            .bytes(covered)
            .checksum();
        covered[6..8].copy_from_slice(&checksum.to_be_bytes());
        self.source.is_ipv4()
    }
}

/// AUTH-RX-1, V2-RX-8, V3-RX-13: one side authenticates and the other does not.
#[test]
fn auth_rx_1_v3_rx_13_one_side_alone() {
    for sealed in Pair::all() {
        let plain = Pair {
            auth: Key::None,
            addresses: sealed.addresses.clone(),
            ..sealed
        };
        let (no_seal, no_want) = match sealed.auth {
            Key::Ah(_) => (Reject::AuthType, Reject::AuthType),
            _ => (Reject::AuthMissing, Reject::Length),
        };
        assert_eq!(plain.verdict(&plain.frame(NOW), &sealed.auth), Err(no_seal));
        assert_eq!(plain.verdict(&sealed.frame(NOW), &Key::None), Err(no_want));
    }
}

/// V2-RX-8: a message of type 2 without the header, and of another type behind it.
#[test]
fn v2_rx_8_type_and_header_agree() {
    let pair = &Pair::all()[0];
    let frame = pair.frame(NOW);
    let mut bare = frame[..34].to_vec();
    bare.extend(&frame[34 + super::AH_LEN..]);
    bare[14 + 3] -= 24;
    bare[14 + 9] = 112;
    assert_eq!(pair.verdict(&bare, &pair.auth), Err(Reject::AuthType));

    let mut other = frame;
    other[34 + super::AH_LEN + 4] = 0;
    assert!(pair.repair(&mut other, 34 + super::AH_LEN));
    assert_eq!(pair.verdict(&other, &pair.auth), Err(Reject::AuthType));
    assert_eq!(pair.verdict(&other, &Key::None), Err(Reject::AuthType));
}

/// AUTH-RX-2, AUTH-RX-6: schemes and reserved fields, and an SPI that is not the source.
#[test]
fn auth_rx_2_auth_rx_6_malformed() {
    let all = Pair::all();
    for pair in &all[1..3] {
        let frame = pair.frame(NOW);
        let trailer = frame.len() - 28;
        for (at, byte) in [(0, 0), (0, 2), (2, 1), (3, 1)] {
            let mut changed = frame.clone();
            changed[trailer + at] = byte;
            let verdict = pair.verdict(&changed, &pair.auth);
            assert_eq!(verdict, Err(Reject::AuthTrailer), "byte {at}");
        }
    }
    let frame = all[0].frame(NOW);
    for (at, byte) in [(1, 3), (1, 5), (2, 1), (3, 1), (4, 193), (7, 250)] {
        let mut changed = frame.clone();
        changed[34 + at] = byte;
        let verdict = all[0].verdict(&changed, &all[0].auth);
        assert_eq!(verdict, Err(Reject::AuthHeader), "byte {at}");
    }
    let mut cut = frame[..34 + 23].to_vec();
    cut[14 + 3] = 20 + 23;
    assert_eq!(Datagram::from_ethernet(&cut), Err(Reject::AuthHeader));
}

/// AUTH-RX-3: while keys are changed, router by router, nobody is refused; afterwards the old key
/// is unknown.
#[test]
fn auth_rx_3_rotation_without_a_gap() {
    let (old, new) = (|| key(1, b"the old one"), || key(2, b"the new one"));
    // Every router goes through these steps in its own time, but no router is two ahead.
    let steps = [
        keys(old(), &[]),
        keys(old(), &[new()]),
        keys(new(), &[old()]),
        keys(new(), &[]),
    ];
    let pair = |auth: &Key| Pair::new(Version::V3, "192.0.2.251", "192.0.2.1", auth.clone());
    for (at, sender) in steps.iter().enumerate() {
        let frame = pair(sender).frame(NOW);
        for (step, receiver) in steps.iter().enumerate() {
            let verdict = pair(sender).verdict(&frame, receiver).map(|_| ());
            match at.abs_diff(step) {
                0 | 1 => assert_eq!(verdict, Ok(()), "{at} to {step}"),
                3 => assert_eq!(verdict, Err(Reject::AuthKeyUnknown), "{at} to {step}"),
                _ => {}
            }
        }
    }
    // The number alone does not make a key.
    let impostor = keys(key(1, b"another one"), &[]);
    let frame = pair(&steps[0]).frame(NOW);
    let verdict = pair(&impostor).verdict(&frame, &impostor);
    assert_eq!(verdict, Err(Reject::AuthData));
}

#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?}", key(1, b"hunter22"));
    assert_eq!(text, "1: ***");
}

/// A sender that starts anew is ahead of what it was, and a clock that stands still or goes back a
/// little does no harm.
#[test]
fn numbers_of_a_clock() {
    let mut sequence = Sequence::default();
    let first = sequence.next_clock(NOW, SKEW);
    assert_eq!(first, clock_sequence(NOW));
    assert_eq!(sequence.next_clock(NOW, SKEW), first + 1);
    assert_eq!(sequence.next_clock(NOW - SKEW, SKEW), first + 2);
    // Far back: receivers, whose clocks are right, would refuse the future.
    let back = NOW - SKEW - Duration::from_secs(2);
    assert_eq!(sequence.next_clock(back, SKEW), clock_sequence(back));
    let later = NOW + Duration::from_millis(1);
    assert_eq!(sequence.next_clock(later, SKEW), clock_sequence(later));
    let anew = Sequence::default().next_clock(later + Duration::from_millis(1), SKEW);
    assert!(is_after(anew, clock_sequence(later)));
}

#[test]
fn numbers_of_a_counter() {
    let mut sequence = Sequence::default();
    assert_eq!(sequence.next_counter(NOW), 1_800_000_000);
    assert_eq!(sequence.next_counter(NOW), 1_800_000_001);
    assert_eq!(sequence.next_counter(Duration::ZERO), 1_800_000_002);
    sequence.follow(Stamp::Counter(7));
    assert_eq!(sequence.next_counter(NOW), 1_800_000_003);
    sequence.follow(Stamp::Counter(2_000_000_000));
    assert_eq!(sequence.next_counter(NOW), 2_000_000_001);
    sequence.follow(Stamp::Counter(u32::MAX));
    assert_eq!(sequence.next_counter(NOW), 1_800_000_000);
}

proptest! {
    /// Whatever the clock does within the bound, numbers grow.
    #[test]
    fn numbers_grow(times in prop::collection::vec(0_u64..30_000, 1..50)) {
        let mut sequence = Sequence::default();
        let mut last = None;
        for millis in times {
            let number = sequence.next_clock(NOW + Duration::from_millis(millis), SKEW);
            prop_assert!(last.is_none_or(|last| is_after(number, last)));
            last = Some(number);
        }
    }

    /// RFC 1982: of two different numbers exactly one is after the other, but at the antipode.
    #[test]
    fn serial_numbers(one: u64, ahead in 1..=u64::MAX / 2) {
        let other = one.wrapping_add(ahead);
        prop_assert!(is_after(other, one) && !is_after(one, other));
        prop_assert!(!is_after(one, one));
    }
}
