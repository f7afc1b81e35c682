//! Authentication that numbers messages: HMAC-SHA256 in every version and family, and the IP
//! Authentication Header, also with keepalived.

use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::Frame;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::keepalived::{self, Instance, Keepalived};
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT, VRID, advert_from, converge};
use rvrrpd_tests::sys::Stamp;

/// Three advertisement intervals of version 2, in which every Master is heard.
const WINDOW: Duration = Duration::from_millis(3200);
const KEY: &str = "an example key of the group, 1..";
const OTHER_KEY: &str = "an example key of the group, 2..";

fn hmac(vrouter: Vrouter, key: &str) -> Vrouter {
    vrouter
        .text("auth_type", "hmac-sha256")
        .text("auth_secret", key)
}

fn ah(vrouter: Vrouter, password: &str) -> Vrouter {
    vrouter
        .v2()
        .text("auth_type", "rfc2338-ah")
        .text("auth_secret", password)
}

/// One virtual router of every kind, by its VRID.
fn kinds() -> Vec<Vrouter> {
    let usual = |vrid: u8| Vrouter::new(vrid, &[&format!("10.0.0.{vrid}")]);
    let ipv6 = Vrouter::new(34, &["fe80::34", "2001:db8::34"]);
    vec![
        hmac(usual(31), KEY),
        hmac(usual(32).v2(), KEY),
        ah(usual(33), "s3cr3t12"),
        hmac(ipv6, KEY),
    ]
}

const VRIDS: [u8; 4] = [31, 32, 33, 34];

fn start(scene: &Scene, host: &Host, priority: u8, vrouters: &[Vrouter]) -> Rvrrpd {
    scene.start(host, &text(priority, vrouters))
}

fn text(priority: u8, vrouters: &[Vrouter]) -> String {
    let vrouters: Vec<Vrouter> = vrouters
        .iter()
        .map(|vrouter| {
            vrouter
                .clone()
                .macvlan()
                .priority(priority)
                .preemption(true)
        })
        .collect();
    config(&vrouters)
}

/// Waits until `host` is the only Master of these.
#[track_caller]
fn all_at(lan: &Capture, vrids: &[u8], host: &Host) {
    let expected: Vec<(u8, &Host)> = vrids.iter().map(|vrid| (*vrid, host)).collect();
    converge(lan, &expected, WINDOW, within(25.0));
}

/// What authentication has refused, of all virtual routers together.
fn refused(daemon: &Rvrrpd) -> Vec<(String, u64)> {
    let counters = daemon.statistics().remove("global").unwrap_or_default();
    counters
        .into_iter()
        .filter(|(name, _)| name.starts_with("refused-auth"))
        .collect()
}

/// The counter of a reason, of a virtual router.
fn count(daemon: &Rvrrpd, name: &str, reason: &str) -> u64 {
    let counter = format!("refused-{reason}");
    daemon.counters(name).remove(&counter).unwrap_or(0)
}

/// V2-RX-8: Master killed, started again, stopped: nobody is ever refused, because a sender that
/// starts again is ahead of what it sent before.
#[test]
fn v2_rx_8_every_type_fails_over() {
    let scene = Scene::in_lab(Lab::with_limit(
        "v2_rx_8_every_type_fails_over",
        Duration::from_secs(150),
    ));
    let lan = scene.lan.capture();
    let mut first = start(&scene, &scene.r1, 200, &kinds());
    let second = start(&scene, &scene.r2, 100, &kinds());
    scene.lab.step("both");
    all_at(&lan, &VRIDS, &scene.r1);
    for (vrid, ah, trailer) in [(31, 0, 28), (32, 0, 28), (33, 24, 0), (34, 0, 28)] {
        let adverts = lan.adverts_since(Stamp::default(), vrid);
        let (_, advert) = adverts.last().unwrap();
        assert_eq!((advert.ah.len(), advert.trailer.len()), (ah, trailer));
    }
    first.sigkill();
    scene.lab.step("Master killed");
    all_at(&lan, &VRIDS, &scene.r2);
    let first = start(&scene, &scene.r1, 200, &kinds());
    scene.lab.step("started again");
    all_at(&lan, &VRIDS, &scene.r1);
    assert_eq!(refused(&first), []);
    first.stop();
    scene.lab.step("Master stopped");
    all_at(&lan, &VRIDS, &scene.r2);
    assert_eq!(refused(&second), []);
    second.stop();
}

