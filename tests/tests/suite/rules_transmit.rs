//! The rules of sending (RFC 9568 §5, §7.2).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rvrrpd_tests::deadline::within;
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::frame::{AdvertSpec, Frame, Nd};
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{State, config};
use rvrrpd_tests::scene::{Scene, VIP, VRID, advert_from};
use rvrrpd_tests::standstill;
use rvrrpd_tests::sys::Stamp;

in_modes! {
    priority_zero_is_the_last_word: macvlan, ether, ebpf;
    a_new_primary_address_is_used_at_once: macvlan, ether, ebpf;
    the_virtual_link_local_address_is_no_source: macvlan, ether, ebpf;
    the_group_is_never_forwarded: macvlan, ether, ebpf;
}

/// V3-TX-5, FSM-A-7, FSM-B-5: from start to stop, with an advert every interval: the configured
/// priority in every one of them, 0 in the last and in no other, and nothing after it.
fn priority_zero_is_the_last_word(mode: Mode) {
    for family in FAMILIES {
        for v2 in [false, true] {
            if v2 && *family == Family::V6 {
                continue;
            }
            let scene = Scene::new("priority_zero_is_the_last_word");
            let lan = scene.lan.capture();
            let vrouter = family.vrouter().mode(mode).priority(173);
            let vrouter = if v2 { vrouter.v2() } else { vrouter };
            let daemon = scene.start(&scene.r1, &config(&[vrouter]));
            daemon.wait_state(family.name(), State::Master, within(10.0));
            // A Backup in between leaves the rôle without priority 0.
            let higher = AdvertSpec {
                priority: 200,
                interval: if v2 { 1 } else { 10 },
                version: if v2 { 2 } else { 3 },
                ..family.ghost(200, 10)
            };
            let mark = daemon.log().mark();
            scene.inject(higher);
            daemon.wait_change(mark, family.name(), State::Backup, within(10.0));
            let again = Stamp::now();
            let ours = advert_from(&scene.r1, VRID);
            let frames = lan.wait_count(again, 4, "adverts as Master again", within(10.0), &ours);
            let interval = Duration::from_millis(if v2 { 1000 } else { 100 });
            let late = standstill::between(again, Stamp::now());
            for pair in frames.windows(2) {
                let gap = pair[1].stamp.since(pair[0].stamp);
                assert!(
                    gap < interval * 2 + late,
                    "{family}: {gap:?} between adverts"
                );
                assert!(
                    (gap + late) * 2 > interval,
                    "{family}: {gap:?} between adverts"
                );
            }
            daemon.stop();
            let quiet = lan.until_quiet(
                Stamp::default(),
                Duration::from_millis(300),
                within(5.0),
                &ours,
            );
            let priorities: Vec<u8> = quiet
                .iter()
                .filter_map(|frame| Some(frame.advert()?.priority))
                .collect();
            let (last, others) = priorities.split_last().expect("adverts");
            assert_eq!(*last, 0, "{family}");
            assert!(others.iter().all(|p| *p == 173), "{family}: {priorities:?}");
        }
    }
}

/// TX-9, V3-TX-2, FSM-A-9: another primary address of the interface is the source of the next
/// advert, without a priority 0 in between, and counts in the tie-break from then on.
fn a_new_primary_address_is_used_at_once(mode: Mode) {
    let scene = Scene::new("a_new_primary_address_is_used_at_once");
    let lan = scene.lan.capture();
    let family = Family::V4;
    scene.r1.sysctl("ipv4/conf/eth0/promote_secondaries", "1");
    let daemon = scene.start(
        &scene.r1,
        &config(&[family.vrouter().mode(mode).priority(100).interval(0.5)]),
    );
    daemon.wait_state(family.name(), State::Master, within(10.0));
    let ours = advert_from(&scene.r1, VRID);
    let source = |frame: &Frame| frame.advert().map(|advert| advert.source);
    let first = lan.wait_since(Stamp::now(), "an advert", within(5.0), &ours);
    assert_eq!(source(&first), Some(IpAddr::from([10, 0, 0, 1])));
    // Higher than that of the peer in the tie-break below.
    let new = IpAddr::from([10, 0, 0, 250]);
    scene.r1.ip("address add 10.0.0.250/24 dev eth0");
    let added = Stamp::now();
    for frame in lan.wait_count(added, 3, "adverts beside it", within(5.0), &ours) {
        assert_eq!(source(&frame), source(&first), "a secondary address");
    }
    scene.r1.ip("address del 10.0.0.1/24 dev eth0");
    let changed = Stamp::now();
    lan.wait_since(changed, "an advert from it", within(5.0), |frame| {
        ours(frame) && source(frame) == Some(new)
    });
    // The two adverts at most that were under way meanwhile carry the old one.
    let stale = lan
        .frames_since(changed)
        .into_iter()
        .filter(|frame| ours(frame) && source(frame) != Some(new));
    assert!(stale.count() <= 2);
    let resigned = lan
        .adverts_since(Stamp::default(), VRID)
        .into_iter()
        .filter(|(_, advert)| advert.priority == 0);
    assert_eq!(resigned.count(), 0, "no priority 0");
    // 10.0.0.200 is higher than the old and lower than the new address.
    let before = daemon.counters(family.name())["advertisement-rcvd"];
    scene.inject(family.ghost(100, 10));
    rvrrpd_tests::deadline::until("the equal advert is heard", within(5.0), || {
        let now = daemon.counters(family.name())["advertisement-rcvd"];
        (now == before + 1).then_some(())
    });
    assert_eq!(daemon.state(family.name()), Some(State::Master));
    let higher = AdvertSpec {
        source: Ipv4Addr::new(10, 0, 0, 251).into(),
        ..family.ghost(100, 10)
    };
    let mark = daemon.log().mark();
    scene.inject(higher);
    daemon.wait_change(mark, family.name(), State::Backup, within(10.0));
}

