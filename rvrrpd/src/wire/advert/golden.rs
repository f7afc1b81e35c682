//! Messages whose bytes are known from elsewhere: two independent implementations agree on the
//! first group, the second is what rVRRPd 0.1.3 puts on the wire.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Advert, AdvertRepr, ChecksumForm, Datagram, Expect, Peers};
use crate::wire::auth::Key;
use crate::wire::verdict::Reject;
use crate::wire::{Family, GROUP_V4, GROUP_V6, Mac, Version, Vrid};

/// Bytes written as hexadecimal digits; blanks are ignored.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap())
        .collect();
    assert_eq!(digits.len() % 2, 0);
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Internet checksum, written apart from the one under test.
pub(super) fn internet_checksum(bytes: &[u8]) -> u16 {
    let total: u64 = bytes
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    // Ones-complement addition is addition modulo 0xffff, in which 0 is written 0xffff.
    let folded = match total % 0xffff {
        0 if total > 0 => 0xffff,
        folded => folded,
    };
    !u16::try_from(folded).unwrap()
}

pub(super) const fn group(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(GROUP_V4),
        Family::V6 => IpAddr::V6(GROUP_V6),
    }
}

/// One message and the values that it stands for.
struct Golden {
    bytes: Vec<u8>,
    source: IpAddr,
    version: Version,
    vrid: u8,
    priority: u8,
    interval: Duration,
    addresses: Vec<IpAddr>,
    auth: Key,
    form: ChecksumForm,
}

impl Golden {
    fn family(&self) -> Family {
        if self.source.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        }
    }

    fn vrid(&self) -> Vrid {
        Vrid::new(self.vrid).unwrap()
    }

    fn repr(&self) -> AdvertRepr<'_> {
        AdvertRepr {
            version: self.version,
            vrid: self.vrid(),
            priority: self.priority,
            interval: self.interval,
            addresses: &self.addresses,
            auth: &self.auth,
            checksum_form: self.form,
        }
    }

    fn datagram<'a>(&self, payload: &'a [u8]) -> Datagram<'a> {
        Datagram {
            family: self.family(),
            source: self.source,
            destination: group(self.family()),
            ttl: 255,
            payload,
            ah: None,
        }
    }

    fn expect(&self) -> Expect {
        Expect {
            versions: self.version.into(),
            vrid: self.vrid(),
            source: match self.family() {
                Family::V4 => IpAddr::from([10, 99, 0, 2]),
                Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0xc9]),
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

fn v2(text: &str, source: [u8; 4], vrid: u8, addresses: &[[u8; 4]], auth: Key) -> Golden {
    Golden {
        bytes: hex(text),
        source: IpAddr::from(source),
        version: Version::V2,
        vrid,
        priority: 200,
        interval: Duration::from_secs(1),
        addresses: addresses.iter().copied().map(IpAddr::from).collect(),
        auth,
        form: ChecksumForm::Message,
    }
}

fn v3(text: &str, priority: u8, addresses: &[&str], form: ChecksumForm) -> Golden {
    let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    Golden {
        bytes: hex(text),
        source: if addresses[0].is_ipv4() {
            IpAddr::from([192, 0, 2, 251])
        } else {
            IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0xc8])
        },
        version: Version::V3,
        vrid: 10,
        priority,
        interval: Duration::from_secs(1),
        addresses,
        auth: Key::None,
        form,
    }
}

/// What several implementations agree on.
fn common() -> Vec<Golden> {
    let two = [[192, 0, 2, 1], [192, 0, 2, 2]];
    let listed = ["192.0.2.1", "192.0.2.2"];
    let source = [192, 0, 2, 251];
    let other = v2(
        "21331e010001b5c50a0001050000000000000000",
        [10, 0, 1, 1],
        51,
        &[[10, 0, 1, 5]],
        Key::None,
    );
    vec![
        v2(
            "210ac802000192edc0000201c00002020000000000000000",
            source,
            10,
            &two,
            Key::None,
        ),
        v2(
            "210ac802010155a1c0000201c00002027365637265740000",
            source,
            10,
            &two,
            Key::simple(b"secret"),
        ),
        Golden {
            priority: 30,
            ..other
        },
        v3(
            "310ac8020064828ac0000201c0000202",
            200,
            &listed,
            ChecksumForm::Message,
        ),
        v3(
            "310ac8020064defbc0000201c0000202",
            200,
            &listed,
            ChecksumForm::PseudoHeader,
        ),
        v3(
            "310a640200643f5d fe800000000000000000000000000001 20010db8000000000000000000000001",
            100,
            &["fe80::1", "2001:db8::1"],
            ChecksumForm::PseudoHeader,
        ),
        v3(
            "310a000100640c8fc0000201",
            0,
            &["192.0.2.1"],
            ChecksumForm::Message,
        ),
    ]
}

