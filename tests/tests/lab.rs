//! The laboratory itself: what the other tests rely on, proven without rVRRPd.

use std::net::Ipv4Addr;
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
    second.wait_state(7, "MASTER", 0, within(5.0));
    let takeover = capture.wait_since(killed, "the second advertises", within(5.0), |frame| {
        frame.port == "r2" && frame.is_advert_of(7)
    });
    let (last, advert) = capture
        .adverts_since(start, 7)
        .into_iter()
        .rfind(|(frame, _)| frame.port == "r1")
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
