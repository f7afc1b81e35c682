//! What is sent byte for byte, and that nothing that is received does harm.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::ip::packet;
use rvrrpd_tests::frame::{AdvertSpec, IPV4, Mac, Sum, ethernet, hex, to_hex};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::inject::Injector;
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::random::Random;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{GHOST, NAME, Scene, VIP, VIP_TEXT, VRID, advert_from};
use rvrrpd_tests::sys::Stamp;

in_modes! {
    // Ether: two virtual MACs on one interface.
    frames_equal_those_of_the_original: macvlan, ebpf;
    frames_of_the_original_are_accepted: macvlan, ebpf;
    version_2_is_strict: macvlan, ether, ebpf;
    random_frames_with_the_filter: macvlan, ether, ebpf;
    another_interface_is_another_router: macvlan, ether, ebpf;
    the_checksum_follows_the_peer: macvlan, ether, ebpf;
}

/// Frames of rVRRPd 0.1.3: priority 200, 1 s, source 10.99.0.1, secret `interop-secret`.
const ORIGINALS: [(u8, &str, &str); 4] = [
    (
        40,
        "",
        "01005e000012 00005e000128 0800 45c0002800000000ff70d02f0a630001e0000012 \
         2128c80100010b82 0a6300f0 0000000000000000",
    ),
    (
        41,
        "rfc2338-simple",
        "01005e000012 00005e000129 0800 45c0002800000000ff70d02f0a630001e0000012 \
         2129c80101014a0f 0a6300f1 696e7465726f702d",
    ),
    (
        42,
        "p0-t8-sha256",
        "01005e000012 00005e00012a 0800 45c0002800000000ff70d02f0a630001e0000012 \
         212ac801fa01e8b2 0a6300f2 1eaec56e1b352978",
    ),
    (
        43,
        "p1-t8-shake256",
        "01005e000012 00005e00012b 0800 45c0002800000000ff70d02f0a630001e0000012 \
         212bc801fb01f527 0a6300f3 3ff80c4271a35d75",
    ),
];

/// V2-TX-1: what is sent equals what rVRRPd 0.1.3 sends, for every authentication type, with
/// authentication padded with zeros to 60 bytes, which the original needs.
fn frames_equal_those_of_the_original(mode: Mode) {
    let lab = Lab::new("frames_equal_those_of_the_original");
    let lan = lab.lan("lan");
    let router = lab.host_on(&lan, "r1", &["10.99.0.1/24"]);
    let capture = lan.capture();
    let vrouters: Vec<Vrouter> = ORIGINALS
        .iter()
        .map(|(vrid, auth, _)| {
            let vip = format!("10.99.0.{}", 200 + vrid);
            let vrouter = Vrouter::new(*vrid, &[&vip]).v2().mode(mode).priority(200);
            if auth.is_empty() {
                return vrouter;
            }
            vrouter
                .text("auth_type", auth)
                .text("auth_secret", "interop-secret")
        })
        .collect();
    let _daemon = Rvrrpd::start(&lab, &router, &config(&vrouters));
    for (vrid, auth, original) in ORIGINALS {
        let mut expected = hex(original);
        let frame = capture.wait_since(Stamp::default(), "an advert", within(10.0), |frame| {
            frame.is_advert_of(vrid)
        });
        if auth.is_empty() {
            // Without authentication padding is permitted and not needed.
            expected.resize(frame.bytes.len().clamp(expected.len(), 60), 0);
        } else {
            expected.resize(60, 0);
        }
        assert_eq!(
            to_hex(&frame.bytes),
            to_hex(&expected),
            "VRID {vrid}, {auth}"
        );
    }
}

