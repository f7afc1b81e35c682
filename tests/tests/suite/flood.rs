//! A LAN full of foreign and malformed packets of protocol 112: nobody misses an advertisement,
//! nobody takes over, and the log stays short.
//!
//! Each flood lasts 2 s, or as long as `RVRRPD_TESTS_FLOOD` says (in seconds).

use std::time::{Duration, Instant};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::frame::{AdvertSpec, Mac, Sum};
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::rvrrpd::{Change, Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{GHOST, Scene, VIP, VRID, advert_from, down_interval};
use rvrrpd_tests::standstill;
use rvrrpd_tests::sys::Stamp;

const INTERVAL: Duration = Duration::from_millis(100);
/// Ethernet source of a flood, which the switch knows and the capture leaves out.
const FLOOD: Mac = Mac([0x02, 0, 0, 0xf1, 0, 0x0d]);
/// Lines that a flood may add to a log: each kind of complaint once in 10 s.
const MOST_LINES: usize = 40;
/// More of the shortest packets than a receive buffer has room for.
const FULL: u64 = 50_000;

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
    [10, 20, 30, 40]
        .map(|priority| forged(family, priority))
        .to_vec()
}

fn forged(family: Family, priority: u8) -> Vec<u8> {
    let spec = AdvertSpec {
        mac: Some(FLOOD),
        ..family.ghost(priority, 10)
    };
    spec.frame()
}

/// Advertisements of version 2 that are right but for the authentication.
fn without_password() -> Vec<Vec<u8>> {
    let with = |auth_type, auth_data: &[u8; 8]| {
        let spec = AdvertSpec {
            mac: Some(FLOOD),
            auth_type,
            auth_data: *auth_data,
            ..AdvertSpec::v2(VRID, 250, 1, GHOST, &[VIP])
        };
        spec.frame()
    };
    vec![
        with(1, b"guessed1"),
        with(1, b"guessed2"),
        with(0, &[0; 8]),
        with(2, &[0; 8]),
        with(7, b"secret\0\0"),
    ]
}

/// Floods two routers with `frames`, and judges both. With `is_exact` the Backup has counted nothing
/// but what the Master sent.
fn flood(
    family: Family,
    vrouter: &Vrouter,
    interval: Duration,
    frames: &[Vec<u8>],
    is_exact: bool,
) {
    let name = family.name();
    let limit = Duration::from_secs(90) + span();
    let scene = Scene::in_lab(Lab::with_limit("flood", limit));
    let lan = scene.lan.capture_without(FLOOD);
    let router = |priority| config(&[vrouter.clone().priority(priority).preemption(true)]);
    let master = scene.start(&scene.r1, &router(200));
    master.wait_state(name, State::Master, within(10.0));
    let backup = scene.start(&scene.r2, &router(100));
    backup.wait_state(name, State::Backup, within(10.0));
    let ours = || advert_from(&scene.r1, VRID);
    lan.wait_count(Stamp::now(), 3, "the steady state", within(10.0), ours());

    scene.lab.step("flood");
    let marks = [master.log().mark(), backup.log().mark()];
    let before = backup.reading(name);
    let flood = scene.client.flood("eth0", frames.to_vec());
    pass(span());
    let volume = flood.stop();
    // Meanwhile what still waits is read.
    lan.wait_count(Stamp::now(), 3, "afterwards", within(10.0), ours());
    let after = backup.reading(name);
    let (global, router) = (backup.counters("global"), &after.counters);
    let lost = global["receive-overflows"] + global["queue-overflows"];
    let adverts = lan.adverts_since(before.asked, VRID);
    let stamps: Vec<Stamp> = adverts.iter().map(|(frame, _)| frame.stamp).collect();
    let gaps = stamps.windows(2).map(|pair| {
        let late = standstill::between(pair[0], pair[1]);
        pair[1].since(pair[0]).saturating_sub(late)
    });
    let longest = gaps.max().expect("adverts");
    println!(
        "{family}: {volume}; {} adverts, longest gap {longest:?}, {lost} lost, {} times postponed",
        stamps.len(),
        router["takeovers-postponed"],
    );
    let strangers = adverts.iter().filter(|(frame, _)| frame.port != "r1");
    assert_eq!(strangers.count(), 0, "the Backup speaks");
    assert!(
        longest < 3 * interval,
        "the Master was silent for {longest:?}"
    );
    for (daemon, mark) in [(&master, marks[0]), (&backup, marks[1])] {
        let mut lines = daemon.log().texts_after(mark);
        lines.retain(|line| !line.contains("stats "));
        assert!(
            lines.len() <= MOST_LINES,
            "{} lines: {lines:#?}",
            lines.len()
        );
        let changes = lines.iter().filter(|line| Change::parse(line).is_some());
        assert_eq!(changes.count(), 0, "{lines:#?}");
    }
    if is_exact {
        before.assert_counted(&after, &stamps, lost);
    }
}

