//! What reaches a virtual MAC: nothing at a Backup, everything permitted at a Master.

use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::within;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::probe::{Pinger, arping, lost, ping_mac};
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, SERVER, Scene, VIP, VIP_TEXT, VMAC, VRID, advert_from, converge};
use rvrrpd_tests::sys::Stamp;

in_modes! {
    a_backup_discards_frames_to_the_virtual_mac: macvlan, ether, ebpf;
    forwarding_with_rp_filter: macvlan, ether, ebpf;
    accept_mode: macvlan, ether, ebpf;
    hosts_learn_the_virtual_mac_only: macvlan, ether, ebpf;
}

fn router(mode: Mode) -> Vrouter {
    Vrouter::new(VRID, &[VIP_TEXT]).mode(mode)
}

/// Pings in frames to the virtual MAC that are answered: by the VIP, and by the server behind.
fn reach(scene: &Scene, lan: &Capture) -> (usize, usize) {
    (
        ping_mac(lan, &scene.client, VMAC, VIP, 3),
        ping_mac(lan, &scene.client, VMAC, SERVER, 3),
    )
}

/// FSM-B-3, FSM-B-4, FSM-A-4, FSM-A-5: frames to the virtual MAC are neither accepted nor
/// forwarded by a Backup, both by a Master, and again neither when it has yielded.
fn a_backup_discards_frames_to_the_virtual_mac(mode: Mode) {
    let scene = Scene::with_upstream("a_backup_discards_frames_to_the_virtual_mac");
    let lan = scene.lan.capture();
    let daemon = scene.start(&scene.r2, &config(&[router(mode).interval(1.0)]));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    // A peer that advertises every 40.95 s keeps it Backup for the rest of the test.
    scene.inject(scene.ghost(200, 4095));
    assert_eq!(reach(&scene, &lan), (0, 0), "as Backup");
    assert_eq!(
        arping(&lan, &scene.client, VIP, 1),
        [vec![]],
        "ARP as Backup"
    );
    let start = Stamp::now();
    scene.inject(scene.ghost(200, 10));
    lan.wait_since(start, "takeover", within(5.0), advert_from(&scene.r2, VRID));
    daemon.wait_state(NAME, State::Master, within(10.0));
    lan.wait_since(start, "its ARP", within(5.0), |f| {
        f.arp().is_some_and(|arp| arp.announces(VIP))
    });
    rvrrpd_tests::deadline::until("all is open for the Master", within(5.0), || {
        (reach(&scene, &lan) == (3, 3)).then_some(())
    });
    scene.inject(scene.ghost(200, 4095));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    let closed = || (reach(&scene, &lan) == (0, 0)).then_some(());
    rvrrpd_tests::deadline::until("the gate closes", within(5.0), closed);
    assert_eq!(scene.r2.carriers_of(VIP.into()), Vec::<String>::new());
    daemon.stop();
}

/// Forwarding through the VIP works although the host has rp_filter=1 on `all` and `default`, and
/// the setting of the other interfaces is what it was.
fn forwarding_with_rp_filter(mode: Mode) {
    let scene = Scene::with_upstream("forwarding_with_rp_filter");
    let lan = scene.lan.capture();
    for interface in ["all", "default", "eth0", "eth1"] {
        scene
            .r2
            .sysctl(&format!("ipv4/conf/{interface}/rp_filter"), "1");
    }
    let daemon = scene.start(&scene.r2, &config(&[router(mode)]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let effective = |interface: &str| {
        ["all", interface]
            .iter()
            .filter_map(|name| scene.r2.read_sysctl(&format!("ipv4/conf/{name}/rp_filter")))
            .max()
    };
    assert_eq!(
        effective("eth1").as_deref(),
        Some("1"),
        "eth1 stays protected"
    );
    for target in [SERVER, VIP] {
        let pinger = Pinger::start(&scene.client, target, Duration::from_millis(10));
        let start = Stamp::now();
        let first = pinger.wait_answer(start, within(5.0));
        rvrrpd_tests::deadline::until("20 pings", within(5.0), || {
            (Stamp::now().since(first.sent) > Duration::from_millis(200)).then_some(())
        });
        let echoes = pinger.stop();
        let lost = lost(
            &echoes
                .into_iter()
                .filter(|e| e.sent >= first.sent)
                .collect::<Vec<_>>(),
        );
        assert!(lost.is_empty(), "lost on the way to {target}: {lost:?}");
    }
    assert_eq!(scene.client.neighbour(VIP.into()), Some(VMAC));
    converge(
        &lan,
        &[(VRID, &scene.r2)],
        Duration::from_millis(300),
        within(5.0),
    );
    daemon.stop();
    for interface in ["all", "default", "eth0", "eth1"] {
        let path = format!("ipv4/conf/{interface}/rp_filter");
        assert_eq!(
            scene.r2.read_sysctl(&path).as_deref(),
            Some("1"),
            "{path} after the stop"
        );
    }
}

/// FSM-A-5: with `accept_mode = false` the VIP is not pinged, yet ARP is answered once and traffic
/// is forwarded; with `true` it is pinged.
fn accept_mode(mode: Mode) {
    let scene = Scene::with_upstream("accept_mode");
    let lan = scene.lan.capture();
    for (accept, answered) in [(false, 0), (true, 3)] {
        let daemon = scene.start(
            &scene.r2,
            &config(&[router(mode).key("accept_mode", accept)]),
        );
        let start = Stamp::now();
        daemon.wait_state(NAME, State::Master, within(10.0));
        lan.wait_since(start, "its ARP", within(5.0), |f| {
            f.arp().is_some_and(|arp| arp.announces(VIP))
        });
        let what = format!("what the Master accepts with accept_mode = {accept}");
        rvrrpd_tests::deadline::until(&what, within(5.0), || {
            (reach(&scene, &lan) == (answered, 3)).then_some(())
        });
        let replies = arping(&lan, &scene.client, VIP, 2);
        assert!(
            replies.iter().all(|r| r == &[("r2".to_owned(), VMAC)]),
            "{replies:?}"
        );
        daemon.stop();
    }
}

/// Hosts learn the virtual MAC and nothing else: the Master's own ARP requests from the VIP carry
/// it too (arp_announce).
fn hosts_learn_the_virtual_mac_only(mode: Mode) {
    let scene = Scene::new("hosts_learn_the_virtual_mac_only");
    let lan = scene.lan.capture();
    let daemon = scene.start(&scene.r2, &config(&[router(mode)]));
    let start = Stamp::now();
    daemon.wait_state(NAME, State::Master, within(10.0));
    // The client knows the VIP by a static entry; the Master does not know the client and asks.
    scene.client.ip(&format!(
        "neigh replace {VIP} lladdr {VMAC} dev eth0 nud reachable"
    ));
    scene.r2.run("ip", &["neigh", "flush", "all"]);
    let pinger = Pinger::start(&scene.client, VIP, Duration::from_millis(10));
    pinger.wait_answer(start, within(5.0));
    drop(pinger);
    for (frame, arp) in lan.arps_since(start) {
        let from_vip = arp.sender == VIP;
        assert!(
            !from_vip || arp.sender_mac == VMAC,
            "the VIP with another MAC: {frame:?}"
        );
    }
    assert_eq!(scene.client.neighbour(VIP.into()), Some(VMAC));
}
