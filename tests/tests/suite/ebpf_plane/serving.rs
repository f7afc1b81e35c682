//! Elections, ARP, neighbour discovery, forwarding, and what is accepted.
//!
//! Modes: ebpf.

use std::net::{IpAddr, Ipv6Addr};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::frame::Frame;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::mode::lacks_ebpf;
use rvrrpd_tests::probe::ping_mac;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, SERVER, Scene, VIP, VMAC, VRID, advert_from};
use rvrrpd_tests::sys::Stamp;

use super::{answers, never_physical, pair, pings, router};

/// ARP-1, ND-1, FSM-A-1, FSM-B-1, FSM-B-3, ARP-6: exactly one answer, of the Master alone, with the
/// virtual MAC; after a takeover of the new one; after the stop none. Nothing is made for it.
#[test]
fn one_answer_from_the_master() {
    if lacks_ebpf("one_answer_from_the_master") {
        return;
    }
    for family in FAMILIES {
        for accept in [false, true] {
            let scene = Scene::new("one_answer_from_the_master");
            scene.lab.step(&format!("{family} accept={accept}"));
            let lan = scene.lan.capture();
            let interfaces = scene.r1.interfaces();
            let name = family.name();
            let start = Stamp::now();
            let (first, second) = pair(&scene, &router(*family, accept), name);
            answers(&lan, &scene, *family, Some(&scene.r1));
            assert_eq!(scene.r1.interfaces(), interfaces);
            let carriers = scene.r1.carriers_of(family.vip());
            assert_eq!(carriers, if accept { vec!["eth0"] } else { vec![] });
            assert!(scene.r2.carriers_of(family.vip()).is_empty());
            first.stop();
            second.wait_state(name, State::Master, within(10.0));
            answers(&lan, &scene, *family, Some(&scene.r2));
            assert!(scene.r1.carriers_of(family.vip()).is_empty());
            second.stop();
            answers(&lan, &scene, *family, None);
            assert!(scene.r2.carriers_of(family.vip()).is_empty());
            for host in [&scene.r1, &scene.r2] {
                never_physical(&lan, start, host, &[family.vip()]);
            }
        }
    }
}

/// FSM-A-4, FSM-A-5, FSM-B-3, FSM-B-4, FWD-1: a Master forwards what comes to the virtual MAC and takes what
/// is for the virtual address where it is to, a Backup neither; what changes that is one election.
#[test]
fn the_master_forwards_and_accepts() {
    if lacks_ebpf("the_master_forwards_and_accepts") {
        return;
    }
    for accept in [false, true] {
        let scene = Scene::with_upstream("the_master_forwards_and_accepts");
        scene.lab.step(&format!("accept={accept}"));
        let lan = scene.lan.capture();
        let text = config(&[router(Family::V4, accept)]);
        let daemon = scene.start(&scene.r2, &text);
        daemon.wait_change(0, NAME, State::Backup, within(10.0));
        let reach = || {
            let of = |target| ping_mac(&lan, &scene.client, VMAC, target, 3);
            (of(VIP), of(SERVER))
        };
        for _ in 0..2 {
            scene.inject(scene.ghost(200, 4095));
            until("it is Backup", within(5.0), || {
                (daemon.state(NAME) == Some(State::Backup)).then_some(())
            });
            until("it is closed", within(5.0), || {
                (reach() == (0, 0)).then_some(())
            });
            let start = Stamp::now();
            scene.inject(scene.ghost(200, 10));
            lan.wait_since(start, "its ARP", within(8.0), |frame| {
                frame.arp().is_some_and(|arp| arp.announces(VIP))
            });
            until("the Master is reached", within(5.0), || {
                (reach() == (if accept { 3 } else { 0 }, 3)).then_some(())
            });
        }
        // The own address of the interface is not concerned.
        let own = scene.r2.address("eth0");
        assert_eq!(pings(&scene.client, own.into()), 3);
    }
}

