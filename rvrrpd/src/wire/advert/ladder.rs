//! The order of the checks: of two things that are wrong the earlier one is counted. And each
//! check on its own, with its border cases.

use std::net::IpAddr;
use std::time::Duration;

use super::golden::{group, internet_checksum};
use super::{Accepted, Advert, ChecksumForm, Datagram, Expect, Peers};
use crate::wire::auth::Key;
use crate::wire::verdict::Reject;
use crate::wire::{Family, Version, Versions, Vrid};

/// A message and its receiver, field by field, so that anything can be made wrong.
#[derive(Clone)]
struct Case {
    family: Family,
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    version: u8,
    kind: u8,
    vrid: u8,
    priority: u8,
    count: u8,
    word: [u8; 2],
    addresses: Vec<IpAddr>,
    auth: Option<[u8; 8]>,
    trailing: usize,
    checksum_xor: u16,
    cut: usize,
    expect: Expect,
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

impl Case {
    /// A good one of version 2 with a password.
    fn v2() -> Self {
        let list = addresses(&["192.0.2.1", "192.0.2.2"]);
        Self {
            family: Family::V4,
            source: IpAddr::from([192, 0, 2, 251]),
            destination: group(Family::V4),
            ttl: 255,
            version: 2,
            kind: 1,
            vrid: 10,
            priority: 200,
            count: 2,
            word: [1, 1],
            addresses: list.clone(),
            auth: Some(*b"secret\0\0"),
            trailing: 0,
            checksum_xor: 0,
            cut: usize::MAX,
            expect: Expect {
                versions: Versions::V2,
                vrid: Vrid::new(10).unwrap(),
                source: IpAddr::from([192, 0, 2, 252]),
                peers: Peers::Group,
                interval: Duration::from_secs(1),
                addresses: list,
                address_list_check: true,
                owner: false,
                auth: Key::simple(b"secret"),
            },
        }
    }

    /// A good one of version 3 over IPv4.
    fn v3() -> Self {
        let v2 = Self::v2();
        Self {
            version: 3,
            word: [0, 100],
            auth: None,
            expect: Expect {
                versions: Versions::V3,
                auth: Key::None,
                ..v2.expect
            },
            ..v2
        }
    }

    /// A good one of version 3 over IPv6.
    fn v3_over_ipv6() -> Self {
        let list = addresses(&["fe80::1", "2001:db8::1"]);
        let v3 = Self::v3();
        Self {
            family: Family::V6,
            source: IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0xc8]),
            destination: group(Family::V6),
            addresses: list.clone(),
            expect: Expect {
                source: IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0xc9]),
                addresses: list,
                ..v3.expect
            },
            ..v3
        }
    }

    /// The same for a receiver with unicast peers, which may be nearly as far away as a hop limit
    /// of 64 gets them.
    fn unicast(self) -> Self {
        Self {
            destination: self.expect.source,
            ttl: 60,
            expect: Expect {
                peers: Peers::Listed {
                    addresses: [self.expect.addresses[0], self.source].into(),
                    least_ttl: 60,
                },
                ..self.expect
            },
            ..self
        }
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = vec![
            self.version << 4 | self.kind,
            self.vrid,
            self.priority,
            self.count,
            self.word[0],
            self.word[1],
            0,
            0,
        ];
        for address in &self.addresses {
            match address {
                IpAddr::V4(address) => payload.extend(address.octets()),
                IpAddr::V6(address) => payload.extend(address.octets()),
            }
        }
        payload.extend(self.auth.into_iter().flatten());
        payload.resize(payload.len() + self.trailing, 0);

        let mut covered = payload.clone();
        if let (IpAddr::V6(source), IpAddr::V6(destination)) = (self.source, self.destination) {
            covered.extend(source.octets());
            covered.extend(destination.octets());
            covered.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
            covered.extend([0, 0, 0, 112]);
        }
        let checksum = internet_checksum(&covered) ^ self.checksum_xor;
        payload[6..8].copy_from_slice(&checksum.to_be_bytes());
        payload.truncate(self.cut);
        payload
    }

    fn verdict(&self) -> Result<Accepted, Reject> {
        let payload = self.payload();
        let datagram = Datagram {
            family: self.family,
            source: self.source,
            destination: self.destination,
            ttl: self.ttl,
            payload: &payload,
            ah: None,
        };
        let advert = Advert::check_from(&datagram, self.expect.peers.least_ttl())?;
        self.expect.verify(&datagram, &advert)
    }

    /// The verdict after a change.
    fn with(&self, change: impl FnOnce(&mut Self)) -> Result<Accepted, Reject> {
        let mut case = self.clone();
        change(&mut case);
        case.verdict()
    }
}

