//! Switches and modes (contract §1).

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::{AdvertSpec, Sum};
use rvrrpd_tests::process::Process;
use rvrrpd_tests::rvrrpd::{self, Vrouter, config, run};
use rvrrpd_tests::scene::{Scene, VIP, VIP_TEXT, VRID, advert_from};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::{self, Stamp};
use serde_json::{Value, json};

/// `-V` and `-h` succeed; without arguments, with unknown ones or wrong values there is a usage or
/// a message, exit code 1, and never a panic.
#[test]
fn switches() {
    let scene = Scene::new("switches");
    for arguments in [["-V"], ["--version"], ["-h"], ["--help"]] {
        let (code, out, _) = run(&scene.r1, &arguments);
        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(!out.is_empty(), "{arguments:?} says nothing on stdout");
    }
    let wrong: [&[&str]; 8] = [
        &[],
        &["--nonsense"],
        &["-m", "7"],
        &["-m", "x"],
        &["-m", "0"],
        &["-m", "1", "-d", "9"],
        &["-m", "1", "-g", "yaml"],
        &["-m", "1", "-c", "/nonexistent/rvrrpd.conf"],
    ];
    for arguments in wrong {
        let (code, out, err) = run(&scene.r1, arguments);
        let said = [out, err].concat().join("\n");
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(
            !said.trim().is_empty() && !said.contains("panicked"),
            "{arguments:?}: {said}"
        );
    }
    let (_, _, err) = run(&scene.r1, &["-m", "1", "-c", "/nonexistent/rvrrpd.conf"]);
    assert!(
        err.join("\n").contains("/nonexistent/rvrrpd.conf"),
        "{err:?}"
    );
}

/// `-m1`, `-m 1`, `--mode 1` and `--mode=1` are the same.
#[test]
fn forms_of_the_mode_switch() {
    let scene = Scene::new("forms_of_the_mode_switch");
    let files = rvrrpd::Files::of(&scene.lab, &scene.r1);
    files.write(&config(&[Vrouter::new(VRID, &[VIP_TEXT]).macvlan()]));
    let path = files.config.display().to_string();
    let forms: [&[&str]; 4] = [&["-m1"], &["-m", "1"], &["--mode", "1"], &["--mode=1"]];
    for form in forms {
        let mut command = rvrrpd::command_on(&scene.r1);
        command.args(form).args(["--conf", &path]);
        let daemon = rvrrpd::Rvrrpd::start_command(&scene.r1, files.clone(), command);
        daemon.wait_change(0, "eth0-7", rvrrpd::State::Backup, within(10.0));
        daemon.stop();
    }
}

/// `-t` says nothing bad about a good configuration and touches nothing.
#[test]
fn check_touches_nothing() {
    let scene = Scene::new("check_touches_nothing");
    let path = scene.lab.dir().join("good.conf");
    std::fs::write(&path, config(&[Vrouter::new(VRID, &[VIP_TEXT]).macvlan()])).unwrap();
    let before = snapshot(&scene.r1);
    let (code, out, err) = run(&scene.r1, &["-t", "-c", &path.display().to_string()]);
    assert_eq!(code, Some(0), "{out:?} {err:?}");
    before.assert_same(&snapshot(&scene.r1), "rvrrpd -t");
}

/// Who is not root is told what is missing, and where.
#[test]
fn without_rights() {
    let scene = Scene::new("without_rights");
    // Somebody who may not come to the directory of the build runs a copy.
    let copy = std::env::temp_dir().join(format!("rvrrpd-{}", std::process::id()));
    // Not by this process: what others of its tests start at this moment would hold the copy open
    // for writing, and nobody runs such a file.
    let copied = std::process::Command::new("cp")
        .arg(rvrrpd::program())
        .arg(&copy)
        .status();
    assert!(copied.unwrap().success());
    let conf = std::env::temp_dir().join(format!("rvrrpd-{}.conf", std::process::id()));
    std::fs::write(&conf, "vrouter = []\n").unwrap();
    let path = conf.display().to_string();
    let run = |arguments: &[&str]| {
        let mut command = scene.r1.command("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        let output = command.arg(&copy).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    };
    let sniffer = run(&["-m0", "-i", "eth0"]);
    let nobody = run(&["-m0", "-i", "nope"]);
    let daemon = run(&["-m1", "-c", &path]);
    for file in [&copy, &conf] {
        std::fs::remove_file(file).unwrap();
    }
    let (code, text) = sniffer;
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.starts_with("eth0: cannot listen without root or CAP_NET_RAW: "),
        "{text}"
    );
    assert_eq!(nobody.1.matches("nope").count(), 1, "{nobody:?}");
    let (code, text) = daemon;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.starts_with("/run/rvrrpd: "), "{text}");
    let says_why = text.contains("needs root") || text.contains("belongs to user 0");
    assert!(says_why, "{text}");
}

