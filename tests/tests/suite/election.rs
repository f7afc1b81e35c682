//! Who becomes Master, and when.

use std::time::Duration;

use rvrrpd_tests::deadline::within;
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::frame::{AdvertSpec, Mac, Sum};
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{
    GHOST, NAME, Scene, VIP, VIP_TEXT, VMAC, VRID, advert_from, converge, down_interval, masters,
    skew,
};
use rvrrpd_tests::standstill;
use rvrrpd_tests::sys::Stamp;

in_modes! {
    the_higher_priority_becomes_master: macvlan, ether, ebpf, ebpf_no_accept;
    a_lone_router_waits_for_its_down_interval: macvlan, ether, ebpf;
    the_owner_is_master_at_once: macvlan, ether, ebpf, ebpf_no_accept;
    preemption_off_and_on: macvlan, ether, ebpf;
    // Ether: two virtual MACs on one interface.
    a_healed_partition_leaves_one_master: macvlan, ebpf;
    a_backup_learns_the_interval: macvlan, ether, ebpf;
    priority_zero_starts_the_skew_time: macvlan, ether, ebpf;
    a_master_answers_at_once: macvlan, ether, ebpf;
    a_backup_stops_silently: macvlan, ether, ebpf, ebpf_no_accept;
    // Ether: two virtual MACs on one interface.
    a_disabled_router_stays_in_init: macvlan, ebpf;
}

const INTERVAL: Duration = Duration::from_millis(100);

fn router(mode: Mode, priority: u8) -> String {
    config(&[Vrouter::new(VRID, &[VIP_TEXT])
        .mode(mode)
        .priority(priority)
        .preemption(true)])
}

/// FSM-I-3, FSM-B-6, V3-TX-1 to V3-TX-6, TX-8: the higher priority becomes Master, and every field
/// of its adverts is that of its configuration.
fn the_higher_priority_becomes_master(mode: Mode) {
    let scene = Scene::new("the_higher_priority_becomes_master");
    let lan = scene.lan.capture();
    let first = scene.start(&scene.r1, &router(mode, 200));
    let second = scene.start(&scene.r2, &router(mode, 100));
    first.wait_state(NAME, State::Master, within(10.0));
    second.wait_state(NAME, State::Backup, within(10.0));
    converge(
        &lan,
        &[(VRID, &scene.r1)],
        Duration::from_secs(1),
        within(10.0),
    );
    for (frame, advert) in lan.adverts_since(Stamp::default(), VRID) {
        if frame.port != "r1" {
            continue;
        }
        assert_eq!(advert.mac, VMAC);
        assert_eq!(advert.group_mac, Mac([1, 0, 0x5e, 0, 0, 0x12]));
        assert_eq!(advert.source.to_string(), "10.0.0.1");
        assert_eq!(advert.destination.to_string(), "224.0.0.18");
        assert_eq!((advert.ttl, advert.tos), (255, 0xc0));
        assert!(advert.header_sum, "IPv4 header checksum");
        assert_eq!((advert.version, advert.kind, advert.priority), (3, 1, 200));
        assert_eq!(advert.interval, INTERVAL);
        assert_eq!(
            advert.sum,
            Sum::Message,
            "RFC 9568 form while no peer asks for another"
        );
        assert_eq!((advert.count, advert.addresses), (1, vec![VIP.into()]));
        assert_eq!(advert.auth_data, Vec::<u8>::new());
    }
    second.stop();
    first.stop();
}

/// FSM-I-3, V3-TM-2, ARP-7: a router that is alone waits for its down interval, and until then
/// sends nothing from its virtual MAC.
fn a_lone_router_waits_for_its_down_interval(mode: Mode) {
    let scene = Scene::new("a_lone_router_waits_for_its_down_interval");
    let lan = scene.lan.capture();
    let interval = Duration::from_millis(300);
    let text = config(&[Vrouter::new(VRID, &[VIP_TEXT]).mode(mode).interval(0.3)]);
    let start = Stamp::now();
    let daemon = scene.start(&scene.r1, &text);
    let first = lan.wait_since(
        start,
        "an advert",
        within(5.0),
        advert_from(&scene.r1, VRID),
    );
    let waited = first.stamp.since(start);
    assert!(
        waited >= down_interval(100, interval),
        "advertised after {waited:?}"
    );
    let before: Vec<_> = lan
        .frames()
        .into_iter()
        .filter(|f| f.source() == VMAC && f.stamp < first.stamp)
        .collect();
    assert!(
        before.is_empty(),
        "from the virtual MAC before the first advert: {before:#?}"
    );
    daemon.stop();
}

