//! Frames as text.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::frame;
use crate::wire::advert::{AdvertRepr, ChecksumForm};
use crate::wire::auth::Key;
use crate::wire::{Family, Mac, Version, Vrid};

/// Where the IP header begins.
const IP: usize = 14;
/// Where the message begins in an IPv4 frame.
const MESSAGE: usize = IP + 20;

fn advert(version: Version, source: &str, vips: &[&str], form: ChecksumForm) -> Vec<u8> {
    let source: IpAddr = source.parse().unwrap();
    let vrid = Vrid::new(40).unwrap();
    let family = match source {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    };
    let addresses: Vec<IpAddr> = vips.iter().map(|vip| vip.parse().unwrap()).collect();
    let repr = AdvertRepr {
        version,
        vrid,
        priority: 200,
        interval: Duration::from_secs(1),
        addresses: &addresses,
        auth: &Key::None,
        checksum_form: form,
    };
    repr.frame(Mac::of_virtual_router(family, vrid), source)
}

fn v2() -> Vec<u8> {
    advert(
        Version::V2,
        "10.99.0.1",
        &["10.99.0.240"],
        ChecksumForm::Message,
    )
}

#[test]
fn version_2_in_the_style_of_rvrrpd() {
    // The checksum is that of a live capture of rVRRPd 0.1.3.
    let expected = "\
VRRPv2 Packet:
 Source: 10.99.0.1 (00:00:5e:00:01:28), Destination: 224.0.0.18, TTL: 255
 Version/Type: 0x21
 Virtual Router ID: 40
 Priority: 200
 IP Address Count: 1
 Authentication Type: 0x00
 Advertisement Interval: 1s
 VRRP Checksum: 0x0b82 ok
 IP Address(es):
  - 10.99.0.240
";
    assert_eq!(frame(&v2()).unwrap(), expected);
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let (pairs, _) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
    pairs.iter().map(|pair| byte(pair).unwrap()).collect()
}

/// What keepalived sends, of its captures.
#[test]
fn what_numbers_a_message_is_shown() {
    let in_ah = hex(
        "01005e000012c69e41a0b4270800 45c0004000040000ff33d0b20a010001e0000012
         700400000a01000100000004e3213dc15692034da8c26016
         2133c801020109c80a0101010000000000000000",
    );
    let text = frame(&in_ah).unwrap();
    assert!(
        text.contains(" Authentication Header: SPI 0x0a010001, Sequence 4\n"),
        "{text}"
    );
    assert!(text.contains(" Authentication Type: 0x02\n"), "{text}");
    assert!(text.contains(" VRRP Checksum: 0x09c8 ok\n"), "{text}");
    assert!(text.ends_with("  - 10.1.1.1\n"), "{text}");
    for other in [0, 6, 51] {
        let mut bytes = in_ah.clone();
        bytes[MESSAGE] = other;
        assert_eq!(frame(&bytes), None, "protocol {other} inside");
    }

    let with_trailer = hex(
        "01005e00001252372b6ba21f0800 45c0003c00040000ff70d0790a010001e0000012
         3133c801006410d40a010101
         010100006b00feb2f945000011a29502af1c0cf496d7bf1fcc811560",
    );
    let text = frame(&with_trailer).unwrap();
    assert!(
        text.contains(" VRRP Checksum: 0x10d4 ok (pseudo-header)\n"),
        "{text}"
    );
    assert!(
        text.ends_with("  - 10.1.1.1\n HMAC Trailer: Key 1, Time 1795227314s\n"),
        "{text}"
    );
}

#[test]
fn version_3_over_ipv4_says_which_checksum() {
    for (form, verdict) in [
        (ChecksumForm::Message, " ok\n"),
        (ChecksumForm::PseudoHeader, " ok (pseudo-header)\n"),
    ] {
        let vips = ["10.99.0.240", "10.99.0.241"];
        let text = frame(&advert(Version::V3, "10.99.0.1", &vips, form)).unwrap();
        assert!(text.starts_with("VRRPv3 Packet:\n"), "{text}");
        assert!(text.contains(" Version/Type: 0x31\n"), "{text}");
        assert!(text.contains(" Advertisement Interval: 100cs\n"), "{text}");
        assert!(!text.contains("Authentication"), "{text}");
        assert!(text.contains(verdict), "{text}");
        assert!(
            text.ends_with("  - 10.99.0.240\n  - 10.99.0.241\n"),
            "{text}"
        );
    }
}

