//! The interface becomes another one: renamed, deleted and made again, with another MAC or MTU.

use std::net::IpAddr;

use rvrrpd_tests::bpf;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::{Frame, Mac};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, config};
use rvrrpd_tests::scene::{Scene, VRID, advert_from};
use rvrrpd_tests::sys::Stamp;

use super::repair::{many, router_of};
use super::{Kind, VIP4, pair, unseen, wait_reason};

in_modes! {
    an_interface_is_renamed: macvlan, ether, ebpf;
    an_interface_is_deleted_and_made_again: macvlan, ether, ebpf;
    an_interface_of_the_same_name_and_index: macvlan, ether, ebpf;
    // It alone announces the MAC of the interface.
    another_mac_is_announced: ether;
    // The others leave the MAC of the interface alone.
    a_mac_that_was_given_stays_after_all: ether;
    the_mtu_goes_down_and_up: macvlan, ether, ebpf;
    the_message_outgrows_the_mtu: macvlan, ether, ebpf;
}

/// The interface with the name `eth0` goes.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Renamed,
    Deleted,
}

impl Loss {
    fn happen(self, host: &Host) {
        match self {
            Self::Renamed => host.ip("link set eth0 name old0"),
            Self::Deleted => host.ip("link del eth0"),
        };
    }

    /// Another one of that name comes, with another index.
    fn come_back(self, scene: &Scene, host: &Host, address: &str) {
        if let Self::Renamed = self {
            host.ip("link set old0 down");
            host.ip("address flush dev old0");
        }
        scene.lab.attach(&scene.lan, host, "eth0", &[address]);
    }
}

/// Waits until nothing of the virtual router is left on `host`.
fn wait_clean(kind: Kind, host: &Host) {
    until(&format!("{kind:?}: nothing is left"), within(8.0), || {
        let macs = host.ip("link show type veth");
        let clean = host.carriers_of(kind.vip()).is_empty() && !macs.contains("00:00:5e");
        clean.then_some(())
    });
}

/// For a while `host` neither sends from the virtual MAC nor answers, and stays Backup.
fn wait_silence(kind: Kind, scene: &Scene, start: Stamp, daemon: &Rvrrpd) {
    let lan = scene.lan.capture();
    lan.wait_count(
        Stamp::now(),
        15,
        "1.5 s of adverts",
        within(8.0),
        advert_from(&scene.r1, VRID),
    );
    assert_eq!(daemon.state(kind.name()), Some(State::Backup), "{kind:?}");
    let is_duty = kind.is_duty(daemon.host());
    let sent: Vec<Frame> = lan
        .frames_since(start)
        .into_iter()
        .filter(is_duty)
        .collect();
    assert!(sent.is_empty(), "{kind:?}: {sent:#?}");
}

/// FSM-I-4, FSM-A-6, FSM-X-1, ARP-7: the interface of the Master, then that of the Backup, is
/// renamed or deleted: Init, and why; nothing is left on it. Another one that takes the name is
/// taken, the Backup hears the Master there.
fn another_takes_the_name(mode: Mode, test: &str, loss: Loss) {
    for kind in Kind::of(mode) {
        let scene = kind.scene(test);
        let lan = scene.lan.capture();
        let (first, second) = pair(kind, &scene);
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        let mark = first.log().mark();
        loss.happen(&scene.r1);
        wait_reason(&first, mark, "no-interface");
        first.wait_state(kind.name(), State::Init, within(10.0));
        wait_clean(kind, &scene.r1);
        second.wait_state(kind.name(), State::Master, within(10.0));
        kind.wait_answers(&lan, &scene.client, &scene.r2);
        loss.come_back(&scene, &scene.r1, "10.0.0.1/24");
        first.wait_state(kind.name(), State::Master, within(10.0));
        second.wait_state(kind.name(), State::Backup, within(10.0));
        kind.wait_answers(&lan, &scene.client, &scene.r1);

        scene.lab.step(&format!("{kind:?}: the Backup's interface"));
        let mark = second.log().mark();
        loss.happen(&scene.r2);
        wait_reason(&second, mark, "no-interface");
        wait_clean(kind, &scene.r2);
        let start = Stamp::now();
        loss.come_back(&scene, &scene.r2, "10.0.0.2/24");
        second.wait_change(mark, kind.name(), State::Backup, within(10.0));
        wait_silence(kind, &scene, start, &second);
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        first.stop();
        second.stop();
    }
}