/// FSM-I-2: who has the virtual address on its interface is Master at once, with priority 255,
/// and (V2-RX-7, FSM-A-12) stays it whatever others advertise.
fn the_owner_is_master_at_once(mode: Mode) {
    let scene = Scene::new("the_owner_is_master_at_once");
    let lan = scene.lan.capture();
    let start = Stamp::now();
    // With 10 s between adverts any other router would wait for 30 s.
    let vrouter = Vrouter::new(VRID, &["10.0.0.1"]).mode(mode).interval(10.0);
    let daemon = scene.start(&scene.r1, &config(&[vrouter]));
    let first = lan.wait_since(
        start,
        "an advert",
        within(5.0),
        advert_from(&scene.r1, VRID),
    );
    assert_eq!(first.advert().map(|advert| advert.priority), Some(255));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let announced = |frame: &rvrrpd_tests::frame::Frame| {
        frame
            .arp()
            .is_some_and(|arp| arp.announces("10.0.0.1".parse().unwrap()))
    };
    let arp = lan.wait_since(first.stamp, "its ARP", within(5.0), announced);
    assert_eq!(arp.arp().map(|arp| arp.sender_mac), Some(VMAC));
    let injected = Stamp::now();
    let rival = AdvertSpec::v3(VRID, 255, 10, GHOST, &["10.0.0.1".parse().unwrap()]);
    scene.inject(rival);
    lan.wait_since(
        injected,
        "the rival's advert",
        within(5.0),
        advert_from(&scene.client, VRID),
    );
    assert_eq!(
        daemon.counters(NAME).get("priority-zero-pkts-sent"),
        Some(&0)
    );
    assert_eq!(daemon.state(NAME), Some(State::Master));
    daemon.stop();
    assert!(
        scene
            .r1
            .carriers_of("10.0.0.1".parse().unwrap())
            .contains(&"eth0".to_owned()),
        "the owner's address is the operator's: it stays"
    );
}

/// FSM-B-8, FSM-B-10, FSM-B-9: without preemption a lower-priority Master stays, with it it goes.
fn preemption_off_and_on(mode: Mode) {
    let scene = Scene::new("preemption_off_and_on");
    let lan = scene.lan.capture();
    let vrouter = Vrouter::new(VRID, &[VIP_TEXT]).mode(mode).interval(0.5);
    let with = |priority, preemption| {
        let vrouter = vrouter.clone().priority(priority);
        config(&[vrouter.preemption(preemption)])
    };
    let low = scene.start(&scene.r2, &with(100, true));
    low.wait_state(NAME, State::Master, within(10.0));
    let keep = with(200, false);
    let start = Stamp::now();
    let high = scene.start(&scene.r1, &keep);
    high.wait_state(NAME, State::Backup, within(10.0));
    let adverts = lan.wait_count(
        start,
        5,
        "adverts",
        within(10.0),
        advert_from(&scene.r2, VRID),
    );
    assert_eq!(adverts.len(), 5);
    assert_eq!(masters(&lan, VRID, Stamp::now().since(start)).len(), 1);
    high.stop();
    let high = scene.start(&scene.r1, &with(200, true));
    high.wait_state(NAME, State::Master, within(10.0));
    low.wait_state(NAME, State::Backup, within(10.0));
    let resigned = lan
        .adverts_since(start, VRID)
        .into_iter()
        .filter(|(_, a)| a.priority == 0)
        .count();
    assert_eq!(resigned, 0, "who yields does not send priority 0 (FSM-A-9)");
    converge(
        &lan,
        &[(VRID, &scene.r1)],
        Duration::from_millis(500),
        within(5.0),
    );
}

/// FSM-A-9, FSM-X-1: after a partition one Master remains: the higher priority, at equal
/// priorities the higher address.
fn a_healed_partition_leaves_one_master(mode: Mode) {
    for family in FAMILIES {
        let scene = Scene::new("a_healed_partition_leaves_one_master");
        let lan = scene.lan.capture();
        let (name, other, other_name) = match family {
            Family::V4 => (NAME, "10.0.0.108", "eth0-8"),
            Family::V6 => (family.name(), "fe80::108", "eth0-8-v6"),
        };
        let both = |priority| {
            config(&[
                family.vrouter().mode(mode).preemption(true),
                Vrouter::new(8, &[other])
                    .mode(mode)
                    .priority(priority)
                    .preemption(true),
            ])
        };
        scene.lan.cut(&scene.r2);
        let first = scene.start(&scene.r1, &both(200));
        let second = scene.start(&scene.r2, &both(100));
        for name in [name, other_name] {
            first.wait_state(name, State::Master, within(10.0));
            second.wait_state(name, State::Master, within(10.0));
        }
        scene.lan.heal(&scene.r2);
        let expected = [(VRID, &scene.r2), (8, &scene.r1)];
        converge(&lan, &expected, Duration::from_millis(500), within(5.0));
        first.wait_state(name, State::Backup, within(10.0));
        second.wait_state(other_name, State::Backup, within(10.0));
    }
}

