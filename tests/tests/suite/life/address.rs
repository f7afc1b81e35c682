//! The addresses of an interface come, go and are found twice.

use std::time::Duration;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, VIP_TEXT, VRID, advert_from, converge, masters};
use rvrrpd_tests::sys::Stamp;

use super::{Kind, pair, wait_reason};

in_modes! {
    the_primary_address_comes_and_goes: macvlan, ether, ebpf;
    ownership_comes_and_goes: macvlan, ether, ebpf;
    duplicate_address_detection: macvlan, ether, ebpf;
    an_owned_address_is_a_duplicate: macvlan, ether, ebpf;
    // Ether: two virtual MACs on one interface.
    ipv6_goes_off_and_on: macvlan, ebpf;
    // Ether: two virtual MACs on one interface.
    an_interface_that_gets_ipv6_later: macvlan, ebpf;
}

/// FSM-I-4, V3-TX-2: without an address to send from a virtual router waits in Init and says
/// so, whether the address goes while it runs or comes after the daemon's start; a change of the
/// address is followed in the next advertisement.
fn the_primary_address_comes_and_goes(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("the_primary_address_comes_and_goes");
        let lan = scene.lan.capture();
        let (old, new) = if kind.ipv6 {
            let old = scene.r1.link_local("eth0");
            (format!("{old}/64"), "fe80::aa/64")
        } else {
            ("10.0.0.1/24".to_owned(), "10.0.0.9/25")
        };
        scene.r1.ip(&format!("address del {old} dev eth0"));
        let daemon = scene.start(&scene.r1, &config(&[kind.router(200)]));
        wait_reason(&daemon, 0, "no-primary-address");
        let add = |address: &str| {
            let nodad = if kind.ipv6 { "nodad" } else { "" };
            scene
                .r1
                .ip(&format!("address add {address} dev eth0 {nodad}"));
        };
        add(&old);
        daemon.wait_state(kind.name(), State::Master, within(10.0));
        let from = |address: &str, what: &str| {
            let source = rvrrpd_tests::lab::address_of(address);
            lan.wait_since(Stamp::now(), what, within(5.0), |frame| {
                frame.port == "r1" && frame.advert().is_some_and(|advert| advert.source == source)
            });
        };
        from(&old, "adverts from the address that came later");
        scene.lab.step("another address");
        let mark = daemon.log().mark();
        add(new);
        // Of an IPv6 address the kernel tells when it puts in its route, a while after it.
        let family = if kind.ipv6 { "-6" } else { "-4" };
        let added = rvrrpd_tests::lab::address_of(new).to_string();
        until("the kernel has told of it", within(5.0), || {
            let routes = scene.r1.ip(&format!("{family} route show table local"));
            routes.contains(&added).then_some(())
        });
        scene.r1.ip(&format!("address del {old} dev eth0"));
        from(new, "adverts from the other address");
        assert!(
            !daemon
                .log()
                .texts_after(mark)
                .iter()
                .any(|line| line.contains("Changed from")),
            "{kind:?}: a change of address is no change of state"
        );
        scene.lab.step("no address");
        scene.r1.ip(&format!("address del {new} dev eth0"));
        wait_reason(&daemon, mark, "no-primary-address");
        daemon.wait_state(kind.name(), State::Init, within(10.0));
        until(&format!("{kind:?}: no VIP"), within(5.0), || {
            let carriers = scene.r1.carriers_of(kind.vip());
            carriers.is_empty().then_some(())
        });
        add(&old);
        daemon.wait_state(kind.name(), State::Master, within(10.0));
        kind.wait_answers(&lan, &scene.client, &scene.r1);
        daemon.stop();
    }
}

