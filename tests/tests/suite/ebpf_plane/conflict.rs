//! Somebody else says that he has a virtual address.
//!
//! Modes: ebpf.

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::Family;
use rvrrpd_tests::frame::{Arp, Mac, ethernet};
use rvrrpd_tests::mode::lacks_ebpf;
use rvrrpd_tests::rvrrpd::{State, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP};

use super::{answers, router};

/// A host that announces the virtual address as its own: one line names address, interface and MAC,
/// and it is counted. The announcements of the virtual MAC itself are none of this.
#[test]
fn who_announces_our_address_is_named() {
    if lacks_ebpf("who_announces_our_address_is_named") {
        return;
    }
    for accept in [false, true] {
        let scene = Scene::new("who_announces_our_address_is_named");
        let lan = scene.lan.capture();
        let daemon = scene.start(&scene.r1, &config(&[router(Family::V4, accept)]));
        daemon.wait_state(NAME, State::Master, within(10.0));
        answers(&lan, &scene, Family::V4, Some(&scene.r1));
        assert_eq!(daemon.counters(NAME)["address-conflicts"], 0);
        let thief = scene.client.mac("eth0");
        let announce = Arp {
            operation: 1,
            sender_mac: thief,
            sender: VIP,
            target_mac: Mac([0; 6]),
            target: VIP,
        };
        let frame = ethernet(Mac([0xff; 6]), thief, 0x0806, &announce.bytes());
        let injector = scene.client.injector("eth0");
        for _ in 0..3 {
            injector.send(&frame);
        }
        let told = daemon
            .log()
            .wait_after(0, "it is told", within(15.0), |line| {
                let told = line.text.contains("Somebody else says");
                told.then(|| line.text.clone())
            });
        for part in [VIP.to_string(), "eth0".to_owned(), thief.to_string()] {
            assert!(told.contains(&part), "{told}");
        }
        until("all are counted", within(15.0), || {
            (daemon.counters(NAME)["address-conflicts"] == 3).then_some(())
        });
    }
}