/// ND-4, ND-9, FSM-A-5, ND-1: a link-local virtual address is the gateway of hosts, as well with a
/// global one beside it, and is pinged where it accepts.
#[test]
fn an_ipv6_gateway() {
    if lacks_ebpf("an_ipv6_gateway") {
        return;
    }
    for accept in [false, true] {
        let scene = Scene::with_upstream("an_ipv6_gateway");
        scene.lab.step(&format!("accept={accept}"));
        let lan = scene.lan.capture();
        let server = scene.server.as_ref().expect("a server");
        let address = |host: &Host, interface: &str, address: &str| {
            host.ip(&format!("address add {address}/64 dev {interface} nodad"));
        };
        address(&scene.r1, "eth0", "2001:db8::1");
        address(&scene.r1, "eth1", "2001:db8:1::1");
        address(&scene.client, "eth0", "2001:db8::50");
        address(server, "eth0", "2001:db8:1::50");
        server.ip("-6 route add default via 2001:db8:1::1");
        scene
            .client
            .ip("-6 route add default via fe80::100 dev eth0");
        let vips = ["fe80::100", "2001:db8::100"];
        let vrouter = Vrouter::new(VRID, &vips)
            .iftype("ebpf")
            .key("accept_mode", accept);
        let start = Stamp::now();
        let daemon = scene.start(&scene.r1, &config(&[vrouter]));
        let family = Family::V6;
        daemon.wait_state(family.name(), State::Master, within(10.0));
        answers(&lan, &scene, family, Some(&scene.r1));
        let expected = if accept { 3 } else { 0 };
        let global: Ipv6Addr = "2001:db8::100".parse().unwrap();
        let (global, octets) = (IpAddr::V6(global), global.octets());
        assert_eq!(pings(&scene.client, "2001:db8:1::50".parse().unwrap()), 3);
        assert_eq!(pings(&scene.client, family.vip()), expected);
        assert_eq!(pings(&scene.client, global), expected);
        for vip in [family.vip(), global] {
            assert_eq!(scene.client.neighbour(vip), Some(family.vmac()), "{vip}");
        }
        // The router itself speaks with its own address to its neighbours, not with the virtual one.
        assert_eq!(pings(&scene.r1, "2001:db8::50".parse().unwrap()), 3);
        let from_vip = |frame: &Frame| {
            let bytes = frame.payload();
            let is_echo = frame.ethertype() == 0x86dd && bytes[6] == 58 && bytes[40] == 128;
            frame.port == "r1" && is_echo && bytes[8..24] == octets
        };
        assert!(!lan.frames_since(start).iter().any(from_vip));
        never_physical(&lan, start, &scene.r1, &[family.vip(), global]);
    }
}

/// Several virtual routers on one interface, of both families with one VRID, beside one on a
/// macvlan: each is answered for by its own virtual MAC, once.
#[test]
fn many_on_one_interface() {
    if lacks_ebpf("many_on_one_interface") {
        return;
    }
    let scene = Scene::new("many_on_one_interface");
    let lan = scene.lan.capture();
    let plane = |group: u8, vips: &[&str]| Vrouter::new(group, vips).iftype("ebpf");
    let start = Stamp::now();
    let daemon = scene.start(
        &scene.r1,
        &config(&[
            plane(7, &["10.0.0.100"]),
            plane(7, &["fe80::100"]).key("accept_mode", false),
            plane(8, &["10.0.0.108", "10.0.0.109"]).key("accept_mode", false),
            Vrouter::new(9, &["10.0.0.110"]).macvlan(),
        ]),
    );
    for name in ["eth0-7", "eth0-7-v6", "eth0-8", "eth0-9"] {
        daemon.wait_state(name, State::Master, within(10.0));
    }
    for group in [7, 8, 9] {
        lan.wait_count(
            start,
            3,
            "adverts",
            within(5.0),
            advert_from(&scene.r1, group),
        );
    }
    for (vip, mac) in [
        ("10.0.0.100", "00:00:5e:00:01:07"),
        ("fe80::100", "00:00:5e:00:02:07"),
        ("10.0.0.108", "00:00:5e:00:01:08"),
        ("10.0.0.109", "00:00:5e:00:01:08"),
        ("10.0.0.110", "00:00:5e:00:01:09"),
    ] {
        let address = vip.parse().unwrap();
        // The driver may still be at it.
        let answers = until("an answer", within(5.0), || {
            let answers = super::who_has(&lan, &scene.client, address);
            (!answers.is_empty()).then_some(answers)
        });
        let answers: Vec<_> = answers
            .iter()
            .map(|(host, mac)| (host.as_str(), mac.to_string()))
            .collect();
        assert_eq!(answers, [("r1", mac.to_owned())], "{vip}");
    }
}
