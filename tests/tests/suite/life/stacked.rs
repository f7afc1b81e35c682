//! Interfaces on interfaces: a bridge, a bond or a macvlan carries the virtual router, or the
//! interface is a port of one.

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{State, config};
use rvrrpd_tests::scene::Scene;

use super::{Kind, pair, wait_reason};

in_modes! {
    a_bridge: macvlan, ether, ebpf;
    a_bond: macvlan, ether, ebpf;
    a_port_of_a_bridge: macvlan, ether, ebpf;
    a_macvlan: macvlan, ether, ebpf;
}

/// Makes `eth0` a bridge without spanning tree, with the interface that was `eth0` as its port.
fn put_into_a_bridge(kind: Kind, host: &Host, address: &str) {
    host.ip("link set eth0 name port0");
    host.ip("address flush dev port0");
    host.ip("link add name eth0 type bridge stp_state 0 forward_delay 0");
    host.ip("link set port0 master eth0");
    host.ip("link set eth0 up");
    host.ip(&format!("address add {address} dev eth0"));
    if kind.ipv6 {
        host.sysctl("ipv6/conf/eth0/keep_addr_on_down", "1");
    }
}

/// FSM-I-4: the virtual router is on a bridge, the way to the LAN is a port of it. Another port
/// that comes and goes does no harm; without a port there is no carrier.
fn a_bridge(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("a_bridge");
        let lan = scene.lan.capture();
        put_into_a_bridge(kind, &scene.r1, "10.0.0.1/24");
        let (first, second) = pair(kind, &scene);
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        let mark = first.log().mark();
        scene
            .r1
            .ip("link add port1 address 02:00:00:00:00:01 type veth peer name far1");
        // It would answer ARP for all addresses of the host, as every interface does.
        scene.r1.ip("link set far1 arp off up");
        scene.r1.ip("link set port1 master eth0 up");
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        scene.r1.ip("link set port1 nomaster");
        scene.r1.ip("link del port1");
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        let changes = first.log().texts_after(mark);
        assert!(
            !changes.iter().any(|line| line.contains("Changed from")),
            "{kind:?}: {changes:#?}"
        );
        scene.lab.step(&format!("{kind:?}: no port is left"));
        scene.r1.ip("link set port0 nomaster");
        wait_reason(&first, mark, "no-carrier");
        second.wait_state(kind.name(), State::Master, within(10.0));
        kind.wait_answers(&lan, &scene.client, &scene.r2);
        scene.r1.ip("link set port0 master eth0");
        first.wait_state(kind.name(), State::Master, within(10.0));
        second.wait_state(kind.name(), State::Backup, within(10.0));
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        first.stop();
        second.stop();
    }
}

/// FSM-I-4: the virtual router is on a bond, one of whose two links fails. Skipped where the
/// kernel has no bonds.
fn a_bond(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("a_bond");
        let mut add = scene.r1.command("ip");
        add.args([
            "link",
            "add",
            "bond0",
            "type",
            "bond",
            "mode",
            "active-backup",
        ]);
        add.args(["miimon", "50"]);
        let output = add.output().expect("ip");
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            eprintln!("skipped: this kernel makes no bond: {}", why.trim());
            return;
        }
        let lan = scene.lan.capture();
        scene.lab.attach(&scene.lan, &scene.r1, "port1", &[]);
        scene.r1.ip("link set eth0 name port0");
        scene.r1.ip("address flush dev port0");
        for port in ["port0", "port1"] {
            scene.r1.ip(&format!("link set {port} down"));
            scene.r1.ip(&format!("link set {port} master bond0"));
        }
        scene.r1.ip("link set bond0 name eth0");
        scene.r1.ip("link set eth0 up");
        scene.r1.ip("address add 10.0.0.1/24 dev eth0");
        let (first, second) = pair(kind, &scene);
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        let mark = first.log().mark();
        scene.r1.ip("link set port0 down");
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        scene.r1.ip("link set port1 down");
        wait_reason(&first, mark, "no-carrier");
        second.wait_state(kind.name(), State::Master, within(10.0));
        scene.r1.ip("link set port1 up");
        first.wait_state(kind.name(), State::Master, within(10.0));
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        first.stop();
        second.stop();
    }
}

/// FSM-I-4: a port of a bridge hears nothing, so a router there waits and says why; when the
/// interface leaves the bridge it starts.
fn a_port_of_a_bridge(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("a_port_of_a_bridge");
        let lan = scene.lan.capture();
        scene
            .r1
            .ip("link add name br9 type bridge stp_state 0 forward_delay 0");
        scene.r1.ip("link set br9 up");
        scene.r1.ip("link set eth0 master br9");
        let daemon = scene.start(&scene.r1, &config(&[kind.router(200)]));
        wait_reason(&daemon, 0, "enslaved");
        scene.r1.ip("link set eth0 nomaster");
        daemon.wait_state(kind.name(), State::Master, within(10.0));
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        // An interface with a macvlan on it is taken by no bridge.
        if mode != Mode::Macvlan {
            let mark = daemon.log().mark();
            scene.r1.ip("link set eth0 master br9");
            wait_reason(&daemon, mark, "enslaved");
            daemon.wait_state(kind.name(), State::Init, within(10.0));
            until("no VIP", within(5.0), || {
                scene.r1.carriers_of(kind.vip()).is_empty().then_some(())
            });
            scene.r1.ip("link set eth0 nomaster");
            daemon.wait_state(kind.name(), State::Master, within(10.0));
            kind.wait_answers(&lan, &scene.client, &scene.r1);
        }
        daemon.stop();
    }
}

fn on_a_macvlan(scene: &Scene) {
    scene.r1.ip("link set eth0 name lower0");
    scene.r1.ip("-4 address flush dev lower0");
    // It would answer ARP for all addresses of the host, as every interface does.
    scene.r1.sysctl("ipv4/conf/lower0/arp_ignore", "1");
    scene
        .r1
        .ip("link add name eth0 link lower0 type macvlan mode bridge");
    scene.r1.ip("link set eth0 up");
    scene.r1.ip("address add 10.0.0.1/24 dev eth0");
}

/// The interface is a macvlan itself. A macvlan on it would silently be beside it, where no gate
/// is, and frames to any other virtual MAC never get to it: refused, once, with what is allowed.
/// `ether` works there.
fn a_macvlan(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("a_macvlan");
        let lan = scene.lan.capture();
        on_a_macvlan(&scene);
        let daemon = scene.start(&scene.r1, &config(&[kind.router(200)]));
        if mode != Mode::Ether {
            let why = match mode {
                Mode::Macvlan => "eth0 is a macvlan itself",
                _ => "eth0 takes frames to its own Ethernet address alone",
            };
            let told = || {
                let lines = daemon.log().lines();
                let told = lines.iter().filter(|line| line.text.contains(why));
                told.count()
            };
            until("the reason", within(5.0), || (told() == 1).then_some(()));
            // Nothing is advised that does not run there either.
            let lines = daemon.log().lines();
            let mut refused = lines.iter().filter(|line| line.text.contains(why));
            assert!(!refused.any(|line| line.text.contains("\"macvlan\"")));
            assert!(!scene.r1.interfaces().contains(&"standby7".to_owned()));
            scene.r1.ip("link del eth0");
            scene.r1.ip("link set lower0 name eth0");
            scene.r1.ip("address add 10.0.0.1/24 dev eth0");
            daemon.wait_state(kind.name(), State::Master, within(10.0));
            assert_eq!(told(), 1);
        } else {
            daemon.wait_state(kind.name(), State::Master, within(10.0));
        }
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        daemon.stop();
    }
}
