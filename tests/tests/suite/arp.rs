//! Who answers ARP for a virtual address, how often and with which MAC.

use rvrrpd_tests::deadline::within;
use rvrrpd_tests::frame::Mac;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::probe::arping;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VIP_TEXT, VMAC, VRID, advert_from};
use rvrrpd_tests::sys::Stamp;

in_modes! {
    one_reply_from_the_master: macvlan, ether, ebpf, ebpf_no_accept;
    a_backup_is_silent_after_a_flap: macvlan, ether, ebpf, ebpf_no_accept;
    a_backup_sends_nothing_from_the_virtual_mac: macvlan, ether, ebpf, ebpf_no_accept;
}

fn router(mode: Mode, priority: u8) -> String {
    config(&[Vrouter::new(VRID, &[VIP_TEXT])
        .mode(mode)
        .priority(priority)
        .preemption(true)])
}

/// ARP-1, FSM-A-1, FSM-B-1: exactly one reply per request, from the Master, with the virtual MAC,
/// also where rp_filter and arp settings of the host are at their defaults.
fn one_reply_from_the_master(mode: Mode) {
    let scene = Scene::new("one_reply_from_the_master");
    let lan = scene.lan.capture();
    let own = scene.r1.mac("eth0");
    let first = scene.start(&scene.r1, &router(mode, 200));
    first.wait_state(NAME, State::Master, within(10.0));
    let second = scene.start(&scene.r2, &router(mode, 100));
    second.wait_state(NAME, State::Backup, within(10.0));
    for replies in arping(&lan, &scene.client, VIP, 3) {
        assert_eq!(replies, [("r1".to_owned(), VMAC)]);
    }
    // The address of the interface itself is answered once, too.
    let expected = if mode == Mode::Ether { VMAC } else { own };
    for replies in arping(&lan, &scene.client, scene.r1.address("eth0"), 2) {
        assert_eq!(replies, [("r1".to_owned(), expected)], "own address");
    }
    let start = Stamp::now();
    first.stop();
    lan.wait_since(start, "its ARP", within(5.0), |frame| {
        let announces = frame.arp().is_some_and(|arp| arp.announces(VIP));
        frame.port == "r2" && announces
    });
    for replies in arping(&lan, &scene.client, VIP, 2) {
        assert_eq!(replies, [("r2".to_owned(), VMAC)], "after takeover");
    }
    second.stop();
    assert_eq!(
        arping(&lan, &scene.client, VIP, 1),
        [vec![]],
        "after the stop"
    );
    assert_eq!(scene.r1.mac("eth0"), own);
}

/// ARP-6 (a fault known of others): a Backup whose interface has flapped answers nothing.
fn a_backup_is_silent_after_a_flap(mode: Mode) {
    let scene = Scene::new("a_backup_is_silent_after_a_flap");
    let lan = scene.lan.capture();
    let first = scene.start(&scene.r1, &router(mode, 200));
    first.wait_state(NAME, State::Master, within(10.0));
    let second = scene.start(&scene.r2, &router(mode, 100));
    second.wait_state(NAME, State::Backup, within(10.0));
    for _ in 0..2 {
        let mark = second.log().mark();
        scene.lan.carrier(&scene.r2, false);
        second.wait_change(mark, NAME, State::Init, within(10.0));
        scene.lan.carrier(&scene.r2, true);
        second.wait_change(mark, NAME, State::Backup, within(10.0));
    }
    for replies in arping(&lan, &scene.client, VIP, 2) {
        assert_eq!(replies, [("r1".to_owned(), VMAC)]);
    }
}

/// ARP-7, FSM-B-3: a Backup sends nothing at all from its virtual MAC (no IGMP, MLD, DAD, router
/// solicitation), or switches would learn it at the wrong port.
fn a_backup_sends_nothing_from_the_virtual_mac(mode: Mode) {
    let scene = Scene::new("a_backup_sends_nothing_from_the_virtual_mac");
    let lan = scene.lan.capture();
    let vrouter = Vrouter::new(VRID, &[VIP_TEXT]).mode(mode).interval(0.5);
    let router = |priority| config(&[vrouter.clone().priority(priority).preemption(true)]);
    let first = scene.start(&scene.r1, &router(200));
    first.wait_state(NAME, State::Master, within(10.0));
    let start = Stamp::now();
    let second = scene.start(&scene.r2, &router(100));
    second.wait_state(NAME, State::Backup, within(10.0));
    // Linux sends its last unsolicited report of a new link within a few seconds.
    lan.wait_count(
        start,
        8,
        "4 s of adverts",
        within(10.0),
        advert_from(&scene.r1, VRID),
    );
    let virtual_mac = |mac: Mac| mac.0[..4] == [0, 0, 0x5e, 0];
    let sent: Vec<_> = lan
        .frames_since(start)
        .into_iter()
        .filter(|frame| frame.port == "r2" && virtual_mac(frame.source()))
        .collect();
    assert!(sent.is_empty(), "{sent:#?}");
}
