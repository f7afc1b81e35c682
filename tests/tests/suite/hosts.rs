//! What hosts of the LAN come to believe: a virtual address is at its virtual MAC and nowhere else,
//! whoever asks whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::frame::{Frame, Mac};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::process::Line;
use rvrrpd_tests::rvrrpd::{Files, State, Vrouter, config, run};
use rvrrpd_tests::scene::{Scene, VRID};
use rvrrpd_tests::sys::Stamp;

in_modes! {
    a_master_is_never_at_a_physical_mac: macvlan, ether, ebpf;
    an_owner_is_never_at_a_physical_mac: macvlan, ether, ebpf;
    forty_addresses: macvlan, ether, ebpf;
    an_owner_in_init_leaves_the_host_its_address: macvlan, ether, ebpf;
}

/// The usual scene with IPv6 addresses too.
fn scene(test: &str) -> Scene {
    let scene = Scene::new(test);
    for (host, number) in [(&scene.r1, 1), (&scene.r2, 2), (&scene.client, 0x50)] {
        host.ip(&format!(
            "address add 2001:db8::{number:x}/64 dev eth0 nodad"
        ));
    }
    scene
}

/// The client's address.
fn client(family: Family) -> &'static str {
    match family {
        Family::V4 => "10.0.0.50",
        Family::V6 => "2001:db8::50",
    }
}

/// Every statement on the wire that `address` is at some other MAC than `mac`.
fn lies(frames: &[Frame], address: IpAddr, mac: Mac) -> Vec<Frame> {
    let is_lie = |frame: &&Frame| match address {
        IpAddr::V4(address) => frame
            .arp()
            .is_some_and(|arp| arp.sender == address && arp.sender_mac != mac),
        IpAddr::V6(address) => frame.nd().is_some_and(|nd| {
            let says = match nd.kind {
                135 => nd.source == IpAddr::V6(address),
                136 => nd.target == address,
                _ => false,
            };
            says && nd.link_layer.is_some_and(|other| other != mac)
        }),
    };
    frames.iter().filter(is_lie).cloned().collect()
}

/// How the router comes to the address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    /// It is on the interface.
    Owner,
    /// It is virtual.
    Master,
}

/// The Master resolves, pings from the virtual address, is pinged and asked; then the client's
/// neighbour entry is the virtual MAC, and nothing on the wire ever said anything else.
fn never_a_physical_mac(family: Family, mode: Mode, role: Role) {
    let what = format!("{family} {role:?}");
    let scene = scene("never_a_physical_mac");
    let lan = scene.lan.capture();
    let (vips, address): (Vec<&str>, IpAddr) = match (family, role) {
        (Family::V4, Role::Owner) => (vec!["10.0.0.1"], scene.r1.address("eth0").into()),
        (Family::V4, Role::Master) => (vec!["10.0.0.100"], family.vip()),
        (Family::V6, Role::Owner) => {
            scene.r1.ip("address add fe80::100/64 dev eth0 nodad");
            let owned = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
            (vec!["fe80::100", "2001:db8::1"], owned.into())
        }
        (Family::V6, Role::Master) => {
            let global = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
            (vec!["fe80::100", "2001:db8::100"], global.into())
        }
    };
    let start = Stamp::now();
    let vrouter = Vrouter::new(VRID, &vips).mode(mode);
    let daemon = scene.start(&scene.r1, &config(&[vrouter]));
    daemon.wait_state(family.name(), State::Master, within(10.0));
    // An owner's address is on the interface before it is Master.
    until("the Master has taken up its duties", within(5.0), || {
        let carriers = scene.r1.carriers_of(address);
        let taken_up = match mode {
            Mode::Macvlan => carriers.iter().any(|name| name.starts_with("standby")),
            Mode::Ebpf | Mode::EbpfNoAccept => lan.frames_since(start).iter().any(|frame| {
                frame.source() == family.vmac() && (frame.arp().is_some() || frame.nd().is_some())
            }),
            Mode::Ether => !carriers.is_empty() && scene.r1.mac("eth0") == family.vmac(),
        };
        taken_up.then_some(())
    });
    let option = match family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    };
    let ping = |host: &Host, arguments: &[&str]| {
        let common = [option, "-c", "2", "-i", "0.2", "-W", "5"];
        host.run("ping", &[&common, arguments].concat());
    };
    let address_text = address.to_string();
    // The Master asks first: from a fresh cache, in the name of the virtual address.
    scene.r1.ip(&format!("{option} neigh flush dev eth0"));
    ping(&scene.r1, &["-I", &address_text, client(family)]);
    // By itself, too.
    scene.r1.ip(&format!("{option} neigh flush dev eth0"));
    ping(&scene.r1, &[client(family)]);
    // The client asks.
    scene.client.ip(&format!("{option} neigh flush dev eth0"));
    ping(&scene.client, &[&address_text]);
    let entry = until("the client knows the address", within(5.0), || {
        scene.client.neighbour(address)
    });
    assert_eq!(entry, family.vmac(), "{what}: the client's neighbour entry");
    let frames = lan.frames_since(start);
    assert_eq!(lies(&frames, address, family.vmac()), [], "{what}");
    daemon.stop();
}

