//! Where eBPF does not run, `iftype = "auto"`, and what users see of the data plane.
//!
//! Modes: ebpf.

use rvrrpd_tests::bpf::{self, Dropper};
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::Family;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::in_user_namespace;
use rvrrpd_tests::mode::lacks_ebpf;
use rvrrpd_tests::process::Line;
use rvrrpd_tests::rvrrpd::{Files, Rvrrpd, State, Vrouter, config, program, run};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VIP_TEXT, VRID};

use super::{answers, router};

/// A daemon whose service manager does not give it CAP_BPF.
fn start_without_bpf(scene: &Scene, host: &Host, text: &str) -> Rvrrpd {
    let files = Files::of(&scene.lab, host);
    files.write(text);
    let mut command = host.command("setpriv");
    command
        .arg("--bounding-set=-bpf,-sys_admin")
        .arg(program())
        .args(["-m", "1", "-c"])
        .arg(&files.config);
    Rvrrpd::start_command(host, files, command)
}

fn lines(daemon: &Rvrrpd, part: &str) -> Vec<String> {
    let lines = daemon.log().lines().into_iter().map(|line| line.text);
    lines.filter(|line| line.contains(part)).collect()
}

/// Without eBPF who wants it alone waits in Init, and one line says what else there is; who takes
/// the best runs on a macvlan, and says so.
#[test]
fn without_ebpf() {
    if in_user_namespace() {
        println!("skipped: without_ebpf (the reasons are others in a user namespace)");
        return;
    }
    let scene = Scene::new("without_ebpf");
    let lan = scene.lan.capture();
    let two = |iftype| {
        [(7, "10.0.0.100"), (8, "10.0.0.108")]
            .map(|(group, vip)| Vrouter::new(group, &[vip]).iftype(iftype))
    };
    let daemon = start_without_bpf(&scene, &scene.r1, &config(&two("ebpf")));
    let started = |line: &Line| line.text.contains("daemon started").then_some(());
    daemon.log().wait_after(0, "it runs", within(8.0), started);
    for name in [NAME, "eth0-8"] {
        until("it waits in Init", within(8.0), || {
            let status = daemon.status(name);
            (status["not-ready"] == "not-prepared,no-ebpf").then_some(())
        });
    }
    let told = until("it is told", within(5.0), || {
        let told = lines(&daemon, "Not prepared");
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(told.len(), 1, "{told:#?}");
    for word in ["CAP_BPF", "macvlan", "auto"] {
        assert!(told[0].contains(word), "{}", told[0]);
    }
    // It runs where it runs: a reload is enough.
    daemon.reload(&config(&two("auto")));
    for name in [NAME, "eth0-8"] {
        daemon.wait_state(name, State::Master, within(10.0));
        assert_eq!(daemon.status(name)["data-plane"], "macvlan");
    }
    answers(&lan, &scene, Family::V4, Some(&scene.r1));
    let told = lines(&daemon, "takes macvlan");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("CAP_BPF"), "{}", told[0]);
    assert_eq!(scene.r1.carriers_of(VIP.into()), ["standby7"]);
    // The macvlan is what it asks for by name: nothing changes.
    let mark = daemon.log().mark();
    daemon.reload(&config(&two("macvlan")));
    let reloaded = |line: &Line| line.text.contains("0 replaced, 2 changed").then_some(());
    daemon
        .log()
        .wait_after(mark, "it is the same", within(5.0), reloaded);
    assert_eq!(daemon.state(NAME), Some(State::Master));
    daemon.stop();
}

/// On a kernel without tcx the gate of others at the same interface is none for who takes the best: it
/// would go on answering for a dead Master.
#[test]
fn auto_takes_no_filter_that_outlives_the_daemon() {
    let test = "auto_takes_no_filter_that_outlives_the_daemon";
    if lacks_ebpf(test) {
        return;
    }
    for other in ["macvlan", "ebpf"] {
        let scene = Scene::new(test);
        let files = Files::of(&scene.lab, &scene.r1);
        files.write(&config(&[
            Vrouter::new(7, &["10.0.0.100"]).iftype(other),
            Vrouter::new(8, &["10.0.0.108"]).iftype("auto"),
        ]));
        let mut command = scene.r1.command(program());
        command.args(["-m", "1", "-c"]).arg(&files.config);
        bpf::without_tcx(&mut command);
        let daemon = Rvrrpd::start_command(&scene.r1, files, command);
        for (name, plane) in [(NAME, other), ("eth0-8", "macvlan")] {
            daemon.wait_state(name, State::Master, within(10.0));
            assert_eq!(daemon.status(name)["data-plane"], plane, "beside {other}");
        }
        daemon.stop();
    }
}

/// With eBPF `auto` is `ebpf`; SIGUSR2, the API and the tool say so, with what `ip` does not show.
#[test]
fn auto_takes_ebpf_and_is_seen() {
    if lacks_ebpf("auto_takes_ebpf_and_is_seen") {
        return;
    }
    let scene = Scene::new("auto_takes_ebpf_and_is_seen");
    let lan = scene.lan.capture();
    let text = |iftype| {
        let vrouter = Vrouter::new(VRID, &[VIP_TEXT, "10.0.0.101"]).iftype(iftype);
        format!("[api]\nusers = []\n{}", config(&[vrouter]))
    };
    let daemon = scene.start(&scene.r1, &text("auto"));
    daemon.wait_state(NAME, State::Master, within(10.0));
    answers(&lan, &scene, Family::V4, Some(&scene.r1));
    let status = daemon.status(NAME);
    assert_eq!(status["data-plane"], "ebpf");
    assert_eq!(status["virtual-mac"], "00:00:5e:00:01:07");
    assert_eq!(status["virtual-addresses"], "10.0.0.100,10.0.0.101");
    assert_eq!(lines(&daemon, "iftype = \"auto\" takes ebpf").len(), 1);
    let shown = |arguments: &[&str]| {
        let mut command = scene.r1.command(rvrrpd_tests::rvrrpd::admin());
        let socket = daemon.files().run_dir.join("rvrrpd.sock");
        command.arg("-s").arg(socket).args(arguments);
        let output = command.output().expect("rvrrpadm");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let block = shown(&["show", NAME]);
    for word in ["ebpf", "00:00:5E:00:01:07", "10.0.0.101"] {
        assert!(block.contains(word), "{block}");
    }
    let json = shown(&["--json", "show", NAME]);
    assert!(
        json.contains("\"data_plane\": \"ebpf\"") || json.contains("\"data_plane\":\"ebpf\""),
        "{json}"
    );
    // What auto has taken may be asked for by its name.
    let mark = daemon.log().mark();
    daemon.reload(&text("ebpf"));
    let reloaded = |line: &Line| line.text.contains("0 replaced, 1 changed").then_some(());
    daemon
        .log()
        .wait_after(mark, "it is the same", within(5.0), reloaded);
    assert_eq!(daemon.state(NAME), Some(State::Master));
    answers(&lan, &scene, Family::V4, Some(&scene.r1));
    daemon.stop();
}

/// A program of somebody else before ours is named in the log, once, and seen in the status.
#[test]
fn a_program_before_ours_is_named() {
    if lacks_ebpf("a_program_before_ours_is_named") {
        return;
    }
    let scene = Scene::new("a_program_before_ours_is_named");
    let daemon = scene.start(&scene.r1, &config(&[router(Family::V4, false)]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let _dropper = Dropper::attach_before(&scene.r1, "eth0");
    let ours = bpf::programs(&scene.r1, "eth0");
    assert_eq!(ours.len(), 2);
    let found = daemon
        .log()
        .wait_after(0, "it is named", within(15.0), |line| {
            let told = line.text.contains("of somebody else sees frames before");
            told.then(|| line.text.clone())
        });
    assert!(found.contains("eth0"), "{found}");
    // It was logged before whoever answers was told.
    until("the gate's line names it", within(5.0), || {
        daemon.status("global");
        let named = lines(&daemon, "gate interface=eth0 kind=ebpf hook=tcx before=");
        (!named.is_empty()).then_some(())
    });
    let told = lines(&daemon, "of somebody else sees frames before");
    assert_eq!(told.len(), 1, "{told:#?}");
}

/// What makes no sense with `ebpf` is refused with its line and what is allowed.
#[test]
fn what_makes_no_sense_is_refused() {
    let scene = Scene::new("what_makes_no_sense_is_refused");
    let files = Files::of(&scene.lab, &scene.r1);
    let path = files.config.display().to_string();
    let check = |vrouters: &[Vrouter]| {
        files.write(&config(vrouters));
        let (code, _, errors) = run(&scene.r1, &["-t", "-c", &path]);
        (code, errors.join("\n"))
    };
    for iftype in ["ebpf", "auto"] {
        let of = || Vrouter::new(VRID, &[VIP_TEXT]).iftype(iftype);
        assert_eq!(check(&[of()]).0, Some(0));
        let (code, errors) = check(&[of().text("netdrv", "ioctl")]);
        assert_eq!(code, Some(1));
        assert!(
            errors.contains("netdrv") && errors.contains("libnl"),
            "{errors}"
        );
        let (code, errors) = check(&[of().key("virtual_mac", false)]);
        assert_eq!(code, Some(1));
        assert!(
            errors.contains("virtual_mac") && errors.contains("ether"),
            "{errors}"
        );
        let (code, errors) = check(&[of().text("vifname", "vrrp7")]);
        assert_eq!(code, Some(if iftype == "ebpf" { 1 } else { 0 }), "{errors}");
        let beside = Vrouter::new(8, &["10.0.0.108"]).iftype("ether");
        let (code, errors) = check(&[of(), beside.clone()]);
        assert_eq!(code, Some(1));
        assert!(errors.contains("iftype"), "{errors}");
        let beside = [of(), Vrouter::new(8, &["10.0.0.108"]).macvlan()];
        assert_eq!(check(&beside).0, Some(0));
    }
}