#[test]
fn version_3_over_ipv6() {
    let frame_bytes = advert(
        Version::V3,
        "fe80::1",
        &["fe80::28"],
        ChecksumForm::PseudoHeader,
    );
    let text = frame(&frame_bytes).unwrap();
    assert!(
        text.contains("Source: fe80::1 (00:00:5e:00:02:28), Destination: ff02::12, TTL: 255"),
        "{text}"
    );
    assert!(text.contains(" ok\n IP Address(es):\n  - fe80::28\n"));
    assert!(!text.contains("Malformed"), "{text}");
}

#[test]
fn v2_rx_5_a_wrong_checksum_is_shown() {
    let mut bytes = v2();
    bytes[MESSAGE + 2] ^= 1;
    let text = frame(&bytes).unwrap();
    assert!(text.contains(" Priority: 201\n"), "{text}");
    assert!(text.contains(" VRRP Checksum: 0x0b82 bad\n"), "{text}");
    assert!(text.ends_with(" Malformed: wrong checksum\n"), "{text}");
}

#[test]
fn v2_rx_1_a_wrong_ttl_is_shown_and_the_checksum_still_judged() {
    let mut bytes = v2();
    bytes[IP + 8] = 64;
    let text = frame(&bytes).unwrap();
    assert!(text.contains("TTL: 64\n"), "{text}");
    assert!(text.contains(" VRRP Checksum: 0x0b82 ok\n"), "{text}");
    assert!(text.contains(" Malformed: TTL"), "{text}");
}

#[test]
fn v2_rx_4_a_claimed_count_is_not_believed() {
    let mut bytes = v2();
    bytes[MESSAGE + 3] = 200;
    let text = frame(&bytes).unwrap();
    assert!(text.contains(" IP Address Count: 200\n"), "{text}");
    assert_eq!(text.matches("  - ").count(), 1, "{text}");
    assert!(
        text.contains(" VRRP Checksum: 0x0b82 not checked\n"),
        "{text}"
    );
    assert!(text.contains(" Malformed: length"), "{text}");
}

#[test]
fn a_secret_is_never_shown() {
    let mut bytes = v2();
    let end = bytes.len();
    bytes[MESSAGE + 3] = 3;
    bytes[MESSAGE + 4] = 1;
    bytes[end - 8..].copy_from_slice(b"password");
    let text = frame(&bytes).unwrap();
    assert!(text.contains(" Authentication Type: 0x01\n"), "{text}");
    // "pass" as an address.
    assert!(!text.contains("112.97.115.115"), "{text}");
}

#[test]
fn a_packet_is_shown_as_far_as_it_goes() {
    let whole = v2();
    for cut in MESSAGE..MESSAGE + 8 {
        let text = frame(&whole[..cut]).unwrap();
        assert!(text.contains(" Malformed: "), "{text}");
        assert!(!text.contains("Checksum"), "{text}");
        assert_eq!(text.contains("Priority"), cut > MESSAGE + 2, "{text}");
    }
}

#[test]
fn a_priority_tag_is_looked_through_and_a_vlan_is_not() {
    let tagged = |tag: [u8; 2]| {
        let mut bytes = v2();
        bytes.splice(12..12, [0x81, 0x00, tag[0], tag[1]]);
        frame(&bytes)
    };
    assert_eq!(tagged([0xe0, 0x00]), frame(&v2()));
    assert_eq!(tagged([0xe0, 0x01]), None);
}

#[test]
fn what_is_not_vrrp_is_not_shown() {
    let mut udp = v2();
    udp[IP + 9] = 17;
    assert_eq!(frame(&udp), None);
    let mut arp = v2();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(frame(&arp), None);
}

#[test]
fn the_rest_of_a_fragment_is_not_taken_for_a_message() {
    let mut bytes = v2();
    bytes[IP + 7] = 1;
    let text = frame(&bytes).unwrap();
    assert!(text.starts_with("VRRP Packet:\n"), "{text}");
    assert!(text.contains("fragment"), "{text}");
}

proptest! {
    #[test]
    fn no_bytes_panic(start in 0..4usize, bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let start: &[u8] = [
            &[][..],
            &[0x08, 0x00, 0x45],
            &[0x86, 0xdd, 0x60],
            &[0x81, 0x00, 0x00, 0x00, 0x08, 0x00],
        ][start];
        let whole = [&[0; 12], start, &bytes].concat();
        let _text = frame(&whole);
        let mut vrrp = whole;
        if vrrp.len() > IP + 9 {
            vrrp[IP + 9] = 112;
            vrrp[IP + 6] = 112;
        }
        let _text = frame(&vrrp);
    }
}