/// V3-TX-2: an owner over IPv6 has the virtual link-local address on its interface, and advertises
/// from the other one.
fn the_virtual_link_local_address_is_no_source(mode: Mode) {
    let scene = Scene::new("the_virtual_link_local_address_is_no_source");
    let lan = scene.lan.capture();
    let family = Family::V6;
    let own = scene.r1.link_local("eth0");
    // The kernel lists it before the other one.
    let vip = family.vip();
    scene.r1.ip(&format!("address add {vip}/64 dev eth0 nodad"));
    let daemon = scene.start(&scene.r1, &config(&[family.vrouter().mode(mode)]));
    daemon.wait_state(family.name(), State::Master, within(10.0));
    assert_eq!(daemon.status(family.name())["is-owner"], "true");
    let ours = advert_from(&scene.r1, VRID);
    for frame in lan.wait_count(Stamp::default(), 3, "adverts", within(5.0), &ours) {
        let advert = frame.advert().expect("an advert");
        assert_eq!(advert.source, IpAddr::from(own), "{frame:?}");
        assert_eq!(advert.priority, 255);
    }
}

/// TX-7: what is sent to the group is forwarded by nobody, neither when it comes to the group's
/// Ethernet address nor to that of the router or the virtual one.
fn the_group_is_never_forwarded(mode: Mode) {
    for family in FAMILIES {
        let scene = Scene::with_upstream("the_group_is_never_forwarded");
        let upstream = scene.server.as_ref().expect("server").capture("eth0");
        let lan = scene.lan.capture();
        let daemon = scene.start(&scene.r2, &config(&[family.vrouter().mode(mode)]));
        daemon.wait_state(family.name(), State::Master, within(10.0));
        // Before, frames to the virtual MAC go nowhere.
        lan.wait_since(Stamp::default(), "the announcement", within(5.0), |frame| {
            let of_arp = frame.arp().is_some_and(|arp| arp.announces(VIP));
            let of_nd = |nd: Nd| nd.kind == 136 && IpAddr::V6(nd.target) == family.vip();
            of_arp || frame.nd().is_some_and(of_nd)
        });
        let spec = AdvertSpec {
            mac: Some(scene.client.mac("eth0")),
            ..family.ghost(1, 100)
        };
        let start = Stamp::now();
        let injector = scene.client.injector("eth0");
        for mac in [None, Some(scene.r2.mac("eth0")), Some(family.vmac())] {
            let mut frame = spec.frame();
            if let Some(mac) = mac {
                frame[..6].copy_from_slice(&mac.0);
            }
            injector.send(&frame);
        }
        // Forwarding itself works: a packet to the server comes through behind them.
        if *family == Family::V4 {
            let through = rvrrpd_tests::probe::ping_mac(
                &lan,
                &scene.client,
                family.vmac(),
                rvrrpd_tests::scene::SERVER,
                1,
            );
            assert_eq!(through, 1);
        }
        let leaked: Vec<Frame> = upstream
            .frames_since(start)
            .into_iter()
            .filter(|frame| frame.advert().is_some())
            .collect();
        assert_eq!(leaked, [], "{family}");
    }
}
