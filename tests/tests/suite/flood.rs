//! A LAN full of foreign and malformed packets of protocol 112: nobody misses an advertisement,
//! nobody takes over, and the log stays short.
//!
//! Each flood lasts 2 s, or as long as `RVRRPD_TESTS_FLOOD` says (in seconds).

use std::net::Ipv4Addr;
use std::time::Duration;

use rvrrpd_tests::deadline::{Deadline, within};
use rvrrpd_tests::family::Family;
use rvrrpd_tests::frame::{AdvertSpec, Mac, Sum};
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, config};
use rvrrpd_tests::scene::{Scene, VIP, VRID, advert_from};
use rvrrpd_tests::sys::Stamp;

const INTERVAL: Duration = Duration::from_millis(100);
/// Ethernet source of a flood, which the switch knows and the capture leaves out.
const FLOOD: Mac = Mac([0x02, 0, 0, 0xf1, 0, 0x0d]);
/// Lines that a flood may add to a log: each kind of complaint once in 10 s.
const MOST_LINES: usize = 40;

/// How long a flood lasts.
fn span() -> Duration {
    let seconds = std::env::var("RVRRPD_TESTS_FLOOD").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(2.0);
    Duration::from_secs_f64(seconds)
}

/// One packet of each kind that a router of this family refuses.
fn refused(family: Family) -> Vec<Vec<u8>> {
    let good = AdvertSpec {
        mac: Some(FLOOD),
        ..family.ghost(50, 10)
    };
    let with = |change: fn(&mut AdvertSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        spec.frame()
    };
    let mut frames = vec![
        // Not ours: VRIDs that nobody here uses.
        with(|spec| spec.vrid = 8),
        with(|spec| spec.vrid = 255),
        with(|spec| spec.vrid = 0),
        // Ours, but from elsewhere (V2-RX-1, V3-RX-1).
        with(|spec| spec.ttl = 254),
        with(|spec| (spec.ttl, spec.priority) = (1, 0)),
        // V2-RX-2, V3-RX-2, V2-RX-3, V3-RX-3.
        with(|spec| spec.version = 2),
        with(|spec| spec.version = 15),
        with(|spec| spec.kind = 2),
        // V2-RX-5, V3-RX-5.
        with(|spec| spec.sum = Sum::Wrong),
        with(|spec| (spec.sum, spec.priority) = (Sum::Wrong, 255)),
        with(|spec| (spec.sum, spec.priority) = (Sum::Wrong, 0)),
        // V2-RX-4, V3-RX-4: more addresses than are there.
        with(|spec| spec.count = Some(20)),
        with(|spec| spec.count = Some(0)),
        // An interval of 0.
        with(|spec| spec.interval = 0),
    ];
    // Truncated: the header of IP says so, too.
    let short = AdvertSpec {
        addresses: Vec::new(),
        count: Some(1),
        ..good.clone()
    };
    frames.push(short.frame());
    if family == Family::V4 {
        // Of another protocol, which no socket of ours hears.
        let mut other = good.frame();
        other[14 + 9] = 113;
        frames.push(other);
    }
    frames
}

/// Advertisements that break no rule, from somebody with a lower priority.
fn lower(family: Family) -> Vec<Vec<u8>> {
    [10, 20, 30, 40].map(|priority| forged(family, priority)).to_vec()
}

fn forged(family: Family, priority: u8) -> Vec<u8> {
    let spec = AdvertSpec {
        mac: Some(FLOOD),
        ..family.ghost(priority, 10)
    };
    spec.frame()
}

struct Scenario {
    family: Family,
    keys: &'static [(&'static str, &'static str)],
    frames: Vec<Vec<u8>>,
    /// Whether the Backup may count nothing but what the Master sent.
    is_exact: bool,
}

fn counter(daemon: &Rvrrpd, name: &str, counter: &str) -> u64 {
    daemon.counters(name)[counter]
}