/// ARP-1, ARP-4, ND-1, ND-2: of a Master that is not the owner.
fn a_master_is_never_at_a_physical_mac(mode: Mode) {
    for family in FAMILIES {
        never_a_physical_mac(*family, mode, Role::Master);
    }
}

/// ARP-1, ARP-4, ND-1, ND-2: of an owner, whose address is on the interface in every mode.
fn an_owner_is_never_at_a_physical_mac(mode: Mode) {
    for family in FAMILIES {
        never_a_physical_mac(*family, mode, Role::Owner);
    }
}

/// TX-10, ARP-3, ND-3: forty addresses in one router: all are advertised, announced by whoever takes
/// over, and answered with the virtual MAC; more than fit the message are refused by number.
fn forty_addresses(mode: Mode) {
    for family in FAMILIES {
        let scene = scene("forty_addresses");
        let lan = scene.lan.capture();
        let vips: Vec<IpAddr> = (0..40_u16)
            .map(|number| match family {
                Family::V4 => Ipv4Addr::new(10, 0, 0, 100 + number as u8).into(),
                Family::V6 if number == 0 => family.vip(),
                Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, number).into(),
            })
            .collect();
        let text: Vec<String> = vips.iter().map(IpAddr::to_string).collect();
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let router = |priority| {
            let vrouter = Vrouter::new(VRID, &text).mode(mode).priority(priority);
            config(&[vrouter])
        };
        let mut first = scene.start(&scene.r1, &router(200));
        first.wait_state(family.name(), State::Master, within(10.0));
        let second = scene.start(&scene.r2, &router(100));
        second.wait_state(family.name(), State::Backup, within(10.0));
        let advert = lan.wait_since(Stamp::now(), "an advert", within(5.0), |frame| {
            frame.port == "r1" && frame.is_advert_of(VRID)
        });
        let advert = advert.advert().expect("an advert");
        assert_eq!(advert.addresses, vips, "{family}");
        let killed = Stamp::now();
        first.sigkill();
        let macs = Family::vmac(*family);
        let announces = |frame: &Frame, vip: &IpAddr| match vip {
            IpAddr::V4(vip) => frame.arp().is_some_and(|arp| arp.announces(*vip)),
            IpAddr::V6(vip) => frame.nd().is_some_and(|nd| {
                nd.kind == 136 && nd.target == *vip && nd.link_layer == Some(macs)
            }),
        };
        for vip in &vips {
            lan.wait_since(
                killed,
                &format!("{vip} is announced"),
                within(5.0),
                |frame| frame.port == "r2" && announces(frame, vip),
            );
        }
        for vip in &vips {
            let zone = if family.vip() == *vip && *family == Family::V6 {
                "%eth0"
            } else {
                ""
            };
            let address = format!("{vip}{zone}");
            scene.client.run("ping", &["-c", "1", "-W", "5", &address]);
            assert_eq!(scene.client.neighbour(*vip), Some(macs), "{vip}");
        }
    }
    let scene = scene("forty_addresses");
    let many: Vec<String> = (0..255)
        .map(|number| format!("fe80::1:{number:x}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let files = Files::of(&scene.lab, &scene.r1);
    files.write(&config(&[Vrouter::new(VRID, &many).mode(mode)]));
    let path = files.config.display().to_string();
    let (code, _, errors) = run(&scene.r1, &["-t", "-c", &path]);
    assert_eq!(code, Some(1));
    let named = errors.iter().any(|line| line.contains("at most 90"));
    assert!(named, "{errors:?}");
}

/// FSM-A-5: `accept_mode = false` of a link-local address on one interface is no business of the
/// same address on another one.
#[test]
fn a_refused_link_local_address_is_refused_on_its_interface() {
    let scene = scene("a_refused_link_local_address_is_refused_on_its_interface");
    let other = scene.lab.lan("other");
    scene
        .lab
        .attach(&other, &scene.r1, "eth1", &["10.2.0.1/24"]);
    let neighbour = scene.lab.host_on(&other, "neighbour", &["10.2.0.50/24"]);
    scene.r1.ip("address add fe80::100/64 dev eth1 nodad");
    let vrouter = Vrouter::new(VRID, &["fe80::100", "2001:db8::100"])
        .macvlan()
        .key("accept_mode", false);
    let daemon = scene.start(&scene.r1, &config(&[vrouter]));
    daemon.wait_state(Family::V6.name(), State::Master, within(10.0));
    let answers = |host: &Host, count: &str| {
        let mut command = host.command("ping");
        command.args(["-6", "-c", count, "-i", "0.2", "-W", "1", "fe80::100%eth0"]);
        command.output().expect("ping").status.success()
    };
    until("the client resolves it", within(5.0), || {
        answers(&scene.client, "1");
        scene.client.neighbour(Family::V6.vip())
    });
    assert!(!answers(&scene.client, "3"), "refused");
    assert!(answers(&neighbour, "3"), "the other interface accepts");
    // A macvlan that is made again is another interface with the same duty.
    let vif = scene.r1.carriers_of(Family::V6.vip());
    let vif = vif.iter().find(|name| *name != "eth1").expect("a macvlan");
    scene.r1.ip(&format!("link del {vif}"));
    until("it is made again", within(10.0), || {
        (scene.r1.carriers_of(Family::V6.vip()).len() == 2).then_some(())
    });
    assert!(!answers(&scene.client, "3"), "refused again");
    assert!(
        answers(&neighbour, "3"),
        "the other interface still accepts"
    );
    drop(daemon);
}

/// A router that is switched off takes nothing from its host: an address that the host has itself
/// is reached as if there were no router; also when its macvlan cannot be made.
fn an_owner_in_init_leaves_the_host_its_address(mode: Mode) {
    let scene = scene("an_owner_in_init_leaves_the_host_its_address");
    scene.r1.ip("link add taken0 type bridge");
    for family in FAMILIES {
        let own = match family {
            Family::V4 => scene.r1.address("eth0").to_string(),
            Family::V6 => "2001:db8::1".to_owned(),
        };
        let usual = match family {
            Family::V4 => Vrouter::new(VRID, &[&own]).mode(mode),
            Family::V6 => Vrouter::new(VRID, &["fe80::100", &own]).mode(mode),
        };
        let disabled = usual.clone().key("enabled", false);
        let mut routers = vec![(disabled, "Waits in Init: disabled")];
        if mode == Mode::Macvlan {
            routers.push((usual.text("vifname", "taken0"), "Not prepared"));
        }
        for (router, why) in routers {
            scene.lab.step(&format!("{family}: {why}: {router}"));
            let daemon = scene.start(&scene.r1, &config(&[router]));
            let waits = |line: &Line| line.text.contains(why).then_some(());
            daemon.log().wait_after(0, why, within(5.0), waits);
            scene.r2.ip("neighbour flush dev eth0");
            scene.r2.run("ping", &["-c", "1", "-W", "2", &own]);
            daemon.stop();
        }
    }
}
