//! Captures of other implementations, `tests/vectors/`: what they send is understood as their
//! configurations (README.md there) say, and we would have sent the same bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rvrrpd::wire::advert::{Accepted, Advert, AdvertRepr, ChecksumForm, Datagram, Expect, Peers};
use rvrrpd::wire::auth::{HmacKey, HmacKeys, Key, Sequence, Stamp};
use rvrrpd::wire::ethernet::{Frame, TYPE_ARP, TYPE_IPV6};
use rvrrpd::wire::verdict::Reject;
use rvrrpd::wire::{Mac, Version, Vrid, arp, ndp};
use zeroize::Zeroizing;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

/// The frames of a capture file (pcap of either byte order, µs or ns).
fn frames(capture: &str) -> Vec<Vec<u8>> {
    let path = vectors().join(capture);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (header, mut records) = bytes.split_at(24);
    let magic: [u8; 4] = header[..4].try_into().unwrap();
    let number: fn([u8; 4]) -> u32 = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
        (0xa1b2_c3d4 | 0xa1b2_3c4d, _) => u32::from_le_bytes,
        (_, 0xa1b2_c3d4 | 0xa1b2_3c4d) => u32::from_be_bytes,
        _ => panic!("{capture}: not a pcap file: {magic:02x?}"),
    };
    let field = |bytes: &[u8], at: usize| number(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(field(header, 20), 1, "{capture}: link type is not Ethernet");
    let mut frames = Vec::new();
    while !records.is_empty() {
        let captured = field(records, 8) as usize;
        assert_eq!(
            field(records, 12) as usize,
            captured,
            "{capture}: cut frame"
        );
        frames.push(records[16..16 + captured].to_vec());
        records = &records[16 + captured..];
    }
    frames
}

/// The frames of a capture of keepalived, as many as its README says.
#[track_caller]
fn keepalived(capture: &str, count: usize) -> Vec<Vec<u8>> {
    let frames = frames(&format!("keepalived-2.4.3/{capture}.pcap"));
    assert_eq!(frames.len(), count, "{capture}");
    frames
}

fn list(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|text| text.parse().unwrap()).collect()
}

/// One sender of a capture, as its configuration says.
#[derive(Clone)]
struct Peer {
    version: Version,
    vrid: u8,
    source: IpAddr,
    priorities: Vec<u8>,
    interval: Duration,
    addresses: Vec<IpAddr>,
    auth: Key,
    form: ChecksumForm,
}

impl Peer {
    /// Node 1 of keepalived: VRID 51, priority 200.
    fn keepalived(version: Version, millis: u64, addresses: &[&str]) -> Self {
        let addresses = list(addresses);
        let source = match addresses[0] {
            IpAddr::V4(_) => "10.1.0.1",
            IpAddr::V6(_) => "fe80::c49e:41ff:fea0:b427",
        };
        Self {
            version,
            vrid: 51,
            source: source.parse().unwrap(),
            priorities: vec![200],
            interval: Duration::from_millis(millis),
            addresses,
            auth: Key::None,
            form: match version {
                Version::V2 => ChecksumForm::Message,
                Version::V3 => ChecksumForm::PseudoHeader,
            },
        }
    }

    /// The same configuration on node 2, with priority 100.
    fn node_2(&self) -> Self {
        let source = match self.source {
            IpAddr::V4(_) => "10.1.0.2",
            IpAddr::V6(_) => "fe80::c027:a2ff:fe8d:c632",
        };
        Self {
            source: source.parse().unwrap(),
            priorities: vec![100],
            ..self.clone()
        }
    }

    /// The receiver that would be this peer's partner.
    fn expect(&self) -> Expect {
        let source = match self.source {
            IpAddr::V4(_) => "10.1.0.9",
            IpAddr::V6(_) => "fe80::9",
        };
        Expect {
            versions: self.version.into(),
            vrid: Vrid::new(self.vrid).unwrap(),
            source: source.parse().unwrap(),
            peers: Peers::Group,
            interval: self.interval,
            addresses: self.addresses.clone(),
            address_list_check: true,
            owner: false,
            auth: self.auth.clone(),
        }
    }