/// V2-RX-8, V3-RX-13: frames of the original are accepted, padded to 60 bytes and not, and a wrong
/// secret or type is not.
fn frames_of_the_original_are_accepted(mode: Mode) {
    let lab = Lab::new("frames_of_the_original_are_accepted");
    let lan = lab.lan("lan");
    // Equal priority does not yield in Backup; so the Backup that hears nothing takes over.
    let router = lab.host_on(&lan, "r1", &["10.99.0.9/24"]);
    let peer = lab.host_on(&lan, "peer", &["10.99.0.1/24"]);
    let vrouters: Vec<Vrouter> = ORIGINALS
        .iter()
        .map(|(vrid, auth, _)| {
            let vip = format!("10.99.0.{}", 200 + vrid);
            let vrouter = Vrouter::new(*vrid, &[&vip]).v2().mode(mode);
            if auth.is_empty() {
                return vrouter;
            }
            vrouter
                .text("auth_type", auth)
                .text("auth_secret", "interop-secret")
        })
        .collect();
    let daemon = Rvrrpd::start(&lab, &router, &config(&vrouters));
    for (vrid, ..) in ORIGINALS {
        daemon.wait_state(&format!("eth0-{vrid}"), State::Backup, within(10.0));
    }
    let injector = peer.injector("eth0");
    for (vrid, auth, original) in ORIGINALS {
        let name = format!("eth0-{vrid}");
        let before = daemon.counters(&name);
        let mut frame = hex(original);
        injector.send(&frame);
        frame.resize(60, 0);
        injector.send(&frame);
        until(
            &format!("{name}: both are accepted ({auth})"),
            within(5.0),
            || {
                let rise = risen(&before, &daemon.counters(&name));
                (rise.get("advertisement-rcvd") == Some(&2)).then_some(())
            },
        );
        // The last byte of the authentication data, with a checksum that is right again.
        if !auth.is_empty() {
            let (before, errors) = (daemon.counters(&name), refused(&daemon));
            let mut forged = hex(original)[34..].to_vec();
            forged[19] ^= 1;
            forged[6..8].fill(0);
            let sum = rvrrpd_tests::frame::ip::checksum(&[&forged]);
            forged[6..8].copy_from_slice(&sum.to_be_bytes());
            let mut frame = hex(original);
            frame.splice(34.., forged);
            injector.send(&frame);
            until(
                &format!("{name}: the forged one is counted"),
                within(5.0),
                || (refused(&daemon) == errors + 1).then_some(()),
            );
            assert_eq!(
                risen(&before, &daemon.counters(&name)).get("advertisement-rcvd"),
                None
            );
        }
        daemon.wait_state(&name, State::Backup, within(10.0));
    }
}

/// By how much counters have risen, without those that have not.
fn risen(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    after
        .iter()
        .map(|(key, value)| (key.clone(), value - before.get(key).copied().unwrap_or(0)))
        .filter(|(_, rise)| *rise > 0)
        .collect()
}

/// Packets that the daemon has refused: every one counts once, by the rule that it broke.
fn refused(daemon: &Rvrrpd) -> u64 {
    let counters = daemon.counters("global");
    counters
        .iter()
        .filter(|(key, _)| key.starts_with("refused-"))
        .map(|(_, value)| value)
        .sum()
}

/// A router under attack: with everything delivered to the process, so that each bad frame has to
/// be counted by it.
struct Target<'a> {
    scene: &'a Scene,
    daemon: Rvrrpd,
    state: State,
    injector: Injector,
    mac: Mac,
}

impl<'a> Target<'a> {
    /// r1 in `state`. A Backup is kept one by an advert whose interval is 40.95 s.
    fn new(scene: &'a Scene, state: State) -> Self {
        let vrouter = Vrouter::new(VRID, &[VIP_TEXT])
            .macvlan()
            .key("socket_filter", false)
            .interval(if state == State::Master { 0.1 } else { 1.0 });
        let daemon = scene.start(&scene.r1, &config(&[vrouter]));
        daemon.wait_change(0, NAME, State::Backup, within(10.0));
        if state == State::Backup {
            scene.inject(scene.ghost(200, 4095));
            until("the holding advert is accepted", within(5.0), || {
                (daemon.counters(NAME).get("advertisement-rcvd") == Some(&1)).then_some(())
            });
        } else {
            daemon.wait_state(NAME, State::Master, within(10.0));
        }
        let injector = scene.client.injector("eth0");
        Self {
            scene,
            daemon,
            state,
            injector,
            mac: scene.client.mac("eth0"),
        }
    }

    /// A good advert that a Backup would obey: priority 254.
    fn good(&self) -> AdvertSpec {
        AdvertSpec {
            mac: Some(self.mac),
            ..self.scene.ghost(254, 100)
        }
    }

