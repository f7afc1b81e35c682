//! What happens to the interface, and to the program on it.
//!
//! Modes: ebpf.

use rvrrpd_tests::bpf;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::mode::lacks_ebpf;
use rvrrpd_tests::rvrrpd::{State, config};
use rvrrpd_tests::scene::{NAME, Scene, VMAC};
use rvrrpd_tests::{host::Host, probe::ping_mac};

use super::{answers, pair, router};

/// FSM-I-4, FSM-A-6: the interface is deleted and made again, with its name or by a rename: the
/// Backup takes over, and what comes back is a Backup that answers nothing, then a Master that
/// answers.
#[test]
fn the_interface_goes_and_comes_back() {
    if lacks_ebpf("the_interface_goes_and_comes_back") {
        return;
    }
    for family in FAMILIES {
        for renamed in [false, true] {
            let scene = Scene::new("the_interface_goes_and_comes_back");
            scene.lab.step(&format!("{family} renamed={renamed}"));
            let lan = scene.lan.capture();
            let name = family.name();
            let (first, second) = pair(&scene, &router(*family, true), name);
            let mark = first.log().mark();
            if renamed {
                scene.r1.ip("link set eth0 name old0");
            } else {
                scene.r1.ip("link del eth0");
            }
            first.wait_change(mark, name, State::Init, within(10.0));
            second.wait_state(name, State::Master, within(10.0));
            answers(&lan, &scene, *family, Some(&scene.r2));
            let mark = first.log().mark();
            if renamed {
                // Nothing of ours is on what it was.
                until("nothing is left", within(8.0), || {
                    scene.r1.carriers_of(family.vip()).is_empty().then_some(())
                });
                scene.r1.ip("link set old0 name eth0");
            } else {
                scene
                    .lab
                    .attach(&scene.lan, &scene.r1, "eth0", &["10.0.0.1/24"]);
            }
            first.wait_change(mark, name, State::Master, within(10.0));
            second.wait_state(name, State::Backup, within(10.0));
            answers(&lan, &scene, *family, Some(&scene.r1));
        }
    }
}

/// Somebody detaches the program, as a careless script does: it is put back in the next round.
#[test]
fn the_program_is_put_back() {
    if lacks_ebpf("the_program_is_put_back") {
        return;
    }
    let scene = Scene::new("the_program_is_put_back");
    let lan = scene.lan.capture();
    let daemon = scene.start(&scene.r1, &config(&[router(Family::V4, false)]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    answers(&lan, &scene, Family::V4, Some(&scene.r1));
    bpf::detach(&scene.r1, "eth0");
    daemon
        .log()
        .wait_after(0, "it is back", within(15.0), |line| {
            line.text.contains("Put back: eBPF gate").then_some(())
        });
    assert_eq!(bpf::programs(&scene.r1, "eth0").len(), 1);
    answers(&lan, &scene, Family::V4, Some(&scene.r1));
    assert_eq!(daemon.state(NAME), Some(State::Master));
}

/// A bridge as the parent delivers frames to the virtual MAC, too.
#[test]
fn a_bridge_as_parent() {
    if lacks_ebpf("a_bridge_as_parent") {
        return;
    }
    for family in FAMILIES {
        let scene = Scene::new("a_bridge_as_parent");
        scene.lab.step(&family.to_string());
        let lan = scene.lan.capture();
        bridge(&scene.r1, "10.0.0.1/24");
        let vrouter = router(*family, true).text("interface", "br0");
        let daemon = scene.start(&scene.r1, &config(&[vrouter]));
        let name = family.name().replace("eth0", "br0");
        daemon.wait_state(&name, State::Master, within(15.0));
        answers(&lan, &scene, *family, Some(&scene.r1));
        if *family == Family::V4 {
            let own = scene.r1.address("br0");
            assert_eq!(ping_mac(&lan, &scene.client, VMAC, own, 3), 3);
        } else {
            assert_eq!(super::pings(&scene.client, family.vip()), 3);
        }
    }
}

fn bridge(host: &Host, address: &str) {
    host.ip("link add br0 type bridge");
    host.ip("address flush dev eth0");
    host.ip("link set eth0 master br0");
    host.ip("link set br0 up");
    host.ip(&format!("address add {address} dev br0"));
}

/// The kernel makes the IPv6 half of an interface anew, without the groups that were joined there:
/// they are joined again.
#[test]
fn forgotten_groups_are_joined_again() {
    if lacks_ebpf("forgotten_groups_are_joined_again") {
        return;
    }
    let scene = Scene::new("forgotten_groups_are_joined_again");
    let lan = scene.lan.capture();
    let family = Family::V6;
    let daemon = scene.start(&scene.r1, &config(&[router(family, false)]));
    daemon.wait_state(family.name(), State::Master, within(10.0));
    answers(&lan, &scene, family, Some(&scene.r1));
    let joined = || {
        let groups = scene.r1.ip("maddress show dev eth0");
        groups.contains("ff02::1:ff00:100")
    };
    assert!(joined());
    scene.r1.ip("link set eth0 mtu 1200");
    until("the group is gone", within(5.0), || {
        (!joined()).then_some(())
    });
    scene.r1.ip("link set eth0 mtu 1500");
    until("the group is back", within(15.0), || joined().then_some(()));
    daemon.wait_state(family.name(), State::Master, within(10.0));
    until("it answers", within(10.0), || {
        let answers = super::who_has(&lan, &scene.client, family.vip());
        (answers == [("r1".to_owned(), family.vmac())]).then_some(())
    });
}