    fn repr(&self, priority: u8) -> AdvertRepr<'_> {
        AdvertRepr {
            version: self.version,
            vrid: Vrid::new(self.vrid).unwrap(),
            priority,
            interval: self.interval,
            addresses: &self.addresses,
            auth: &self.auth,
            checksum_form: self.form,
        }
    }

    /// Asserts that the frame is an advertisement of this peer in every field, that its partner
    /// accepts it, and that we would have sent the same message. Returns the priority.
    fn assert_sent(&self, frame: &[u8]) -> u8 {
        let datagram = Datagram::from_ethernet(frame).unwrap();
        let advert = Advert::check(&datagram).unwrap();
        assert_eq!(datagram.source, self.source);
        assert_eq!(advert.version(), self.version);
        assert_eq!(advert.vrid().number(), self.vrid);
        assert!(self.priorities.contains(&advert.priority()));
        assert_eq!(advert.interval(), self.interval);
        assert!(advert.addresses().eq(self.addresses.iter().copied()));
        assert_eq!(usize::from(advert.count()), self.addresses.len());
        assert_eq!(advert.auth_type(), self.auth.wire_type());
        assert_eq!(advert.checksum_form(), self.form);
        assert_eq!(
            self.expect().verify(&datagram, &advert),
            Ok(Accepted {
                version: self.version,
                priority: advert.priority(),
                source: self.source,
                interval: self.interval,
                checksum_form: self.form,
                interval_differs: false,
                address_list_differs: false,
                stamp: None,
            })
        );
        let repr = self.repr(advert.priority());
        let message = repr.emit(datagram.source, datagram.destination);
        assert_eq!(message, advert.message());
        advert.priority()
    }
}

/// A capture all of whose frames are advertisements of one peer.
#[track_caller]
fn assert_steady(capture: &str, count: usize, peer: &Peer) {
    for frame in keepalived(capture, count) {
        peer.assert_sent(&frame);
    }
}

/// A capture in which one node follows the other: the priorities in their order.
#[track_caller]
fn assert_election(capture: &str, count: usize, node_1: &Peer, priorities: &[u8]) {
    let node_1 = Peer {
        priorities: vec![200, 0],
        ..node_1.clone()
    };
    let node_2 = node_1.node_2();
    let seen: Vec<u8> = keepalived(capture, count)
        .iter()
        .filter_map(|frame| {
            let datagram = Datagram::from_ethernet(frame).ok()?;
            let peer = if datagram.source == node_1.source {
                &node_1
            } else {
                &node_2
            };
            Some(peer.assert_sent(frame))
        })
        .collect();
    assert_eq!(seen, priorities, "{capture}");
}

const ONE: [&str; 1] = ["10.1.1.1"];
const THREE: [&str; 3] = ["10.1.1.1", "10.1.1.2", "10.1.1.3"];
const THREE_V6: [&str; 3] = ["fe80::1:1", "fd00:1::100", "fd00:1::101"];

#[test]
fn keepalived_v2() {
    let one = Peer::keepalived(Version::V2, 1000, &ONE);
    assert_steady("v2-noauth", 3, &Peer::keepalived(Version::V2, 1000, &THREE));
    assert_steady("v2-noauth-vmac", 3, &one);
    for (capture, count, password) in [
        ("v2-pass", 3, &b"s3cr3t12"[..]),
        ("v2-pass-short", 2, &b"abc"[..]),
    ] {
        let auth = Key::simple(password);
        assert_steady(
            capture,
            count,
            &Peer {
                auth,
                ..one.clone()
            },
        );
    }
}

