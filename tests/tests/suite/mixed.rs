//! Version 2 and 3 at once (`version = "2+3"`, RFC 9568 §8.4): what is sent, who is heard, and the
//! way of a group from version 2 to version 3.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{slowness, until, within};
use rvrrpd_tests::frame::{Advert, AdvertSpec, Frame, Mac, Sum};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::keepalived::{self, Instance, Keepalived};
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config, run};
use rvrrpd_tests::scene::{
    GHOST, NAME, Scene, VIP, VIP_TEXT, VMAC, VRID, advert_from, converge, down_interval,
};
use rvrrpd_tests::standstill;
use rvrrpd_tests::sys::Stamp;

const SECOND: Duration = Duration::from_secs(1);
/// Three advertisement intervals, in which every Master is heard.
const WINDOW: Duration = Duration::from_millis(3200);

/// What one of the versions, or both, is called in the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Speaks {
    Two,
    Three,
    Both,
}
use Speaks::{Both, Three, Two};

impl Speaks {
    const fn value(self) -> &'static str {
        match self {
            Two => "2",
            Three => "3",
            Both => "\"2+3\"",
        }
    }

    /// The versions in the order in which they are sent.
    const fn sends(self) -> &'static [u8] {
        match self {
            Two => &[2],
            Three => &[3],
            Both => &[3, 2],
        }
    }
}

/// A virtual router on a macvlan that preempts.
fn vrouter(vrid: u8, speaks: Speaks, priority: u8, seconds: f64) -> Vrouter {
    Vrouter::new(vrid, &[&format!("10.0.0.{}", 100 + vrid)])
        .macvlan()
        .priority(priority)
        .preemption(true)
        .interval(seconds)
        .key("version", speaks.value())
}

/// The usual one.
fn usual(speaks: Speaks, priority: u8, seconds: f64) -> Vrouter {
    vrouter(VRID, speaks, priority, seconds).key("vip", format!("[{VIP_TEXT:?}]"))
}

fn name(vrid: u8) -> String {
    format!("eth0-{vrid}")
}

fn adverts_of(lan: &Capture, host: &Host, start: Stamp, vrid: u8) -> Vec<(Frame, Advert)> {
    let mut adverts = lan.adverts_since(start, vrid);
    adverts.retain(|(frame, _)| frame.port == host.name());
    adverts
}

/// Every advert of `host` since `start` is a pair: version 3, then version 2, which say the same.
/// How many pairs there are.
fn assert_pairs(lan: &Capture, host: &Host, start: Stamp, cs: u64, seconds: u64) -> usize {
    let adverts = adverts_of(lan, host, start, VRID);
    let (pairs, rest) = adverts.as_chunks::<2>();
    assert!(rest.len() < 2);
    for [(_, three), (frame, two)] in pairs {
        assert_eq!((three.version, two.version), (3, 2), "{frame:?}");
        assert_eq!(three.interval, Duration::from_millis(cs * 10), "{frame:?}");
        assert_eq!(two.interval, Duration::from_secs(seconds), "{frame:?}");
        assert_eq!(three.priority, two.priority, "{frame:?}");
        assert_eq!(two.auth_data, [0; 8], "{frame:?}");
        assert_eq!((three.message.len(), two.message.len()), (16, 24));
        for advert in [three, two] {
            assert_eq!(advert.sum, Sum::Message, "{frame:?}");
            assert!(advert.header_sum, "{frame:?}");
            assert_eq!((advert.kind, advert.auth_type), (1, 0), "{frame:?}");
            assert_eq!((advert.ttl, advert.tos), (255, 0xc0), "{frame:?}");
            assert_eq!(advert.mac, VMAC, "{frame:?}");
            let group = (advert.group_mac, advert.destination.to_string());
            let expected = (Mac([1, 0, 0x5e, 0, 0, 0x12]), "224.0.0.18".to_owned());
            assert_eq!(group, expected, "{frame:?}");
            assert_eq!(advert.source, IpAddr::from([10, 0, 0, 1]), "{frame:?}");
            let vips = [VIP, Ipv4Addr::new(10, 0, 0, 101)].map(IpAddr::from);
            assert_eq!(advert.addresses, vips, "{frame:?}");
        }
    }
    pairs.len()
}

