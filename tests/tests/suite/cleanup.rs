//! What is left of the daemon in the kernel when it is gone: nothing.

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::Frame;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::process::Line;
use rvrrpd_tests::rvrrpd::{Files, State, Vrouter, config, program};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VIP_TEXT, VRID, advert_from};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;

in_modes! {
    sigterm_restores_everything: macvlan, ether, ebpf;
    sigkill_and_a_new_start_restore_everything: macvlan, ether, ebpf;
    // Ether: two virtual MACs on one interface.
    sigkill_and_another_configuration: macvlan, ebpf;
    sigkill_after_a_rename: macvlan, ether, ebpf;
}

/// Configurations that between them touch everything that the daemon changes in this mode; where
/// it is not ether, the first has a router `eth0-8`, the second none.
fn configurations(mode: Mode) -> Vec<(&'static str, String)> {
    let usual = Vrouter::new(VRID, &[VIP_TEXT, "10.0.0.101"]).mode(mode);
    let routes = "[{ route = \"192.168.1.0/24\", nh = \"10.0.0.50\", metric = 7 }]";
    let global = "[[protocols.static]]\nroute = \"192.168.9.0/24\"\nnh = \"10.0.0.50\"\n";
    let peers = usual.clone().text("unicast_peers", "10.0.0.2");
    if mode == Mode::Ether {
        let ioctl = Vrouter::new(VRID, &[VIP_TEXT]).text("netdrv", "ioctl");
        return vec![
            ("routes", config(&[usual.key("routes", routes)])),
            ("ioctl", config(&[ioctl])),
            ("the virtual MAC and unicast peers", config(&[peers])),
        ];
    }
    let other = Vrouter::new(8, &["10.0.0.108"]).mode(mode);
    let ipv6 = Vrouter::new(VRID, &["fe80::100", "2001:db8::100"])
        .mode(mode)
        .key("accept_mode", false)
        .key("router_advertisement", "{ prefixes = \"2001:db8::/64\" }");
    let no_accept = usual.clone().key("accept_mode", false);
    let no_accept = config(&[no_accept.key("routes", routes)]) + global;
    vec![
        ("two routers", config(&[usual.clone(), other])),
        ("no accept, routes", no_accept),
        (
            "IPv6 beside it, no accept, router advertisements",
            config(&[usual, ipv6]),
        ),
        (
            "owner",
            config(&[Vrouter::new(VRID, &[VIP_TEXT, "10.0.0.1"]).mode(mode)]),
        ),
        ("unicast peers", config(&[peers])),
    ]
}

/// Waits until the Master has done all that it does to the kernel first.
fn wait_done(lan: &Capture, start: Stamp) {
    lan.wait_since(start, "the announcement", within(5.0), |frame| {
        frame.arp().is_some_and(|arp| arp.announces(VIP))
    });
}

/// After SIGTERM as Master the kernel is exactly as before: links, addresses, routes, rules,
/// nftables and every sysctl; also where the operator's settings are unusual.
fn sigterm_restores_everything(mode: Mode) {
    let scene = Scene::new("sigterm_restores_everything");
    let lan = scene.lan.capture();
    scene.r1.sysctl("ipv4/conf/all/rp_filter", "1");
    scene.r1.sysctl("ipv4/conf/default/rp_filter", "2");
    scene.r1.sysctl("ipv4/conf/eth0/arp_announce", "1");
    scene.r1.run("nft", &["add", "table", "inet", "operator"]);
    for (name, text) in configurations(mode) {
        scene.lab.step(name);
        let (before, start) = (snapshot(&scene.r1), Stamp::now());
        let daemon = scene.start(&scene.r1, &text);
        daemon.wait_state(NAME, State::Master, within(10.0));
        wait_done(&lan, start);
        daemon.stop();
        before.assert_same(&snapshot(&scene.r1), name);
    }
}

/// After SIGKILL as Master and a new start and SIGTERM the kernel is as before the first start;
/// and the leftovers do not make the new one an owner.
fn sigkill_and_a_new_start_restore_everything(mode: Mode) {
    let scene = Scene::new("sigkill_and_a_new_start_restore_everything");
    let lan = scene.lan.capture();
    for (name, text) in configurations(mode) {
        scene.lab.step(name);
        let (before, start) = (snapshot(&scene.r1), Stamp::now());
        let mut daemon = scene.start(&scene.r1, &text);
        daemon.wait_state(NAME, State::Master, within(10.0));
        wait_done(&lan, start);
        daemon.sigkill();
        assert!(
            !before.diff(&snapshot(&scene.r1)).is_empty(),
            "{name}: SIGKILL left nothing?"
        );
        let start = Stamp::now();
        let daemon = scene.start(&scene.r1, &text);
        daemon.wait_state(NAME, State::Master, within(10.0));
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
fn sigkill_and_another_configuration(mode: Mode) {
    let scene = Scene::new("sigkill_and_another_configuration");
    let before = snapshot(&scene.r1);
    let configurations = configurations(mode);
    let [(_, first), (_, second), ..] = &configurations[..] else {
        panic!("two configurations")
    };
    let mut daemon = scene.start(&scene.r1, first);
    daemon.wait_state("eth0-8", State::Master, within(10.0));
    daemon.sigkill();
    let daemon = scene.start(&scene.r1, second);
    daemon.wait_state(NAME, State::Master, within(10.0));
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
fn sigkill_after_a_rename(mode: Mode) {
    let scene = Scene::new("sigkill_after_a_rename");
    let before = snapshot(&scene.r1);
    let text = config(&[Vrouter::new(VRID, &[VIP_TEXT]).mode(mode)]);
    let mut daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Master, within(10.0));
    scene.r1.wait_until_carried(VIP.into());
    let mark = daemon.log().mark();
    scene.r1.ip("link set eth0 name other0");
    daemon.wait_change(mark, NAME, State::Init, within(10.0));
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
    before.assert_same(&snapshot(&scene.r1), "after the stop");
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
    daemon.wait_state("eth0-8", State::Master, within(10.0));
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
    daemon.wait_state(NAME, State::Master, within(10.0));
    scene.r1.wait_until_carried(VIP.into());
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
