//! What is changed on the host, and what is left of it.
//!
//! Modes: ebpf.

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::mode::lacks_ebpf;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VRID};
use rvrrpd_tests::snapshot::{Snapshot, snapshot};
use rvrrpd_tests::{bpf, sys::Stamp};

use super::{answers, pair, pings, router};

/// What the promiscuity of a veth is made of, which has no filter of its own, is no change of
/// settings.
fn kernel(host: &Host) -> Snapshot {
    snapshot(host).without(&["promiscuity", " flags"])
}

fn settings(host: &Host) -> Snapshot {
    snapshot(host).only(&["sysctl"])
}

/// A host whose administrator filters strictly and lets everybody answer for everything.
fn strict(host: &Host) {
    for interface in ["all", "default", "eth0"] {
        host.sysctl(&format!("ipv4/conf/{interface}/rp_filter"), "1");
        host.sysctl(&format!("ipv4/conf/{interface}/arp_ignore"), "0");
        host.sysctl(&format!("ipv4/conf/{interface}/arp_announce"), "0");
        host.sysctl(&format!("ipv4/conf/{interface}/send_redirects"), "1");
    }
}

/// ARP-1, FSM-A-4, FSM-A-5: without `accept_mode` nothing but the program and its memberships is
/// there, not one setting, address, rule or link, as Backup and as Master; and it works with strict
/// reverse path filtering.
#[test]
fn no_setting_is_touched() {
    if lacks_ebpf("no_setting_is_touched") {
        return;
    }
    for family in FAMILIES {
        let scene = Scene::with_upstream("no_setting_is_touched");
        scene.lab.step(&family.to_string());
        let lan = scene.lan.capture();
        for host in [&scene.r1, &scene.r2] {
            strict(host);
        }
        let before = [kernel(&scene.r1), kernel(&scene.r2)];
        let unchanged = |what: &str| {
            before[0].assert_same(&kernel(&scene.r1), what);
            before[1].assert_same(&kernel(&scene.r2), what);
        };
        let (first, second) = pair(&scene, &router(*family, false), family.name());
        answers(&lan, &scene, *family, Some(&scene.r1));
        if *family == Family::V4 {
            // The server answers through r2.
            scene
                .server
                .as_ref()
                .unwrap()
                .ip("route replace default via 10.1.0.1");
            assert_eq!(pings(&scene.client, "10.1.0.50".parse().unwrap()), 3);
        }
        unchanged("Master and Backup");
        first.stop();
        second.wait_state(family.name(), State::Master, within(10.0));
        answers(&lan, &scene, *family, Some(&scene.r2));
        unchanged("after the takeover");
        second.stop();
        unchanged("after the stop");
    }
}

/// With `accept_mode` the settings that it takes are made, and taken back.
#[test]
fn accepting_takes_settings_back() {
    if lacks_ebpf("accepting_takes_settings_back") {
        return;
    }
    let scene = Scene::new("accepting_takes_settings_back");
    strict(&scene.r1);
    let before = snapshot(&scene.r1);
    let read = |name: &str| scene.r1.read_sysctl(&format!("ipv4/conf/eth0/{name}"));
    let daemon = scene.start(&scene.r1, &config(&[router(Family::V4, true)]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    assert_eq!(read("arp_announce").as_deref(), Some("2"));
    assert_eq!(read("send_redirects").as_deref(), Some("0"));
    assert_eq!(read("arp_ignore").as_deref(), Some("0"));
    // What accepts no longer needs none of it.
    let kept = settings(&scene.r1);
    daemon.reload(&config(&[router(Family::V4, false)]));
    let settings_before = before.clone().only(&["sysctl", "address"]);
    until("the settings are as before", within(5.0), || {
        let now = snapshot(&scene.r1).only(&["sysctl", "address"]);
        settings_before.diff(&now).is_empty().then_some(())
    });
    assert_ne!(kept, settings(&scene.r1));
    daemon.reload(&config(&[router(Family::V4, true)]));
    until("the address is back", within(5.0), || {
        (!scene.r1.carriers_of(VIP.into()).is_empty()).then_some(())
    });
    assert_eq!(read("arp_announce").as_deref(), Some("2"));
    assert_eq!(daemon.state(NAME), Some(State::Master));
    daemon.stop();
    before.assert_same(&snapshot(&scene.r1), "after the stop");
}

/// After SIGKILL as Master nothing at all is left, without a new start: not where nothing is
/// accepted. With `accept_mode` it is the addresses, settings and tables, which the next start takes back;
/// the host that has them still does not answer for them, for another one is Master by then (ARP-1).
#[test]
fn sigkill_leaves_nothing() {
    if lacks_ebpf("sigkill_leaves_nothing") {
        return;
    }
    for family in FAMILIES {
        for accept in [false, true] {
            let scene = Scene::new("sigkill_leaves_nothing");
            scene.lab.step(&format!("{family} accept={accept}"));
            let lan = scene.lan.capture();
            let before = snapshot(&scene.r1);
            let text = config(&[router(*family, accept)]);
            let mut daemon = scene.start(&scene.r1, &text);
            daemon.wait_state(family.name(), State::Master, within(10.0));
            answers(&lan, &scene, *family, Some(&scene.r1));
            assert_eq!(bpf::programs(&scene.r1, "eth0").len(), 1);
            daemon.sigkill();
            until("the program is gone", within(5.0), || {
                bpf::programs(&scene.r1, "eth0").is_empty().then_some(())
            });
            answers(&lan, &scene, *family, None);
            if accept {
                let diff = before.diff(&snapshot(&scene.r1));
                assert!(diff.contains("address eth0"), "{diff}");
                let daemon = scene.start(&scene.r1, &text);
                daemon.wait_state(family.name(), State::Master, within(10.0));
                answers(&lan, &scene, *family, Some(&scene.r1));
                daemon.stop();
            }
            until("all is as before", within(5.0), || {
                before.diff(&snapshot(&scene.r1)).is_empty().then_some(())
            });
        }
    }
}

/// SIGTERM restores everything, also of an owner, whose addresses stay.
#[test]
fn sigterm_restores_everything() {
    if lacks_ebpf("sigterm_restores_everything") {
        return;
    }
    let scene = Scene::new("sigterm_restores_everything");
    strict(&scene.r1);
    let lan = scene.lan.capture();
    let routes = "[{ route = \"192.168.1.0/24\", nh = \"10.0.0.50\", metric = 7 }]";
    let owned = Vrouter::new(VRID, &["10.0.0.1", "10.0.0.101"]).iftype("ebpf");
    let vrouters = [
        router(Family::V4, true).key("routes", routes),
        router(Family::V6, true),
        router(Family::V4, true).key("vip", "\"10.0.0.100/24\""),
        owned,
    ];
    for vrouter in vrouters {
        scene.lab.step(&vrouter.to_string());
        let before = snapshot(&scene.r1);
        let start = Stamp::now();
        let daemon = scene.start(&scene.r1, &config(&[vrouter]));
        let announced = |frame: &rvrrpd_tests::frame::Frame| {
            frame.port == "r1"
                && frame.source().0[..4] == [0, 0, 0x5e, 0]
                && (frame.arp().is_some() || frame.nd().is_some())
        };
        lan.wait_since(start, "its announcement", within(8.0), announced);
        assert!(!before.diff(&snapshot(&scene.r1)).is_empty());
        daemon.stop();
        before.assert_same(&snapshot(&scene.r1), "after the stop");
    }
}
