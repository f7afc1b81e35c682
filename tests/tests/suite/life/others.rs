//! Others on the same host: routes in the place of ours, another daemon on the interface.

use std::net::IpAddr;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::process::{Line, Process};
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT, VRID};

in_modes! {
    // The tests of two daemons on one interface are about macvlans and the settings below them.
    // Slow, and the same for all: routes are those of the host.
    a_route_that_is_in_the_way: macvlan;
}

/// A route of somebody else to the same destination with the same metric hides ours: told once,
/// and ours comes when it goes; also when it comes by `ip route replace` while ours is there.
fn a_route_that_is_in_the_way(mode: Mode) {
    let scene = Scene::with_upstream("a_route_that_is_in_the_way");
    scene.r1.ip("address add 2001:db8:1::1/64 dev eth1 nodad");
    for (name, vip, route, ours, theirs, family) in [
        (
            NAME,
            VIP_TEXT,
            "192.168.1.0/24",
            "10.1.0.50",
            "10.1.0.51",
            "-4",
        ),
        (
            "eth0-7-v6",
            "fe80::100",
            "2001:db8:ff::/48",
            "2001:db8:1::50",
            "2001:db8:1::51",
            "-6",
        ),
    ] {
        scene.lab.step(route);
        let vias = || {
            let text = scene.r1.ip(&format!("{family} route show {route}"));
            let vias: Vec<String> = text
                .lines()
                .filter_map(|line| {
                    line.split_whitespace()
                        .skip_while(|word| *word != "via")
                        .nth(1)
                })
                .map(str::to_owned)
                .collect();
            vias
        };
        let foreign = format!("{family} route replace {route} via {theirs} proto static");
        scene.r1.ip(&foreign);
        let routes = format!("[{{ route = \"{route}\", nh = \"{ours}\" }}]");
        let router = Vrouter::new(VRID, &[vip]).mode(mode).key("routes", routes);
        let daemon = scene.start(&scene.r1, &config(&[router]));
        let told = || {
            let lines = daemon.log().lines();
            let told = lines
                .iter()
                .filter(|line| line.text.contains("in the way") && line.text.contains(theirs));
            told.count()
        };
        daemon.wait_state(name, State::Master, within(10.0));
        until("what is in the way", within(5.0), || {
            (told() == 1).then_some(())
        });
        assert_eq!(vias(), [theirs]);
        scene
            .r1
            .ip(&format!("{family} route del {route} via {theirs}"));
        until("ours", within(15.0), || (vias() == [ours]).then_some(()));
        assert_eq!(told(), 1, "told once");
        scene.lab.step(&format!("{route} is replaced"));
        scene.r1.ip(&foreign);
        until("what is in the way now", within(15.0), || {
            (told() == 2).then_some(())
        });
        scene
            .r1
            .ip(&format!("{family} route del {route} via {theirs}"));
        until("ours again", within(15.0), || {
            (vias() == [ours]).then_some(())
        });
        scene.r1.ip(&foreign);
        daemon.stop();
        assert_eq!(vias(), [theirs], "somebody else's stays");
    }
}

fn with_run_dir(scene: &Scene, name: &str, vrouter: Vrouter) -> Rvrrpd {
    let run_dir = scene.lab.dir().join(name);
    let text = format!(
        "run_dir = {:?}\n{}",
        run_dir.display().to_string(),
        config(&[vrouter])
    );
    scene.start(&scene.r1, &text)
}

/// ARP-1: two daemons on one interface; whichever stops first, in order or killed and started
/// again, the other one has the settings that it needs at once, and the last one leaves the
/// interface as it was.
#[test]
fn two_daemons_on_one_interface() {
    let scene = Scene::new("two_daemons_on_one_interface");
    let settings = || {
        ["arp_ignore", "arp_announce", "send_redirects"]
            .map(|setting| scene.r1.read_sysctl(&format!("ipv4/conf/eth0/{setting}")))
            .map(Option::unwrap_or_default)
    };
    let before = settings();
    let start = |group: u8| {
        let vip = format!("10.0.0.{}", 100 + group);
        let vrouter = Vrouter::new(group, &[&vip]).macvlan();
        let daemon = with_run_dir(&scene, &format!("run-{group}"), vrouter);
        daemon.wait_state(&format!("eth0-{group}"), State::Master, within(10.0));
        daemon
    };
    for first_stops in [true, false] {
        let (first, second) = (start(7), start(8));
        let set = settings();
        assert_eq!(set[..2], ["1", "2"]);
        let (stops, stays) = if first_stops {
            (first, second)
        } else {
            (second, first)
        };
        stops.stop();
        // What nobody tells of is looked at every 5 s; this must not be that.
        until("the settings again", within(2.0), || {
            (settings() == set).then_some(())
        });
        stays.stop();
        assert_eq!(settings(), before, "as they were");
    }
    scene.lab.step("one is killed");
    let (mut first, second) = (start(7), start(8));
    let set = settings();
    first.sigkill();
    let first = start(7);
    until("the settings after the start", within(2.0), || {
        (settings() == set).then_some(())
    });
    second.stop();
    until("the settings again", within(2.0), || {
        (settings() == set).then_some(())
    });
    first.stop();
    assert_eq!(settings(), before, "as they were");
}