/// Something that is wrong, and nothing else is.
type Fault = (Reject, fn(&mut Case));

/// All faults that both versions know, in the order of the checks.
const LADDER: [Fault; 15] = [
    (Reject::Truncated, |case| case.cut = 7),
    (Reject::Ttl, |case| case.ttl = 254),
    (Reject::Version, |case| case.version = 4),
    (Reject::Type, |case| case.kind = 2),
    (Reject::CountZero, |case| case.count = 0),
    (Reject::Length, |case| case.trailing = 1),
    (Reject::Checksum, |case| case.checksum_xor = 0x0100),
    (Reject::Vrid, |case| case.vrid = 0),
    (Reject::Destination, |case| {
        case.destination = IpAddr::from([224, 0, 0, 19]);
    }),
    (Reject::Source, |case| {
        case.source = IpAddr::from([0, 0, 0, 0])
    }),
    (Reject::OwnAddress, |case| case.expect.source = case.source),
    (Reject::Version, |case| {
        case.expect.versions = match case.version {
            2 => Versions::V3,
            _ => Versions::V2,
        };
    }),
    (Reject::Vrid, |case| {
        case.expect.vrid = Vrid::new(11).unwrap()
    }),
    (Reject::Owner, |case| case.expect.owner = true),
    (Reject::AuthType, |case| {
        case.expect.auth = Key::P0Sha256(Vec::new().into())
    }),
];

/// What only version 2 knows after that.
const LADDER_V2: [Fault; 3] = [
    (Reject::AuthData, |case| case.auth = Some(*b"Secret\0\0")),
    (Reject::AddressList, |case| {
        case.expect.addresses = addresses(&["192.0.2.1", "192.0.2.3"]);
    }),
    (Reject::Interval, |case| {
        case.expect.interval = Duration::from_secs(2)
    }),
];

/// What only version 3 knows after that.
const LADDER_V3: [Fault; 1] = [(Reject::IntervalZero, |case| case.word = [0xf0, 0])];

/// What a receiver with unicast peers refuses, in the order of the checks.
const LADDER_UNICAST: [Fault; 9] = [
    (Reject::Truncated, |case| case.cut = 7),
    (Reject::Ttl, |case| case.ttl = 59),
    (Reject::Checksum, |case| case.checksum_xor = 0x0100),
    (Reject::Destination, |case| {
        case.destination = IpAddr::from([192, 0, 2, 9]);
    }),
    (Reject::Source, |case| {
        case.source = IpAddr::from([224, 0, 0, 18])
    }),
    (Reject::OwnAddress, |case| {
        if !case.source.is_multicast() {
            case.source = case.expect.source;
        }
    }),
    (Reject::NotPeer, |case| {
        if let Peers::Listed { addresses, .. } = &mut case.expect.peers {
            *addresses = [IpAddr::from([192, 0, 2, 77])].into();
        }
    }),
    (Reject::Vrid, |case| {
        case.expect.vrid = Vrid::new(11).unwrap()
    }),
    (Reject::Owner, |case| case.expect.owner = true),
];

