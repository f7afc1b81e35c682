//! The admin tool with a real daemon behind its Unix socket.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::mode::has_ebpf;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, admin, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT, VRID};

/// Exit code of a refusal.
const REFUSED: i32 = 2;

/// The tool, for the daemon on its host; `prefix` are words in front of it.
fn command(daemon: &Rvrrpd, host: &Host, prefix: &[&str], line: &str) -> Command {
    let mut words = prefix.iter();
    let mut command = match words.next() {
        Some(first) => {
            let mut command = host.command(first);
            command.args(words).arg(admin());
            command
        }
        None => host.command(admin()),
    };
    command.arg("-s");
    command.arg(daemon.files().run_dir.join("rvrrpd.sock"));
    command.args(line.split(' '));
    command
}

/// Exit code, what it says and what it complains of.
fn tell(daemon: &Rvrrpd, host: &Host, prefix: &[&str], line: &str) -> (i32, String, String) {
    let output = command(daemon, host, prefix, line).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap();
    (code, text(&output.stdout), text(&output.stderr))
}

/// A daemon whose socket is there.
fn start(scene: &Scene, host: &Host, config: &str) -> Rvrrpd {
    let daemon = scene.start(host, config);
    let socket = daemon.files().run_dir.join("rvrrpd.sock");
    until("the socket is there", within(10.0), || {
        UnixStream::connect(&socket).ok()
    });
    daemon
}

/// What it says when it does what it is told.
#[track_caller]
fn done(daemon: &Rvrrpd, line: &str) -> String {
    let (code, out, err) = tell(daemon, daemon.host(), &[], line);
    assert_eq!(code, 0, "{line}: {out}{err}");
    out
}

/// The values of these fields of a virtual router.
#[track_caller]
fn fields(daemon: &Rvrrpd, fields: &str, name: &str) -> String {
    done(daemon, &format!("show-router -p -o {fields} {name}"))
        .trim_end()
        .to_owned()
}

fn vrouter() -> Vrouter {
    Vrouter::new(VRID, &[VIP_TEXT]).macvlan()
}

fn file(daemon: &Rvrrpd) -> String {
    fs::read_to_string(&daemon.files().config).unwrap()
}

#[test]
fn rvrrpadm_makes_changes_and_deletes_a_router() {
    let scene = Scene::new("rvrrpadm_makes_changes_and_deletes_a_router");
    let text = format!("# By the operator.\n{}", config(&[vrouter()]));
    let mut daemon = start(&scene, &scene.r1, &text);
    let before = file(&daemon);
    done(
        &daemon,
        "create-router -f -V 8 -l eth0 -A inet -a 10.0.0.108 -p 120 -i 2000 -o no_preempt vrrp8",
    );
    assert_eq!(
        fields(
            &daemon,
            "NAME,VRID,LINK,AF,PRIO,ADV_INTV,MODE,STATE,SUBSTATE",
            "vrrp8"
        ),
        "vrrp8:8:eth0:IPv4:120:2000:---a-:INIT:shutdown"
    );
    done(&daemon, "enable-router vrrp8");
    daemon.wait_state("eth0-8", State::Master, within(20.0));
    done(&daemon, "modify-router -p 90 -i 1000 -o preempt vrrp8");
    assert_eq!(
        fields(
            &daemon,
            "PRIO,ADV_INTV,MODE,STATE,VNIC,PRV_STAT,VIRTUAL_IPS",
            "vrrp8"
        ),
        "90:1000:e-pa-:MAST:v8_eth0_v4:BACK:10.0.0.108"
    );
    let (code, _, err) = tell(
        &daemon,
        &scene.r1,
        &[],
        "create-router -V 8 -l eth0 -A inet -a 10.0.0.109 other",
    );
    assert_eq!(code, REFUSED);
    assert!(err.contains("vrrp8"), "{err}");
    let table = done(&daemon, "show-router");
    assert!(table.contains("vrrp8") && table.contains(NAME), "{table}");

    // It is there after a restart, and so are the comments.
    let text = file(&daemon);
    assert!(
        text.starts_with(&before) && text.contains("vrrp8"),
        "{text}"
    );
    daemon.sigterm();
    let daemon = start(&scene, &scene.r1, &text);
    daemon.wait_state("eth0-8", State::Master, within(20.0));
    assert_eq!(fields(&daemon, "PRIO,MODE", "vrrp8"), "90:e-pa-");

    done(&daemon, "disable-router vrrp8");
    assert_eq!(fields(&daemon, "STATE,SUBSTATE", "vrrp8"), "INIT:shutdown");
    done(&daemon, "delete-router vrrp8");
    assert_eq!(file(&daemon).trim_end(), before.trim_end());
    let (code, _, err) = tell(&daemon, &scene.r1, &[], "delete-router vrrp8");
    assert_eq!(code, REFUSED);
    assert!(err.contains("vrrp8"), "{err}");
    daemon.stop();
}