/// V2-RX-8: the password of the capture is needed, and no other type.
#[test]
fn v2_rx_8_keepalived_password() {
    let peer = Peer::keepalived(Version::V2, 1000, &ONE);
    let hashed = Key::P0Sha256(Zeroizing::new(b"s3cr3t12".to_vec()));
    for (auth, expected) in [
        (Key::None, Reject::AuthType),
        (hashed, Reject::AuthType),
        (Key::simple(b"s3cr3t1"), Reject::AuthData),
        (Key::simple(b"s3cr3t13"), Reject::AuthData),
    ] {
        let expect = Expect {
            auth,
            ..peer.expect()
        };
        for frame in keepalived("v2-pass", 3) {
            let datagram = Datagram::from_ethernet(&frame).unwrap();
            let advert = Advert::check(&datagram).unwrap();
            assert_eq!(expect.verify(&datagram, &advert), Err(expected));
        }
    }
}

#[test]
fn keepalived_v3_over_ipv4() {
    let one = Peer::keepalived(Version::V3, 1000, &ONE);
    let three = Peer::keepalived(Version::V3, 1000, &THREE);
    assert_steady("v3-ipv4-1s", 3, &three);
    assert_steady("v3-ipv4-50ms", 5, &Peer::keepalived(Version::V3, 50, &ONE));
    assert_steady("v3-ipv4-vmac", 3, &one);
    let owner = Peer {
        priorities: vec![255],
        ..one
    };
    assert_steady("v3-ipv4-owner255", 3, &owner);
    let slowest = Peer {
        interval: Duration::from_millis(40_950),
        ..owner
    };
    assert_steady("v3-ipv4-40s", 1, &slowest);
    let twenty: Vec<String> = (1..=20).map(|n| format!("10.1.2.{n}")).collect();
    let twenty: Vec<&str> = twenty.iter().map(String::as_str).collect();
    let twenty = Peer::keepalived(Version::V3, 1000, &twenty);
    assert_steady("v3-ipv4-20vips", 2, &twenty);
}

/// V3-CK-1: with `v3_checksum_as_v2` keepalived sends the form of RFC 9568.
#[test]
fn v3_ck_1_keepalived_sends_either_form() {
    let three = Peer::keepalived(Version::V3, 1000, &THREE);
    let form = ChecksumForm::Message;
    assert_ne!(three.form, form);
    assert_steady("v3-ipv4-csum-as-v2", 3, &Peer { form, ..three });
}

#[test]
fn keepalived_v3_over_ipv6() {
    let peer = Peer::keepalived(Version::V3, 1000, &THREE_V6);
    assert_steady("v3-ipv6", 3, &peer);
    assert_steady("v3-ipv6-vmac", 3, &peer);
}

/// Priority 0 at shutdown, in every version and family, then the other node; a node that dies;
/// a node that preempts.
#[test]
fn keepalived_elections() {
    let v2 = Peer::keepalived(Version::V2, 1000, &ONE);
    let v3 = Peer::keepalived(Version::V3, 500, &ONE);
    let v3_ipv6 = Peer::keepalived(Version::V3, 500, &THREE_V6);
    let fast = Peer::keepalived(Version::V3, 200, &ONE);
    let resigned = [200, 200, 200, 0, 100, 100];
    assert_election("v2-prio0-shutdown", 6, &v2, &[200, 200, 0, 100, 100, 100]);
    assert_election("v3-prio0-shutdown", 6, &v3, &resigned);
    assert_election("v3-ipv6-prio0-shutdown", 6, &v3_ipv6, &resigned);
    let died = [[200; 6].as_slice(), &[100; 13]].concat();
    assert_election("failover-sigkill", 24, &fast, &died);
    let preempted = [[100; 3].as_slice(), &[200; 9]].concat();
    assert_election("preempt", 17, &v3, &preempted);
}