/// V2-RX-8, AUTH-RX-1, AUTH-RX-3: who does not have the key is not heard: both are Master, and
/// each counts why.
#[test]
fn v2_rx_8_auth_rx_1_auth_rx_3_wrong_keys_make_two_masters() {
    let scene = Scene::new("wrong_keys_make_two_masters");
    let lan = scene.lan.capture();
    let usual = |vrid: u8| Vrouter::new(vrid, &[&format!("10.0.0.{vrid}")]);
    let numbered = |vrid, id| {
        let keys = format!("[{{ id = {id}, secret = {KEY:?} }}]");
        usual(vrid)
            .text("auth_type", "hmac-sha256")
            .key("auth_keys", keys)
    };
    let ours = [
        hmac(usual(51), KEY),
        numbered(52, 1),
        ah(usual(53), "s3cr3t12"),
        hmac(usual(54), KEY),
        ah(usual(55), "s3cr3t12"),
    ];
    let theirs = [
        hmac(usual(51), OTHER_KEY),
        numbered(52, 2),
        ah(usual(53), "another"),
        usual(54),
        usual(55).v2(),
    ];
    let first = start(&scene, &scene.r1, 200, &ours);
    let second = start(&scene, &scene.r2, 100, &theirs);
    for vrid in 51..=55 {
        for daemon in [&first, &second] {
            daemon.wait_state(&format!("eth0-{vrid}"), State::Master, within(15.0));
        }
    }
    for (vrid, at_first, at_second) in [
        (51, "auth-data", "auth-data"),
        (52, "auth-key-unknown", "auth-key-unknown"),
        (53, "auth-data", "auth-data"),
        (54, "auth-missing", "length"),
        (55, "auth-type", ""),
    ] {
        let name = format!("eth0-{vrid}");
        for (daemon, reason) in [(&first, at_first), (&second, at_second)] {
            if !reason.is_empty() {
                until(&format!("{name}: {reason}"), within(10.0), || {
                    (count(daemon, &name, reason) > 0).then_some(())
                });
            }
        }
    }
    let both = [scene.r1.name(), scene.r2.name()];
    for vrid in 51..=55 {
        for host in both {
            lan.wait_since(Stamp::now(), "an advert", within(10.0), |frame| {
                frame.port == host && frame.is_advert_of(vrid)
            });
        }
    }
}

/// Frames of `host` for `vrid`.
fn recorded(lan: &Capture, host: &Host, vrid: u8) -> Vec<Frame> {
    lan.frames()
        .into_iter()
        .filter(advert_from(host, vrid))
        .collect()
}

/// AUTH-RX-4, AUTH-RX-5, V2-RX-8: what a Master has sent is recorded, and sent again when it is
/// dead: it stays dead. A changed bit is refused.
#[test]
fn auth_rx_4_auth_rx_5_recorded_adverts_do_not_bring_back_the_dead() {
    let scene = Scene::new("recorded_adverts");
    let lan = scene.lan.capture();
    let vrouter = [hmac(Vrouter::new(VRID, &[VIP_TEXT]), KEY).key("auth_clock_skew", 5)];
    let mut first = start(&scene, &scene.r1, 200, &vrouter);
    let second = start(&scene, &scene.r2, 100, &vrouter);
    all_at(&lan, &[VRID], &scene.r1);
    first.sigkill();
    second.wait_state(NAME, State::Master, within(10.0));
    let changes = second.changes().len();
    let frames = recorded(&lan, &scene.r1, VRID);
    let injector = scene.client.injector("eth0");
    // What is fresh yet.
    let last = frames.last().unwrap();
    injector.send(&last.bytes);
    until("a replay is counted", within(5.0), || {
        (count(&second, NAME, "auth-replay") == 1).then_some(())
    });
    let mut tampered = last.bytes.clone();
    *tampered.last_mut().unwrap() ^= 1;
    injector.send(&tampered);
    until("a wrong code is counted", within(5.0), || {
        (count(&second, NAME, "auth-data") == 1).then_some(())
    });
    // What is old.
    until("the record is old", within(10.0), || {
        (Stamp::now().since(last.stamp) > Duration::from_millis(5500)).then_some(())
    });
    for frame in &frames {
        injector.send(&frame.bytes);
    }
    until("every old advert is counted", within(5.0), || {
        (count(&second, NAME, "auth-stale") == frames.len() as u64).then_some(())
    });
    assert_eq!(second.changes().len(), changes, "{:?}", second.changes());
    second.stop();
}

