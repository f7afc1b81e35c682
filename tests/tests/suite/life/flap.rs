//! A cable is pulled, an interface is set down, and both come back: at once, later, ten times.

use std::net::IpAddr;
use std::time::Duration;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::Frame;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::lab::Lan;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{State, config};
use rvrrpd_tests::scene::{VRID, advert_from, converge};
use rvrrpd_tests::sys::Stamp;

use super::{Kind, pair, turns, unseen, wait_reason};

in_modes! {
    a_cable_is_pulled: macvlan, ether, ebpf;
    an_interface_is_set_down: macvlan, ether, ebpf;
    ten_flaps_of_a_backup: macvlan, ether, ebpf;
    ten_flaps_of_a_master: macvlan, ether, ebpf;
}

/// How a link is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Cable,
    Admin,
}

impl Loss {
    fn set(self, lan: &Lan, host: &Host, on: bool) {
        match self {
            Self::Cable => lan.carrier(host, on),
            Self::Admin => {
                host.ip(&format!("link set eth0 {}", if on { "up" } else { "down" }));
            }
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Cable => "no-carrier",
            Self::Admin => "interface-down",
        }
    }
}

/// FSM-I-4, FSM-X-1, FSM-A-6, and what the Redpaper tells under "Unplugging" and "Configuring an
/// interface down": a router without its link waits in Init and says why. When the link is back it
/// hears the others (the group is joined), there are no two Masters for longer than one
/// advertisement, nobody flaps, and hosts get one right answer.
fn lost_and_back(mode: Mode, test: &str, loss: Loss) {
    for kind in Kind::of(mode) {
        let scene = kind.scene(test);
        let lan = scene.lan.capture();
        let (first, second) = pair(kind, &scene);
        converge(
            &lan,
            &[(VRID, &scene.r1)],
            Duration::from_millis(500),
            within(5.0),
        );
        let name = kind.name();

        scene.lab.step(&format!("{kind:?}: the Master loses it"));
        let (mark, start) = (first.log().mark(), Stamp::now());
        loss.set(&scene.lan, &scene.r1, false);
        second.wait_state(name, State::Master, within(10.0));
        wait_reason(&first, mark, loss.reason());
        first.wait_state(name, State::Init, within(10.0));
        kind.wait_answers(&lan, &scene.client, &scene.r2);
        loss.set(&scene.lan, &scene.r1, true);
        first.wait_change(mark, name, State::Backup, within(10.0));
        first.wait_state(name, State::Master, within(10.0));
        second.wait_state(name, State::Backup, within(10.0));
        converge(
            &lan,
            &[(VRID, &scene.r1)],
            Duration::from_millis(500),
            within(5.0),
        );
        // What r1 sent before is the first turn.
        let seen = turns(&lan, start);
        let back = seen.iter().skip_while(|port| *port == "r1");
        assert!(back.eq(["r2", "r1"].iter()), "{kind:?} {loss:?}: {seen:?}");
        kind.wait_answers(&lan, &scene.client, &scene.r1);

        scene.lab.step(&format!("{kind:?}: the Backup loses it"));
        let mark = second.log().mark();
        loss.set(&scene.lan, &scene.r2, false);
        wait_reason(&second, mark, loss.reason());
        second.wait_state(name, State::Init, within(10.0));
        let back = Stamp::now();
        loss.set(&scene.lan, &scene.r2, true);
        second.wait_state(name, State::Backup, within(10.0));
        // Without the group it would be Master after 0.4 s.
        lan.wait_count(
            Stamp::now(),
            15,
            "1.5 s of adverts",
            within(8.0),
            advert_from(&scene.r1, VRID),
        );
        assert_eq!(second.state(name), Some(State::Backup), "{kind:?} {loss:?}");
        let sent: Vec<Frame> = lan
            .frames_since(back)
            .into_iter()
            .filter(kind.is_duty(&scene.r2))
            .collect();
        assert!(sent.is_empty(), "{kind:?} {loss:?}: {sent:#?}");
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        first.stop();
        second.stop();
    }
}

/// FSM-I-4, FSM-X-1, FSM-A-6: see [`lost_and_back`].
fn a_cable_is_pulled(mode: Mode) {
    lost_and_back(mode, "a_cable_is_pulled", Loss::Cable);
}

/// FSM-I-4, FSM-X-1, FSM-A-6: see [`lost_and_back`].
fn an_interface_is_set_down(mode: Mode) {
    lost_and_back(mode, "an_interface_is_set_down", Loss::Admin);
}