/// MIX-1, MIX-2, V3-TX-1, V2-TX-1: every interval both versions leave with right fields and
/// checksums, also faster than version 2 can say; and both with priority 0 at the end.
#[test]
fn mixed_both_versions_are_sent() {
    let scene = Scene::new("mixed_both_versions_are_sent");
    let lan = scene.lan.capture();
    let of = |seconds| {
        config(&[usual(Both, 200, seconds).key("vip", "[\"10.0.0.100\", \"10.0.0.101\"]")])
    };
    let daemon = scene.start(&scene.r1, &of(1.0));
    let begin = Stamp::default();
    let mine = advert_from(&scene.r1, VRID);
    lan.wait_count(begin, 6, "three pairs", within(15.0), &mine);
    assert!(assert_pairs(&lan, &scene.r1, begin, 100, 1) >= 3);

    for (seconds, cs, field) in [(0.1, 10, 1), (1.5, 150, 2)] {
        scene.lab.step(&format!("every {seconds} s"));
        daemon.reload(&of(seconds));
        let is_new = |frame: &Frame| {
            let interval = Duration::from_millis(cs * 10);
            mine(frame) && frame.advert().is_some_and(|a| a.interval == interval)
        };
        let first = lan.wait_since(begin, "the new interval", within(10.0), is_new);
        let frames = lan.wait_count(first.stamp, 12, "six pairs", within(25.0), &mine);
        assert!(assert_pairs(&lan, &scene.r1, first.stamp, cs, field) >= 6);
        // Version 2 leaves as often as version 3.
        let last = frames.last().map_or(first.stamp, |frame| frame.stamp);
        let five = Duration::from_millis(cs * 10) * 5;
        let took = last.since(first.stamp);
        assert!(took >= five * 8 / 10, "{took:?}");
        let late = standstill::between(first.stamp, last);
        assert!(took < five.mul_f64(3.0 * slowness()) + late, "{took:?}");
    }

    let counters = daemon.counters(NAME);
    let sent = adverts_of(&lan, &scene.r1, begin, VRID).len() as u64;
    assert!(counters["advertisement-sent"].abs_diff(sent / 2) <= 1);
    assert_eq!(counters["send-errors"], 0);
    let end = Stamp::now();
    daemon.stop();
    let resigns = |frame: &Frame| mine(frame) && frame.advert().is_some_and(|a| a.priority == 0);
    let frames = lan.wait_count(end, 2, "priority 0 twice", within(5.0), resigns);
    let versions: Vec<u8> = frames
        .iter()
        .filter_map(|frame| Some(frame.advert()?.version))
        .collect();
    assert_eq!(versions, [3, 2]);
}

/// What r1 and r2 speak, with which priority and interval.
type Side = (Speaks, u8, f64);
const PAIRS: [(u8, [Side; 2]); 6] = [
    (1, [(Both, 200, 1.0), (Two, 100, 1.0)]),
    (2, [(Both, 200, 0.2), (Three, 100, 0.2)]),
    (3, [(Both, 200, 0.3), (Two, 100, 1.0)]),
    (4, [(Both, 100, 0.2), (Two, 200, 1.0)]),
    (5, [(Both, 100, 1.0), (Three, 200, 0.1)]),
    (6, [(Both, 200, 1.0), (Both, 100, 0.5)]),
];

fn side(place: usize) -> String {
    let of = |(vrid, ends): &(u8, [(Speaks, u8, f64); 2])| {
        let (speaks, priority, seconds) = ends[place];
        vrouter(*vrid, speaks, priority, seconds)
    };
    config(&PAIRS.iter().map(of).collect::<Vec<_>>())
}

/// Waits until the better one is the only Master of every pair.
fn best(scene: &Scene, lan: &Capture) {
    let expected = PAIRS.map(|(vrid, [(_, first, _), (_, second, _)])| {
        let host = if first > second { &scene.r1 } else { &scene.r2 };
        (vrid, host)
    });
    converge(lan, &expected, WINDOW, within(25.0));
}

/// Waits until `host` is the only Master of every pair.
fn all_at(lan: &Capture, host: &Host) {
    let expected = PAIRS.map(|(vrid, _)| (vrid, host));
    converge(lan, &expected, WINDOW, within(25.0));
}

/// When `dead` was last heard, and after how long `heir` took over.
fn gap(lan: &Capture, vrid: u8, dead: &Host, heir: &Host, start: Stamp) -> Duration {
    let last = adverts_of(lan, dead, Stamp::default(), vrid);
    let last = last.last().map_or(start, |(frame, _)| frame.stamp);
    let first = lan.wait_since(start, "the heir", within(10.0), advert_from(heir, vrid));
    first.stamp.since(last)
}