/// AUTH-RX-5: the same while the Master lives, with the Authentication Header: such as its
/// priority 0 of an earlier stop.
#[test]
fn auth_rx_5_recorded_resignation_is_refused() {
    let scene = Scene::new("recorded_resignation");
    let lan = scene.lan.capture();
    let vrouter = [ah(Vrouter::new(VRID, &[VIP_TEXT]), "s3cr3t12")];
    let first = start(&scene, &scene.r1, 200, &vrouter);
    all_at(&lan, &[VRID], &scene.r1);
    first.stop();
    let resigned = lan.wait_since(Stamp::default(), "priority 0", within(5.0), |frame| {
        frame
            .advert()
            .is_some_and(|advert| advert.vrid == VRID && advert.priority == 0)
    });
    let _first = start(&scene, &scene.r1, 200, &vrouter);
    let second = start(&scene, &scene.r2, 100, &vrouter);
    all_at(&lan, &[VRID], &scene.r1);
    second.wait_state(NAME, State::Backup, within(10.0));
    let (changes, start) = (second.changes().len(), Stamp::now());
    scene.client.injector("eth0").send(&resigned.bytes);
    until("a replay is counted", within(5.0), || {
        (count(&second, NAME, "auth-replay") == 1).then_some(())
    });
    // Longer than the skew time after which a Backup would have taken over.
    let advert = advert_from(&scene.r1, VRID);
    lan.wait_count(start, 2, "adverts of the Master", within(5.0), advert);
    assert_eq!(second.changes().len(), changes, "{:?}", second.changes());
    second.stop();
}

/// AUTH-RX-3: a key is changed step by step on both routers; nobody refuses anything and nobody
/// changes its state.
#[test]
fn auth_rx_3_rotation_without_a_gap() {
    let scene = Scene::new("rotation_without_a_gap");
    let lan = scene.lan.capture();
    let vrouter = |keys: &[u8], active: u8| {
        let keys: Vec<String> = keys
            .iter()
            .map(|id| format!("{{ id = {id}, secret = \"an example key of the group, {id}..\" }}"))
            .collect();
        [Vrouter::new(VRID, &[VIP_TEXT])
            .interval(0.5)
            .text("auth_type", "hmac-sha256")
            .key("auth_keys", format!("[{}]", keys.join(", ")))
            .key("auth_active_key", active)]
    };
    let first = start(&scene, &scene.r1, 200, &vrouter(&[1], 1));
    let second = start(&scene, &scene.r2, 100, &vrouter(&[1], 1));
    all_at(&lan, &[VRID], &scene.r1);
    let start = Stamp::now();
    let changes = [&first, &second].map(|daemon| daemon.changes().len());
    for (keys, active) in [(&[1, 2][..], 1), (&[1, 2], 2), (&[2], 2)] {
        for (daemon, priority) in [(&first, 200), (&second, 100)] {
            let mark = daemon.log().mark();
            daemon.reload(&text(priority, &vrouter(keys, active)));
            daemon
                .log()
                .wait_after(mark, "reload", within(5.0), |line| {
                    line.text.to_lowercase().contains("reload").then_some(())
                });
            let since = Stamp::now();
            lan.wait_count(
                since,
                3,
                "adverts",
                within(5.0),
                advert_from(&scene.r1, VRID),
            );
        }
    }
    lan.wait_since(start, "an advert with the new key", within(5.0), |frame| {
        frame
            .advert()
            .is_some_and(|advert| advert.trailer.get(1) == Some(&2))
    });
    for (daemon, before) in [&first, &second].into_iter().zip(changes) {
        assert_eq!(refused(daemon), []);
        assert_eq!(daemon.changes().len(), before, "{:?}", daemon.changes());
    }
    first.stop();
    second.stop();
}