/// V2-RX-12: unicast advertisements are not for a router in multicast mode.
#[test]
fn v2_rx_12_keepalived_unicast_over_ipv4() {
    for (capture, version) in [
        ("unicast-v2-ipv4", Version::V2),
        ("unicast-v3-ipv4", Version::V3),
    ] {
        let peer = Peer::keepalived(version, 1000, &ONE);
        for frame in keepalived(capture, 3) {
            let datagram = Datagram::from_ethernet(&frame).unwrap();
            let advert = Advert::check(&datagram).unwrap();
            let verdict = peer.expect().verify(&datagram, &advert);
            assert_eq!(verdict, Err(Reject::Destination), "{capture}");
        }
    }
}

/// V2-RX-12: with the sender as a unicast peer they are accepted, and we would have sent the same
/// bytes, but for the identification of the IPv4 header (and so its checksum), the flow label and
/// the hop limit of IPv6.
#[test]
fn v2_rx_12_keepalived_unicast_to_a_router_with_peers() {
    const ONE_V4: [&str; 1] = ["10.1.1.1"];
    const TWO_V6: [&str; 2] = ["fd00:1::100", "fd00:1::101"];
    for (capture, version, addresses, source, own, least_ttl) in [
        (
            "unicast-v2-ipv4",
            Version::V2,
            &ONE_V4[..],
            "10.1.0.1",
            "10.1.0.2",
            255,
        ),
        (
            "unicast-v3-ipv4",
            Version::V3,
            &ONE_V4,
            "10.1.0.1",
            "10.1.0.2",
            255,
        ),
        (
            "unicast-v3-ipv6",
            Version::V3,
            &TWO_V6,
            "fd00:1::1",
            "fd00:1::2",
            64,
        ),
    ] {
        let [source, own]: [IpAddr; 2] = [source, own].map(|text| text.parse().unwrap());
        let peer = Peer {
            source,
            ..Peer::keepalived(version, 1000, addresses)
        };
        let expect = Expect {
            source: own,
            peers: Peers::Listed {
                addresses: [source].into(),
                least_ttl,
            },
            ..peer.expect()
        };
        for frame in keepalived(capture, 3) {
            let datagram = Datagram::from_ethernet(&frame).unwrap();
            let advert = Advert::check_from(&datagram, expect.peers.least_ttl()).unwrap();
            let accepted = expect.verify(&datagram, &advert).unwrap();
            assert_eq!((accepted.priority, accepted.source), (200, source));
            assert!(!accepted.interval_differs && !accepted.address_list_differs);

            let sent = AdvertRepr {
                version,
                vrid: advert.vrid(),
                priority: 200,
                interval: peer.interval,
                addresses: &peer.addresses,
                auth: &peer.auth,
                checksum_form: peer.form,
            }
            .datagram(source, own);
            let mut theirs = frame[14..].to_vec();
            if source.is_ipv4() {
                theirs[4..6].fill(0);
                theirs[10..12].copy_from_slice(&sent[10..12]);
            } else {
                theirs[2..4].fill(0);
                theirs[1] &= 0xf0;
                theirs[7] = 255;
            }
            assert_eq!(sent, theirs, "{capture}");
        }
    }
}

/// V3-RX-1: those that keepalived sends over IPv6 do not have hop limit 255. V2-RX-2: if they
/// had, version 2 over IPv6 would still not exist.
#[test]
fn v3_rx_1_keepalived_unicast_over_ipv6() {
    for (capture, with_hop_limit) in [
        ("unicast-v3-ipv6", Ok(2)),
        ("unicast-v2-ipv6", Err(Reject::Version)),
    ] {
        for frame in keepalived(capture, 3) {
            let datagram = Datagram::from_ethernet(&frame).unwrap();
            assert_eq!(datagram.ttl, 64);
            assert_eq!(Advert::check(&datagram), Err(Reject::Ttl), "{capture}");
            let near = Datagram {
                ttl: 255,
                ..datagram
            };
            let count = Advert::check(&near).map(|advert| advert.count());
            assert_eq!(count, with_hop_limit, "{capture}");
        }
    }
}

