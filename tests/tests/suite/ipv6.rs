//! IPv6 virtual routers: the link-local address first, neighbour discovery instead of ARP.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::{Frame, Mac, Nd, Sum};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{Scene, VRID, advert_from, converge, down_interval, skew};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;

in_modes! {
    neighbour_discovery: macvlan, ether, ebpf, ebpf_no_accept;
    the_virtual_mac_is_silent: macvlan, ether, ebpf, ebpf_no_accept;
    failover: macvlan, ether, ebpf, ebpf_no_accept;
    // Ether: two virtual MACs on one interface.
    accept_mode_and_both_families: macvlan, ebpf;
    a_backup_discards_frames_to_the_virtual_mac: macvlan, ether, ebpf;
    // Ether: two virtual MACs on one interface.
    a_reload_adds_the_family: macvlan, ebpf;
}

const NAME: &str = "eth0-7-v6";
const VMAC: Mac = Mac::virtual_v6(VRID);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
const INTERVAL: Duration = Duration::from_millis(100);

fn router(mode: Mode, priority: u8) -> Vrouter {
    Vrouter::new(VRID, &["fe80::100", "2001:db8::100"])
        .mode(mode)
        .priority(priority)
        .preemption(true)
}

/// The usual scene with global IPv6 addresses on all of the LAN.
fn scene(test: &str) -> Scene {
    let scene = Scene::new(test);
    for (host, number) in [(&scene.r1, 1), (&scene.r2, 2), (&scene.client, 0x50)] {
        host.ip(&format!(
            "address add 2001:db8::{number:x}/64 dev eth0 nodad"
        ));
    }
    scene
}

/// Asks all for `target` and returns who answered, until 0.15 s of silence.
pub(crate) fn solicit(lan: &Capture, client: &Host, target: Ipv6Addr) -> Vec<(String, Nd)> {
    let source = client.link_local("eth0");
    let request = Nd::solicitation(client.mac("eth0"), source, target);
    answers(lan, client, target, &request)
}

/// The same with a question to the virtual MAC alone.
fn probe(lan: &Capture, client: &Host, target: Ipv6Addr) -> Vec<(String, Nd)> {
    let source = client.link_local("eth0");
    let request = Nd::probe(client.mac("eth0"), source, target, VMAC);
    answers(lan, client, target, &request)
}

fn answers(lan: &Capture, client: &Host, target: Ipv6Addr, request: &[u8]) -> Vec<(String, Nd)> {
    let start = Stamp::now();
    client.injector("eth0").send(request);
    let answers = |frame: &Frame| {
        frame
            .nd()
            .is_some_and(|nd| nd.kind == 136 && nd.target == target && nd.solicited)
    };
    lan.until_quiet(start, Duration::from_millis(150), within(5.0), answers)
        .into_iter()
        .filter_map(|frame| Some((frame.port.clone(), frame.nd()?)))
        .collect()
}