/// The default directory of a network namespace goes with an orderly stop.
#[test]
fn the_default_run_dir_goes_with_the_daemon() {
    let scene = Scene::new("the_default_run_dir_goes_with_the_daemon");
    let inode = scene
        .r1
        .inside(|| std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino());
    let run_dir = PathBuf::from(format!("/run/rvrrpd/net-{inode}"));
    let path = scene.lab.dir().join("own.conf");
    let vrouter = Vrouter::new(VRID, &[VIP_TEXT]).macvlan();
    std::fs::write(&path, config(&[vrouter])).unwrap();
    let mut command = rvrrpd::command_on(&scene.r1);
    command.args(["-m1", "-c", &path.display().to_string()]);
    let files = rvrrpd::Files::of(&scene.lab, &scene.r1);
    let daemon = rvrrpd::Rvrrpd::start_command(&scene.r1, files, command);
    daemon.wait_state("eth0-7", rvrrpd::State::Master, within(10.0));
    assert!(run_dir.join("journal.json").exists());
    daemon.stop();
    assert!(!run_dir.exists());
}

/// A change of state can be read from the fields of a line of JSON, without its words.
#[test]
fn changes_of_state_are_fields_for_programs() {
    let scene = Scene::new("changes_of_state_are_fields_for_programs");
    let text = config(&[Vrouter::new(VRID, &[VIP_TEXT]).macvlan()]);
    let text = format!("log_format = \"json\"\n{text}");
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state("eth0-7", rvrrpd::State::Master, within(10.0));
    let lines = daemon.log().texts_after(0);
    daemon.stop();
    let fields: Vec<Value> = lines
        .iter()
        .filter(|line| line.contains("Changed from"))
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].take())
        .collect();
    let master = json!({
        "name": "eth0-7", "group": VRID, "interface": "eth0",
        "from": "Backup", "to": "Master", "cause": "master-timeout",
    });
    assert!(fields.contains(&master), "{fields:#?}");
}

/// Mode 2: the caller returns, the PID file holds the process, the log files are written with mode
/// 0640, SIGUSR1 opens them again, SIGTERM removes the PID file.
#[test]
fn daemon_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new("daemon_mode");
    let lan = scene.lan.capture();
    let before = snapshot(&scene.r1);
    let path = |name: &str| scene.lab.dir().join(name);
    let text = format!(
        "pid = {:?}\nworking_dir = {:?}\nmain_log = {:?}\nerror_log = {:?}\nrun_dir = {:?}\n{}",
        path("d.pid").display().to_string(),
        scene.lab.dir().display().to_string(),
        path("d.log").display().to_string(),
        path("d-error.log").display().to_string(),
        path("d-run").display().to_string(),
        config(&[Vrouter::new(VRID, &[VIP_TEXT]).macvlan()])
    );
    std::fs::write(path("d.conf"), text).unwrap();
    let start = Stamp::now();
    let (code, out, err) = run(
        &scene.r1,
        &["-m", "2", "-c", &path("d.conf").display().to_string()],
    );
    assert_eq!(code, Some(0), "{out:?} {err:?}");
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap_or_default();
    let pid: u32 = until("the PID file", within(5.0), || {
        read("d.pid").trim().parse().ok()
    });
    lan.wait_since(
        start,
        "its advert",
        within(8.0),
        advert_from(&scene.r1, VRID),
    );
    until("the log tells of Master", within(5.0), || {
        read("d.log").contains("to Master").then_some(())
    });
    let mode = std::fs::metadata(path("d.log"))
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o640, "mode of the log: {mode:o}");
    std::fs::rename(path("d.log"), path("d.log.1")).unwrap();
    sys::kill(pid, libc::SIGUSR1).unwrap();
    until("the log is opened again", within(5.0), || {
        path("d.log").exists().then_some(())
    });
    sys::kill(pid, libc::SIGTERM).unwrap();
    until("the process ends", within(5.0), || {
        (!PathBuf::from(format!("/proc/{pid}")).exists()).then_some(())
    });
    assert!(!path("d.pid").exists(), "the PID file is removed");
    before.assert_same(&snapshot(&scene.r1), "after the stop");
}

/// Mode 0 decodes what passes, versions 2 and 3, and stops at once on SIGINT.
#[test]
fn sniffer_mode() {
    let scene = Scene::new("sniffer_mode");
    let mut command = rvrrpd::command_on(&scene.r1);
    command.args(["-m", "0", "-i", "eth0"]);
    let mut sniffer = Process::start("rvrrpd -m 0", command);
    let source = Ipv4Addr::new(10, 0, 0, 200);
    let v2 = AdvertSpec::v2(42, 123, 1, source, &[VIP]);
    let v3 = AdvertSpec {
        sum: Sum::PseudoHeader,
        ..AdvertSpec::v3(43, 99, 250, source, &[VIP])
    };
    let text = || -> String {
        sniffer
            .log()
            .lines()
            .into_iter()
            .map(|line| line.text + "\n")
            .collect()
    };
    // It may need a moment until it listens: the frames are sent until they are seen.
    until("both adverts are shown", within(5.0), || {
        scene.inject(v2.clone());
        scene.inject(v3.clone());
        let shown = text();
        let parts = [
            "VRRPv2",
            "VRRPv3",
            "Virtual Router ID: 42",
            "Virtual Router ID: 43",
            "Priority: 123",
            "Priority: 99",
            VIP_TEXT,
        ];
        parts.iter().all(|part| shown.contains(part)).then_some(())
    });
    sniffer.signal(libc::SIGINT);
    let status = sniffer.wait_exit(within(1.0));
    assert_eq!(status.code(), Some(0), "{status}");
}