/// The key of the captures `hmac-*`.
fn hmac_key() -> Key {
    Key::HmacSha256(HmacKeys {
        active: HmacKey {
            id: NonZeroU8::MIN,
            secret: Zeroizing::new((0..32).collect()),
        },
        others: Vec::new(),
        clock_skew: Duration::from_secs(30),
    })
}

/// V2-RX-8: keepalived's trailer is verified, and ours for the same time is the same, byte for
/// byte, in every version and family.
#[test]
fn v2_rx_8_keepalived_hmac_trailer() {
    let ipv6: IpAddr = "fe80::5037:2bff:fe6b:a21f".parse().unwrap();
    for (capture, version, addresses) in [
        ("hmac-v2-ipv4", Version::V2, &ONE[..]),
        ("hmac-v3-ipv4", Version::V3, &ONE[..]),
        ("hmac-v3-ipv6", Version::V3, &THREE_V6[..]),
    ] {
        let mut peer = Peer::keepalived(version, 1000, addresses);
        peer.auth = hmac_key();
        if peer.source.is_ipv6() {
            peer.source = ipv6;
        }
        let mut last = 0;
        for frame in keepalived(capture, 3) {
            let datagram = Datagram::from_ethernet(&frame).unwrap();
            let advert = Advert::check(&datagram).unwrap();
            let accepted = peer.expect().verify(&datagram, &advert).unwrap();
            let Some(Stamp::Clock { sequence, .. }) = accepted.stamp else {
                panic!("{capture}: {accepted:?}");
            };
            assert!(sequence > last, "{capture}");
            last = sequence;
            // A fraction of a second is cut down, so this is the least time that gives it.
            let fraction = (sequence >> 16 & 0xffff) * 1_000_000_000;
            let now = Duration::from_secs(sequence >> 32)
                + Duration::from_nanos(fraction.div_ceil(1 << 16));
            let mac = Frame::parse(&frame).unwrap().source;
            let mut ours = peer.repr(advert.priority()).frame(mac, peer.source);
            peer.auth
                .seal(&mut ours[14..], &mut Sequence::default(), now);
            let sent = Datagram::from_ethernet(&ours).unwrap();
            assert_eq!(sent.payload, datagram.payload, "{capture}");
        }
    }
}

/// V2-RX-8: keepalived's Authentication Header is verified, and ours for the same identification
/// and number is the same: the whole packet, byte for byte.
#[test]
fn v2_rx_8_keepalived_ah() {
    let peer = Peer {
        auth: Key::ah(b"s3cr3t12"),
        ..Peer::keepalived(Version::V2, 1000, &ONE)
    };
    for (frame, number) in keepalived("v2-ah", 3).iter().zip(4..) {
        let datagram = Datagram::from_ethernet(frame).unwrap();
        let advert = Advert::check(&datagram).unwrap();
        let accepted = peer.expect().verify(&datagram, &advert).unwrap();
        assert_eq!(accepted.stamp, Some(Stamp::Counter(number)));
        assert_eq!(accepted.priority, 200);

        let mac = Frame::parse(frame).unwrap().source;
        let mut ours = peer.repr(200).frame(mac, peer.source);
        let ip = &mut ours[14..];
        // The identification and the header checksum over it are all that differs.
        ip[4..6].copy_from_slice(&frame[18..20]);
        ip[10..12].copy_from_slice(&frame[24..26]);
        let now = Duration::from_secs(number.into());
        peer.auth.seal(ip, &mut Sequence::default(), now);
        assert_eq!(ours, *frame);
    }
}