fn assert_ladder(good: &Case, ladder: &[Fault]) {
    good.verdict().unwrap();
    for (place, (first, break_first)) in ladder.iter().enumerate() {
        assert_eq!(good.with(break_first), Err(*first), "alone");
        for (second, break_second) in &ladder[place + 1..] {
            let both = good.with(|case| {
                // The second looks at what the first has done (own address), not the reverse.
                break_first(case);
                break_second(case);
            });
            assert_eq!(both, Err(*first), "{first:?} and {second:?}");
        }
    }
}

/// Every pair of faults of version 2.
#[test]
fn ladder_of_version_2() {
    assert_ladder(&Case::v2(), &[&LADDER[..], &LADDER_V2[..]].concat());
}

/// Every pair of faults of version 3.
#[test]
fn ladder_of_version_3() {
    assert_ladder(&Case::v3(), &[&LADDER[..], &LADDER_V3[..]].concat());
}

/// V2-RX-12: every pair of faults where there are unicast peers.
#[test]
fn ladder_of_unicast_peers() {
    assert_ladder(&Case::v2().unicast(), &LADDER_UNICAST);
    assert_ladder(&Case::v3().unicast(), &LADDER_UNICAST);
}

/// V2-RX-12: with unicast peers nothing that was sent to a group is accepted, not even from a
/// peer; it is told apart from what was sent to somebody else.
#[test]
fn v2_rx_12_multicast_to_a_router_with_peers() {
    for good in [Case::v2(), Case::v3(), Case::v3_over_ipv6()] {
        let verdict = |group: IpAddr| {
            let mut case = good.clone().unicast();
            case.destination = group;
            case.ttl = 255;
            case.verdict()
        };
        assert_eq!(verdict(good.destination), Err(Reject::Multicast));
        let other = match good.destination {
            IpAddr::V4(_) => "224.0.0.1",
            IpAddr::V6(_) => "ff02::1",
        };
        assert_eq!(verdict(other.parse().unwrap()), Err(Reject::Multicast));
    }
}

/// V2-RX-12: of all hosts only the peers are heard; each of them is.
#[test]
fn v2_rx_12_only_peers() {
    for good in [Case::v2(), Case::v3(), Case::v3_over_ipv6()] {
        let good = good.unicast();
        good.verdict().unwrap();
        let first = good.expect.addresses[0];
        good.with(|case| case.source = first).unwrap();
        for stranger in ["192.0.2.3", "fe80::3", "2001:db8::3"] {
            let stranger: IpAddr = stranger.parse().unwrap();
            if stranger.is_ipv4() == good.source.is_ipv4() {
                let verdict = good.with(|case| case.source = stranger);
                assert_eq!(verdict, Err(Reject::NotPeer), "{stranger}");
            }
        }
    }
}

/// V2-RX-1, V3-RX-1: the limit for unicast peers, which is 255 unless it is configured.
#[test]
fn v3_rx_1_ttl_of_unicast_peers() {
    for good in [Case::v2(), Case::v3(), Case::v3_over_ipv6()] {
        for least in [1, 64, 254, 255] {
            let verdict = |ttl| {
                let mut case = good.clone().unicast();
                case.ttl = ttl;
                if let Peers::Listed { least_ttl, .. } = &mut case.expect.peers {
                    *least_ttl = least;
                }
                case.verdict()
            };
            verdict(least).unwrap();
            verdict(255).unwrap();
            assert_eq!(verdict(least - 1), Err(Reject::Ttl));
        }
    }
}

/// Every rule that can refuse a message is somewhere in the ladders (the others are those of the
/// IP header, a group where there are peers, and what seals a message, which have tests of their
/// own).
#[test]
fn ladders_are_complete() {
    let covered = |reject| {
        [&LADDER[..], &LADDER_V2, &LADDER_V3, &LADDER_UNICAST]
            .concat()
            .iter()
            .any(|(fault, _)| *fault == reject)
    };
    let missing: Vec<_> = Reject::ALL.into_iter().filter(|r| !covered(*r)).collect();
    let sealed = |reject: &Reject| reject.rule().starts_with("AUTH-RX-");
    let (sealed, others): (Vec<_>, Vec<_>) = missing.into_iter().partition(sealed);
    let rest = [Reject::NotVrrp, Reject::IpHeader, Reject::Multicast];
    assert_eq!(others, rest);
    assert_eq!(sealed.len(), 6);
}

