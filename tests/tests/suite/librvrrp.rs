//! The C library: a C program makes, changes, follows and deletes virtual routers of a daemon, and
//! the network, the kernel and the configuration file say what came of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config, library};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT, VRID};
use rvrrpd_tests::sys::Stamp;

/// What libvrrp returns.
const EINVAL: i32 = 1;
const ENAMEINVAL: i32 = 2;
const EVREXIST: i32 = 4;
const EINSTEXIST: i32 = 5;
const ENOROUTE: i32 = 6;
const EVRIP: i32 = 7;
const ENOINST: i32 = 8;
const ENOOPERM: i32 = 9;
const ESYS: i32 = 10;

/// A C program, compiled, with the library as `make install` lays it out beside it.
struct Program {
    directory: PathBuf,
}

impl Program {
    fn compile(directory: &Path) -> Self {
        let crate_ = Path::new(env!("CARGO_MANIFEST_DIR")).join("../librvrrp");
        symlink(library(), directory.join("librvrrp.so.1")).unwrap();
        symlink("librvrrp.so.1", directory.join("librvrrp.so")).unwrap();
        let output = Command::new("cc")
            .args(["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-pedantic"])
            .args(["-Wall", "-Wextra", "-Werror", "-o"])
            .arg(directory.join("vrrp"))
            .arg(crate_.join("examples/vrrp.c"))
            .arg("-I")
            .arg(crate_.join("include"))
            .arg("-L")
            .arg(directory)
            .arg("-lrvrrp")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Words of its command line up to the name of the program.
    fn words(&self) -> Vec<String> {
        let of = |path: &Path| path.display().to_string();
        vec![
            "env".to_owned(),
            format!("LD_LIBRARY_PATH={}", of(&self.directory)),
            of(&self.directory.join("vrrp")),
        ]
    }

    fn command(&self, daemon: &Rvrrpd, prefix: &[&str], line: &str) -> Command {
        let mut words: Vec<String> = prefix.iter().map(|word| (*word).to_owned()).collect();
        words.extend(self.words());
        let mut words = words.iter();
        let mut command = daemon.host().command(words.next().unwrap());
        command.args(words).arg(socket(daemon));
        command.args(line.split_whitespace());
        command
    }

    /// Code and what it says.
    fn tell(&self, daemon: &Rvrrpd, prefix: &[&str], line: &str) -> (i32, String) {
        let output = self.command(daemon, prefix, line).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        let code = output.status.code();
        (
            code.unwrap_or_else(|| panic!("{line}: {}: {text}", output.status)),
            text,
        )
    }

    #[track_caller]
    fn done(&self, daemon: &Rvrrpd, line: &str) -> String {
        let (code, text) = self.tell(daemon, &[], line);
        assert_eq!(code, 0, "{line}: {text}");
        text
    }

    /// A call that is refused, with the words of the reason.
    #[track_caller]
    fn refused(&self, daemon: &Rvrrpd, code: i32, line: &str, why: &str) {
        let (got, text) = self.tell(daemon, &[], line);
        assert_eq!(got, code, "{line}: {text}");
        assert!(text.contains(why), "{line}: {text}");
    }
}

#[test]
fn librvrrp_the_example_of_the_document_compiles() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/librvrrp.md")).unwrap();
    let example = text.split("```c\n").nth(1).unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let mut child = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-xc", "-"])
        .arg("-I")
        .arg(root.join("librvrrp/include"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(example.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}

fn socket(daemon: &Rvrrpd) -> PathBuf {
    daemon.files().run_dir.join("rvrrpd.sock")
}

fn start(scene: &Scene, text: &str) -> Rvrrpd {
    let daemon = scene.start(&scene.r1, text);
    until("the socket is there", within(10.0), || {
        UnixStream::connect(socket(&daemon)).ok()
    });
    daemon
}

fn file(daemon: &Rvrrpd) -> String {
    fs::read_to_string(&daemon.files().config).unwrap()
}

fn has(text: &str, lines: &[&str]) -> bool {
    lines.iter().all(|line| text.lines().any(|it| it == *line))
}

#[test]
fn librvrrp_makes_changes_and_deletes_a_router() {
    let scene = Scene::new("librvrrp_makes_changes_and_deletes_a_router");
    let program = Program::compile(scene.lab.dir());
    let lan = scene.client.capture("eth0");
    let daemon = start(&scene, "# By the operator.\nvrouter = []\n");
    let adverts = |since, priority: u8, interval: Duration| {
        until("its advertisements are on the wire", within(20.0), || {
            let seen = lan.adverts_since(since, 9);
            let of = |(_, advert): &(_, rvrrpd_tests::frame::Advert)| {
                advert.priority == priority && advert.interval == interval
            };
            seen.iter().any(of).then_some(())
        });
    };

    // No interface is named: it is the one with the subnet.
    program.done(
        &daemon,
        "create vinst9 9 - 120 0 500 - 10.0.0.109 10.0.0.110",
    );
    daemon.wait_state("eth0-9", State::Master, within(20.0));
    adverts(Stamp::now(), 120, Duration::from_millis(500));
    let address = "10.0.0.110".parse().unwrap();
    until("its address", within(10.0), || {
        (scene.r1.carriers_of(address) == ["standby9"]).then_some(())
    });
    let text = program.done(&daemon, "query vinst9");
    let expected = [
        "name=vinst9",
        "active=1",
        "vrid=9",
        "ifname=eth0",
        "primary=10.0.0.1",
        "ip=10.0.0.109",
        "ip=10.0.0.110",
        "prio=120",
        "interval=0.500",
        "preempt=1",
        "accept=1",
        "state=MAST",
        "substate=NONE",
        "previous=BACK",
    ];
    assert!(has(&text, &expected), "{text}");
    assert!(
        !text.contains("since=0") && !text.contains("peer="),
        "{text}"
    );

    program.done(&daemon, "set vinst9 90 -1 0 -1");
    program.done(&daemon, "interval vinst9 250");
    adverts(Stamp::now(), 90, Duration::from_millis(250));
    let text = program.done(&daemon, "query vinst9");
    assert!(
        has(
            &text,
            &["prio=90", "interval=0.250", "preempt=0", "accept=1"]
        ),
        "{text}"
    );
    // All of them unchanged.
    program.done(&daemon, "set vinst9 -1 -1 -1 -1");
    let text = program.done(&daemon, "query vinst9");
    assert!(
        has(
            &text,
            &["prio=90", "interval=0.250", "preempt=0", "accept=1"]
        ),
        "{text}"
    );

    program.done(&daemon, "shutdown vinst9");
    daemon.wait_state("eth0-9", State::Init, within(10.0));
    until("no address", within(5.0), || {
        scene.r1.carriers_of(address).is_empty().then_some(())
    });
    let text = program.done(&daemon, "query vinst9");
    assert!(
        has(&text, &["active=0", "state=INIT", "substate=shutdown"]),
        "{text}"
    );
    program.done(&daemon, "startup");
    daemon.wait_state("eth0-9", State::Master, within(20.0));
    // An interval so long that it waits in Backup after it was shut down.
    program.done(&daemon, "shutdown vinst9");
    program.done(&daemon, "interval vinst9 40000");
    program.done(&daemon, "startup vinst9");
    daemon.wait_state("eth0-9", State::Backup, within(10.0));
    let text = program.done(&daemon, "query vinst9");
    let expected = ["state=BACK", "previous=INIT", "previous_substate=shutdown"];
    assert!(has(&text, &expected), "{text}");
    let written = file(&daemon);
    assert!(
        written.contains("# By the operator.") && written.contains("vinst9"),
        "{written}"
    );
    program.done(&daemon, "destroy vinst9");
    until("its address is gone", within(10.0), || {
        scene.r1.carriers_of(address).is_empty().then_some(())
    });
    assert!(!file(&daemon).contains("vinst9"));
    daemon.stop();
}

#[test]
fn librvrrp_looks_up_by_vrid_interface_and_family() {
    let scene = Scene::new("librvrrp_looks_up_by_vrid_interface_and_family");
    let program = Program::compile(scene.lab.dir());
    let of =
        |group, vip: &str, name: &str| Vrouter::new(group, &[vip]).macvlan().text("name", name);
    let daemon = start(
        &scene,
        &config(&[
            of(7, "10.0.0.107", "a"),
            of(8, "10.0.0.108", "b"),
            of(7, "fe80::7", "c"),
            of(9, "10.0.0.109", "a-name-of-31-bytes-is-the-limit"),
        ]),
    );
    let found = |line: &str| -> Vec<String> {
        let text = program.done(&daemon, &format!("lookup {line}"));
        text.lines().map(str::to_owned).collect()
    };
    assert_eq!(found("7 - 0"), ["a", "c"]);
    assert_eq!(found("7 - 4"), ["a"]);
    assert_eq!(found("0 - 6"), ["c"]);
    assert_eq!(
        found("0 eth0 0"),
        ["a", "b", "c", "a-name-of-31-bytes-is-the-limit"]
    );
    assert!(found("0 eth1 0").is_empty());
    let text = program.done(&daemon, "query c");
    assert!(has(&text, &["ip=fe80::7"]), "{text}");
    assert!(text.contains("primary=fe80::"), "{text}");
    let text = program.done(&daemon, "query a-name-of-31-bytes-is-the-limit");
    assert!(
        has(&text, &["name=a-name-of-31-bytes-is-the-limit"]),
        "{text}"
    );
    program.done(&daemon, "destroy");
    assert!(found("0 - 0").is_empty());
    daemon.stop();
}

/// The error codes of appendix A, and nothing changed.
#[test]
fn librvrrp_says_why_it_refuses() {
    let scene = Scene::new("librvrrp_says_why_it_refuses");
    let program = Program::compile(scene.lab.dir());
    scene.r1.ip("link add other0 type veth peer name other1");
    scene.r1.ip("addr add 10.9.0.1/24 dev other0");
    scene.r1.ip("link set other0 up");
    let vrouter = Vrouter::new(VRID, &[VIP_TEXT]).macvlan();
    let daemon = start(&scene, &config(&[vrouter]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let before = file(&daemon);
    for (code, line, why) in [
        (EINVAL, "create x 9 eth0 255 1 0 - 10.0.0.109", "priority"),
        (EINVAL, "create x 0 eth0 9 1 0 - 10.0.0.109", "group"),
        (EINVAL, "create x 9 eth0 9 41 500 - 10.0.0.109", "40.95"),
        (ENAMEINVAL, "create a:b 9 eth0 9 1 0 - 10.0.0.109", "name"),
        (EVREXIST, "create x 7 eth0 9 1 0 - 10.0.0.109", NAME),
        (EINSTEXIST, "create eth0-7 9 eth0 9 1 0 - 10.0.0.109", NAME),
        (ENOROUTE, "create x 9 - 9 1 0 - 192.0.2.1", "192.0.2.1"),
        (
            ENOROUTE,
            "create x 9 - 9 1 0 10.0.0.77 10.0.0.109",
            "10.0.0.77",
        ),
        (EVRIP, "create x 9 eth0 9 1 0 - 10.9.0.1", "other0"),
        (EVRIP, "create x 9 eth0 9 1 0 - 10.0.0.100", "standby7"),
        (ENOINST, "query nobody", "nobody"),
        (ENOINST, "destroy nobody", "nobody"),
        (ENOINST, "set nobody -1 -1 -1 -1", "nobody"),
        (ENOINST, "startup nobody", "nobody"),
        (EINVAL, "set eth0-7 0 -1 -1 -1", "priority"),
        (EINVAL, "set eth0-7 -1 0 -1 -1", "interval"),
        (EINVAL, "interval eth0-7 1", "0.01"),
    ] {
        program.refused(&daemon, code, line, why);
    }
    let (code, text) = program.tell(&daemon, &[], "nonsense");
    assert_eq!(code, 64, "{text}");
    assert!(text.contains("usage: vrrp SOCKET COMMAND"), "{text}");
    // Somebody without rights reads.
    let nobody = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    let (code, text) = program.tell(&daemon, &nobody, &format!("query {NAME}"));
    assert_eq!(code, 0, "{text}");
    for line in [
        "shutdown",
        "destroy",
        "set eth0-7 9 -1 -1 -1",
        "create x 9 eth0 9 1 0 - 10.0.0.109",
    ] {
        let (code, text) = program.tell(&daemon, &nobody, line);
        assert_eq!(code, ENOOPERM, "{line}: {text}");
    }
    assert_eq!(file(&daemon), before);
    assert_eq!(daemon.state(NAME), Some(State::Master));
    let path = socket(&daemon);
    daemon.stop();

    // Nobody is there, or somebody who hangs up at once: no signal ends the program.
    let run = || {
        let words = program.words();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .arg(&path)
            .args(["query", NAME])
            .output()
            .unwrap();
        output.status.code()
    };
    assert_eq!(run(), Some(ESYS));
    let _gone = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let deaf = std::thread::spawn(move || {
        for _ in 0..20 {
            drop(listener.accept());
        }
    });
    for _ in 0..20 {
        assert_eq!(run(), Some(ESYS));
    }
    deaf.join().unwrap();
}

/// A program that follows; it ends when its standard input does.
struct Follower {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Follower {
    fn start(program: &Program, daemon: &Rvrrpd) -> Self {
        let mut command = program.command(daemon, &[], "follow");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .all(|line| sender.send(line).is_ok())
        });
        Self {
            input: child.stdin.take(),
            lines,
            child,
        }
    }

    #[track_caller]
    fn next(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Lines up to the first with these words in it.
    #[track_caller]
    fn until(&self, words: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while !seen
            .last()
            .is_some_and(|line: &String| line.contains(words))
        {
            let next = self.lines.recv_timeout(Duration::from_secs(20));
            seen.push(next.unwrap_or_else(|_| panic!("{words}: {seen:?}")));
        }
        seen
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Columns: type, name, state before and after with sub-states, priorities, reason, count.
#[test]
fn librvrrp_follows_what_happens() {
    let scene = Scene::new("librvrrp_follows_what_happens");
    let program = Program::compile(scene.lab.dir());
    let vrouter = Vrouter::new(VRID, &[VIP_TEXT]).macvlan();
    let daemon = start(&scene, &config(&[vrouter]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let mut follower = Follower::start(&program, &daemon);
    assert_eq!(follower.next(), "1 eth0-7 MAST/NONE MAST/NONE 100 100 - 0");
    program.done(&daemon, "shutdown eth0-7");
    let seen = follower.until("INIT/shutdown");
    // That it became Master may be told before.
    let of_shutdown = |line: &&String| line.starts_with("4 ") && line.contains("INIT/shutdown");
    let state = seen.iter().find(of_shutdown);
    let state = state.unwrap_or_else(|| panic!("{seen:?}"));
    assert!(
        state.starts_with("4 eth0-7 MAST/NONE INIT/shutdown 100 100 "),
        "{state}"
    );
    program.done(&daemon, "create vinst9 9 eth0 90 1 0 - 10.0.0.109");
    let seen = follower.until("vinst9");
    assert!(
        seen.last().unwrap().starts_with("2 vinst9 NONE/NONE INIT/"),
        "{seen:?}"
    );
    let _ = follower.until("vinst9 BACK/NONE MAST/NONE 90 90 master-timeout");
    program.done(&daemon, "destroy vinst9");
    let seen = follower.until("NONE/NONE 90");
    assert!(seen.last().unwrap().starts_with("3 vinst9 "), "{seen:?}");
    // Unsubscribing does not wait for the next event.
    drop(follower.input.take());
    let ended = until("the program ends", within(10.0), || {
        follower.child.try_wait().unwrap()
    });
    assert_eq!(ended.code(), Some(0));
    // Who follows when the daemon ends is told.
    let mut follower = Follower::start(&program, &daemon);
    let _ = follower.next();
    daemon.stop();
    let ended = until("the program ends", within(10.0), || {
        follower.child.try_wait().unwrap()
    });
    assert_eq!(ended.code(), Some(ESYS));
}