/// FSM-I-4, FSM-I-2: an address owner is who has a virtual address on its interface now. The
/// host gets one while the daemon runs: priority 255, Master at once; it loses it: the configured
/// priority again, and the better router takes over.
fn ownership_comes_and_goes(mode: Mode) {
    for kind in Kind::of(mode) {
        let scene = kind.scene("ownership_comes_and_goes");
        let lan = scene.lan.capture();
        let (first, second) = pair(kind, &scene);
        for _ in 0..2 {
            scene
                .lab
                .step(&format!("{kind:?}: the Backup becomes owner"));
            let own = if kind.ipv6 {
                "2001:db8::100/64 dev eth0 nodad"
            } else {
                "10.0.0.100/24 dev eth0"
            };
            scene.r2.ip(&format!("address add {own}"));
            second.wait_state(kind.name(), State::Master, within(10.0));
            first.wait_state(kind.name(), State::Backup, within(10.0));
            lan.wait_since(Stamp::now(), "priority 255", within(5.0), |frame| {
                frame.port == "r2" && frame.advert().is_some_and(|advert| advert.priority == 255)
            });
            // Of an owner on a macvlan the theme of owners tells who answers, for its address is on
            // two interfaces.
            if mode != Mode::Macvlan {
                kind.wait_answers(&lan, &scene.client, &scene.r2);
            }
            scene.lab.step(&format!("{kind:?}: it is not any more"));
            scene
                .r2
                .ip(&format!("address del {}", own.trim_end_matches(" nodad")));
            second.wait_state(kind.name(), State::Backup, within(10.0));
            first.wait_state(kind.name(), State::Master, within(10.0));
            kind.wait_answers(&lan, &scene.client, &scene.r1);
        }
        first.stop();
        second.stop();
    }
}

/// FSM-I-4, ND-6: the link-local address is tentative when the daemon starts: its own reason, and
/// the router starts when duplicate address detection is over. A duplicate is another reason; it
/// ends when the address is usable again.
fn duplicate_address_detection(mode: Mode) {
    let kind = Kind::new(true, mode);
    let scene = kind.scene("duplicate_address_detection");
    let lan = scene.lan.capture();
    let address = scene.r1.link_local("eth0");
    scene.r1.sysctl("ipv6/conf/all/accept_dad", "1");
    scene.r1.sysctl("ipv6/conf/eth0/accept_dad", "1");
    scene.r1.sysctl("ipv6/conf/eth0/dad_transmits", "4");
    scene.r1.ip(&format!("address del {address}/64 dev eth0"));
    scene.r1.ip(&format!("address add {address}/64 dev eth0"));
    let daemon = scene.start(&scene.r1, &config(&[kind.router(200)]));
    wait_reason(&daemon, 0, "tentative-address");
    daemon.wait_state(kind.name(), State::Master, within(15.0));
    kind.wait_answers(&lan, &scene.client, &scene.r1);

    scene.lab.step("the address is somebody else's");
    let mark = daemon.log().mark();
    scene.r1.sysctl("ipv6/conf/eth0/dad_transmits", "1");
    scene
        .client
        .ip(&format!("address add {address}/64 dev eth0 nodad"));
    scene.r1.ip(&format!("address del {address}/64 dev eth0"));
    scene.r1.ip(&format!("address add {address}/64 dev eth0"));
    wait_reason(&daemon, mark, "duplicate-address");
    daemon.wait_state(kind.name(), State::Init, within(10.0));
    until("no VIP", within(5.0), || {
        let carriers = scene.r1.carriers_of(kind.vip());
        carriers.is_empty().then_some(())
    });
    scene.lab.step("and is not any more");
    scene
        .client
        .ip(&format!("address del {address}/64 dev eth0"));
    scene.r1.ip(&format!("address del {address}/64 dev eth0"));
    scene.r1.ip(&format!("address add {address}/64 dev eth0"));
    daemon.wait_state(kind.name(), State::Master, within(15.0));
    kind.wait_answers(&lan, &scene.client, &scene.r1);
    daemon.stop();
}

