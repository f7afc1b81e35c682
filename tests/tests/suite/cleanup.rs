//! What is left of the daemon in the kernel when it is gone: nothing.

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::Frame;
use rvrrpd_tests::process::Line;
use rvrrpd_tests::rvrrpd::{Files, State, Vrouter, config, program};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT, VRID, advert_from};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;

/// Configurations that between them touch everything that the daemon changes.
fn configurations() -> [(&'static str, String); 7] {
    let usual = Vrouter::new(VRID, &[VIP_TEXT, "10.0.0.101"]);
    let routes = "[{ route = \"192.168.1.0/24\", nh = \"10.0.0.50\", metric = 7 }]";
    let global = "[[protocols.static]]\nroute = \"192.168.9.0/24\"\nnh = \"10.0.0.50\"\n";
    [
        (
            "macvlan",
            config(&[
                usual.clone().macvlan(),
                Vrouter::new(8, &["10.0.0.108"]).macvlan(),
            ]),
        ),
        (
            "macvlan, no accept, routes",
            config(&[usual
                .clone()
                .macvlan()
                .key("accept_mode", false)
                .key("routes", routes)])
                + global,
        ),
        ("ether", config(&[usual.clone().key("routes", routes)])),
        (
            "ether, ioctl",
            config(&[Vrouter::new(VRID, &[VIP_TEXT]).text("netdrv", "ioctl")]),
        ),
        (
            "IPv6 beside it, no accept, router advertisements",
            config(&[
                usual.clone().macvlan(),
                Vrouter::new(VRID, &["fe80::100", "2001:db8::100"])
                    .macvlan()
                    .key("accept_mode", false)
                    .key("router_advertisement", "{ prefixes = \"2001:db8::/64\" }"),
            ]),
        ),
        (
            "ether, the virtual MAC and unicast peers",
            config(&[usual.clone().text("unicast_peers", "10.0.0.2")]),
        ),
        (
            "owner",
            config(&[Vrouter::new(VRID, &[VIP_TEXT, "10.0.0.1"]).macvlan()]),
        ),
    ]
}

/// After SIGTERM as Master the kernel is exactly as before: links, addresses, routes, rules,
/// nftables and every sysctl; also where the operator's settings are unusual.
#[test]
fn sigterm_restores_everything() {
    let scene = Scene::new("sigterm_restores_everything");
    scene.r1.sysctl("ipv4/conf/all/rp_filter", "1");
    scene.r1.sysctl("ipv4/conf/default/rp_filter", "2");
    scene.r1.sysctl("ipv4/conf/eth0/arp_announce", "1");
    scene.r1.run("nft", &["add", "table", "inet", "operator"]);
    for (name, text) in configurations() {
        scene.lab.step(name);
        let before = snapshot(&scene.r1);
        let daemon = scene.start(&scene.r1, &text);
        daemon.wait_state(NAME, State::Master, within(5.0));
        until("the VIP", within(5.0), || {
            (!scene.r1.carriers_of(VIP_TEXT.parse().unwrap()).is_empty()).then_some(())
        });
        daemon.stop();
        before.assert_same(&snapshot(&scene.r1), name);
    }
}

/// After SIGKILL as Master and a new start and SIGTERM the kernel is as before the first start;
/// and the leftovers do not make the new one an owner.
#[test]
fn sigkill_and_a_new_start_restore_everything() {
    let scene = Scene::new("sigkill_and_a_new_start_restore_everything");
    let lan = scene.lan.capture();
    for (name, text) in configurations() {
        scene.lab.step(name);
        let before = snapshot(&scene.r1);
        let mut daemon = scene.start(&scene.r1, &text);
        daemon.wait_state(NAME, State::Master, within(5.0));
        until("the VIP", within(5.0), || {
            (!scene.r1.carriers_of(VIP_TEXT.parse().unwrap()).is_empty()).then_some(())
        });
        daemon.sigkill();
        assert!(
            !before.diff(&snapshot(&scene.r1)).is_empty(),
            "{name}: SIGKILL left nothing?"
        );
        let start = Stamp::now();
        let daemon = scene.start(&scene.r1, &text);
        daemon.wait_state(NAME, State::Master, within(5.0));
        let first = lan.wait_since(
            start,
            "an advert",
            within(5.0),
            advert_from(&scene.r1, VRID),
        );
        let priority = if name == "owner" { 255 } else { 100 };
        assert_eq!(
            first.advert().map(|a| a.priority),
            Some(priority),
            "{name}: taken for an owner"
        );
        daemon.stop();
        before.assert_same(&snapshot(&scene.r1), name);
    }
}

/// After SIGKILL a start with another configuration removes what the old one left.
#[test]
fn sigkill_and_another_configuration() {
    let scene = Scene::new("sigkill_and_another_configuration");
    let before = snapshot(&scene.r1);
    let [(_, first), (_, second), ..] = configurations();
    let mut daemon = scene.start(&scene.r1, &first);
    daemon.wait_state("eth0-8", State::Master, within(5.0));
    daemon.sigkill();
    let daemon = scene.start(&scene.r1, &second);
    daemon.wait_state(NAME, State::Master, within(5.0));
    until("the old router's address is gone", within(5.0), || {
        scene
            .r1
            .carriers_of("10.0.0.108".parse().unwrap())
            .is_empty()
            .then_some(())
    });
    daemon.stop();
    before.assert_same(&snapshot(&scene.r1), "after the stop");
}

/// An interface that is renamed keeps what is ours under another name: SIGKILL and a new start take
/// it back there.
#[test]
fn sigkill_after_a_rename() {
    let scene = Scene::new("sigkill_after_a_rename");
    let before = snapshot(&scene.r1);
    for iftype in ["macvlan", "ether"] {
        scene.lab.step(iftype);
        let text = config(&[Vrouter::new(VRID, &[VIP_TEXT]).text("iftype", iftype)]);
        let mut daemon = scene.start(&scene.r1, &text);
        daemon.wait_state(NAME, State::Master, within(5.0));
        let mark = daemon.log().mark();
        scene.r1.ip("link set eth0 name other0");
        daemon.wait_change(mark, NAME, State::Init, within(5.0));
        until("the VIP is gone", within(5.0), || {
            let there = scene.r1.carriers_of(VIP_TEXT.parse().unwrap());
            there.is_empty().then_some(())
        });
        daemon.sigkill();
        let daemon = scene.start(&scene.r1, "");
        let started = |line: &Line| line.text.contains("daemon started").then_some(());
        daemon.log().wait_after(0, "start", within(5.0), started);
        daemon.stop();
        scene.r1.ip("link set other0 name eth0");
        before.assert_same(&snapshot(&scene.r1), iftype);
    }
}

/// What an operator made is not ours: a link with the name that the macvlan would get stays, and
/// so does everything else, whether or not the router can run.
#[test]
fn a_foreign_link_is_left_alone() {
    let scene = Scene::new("a_foreign_link_is_left_alone");
    scene.r1.ip("link add standby7 type bridge");
    scene.r1.ip("address add 10.7.0.1/24 dev standby7");
    scene
        .r1
        .ip("link add link eth0 name mine address 00:00:5e:00:01:63 type macvlan mode bridge");
    let before = snapshot(&scene.r1);
    let text = config(&[
        Vrouter::new(VRID, &[VIP_TEXT])
            .macvlan()
            .text("vifname", "standby7"),
        Vrouter::new(8, &["10.0.0.108"]).macvlan(),
    ]);
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state("eth0-8", State::Master, within(5.0));
    let told = |text: &str| text.contains("standby7");
    until("the log names the link", within(5.0), || {
        daemon
            .log()
            .lines()
            .iter()
            .any(|line| told(&line.text))
            .then_some(())
    });
    daemon.stop();
    before.assert_same(&snapshot(&scene.r1), "after the stop");
}

/// contract §2.1 `run_dir`: one daemon holds it; a second one names its process and stops without
/// touching anything.
#[test]
fn a_second_daemon_is_refused() {
    let scene = Scene::new("a_second_daemon_is_refused");
    let lan = scene.lan.capture();
    let text = config(&[Vrouter::new(VRID, &[VIP_TEXT]).macvlan()]);
    let mut daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Master, within(5.0));
    let during = snapshot(&scene.r1).without(&["operstate"]);
    let start = Stamp::now();
    let config_path = Files::of(&scene.lab, &scene.r1)
        .config
        .display()
        .to_string();
    assert!(program().exists());
    let (code, out, err) = rvrrpd_tests::rvrrpd::run(&scene.r1, &["-m", "1", "-c", &config_path]);
    let said = [out, err].concat().join("\n");
    assert!(matches!(code, Some(1 | 2)), "exit code {code:?}: {said}");
    assert!(
        said.contains(&daemon.pid().to_string()),
        "names process {}: {said}",
        daemon.pid()
    );
    during.assert_same(
        &snapshot(&scene.r1).without(&["operstate"]),
        "the second daemon",
    );
    assert!(daemon.runs());
    let resigned = |frame: &Frame| frame.advert().is_some_and(|advert| advert.priority == 0);
    assert!(!lan.frames_since(start).iter().any(resigned));
    daemon.stop();
}