/// The first virtual router with an Authentication Header comes with a reload: it is heard, and
/// the one that was there is not disturbed.
#[test]
fn authentication_header_after_a_reload() {
    let scene = Scene::new("authentication_header_after_a_reload");
    let lan = scene.lan.capture();
    let plain = Vrouter::new(VRID, &[VIP_TEXT]).interval(0.5);
    let first = start(&scene, &scene.r1, 200, core::slice::from_ref(&plain));
    let second = start(&scene, &scene.r2, 100, core::slice::from_ref(&plain));
    all_at(&lan, &[VRID], &scene.r1);
    let changes = second.changes().len();
    let with_ah = [plain, ah(Vrouter::new(33, &["10.0.0.33"]), "s3cr3t12")];
    for (daemon, priority) in [(&first, 200), (&second, 100)] {
        daemon.reload(&text(priority, &with_ah));
    }
    all_at(&lan, &[VRID, 33], &scene.r1);
    second.wait_state("eth0-33", State::Backup, within(10.0));
    let disturbed: Vec<_> = second.changes().split_off(changes);
    assert!(
        disturbed.iter().all(|change| change.name != NAME),
        "{disturbed:?}"
    );
    first.stop();
    all_at(&lan, &[VRID, 33], &scene.r2);
    assert_eq!(refused(&second), []);
    second.stop();
}

/// V2-RX-8 with keepalived's `auth_type AH`: each as Master and as Backup, each stopped, killed and
/// started again; keepalived counts from 1 then.
#[test]
fn v2_rx_8_keepalived_with_authentication_header() {
    const TEST: &str = "v2_rx_8_keepalived_with_authentication_header";
    if !keepalived::installed() {
        println!("{TEST}: skipped, keepalived is not installed");
        return;
    }
    let scene = Scene::in_lab(Lab::with_limit(TEST, Duration::from_secs(200)));
    let lan = scene.lan.capture();
    let vrids = [61, 62];
    let vip = |vrid: u8| format!("10.0.0.{vrid}");
    let start_rvrrpd = || {
        let vrouters: Vec<Vrouter> = vrids
            .iter()
            .map(|vrid| {
                ah(Vrouter::new(*vrid, &[&vip(*vrid)]), "s3cr3t12")
                    .macvlan()
                    .priority(if *vrid == 61 { 200 } else { 100 })
                    .preemption(true)
            })
            .collect();
        scene.start(&scene.r1, &config(&vrouters))
    };
    let start_keepalived = || {
        let instances: Vec<Instance> = vrids
            .iter()
            .map(|vrid| Instance {
                version: 2,
                vrid: *vrid,
                priority: if *vrid == 61 { 100 } else { 200 },
                interval: 1.0,
                password: Some("AH:s3cr3t12".to_owned()),
                vmac: false,
                options: Vec::new(),
                vips: vec![format!("{}/32", vip(*vrid))],
            })
            .collect();
        Keepalived::start(&scene.lab, &scene.r2, &instances)
    };
    let converged = || {
        let expected = [(61, &scene.r1), (62, &scene.r2)];
        converge(&lan, &expected, WINDOW, within(25.0));
    };
    let mut daemon = start_rvrrpd();
    let peer = start_keepalived();
    scene.lab.step("both");
    converged();
    peer.stop();
    scene.lab.step("keepalived stopped");
    all_at(&lan, &vrids, &scene.r1);
    let peer = start_keepalived();
    scene.lab.step("keepalived again");
    converged();
    daemon.sigkill();
    scene.lab.step("rvrrpd killed");
    all_at(&lan, &vrids, &scene.r2);
    let daemon = start_rvrrpd();
    scene.lab.step("rvrrpd again");
    converged();
    peer.kill();
    scene.lab.step("keepalived killed");
    all_at(&lan, &vrids, &scene.r1);
    let _peer = start_keepalived();
    scene.lab.step("keepalived again");
    converged();
    daemon.stop();
    scene.lab.step("rvrrpd stopped");
    all_at(&lan, &vrids, &scene.r2);
}
