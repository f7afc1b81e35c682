//! `iftype = "ether"`: the virtual address and the virtual MAC are on the interface itself.
//!
//! Modes: ether.

use std::net::IpAddr;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::probe::arping;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VIP_TEXT, VMAC, VRID, advert_from, converge};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;

fn router(priority: u8) -> Vrouter {
    Vrouter::new(VRID, &[VIP_TEXT])
        .priority(priority)
        .preemption(true)
}

/// contract §2.2 `iftype`: the interface carries the virtual MAC while Master and gets its own
/// back, at a stop and when it yields.
#[test]
fn the_interface_carries_the_virtual_mac_while_master() {
    let scene = Scene::new("the_interface_carries_the_virtual_mac_while_master");
    let lan = scene.lan.capture();
    let own = scene.r2.mac("eth0");
    let before = snapshot(&scene.r2);
    // Backup for long enough to be looked at.
    let low = scene.start(&scene.r2, &config(&[router(100).interval(1.0)]));
    low.wait_state(NAME, State::Backup, within(10.0));
    assert_eq!(scene.r2.mac("eth0"), own, "as Backup");
    low.wait_state(NAME, State::Master, within(10.0));
    until("the virtual MAC", within(5.0), || {
        (scene.r2.mac("eth0") == VMAC).then_some(())
    });
    until("the VIP", within(5.0), || {
        (scene.r2.carriers_of(IpAddr::V4(VIP)) == ["eth0"]).then_some(())
    });
    assert!(
        scene
            .r2
            .carriers_of("10.0.0.2".parse().unwrap())
            .contains(&"eth0".to_owned())
    );
    let high = scene.start(&scene.r1, &config(&[router(200)]));
    high.wait_state(NAME, State::Master, within(10.0));
    low.wait_state(NAME, State::Backup, within(10.0));
    until("its own MAC again", within(5.0), || {
        (scene.r2.mac("eth0") == own).then_some(())
    });
    until("no VIP", within(5.0), || {
        scene
            .r2
            .carriers_of(IpAddr::V4(VIP))
            .is_empty()
            .then_some(())
    });
    converge(
        &lan,
        &[(VRID, &scene.r1)],
        std::time::Duration::from_millis(500),
        within(5.0),
    );
    high.stop();
    low.wait_state(NAME, State::Master, within(10.0));
    low.stop();
    before.assert_same(&snapshot(&scene.r2), "after the stop as Master");
}

/// contract §2.2 `virtual_mac = false`: the interface keeps its MAC, and ARP announces that one.
#[test]
fn without_a_virtual_mac() {
    let scene = Scene::new("without_a_virtual_mac");
    let lan = scene.lan.capture();
    let own = scene.r1.mac("eth0");
    let start = Stamp::now();
    let text = config(&[
        router(100).key("virtual_mac", false),
        Vrouter::new(8, &["10.0.0.108"]).key("virtual_mac", false),
    ]);
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Master, within(10.0));
    daemon.wait_state("eth0-8", State::Master, within(10.0));
    let announced = lan.wait_since(start, "its ARP", within(5.0), |frame| {
        frame.arp().is_some_and(|arp| arp.announces(VIP))
    });
    assert_eq!(announced.arp().map(|arp| arp.sender_mac), Some(own));
    let advert = lan.wait_since(
        start,
        "its advert",
        within(5.0),
        advert_from(&scene.r1, VRID),
    );
    assert_eq!(advert.source(), own);
    assert_eq!(scene.r1.mac("eth0"), own);
    for replies in arping(&lan, &scene.client, VIP, 2) {
        assert_eq!(replies, [("r1".to_owned(), own)]);
    }
    daemon.stop();
}

/// contract §2.2 `netdrv = "ioctl"`: the VIP is an alias, and the interface's own address stays.
#[test]
fn the_ioctl_driver_keeps_the_own_address() {
    let scene = Scene::new("the_ioctl_driver_keeps_the_own_address");
    let before = snapshot(&scene.r1);
    let daemon = scene.start(&scene.r1, &config(&[router(100).text("netdrv", "ioctl")]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    until("the VIP", within(5.0), || {
        (scene.r1.carriers_of(IpAddr::V4(VIP)) == ["eth0"]).then_some(())
    });
    assert!(
        scene
            .r1
            .carriers_of("10.0.0.1".parse().unwrap())
            .contains(&"eth0".to_owned())
    );
    let labels = scene.r1.ip("-4 address show dev eth0");
    assert!(labels.contains("eth0:v"), "an alias label: {labels}");
    daemon.stop();
    before.assert_same(&snapshot(&scene.r1), "after the stop");
}

/// contract §2.2 `iftype`: two virtual routers with virtual MACs on one `ether` interface are
/// refused, and the message names both ways out.
#[test]
fn two_virtual_macs_on_one_interface_are_refused() {
    let scene = Scene::new("two_virtual_macs_on_one_interface_are_refused");
    let path = scene.lab.dir().join("two.conf");
    std::fs::write(
        &path,
        config(&[router(100), Vrouter::new(8, &["10.0.0.108"])]),
    )
    .unwrap();
    let path = path.display().to_string();
    let (code, out, err) = rvrrpd_tests::rvrrpd::run(&scene.r1, &["-t", "-c", &path]);
    let text = [out, err].concat().join("\n");
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("macvlan") && text.contains("virtual_mac"),
        "{text}"
    );
}