/// MIX-1: both versions beside each of them, as Master and as Backup: election, preemption,
/// failover and resignation. A Backup waits as long as the Master's version and interval want.
#[test]
fn mixed_beside_either_version() {
    let test = "mixed_beside_either_version";
    let scene = Scene::in_lab(Lab::with_limit(test, Duration::from_secs(150)));
    let lan = scene.lan.capture();
    let first = scene.start(&scene.r1, &side(0));
    let mut second = scene.start(&scene.r2, &side(1));
    scene.lab.step("both");
    best(&scene, &lan);
    let (up, down) = (State::Master, State::Backup);
    for (daemon, states) in [
        (&first, [up, up, up, down, down, up]),
        (&second, [down, down, down, up, up, down]),
    ] {
        for ((vrid, _), state) in PAIRS.into_iter().zip(states) {
            daemon.wait_state(&name(vrid), state, within(10.0));
        }
    }

    scene.lab.step("r2 is killed");
    let mark = Stamp::now();
    second.sigkill();
    // The Master's interval of 1 s, of version 2, counts and not the own one of 0.2 s; and the
    // Master's 0.1 s and not the own one of 1 s.
    let slow = gap(&lan, 4, &scene.r2, &scene.r1, mark);
    assert!(slow >= down_interval(100, SECOND), "{slow:?}");
    let fast = gap(&lan, 5, &scene.r2, &scene.r1, mark);
    assert!(fast >= down_interval(100, SECOND / 10), "{fast:?}");
    assert!(
        fast < down_interval(100, SECOND / 2).mul_f64(slowness()),
        "{fast:?}"
    );
    all_at(&lan, &scene.r1);

    scene.lab.step("r2 is back");
    second = scene.start(&scene.r2, &side(1));
    best(&scene, &lan);
    let mark = Stamp::now();
    first.stop();
    for (vrid, [(_, ours, _), (_, theirs, _)]) in PAIRS {
        let expected: &[u8] = if ours > theirs { Both.sends() } else { &[] };
        until("its last advertisements", within(5.0), || {
            let adverts = adverts_of(&lan, &scene.r1, mark, vrid);
            let last = adverts.iter().filter(|(_, advert)| advert.priority == 0);
            last.map(|(_, advert)| advert.version)
                .eq(expected.iter().copied())
                .then_some(())
        });
    }
    scene.lab.step("r1 has left");
    all_at(&lan, &scene.r2);
    let counters = second.statistics();
    for (vrid, [(_, ours, _), (_, theirs, _)]) in PAIRS {
        let counters = &counters[&name(vrid)];
        // One for both.
        let expected = u64::from(ours > theirs);
        assert_eq!(counters["priority-zero-pkts-rcvd"], expected, "{vrid}");
        assert!(!counters.contains_key("refused-interval"), "{vrid}");
    }
    let both = &counters[&name(6)];
    assert!(both["v2-ignored"] > 0 && both["v3-alone"] == 0, "{both:?}");

    scene.lab.step("r1 is back");
    let mut first = scene.start(&scene.r1, &side(0));
    best(&scene, &lan);
    scene.lab.step("r1 is killed");
    first.sigkill();
    all_at(&lan, &scene.r2);
}

/// Waits for an advertisement that r1 counts by the counter `name`.
fn counted(daemon: &Rvrrpd, name: &str, value: u64) {
    until(&format!("{name} is {value}"), within(5.0), || {
        let counters = daemon.counters(NAME);
        (counters.get(name).copied().unwrap_or(0) == value).then_some(())
    });
}

fn v2_of(source: Ipv4Addr, priority: u8, seconds: u8) -> AdvertSpec {
    AdvertSpec::v2(VRID, priority, seconds, source, &[VIP])
}