/// V3-TX-1 to V3-TX-6, ND-1, ND-3, ND-6, ND-9, FSM-B-2: fields of the advert; unsolicited NAs after
/// it; solicitations are answered once, by the Master, with the virtual MAC and the router flag.
fn neighbour_discovery(mode: Mode) {
    let scene = scene("neighbour_discovery");
    let lan = scene.lan.capture();
    // Before a virtual one is beside it.
    let own = scene.r1.link_local("eth0");
    // As everywhere but in this laboratory.
    scene.r1.sysctl("ipv6/conf/default/accept_dad", "1");
    let first = scene.start(&scene.r1, &config(&[router(mode, 200)]));
    first.wait_state(NAME, State::Master, within(10.0));
    let second = scene.start(&scene.r2, &config(&[router(mode, 100)]));
    second.wait_state(NAME, State::Backup, within(10.0));
    converge(
        &lan,
        &[(VRID, &scene.r1)],
        Duration::from_millis(500),
        within(5.0),
    );
    let (frame, advert) = lan.adverts_since(Stamp::default(), VRID).remove(0);
    assert_eq!(frame.port, "r1");
    assert_eq!(
        (advert.mac, advert.group_mac),
        (VMAC, Mac([0x33, 0x33, 0, 0, 0, 0x12]))
    );
    assert_eq!(advert.source, IpAddr::V6(own));
    assert_eq!(advert.destination.to_string(), "ff02::12");
    assert_eq!(
        (advert.ttl, advert.tos, advert.version, advert.priority),
        (255, 0xc0, 3, 200)
    );
    assert_eq!(
        advert.addresses,
        [IpAddr::V6(LINK_LOCAL), IpAddr::V6(GLOBAL)]
    );
    assert_eq!((advert.interval, advert.sum), (INTERVAL, Sum::PseudoHeader));
    for target in [LINK_LOCAL, GLOBAL] {
        let frame = lan.wait_since(Stamp::default(), "its NA", within(5.0), |frame| {
            frame
                .nd()
                .is_some_and(|nd| nd.kind == 136 && nd.target == target && !nd.solicited)
        });
        let nd = frame.nd().expect("NA");
        assert!(
            frame.stamp >= lan.adverts_since(Stamp::default(), VRID)[0].0.stamp,
            "{frame:?}"
        );
        assert_eq!(
            (frame.port.as_str(), frame.source()),
            ("r1", VMAC),
            "{frame:?}"
        );
        assert_eq!(
            (nd.router, nd.overrides, nd.ttl, nd.sum),
            (true, true, 255, true),
            "{frame:?}"
        );
        assert_eq!(nd.link_layer, Some(VMAC), "{frame:?}");
        assert_eq!(nd.destination.to_string(), "ff02::1", "{frame:?}");
        let answers = solicit(&lan, &scene.client, target);
        assert_eq!(answers.len(), 1, "{answers:#?}");
        assert_eq!(
            (answers[0].0.as_str(), answers[0].1.link_layer),
            ("r1", Some(VMAC))
        );
        assert!(answers[0].1.router, "the router flag: {answers:#?}");
    }
    let is_probe = |nd: &Nd| nd.kind == 135 && nd.source.is_unspecified();
    let frames = lan.frames();
    let probes = frames.iter().filter_map(Frame::nd).filter(is_probe);
    let probes: Vec<Nd> = probes
        .filter(|nd| [LINK_LOCAL, GLOBAL].contains(&nd.target))
        .collect();
    assert_eq!(probes, [], "duplicate address detection");
    first.stop();
    second.stop();
    assert_eq!(solicit(&lan, &scene.client, GLOBAL), []);
}

/// ARP-7, ND-5: neither a Backup nor a Master sends MLD, DAD or router solicitations from the
/// virtual MAC, and no interface has an address made of it.
fn the_virtual_mac_is_silent(mode: Mode) {
    let scene = scene("the_virtual_mac_is_silent");
    let lan = scene.lan.capture();
    let router = |priority| config(&[router(mode, priority).interval(0.5)]);
    let first = scene.start(&scene.r1, &router(200));
    first.wait_state(NAME, State::Master, within(10.0));
    let start = Stamp::now();
    let second = scene.start(&scene.r2, &router(100));
    second.wait_state(NAME, State::Backup, within(10.0));
    lan.wait_count(
        start,
        8,
        "4 s of adverts",
        within(10.0),
        advert_from(&scene.r1, VRID),
    );
    let sent: Vec<Frame> = lan
        .frames_since(start)
        .into_iter()
        .filter(|frame| frame.port == "r2" && frame.source() == VMAC)
        .collect();
    assert!(sent.is_empty(), "{sent:#?}");
    for host in [&scene.r1, &scene.r2] {
        let addresses = host.ip("-6 address show");
        assert!(!addresses.contains("5eff:fe00:207"), "{addresses}");
    }
}