/// V3-RX-8, V3-TM-3: a Backup of version 3 learns the Master's interval.
fn a_backup_learns_the_interval(mode: Mode) {
    let scene = Scene::new("a_backup_learns_the_interval");
    let lan = scene.lan.capture();
    // The router starts as Master and yields to the injected advert of 0.5 s.
    let daemon = scene.start(&scene.r1, &router(mode, 100));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let start = Stamp::now();
    scene.inject(scene.ghost(200, 50));
    let injected = lan.wait_since(
        start,
        "our advert",
        within(5.0),
        advert_from(&scene.client, VRID),
    );
    daemon.wait_state(NAME, State::Backup, within(10.0));
    let back = lan.wait_since(
        daemon_silent(&lan, &scene),
        "takeover",
        within(8.0),
        advert_from(&scene.r1, VRID),
    );
    let gap = back.stamp.since(injected.stamp);
    let least = down_interval(100, Duration::from_millis(500));
    assert!(
        gap >= least,
        "took over after {gap:?}, not before {least:?} is allowed"
    );
}

/// Time of the last advert of r1, plus a bit: what comes after it is a new beginning.
fn daemon_silent(lan: &rvrrpd_tests::capture::Capture, scene: &Scene) -> Stamp {
    let quiet = lan.until_quiet(
        Stamp::default(),
        3 * INTERVAL,
        within(5.0),
        advert_from(&scene.r1, VRID),
    );
    let last = quiet.last().map(|frame| frame.stamp).unwrap_or_default();
    Stamp(last.0 + Duration::from_nanos(1))
}

/// FSM-B-7: priority 0 shortens the wait to the skew time, no less.
fn priority_zero_starts_the_skew_time(mode: Mode) {
    let scene = Scene::new("priority_zero_starts_the_skew_time");
    let lan = scene.lan.capture();
    let second = Duration::from_secs(1);
    let text = config(&[Vrouter::new(VRID, &[VIP_TEXT]).mode(mode).interval(1.0)]);
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Backup, within(10.0));
    scene.inject(scene.ghost(200, 100));
    let start = Stamp::now();
    scene.inject(scene.ghost(0, 100));
    let resigned = lan.wait_since(start, "priority 0", within(5.0), |frame| {
        frame.advert().is_some_and(|advert| advert.priority == 0)
    });
    let first = lan.wait_since(start, "takeover", within(5.0), advert_from(&scene.r1, VRID));
    let gap = first.stamp.since(resigned.stamp);
    assert!(gap >= skew(100, second), "took over after {gap:?}");
    assert!(
        gap < 2 * second + standstill::between(start, Stamp::now()),
        "took over after {gap:?}, as if nobody had resigned"
    );
}

/// FSM-A-8, FSM-A-10: a Master answers priority 0 and (RFC 9568) a lower priority with an advert
/// at once.
fn a_master_answers_at_once(mode: Mode) {
    let scene = Scene::new("a_master_answers_at_once");
    let lan = scene.lan.capture();
    let text = config(&[Vrouter::new(VRID, &[VIP_TEXT]).mode(mode).interval(1.0)]);
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Master, within(10.0));
    for priority in [0, 50] {
        let answered = scene.ghost(priority, 100).frame();
        let injector = scene.client.injector("eth0");
        // The next regular advert is a whole interval away.
        let regular = lan.wait_since(
            Stamp::now(),
            "a regular advert",
            within(5.0),
            advert_from(&scene.r1, VRID),
        );
        let start = Stamp::now();
        injector.send(&answered);
        let answer = lan.wait_since(
            start,
            "the answer",
            within(5.0),
            advert_from(&scene.r1, VRID),
        );
        let gap = answer.stamp.since(regular.stamp);
        assert!(
            gap < Duration::from_millis(800) + standstill::between(regular.stamp, answer.stamp),
            "priority {priority}: answered after {gap:?}"
        );
    }
    assert_eq!(daemon.state(NAME), Some(State::Master));
}

/// FSM-B-5, FSM-B-1: a Backup stops without a word.
fn a_backup_stops_silently(mode: Mode) {
    let scene = Scene::new("a_backup_stops_silently");
    let lan = scene.lan.capture();
    let vrouter = Vrouter::new(VRID, &[VIP_TEXT]).mode(mode).interval(1.0);
    let daemon = scene.start(&scene.r1, &config(&[vrouter]));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    scene.inject(scene.ghost(200, 4095));
    let start = Stamp::now();
    daemon.stop();
    let sent: Vec<_> = lan
        .frames_since(start)
        .into_iter()
        .filter(|f| f.port == "r1" && f.source() == VMAC)
        .collect();
    assert!(sent.is_empty(), "{sent:#?}");
}

/// contract §2.2 `enabled`: a router that is not enabled stays in Init and sends nothing.
fn a_disabled_router_stays_in_init(mode: Mode) {
    let scene = Scene::new("a_disabled_router_stays_in_init");
    let lan = scene.lan.capture();
    let text = config(&[
        Vrouter::new(VRID, &[VIP_TEXT])
            .mode(mode)
            .key("enabled", false),
        Vrouter::new(8, &["10.0.0.108"]).mode(mode),
    ]);
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state("eth0-8", State::Master, within(10.0));
    lan.wait_count(
        Stamp::default(),
        5,
        "adverts of the other",
        within(5.0),
        |frame| frame.is_advert_of(8),
    );
    assert!(lan.adverts_since(Stamp::default(), VRID).is_empty());
    assert!(matches!(daemon.state(NAME), None | Some(State::Init)));
}