    /// Sends `frames` in small lots and waits until as many errors are counted.
    fn attack(&mut self, what: &str, frames: &[Vec<u8>]) {
        self.scene.lab.step(what);
        let accepted = self.daemon.counters(NAME);
        for lot in frames.chunks(200) {
            let before = refused(&self.daemon);
            for frame in lot {
                self.injector.send(frame);
            }
            let wanted = before + lot.len() as u64;
            until(
                &format!("{what}: {wanted} errors are counted"),
                within(5.0),
                || (refused(&self.daemon) >= wanted).then_some(()),
            );
            assert_eq!(
                refused(&self.daemon),
                wanted,
                "{what}: each is counted once"
            );
        }
        let rise = risen(&accepted, &self.daemon.counters(NAME));
        assert_eq!(rise.get("advertisement-rcvd"), None, "{what}: {rise:?}");
        assert!(self.daemon.runs(), "{what}: the daemon has ended");
        assert_eq!(self.daemon.state(NAME), Some(self.state), "{what}");
    }

    /// Lines of the log that are not answers to our own questions.
    fn log_lines(&self) -> usize {
        self.daemon
            .log()
            .lines()
            .iter()
            .filter(|line| {
                !["stats ", "gate interface="]
                    .iter()
                    .any(|of| line.text.contains(of))
            })
            .count()
    }
}

/// V3-RX-1 to V3-RX-6: each fault has its counter, which rises by exactly the number of frames.
#[test]
fn each_fault_has_its_counter() {
    let scene = Scene::new("each_fault_has_its_counter");
    let target = Target::new(&scene, State::Backup);
    let good = target.good();
    let cases: [(&str, &str, AdvertSpec); 7] = [
        (
            "global",
            "ip-ttl-errors",
            AdvertSpec {
                ttl: 254,
                ..good.clone()
            },
        ),
        (
            "global",
            "version-errors",
            AdvertSpec {
                version: 4,
                ..good.clone()
            },
        ),
        (
            "global",
            "checksum-errors",
            AdvertSpec {
                sum: Sum::Wrong,
                ..good.clone()
            },
        ),
        (
            "global",
            "vrid-errors",
            AdvertSpec {
                vrid: 99,
                ..good.clone()
            },
        ),
        (
            NAME,
            "invalid-type-pkts-rcvd",
            AdvertSpec {
                kind: 2,
                ..good.clone()
            },
        ),
        (
            NAME,
            "packet-length-errors",
            AdvertSpec {
                count: Some(255),
                ..good.clone()
            },
        ),
        (
            NAME,
            "packet-length-errors",
            AdvertSpec {
                count: Some(0),
                addresses: vec![],
                ..good
            },
        ),
    ];
    for (whose, counter, spec) in cases {
        scene.lab.step(counter);
        let before = target.daemon.counters(whose);
        let errors = refused(&target.daemon);
        for _ in 0..10 {
            target.injector.send(&spec.frame());
        }
        until(
            &format!("{counter} rises by 10: {spec:?}"),
            within(5.0),
            || {
                (risen(&before, &target.daemon.counters(whose)).get(counter) == Some(&10))
                    .then_some(())
            },
        );
        assert_eq!(
            refused(&target.daemon),
            errors + 10,
            "{counter}: counted once each"
        );
        assert_eq!(target.daemon.state(NAME), Some(State::Backup), "{counter}");
    }
}