/// V2-RX-1, V3-RX-1: every TTL but 255, in both families.
#[test]
fn v2_rx_1_v3_rx_1_ttl() {
    for good in [Case::v2(), Case::v3(), Case::v3_over_ipv6()] {
        for ttl in 0..=254 {
            assert_eq!(good.with(|case| case.ttl = ttl), Err(Reject::Ttl), "{ttl}");
        }
        good.verdict().unwrap();
    }
}

/// V2-RX-12: only the group; a unicast to ourselves is not for this mode.
#[test]
fn v2_rx_12_destination() {
    for destination in ["192.0.2.252", "224.0.0.1", "255.255.255.255", "0.0.0.0"] {
        for good in [Case::v2(), Case::v3()] {
            let verdict = good.with(|case| case.destination = destination.parse().unwrap());
            assert_eq!(verdict, Err(Reject::Destination), "{destination}");
        }
    }
    for destination in ["fe80::c9", "ff02::1", "ff05::12", "::"] {
        let good = Case::v3_over_ipv6();
        let verdict = good.with(|case| case.destination = destination.parse().unwrap());
        assert_eq!(verdict, Err(Reject::Destination), "{destination}");
    }
}

/// V2-RX-12: addresses that no router sends from.
#[test]
fn v2_rx_12_source() {
    for source in [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.18",
        "239.255.255.255",
        "255.255.255.255",
    ] {
        for good in [Case::v2(), Case::v3()] {
            let verdict = good.with(|case| case.source = source.parse().unwrap());
            assert_eq!(verdict, Err(Reject::Source), "{source}");
        }
    }
    for source in ["::", "::1", "ff02::12"] {
        let verdict = Case::v3_over_ipv6().with(|case| case.source = source.parse().unwrap());
        assert_eq!(verdict, Err(Reject::Source), "{source}");
    }
}

/// V3-RX-19: our own advertisement, looped back.
#[test]
fn v3_rx_19_own_address() {
    for good in [Case::v2(), Case::v3(), Case::v3_over_ipv6()] {
        let verdict = good.with(|case| case.source = case.expect.source);
        assert_eq!(verdict, Err(Reject::OwnAddress));
    }
}

/// V2-RX-2, V3-RX-2: a version that exists but is not ours.
#[test]
fn v2_rx_2_v3_rx_2_other_version() {
    let v3_to_v2 = Case::v3().with(|case| case.expect.versions = Versions::V2);
    assert_eq!(v3_to_v2, Err(Reject::Version));
    let v2_to_v3 = Case::v2().with(|case| case.expect.versions = Versions::V3);
    assert_eq!(v2_to_v3, Err(Reject::Version));
}

/// MIX-1: who speaks both versions hears both, and each by its own rules.
#[test]
fn mix_1_both_versions() {
    let both = |mut case: Case| {
        case.expect.versions = Versions::Both;
        case
    };
    let (v2, v3) = (both(Case::v2()), both(Case::v3()));
    assert_eq!(v2.verdict().unwrap().version, Version::V2);
    assert_eq!(v3.verdict().unwrap().version, Version::V3);
    for version in [0, 1, 4, 15] {
        let verdict = v3.with(|case| case.version = version);
        assert_eq!(verdict, Err(Reject::Version), "{version}");
    }
    // V2-RX-9, V2-RX-10 against V3-RX-8, V3-RX-9.
    assert_eq!(v2.with(|case| case.word[1] = 3), Err(Reject::Interval));
    let slow = v3.with(|case| case.word = [0x01, 0x2c]).unwrap();
    assert!(slow.interval_differs);
    let other_list = |case: &mut Case| {
        case.expect.addresses.pop();
    };
    assert_eq!(v2.with(other_list), Err(Reject::AddressList));
    assert!(v3.with(other_list).unwrap().address_list_differs);
    // A password is in messages of version 2 alone, so it lets no other through.
    let with_password = v3.with(|case| case.expect.auth = Key::simple(b"secret"));
    assert_eq!(with_password, Err(Reject::AuthType));
}