#[test]
fn rvrrpadm_the_older_commands_do_the_same() {
    let scene = Scene::new("rvrrpadm_the_older_commands_do_the_same");
    let daemon = start(&scene, &scene.r1, "vrouter = []\n");
    done(
        &daemon,
        "create -v 9 -i eth0 -A 10.0.0.109 -p 101 -d 2 -o un_preempt,accept vinst9",
    );
    daemon.wait_state("eth0-9", State::Master, within(20.0));
    let block = done(&daemon, "show vinst9");
    for line in [
        "INSTANCE vinst9",
        "  vrid = 9",
        "  priority = 101",
        "  adv_intval = 2",
        "  preempt_mode = false",
        "  accept_mode = true",
        "  interface = eth0",
        "  primary_ipaddr = 10.0.0.1",
        "  assoc_ipaddrs = 10.0.0.109",
        "  prev_state = BACK",
        "  state = MAST",
    ] {
        assert!(block.lines().any(|known| known == line), "{line}: {block}");
    }
    done(&daemon, "modify -p 99 -o preempt vinst9");
    done(&daemon, "shutdown vinst9");
    let block = done(&daemon, "show vinst9");
    assert!(block.contains("    sub_state = shutdown"), "{block}");
    assert!(block.contains("priority = 99"), "{block}");
    done(&daemon, "startup vinst9");
    daemon.wait_state("eth0-9", State::Master, within(20.0));
    done(&daemon, "delete vinst9");
    assert_eq!(done(&daemon, "--json show").trim(), "[]");
    daemon.stop();
}

/// An interface that another router is on needs `-f`, and the refusal says so of the new one.
#[test]
fn rvrrpadm_says_of_f() {
    let scene = Scene::new("rvrrpadm_says_of_f");
    let daemon = start(&scene, &scene.r1, &config(&[vrouter()]));
    let line = "create-router -V 9 -l eth0 -A inet -a 10.0.0.109 nine";
    let (code, _, text) = tell(&daemon, &scene.r1, &[], line);
    assert_eq!(code, REFUSED, "{text}");
    assert!(text.starts_with("rvrrpadm: iftype: \"ether\""), "{text}");
    assert!(
        text.contains(NAME) && text.contains("-f gives it a macvlan"),
        "{text}"
    );
    done(&daemon, &line.replace("-V 9", "-f -V 9"));
    daemon.stop();
}

/// A new router has the data plane that was asked for, and what carries it is shown.
#[test]
fn rvrrpadm_asks_for_a_data_plane() {
    let scene = Scene::new("rvrrpadm_asks_for_a_data_plane");
    let daemon = start(&scene, &scene.r1, &config(&[vrouter()]));
    let planes = ["macvlan", "ebpf"];
    let planes = planes.iter().filter(|it| **it != "ebpf" || has_ebpf());
    for (vrid, plane) in (9..).zip(planes) {
        let (line, name) = (format!("-i eth0 -A 10.0.0.{vrid}"), format!("r{vrid}"));
        done(
            &daemon,
            &format!("create -v {vrid} {line} --iftype {plane} {name}"),
        );
        daemon.wait_state(&format!("eth0-{vrid}"), State::Master, within(20.0));
        assert_eq!(
            fields(&daemon, "NETNS,DATA_PLANE,VIRTUAL_MAC", &name),
            format!(":{plane}:00\\:00\\:5E\\:00\\:01\\:{vrid:02X}")
        );
    }
    daemon.stop();
}

