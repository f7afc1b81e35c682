//! What others do to the kernel while the daemon runs: a Master keeps or regains what it needs,
//! and nothing of the host's own is lost.

use std::net::IpAddr;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::probe::arping;
use rvrrpd_tests::process::Line;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VIP_TEXT, VMAC, VRID, advert_from};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;

use super::Kind;

in_modes! {
    flushed_addresses_come_back: macvlan, ether, ebpf;
    the_first_address_goes_alone: macvlan, ether, ebpf;
    routes_outlive_a_flap_of_their_interface: macvlan, ether, ebpf;
    // Ether needs none of these.
    settings_of_the_interface_are_made_again: macvlan, ebpf;
    a_renamed_interface_is_left_clean: macvlan, ether, ebpf;
    // Ether: two virtual MACs on one interface.
    a_message_longer_than_the_mtu_is_alone: macvlan, ebpf;
    a_sealed_message_longer_than_the_mtu_is_not_sent: macvlan, ether, ebpf;
}

fn master(scene: &Scene, vrouter: Vrouter) -> Rvrrpd {
    let daemon = scene.start(&scene.r1, &config(&[vrouter]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    daemon
}

fn usual(mode: Mode) -> Vrouter {
    Vrouter::new(VRID, &[VIP_TEXT]).mode(mode)
}

fn wait_addresses(host: &Host, interface: &str, vips: &[String]) {
    let vips: Vec<IpAddr> = vips.iter().map(|vip| vip.parse().unwrap()).collect();
    until(
        &format!("{} addresses on {interface}", vips.len()),
        within(8.0),
        || {
            let there = host.addresses(interface);
            vips.iter().all(|vip| there.contains(vip)).then_some(())
        },
    );
}

pub(super) fn many(count: u8) -> Vec<String> {
    (1..=count).map(|host| format!("10.0.7.{host}")).collect()
}

pub(super) fn router_of(mode: Mode, vips: &[String], prefix: &str) -> Vrouter {
    let vips: Vec<String> = vips.iter().map(|vip| format!("{vip}{prefix}")).collect();
    let vips: Vec<&str> = vips.iter().map(String::as_str).collect();
    Vrouter::new(VRID, &vips).mode(mode)
}

/// However many addresses are flushed: all come back.
fn flushed_addresses_come_back(mode: Mode) {
    let scene = Scene::new("flushed_addresses_come_back");
    let carrier = Kind::new(false, mode).carrier();
    let vips = many(100);
    let daemon = master(&scene, router_of(mode, &vips, ""));
    wait_addresses(&scene.r1, carrier, &vips);
    for _ in 0..3 {
        scene
            .r1
            .ip(&format!("address flush dev {carrier} to 10.0.7.0/24"));
        wait_addresses(&scene.r1, carrier, &vips);
    }
    assert_eq!(daemon.state(NAME), Some(State::Master));
    daemon.stop();
}

/// A reload without the first address of a subnet keeps the others.
fn the_first_address_goes_alone(mode: Mode) {
    let scene = Scene::new("the_first_address_goes_alone");
    let carrier = Kind::new(false, mode).carrier();
    let vips = many(71);
    let daemon = master(&scene, router_of(mode, &vips, "/24"));
    wait_addresses(&scene.r1, carrier, &vips);
    daemon.reload(&config(&[router_of(mode, &vips[1..], "/24")]));
    let first: IpAddr = vips[0].parse().unwrap();
    until("the first one is gone", within(5.0), || {
        (!scene.r1.addresses(carrier).contains(&first)).then_some(())
    });
    wait_addresses(&scene.r1, carrier, &vips[1..]);
    daemon.stop();
}

/// An address that somebody adds to the interface beside the virtual one outlives it.
#[test]
fn an_address_of_the_host_stays() {
    let scene = Scene::new("an_address_of_the_host_stays");
    let own = || {
        scene
            .r1
            .addresses("eth0")
            .contains(&"10.20.0.9".parse().unwrap())
    };
    let daemon = master(&scene, Vrouter::new(VRID, &["10.20.0.100/24"]));
    until("the VIP", within(5.0), || {
        (!scene
            .r1
            .carriers_of("10.20.0.100".parse().unwrap())
            .is_empty())
        .then_some(())
    });
    scene.r1.ip("address add 10.20.0.9/24 dev eth0");
    daemon.stop();
    assert!(own(), "lost with the VIP");
}

/// Routes come back after their interface went down and up, which the kernel tells nobody.
fn routes_outlive_a_flap_of_their_interface(mode: Mode) {
    let scene = Scene::with_upstream("routes_outlive_a_flap_of_their_interface");
    let route = "192.168.1.0/24";
    let routes = format!("[{{ route = \"{route}\", nh = \"10.1.0.50\" }}]");
    let daemon = scene.start(&scene.r1, &config(&[usual(mode).key("routes", routes)]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let there = || {
        scene
            .r1
            .routes()
            .iter()
            .any(|found| found.starts_with(route))
    };
    until("the route", within(5.0), || there().then_some(()));
    scene.r1.ip("link set eth1 down");
    until("no route", within(5.0), || (!there()).then_some(()));
    scene.r1.ip("link set eth1 up");
    until("the route again", within(8.0), || there().then_some(()));
    daemon.stop();
}

/// A macvlan that was set down, deleted or given another MAC is put right.
#[test]
fn a_macvlan_is_put_right() {
    let scene = Scene::new("a_macvlan_is_put_right");
    const MACVLAN: &str = "standby7";
    let lan = scene.lan.capture();
    let daemon = master(&scene, usual(Mode::Macvlan));
    wait_addresses(&scene.r1, MACVLAN, &[VIP_TEXT.to_owned()]);
    for damage in [
        format!("link set {MACVLAN} down"),
        format!("link set {MACVLAN} address 02:00:00:00:00:99"),
        format!("link del {MACVLAN}"),
    ] {
        scene.lab.step(&damage);
        scene.r1.ip(&damage);
        until("an answer with the virtual MAC", within(8.0), || {
            let replies = arping(&lan, &scene.client, VIP, 1);
            (replies == [[("r1".to_owned(), VMAC)]]).then_some(())
        });
    }
    assert_eq!(daemon.state(NAME), Some(State::Master));
    daemon.stop();
}

/// ARP-1: the settings of the interface are made again when somebody changes them back.
fn settings_of_the_interface_are_made_again(mode: Mode) {
    let scene = Scene::new("settings_of_the_interface_are_made_again");
    let (path, wanted) = match mode {
        Mode::Macvlan => ("ipv4/conf/eth0/arp_ignore", "1"),
        _ => ("ipv4/conf/eth0/arp_announce", "2"),
    };
    let daemon = master(&scene, usual(mode));
    let read = || scene.r1.read_sysctl(path);
    until("the setting", within(5.0), || {
        (read().as_deref() == Some(wanted)).then_some(())
    });
    scene.r1.sysctl(path, "0");
    until("the setting again", within(15.0), || {
        (read().as_deref() == Some(wanted)).then_some(())
    });
    daemon.stop();
    assert_eq!(read().as_deref(), Some("0"));
}

/// An interface that lost the virtual MAC gets it again while Master, and its own one after.
#[test]
fn the_virtual_mac_is_put_back() {
    let scene = Scene::new("the_virtual_mac_is_put_back");
    let own = scene.r1.mac("eth0");
    let daemon = master(&scene, Vrouter::new(VRID, &[VIP_TEXT]));
    let carries = |mac| scene.r1.mac("eth0") == mac;
    until("the virtual MAC", within(5.0), || {
        carries(VMAC).then_some(())
    });
    scene.r1.ip(&format!("link set eth0 address {own}"));
    until("the virtual MAC again", within(5.0), || {
        carries(VMAC).then_some(())
    });
    daemon.stop();
    assert!(carries(own));
}

/// The interface is renamed while Master: whatever carried the address, nothing is left on it.
fn a_renamed_interface_is_left_clean(mode: Mode) {
    let mut vrouters = vec![usual(mode)];
    if mode == Mode::Ether {
        vrouters.push(usual(mode).text("netdrv", "ioctl"));
    }
    for vrouter in vrouters {
        let scene = Scene::new("a_renamed_interface_is_left_clean");
        let own = scene.r1.mac("eth0");
        let before = snapshot(&scene.r1).without(&["operstate"]);
        let daemon = master(&scene, vrouter);
        scene.r1.wait_until_carried(VIP.into());
        scene.r1.ip("link set eth0 name old0");
        daemon.wait_state(NAME, State::Init, within(10.0));
        until("no VIP", within(5.0), || {
            scene
                .r1
                .carriers_of(IpAddr::V4(VIP))
                .is_empty()
                .then_some(())
        });
        until("the own MAC", within(5.0), || {
            (scene.r1.mac("old0") == own).then_some(())
        });
        let mark = daemon.log().mark();
        scene.r1.ip("link add name eth0 type bridge");
        scene.r1.ip("link set eth0 up");
        scene.r1.ip("address add 10.9.0.1/24 dev eth0");
        daemon.wait_change(mark, NAME, State::Master, within(10.0));
        daemon.stop();
        scene.r1.ip("link del eth0");
        scene.r1.ip("link set old0 name eth0");
        before.assert_same(&snapshot(&scene.r1).without(&["operstate"]), "after all");
    }
}

/// TX-10: an advertisement that does not fit the MTU keeps its router in Init, by name, and its
/// neighbours go on.
fn a_message_longer_than_the_mtu_is_alone(mode: Mode) {
    let scene = Scene::new("a_message_longer_than_the_mtu_is_alone");
    let lan = scene.lan.capture();
    scene.r1.ip("link set eth0 mtu 500");
    let other = Vrouter::new(8, &["10.0.0.108"]).mode(mode);
    let text = format!(
        "workers = 1\n{}",
        config(&[router_of(mode, &many(140), ""), other])
    );
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state("eth0-8", State::Master, within(10.0));
    daemon
        .log()
        .wait_after(0, "the reason", within(5.0), |line| {
            line.text
                .contains("Waits in Init: exceeds-mtu")
                .then_some(())
        });
    lan.wait_count(
        Stamp::now(),
        10,
        "adverts of the other",
        within(5.0),
        advert_from(&scene.r1, 8),
    );
    scene.r1.ip("link set eth0 mtu 1500");
    daemon.wait_state(NAME, State::Master, within(10.0));
    daemon.stop();
}

/// TX-10: what authentication adds to an advertisement counts, too: a Master whose advertisements
/// do not fit would be silent, and there would be two.
fn a_sealed_message_longer_than_the_mtu_is_not_sent(mode: Mode) {
    let scene = Scene::new("a_sealed_message_longer_than_the_mtu_is_not_sent");
    let lan = scene.lan.capture();
    scene.r1.ip("link set eth0 mtu 500");
    // 28 bytes without addresses and 28 of the trailer; in version 2 36 and 24 of the header.
    for (auth, version, most) in [("hmac-sha256", 3, 111), ("rfc2338-ah", 2, 110)] {
        let router = |count| {
            let vrouter = router_of(mode, &many(count), "").text("auth_type", auth);
            let (vrouter, secret) = match version {
                2 => (vrouter.v2(), "password"),
                _ => (vrouter, "an example key of the group, 1.."),
            };
            config(&[vrouter.text("auth_secret", secret)])
        };
        let daemon = scene.start(&scene.r1, &router(most + 1));
        let waits = |line: &Line| {
            let text = &line.text;
            text.contains("Waits in Init: exceeds-mtu").then_some(())
        };
        daemon.log().wait_after(0, "the reason", within(5.0), waits);
        let start = Stamp::now();
        daemon.reload(&router(most));
        daemon.wait_state(NAME, State::Master, within(10.0));
        let ours = advert_from(&scene.r1, VRID);
        lan.wait_count(start, 2, "adverts that just fit", within(5.0), ours);
        daemon.stop();
    }
}