fn pass(span: Duration) {
    let end = Instant::now() + span;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::sleep(left);
    }
}

fn garbage(family: Family, keys: &[(&str, &str)]) {
    let keyed = keys.iter().fold(family.vrouter(), |vrouter, (key, value)| {
        vrouter.key(key, value)
    });
    flood(family, &keyed, INTERVAL, &refused(family), true);
}

/// V3-RX-1 to V3-RX-7: what is refused leaves no trace, however much it is.
#[test]
fn a_flood_of_garbage_changes_nothing() {
    for family in FAMILIES {
        garbage(*family, &[]);
    }
}

/// The same with the filter of old kernels, and with none.
#[test]
fn a_flood_of_garbage_changes_nothing_for_other_filters() {
    garbage(Family::V4, &[("socket_filter_type", "\"classic\"")]);
    garbage(Family::V6, &[("socket_filter_type", "\"classic\"")]);
    garbage(Family::V4, &[("socket_filter", "false")]);
}

/// V2-RX-8: the same of who does not know the password.
#[test]
fn a_flood_without_the_password_changes_nothing() {
    let vrouter = Family::V4.vrouter().v2();
    let vrouter = vrouter
        .text("auth_type", "rfc2338-simple")
        .text("auth_secret", "secret");
    let second = Duration::from_secs(1);
    flood(Family::V4, &vrouter, second, &without_password(), true);
}

/// FSM-B-9, FSM-A-11: nobody yields to a lower priority, however loud it is.
#[test]
fn a_flood_of_lower_priority_changes_nothing() {
    for family in FAMILIES {
        flood(*family, &family.vrouter(), INTERVAL, &lower(*family), false);
    }
}

/// FSM-B-7: a Backup whose receive buffer was full does not take silence for the end of its Master;
/// but if it is the end, it waits for it twice as long at most.
#[test]
fn silence_is_not_believed_where_packets_were_lost() {
    let scene = Scene::new("silence_is_not_believed_where_packets_were_lost");
    let lan = scene.lan.capture_without(FLOOD);
    let family = Family::V4;
    // The Backup reads all that was kept for it before the next advertisement comes.
    let interval = Duration::from_secs(1);
    let vrouter = family.vrouter().interval(1.0).preemption(true);
    let router = |priority| config(&[vrouter.clone().priority(priority)]);
    let mut master = scene.start(&scene.r1, &router(200));
    master.wait_state(family.name(), State::Master, within(10.0));
    let mut backup = scene.start(&scene.r2, &router(100));
    backup.wait_state(family.name(), State::Backup, within(10.0));
    let ours = || advert_from(&scene.r1, VRID);
    // Refused for its interval, which no filter looks at.
    let garbage = AdvertSpec {
        mac: Some(FLOOD),
        ..family.ghost(50, 0)
    };

    scene.lab.step("the Backup's socket runs full");
    let mark = backup.log().mark();
    let fill = |backup: &mut Rvrrpd| {
        backup.process().signal(libc::SIGSTOP);
        let flood = scene.client.flood("eth0", vec![garbage.frame()]);
        until("the socket is full", within(30.0), || {
            (flood.frames() >= FULL).then_some(())
        });
        flood.stop()
    };
    let _volume = fill(&mut backup);
    // These are lost: by now it would have taken over.
    lan.wait_count(Stamp::now(), 5, "unheard adverts", within(10.0), ours());
    backup.process().signal(libc::SIGCONT);
    lan.wait_count(Stamp::now(), 5, "adverts", within(10.0), ours());
    let lines = backup.log().texts_after(mark);
    assert_eq!(lines.iter().find_map(|line| Change::parse(line)), None);
    assert!(backup.counters("global")["receive-overflows"] > 0);
    assert!(backup.counters(family.name())["takeovers-postponed"] > 0);
    let lost = "Nothing heard of the Master, but packets were lost";
    assert!(lines.iter().any(|line| line.contains(lost)), "{lines:#?}");

    scene.lab.step("the Master is gone");
    let _volume = fill(&mut backup);
    master.sigkill();
    let resumed = Stamp::now();
    backup.process().signal(libc::SIGCONT);
    let of_backup = advert_from(&scene.r2, VRID);
    let first = lan.wait_since(resumed, "takeover", within(15.0), of_backup);
    let silence = first.stamp.since(resumed);
    assert!(silence >= down_interval(100, interval), "{silence:?}");
}