/// MIX-1, MIX-2: of version 2 the interval must be ours in whole seconds, rounded up, and is told
/// as it was announced.
#[test]
fn mix_2_interval_of_version_2() {
    for (ours, field) in [
        (10, 1),
        (500, 1),
        (1000, 1),
        (1010, 2),
        (1500, 2),
        (40_950, 41),
    ] {
        for seconds in 0..=255 {
            let verdict = Case::v2().with(|case| {
                case.expect.versions = Versions::Both;
                case.expect.interval = Duration::from_millis(ours);
                case.word[1] = seconds;
            });
            let told = verdict.map(|accepted| (accepted.interval, accepted.interval_differs));
            let expected = if seconds == field {
                Ok((Duration::from_secs(field.into()), false))
            } else {
                Err(Reject::Interval)
            };
            assert_eq!(told, expected, "{ours} ms, {seconds} s");
        }
    }
}

/// V3-RX-7: an IPv6 advertisement is not for the IPv4 router of the same VRID.
#[test]
fn v3_rx_7_family() {
    let verdict = Case::v3_over_ipv6().with(|case| case.expect = Case::v3().expect);
    assert_eq!(verdict, Err(Reject::Destination));
}

/// V2-RX-7, V3-RX-7, V3-RX-17: an owner refuses everything, and notices another owner.
#[test]
fn v3_rx_17_owner_and_rival() {
    for good in [Case::v2(), Case::v3(), Case::v3_over_ipv6()] {
        for priority in [0, 1, 254, 255] {
            let mut case = good.clone();
            case.priority = priority;
            case.expect.owner = true;
            assert_eq!(case.verdict(), Err(Reject::Owner), "priority {priority}");

            let payload = case.payload();
            let datagram = Datagram {
                family: case.family,
                source: case.source,
                destination: case.destination,
                ttl: case.ttl,
                payload: &payload,
                ah: None,
            };
            let advert = Advert::check(&datagram).unwrap();
            assert_eq!(case.expect.rival_owner(&advert), priority == 255);
            case.expect.owner = false;
            assert!(!case.expect.rival_owner(&advert));
        }
    }
}

/// V3-CK-2: an owner learns the form of the checksum, of version 3, from nothing but advertisements
/// that it would accept if it were none.
#[test]
fn v3_ck_2_what_an_owner_learns() {
    let lesson = |case: &Case| {
        let payload = case.payload();
        let datagram = Datagram {
            family: case.family,
            source: case.source,
            destination: case.destination,
            ttl: case.ttl,
            payload: &payload,
            ah: None,
        };
        let advert = Advert::check(&datagram).unwrap();
        let accepted = case.expect.teaches_owner(&datagram, &advert);
        accepted.map(|accepted| accepted.checksum_form)
    };
    for (good, form) in [
        (Case::v2(), None),
        (Case::v3(), Some(ChecksumForm::Message)),
        (Case::v3_over_ipv6(), Some(ChecksumForm::PseudoHeader)),
    ] {
        let mut case = good.clone();
        assert_eq!(lesson(&case), None, "no owner");
        case.expect.owner = true;
        assert_eq!(lesson(&case), form);
        case.word = [0, 0];
        assert_eq!(lesson(&case), None, "an interval of 0");
        let mut case = good;
        case.expect.owner = true;
        case.expect.auth = Key::P0Sha256(Vec::new().into());
        assert_eq!(lesson(&case), None, "another authentication");
    }
}

