//! A reload that changes what carries a router, or what it carries.
//!
//! Modes: ebpf.

use std::net::IpAddr;
use std::time::Duration;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::frame::Mac;
use rvrrpd_tests::mode::lacks_ebpf;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VIP_TEXT, VRID, advert_from, converge};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;

use super::{answers, pair, router, who_has};

const WAYS: [(&str, &str); 6] = [
    ("macvlan", "ebpf"),
    ("ebpf", "macvlan"),
    ("ether", "ebpf"),
    ("ebpf", "ether"),
    ("macvlan", "ether"),
    ("ether", "macvlan"),
];

fn reload(daemon: &Rvrrpd, text: &str) {
    let mark = daemon.log().mark();
    daemon.reload(text);
    daemon
        .log()
        .wait_after(mark, "the reload", within(5.0), |line| {
            line.text.contains("configuration reloaded").then_some(())
        });
}

/// FSM-X-2, ARP-1, ND-1: the data plane of the Master, then of the Backup, changes: one Master, one
/// answer, the virtual MAC, and at the end nothing is left of either plane.
#[test]
fn the_data_plane_changes() {
    if lacks_ebpf("the_data_plane_changes") {
        return;
    }
    for family in FAMILIES {
        for (from, to) in WAYS {
            let scene = Scene::new("the_data_plane_changes");
            scene.lab.step(&format!("{family} {from} to {to}"));
            let lan = scene.lan.capture();
            let before = [snapshot(&scene.r1), snapshot(&scene.r2)];
            let of = |iftype: &str, priority: u8| {
                let vrouter = family.vrouter().iftype(iftype);
                config(&[vrouter.priority(priority).preemption(true)])
            };
            let (first, second) = pair(&scene, &family.vrouter().iftype(from), family.name());
            answers(&lan, &scene, *family, Some(&scene.r1));
            for (daemon, priority) in [(&first, 200), (&second, 100)] {
                reload(daemon, &of(to, priority));
                let window = Duration::from_millis(500);
                converge(&lan, &[(VRID, &scene.r1)], window, within(10.0));
                first.wait_state(family.name(), State::Master, within(10.0));
                until("one answer", within(5.0), || {
                    let answers = who_has(&lan, &scene.client, family.vip());
                    (answers == [("r1".to_owned(), family.vmac())]).then_some(())
                });
                answers(&lan, &scene, *family, Some(&scene.r1));
                assert_eq!(daemon.status(family.name())["data-plane"], to);
            }
            first.stop();
            second.wait_state(family.name(), State::Master, within(10.0));
            until("one answer", within(5.0), || {
                let answers = who_has(&lan, &scene.client, family.vip());
                (answers == [("r2".to_owned(), family.vmac())]).then_some(())
            });
            second.stop();
            before[0].assert_same(&snapshot(&scene.r1), "r1");
            before[1].assert_same(&snapshot(&scene.r2), "r2");
        }
    }
}

/// `accept_mode` changes while it is Master: it stays Master, and takes what it is to take; another
/// router on the interface notices nothing.
#[test]
fn accept_mode_changes() {
    if lacks_ebpf("accept_mode_changes") {
        return;
    }
    for family in FAMILIES {
        let scene = Scene::new("accept_mode_changes");
        scene.lab.step(&family.to_string());
        let lan = scene.lan.capture();
        let other = Vrouter::new(9, &["10.0.0.109"]).iftype("ebpf");
        let text = |accept| config(&[router(*family, accept), other.clone()]);
        let daemon = scene.start(&scene.r1, &text(false));
        for name in [family.name(), "eth0-9"] {
            daemon.wait_state(name, State::Master, within(10.0));
        }
        answers(&lan, &scene, *family, Some(&scene.r1));
        let changes = daemon.changes().len();
        let start = Stamp::now();
        for accept in [true, false, true, false] {
            reload(&daemon, &text(accept));
            let expected = if accept { vec!["eth0"] } else { vec![] };
            until("the address", within(5.0), || {
                (scene.r1.carriers_of(family.vip()) == expected).then_some(())
            });
            answers(&lan, &scene, *family, Some(&scene.r1));
            let taken = if accept { 3 } else { 0 };
            assert_eq!(super::pings(&scene.client, family.vip()), taken);
        }
        assert_eq!(daemon.changes().len(), changes, "no change of state");
        assert_eq!(
            scene.r1.carriers_of("10.0.0.109".parse().unwrap()),
            ["eth0"]
        );
        super::never_physical(&lan, start, &scene.r1, &[family.vip()]);
    }
}