/// rVRRPd 0.1.3: all four authentication types, captured and recomputed apart from it.
fn rvrrpd() -> Vec<Golden> {
    let secret = || Zeroizing::new(b"interop-secret".to_vec());
    let keys = || {
        [
            Key::None,
            Key::simple(b"interop-secret"),
            Key::P0Sha256(secret()),
            Key::P1Shake256(secret()),
        ]
    };
    let captured = [
        "2128c80100010b820a6300f00000000000000000",
        "2129c80101014a0f0a6300f1696e7465726f702d",
        "212ac801fa01e8b20a6300f21eaec56e1b352978",
        "212bc801fb01f5270a6300f33ff80c4271a35d75",
    ];
    let computed = [
        "212ac80100010b720a6300fe0000000000000000",
        "212ac80101014a010a6300fe696e7465726f702d",
        "212ac801fa01b53d0a6300fea3f2498200c56df9",
        "212ac801fb015ba80a6300fee53520023c597337",
    ];
    let source = [10, 99, 0, 1];
    let captured = (40u8..)
        .zip(captured)
        .zip(keys())
        .map(|((vrid, text), key)| v2(text, source, vrid, &[[10, 99, 0, 200 + vrid]], key));
    let computed = computed
        .into_iter()
        .zip(keys())
        .map(|(text, key)| v2(text, source, 42, &[[10, 99, 0, 254]], key));
    captured.chain(computed).collect()
}

fn all() -> Vec<Golden> {
    common().into_iter().chain(rvrrpd()).collect()
}

/// V2-TX-1, V3-TX-1: every field, the checksum and the authentication data.
#[test]
fn v2_tx_1_v3_tx_1_emitted_byte_for_byte() {
    for golden in all() {
        let family = golden.family();
        let emitted = golden.repr().emit(golden.source, group(family));
        assert_eq!(emitted, golden.bytes);
    }
}

/// V3-CK-1: both forms are taken and told apart; all fields are read back.
#[test]
fn v3_ck_1_decoded_and_accepted() {
    for golden in all() {
        let datagram = golden.datagram(&golden.bytes);
        let advert = Advert::check(&datagram).unwrap();
        assert_eq!(advert.version(), golden.version);
        assert_eq!(advert.family(), golden.family());
        assert_eq!(advert.vrid().number(), golden.vrid);
        assert_eq!(advert.priority(), golden.priority);
        assert_eq!(usize::from(advert.count()), golden.addresses.len());
        assert!(advert.addresses().eq(golden.addresses.iter().copied()));
        assert_eq!(advert.interval(), golden.interval);
        let raw = match golden.version {
            Version::V2 => 1,
            Version::V3 => 100,
        };
        assert_eq!(advert.interval_raw(), raw);
        assert_eq!(advert.auth_type(), golden.auth.wire_type());
        assert_eq!(advert.auth_data().is_some(), golden.version == Version::V2);
        assert_eq!(advert.checksum_form(), golden.form);
        assert_eq!(advert.message(), golden.bytes);
        let [.., high, low] = golden.bytes[..8] else {
            unreachable!()
        };
        assert_eq!(advert.checksum(), u16::from_be_bytes([high, low]));

        let accepted = golden.expect().verify(&datagram, &advert).unwrap();
        assert_eq!(accepted.priority, golden.priority);
        assert_eq!(accepted.source, golden.source);
        assert_eq!(accepted.interval, golden.interval);
        assert_eq!(accepted.checksum_form, golden.form);
        assert!(!accepted.interval_differs && !accepted.address_list_differs);
    }
}

/// V2-RX-4, V3-RX-4: truncated at every byte, with the IP header telling the truth.
#[test]
fn v2_rx_4_v3_rx_4_truncated_at_every_byte() {
    for golden in all() {
        for len in 0..golden.bytes.len() {
            let expected = if len < 8 {
                Reject::Truncated
            } else {
                Reject::Length
            };
            let datagram = golden.datagram(&golden.bytes[..len]);
            assert_eq!(Advert::check(&datagram), Err(expected), "{len} bytes");
        }
    }
}

/// V2-RX-5, V3-RX-6: every single bit, also of the authentication data and of the checksum.
#[test]
fn v2_rx_5_v3_rx_6_every_bit_flip_is_refused() {
    for golden in all() {
        for bit in 0..golden.bytes.len() * 8 {
            let mut bytes = golden.bytes.clone();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            let verdict = Advert::check(&golden.datagram(&bytes));
            assert!(verdict.is_err(), "bit {bit}: {verdict:?}");
        }
    }
}

