//! The laboratory itself: what the other tests rely on, proven without rVRRPd.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use rvrrpd_tests::deadline::within;
use rvrrpd_tests::frame::{Advert, AdvertSpec, Mac, Sum};
use rvrrpd_tests::keepalived::{self, Instance, Keepalived};
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::probe::{Pinger, arping, longest_outage, lost};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

fn instance(priority: u8) -> Instance {
    Instance {
        version: 3,
        vrid: 7,
        priority,
        interval: 0.1,
        password: None,
        vmac: true,
        options: Vec::new(),
        vips: vec!["10.0.0.100/32".into()],
    }
}

/// Two keepaliveds elect one Master and fail over; capture, pings and ARP tell the same story.
#[test]
fn two_keepaliveds_fail_over() {
    if !keepalived::installed() {
        println!("skipped: keepalived is not installed");
        return;
    }
    let lab = Lab::new("two_keepaliveds_fail_over");
    let lan = lab.lan("lan");
    let r1 = lab.host_on(&lan, "r1", &["10.0.0.1/24"]);
    let r2 = lab.host_on(&lan, "r2", &["10.0.0.2/24"]);
    let client = lab.host_on(&lan, "client", &["10.0.0.50/24"]);
    let capture = lan.capture();
    let start = Stamp::now();
    let first = Keepalived::start(&lab, &r1, &[instance(200)]);
    first.wait_state(7, "MASTER", 0, within(10.0));
    let second = Keepalived::start(&lab, &r2, &[instance(100)]);
    second.wait_state(7, "BACKUP", 0, within(10.0));
    let pinger = Pinger::start(&client, VIP, Duration::from_millis(10));
    pinger.wait_answer(start, within(5.0));
    // Killed alone, keepalived leaves its address behind, and the host goes on answering.
    lab.step("cut the Master off and kill it");
    let killed = Stamp::now();
    lan.cut(&r1);
    first.kill();
    second.wait_state(7, "MASTER", 0, within(10.0));
    let takeover = capture.wait_since(killed, "the second advertises", within(5.0), |frame| {
        frame.port == "r2" && frame.is_advert_of(7)
    });
    let (last, advert) = capture
        .adverts_since(start, 7)
        .into_iter()
        // What it sent after the cut is captured and reached nobody.
        .rfind(|(frame, _)| frame.port == "r1" && frame.stamp < killed)
        .expect("adverts of the first");
    assert_eq!(advert.priority, 200);
    assert_eq!(advert.sum, Sum::PseudoHeader);
    assert_eq!(advert.mac, Mac::virtual_v4(7));
    let gap = takeover.stamp.since(last.stamp);
    assert!(gap >= Duration::from_millis(360), "took over after {gap:?}");
    pinger.wait_answer(takeover.stamp, within(5.0));
    let echoes = pinger.stop();
    assert!(!lost(&echoes).is_empty(), "no ping was lost");
    assert!(longest_outage(&echoes) >= Duration::from_millis(200));
    second.stop();
}

/// Injected frames arrive once and whole, on the LAN and on a host.
#[test]
fn a_frame_is_captured_once() {
    let lab = Lab::new("a_frame_is_captured_once");
    let lan = lab.lan("lan");
    let sender = lab.host_on(&lan, "sender", &["10.0.0.1/24"]);
    let receiver = lab.host_on(&lan, "receiver", &["10.0.0.2/24"]);
    let (on_lan, on_host) = (lan.capture(), receiver.capture("eth0"));
    let bytes = AdvertSpec::v3(9, 1, 100, Ipv4Addr::new(10, 0, 0, 1), &[VIP]).frame();
    let start = Stamp::now();
    sender.injector("eth0").send(&bytes);
    for capture in [&on_lan, &on_host] {
        let same = |frame: &rvrrpd_tests::frame::Frame| frame.bytes == bytes;
        capture.wait_since(start, "the frame", within(5.0), same);
        let all = capture.until_quiet(start, Duration::from_millis(50), within(5.0), same);
        assert_eq!(all.len(), 1);
        assert!(all[0].stamp >= start && Stamp::now() >= all[0].stamp);
        assert_eq!(
            all[0]
                .advert()
                .as_ref()
                .map(Advert::fields)
                .unwrap()
                .split(' ')
                .next(),
            Some("v3")
        );
    }
    lan.cut(&receiver);
    let cut = Stamp::now();
    sender.injector("eth0").send(&bytes);
    on_lan.wait_since(cut, "the second frame", within(5.0), |frame| {
        frame.bytes == bytes
    });
    assert!(
        on_host
            .frames_since(cut)
            .iter()
            .all(|frame| frame.bytes != bytes)
    );
}

