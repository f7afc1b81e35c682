//! The steady state stays in the kernel: a Backup is not woken by what says nothing new, and
//! misses nothing.

use std::time::Duration;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{Scene, VRID, advert_from, down_interval};
use rvrrpd_tests::sys::Stamp;

const INTERVAL: Duration = Duration::from_millis(100);
/// Advertisements that are watched.
const WATCHED: usize = 30;

/// How often the threads that read packets of the network have slept.
fn sleeps(daemon: &Rvrrpd) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("threads");
    let of_listener = tasks.flatten().filter(|task| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("rx-"))
    });
    let count = |text: String| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    of_listener
        .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok())
        .filter_map(count)
        .sum()
}

/// Whether this machine lets the daemon load eBPF programs.
fn is_permitted(daemon: &Rvrrpd) -> bool {
    let refused = |line: &rvrrpd_tests::process::Line| line.text.contains("eBPF");
    !daemon.log().lines().iter().any(refused)
}

/// While the Master says the same again and again, the Backup sleeps and counts them all; a change
/// wakes it, and so does silence (V3-TM-2).
fn the_backup_sleeps(family: Family, keys: &[(&str, &str)], filter: &str, absorbs: bool) {
    let scene = Scene::new("the_backup_sleeps");
    let lan = scene.lan.capture();
    let router = |priority| {
        let vrouter = family.vrouter().priority(priority).preemption(true);
        let keyed = keys
            .iter()
            .fold(vrouter, |vrouter, (key, value)| vrouter.key(key, value));
        config(&[keyed])
    };
    let mut master = scene.start(&scene.r1, &router(200));
    master.wait_state(family.name(), State::Master, within(10.0));
    let backup = scene.start(&scene.r2, &router(100));
    backup.wait_state(family.name(), State::Backup, within(10.0));
    if absorbs && !is_permitted(&backup) {
        eprintln!("skipped: eBPF is not permitted here");
        return;
    }
    let ours = || advert_from(&scene.r1, VRID);
    // Two that are the same, so that the kernel knows what is nothing new.
    lan.wait_count(Stamp::now(), 5, "the steady state", within(5.0), ours());
    let slept = sleeps(&backup);
    let before = backup.reading(family.name());
    lan.wait_count(before.answered, WATCHED, "adverts", within(20.0), ours());
    let woken = sleeps(&backup) - slept;
    let after = backup.reading(family.name());
    let adverts = lan.adverts_since(before.asked, VRID);
    let stamps: Vec<Stamp> = adverts.iter().map(|(frame, _)| frame.stamp).collect();
    before.assert_counted(&after, &stamps, 0);
    let is_quiet = woken < WATCHED as u64 / 3;
    assert_eq!(is_quiet, absorbs, "{family}: woken {woken} times");
    let status = backup.status(family.name());
    let filter = if is_permitted(&backup) {
        filter
    } else {
        "classic"
    };
    assert_eq!(status["socket-filter"], filter, "{family}");
    assert_eq!(status["absorbed"] != "0", absorbs, "{family}: {status:?}");

    // What says something new is heard: another priority, at once.
    master.reload(&router(50));
    backup.wait_state(family.name(), State::Master, within(10.0));
    master.reload(&router(200));
    backup.wait_state(family.name(), State::Backup, within(10.0));
    lan.wait_count(Stamp::now(), 5, "the steady state", within(5.0), ours());
    let killed = Stamp::now();
    master.sigkill();
    backup.wait_state(family.name(), State::Master, within(10.0));
    let first = lan.wait_since(
        killed,
        "takeover",
        within(5.0),
        advert_from(&scene.r2, VRID),
    );
    let last = lan.adverts_since(before.answered, VRID);
    let last = last.iter().rfind(|(frame, _)| frame.port == "r1");
    let silence = first.stamp.since(last.expect("an advert").0.stamp);
    assert!(silence >= down_interval(100, INTERVAL), "{silence:?}");
    until("it is over", within(5.0), || (!master.runs()).then_some(()));
}

/// V3-TM-2, V3-RX-19: both families, with the filter's defaults.
#[test]
fn repetitions_stay_in_the_kernel() {
    for family in FAMILIES {
        the_backup_sleeps(*family, &[], "ebpf", true);
    }
}

/// Without absorption, and with the classic filter, each advertisement is delivered.
#[test]
fn what_is_not_wanted_is_not_done() {
    let delivered = [("socket_filter_absorb", "false")];
    the_backup_sleeps(Family::V4, &delivered, "ebpf", false);
    let classic = [("socket_filter_type", "\"classic\"")];
    the_backup_sleeps(Family::V6, &classic, "classic", false);
}

/// Y-1: a virtual router that is replaced counts from 0, whatever the kernel kept for the one before
/// it.
#[test]
fn a_replaced_router_counts_from_0() {
    let scene = Scene::new("a_replaced_router_counts_from_0");
    let lan = scene.lan.capture();
    let master = scene.start(&scene.r1, &config(&[Family::V4.vrouter().priority(200)]));
    let name = Family::V4.name();
    master.wait_state(name, State::Master, within(10.0));
    // Another one keeps the sockets open meanwhile.
    let other = Vrouter::new(8, &["10.0.0.108"]).macvlan();
    let router = |netdrv| {
        let vrouter = Family::V4.vrouter().text("iftype", "ether");
        let vrouter = vrouter.key("virtual_mac", false).text("netdrv", netdrv);
        config(&[vrouter, other.clone()])
    };
    let backup = scene.start(&scene.r2, &router("libnl"));
    backup.wait_state(name, State::Backup, within(10.0));
    let ours = advert_from(&scene.r1, VRID);
    lan.wait_count(Stamp::now(), WATCHED, "adverts", within(20.0), ours);
    let before = backup.counters(name)["advertisement-rcvd"];
    assert!(before >= WATCHED as u64, "{before}");
    let (mark, reloaded) = (backup.log().mark(), Stamp::now());
    backup.reload(&router("ioctl"));
    backup.wait_change(mark, name, State::Backup, within(10.0));
    let counted = backup.counters(name)["advertisement-rcvd"];
    let sent = lan.adverts_since(reloaded, VRID).len() as u64;
    assert!(counted <= sent + 1, "{counted} of {sent} counted");
}