/// ND-6, FSM-I-2: the host of an owner finds the virtual address to be a duplicate, because the
/// other router serves it. On a macvlan the owner takes over all the same; on the interface itself
/// the address is dead, so the router waits, says why, and is owner once the address is usable.
fn an_owned_address_is_a_duplicate(mode: Mode) {
    let kind = Kind::new(true, mode);
    let scene = kind.scene("an_owned_address_is_a_duplicate");
    let lan = scene.lan.capture();
    let other = scene.start(&scene.r2, &config(&[kind.router(100)]));
    other.wait_state(kind.name(), State::Master, within(10.0));
    kind.wait_answers(&lan, &scene.client, &scene.r2);
    scene.r1.sysctl("ipv6/conf/eth0/accept_dad", "1");
    scene.r1.ip("address add 2001:db8::100/64 dev eth0");
    until("a duplicate", within(8.0), || {
        let shown = scene.r1.ip("-6 address show dev eth0 dadfailed");
        shown.contains("2001:db8::100").then_some(())
    });
    let owner = scene.start(&scene.r1, &config(&[kind.router(200)]));
    if mode != Mode::Macvlan {
        wait_reason(&owner, 0, "duplicate-address");
        lan.wait_count(
            Stamp::now(),
            10,
            "adverts of the other",
            within(5.0),
            advert_from(&scene.r2, VRID),
        );
        assert!(masters(&lan, VRID, Duration::from_millis(500)).contains("r2"));
        scene.r1.ip("address del 2001:db8::100/64 dev eth0");
        scene.r1.ip("address add 2001:db8::100/64 dev eth0 nodad");
    }
    owner.wait_state(kind.name(), State::Master, within(10.0));
    lan.wait_since(Stamp::now(), "priority 255", within(5.0), |frame| {
        frame.port == "r1" && frame.advert().is_some_and(|advert| advert.priority == 255)
    });
    converge(
        &lan,
        &[(VRID, &scene.r1)],
        Duration::from_millis(500),
        within(5.0),
    );
    if mode != Mode::Macvlan {
        kind.wait_answers(&lan, &scene.client, &scene.r1);
    }
    owner.stop();
    other.stop();
}

/// FSM-I-4, ND-8: the kernel takes IPv6 off an interface (`disable_ipv6`) and gives it back: the
/// IPv6 router waits meanwhile, the IPv4 one does not notice.
fn ipv6_goes_off_and_on(mode: Mode) {
    let kind = Kind::new(true, mode);
    let scene = kind.scene("ipv6_goes_off_and_on");
    let lan = scene.lan.capture();
    let ipv4 = Vrouter::new(VRID, &[VIP_TEXT]).mode(mode);
    let daemon = scene.start(&scene.r1, &config(&[kind.router(200), ipv4]));
    daemon.wait_state(kind.name(), State::Master, within(10.0));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let mark = daemon.log().mark();
    scene.r1.sysctl("ipv6/conf/eth0/disable_ipv6", "1");
    wait_reason(&daemon, mark, "no-primary-address");
    daemon.wait_state(kind.name(), State::Init, within(10.0));
    scene.r1.sysctl("ipv6/conf/eth0/disable_ipv6", "0");
    daemon.wait_state(kind.name(), State::Master, within(10.0));
    kind.wait_answers(&lan, &scene.client, &scene.r1);
    assert!(
        !daemon
            .log()
            .texts_after(mark)
            .iter()
            .any(|line| line.contains(VIP_TEXT) && line.contains("Changed from")),
        "the IPv4 router changed its state"
    );
    daemon.stop();
}

/// FSM-I-4, ND-8: an interface that is too small for IPv6 when the daemon starts: the IPv6 router
/// waits, the IPv4 one beside it runs, and does not notice that the interface grows.
fn an_interface_that_gets_ipv6_later(mode: Mode) {
    let kind = Kind::new(true, mode);
    let scene = kind.scene("an_interface_that_gets_ipv6_later");
    let lan = scene.lan.capture();
    scene.r1.ip("link set eth0 mtu 1200");
    let ipv4 = Vrouter::new(VRID, &[VIP_TEXT]).mode(mode);
    let daemon = scene.start(&scene.r1, &config(&[kind.router(200), ipv4]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    wait_reason(&daemon, 0, "no-primary-address");
    let mark = daemon.log().mark();
    scene.r1.ip("link set eth0 mtu 1500");
    daemon.wait_state(kind.name(), State::Master, within(15.0));
    kind.wait_answers(&lan, &scene.client, &scene.r1);
    assert!(
        !daemon
            .log()
            .texts_after(mark)
            .iter()
            .any(|line| line.contains(VIP_TEXT) && line.contains("to Backup")),
        "the IPv4 router began anew"
    );
    daemon.stop();
}