/// MIX-1: advertisements of version 2 of who sends version 3 are ignored, whatever they say; those
/// of another are not.
#[test]
fn mixed_version_2_of_who_sends_version_3_is_ignored() {
    let scene = Scene::new("mixed_version_2_of_who_sends_version_3_is_ignored");
    let lan = scene.lan.capture();
    let daemon = scene.start(&scene.r1, &config(&[usual(Both, 100, 1.0)]));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    let start = Stamp::now();
    // Priority 0 would make it take over after its skew; an interval and a list that differ would
    // be refused.
    let other_list = AdvertSpec {
        addresses: vec![GHOST.into()],
        ..v2_of(GHOST, 200, 1)
    };
    for double in [other_list, v2_of(GHOST, 200, 7), v2_of(GHOST, 0, 1)] {
        scene.inject(scene.ghost(200, 100));
        scene.inject(double);
    }
    counted(&daemon, "v2-ignored", 3);
    let mine = advert_from(&scene.r1, VRID);
    let first = lan.wait_since(start, "the takeover", within(15.0), &mine);
    let injected = adverts_of(&lan, &scene.client, start, VRID);
    let last = injected.iter().filter(|(_, advert)| advert.version == 3);
    let last = last.map(|(frame, _)| frame.stamp).max().unwrap_or(start);
    let gap = first.stamp.since(last);
    assert!(gap >= down_interval(100, SECOND), "{gap:?}");

    // Another one speaks version 2 alone, and is better.
    let other = Ipv4Addr::new(10, 0, 0, 201);
    scene.inject(v2_of(other, 210, 1));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    scene.inject(v2_of(other, 210, 7));
    counted(&daemon, "refused-interval", 1);
    let counters = daemon.counters(NAME);
    assert_eq!(counters["priority-zero-pkts-rcvd"], 0);
    assert_eq!(counters["advertisement-rcvd"], 4);
    assert_eq!(counters["v2-ignored"], 3);
    daemon.stop();
}

/// MIX-1: priority 0 in version 3, then in version 2, counts once, and the Backup takes over after
/// its skew.
#[test]
fn mixed_resignation_counts_once() {
    let scene = Scene::new("mixed_resignation_counts_once");
    let lan = scene.lan.capture();
    let daemon = scene.start(&scene.r1, &config(&[usual(Both, 100, 1.0)]));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    for priority in [200, 0] {
        scene.inject(scene.ghost(priority, 100));
        scene.inject(v2_of(GHOST, priority, 1));
    }
    counted(&daemon, "v2-ignored", 2);
    let counters = daemon.counters(NAME);
    assert_eq!(counters["advertisement-rcvd"], 2);
    assert_eq!(counters["priority-zero-pkts-rcvd"], 1);
    let mine = advert_from(&scene.r1, VRID);
    lan.wait_since(Stamp::default(), "the takeover", within(10.0), mine);
    daemon.stop();
}

/// MIX-1: a Master of version 3 alone is told of once, in the log and in the counters; one of both
/// versions never.
#[test]
fn mixed_version_3_alone_is_reported() {
    let scene = Scene::new("mixed_version_3_alone_is_reported");
    let daemon = scene.start(&scene.r1, &config(&[usual(Both, 100, 1.0)]));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    let other = Ipv4Addr::new(10, 0, 0, 201);
    for _ in 0..10 {
        scene.inject(AdvertSpec::v3(VRID, 210, 100, other, &[VIP]));
        scene.inject(v2_of(other, 210, 1));
    }
    counted(&daemon, "v2-ignored", 10);
    assert_eq!(daemon.counters(NAME)["v3-alone"], 0);
    for _ in 0..10 {
        scene.inject(scene.ghost(200, 100));
    }
    counted(&daemon, "advertisement-rcvd", 20);
    assert_eq!(daemon.counters(NAME)["v3-alone"], 1);
    let lines = daemon.log().texts_after(0);
    let told = lines.iter().filter(|line| line.contains("version 3 alone"));
    let told: Vec<&String> = told.collect();
    let [line] = told[..] else {
        panic!("{told:?}");
    };
    assert!(line.contains(&GHOST.to_string()), "{line}");
    assert!(line.contains(&format!("group {VRID} has")), "{line}");
    daemon.stop();
}