/// Floods both routers, and judges both.
fn flood(test: &str, scenario: &Scenario) {
    let Scenario { family, keys, .. } = scenario;
    let name = family.name();
    let limit = Duration::from_secs(90) + span();
    let scene = Scene::in_lab(Lab::with_limit(test, limit));
    let lan = scene.lan.capture_without(FLOOD);
    let router = |priority| {
        let vrouter = family.vrouter().priority(priority).preemption(true);
        let keyed = keys
            .iter()
            .fold(vrouter, |vrouter, (key, value)| vrouter.key(key, value));
        config(&[keyed])
    };
    let master = scene.start(&scene.r1, &router(200));
    master.wait_state(name, State::Master, within(5.0));
    let backup = scene.start(&scene.r2, &router(100));
    backup.wait_state(name, State::Backup, within(5.0));
    let ours = || advert_from(&scene.r1, VRID);
    lan.wait_count(Stamp::now(), 5, "the steady state", within(5.0), ours());

    scene.lab.step("flood");
    let (begin, marks) = (Stamp::now(), [master.log().mark(), backup.log().mark()]);
    let before = counter(&backup, name, "advertisement-rcvd");
    let flood = scene.client.flood("eth0", scenario.frames.clone());
    let end = within(span().as_secs_f64());
    wait(end);
    let volume = flood.stop();
    // What still waits is read.
    let after = Stamp::now();
    lan.wait_count(after, 5, "afterwards", within(5.0), ours());
    // A few lines are ours: the counters.
    let lines = [(&master, marks[0]), (&backup, marks[1])];
    for (daemon, mark) in lines {
        let lines = daemon.log().texts_after(mark);
        assert!(lines.len() <= MOST_LINES, "{} lines: {lines:#?}", lines.len());
        let changes = lines.iter().filter(|line| line.contains("Changed from"));
        assert_eq!(changes.count(), 0, "{lines:#?}");
    }
    let global = backup.counters("global");
    let lost = global["receive-overflows"] + global["queue-overflows"];
    let received = counter(&backup, name, "advertisement-rcvd") - before;
    let adverts = lan.adverts_since(begin, VRID);
    let strangers = adverts.iter().filter(|(frame, _)| frame.port != "r1");
    assert_eq!(strangers.count(), 0, "the Backup speaks");
    let stamps: Vec<Stamp> = adverts.iter().map(|(frame, _)| frame.stamp).collect();
    let longest = stamps.windows(2).map(|pair| pair[1].since(pair[0])).max();
    let longest = longest.expect("adverts");
    println!(
        "{test} {family} {keys:?}: {volume}; {received} of {} adverts counted, longest gap \
         {longest:?}, {lost} lost, {} postponed",
        stamps.len(),
        counter(&backup, name, "takeovers-postponed"),
    );
    assert!(longest < 3 * INTERVAL, "the Master was silent for {longest:?}");
    if scenario.is_exact {
        // At the borders one may be under way.
        let missed = (stamps.len() as u64).abs_diff(received);
        assert!(missed <= lost + 2, "{received} of {} counted", stamps.len());
    }
}

fn wait(deadline: Deadline) {
    while !deadline.passed() {
        std::thread::sleep(deadline.left());
    }
}

/// V3-RX-1 to V3-RX-7: what is refused leaves no trace, by whatever filter and however much it is.
#[test]
fn a_flood_of_garbage_changes_nothing() {
    for family in [Family::V4, Family::V6] {
        for keys in [
            &[][..],
            &[("socket_filter_type", "\"classic\"")],
            &[("socket_filter", "false")],
        ] {
            flood(
                "a_flood_of_garbage_changes_nothing",
                &Scenario {
                    family,
                    keys,
                    frames: refused(family),
                    is_exact: true,
                },
            );
        }
    }
}

/// V2-RX-5, V2-RX-8: the same of version 2 with a password.
#[test]
fn a_flood_without_the_password_changes_nothing() {
    let wrong = |auth_type, auth_data| {
        let spec = AdvertSpec {
            mac: Some(FLOOD),
            auth_type,
            auth_data,
            ..AdvertSpec::v2(VRID, 250, 1, Ipv4Addr::new(10, 0, 0, 200), &[VIP])
        };
        spec.frame()
    };
    let _ = wrong;
}

/// FSM-B-9, FSM-A-11: who has a lower priority is heard by nobody, however loud.
#[test]
fn a_flood_of_lower_priority_changes_nothing() {
    flood(
        "a_flood_of_lower_priority_changes_nothing",
        &Scenario {
            family: Family::V4,
            keys: &[],
            frames: lower(Family::V4),
            is_exact: false,
        },
    );
}