/// Addresses come and go, one moves to another router, the VRID changes: each address is answered
/// for by the router that has it, by none where none has.
#[test]
fn addresses_change() {
    if lacks_ebpf("addresses_change") {
        return;
    }
    for accept in [false, true] {
        let scene = Scene::new("addresses_change");
        scene.lab.step(&format!("accept={accept}"));
        let lan = scene.lan.capture();
        let of = |group: u8, vips: &[&str]| {
            Vrouter::new(group, vips)
                .iftype("ebpf")
                .key("accept_mode", accept)
        };
        let has = |address: &str| -> Vec<Mac> {
            let address: IpAddr = address.parse().unwrap();
            let answers = who_has(&lan, &scene.client, address);
            answers.into_iter().map(|(_, mac)| mac).collect()
        };
        let wait = |address: &str, group: Option<u8>| {
            let expected: Vec<Mac> = group.map(Mac::virtual_v4).into_iter().collect();
            until(&format!("{address} is at {group:?}"), within(8.0), || {
                (has(address) == expected).then_some(())
            });
        };
        let daemon = scene.start(
            &scene.r1,
            &config(&[of(7, &[VIP_TEXT, "10.0.0.101"]), of(8, &["10.0.0.108"])]),
        );
        for name in [NAME, "eth0-8"] {
            daemon.wait_state(name, State::Master, within(10.0));
        }
        wait("10.0.0.101", Some(7));
        let steps: [(&[&str], &[&str]); 3] = [
            (&[VIP_TEXT, "10.0.0.102"], &["10.0.0.108"]),
            (&[VIP_TEXT], &["10.0.0.108", "10.0.0.102"]),
            (&[VIP_TEXT, "10.0.0.108"], &["10.0.0.102"]),
        ];
        let all = ["10.0.0.101", "10.0.0.102", "10.0.0.108", VIP_TEXT];
        for (seven, eight) in steps {
            reload(&daemon, &config(&[of(7, seven), of(8, eight)]));
            for address in all {
                let group = if seven.contains(&address) {
                    Some(7)
                } else {
                    eight.contains(&address).then_some(8)
                };
                wait(address, group);
                if accept && group.is_some() {
                    until("the address is there", within(5.0), || {
                        let carriers = scene.r1.carriers_of(address.parse().unwrap());
                        (carriers == ["eth0"]).then_some(())
                    });
                }
            }
        }
        // Another VRID is another router.
        reload(
            &daemon,
            &config(&[of(10, &[VIP_TEXT]), of(8, &["10.0.0.102"])]),
        );
        daemon.wait_state("eth0-10", State::Master, within(10.0));
        wait(VIP_TEXT, Some(10));
        wait("10.0.0.108", None);
        assert_eq!(daemon.state("eth0-8"), Some(State::Master));
        daemon.stop();
        for address in all {
            assert!(scene.r1.carriers_of(address.parse().unwrap()).is_empty());
        }
    }
}

/// A router moves to another interface: it is there, and nothing of it is where it was.
#[test]
fn the_interface_changes() {
    if lacks_ebpf("the_interface_changes") {
        return;
    }
    let scene = Scene::with_upstream("the_interface_changes");
    let lan = scene.lan.capture();
    // Linux answers for all its addresses on every interface, unless it is told not to.
    scene.r1.sysctl("ipv4/conf/eth0/arp_ignore", "1");
    let before = snapshot(&scene.r1);
    let of = |interface: &str| config(&[router(Family::V4, true).text("interface", interface)]);
    let daemon = scene.start(&scene.r1, &of("eth0"));
    daemon.wait_state(NAME, State::Master, within(10.0));
    answers(&lan, &scene, Family::V4, Some(&scene.r1));
    reload(&daemon, &of("eth1"));
    daemon.wait_state("eth1-7", State::Master, within(10.0));
    until("the address is there", within(5.0), || {
        (scene.r1.carriers_of(VIP.into()) == ["eth1"]).then_some(())
    });
    answers(&lan, &scene, Family::V4, None);
    assert!(rvrrpd_tests::bpf::programs(&scene.r1, "eth0").is_empty());
    reload(&daemon, &of("eth0"));
    let ours = advert_from(&scene.r1, VRID);
    lan.wait_since(Stamp::now(), "an advert", within(8.0), ours);
    until("one answer", within(8.0), || {
        let answers = who_has(&lan, &scene.client, VIP.into());
        (answers == [("r1".to_owned(), Family::V4.vmac())]).then_some(())
    });
    daemon.stop();
    before.assert_same(&snapshot(&scene.r1), "after the stop");
}