/// ARP-6, ARP-7, ND-5, FSM-B-1, FSM-B-2: ten flaps of the lower device of a Backup, by its own
/// end and by the other end of its cable, also faster than anybody looks. It answers nothing for
/// the virtual address and sends nothing from the virtual MAC, during and after.
fn ten_flaps_of_a_backup(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("ten_flaps_of_a_backup");
        let lan = scene.lan.capture();
        let (first, second) = pair(kind, &scene);
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        let start = Stamp::now();
        for flap in 0..10 {
            scene.lab.step(&format!("{kind:?}: flap {flap}"));
            let loss = if flap % 2 == 0 {
                Loss::Admin
            } else {
                Loss::Cable
            };
            loss.set(&scene.lan, &scene.r2, false);
            if flap >= 6 {
                kind.ask(&lan, &scene.client);
            }
            loss.set(&scene.lan, &scene.r2, true);
            let answers = kind.ask(&lan, &scene.client);
            assert!(
                answers
                    .iter()
                    .all(|(host, mac)| host == "r1" && *mac == kind.vmac()),
                "{kind:?}, flap {flap}: {answers:?}"
            );
        }
        second.wait_state(kind.name(), State::Backup, within(10.0));
        lan.wait_count(
            Stamp::now(),
            15,
            "1.5 s of adverts",
            within(8.0),
            advert_from(&scene.r1, VRID),
        );
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        let sent: Vec<Frame> = lan
            .frames_since(start)
            .into_iter()
            .filter(kind.is_duty(&scene.r2))
            .collect();
        assert!(sent.is_empty(), "{kind:?}: {sent:#?}");
        assert_eq!(second.state(kind.name()), Some(State::Backup), "{kind:?}");
        first.stop();
        second.stop();
    }
}

fn has_route(host: &Host, kind: Kind, route: &str) -> bool {
    let family = if kind.ipv6 { "-6" } else { "-4" };
    host.ip(&format!("{family} route show"))
        .lines()
        .any(|line| line.starts_with(route))
}

/// FSM-I-4: ten flaps of the lower device of the Master, seen and unseen: all
/// virtual addresses and its routes by that device come back, IPv6 ones too, and its own
/// link-local address is none that is made of the virtual MAC (ND-5).
fn ten_flaps_of_a_master(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("ten_flaps_of_a_master");
        let lan = scene.lan.capture();
        let (route, next_hop) = if kind.ipv6 {
            ("2001:db8:ff::/48", "2001:db8::50")
        } else {
            ("192.168.1.0/24", "10.0.0.50")
        };
        let routes = format!("[{{ route = \"{route}\", nh = \"{next_hop}\" }}]");
        let vip_count = kind.vips().len();
        let own = scene.r1.link_local("eth0");
        let daemon = scene.start(
            &scene.r1,
            &config(&[kind.router(200).key("routes", routes)]),
        );
        daemon.wait_state(kind.name(), State::Master, within(10.0));
        let complete = |what: &str| {
            scene.lab.step(&format!("{kind:?}: {what}"));
            until(
                &format!("{kind:?}: all of it, {what}"),
                within(10.0),
                || {
                    let there = scene.r1.addresses(kind.carrier());
                    let vips = kind.vips().iter().filter(|vip| {
                        let vip: IpAddr = vip.parse().unwrap();
                        there.contains(&vip)
                    });
                    (vips.count() == vip_count && has_route(&scene.r1, kind, route)).then_some(())
                },
            );
        };
        complete("at first");
        for _ in 0..5 {
            scene.r1.ip("link set eth0 down");
            scene.r1.ip("link set eth0 up");
        }
        for flap in 0..5 {
            complete(&format!("before quick flap {flap}"));
            daemon.wait_state(kind.name(), State::Master, within(10.0));
            if mode == Mode::Ether {
                until("the virtual MAC", within(5.0), || {
                    (scene.r1.mac("eth0") == kind.vmac()).then_some(())
                });
            }
            unseen(&daemon, || {
                scene
                    .r1
                    .ip_batch(&["link set eth0 down", "link set eth0 up"]);
            });
        }
        complete("after ten flaps");
        daemon.wait_state(kind.name(), State::Master, within(10.0));
        for _ in 0..10 {
            scene.lan.carrier(&scene.r1, false);
            scene.lan.carrier(&scene.r1, true);
        }
        complete("after ten pulled cables");
        daemon.wait_state(kind.name(), State::Master, within(10.0));
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        let is_own = || {
            let others = [IpAddr::V6(own), "fe80::100".parse().unwrap()];
            let addresses = scene.r1.addresses("eth0");
            let mut link_local = addresses.iter().filter(|address| match address {
                IpAddr::V6(address) => address.is_unicast_link_local(),
                IpAddr::V4(_) => false,
            });
            addresses.contains(&others[0]) && link_local.all(|address| others.contains(address))
        };
        until("its own link-local address", within(5.0), || {
            is_own().then_some(())
        });
        lan.wait_count(
            Stamp::now(),
            5,
            "adverts",
            within(5.0),
            advert_from(&scene.r1, VRID),
        );
        daemon.stop();
        assert!(is_own(), "{kind:?}: {:?}", scene.r1.addresses("eth0"));
    }
}