/// A host without arp_ignore gives itself away: the probe counts every reply and its MAC.
#[test]
fn arp_replies_are_counted() {
    let lab = Lab::new("arp_replies_are_counted");
    let lan = lab.lan("lan");
    let router = lab.host_on(&lan, "router", &["10.0.0.1/24"]);
    let client = lab.host_on(&lan, "client", &["10.0.0.50/24"]);
    let capture = lan.capture();
    router.ip("link add link eth0 name v7 address 00:00:5e:00:01:07 type macvlan mode bridge");
    router.ip("link set v7 up");
    router.ip("address add 10.0.0.100/32 dev v7");
    for answers in arping(&capture, &client, VIP, 2) {
        let macs: Vec<Mac> = answers.iter().map(|(_, mac)| *mac).collect();
        assert_eq!(macs.len(), 2, "{macs:?}");
        assert!(macs.contains(&Mac::virtual_v4(7)) && macs.contains(&router.mac("eth0")));
    }
    assert_eq!(
        arping(&capture, &client, Ipv4Addr::new(10, 0, 0, 99), 1),
        [vec![]]
    );
}

/// A snapshot is stable, sees every kind of change, and is equal again when it is undone.
#[test]
fn a_snapshot_sees_changes() {
    let lab = Lab::new("a_snapshot_sees_changes");
    let lan = lab.lan("lan");
    let host = lab.host_on(&lan, "host", &["10.0.0.1/24"]);
    let before = snapshot(&host);
    assert!(before.len() > 200, "{} facts", before.len());
    before.assert_same(&snapshot(&host), "nothing was done");
    let changes = [
        (
            "address add 10.0.0.2/32 dev eth0",
            "address del 10.0.0.2/32 dev eth0",
            "10.0.0.2",
        ),
        (
            "route add 10.9.0.0/24 via 10.0.0.9",
            "route del 10.9.0.0/24",
            "10.9.0.0",
        ),
        ("link add d0 type bridge", "link del d0", "d0"),
        (
            "link set eth0 address 00:00:5e:00:01:07",
            "link set eth0 address 02:00:00:00:01:01",
            "5e",
        ),
    ];
    for (change, undo, trace) in changes {
        host.ip(change);
        let diff = before.diff(&snapshot(&host));
        assert!(diff.contains(trace), "{change}: {diff}");
        host.ip(undo);
        let diff = before
            .clone()
            .without(&["fe80", "ff00"])
            .diff(&snapshot(&host).without(&["fe80", "ff00"]));
        assert!(diff.is_empty(), "{undo}: {diff}");
    }
    let before = snapshot(&host);
    host.sysctl("ipv4/conf/eth0/arp_ignore", "1");
    assert_eq!(before.diff(&snapshot(&host)).lines().count(), 2);
    host.sysctl("ipv4/conf/eth0/arp_ignore", "0");
    host.run("nft", &["add", "table", "inet", "t"]);
    assert!(before.diff(&snapshot(&host)).contains("nft"));
}

/// Names of the namespaces of `pid` that are left.
fn namespaces_of(pid: u32) -> Vec<String> {
    let own = format!("rvt-{pid}-");
    std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(&own))
        .collect()
}

/// Runs one of the ignored tests below in a process of its own: its exit code, its output, and
/// what is left of its namespaces.
fn run_ignored(test: &str) -> (Option<i32>, String, Vec<String>) {
    // Makes a user namespace where one is needed, so that the child need not.
    drop(Lab::new(test));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", test])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
        namespaces_of(pid),
    )
}

/// The watchdog ends a test that hangs, tells which and what it was doing, and cleans up.
#[test]
fn the_watchdog_ends_a_test_that_hangs() {
    let (code, text, left) = run_ignored("this_test_hangs");
    assert_eq!(code, Some(101), "{text}");
    for part in [
        "watchdog: test this_test_hangs",
        "stuck on purpose",
        "waiting: ",
    ] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    assert_eq!(left, Vec::<String>::new());
}

/// A test that panics leaves nothing behind and shows what was on the wire.
#[test]
fn a_panic_cleans_up() {
    let (code, text, left) = run_ignored("this_test_panics");
    assert_eq!(code, Some(101), "{text}");
    for part in [
        "on purpose",
        "--- capture LAN lan",
        "VRRPv3 10.0.0.1 > 224.0.0.18",
    ] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    assert_eq!(left, Vec::<String>::new());
}

#[test]
#[ignore = "hangs on purpose, run by the_watchdog_ends_a_test_that_hangs"]
fn this_test_hangs() {
    let lab = Lab::with_limit("this_test_hangs", Duration::from_secs(5));
    let lan = lab.lan("lan");
    let host = lab.host_on(&lan, "host", &["10.0.0.1/24"]);
    let mut command = host.command("sleep");
    command.arg("1000");
    let _sleep = rvrrpd_tests::process::Process::start("sleep", command);
    lab.step("stuck on purpose");
    lan.capture()
        .wait_since(Stamp::now(), "nothing", within(1000.0), |_| false);
}

#[test]
#[ignore = "panics on purpose, run by a_panic_cleans_up"]
fn this_test_panics() {
    let lab = Lab::new("this_test_panics");
    let lan = lab.lan("lan");
    let host = lab.host_on(&lan, "host", &["10.0.0.1/24"]);
    let capture = lan.capture();
    let bytes = AdvertSpec::v3(9, 1, 100, Ipv4Addr::new(10, 0, 0, 1), &[VIP]).frame();
    host.injector("eth0").send(&bytes);
    capture.wait_since(Stamp::default(), "the frame", within(5.0), |frame| {
        frame.is_advert_of(9)
    });
    panic!("on purpose");
}
