//! When the virtual addresses are announced and answered for (RFC 9568 §6.4, §8.1.2).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::Family;
use rvrrpd_tests::frame::{AdvertSpec, Arp, Frame, Nd};
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::probe::arping;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VMAC, VRID, advert_from};
use rvrrpd_tests::sys::Stamp;

in_modes! {
    announced_is_what_is_served: macvlan, ether, ebpf, ebpf_no_accept;
    an_owner_speaks_with_the_virtual_mac: macvlan, ether, ebpf, ebpf_no_accept;
    a_master_is_in_the_solicited_node_groups: macvlan, ether, ebpf, ebpf_no_accept;
    a_master_asks_with_the_virtual_mac: macvlan, ether, ebpf;
}

/// Time between two requests of the flood.
const PACE: Duration = Duration::from_micros(500);

/// FSM-X-2, ARP-3: a new Master announces an address only when it answers for it: of the requests
/// that come without pause each one behind the announcement is answered. Once it has yielded it
/// answers none.
fn announced_is_what_is_served(mode: Mode) {
    let scene = Scene::new("announced_is_what_is_served");
    let lan = scene.lan.capture();
    let family = Family::V4;
    let daemon = scene.start(
        &scene.r1,
        &config(&[family.vrouter().mode(mode).priority(100)]),
    );
    daemon.wait_change(0, NAME, State::Backup, within(10.0));
    scene.inject(family.ghost(200, 10));
    let request = Arp::request(scene.client.mac("eth0"), scene.client.address("eth0"), VIP);
    let injector = scene.client.injector("eth0");
    let stop = AtomicBool::new(false);
    let start = Stamp::now();
    let announces = |frame: &Frame| frame.arp().is_some_and(|arp| arp.announces(VIP));
    let announced = std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                injector.send(&request);
                std::thread::sleep(PACE);
            }
        });
        let announced = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let announced = lan.wait_since(start, "the announcement", within(8.0), announces);
            lan.wait_count(
                announced.stamp,
                200,
                "requests behind it",
                within(5.0),
                |frame| frame.bytes.starts_with(&request),
            );
            announced
        }));
        stop.store(true, Ordering::Relaxed);
        announced
    })
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let quiet = Duration::from_millis(200);
    let answers = |frame: &Frame| frame.arp().is_some_and(|arp| arp.answers(VIP));
    let replies = lan.until_quiet(announced.stamp, quiet, within(5.0), answers);
    let requests = lan
        .frames_since(announced.stamp)
        .into_iter()
        .filter(|frame| frame.bytes.starts_with(&request));
    let requests = requests.count();
    assert!(
        replies.len() >= requests,
        "{requests} requests after the announcement, {} replies",
        replies.len()
    );
    assert!(
        replies
            .iter()
            .all(|frame| frame.arp().is_some_and(|arp| arp.sender_mac == VMAC))
    );
    scene.inject(family.ghost(200, 4095));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    until("nothing answers any more", within(5.0), || {
        (arping(&lan, &scene.client, VIP, 1) == [vec![]]).then_some(())
    });
    assert_eq!(arping(&lan, &scene.client, VIP, 3), vec![vec![]; 3]);
    assert!(scene.r1.carriers_of(VIP.into()).is_empty());
}