/// FSM-I-4, FSM-A-6, FSM-X-1, ARP-7: see [`another_takes_the_name`].
fn an_interface_is_renamed(mode: Mode) {
    another_takes_the_name(mode, "an_interface_is_renamed", Loss::Renamed);
}

/// FSM-I-4, FSM-A-6, FSM-X-1, ARP-7: see [`another_takes_the_name`].
fn an_interface_is_deleted_and_made_again(mode: Mode) {
    another_takes_the_name(
        mode,
        "an_interface_is_deleted_and_made_again",
        Loss::Deleted,
    );
}

/// Waits until the virtual address of a Master is in the kernel.
fn wait_until_carried(kind: Kind, scene: &Scene) {
    until(&format!("{kind:?}: the VIP"), within(5.0), || {
        let carriers = scene.r1.carriers_of(kind.vip());
        (carriers == [kind.carrier()]).then_some(())
    });
}

/// FSM-I-4, ARP-1, FSM-B-3: the interface is deleted and made again with the same name and index
/// faster than anybody looks: all is made anew there, its settings and the gate too, and its own
/// MAC is left alone.
fn an_interface_of_the_same_name_and_index(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("an_interface_of_the_same_name_and_index");
        let daemon = scene.start(&scene.r1, &config(&[kind.router(200)]));
        daemon.wait_state(kind.name(), State::Master, within(10.0));
        wait_until_carried(kind, &scene);
        let index = scene.r1.ip_json("link show dev eth0")[0]["ifindex"].to_string();
        let mark = daemon.log().mark();
        unseen(&daemon, || {
            scene.r1.ip_batch(&[
            "link del eth0",
            &format!(
                "link add name eth0 index {index} address 02:00:00:00:00:77 type veth peer name far0"
            ),
            "link set far0 up",
            "link set eth0 up",
            "address add 10.9.0.1/24 dev eth0",
        ]);
        });
        daemon.wait_change(mark, kind.name(), State::Master, within(10.0));
        wait_until_carried(kind, &scene);
        if mode == Mode::Macvlan {
            let path = "ipv4/conf/eth0/arp_ignore";
            assert_eq!(scene.r1.read_sysctl(path).as_deref(), Some("1"), "{kind:?}");
            let rules = scene.r1.run("nft", &["list", "ruleset"]);
            assert!(
                rules.contains("\"eth0\"") || bpf::programs(&scene.r1, "eth0").len() == 1,
                "{kind:?}: no gate: {rules}"
            );
        }
        if mode == Mode::Ebpf {
            assert_eq!(bpf::programs(&scene.r1, "eth0").len(), 1, "{kind:?}");
        }
        daemon.stop();
        assert_eq!(scene.r1.mac("eth0"), Mac::parse("02:00:00:00:00:77"));
    }
}

/// ARP-3, ND-3: without a virtual MAC the interface's own one is announced, and a new one is
/// announced when the interface gets it.
fn another_mac_is_announced(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("another_mac_is_announced");
        let lan = scene.lan.capture();
        let router = kind.router(200).key("virtual_mac", false);
        let daemon = scene.start(&scene.r1, &config(&[router]));
        daemon.wait_state(kind.name(), State::Master, within(10.0));
        // Those of the takeover: at once, after 1 s and after 5 s.
        let announced = |frame: &Frame| {
            let arp = frame.arp().is_some_and(|arp| arp.announces(VIP4));
            let nd = frame.nd().is_some_and(|nd| nd.kind == 136 && !nd.solicited);
            arp || nd
        };
        let count = 3 * kind.vips().len();
        lan.wait_count(
            Stamp::default(),
            count,
            "announcements",
            within(10.0),
            announced,
        );
        let mac = Mac::parse("02:00:00:00:00:99");
        let (mark, start) = (daemon.log().mark(), Stamp::now());
        scene.r1.ip(&format!("link set eth0 address {mac}"));
        lan.wait_since(start, "an announcement", within(5.0), |frame| {
            let arp = frame.arp().filter(|_| !kind.ipv6);
            let nd = frame.nd().filter(|nd| kind.ipv6 && nd.kind == 136);
            arp.is_some_and(|arp| {
                (IpAddr::V4(arp.sender), arp.sender_mac) == (kind.vip(), mac)
                    && arp.sender == arp.target
            }) || nd
                .is_some_and(|nd| (IpAddr::V6(nd.target), nd.link_layer) == (kind.vip(), Some(mac)))
        });
        until("the new one answers", within(5.0), || {
            (kind.ask(&lan, &scene.client) == [("r1".to_owned(), mac)]).then_some(())
        });
        let changes = daemon.log().texts_after(mark);
        assert!(!changes.iter().any(|line| line.contains("Changed from")));
        daemon.stop();
    }
}