/// Everybody reads, root and the group `rvrrpd` change.
#[test]
fn rvrrpadm_without_rights_shows_and_cannot_change() {
    let scene = Scene::new("rvrrpadm_without_rights_shows_and_cannot_change");
    let daemon = start(&scene, &scene.r1, &config(&[vrouter()]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let before = file(&daemon);
    // Somebody who may not come to the directory of the build runs a copy.
    let copy = std::env::temp_dir().join(format!("rvrrpadm-{}", std::process::id()));
    // By a process of its own: one that another test starts meanwhile would have the copy open for
    // writing, too, and nobody could run it.
    let copied = Command::new("cp").arg(admin()).arg(&copy).status();
    assert!(copied.unwrap().success());
    let run = |line: &str| {
        let mut command = scene.r1.command("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(&copy).arg("-s");
        command.arg(daemon.files().run_dir.join("rvrrpd.sock"));
        let output = command.args(line.split(' ')).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (code, text) = run("show-router");
    let orders = [
        format!("disable-router {NAME}"),
        format!("delete-router {NAME}"),
        format!("modify-router -p 3 {NAME}"),
        "create-router -V 9 -l eth0 -A inet -a 10.0.0.109 x".to_owned(),
        "reload".to_owned(),
    ];
    let refused: Vec<_> = orders.iter().map(|line| run(line)).collect();
    fs::remove_file(&copy).unwrap();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(NAME) && text.contains("MAST"), "{text}");
    for (code, text) in refused {
        assert_eq!(code, Some(REFUSED), "{text}");
        assert!(text.contains("rvrrpd"), "{text}");
    }
    assert_eq!(file(&daemon), before);
    assert_eq!(daemon.state(NAME), Some(State::Master));
    daemon.stop();
}

/// A directory below /run that is removed with the test.
struct Below(PathBuf);

impl Drop for Below {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// Where nothing else is said, a daemon has its socket in a directory of its network namespace, and
/// that is where it is looked for; nobody changes the routers of another namespace by mistake.
#[test]
fn rvrrpadm_asks_the_daemon_of_its_network_namespace() {
    let scene = Scene::new("rvrrpadm_asks_the_daemon_of_its_network_namespace");
    let daemon = start(&scene, &scene.r1, &config(&[vrouter()]));
    let ask = || {
        let output = scene.r1.command(admin()).arg("show-router").output();
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let namespace = Path::new("/run/netns").join(scene.r1.netns());
    let inode = fs::metadata(namespace).unwrap().ino();
    let directory = Below(PathBuf::from(format!("/run/rvrrpd/net-{inode}")));
    let socket = directory.0.join("rvrrpd.sock");
    let (code, text) = ask();
    assert_eq!(code, REFUSED, "{text}");
    assert!(text.contains(socket.to_str().unwrap()), "{text}");

    fs::create_dir_all(&directory.0).unwrap();
    symlink(daemon.files().run_dir.join("rvrrpd.sock"), &socket).unwrap();
    let (code, text) = ask();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(NAME), "{text}");
    daemon.stop();
}

/// A child that ends with the test.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[test]
fn rvrrpadm_events_follow_a_failover() {
    let scene = Scene::new("rvrrpadm_events_follow_a_failover");
    let slow = || vrouter().interval(0.5);
    let mut first = start(&scene, &scene.r1, &config(&[slow().priority(200)]));
    first.wait_state(NAME, State::Master, within(10.0));
    let second = start(&scene, &scene.r2, &config(&[slow()]));
    second.wait_state(NAME, State::Backup, within(10.0));
    let mut seen = String::new();
    until("the peer was heard", within(10.0), || {
        seen = fields(&second, "PEER,P_PRIO,P_INTV,STATE", NAME);
        (!seen.starts_with(':')).then_some(())
    });
    assert_eq!(seen, "10.0.0.1:200:500:BACK");
    let block = done(&second, &format!("show {NAME}"));
    for word in [
        "master_priority = 200",
        "master_src_addr = 10.0.0.1",
        "master_down_timer = ",
    ] {
        assert!(block.contains(word), "{word}: {block}");
    }
    let mut events = command(&second, &scene.r2, &[], &format!("events {NAME}"));
    let mut child = Follower(events.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert_eq!(lines.next().unwrap(), format!("{NAME} BACK priority 100"));
    let mut all = command(&second, &scene.r2, &[], "--json events");
    let mut json = Follower(all.stdout(Stdio::piped()).spawn().unwrap());
    let mut everything = BufReader::new(json.0.stdout.take().unwrap()).lines();
    let snapshot: serde_json::Value =
        serde_json::from_str(&everything.next().unwrap().unwrap()).unwrap();
    assert_eq!(snapshot["event"], "snapshot");
    assert_eq!(snapshot["routers"][0]["name"], NAME);
    assert_eq!(snapshot["routers"][0]["master"], "10.0.0.1");
    first.sigterm();
    let change: serde_json::Value =
        serde_json::from_str(&everything.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (&change["previous"], &change["state"], &change["reason"]),
        (
            &"Backup".into(),
            &"Master".into(),
            &"master-resigned".into()
        )
    );
    second.wait_state(NAME, State::Master, within(10.0));
    done(&second, &format!("disable-router {NAME}"));
    let seen: Vec<String> = lines
        .take_while(|line| !line.contains("MAST -> INIT"))
        .collect();
    let change = seen.first().unwrap();
    assert!(
        change.ends_with(&format!(
            "{NAME} BACK -> MAST priority 100: master-resigned"
        )),
        "{seen:?}"
    );
    second.stop();
}

#[test]
fn rvrrpadm_reload_and_what_is_wrong_with_the_file() {
    let scene = Scene::new("rvrrpadm_reload_and_what_is_wrong_with_the_file");
    let daemon = start(&scene, &scene.r1, &config(&[vrouter()]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    daemon.rewrite(&config(&[vrouter().priority(150)]));
    // Changed by hand and not reloaded: the difference is told.
    let (code, _, err) = tell(
        &daemon,
        &scene.r1,
        &[],
        &format!("modify-router -p 3 {NAME}"),
    );
    assert_eq!(code, REFUSED);
    assert!(err.contains("+priority = 150"), "{err}");
    done(&daemon, "reload");
    assert_eq!(fields(&daemon, "PRIO", NAME), "150");
    daemon.rewrite(&config(&[vrouter().key("priority", 300)]));
    let (code, _, err) = tell(&daemon, &scene.r1, &[], "reload");
    assert_eq!(code, REFUSED);
    assert!(err.contains("priority") && err.contains("254"), "{err}");
    assert_eq!(fields(&daemon, "PRIO", NAME), "150");
    // Only until the next reload.
    daemon.rewrite(&config(&[vrouter().priority(150)]));
    done(&daemon, &format!("--no-persist disable-router {NAME}"));
    daemon.wait_state(NAME, State::Init, within(10.0));
    done(&daemon, "reload");
    daemon.wait_state(NAME, State::Master, within(10.0));
    daemon.stop();
}

/// The fields of a parsable line: `\` stands before a `:` or `\` that is part of one.
fn parsed(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().unwrap();
        match letter {
            '\\' => field.push(letters.next().unwrap()),
            ':' => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

/// Every field of both generations, of routers of both families, against what the API says.
#[test]
fn rvrrpadm_parsable_output_parses_back() {
    let scene = Scene::new("rvrrpadm_parsable_output_parses_back");
    let v6 = Vrouter::new(8, &["fe80::8", "2001:db8::8"]).macvlan();
    let off = Vrouter::new(9, &["10.0.0.109"])
        .macvlan()
        .key("enabled", false);
    let daemon = start(&scene, &scene.r1, &config(&[vrouter(), v6, off]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    daemon.wait_state("eth0-8-v6", State::Master, within(10.0));
    let all: serde_json::Value =
        serde_json::from_str(&done(&daemon, "--json show-router")).unwrap();
    let lines =
        |line: &str| -> Vec<Vec<String>> { done(&daemon, line).lines().map(parsed).collect() };
    let of = |key: &str| -> Vec<String> {
        let routers = all.as_array().unwrap().iter();
        routers
            .map(|router| match &router[key] {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Array(list) => {
                    let list: Vec<&str> = list.iter().map(|it| it.as_str().unwrap()).collect();
                    list.join(",")
                }
                serde_json::Value::Null => String::new(),
                other => other.to_string(),
            })
            .collect()
    };
    for (at, key) in [
        "name",
        "group",
        "priority",
        "primary",
        "virtual_ips",
        "parent",
        "substate",
    ]
    .into_iter()
    .enumerate()
    {
        let new = lines("show-router -p -o NAME,VRID,PRIO,PRIMARY_IP,VIRTUAL_IPS,LINK,SUBSTATE");
        let new: Vec<&str> = new.iter().map(|fields| fields[at].as_str()).collect();
        let old =
            lines("show -p -o name,vrid,priority,primary_ipaddr,assoc_ipaddrs,interface,sub_state");
        let old: Vec<&str> = old.iter().map(|fields| fields[at].as_str()).collect();
        assert_eq!(new, of(key), "{key}");
        assert_eq!(old, of(key), "{key}");
    }
    assert_eq!(of("substate"), ["", "", "shutdown"]);
    // One line has as many fields as were asked for, whatever is in them.
    let header = done(&daemon, "show-router -o all");
    let count = header.lines().next().unwrap().split_whitespace().count();
    for fields in lines("show-router -p -o all") {
        assert_eq!(fields.len(), count, "{fields:?}");
    }
    daemon.stop();
}

/// `-f` makes what is missing: the interface with the virtual MAC and the primary address.
#[test]
fn rvrrpadm_makes_what_is_missing() {
    let scene = Scene::new("rvrrpadm_makes_what_is_missing");
    let daemon = start(&scene, &scene.r1, "vrouter = []\n");
    done(
        &daemon,
        "create-router -V 12 -A inet -l eth0 -f -a 10.0.0.112/24 -P 10.0.0.77/24 vrrp12",
    );
    let primary = "10.0.0.77".parse().unwrap();
    assert_eq!(scene.r1.carriers_of(primary), ["eth0"]);
    done(&daemon, "enable-router vrrp12");
    daemon.wait_state("eth0-12", State::Master, within(20.0));
    until("the address is in", within(5.0), || {
        let carriers = scene.r1.carriers_of("10.0.0.112".parse().unwrap());
        (carriers == ["v12_eth0_v4"]).then_some(())
    });
    assert_eq!(
        fields(
            &daemon,
            "STATE,PRV_STAT,VNIC,PRIMARY_IP,VIRTUAL_IPS",
            "vrrp12"
        ),
        "MAST:BACK:v12_eth0_v4:10.0.0.77:10.0.0.112"
    );
    // Of an IPv6 router the address follows from the virtual MAC.
    done(&daemon, "create-router -V 13 -A inet6 -l eth0 -f vrrp13");
    done(&daemon, "enable-router vrrp13");
    daemon.wait_state("eth0-13-v6", State::Master, within(20.0));
    let address = "fe80::200:5eff:fe00:20d".parse().unwrap();
    until("its address is in", within(5.0), || {
        (scene.r1.carriers_of(address) == ["v13_eth0_v6"]).then_some(())
    });
    done(&daemon, "delete-router vrrp12");
    assert_eq!(scene.r1.carriers_of(primary), ["eth0"]);
    until("its interface is gone", within(10.0), || {
        let there = scene.r1.interfaces();
        (!there.iter().any(|name| name == "v12_eth0_v4")).then_some(())
    });
    daemon.stop();
}