/// V3-TM-2, FSM-A-6, FSM-B-7: failover of IPv6, by power off and by SIGTERM, and a clean kernel.
fn failover(mode: Mode) {
    let scene = scene("failover");
    let lan = scene.lan.capture();
    let before = [snapshot(&scene.r1), snapshot(&scene.r2)];
    let mut first = scene.start(&scene.r1, &config(&[router(mode, 200)]));
    first.wait_state(NAME, State::Master, within(10.0));
    let second = scene.start(&scene.r2, &config(&[router(mode, 100)]));
    second.wait_state(NAME, State::Backup, within(10.0));
    let carried = |host: &Host| host.carriers_of(GLOBAL.into());
    until("the address", within(5.0), || {
        (carried(&scene.r1) == mode.carriers("eth0", VRID)).then_some(())
    });
    let off = Stamp::now();
    scene.lan.cut(&scene.r1);
    first.sigkill();
    let takeover = lan.wait_since(off, "takeover", within(5.0), advert_from(&scene.r2, VRID));
    // What r1 sent after the cut is captured and reached nobody.
    let is_first = advert_from(&scene.r1, VRID);
    let last = lan
        .frames()
        .into_iter()
        .rfind(|f| is_first(f) && f.stamp < off);
    let gap = takeover.stamp.since(last.expect("an advert of r1").stamp);
    assert!(
        gap >= down_interval(100, INTERVAL),
        "took over after {gap:?}"
    );
    second.wait_state(NAME, State::Master, within(10.0));
    scene.lab.step("the first returns");
    scene.lan.heal(&scene.r1);
    let first = scene.start(&scene.r1, &config(&[router(mode, 200)]));
    first.wait_state(NAME, State::Master, within(10.0));
    second.wait_state(NAME, State::Backup, within(10.0));
    let start = Stamp::now();
    first.stop();
    let resigned = lan.wait_since(start, "priority 0", within(2.0), |frame| {
        frame.advert().is_some_and(|advert| advert.priority == 0)
    });
    let takeover = lan.wait_since(start, "takeover", within(5.0), advert_from(&scene.r2, VRID));
    let gap = takeover.stamp.since(resigned.stamp);
    assert!(
        gap >= skew(100, INTERVAL),
        "took over {gap:?} after priority 0"
    );
    second.wait_state(NAME, State::Master, within(10.0));
    second.stop();
    for (host, before) in [&scene.r1, &scene.r2].into_iter().zip(before) {
        before.assert_same(&snapshot(host), host.name());
    }
}

/// FSM-A-5, ND-8: with `accept_mode = false` the address is not pinged, yet neighbour
/// solicitations are answered; and an IPv4 router of the same VRID is another router.
fn accept_mode_and_both_families(mode: Mode) {
    let scene = scene("accept_mode_and_both_families");
    let lan = scene.lan.capture();
    for (accept, answered) in [(false, false), (true, true)] {
        let text = config(&[
            router(mode, 100).key("accept_mode", accept),
            Vrouter::new(VRID, &["10.0.0.100"]).mode(mode),
        ]);
        let daemon = scene.start(&scene.r1, &text);
        daemon.wait_state(NAME, State::Master, within(10.0));
        daemon.wait_state("eth0-7", State::Master, within(10.0));
        until("neighbour solicitations are answered", within(5.0), || {
            let answers = solicit(&lan, &scene.client, GLOBAL);
            (answers.len() == 1 && answers[0].1.link_layer == Some(VMAC)).then_some(())
        });
        let answers = probe(&lan, &scene.client, GLOBAL);
        assert_eq!(answers.len(), 1, "accept_mode = {accept}: {answers:#?}");
        let received = pings(&scene.client, GLOBAL);
        assert_eq!(received > 0, answered, "accept_mode = {accept}");
        daemon.stop();
    }
}

/// How many of three pings are answered.
fn pings(client: &Host, target: Ipv6Addr) -> usize {
    let mut ping = client.command("ping");
    ping.args(["-6", "-q", "-c", "3", "-i", "0.05", "-W", "1"]);
    let output = ping.arg(target.to_string()).output().expect("ping");
    let text = String::from_utf8_lossy(&output.stdout);
    let (before, _) = text.split_once(" received").expect("a summary of ping");
    let count = before.rsplit(' ').next().and_then(|word| word.parse().ok());
    count.expect("a number of replies")
}