/// MIX-1: the way from version 2 to version 3 and back again by reloads, one router after the
/// other: the Master stays the Master, and the Backup hears it all the time.
#[test]
fn mixed_migration_by_reload() {
    let test = "mixed_migration_by_reload";
    let scene = Scene::in_lab(Lab::with_limit(test, Duration::from_secs(150)));
    let lan = scene.lan.capture();
    let text = |speaks, priority| config(&[usual(speaks, priority, 1.0)]);
    let master = scene.start(&scene.r1, &text(Two, 200));
    master.wait_state(NAME, State::Master, within(15.0));
    let backup = scene.start(&scene.r2, &text(Two, 100));
    backup.wait_state(NAME, State::Backup, within(10.0));
    let changes = (master.changes(), backup.changes());
    for (of_master, of_backup) in [
        (Two, Both),
        (Both, Both),
        (Three, Both),
        (Three, Three),
        (Three, Both),
        (Both, Both),
        (Both, Two),
        (Two, Two),
        (Two, Both),
        (Both, Three),
        (Both, Both),
        (Two, Both),
    ] {
        scene
            .lab
            .step(&format!("{of_master:?} beside {of_backup:?}"));
        backup.reload(&text(of_backup, 100));
        let said = master.log().mark();
        master.reload(&text(of_master, 200));
        master
            .log()
            .wait_after(said, "the reload", within(5.0), |line| {
                line.text.contains("onfiguration reloaded").then_some(())
            });
        let mark = Stamp::now();
        let first = until("the new versions", within(10.0), || {
            let adverts = adverts_of(&lan, &scene.r1, mark, VRID);
            let versions: Vec<u8> = adverts.iter().map(|(_, advert)| advert.version).collect();
            let last = adverts.last()?.0.stamp;
            versions.ends_with(of_master.sends()).then_some(last)
        });
        let each = of_master.sends().len();
        let frames = lan.wait_count(first, 3 * each, "three more", within(15.0), |frame| {
            frame.stamp > first && frame.port == "r1" && frame.is_advert_of(VRID)
        });
        let versions = frames
            .iter()
            .filter_map(|frame| Some(frame.advert()?.version));
        assert_eq!(versions.collect::<Vec<_>>(), of_master.sends().repeat(3));
    }
    assert_eq!((master.changes(), backup.changes()), changes);
    let of_backup = adverts_of(&lan, &scene.r2, Stamp::default(), VRID);
    assert!(of_backup.is_empty(), "{of_backup:?}");
    backup.stop();
    master.stop();
}

/// MIX-1, AUTH-RX-5: `hmac-sha256` covers both versions: routers of either, and of both, hear one
/// another and take nothing for repeated.
#[test]
fn mixed_authentication() {
    let scene = Scene::new("mixed_authentication");
    let lan = scene.lan.capture();
    let kinds = [(1, Two), (2, Three), (3, Both)];
    let text = |ours: bool| {
        let of = |(vrid, speaks): &(u8, Speaks)| {
            let (speaks, priority) = if ours { (Both, 200) } else { (*speaks, 100) };
            vrouter(*vrid, speaks, priority, 1.0)
                .text("auth_type", "hmac-sha256")
                .text("auth_secret", "0123456789abcdef0123456789abcdef")
        };
        config(&kinds.iter().map(of).collect::<Vec<_>>())
    };
    let first = scene.start(&scene.r1, &text(true));
    let second = scene.start(&scene.r2, &text(false));
    let all_at = |host| {
        let expected = kinds.map(|(vrid, _)| (vrid, host));
        converge(&lan, &expected, WINDOW, within(25.0));
    };
    all_at(&scene.r1);
    for (vrid, _) in kinds {
        for (frame, advert) in adverts_of(&lan, &scene.r1, Stamp::default(), vrid) {
            assert_eq!(advert.trailer.len(), 28, "{frame:?}");
        }
        let counters = second.counters(&name(vrid));
        for refused in ["replay", "stale", "missing", "data"] {
            let refused = format!("refused-auth-{refused}");
            assert!(!counters.contains_key(&refused), "{vrid}: {counters:?}");
        }
    }
    first.stop();
    all_at(&scene.r2);
    second.stop();
}

