//! Redirects and packets to the virtual address that are to be forwarded (RFC 9568 §8.1.1, §8.3.1).

use std::net::IpAddr;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::within;
use rvrrpd_tests::frame::{Frame, Icmp};
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::probe::ping_mac;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VIP_TEXT, VMAC, VRID};
use rvrrpd_tests::sys::Stamp;

in_modes! {
    no_redirects: macvlan, ether, ebpf;
    packets_to_the_virtual_address_are_not_forwarded: macvlan, ether, ebpf;
}

/// ICMP redirects that r1 has sent.
fn redirects(lan: &Capture, start: Stamp) -> Vec<Icmp> {
    lan.frames_since(start)
        .into_iter()
        .filter(|frame| frame.port == "r1")
        .filter_map(|frame| frame.icmp())
        .filter(|icmp| icmp.kind == 5)
        .collect()
}

/// ICMP-1: a Master sends no redirects, although it forwards to a router on the same LAN, whatever
/// carries the address; and the setting of other interfaces is theirs.
fn no_redirects(mode: Mode) {
    let scene = Scene::with_upstream("no_redirects");
    let lan = scene.lan.capture();
    // Behind r2, on the LAN of the client.
    scene.r1.ip("route add 10.9.0.0/24 via 10.0.0.2");
    scene.r2.ip("address add 10.9.0.1/32 dev lo");
    let target = "10.9.0.1".parse().expect("an address");
    let own = scene.r1.mac("eth0");
    // Without us the kernel does send them.
    let start = Stamp::now();
    assert_eq!(ping_mac(&lan, &scene.client, own, target, 1), 1);
    assert_eq!(redirects(&lan, start).len(), 1, "the scene");
    let eth1 = || scene.r1.read_sysctl("ipv4/conf/eth1/send_redirects");
    let before = eth1();
    let both: &[bool] = match mode {
        Mode::Ether => &[true, false],
        _ => &[true],
    };
    for virtual_mac in both.iter().copied() {
        let vrouter = Vrouter::new(VRID, &[VIP_TEXT])
            .mode(mode)
            .key("virtual_mac", virtual_mac);
        let daemon = scene.start(&scene.r1, &config(&[vrouter]));
        daemon.wait_state(NAME, State::Master, within(10.0));
        scene.r1.wait_until_carried(VIP.into());
        // The kernel sends a host few redirects for one destination: forget what it has sent.
        scene.r1.ip("route flush cache");
        let start = Stamp::now();
        let mac = if virtual_mac { VMAC } else { own };
        assert_eq!(ping_mac(&lan, &scene.client, mac, target, 3), 3);
        if mode != Mode::Ether {
            assert_eq!(ping_mac(&lan, &scene.client, own, target, 3), 3);
        }
        assert_eq!(redirects(&lan, start), [], "{virtual_mac}");
        assert_eq!(eth1(), before);
        daemon.stop();
    }
}

/// FWD-1: a Master does not forward what is sent to a virtual address, not even where it does not
/// accept it: nothing of it leaves on any interface, and nobody is asked for the address.
fn packets_to_the_virtual_address_are_not_forwarded(mode: Mode) {
    let scene = Scene::with_upstream("packets_to_the_virtual_address_are_not_forwarded");
    let lan = scene.lan.capture();
    let upstream = scene.server.as_ref().expect("server").capture("eth0");
    scene.r1.ip("route add default via 10.1.0.50");
    for accept in [false, true] {
        let vrouter = Vrouter::new(VRID, &[VIP_TEXT])
            .mode(mode)
            .key("accept_mode", accept);
        let start = Stamp::now();
        let daemon = scene.start(&scene.r1, &config(&[vrouter]));
        daemon.wait_state(NAME, State::Master, within(10.0));
        let announces = |frame: &Frame| frame.arp().is_some_and(|arp| arp.announces(VIP));
        lan.wait_since(start, "the announcement", within(5.0), announces);
        let start = Stamp::now();
        let answered = ping_mac(&lan, &scene.client, VMAC, VIP, 3);
        assert_eq!(
            answered,
            if accept { 3 } else { 0 },
            "accept_mode = {accept}"
        );
        let to_vip = |frame: &Frame| {
            let echo = frame
                .icmp()
                .is_some_and(|icmp| icmp.destination == IpAddr::V4(VIP));
            let asked = frame
                .arp()
                .is_some_and(|arp| arp.operation == 1 && arp.target == VIP && arp.sender != VIP);
            echo || asked
        };
        let forwarded: Vec<Frame> = lan
            .frames_since(start)
            .into_iter()
            .filter(|frame| frame.port == "r1")
            .chain(upstream.frames_since(start))
            .filter(to_vip)
            .collect();
        assert_eq!(forwarded, [], "accept_mode = {accept}");
        daemon.stop();
    }
}