/// ARP-4, ARP-1: an owner announces its addresses and answers for them with the virtual MAC alone,
/// from its start on. Where the interface itself carries that, its own requests do, too.
fn an_owner_speaks_with_the_virtual_mac(mode: Mode) {
    let scene = Scene::new("an_owner_speaks_with_the_virtual_mac");
    let lan = scene.lan.capture();
    let owned: Ipv4Addr = scene.r1.address("eth0");
    let start = Stamp::now();
    let vrouter = Vrouter::new(VRID, &[&owned.to_string()]).mode(mode);
    let daemon = scene.start(&scene.r1, &config(&[vrouter]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let announces = |frame: &Frame| frame.arp().is_some_and(|arp| arp.announces(owned));
    let announced = lan.wait_since(start, "the announcement", within(5.0), announces);
    let arp = announced.arp().expect("ARP");
    assert_eq!((arp.sender_mac, arp.target_mac), (VMAC, VMAC));
    assert_eq!(announced.source(), VMAC);
    for answers in arping(&lan, &scene.client, owned, 3) {
        assert_eq!(answers, [("r1".to_owned(), VMAC)]);
    }
    if mode == Mode::Ether {
        scene.r1.ip("neigh flush dev eth0");
        scene.r1.run("ping", &["-c", "1", "-W", "2", "10.0.0.50"]);
        let asks = |frame: &Frame| {
            frame
                .arp()
                .is_some_and(|arp| arp.operation == 1 && arp.target != owned)
        };
        lan.wait_since(start, "its request", within(5.0), |frame| {
            frame.port == "r1" && asks(frame)
        });
    }
    let ours = advert_from(&scene.r1, VRID);
    lan.wait_since(Stamp::now(), "adverts go on", within(5.0), ours);
    let physical: Vec<Frame> = lan
        .arps_since(start)
        .into_iter()
        .filter(|(frame, arp)| frame.port == "r1" && arp.sender == owned && arp.sender_mac != VMAC)
        .map(|(frame, _)| frame)
        .collect();
    assert_eq!(physical, []);
}

/// FSM-A-2, ND-4, ND-1: a Master is member of the solicited-node group of every virtual address, and
/// only a Master is where the kernel is so for an address; it answers solicitations to that group with the virtual MAC and the router
/// flag.
fn a_master_is_in_the_solicited_node_groups(mode: Mode) {
    let scene = Scene::new("a_master_is_in_the_solicited_node_groups");
    let family = Family::V6;
    let lan = scene.lan.capture();
    for (host, number) in [(&scene.r1, 1), (&scene.client, 0x50)] {
        host.ip(&format!(
            "address add 2001:db8::{number:x}/64 dev eth0 nodad"
        ));
    }
    let vips = ["fe80::aa:100", "2001:db8::bb:200"];
    let groups = ["ff02::1:ffaa:100", "ff02::1:ffbb:200"];
    let vrouter = Vrouter::new(VRID, &vips).mode(mode).interval(1.0);
    let daemon = scene.start(&scene.r1, &config(&[vrouter]));
    daemon.wait_state(family.name(), State::Backup, within(10.0));
    scene.inject(AdvertSpec {
        addresses: vips.map(|vip| vip.parse().expect("an address")).into(),
        ..family.ghost(200, 500)
    });
    until("the holding advert is accepted", within(5.0), || {
        (daemon.counters(family.name())["advertisement-rcvd"] == 1).then_some(())
    });
    let joined = || {
        let text = scene.r1.ip("maddress show");
        groups.map(|group| text.contains(group))
    };
    // Where the addresses are on no interface, the daemon is in the groups from the start on, so that
    // a takeover waits for no report; the program does not answer before.
    let early = !mode.accepts();
    until("the groups of a Backup", within(5.0), || {
        (joined() == [early; 2]).then_some(())
    });
    scene.inject(AdvertSpec {
        addresses: vips.map(|vip| vip.parse().expect("an address")).into(),
        ..family.ghost(0, 10)
    });
    daemon.wait_state(family.name(), State::Master, within(10.0));
    until("it joins the groups", within(5.0), || {
        (joined() == [true; 2]).then_some(())
    });
    // It answers for what it has announced.
    for vip in vips {
        lan.wait_since(Stamp::default(), "the announcement", within(5.0), |frame| {
            let nd = frame.nd();
            nd.is_some_and(|nd| nd.kind == 136 && nd.target.to_string() == vip)
        });
    }
    let start = Stamp::now();
    for vip in vips {
        let target: Ipv6Addr = vip.parse().expect("an address");
        let source = scene.client.link_local("eth0");
        let frame = Nd::solicitation(scene.client.mac("eth0"), source, target);
        scene.client.injector("eth0").send(&frame);
        let answer = lan.wait_since(start, "an answer", within(5.0), |frame| {
            let nd = frame.nd();
            nd.is_some_and(|nd| nd.kind == 136 && nd.target == target && nd.solicited)
        });
        let nd = answer.nd().expect("an advertisement");
        assert_eq!(
            (nd.link_layer, nd.router),
            (Some(family.vmac()), true),
            "{vip}"
        );
    }
}

/// ND-2: what a Master asks itself from a virtual address names the virtual MAC.
fn a_master_asks_with_the_virtual_mac(mode: Mode) {
    let scene = Scene::new("a_master_asks_with_the_virtual_mac");
    let family = Family::V6;
    let lan = scene.lan.capture();
    for (host, number) in [(&scene.r1, 1), (&scene.client, 0x50)] {
        host.ip(&format!(
            "address add 2001:db8::{number:x}/64 dev eth0 nodad"
        ));
    }
    let vips = ["fe80::aa:100", "2001:db8::bb:200"];
    let vrouter = Vrouter::new(VRID, &vips).mode(mode);
    let daemon = scene.start(&scene.r1, &config(&[vrouter]));
    daemon.wait_state(family.name(), State::Master, within(10.0));
    let global = vips[1].parse().expect("an address");
    until("the address is in", within(5.0), || {
        (!scene.r1.carriers_of(global).is_empty()).then_some(())
    });
    let start = Stamp::now();
    scene.r1.ip("-6 neigh flush dev eth0");
    // By its routes the kernel asks through the parent, from the address of that. A solicitation
    // from a virtual address would have to name the virtual MAC.
    scene.r1.run(
        "ping",
        &[
            "-6",
            "-c",
            "3",
            "-i",
            "0.2",
            "-W",
            "2",
            "-I",
            vips[1],
            "2001:db8::50",
        ],
    );
    let asked: Vec<Nd> = lan
        .frames_since(start)
        .iter()
        .filter(|frame| frame.port == "r1")
        .filter_map(Frame::nd)
        .filter(|nd| nd.kind == 135)
        .collect();
    assert!(!asked.is_empty(), "it asks for the client");
    for nd in asked {
        let is_virtual = vips.contains(&nd.source.to_string().as_str());
        assert_eq!(is_virtual, nd.link_layer == Some(family.vmac()), "{nd}");
    }
}