/// MIX-1: unicast peers get both versions, each in its own datagram.
#[test]
fn mixed_unicast_peers() {
    let scene = Scene::new("mixed_unicast_peers");
    let lan = scene.lan.capture();
    let peers = |list: &str| format!("[{list}]");
    let of = |speaks, priority, list: &str| {
        config(&[usual(speaks, priority, 1.0).key("unicast_peers", peers(list))])
    };
    let ours = of(Both, 200, "\"10.0.0.2\", \"10.0.0.50\"");
    let first = scene.start(&scene.r1, &ours);
    let second = scene.start(&scene.r2, &of(Two, 100, "\"10.0.0.1\""));
    let at = |host| converge(&lan, &[(VRID, host)], WINDOW, within(25.0));
    at(&scene.r1);
    let begin = Stamp::default();
    let mine = advert_from(&scene.r1, VRID);
    lan.wait_count(begin, 12, "three times both to each", within(15.0), mine);
    let adverts = adverts_of(&lan, &scene.r1, begin, VRID);
    for peer in [[10, 0, 0, 2], [10, 0, 0, 50]].map(IpAddr::from) {
        let to_peer = adverts
            .iter()
            .filter(|(_, advert)| advert.destination == peer);
        let versions: Vec<u8> = to_peer.map(|(_, advert)| advert.version).collect();
        assert!(versions.len() >= 4, "{peer}: {versions:?}");
        let (pairs, _) = versions.as_chunks::<2>();
        assert!(pairs.iter().all(|pair| pair == &[3, 2]), "{versions:?}");
    }
    assert!(
        adverts
            .iter()
            .all(|(_, advert)| !advert.destination.is_multicast())
    );
    second.reload(&of(Three, 100, "\"10.0.0.1\""));
    at(&scene.r1);
    first.stop();
    at(&scene.r2);
    second.stop();
}

/// MIX-1: keepalived of version 2 and of version 3 as Backups of a Master of both, and the reverse.
#[test]
fn mixed_beside_keepalived() {
    let test = "mixed_beside_keepalived";
    if !keepalived::installed() {
        println!("{test}: skipped, keepalived is not installed");
        return;
    }
    let scene = Scene::in_lab(Lab::with_limit(test, Duration::from_secs(150)));
    let lan = scene.lan.capture();
    let cases = [(11, 2, true), (12, 3, true), (13, 2, false), (14, 3, false)];
    let ours = cases.map(|(vrid, _, master)| {
        let priority = if master { 200 } else { 100 };
        vrouter(vrid, Both, priority, 1.0)
    });
    let theirs = cases.map(|(vrid, version, master)| Instance {
        version,
        vrid,
        priority: if master { 100 } else { 200 },
        interval: 1.0,
        password: None,
        vmac: false,
        options: Vec::new(),
        vips: vec![format!("10.0.0.{}/32", 100 + vrid)],
    });
    let best = || {
        let expected = cases.map(|(vrid, _, master)| {
            let host = if master { &scene.r1 } else { &scene.r2 };
            (vrid, host)
        });
        converge(&lan, &expected, WINDOW, within(30.0));
    };
    let all_at = |host| {
        let expected = cases.map(|(vrid, ..)| (vrid, host));
        converge(&lan, &expected, WINDOW, within(30.0));
    };
    let daemon = scene.start(&scene.r1, &config(&ours));
    let peer = Keepalived::start(&scene.lab, &scene.r2, &theirs);
    scene.lab.step("both");
    best();
    daemon.stop();
    scene.lab.step("rvrrpd has left");
    all_at(&scene.r2);
    let daemon = scene.start(&scene.r1, &config(&ours));
    scene.lab.step("both again");
    best();
    peer.kill();
    scene.lab.step("keepalived is killed");
    all_at(&scene.r1);
    daemon.stop();
}

/// MIX-1, MIX-2: what `-t` says: one note that this is not for ever, one warning for each interval
/// that version 2 cannot announce; and no IPv6.
#[test]
fn mixed_check_of_a_configuration() {
    let scene = Scene::new("mixed_check_of_a_configuration");
    let path = scene.lab.dir().join("mixed.conf");
    let check = |text: &str| {
        std::fs::write(&path, text).expect("configuration");
        let (code, stdout, stderr) = run(&scene.r1, &["-t", "-c", path.to_str().unwrap_or("")]);
        (code, [stdout, stderr].concat())
    };
    let count = |lines: &[String], what: &str| lines.iter().filter(|l| l.contains(what)).count();
    let two = [vrouter(1, Both, 200, 0.5), vrouter(2, Both, 200, 1.0)];
    let (code, lines) = check(&config(&two));
    assert_eq!(code, Some(0), "{lines:?}");
    assert_eq!(count(&lines, "NOT RECOMMENDED"), 1, "{lines:?}");
    assert_eq!(count(&lines, "timers.advert"), 1, "{lines:?}");
    let v6 = usual(Both, 200, 1.0).key("vip", "\"fe80::1\"");
    let (code, lines) = check(&config(&[v6]));
    assert_eq!(code, Some(1), "{lines:?}");
    assert_eq!(
        count(&lines, "version: \"2+3\" is for IPv4 alone"),
        1,
        "{lines:?}"
    );
}