/// A daemon leaves alone what another one that lives has in the same network namespace, also when it
/// stops or starts again after a crash; what one left that is dead it takes over, without a journal.
#[test]
fn two_daemons_with_the_same_router() {
    let scene = Scene::new("two_daemons_with_the_same_router");
    let vrouter = || Vrouter::new(VRID, &[VIP_TEXT]).macvlan();
    let mut first = with_run_dir(&scene, "run-first", vrouter());
    first.wait_state(NAME, State::Master, within(10.0));
    let carriers = || {
        let links = scene.r1.ip_json("link show type macvlan");
        let links = links.as_array().cloned().unwrap_or_default();
        links
            .iter()
            .map(|link| {
                (
                    link["ifname"].clone(),
                    link["ifindex"].clone(),
                    link["group"].clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    let before = carriers();
    assert_eq!(before.len(), 1, "{before:?}");
    let left_alone = |daemon: &Rvrrpd| {
        let text = "another rvrrpd that runs in this network namespace";
        let told = |line: &Line| line.text.contains(text).then_some(());
        daemon.log().wait_after(0, "the refusal", within(8.0), told);
        assert_eq!(carriers(), before);
        scene.client.run("ping", &["-c", "1", "-W", "2", VIP_TEXT]);
    };
    let second = with_run_dir(&scene, "run-second", vrouter());
    left_alone(&second);
    second.stop();
    assert_eq!(carriers(), before);
    let named = Vrouter::new(VRID, &[VIP_TEXT])
        .macvlan()
        .text("vifname", "other");
    let mut second = with_run_dir(&scene, "run-second", named);
    left_alone(&second);
    second.sigkill();
    let mut second = with_run_dir(&scene, "run-second", vrouter());
    left_alone(&second);
    second.sigkill();
    let second = with_run_dir(&scene, "run-second", vrouter());
    left_alone(&second);
    scene.lab.step("the first one is dead");
    first.sigkill();
    std::fs::remove_dir_all(scene.lab.dir().join("run-first")).unwrap();
    second.wait_state(NAME, State::Master, within(15.0));
    assert_eq!(carriers()[0].1, before[0].1, "the same macvlan");
    second.stop();
    assert!(carriers().is_empty());
}

/// Two daemons with addresses on the interface itself: one stops, and an address of the other one
/// still goes alone.
#[test]
fn two_daemons_with_addresses_on_one_interface() {
    let scene = Scene::new("two_daemons_with_addresses_on_one_interface");
    let plain = |group: u8, vips: &[&str]| Vrouter::new(group, vips).key("virtual_mac", false);
    let first = with_run_dir(&scene, "run-7", plain(7, &["10.0.0.107"]));
    first.wait_state("eth0-7", State::Master, within(10.0));
    let vips = ["10.20.0.1/24", "10.20.0.2/24", "10.20.0.3/24"];
    let second = with_run_dir(&scene, "run-8", plain(8, &vips));
    second.wait_state("eth0-8", State::Master, within(10.0));
    let there = |count: usize| {
        until(&format!("{count} addresses"), within(5.0), || {
            let there = scene.r1.addresses("eth0");
            let of = vips.iter().filter(|vip| {
                let vip = rvrrpd_tests::lab::address_of(vip);
                there.contains(&vip)
            });
            (of.count() == count).then_some(())
        });
    };
    there(3);
    first.stop();
    let run_dir = scene.lab.dir().join("run-8");
    let text = config(&[plain(8, &vips[1..])]);
    let mark = second.log().mark();
    second.reload(&format!(
        "run_dir = {:?}\n{text}",
        run_dir.display().to_string()
    ));
    there(2);
    let lost = second.log().texts_after(mark);
    assert!(
        !lost.iter().any(|line| line.contains("Put back: address")),
        "lost for a moment: {lost:#?}"
    );
    second.stop();
}

/// Macvlans that somebody deletes while they are made, before the daemon has seen them: it knows
/// that they are missing, tries again, and no Master is without its address.
#[test]
fn macvlans_vanish_while_they_are_made() {
    let scene = Scene::new("macvlans_vanish_while_they_are_made");
    let routers: Vec<Vrouter> = (1..=60)
        .map(|vrid| Vrouter::new(vrid, &[&format!("10.0.7.{vrid}")]).macvlan())
        .collect();
    let deletions = "timeout 4 yes 'link del standby1' | ip -force -batch - >&- 2>&-";
    let mut command = scene.r1.command("bash");
    command.args(["-c", &format!("echo begun; {deletions}")]);
    let mut deleter = Process::start("deleter", command);
    let begun = |line: &Line| (line.text == "begun").then_some(());
    deleter.log().wait_after(0, "start", within(5.0), begun);
    let daemon = scene.start(&scene.r1, &config(&routers));
    daemon.wait_state("eth0-60", State::Master, within(10.0));
    deleter.wait_exit(within(20.0));
    let vip: IpAddr = "10.0.7.1".parse().expect("an address");
    until("the address of the first one", within(15.0), || {
        let there = scene.r1.interfaces().iter().any(|name| name == "standby1");
        (there && scene.r1.addresses("standby1").contains(&vip)).then_some(())
    });
    daemon.wait_state("eth0-1", State::Master, within(10.0));
    daemon.stop();
}