/// V2-RX-9, V2-RX-10, V2-RX-8: version 2 drops another interval, another authentication type and
/// another address list (unless from priority 255), and counts each.
fn version_2_is_strict(mode: Mode) {
    let scene = Scene::new("version_2_is_strict");
    let text = config(&[Vrouter::new(VRID, &[VIP_TEXT])
        .v2()
        .mode(mode)
        .key("socket_filter", false)]);
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Backup, within(10.0));
    let good = AdvertSpec::v2(VRID, 200, 1, GHOST, &[VIP]);
    let other: IpAddr = Ipv4Addr::new(10, 0, 0, 99).into();
    let bad = [
        (
            "interval-errors",
            AdvertSpec {
                interval: 2,
                ..good.clone()
            },
        ),
        (
            "address-list-errors",
            AdvertSpec {
                addresses: vec![other],
                ..good.clone()
            },
        ),
        (
            "",
            AdvertSpec {
                auth_type: 1,
                auth_data: *b"password",
                ..good.clone()
            },
        ),
    ];
    for (counter, spec) in bad {
        let (before, errors) = (daemon.counters(NAME), refused(&daemon));
        scene.inject(spec);
        until(&format!("{counter}: one more error"), within(5.0), || {
            (refused(&daemon) == errors + 1).then_some(())
        });
        let rise = risen(&before, &daemon.counters(NAME));
        assert!(
            counter.is_empty() || rise.get(counter) == Some(&1),
            "{counter}: {rise:?}"
        );
        assert_eq!(rise.get("advertisement-rcvd"), None, "{counter}: {rise:?}");
    }
    let before = daemon.counters(NAME);
    scene.inject(AdvertSpec {
        addresses: vec![other],
        priority: 255,
        ..good.clone()
    });
    scene.inject(good);
    until(
        "a good one and one of an owner are accepted",
        within(5.0),
        || {
            let rise = risen(&before, &daemon.counters(NAME));
            (rise.get("advertisement-rcvd") == Some(&2)).then_some(())
        },
    );
}

/// V3-RX-4, V3-RX-13: an advert cut at every byte is one error each, in Backup and in Master.
#[test]
fn truncated_at_every_byte() {
    for state in [State::Backup, State::Master] {
        let scene = Scene::new("truncated_at_every_byte");
        let mut target = Target::new(&scene, state);
        let good = target.good();
        let message = good.message();
        let frames: Vec<Vec<u8>> = (0..message.len())
            .map(|end| good.frame_of(&message[..end]))
            .collect();
        target.attack("truncated", &frames);
        let longer: Vec<Vec<u8>> = (1..=20)
            .map(|more| good.frame_of(&[message.clone(), vec![0; more]].concat()))
            .collect();
        target.attack("too long", &longer);
        assert!(target.log_lines() < 100, "{} log lines", target.log_lines());
    }
}

/// V3-RX-6: every single flipped bit is one error, in Backup and in Master.
#[test]
fn every_flipped_bit() {
    for state in [State::Backup, State::Master] {
        let scene = Scene::new("every_flipped_bit");
        let mut target = Target::new(&scene, state);
        let good = target.good();
        let message = good.message();
        let frames: Vec<Vec<u8>> = (0..message.len() * 8)
            .map(|bit| {
                let mut flipped = message.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                good.frame_of(&flipped)
            })
            .collect();
        target.attack("flipped bits", &frames);
        assert!(target.log_lines() < 100, "{} log lines", target.log_lines());
    }
}

/// V2-RX-11, SEC-2: 10 000 random payloads of protocol 112: no change of state, no crash, a bounded
/// log, and exactly as many errors.
#[test]
fn random_payloads() {
    for state in [State::Backup, State::Master] {
        let scene = Scene::new("random_payloads");
        let mut target = Target::new(&scene, state);
        let mut random = Random::new(112);
        let frames: Vec<Vec<u8>> = (0..10_000)
            .map(|_| {
                let length = random.below(1400) as usize;
                let ip = packet(
                    GHOST.into(),
                    Ipv4Addr::new(224, 0, 0, 18).into(),
                    112,
                    255,
                    0xc0,
                    &random.bytes(length),
                );
                ethernet(Mac([1, 0, 0x5e, 0, 0, 0x12]), target.mac, IPV4, &ip)
            })
            .collect();
        target.attack("random payloads", &frames);
        assert!(target.log_lines() < 200, "{} log lines", target.log_lines());
    }
}