/// FSM-B-3, FSM-B-4, FSM-A-4, FSM-A-5: frames to the virtual MAC are neither accepted nor
/// forwarded by a Backup, both by a Master, and again neither when it has yielded.
fn a_backup_discards_frames_to_the_virtual_mac(mode: Mode) {
    let scene = Scene::with_upstream("a_backup_discards_frames_to_the_virtual_mac");
    let lan = scene.lan.capture();
    let server = scene.server.as_ref().expect("server");
    let behind = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x50);
    for (host, interface, address) in [
        (&scene.client, "eth0", "2001:db8::50"),
        (&scene.r2, "eth0", "2001:db8::2"),
        (&scene.r2, "eth1", "2001:db8:1::2"),
        (server, "eth0", "2001:db8:1::50"),
    ] {
        host.ip(&format!("address add {address}/64 dev {interface} nodad"));
    }
    server.ip("-6 route add default via 2001:db8:1::2");
    // The client sends to the virtual MAC whoever answers for it.
    for vip in [LINK_LOCAL, GLOBAL] {
        let entry = format!("neigh replace {vip} lladdr {VMAC} dev eth0 nud permanent");
        scene.client.ip(&entry);
    }
    scene
        .client
        .ip("-6 route add default via fe80::100 dev eth0");
    let reach = || [GLOBAL, behind].map(|target| pings(&scene.client, target));
    let family = rvrrpd_tests::family::Family::V6;
    let daemon = scene.start(&scene.r2, &config(&[router(mode, 100).interval(1.0)]));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    // A peer that advertises every 40.95 s keeps it Backup for the rest of the test.
    scene.inject(family.ghost(200, 4095));
    assert_eq!(reach(), [0, 0], "as Backup");
    let start = Stamp::now();
    scene.inject(family.ghost(200, 10));
    daemon.wait_state(NAME, State::Master, within(10.0));
    lan.wait_since(start, "its NA", within(5.0), |frame| {
        let nd = frame.nd();
        nd.is_some_and(|nd| nd.kind == 136 && nd.target == GLOBAL && !nd.solicited)
    });
    // The kernel puts in the route of an address a while after it.
    until("as Master", within(10.0), || {
        (reach() == [3, 3]).then_some(())
    });
    scene.inject(family.ghost(200, 4095));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    until("the gate closes", within(10.0), || {
        (reach() == [0, 0]).then_some(())
    });
    assert_eq!(scene.r2.carriers_of(GLOBAL.into()), Vec::<String>::new());
    daemon.stop();
}

/// A reload that brings the first IPv6 router to an interface makes it hear IPv6: it stays Backup
/// of the Master that is there (V3-RX-7), and the IPv4 router beside it goes on.
fn a_reload_adds_the_family(mode: Mode) {
    let scene = scene("a_reload_adds_the_family");
    let lan = scene.lan.capture();
    let master = scene.start(&scene.r1, &config(&[router(mode, 200)]));
    master.wait_state(NAME, State::Master, within(10.0));
    let v4 = Vrouter::new(8, &["10.0.0.108"]).mode(mode);
    let other = scene.start(&scene.r2, &config(std::slice::from_ref(&v4)));
    other.wait_state("eth0-8", State::Master, within(10.0));
    let start = Stamp::now();
    other.reload(&config(&[v4, router(mode, 100)]));
    other.wait_state(NAME, State::Backup, within(10.0));
    lan.wait_count(
        start,
        20,
        "2 s of adverts",
        within(10.0),
        advert_from(&scene.r1, VRID),
    );
    assert_eq!(other.state(NAME), Some(State::Backup));
    let resigned = lan.adverts_since(start, 8);
    assert!(resigned.iter().all(|(_, advert)| advert.priority != 0));
    master.stop();
    other.stop();
}