/// ARP-3, ND-3: keepalived's announcements are ours byte for byte, but for the target hardware
/// address of a gratuitous ARP (ff:ff:ff:ff:ff:ff there) and the flag R (taken from `forwarding`
/// there).
#[test]
fn arp_3_nd_3_keepalived_announcements() {
    let nic = Mac([0xc6, 0x9e, 0x41, 0xa0, 0xb4, 0x27]);
    let virtual_mac = |block| Mac([0, 0, 0x5e, 0, block, 51]);
    let mixed = ["10.1.1.1", "10.1.3.1", "fd00:1::200"];
    for (capture, mac, listed, announced) in [
        ("takeover-garp-ipv4", nic, &THREE[..], &THREE),
        ("takeover-garp-ipv4-vmac", virtual_mac(1), &THREE, &THREE),
        ("takeover-na-ipv6", nic, &THREE_V6, &THREE_V6),
        (
            "takeover-na-ipv6-vmac",
            virtual_mac(2),
            &THREE_V6,
            &THREE_V6,
        ),
        ("takeover-excluded-mixed", nic, &ONE, &mixed),
    ] {
        let peer = Peer::keepalived(Version::V3, 500, listed);
        let ours: Vec<Vec<u8>> = list(announced)
            .into_iter()
            .map(|address| match address {
                IpAddr::V4(address) => {
                    let mut frame = arp::gratuitous(mac, address);
                    frame[32..38].fill(0xff);
                    frame
                }
                IpAddr::V6(address) => ndp::unsolicited_advertisement(mac, address, false),
            })
            .collect();
        let mut seen = vec![0; ours.len()];
        for bytes in keepalived(capture, 40) {
            let frame = Frame::parse(&bytes).unwrap();
            assert_eq!(frame.source, mac, "{capture}");
            if frame.ethertype == TYPE_ARP || frame.ethertype == TYPE_IPV6 && frame.payload[6] == 58
            {
                assert_eq!(Datagram::from_ethernet(&bytes), Err(Reject::NotVrrp));
                let which = ours.iter().position(|frame| *frame == bytes);
                seen[which.unwrap_or_else(|| panic!("{capture}: {bytes:02x?}"))] += 1;
            } else {
                peer.assert_sent(&bytes);
            }
        }
        // Two bursts of five per address.
        assert_eq!(seen, vec![10; ours.len()], "{capture}");
    }
}

/// All four authentication types of rVRRPd 0.1.3: the frames are ours byte for byte, and behind
/// them, with authentication, our padding.
#[test]
fn rvrrpd_frames() {
    let secret = || Zeroizing::new(b"interop-secret".to_vec());
    for (vrid, capture, count, auth) in [
        (40, "rvrrpd-wire-vrid40", 7, Key::None),
        (41, "rvrrpd-wire-vrid41", 7, Key::simple(b"interop-secret")),
        (42, "rvrrpd-wire-vrid42", 8, Key::P0Sha256(secret())),
        (43, "rvrrpd-wire-vrid43", 8, Key::P1Shake256(secret())),
    ] {
        let peer = Peer {
            version: Version::V2,
            vrid,
            source: IpAddr::from([10, 99, 0, 1]),
            priorities: vec![200],
            interval: Duration::from_secs(1),
            addresses: vec![IpAddr::from([10, 99, 0, 200 + vrid])],
            auth,
            form: ChecksumForm::Message,
        };
        let frames = frames(&format!("rvrrpd-0.1.3/{capture}.pcap"));
        assert_eq!(frames.len(), count, "{capture}");
        for captured in frames {
            peer.assert_sent(&captured);
            let mac = Frame::parse(&captured).unwrap().source;
            let ours = peer.repr(200).frame(mac, peer.source);
            let (frame, padding) = ours.split_at(captured.len());
            assert_eq!(frame, captured, "{capture}");
            let expected = if peer.auth == Key::None { 0 } else { 60 - 54 };
            assert_eq!(padding, vec![0; expected], "{capture}");
            peer.assert_sent(&ours);
        }
    }
}

/// No capture is left out of this file.
#[test]
fn every_capture_is_tested() {
    let source = include_str!("vectors.rs");
    for folder in ["keepalived-2.4.3", "rvrrpd-0.1.3"] {
        for entry in fs::read_dir(vectors().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(capture) = name.strip_suffix(".pcap") {
                assert!(source.contains(&format!("\"{capture}\"")), "{name}");
            }
        }
    }
}