/// V2-RX-8: the authentication code covers every bit of the message; somebody who repairs the
/// checksum gets no further.
#[test]
fn v2_rx_8_every_bit_is_authenticated() {
    for golden in rvrrpd() {
        let (Key::P0Sha256(_) | Key::P1Shake256(_)) = golden.auth else {
            continue;
        };
        let mut expect = golden.expect();
        expect.address_list_check = false;
        for bit in (0..golden.bytes.len() * 8).filter(|bit| !(48..64).contains(bit)) {
            let mut bytes = golden.bytes.clone();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            bytes[6..8].fill(0);
            let checksum = internet_checksum(&bytes);
            bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
            let datagram = golden.datagram(&bytes);
            let verdict =
                Advert::check(&datagram).and_then(|advert| expect.verify(&datagram, &advert));
            let expected = match bit / 8 {
                // Version 3, in which there are no authentication data.
                0 if bit == 3 => Reject::Length,
                0 if bit < 3 => Reject::Version,
                0 => Reject::Type,
                1 => Reject::Vrid,
                3 if golden.bytes[3] ^ bytes[3] == 1 => Reject::CountZero,
                3 => Reject::Length,
                4 => Reject::AuthType,
                _ => Reject::AuthData,
            };
            assert_eq!(verdict, Err(expected), "bit {bit}");
        }
    }
}

/// V3-TX-3, V3-TX-4, TX-8: the frames of rVRRPd 0.1.3 byte for byte, and behind them, with
/// authentication only, the padding that it needs to find the authentication data.
#[test]
fn v3_tx_3_v3_tx_4_frames_of_rvrrpd() {
    for golden in rvrrpd() {
        let mut expected =
            hex("01005e000012 00005e000100 0800 45c00028 00000000 ff70d02f 0a630001 e0000012");
        expected[11] = golden.vrid;
        expected.extend(&golden.bytes);
        assert_eq!(expected.len(), 54);
        if golden.auth != Key::None {
            expected.resize(60, 0);
        }
        let mac = Mac::of_virtual_router(Family::V4, golden.vrid());
        let frame = golden.repr().frame(mac, golden.source);
        assert_eq!(frame, expected);

        // Padded or not, it is accepted.
        for frame in [&frame[..], &frame[..54]] {
            let datagram = Datagram::from_ethernet(frame).unwrap();
            let advert = Advert::check(&datagram).unwrap();
            golden.expect().verify(&datagram, &advert).unwrap();
        }
    }
}

/// V3-TX-2, V3-TX-3, V3-TX-4, TX-8: an IPv6 frame.
#[test]
fn v3_tx_3_v3_tx_4_frame_over_ipv6() {
    let golden = &common()[5];
    let mac = Mac::of_virtual_router(Family::V6, golden.vrid());
    let mut expected = hex("333300000012 00005e00020a 86dd 6c000000 002870ff");
    expected.extend(hex(
        "fe8000000000000000000000000000c8 ff020000000000000000000000000012",
    ));
    expected.extend(&golden.bytes);
    let frame = golden.repr().frame(mac, golden.source);
    assert_eq!(frame, expected);
    assert_eq!(
        Datagram::from_ethernet(&frame),
        Ok(golden.datagram(&golden.bytes))
    );
}

/// Frames without authentication and long ones are not padded.
#[test]
fn only_short_authenticated_frames_are_padded() {
    let mac = Mac::of_virtual_router(Family::V4, Vrid::new(10).unwrap());
    let lengths: Vec<usize> = common()
        .iter()
        .filter(|golden| golden.family() == Family::V4)
        .map(|golden| golden.repr().frame(mac, golden.source).len())
        .collect();
    assert_eq!(lengths, [58, 60, 54, 50, 50, 46]);
    let many: Vec<IpAddr> = (0..20).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let golden = &rvrrpd()[2];
    let repr = AdvertRepr {
        addresses: &many,
        ..golden.repr()
    };
    assert_eq!(repr.frame(mac, golden.source).len(), 14 + 20 + 8 + 80 + 8);
}

/// TX-10: what configuration should have refused never makes a message that lies about itself.
#[test]
fn tx_10_count_is_always_that_of_the_list() {
    let source = IpAddr::from([192, 0, 2, 251]);
    let mut addresses: Vec<IpAddr> = (0..300u16)
        .map(|n| IpAddr::V4(Ipv4Addr::from_bits(u32::from(n))))
        .collect();
    addresses.insert(0, IpAddr::V6(GROUP_V6));
    let golden = &common()[0];
    for version in [Version::V2, Version::V3] {
        let repr = AdvertRepr {
            version,
            addresses: &addresses,
            ..golden.repr()
        };
        let payload = repr.emit(source, group(Family::V4));
        let datagram = Datagram {
            payload: &payload,
            ..golden.datagram(&[])
        };
        let advert = Advert::check(&datagram).unwrap();
        assert_eq!(advert.count(), 255);
        assert!(advert.addresses().eq(addresses[1..256].iter().copied()));
    }
}