/// V2-RX-8: every other type, and every wrong password.
#[test]
fn v2_rx_8_authentication() {
    let good = Case::v2();
    for auth_type in (0..=255).filter(|auth_type| *auth_type != 1) {
        let verdict = good.with(|case| case.word[0] = auth_type);
        assert_eq!(verdict, Err(Reject::AuthType), "type {auth_type}");
    }
    for data in [*b"Secret\0\0", *b"secre\0\0\0", *b"secret\0x", [0; 8]] {
        let verdict = good.with(|case| case.auth = Some(data));
        assert_eq!(verdict, Err(Reject::AuthData), "{data:?}");
    }
    let unauthenticated = good.with(|case| case.expect.auth = Key::None);
    assert_eq!(unauthenticated, Err(Reject::AuthType));
    // Type 0: the data are ignored.
    let ignored = good.with(|case| {
        case.word[0] = 0;
        case.expect.auth = Key::None;
    });
    assert!(ignored.is_ok());
    // A key in version 3 lets nothing through.
    let version_3 = Case::v3().with(|case| case.expect.auth = Key::simple(b"secret"));
    assert_eq!(version_3, Err(Reject::AuthType));
}

/// V2-RX-9: dropped unless it comes from the owner, or nobody compares.
#[test]
fn v2_rx_9_address_list() {
    let good = Case::v2();
    for ours in [
        &["192.0.2.1"][..],
        &["192.0.2.1", "192.0.2.3"],
        &["192.0.2.1", "192.0.2.2", "192.0.2.3"],
        &["192.0.2.1", "192.0.2.1"],
        &["fe80::1", "fe80::2"],
    ] {
        for priority in [0, 150, 254] {
            let verdict = good.with(|case| {
                case.priority = priority;
                case.expect.addresses = addresses(ours);
            });
            assert_eq!(verdict, Err(Reject::AddressList), "{ours:?}, {priority}");
        }
        let owner = good.with(|case| {
            case.priority = 255;
            case.expect.addresses = addresses(ours);
        });
        assert!(owner.unwrap().address_list_differs, "{ours:?}");
        let unchecked = good.with(|case| {
            case.expect.address_list_check = false;
            case.expect.addresses = addresses(ours);
        });
        assert!(!unchecked.unwrap().address_list_differs, "{ours:?}");
    }
}

/// V2-RX-9, V3-RX-9: the order does not matter, but nothing may be listed twice.
#[test]
fn v2_rx_9_v3_rx_9_lists_are_sets() {
    for good in [Case::v2(), Case::v3(), Case::v3_over_ipv6()] {
        let reversed = good.with(|case| case.addresses.reverse());
        assert!(!reversed.unwrap().address_list_differs);
    }
    for double in [
        &["192.0.2.1", "192.0.2.1"][..],
        &["192.0.2.1", "192.0.2.2", "192.0.2.2"],
    ] {
        let verdict = Case::v2().with(|case| {
            case.addresses = addresses(double);
            case.count = u8::try_from(double.len()).unwrap();
        });
        assert_eq!(verdict, Err(Reject::AddressList), "{double:?}");
    }
}

/// V3-RX-9: version 3 takes another list and says so.
#[test]
fn v3_rx_9_address_list_is_flagged() {
    for good in [Case::v3(), Case::v3_over_ipv6()] {
        let mut case = good.clone();
        case.expect.addresses.pop();
        let accepted = case.verdict().unwrap();
        assert!(accepted.address_list_differs && !accepted.interval_differs);
        case.expect.address_list_check = false;
        assert!(!case.verdict().unwrap().address_list_differs);
    }
}

/// V2-RX-10: every other interval is refused, also 0 and from the owner.
#[test]
fn v2_rx_10_interval() {
    for seconds in (0..=255).filter(|seconds| *seconds != 1) {
        for priority in [0, 150, 255] {
            let verdict = Case::v2().with(|case| {
                case.word[1] = seconds;
                case.priority = priority;
            });
            assert_eq!(verdict, Err(Reject::Interval), "{seconds} s");
        }
    }
}