/// A MAC that somebody gives to the interface while it carries the virtual one: the virtual one is
/// put back, and at the end the interface has the one that it was given.
fn a_mac_that_was_given_stays_after_all(mode: Mode) {
    let kind = Kind::new(false, mode);
    let scene = kind.scene("a_mac_that_was_given_stays_after_all");
    let daemon = scene.start(&scene.r1, &config(&[kind.router(200)]));
    daemon.wait_state(kind.name(), State::Master, within(10.0));
    let carries = |mac| {
        until("the MAC", within(5.0), || {
            (scene.r1.mac("eth0") == mac).then_some(())
        });
    };
    carries(kind.vmac());
    let given = Mac::parse("02:00:00:00:00:99");
    scene.r1.ip(&format!("link set eth0 address {given}"));
    until("put back", within(5.0), || {
        let lines = daemon.log().lines();
        let back = lines
            .iter()
            .any(|line| line.text.contains("Put back: virtual MAC"));
        back.then_some(())
    });
    carries(kind.vmac());
    daemon.stop();
    carries(given);
}

/// TX-10, FSM-I-4, ARP-7, ND-5: the MTU becomes too small for IPv6 and large again, as Master and
/// as Backup. IPv6 waits meanwhile; after it the macvlan has the new MTU and is as silent as
/// before, and the group is joined again.
fn the_mtu_goes_down_and_up(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("the_mtu_goes_down_and_up");
        let lan = scene.lan.capture();
        let (first, second) = pair(kind, &scene);
        for (host, daemon) in [(&scene.r2, &second), (&scene.r1, &first)] {
            for mtu in [1400, 1000] {
                scene
                    .lab
                    .step(&format!("{kind:?}: MTU {mtu} on {}", host.name()));
                let (mark, start) = (daemon.log().mark(), Stamp::now());
                host.ip(&format!("link set eth0 mtu {mtu}"));
                if kind.ipv6 && mtu < 1280 {
                    wait_reason(daemon, mark, "no-primary-address");
                    daemon.wait_state(kind.name(), State::Init, within(10.0));
                }
                host.ip("link set eth0 mtu 1500");
                if kind.ipv6 && mtu < 1280 {
                    host.sysctl("ipv6/conf/eth0/accept_dad", "0");
                }
                until(&format!("{kind:?}: MTU 1500"), within(8.0), || {
                    let links = host.ip_json(&format!("link show dev {}", kind.carrier()));
                    (links[0]["mtu"] == 1500).then_some(())
                });
                if host.name() == "r2" {
                    daemon.wait_state(kind.name(), State::Backup, within(10.0));
                    wait_silence(kind, &scene, start, daemon);
                } else {
                    daemon.wait_state(kind.name(), State::Master, within(10.0));
                    second.wait_state(kind.name(), State::Backup, within(10.0));
                }
                kind.wait_answers(&lan, &scene.client, &scene.r1);
                let made = host.ip("-6 address show");
                assert!(!made.contains("5eff:fe00:"), "{kind:?}: {made}");
            }
        }
        first.stop();
        second.stop();
    }
}

/// TX-10: the advertisement does not fit any more, and fits again.
fn the_message_outgrows_the_mtu(mode: Mode) {
    let scene = Kind::new(false, mode).scene("the_message_outgrows_the_mtu");
    let daemon = scene.start(&scene.r1, &config(&[router_of(mode, &many(140), "")]));
    daemon.wait_state("eth0-7", State::Master, within(10.0));
    let mark = daemon.log().mark();
    scene.r1.ip("link set eth0 mtu 500");
    wait_reason(&daemon, mark, "exceeds-mtu");
    daemon.wait_state("eth0-7", State::Init, within(10.0));
    scene.r1.ip("link set eth0 mtu 1500");
    daemon.wait_state("eth0-7", State::Master, within(10.0));
    daemon.stop();
}