/// The same 10 000 with whole random frames, and with the socket filter that is on by default: the
/// Master goes on advertising, and a good advert is still understood afterwards.
fn random_frames_with_the_filter(mode: Mode) {
    let scene = Scene::new("random_frames_with_the_filter");
    let lan = scene.lan.capture();
    let text = config(&[Vrouter::new(VRID, &[VIP_TEXT]).mode(mode)]);
    let mut daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Master, within(10.0));
    let injector = scene.client.injector("eth0");
    let good = AdvertSpec {
        mac: Some(scene.client.mac("eth0")),
        ..scene.ghost(254, 100)
    }
    .frame();
    let mut random = Random::new(9568);
    for _ in 0..10_000 {
        let mut frame = good.clone();
        let kept = 12 + random.below(36) as usize;
        frame.truncate(kept.min(good.len() - 2));
        let more = random.below(200) as usize;
        frame.extend(random.bytes(more));
        injector.send(&frame);
    }
    let end = Stamp::now();
    lan.wait_count(
        end,
        3,
        "adverts go on",
        within(5.0),
        advert_from(&scene.r1, VRID),
    );
    assert!(daemon.runs());
    assert_eq!(daemon.state(NAME), Some(State::Master));
    assert!(
        daemon.log().lines().len() < 200,
        "{} log lines",
        daemon.log().lines().len()
    );
    injector.send(&good);
    daemon.wait_state(NAME, State::Backup, within(10.0));
}

/// V3-RX-7: an advert that arrives on another interface is not for the router.
fn another_interface_is_another_router(mode: Mode) {
    let scene = Scene::with_upstream("another_interface_is_another_router");
    let daemon = scene.start(
        &scene.r1,
        &config(&[Vrouter::new(VRID, &[VIP_TEXT]).mode(mode)]),
    );
    daemon.wait_state(NAME, State::Master, within(10.0));
    let server: &Host = scene.server.as_ref().expect("server");
    let spec = AdvertSpec {
        mac: Some(server.mac("eth0")),
        ..scene.ghost(254, 100)
    };
    let before = daemon.counters(NAME);
    let injector = server.injector("eth0");
    for _ in 0..20 {
        injector.send(&spec.frame());
    }
    // A frame that does arrive, after those that must not.
    let own = AdvertSpec {
        mac: Some(scene.client.mac("eth0")),
        ..scene.ghost(1, 100)
    };
    scene.client.injector("eth0").send(&own.frame());
    until(
        "the advert on the right interface is counted",
        within(5.0),
        || {
            let rise = risen(&before, &daemon.counters(NAME));
            (rise.get("advertisement-rcvd") == Some(&1)).then_some(())
        },
    );
    assert_eq!(daemon.state(NAME), Some(State::Master));
}

/// V3-CK-1, V3-CK-2: both forms of the checksum are accepted; with `auto` ours follows the peer,
/// the other settings fix it.
fn the_checksum_follows_the_peer(mode: Mode) {
    let scene = Scene::new("the_checksum_follows_the_peer");
    let lan = scene.lan.capture();
    let cases = [
        ("auto", Sum::Message, Sum::PseudoHeader),
        ("rfc9568", Sum::Message, Sum::Message),
        ("pseudo-header", Sum::PseudoHeader, Sum::PseudoHeader),
    ];
    for (setting, alone, with_peer) in cases {
        scene.lab.step(setting);
        let start = Stamp::now();
        let vrouter = Vrouter::new(VRID, &[VIP_TEXT])
            .mode(mode)
            .text("v3_checksum", setting);
        let daemon = scene.start(&scene.r1, &config(&[vrouter]));
        let sum_of = |frame: &rvrrpd_tests::frame::Frame| frame.advert().map(|a| a.sum);
        let ours = advert_from(&scene.r1, VRID);
        let first = lan.wait_since(start, "an advert", within(5.0), &ours);
        assert_eq!(sum_of(&first), Some(alone), "{setting}");
        for (number, sum) in [Sum::Message, Sum::PseudoHeader].into_iter().enumerate() {
            // A lower priority, which a Master answers.
            scene.inject(AdvertSpec {
                sum,
                ..scene.ghost(50, 10)
            });
            until(
                &format!("{setting}: {sum:?} is accepted"),
                within(5.0),
                || {
                    let counters = daemon.counters(NAME);
                    (counters["advertisement-rcvd"] == number as u64 + 1).then_some(())
                },
            );
        }
        let heard = Stamp::now();
        let frames = lan.wait_count(heard, 4, "adverts", within(5.0), &ours);
        assert_eq!(sum_of(&frames[3]), Some(with_peer), "{setting}");
        daemon.stop();
    }
}