/// V3-RX-8: version 3 takes another interval, says so and tells it.
#[test]
fn v3_rx_8_interval_is_flagged_and_told() {
    for good in [Case::v3(), Case::v3_over_ipv6()] {
        let accepted = good.with(|case| case.word = [0x01, 0x2c]).unwrap();
        assert_eq!(accepted.interval, Duration::from_secs(3));
        assert!(accepted.interval_differs && !accepted.address_list_differs);
    }
}

/// V3-RX-10: Reserve bits are ignored.
#[test]
fn v3_rx_10_reserve_bits() {
    let accepted = Case::v3().with(|case| case.word = [0xf0, 0x64]).unwrap();
    assert_eq!(accepted.interval, Duration::from_secs(1));
    assert!(!accepted.interval_differs);
}

/// V3-RX-12: interval 0, whatever the Reserve bits say.
#[test]
fn v3_rx_12_interval_zero() {
    for good in [Case::v3(), Case::v3_over_ipv6()] {
        for word in [[0, 0], [0xf0, 0]] {
            let verdict = good.with(|case| case.word = word);
            assert_eq!(verdict, Err(Reject::IntervalZero));
        }
    }
}

/// V3-RX-15: a first address that is not link-local is processed and can be logged.
#[test]
fn v3_rx_15_first_address() {
    for (good, expected) in [
        (Case::v2(), false),
        (Case::v3(), false),
        (Case::v3_over_ipv6(), false),
        (
            {
                let mut case = Case::v3_over_ipv6();
                case.addresses.reverse();
                case
            },
            true,
        ),
    ] {
        good.verdict().unwrap();
        let payload = good.payload();
        let message = crate::wire::message::Message::parse(good.family, &payload).unwrap();
        assert_eq!(message.first_not_link_local(), expected);
    }
}

/// V3-RX-16: a global IPv6 source is processed and can be logged.
#[test]
fn v3_rx_16_source_not_link_local() {
    let global = Case::v3_over_ipv6().with(|case| case.source = "2001:db8::9".parse().unwrap());
    assert!(global.unwrap().source_not_link_local());
    for good in [Case::v2(), Case::v3(), Case::v3_over_ipv6()] {
        assert!(!good.verdict().unwrap().source_not_link_local());
    }
}

/// V3-CK-3: over IPv6 the checksum of the message alone is not accepted; V3-CK-1: over IPv4 either
/// is, in version 2 only that.
#[test]
fn v3_ck_1_v3_ck_3_forms() {
    let form = |case: &Case| case.verdict().map(|accepted| accepted.checksum_form);
    assert_eq!(form(&Case::v2()), Ok(ChecksumForm::Message));
    assert_eq!(form(&Case::v3()), Ok(ChecksumForm::Message));
    assert_eq!(form(&Case::v3_over_ipv6()), Ok(ChecksumForm::PseudoHeader));

    // With the checksum over the message, and before that what `pseudo_header` says.
    let check = |case: &Case, pseudo_header: &[u8]| {
        let mut payload = case.payload();
        payload[6..8].fill(0);
        let checksum = internet_checksum(&[pseudo_header, &payload].concat());
        payload[6..8].copy_from_slice(&checksum.to_be_bytes());
        let datagram = Datagram {
            family: case.family,
            source: case.source,
            destination: case.destination,
            ttl: case.ttl,
            payload: &payload,
            ah: None,
        };
        Advert::check(&datagram).map(|advert| advert.checksum_form())
    };
    assert_eq!(check(&Case::v3_over_ipv6(), &[]), Err(Reject::Checksum));
    for (case, verdict) in [
        (Case::v2(), Err(Reject::Checksum)),
        (Case::v3(), Ok(ChecksumForm::PseudoHeader)),
    ] {
        let len = u8::try_from(case.payload().len()).unwrap();
        let pseudo_header = [192, 0, 2, 251, 224, 0, 0, 18, 0, 112, 0, len];
        assert_eq!(check(&case, &pseudo_header), verdict);
    }
}
