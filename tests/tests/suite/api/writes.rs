//! Virtual routers are made, changed and deleted while the daemon runs: what runs and what the file
//! says change together or not at all.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::PathBuf;
use std::process::Command;

use rvrrpd_tests::deadline::within;
use rvrrpd_tests::process::{Line, Process};
use rvrrpd_tests::rvrrpd::{Files, Rvrrpd, State};
use rvrrpd_tests::scene::{NAME, Scene};
use rvrrpd_tests::web::{ask, send};
use serde_json::{Value, json};

use super::{socket, start, vrouter, with_api};

/// The configuration file.
fn file(daemon: &Rvrrpd) -> String {
    fs::read_to_string(&daemon.files().config).unwrap()
}

/// Names of the virtual routers that run.
fn names(daemon: &Rvrrpd) -> Vec<String> {
    let routers = ask(&socket(daemon), "GET", "/run/vrrp").json();
    let routers = routers.as_array().unwrap().iter();
    routers
        .map(|router| router["name"].as_str().unwrap().to_owned())
        .collect()
}

fn second() -> Value {
    json!({"group": 8, "interface": "eth0", "vip": ["10.0.0.108"], "iftype": "macvlan",
           "name": "second", "priority": 77})
}

#[test]
fn a_router_is_made_changed_and_deleted_and_the_file_says_so() {
    let scene = Scene::new("a_router_is_made_changed_and_deleted_and_the_file_says_so");
    let text = format!("# Ours.\n{}", with_api("", &[vrouter()]));
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Master, within(10.0));
    let (socket, before) = (socket(&daemon), file(&daemon));
    let mark = daemon.log().mark();

    let answer = send(&socket, "POST", "/config/vrouter", &second());
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.field("location"), ["/config/vrouter/second"]);
    assert_eq!(answer.json()["priority"], 77);
    daemon.wait_state("eth0-8", State::Master, within(10.0));
    assert!(file(&daemon).starts_with(&before), "{}", file(&daemon));
    let path = "/config/vrouter/second";
    assert_eq!(ask(&socket, "GET", path).json(), answer.json());

    let patch = json!({"priority": 78, "vip": ["10.0.0.108", "10.0.0.109"]});
    let answer = send(&socket, "PATCH", path, &patch);
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = file(&daemon);
    assert!(
        text.contains("priority = 78") && text.contains("10.0.0.109"),
        "{text}"
    );
    let patch = json!({"version": "2+3"});
    let answer = send(&socket, "PATCH", path, &patch).json();
    let warnings = answer["warnings"].as_array().unwrap();
    assert!(
        warnings[0].as_str().unwrap().contains("version"),
        "{answer}"
    );
    let patch = json!({"version": null, "priority": 78});
    let answer = send(&socket, "PATCH", path, &patch).json();
    assert_eq!(answer.get("warnings"), None, "{answer}");
    let detail = ask(&socket, "GET", "/run/vrrp/8/eth0?name=second").json();
    assert_eq!(detail["virtual_ips"], json!(["10.0.0.108", "10.0.0.109"]));
    assert_eq!(detail["timers"]["advert"], 1);
    assert_eq!(detail["last_transition"]["to"], "Master");
    let null = ask(&socket, "GET", "/run/vrrp/8/eth0?name=other");
    assert_eq!(null.status, 404, "{null:?}");

    assert_eq!(ask(&socket, "DELETE", path).status, 204);
    assert_eq!(names(&daemon), [NAME]);
    assert_eq!(file(&daemon).trim_end(), before.trim_end());
    assert_eq!(ask(&socket, "DELETE", path).status, 404);
    // Nobody else noticed.
    let changes = daemon.log().texts_after(mark);
    let touched = changes.iter().any(|line| line.contains("10.0.0.100 "));
    assert!(!touched, "{changes:#?}");
    daemon.stop();
}

/// What is shown may be sent back with another identity, and makes what is otherwise the same.
#[test]
fn what_is_shown_can_be_sent_back() {
    let scene = Scene::new("what_is_shown_can_be_sent_back");
    let daemon = start(&scene, "");
    let socket = socket(&daemon);
    let plain = json!({"group": 20, "vip": ["10.0.0.120/24"]});
    let rich = json!({
        "group": 21, "vip": ["10.0.0.121", "10.0.0.122"], "version": "2+3", "enabled": false,
        "primary": "10.0.0.1", "unicast_peers": ["10.0.0.2"], "unicast_min_ttl": 254,
        "preempt_delay": 1.5, "timers": {"advert": 2}, "accept_mode": false,
        "routes": [{"route": "198.51.100.0", "mask": "255.255.255.0", "nh": "10.0.0.9"}],
        "v3_checksum": "pseudo-header", "address_list_check": "off",
    });
    let sealed = json!({
        "group": 22, "vip": ["10.0.0.123"], "version": "3", "auth_type": "hmac-sha256",
        "auth_keys": [{"id": 4, "secret": "four"}, {"id": 2, "hex": "0102"}],
        "auth_active_key": 2, "auth_clock_skew": 7,
    });
    let simple = json!({
        "group": 23, "vip": ["10.0.0.124"], "auth_type": "rfc2338-simple", "auth_secret": "s",
    });
    let six = json!({
        "group": 24, "vip": ["fe80::24", "2001:db8::24/64"],
        "routes": [{"route": "2001:db8:1::/48", "nh": "2001:db8::9", "table": 7}],
        "router_advertisement": {
            "prefixes": ["2001:db8::/64", {"prefix": "2001:db8:2::/48", "autonomous": false}],
            "rdnss": "2001:db8::53", "dnssl": ["example.org", "a.example"], "max_interval": 10,
        },
    });
    for mut keys in [plain, rich, sealed, simple, six] {
        let group = keys["group"].as_u64().unwrap();
        keys["name"] = format!("r{group}").into();
        keys["interface"] = "eth0".into();
        keys["iftype"] = "macvlan".into();
        let made = send(&socket, "POST", "/config/vrouter", &keys);
        assert_eq!(made.status, 201, "{made:?}");
        let shown = ask(&socket, "GET", &format!("/config/vrouter/r{group}")).json();
        let mut again = shown.clone();
        again["group"] = (group + 100).into();
        again["name"] = "again".into();
        again["vifname"] = "again".into();
        for vip in again["vip"].as_array_mut().unwrap() {
            *vip = vip
                .as_str()
                .unwrap()
                .replace("::24", "::25")
                .replace("0.12", "0.13")
                .into();
        }
        for key in shown["auth_keys"].as_array().into_iter().flatten() {
            assert_eq!(key["secret"], "***");
        }
        // What is not shown has to be said again.
        let is_secret = !shown["auth_type"].is_null();
        if is_secret {
            let refused = send(&socket, "POST", "/config/vrouter", &again);
            assert_eq!(refused.status, 422, "{refused:?}");
            assert!(
                refused.body.contains("*** stands for a secret"),
                "{refused:?}"
            );
            again["auth_secret"] = keys["auth_secret"].clone();
            again["auth_keys"] = keys["auth_keys"].clone();
        }
        let answer = send(&socket, "POST", "/config/vrouter", &again);
        assert_eq!(answer.status, 201, "{answer:?}");
        let mut expected = shown;
        for key in ["group", "name", "vifname", "vip"] {
            expected[key] = again[key].clone();
        }
        let mut made = answer.json();
        // What is to be known of it is no key of it.
        made.as_object_mut().expect("an object").remove("warnings");
        assert_eq!(made, expected);
        for name in ["again".to_owned(), format!("r{group}")] {
            let path = format!("/config/vrouter/{name}");
            assert_eq!(ask(&socket, "DELETE", &path).status, 204);
        }
    }
    let global = ask(&socket, "GET", "/config/global").json();
    assert_eq!(global["run_dir"], daemon.files().run_dir.to_str().unwrap());
    assert_eq!(global["api"]["socket"], socket.to_str().unwrap());
    assert!(global["workers"].as_u64().unwrap() > 0, "{global}");
    daemon.stop();
}

#[test]
fn what_is_not_to_be_kept_ends_with_a_reload() {
    let scene = Scene::new("what_is_not_to_be_kept_ends_with_a_reload");
    let daemon = start(&scene, "");
    let (socket, before) = (socket(&daemon), file(&daemon));
    let answer = send(&socket, "POST", "/config/vrouter?persist=false", &second());
    assert_eq!(answer.status, 201, "{answer:?}");
    daemon.wait_state("eth0-8", State::Master, within(10.0));
    assert_eq!(file(&daemon), before);
    // The file does not know it.
    let order = ask(&socket, "POST", "/run/vrrp/second/disable");
    assert_eq!(order.status, 409, "{order:?}");
    assert!(order.body.contains("persist=false"), "{order:?}");
    // What is kept leaves alone what is not.
    assert_eq!(
        ask(&socket, "POST", &format!("/run/vrrp/{NAME}/disable")).status,
        200
    );
    assert_eq!(names(&daemon), [NAME, "second"]);
    assert!(
        file(&daemon).contains("enabled = false"),
        "{}",
        file(&daemon)
    );
    let answer = ask(&socket, "POST", "/run/reload").json();
    assert_eq!(
        (&answer["removed"], &answer["untouched"]),
        (&1.into(), &1.into())
    );
    assert_eq!(names(&daemon), [NAME]);
    daemon.stop();
}

/// Over the API only secrets beside the configuration file are read, and what else there is is not
/// told.
#[test]
fn files_of_secrets_lie_beside_the_configuration() {
    let scene = Scene::new("files_of_secrets_lie_beside_the_configuration");
    let daemon = start(&scene, "");
    let directory = daemon.files().config.parent().unwrap().to_owned();
    let elsewhere = directory.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let ask_for = |path: PathBuf| {
        let body = json!({"auth_type": "hmac-sha256", "auth_secret_file": path});
        send(&socket(&daemon), "PATCH", "/config/vrouter/eth0-7", &body)
    };
    let write = |path: PathBuf| {
        fs::write(&path, "banana").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let outside = ask_for(write(elsewhere.join("secret")));
    let missing = ask_for(elsewhere.join("missing"));
    assert_eq!(outside.status, 422, "{outside:?}");
    assert_eq!(outside.body, missing.body);
    let beside = ask_for(write(directory.join("beside")));
    assert_eq!(beside.status, 200, "{beside:?}");
    daemon.stop();
}

#[test]
fn what_is_wrong_changes_nothing() {
    let scene = Scene::new("what_is_wrong_changes_nothing");
    let daemon = start(&scene, "");
    let (socket, before) = (socket(&daemon), file(&daemon));
    let taken = json!({"group": 7, "interface": "eth0", "vip": "10.0.0.101"});
    let named = json!({"group": 8, "interface": "eth0", "vip": "10.0.0.101", "name": NAME});
    let wrong = json!({"group": 0, "interface": "eth0", "vip": "nonsense", "prioritty": 3});
    let secret = json!({"group": 8, "interface": "eth0", "vip": "10.0.0.8", "version": 3,
                        "auth_type": "rfc2338-simple", "auth_secret": "banana77"});
    for (method, path, body, status, says) in [
        ("POST", "/config/vrouter", &taken, 409, "eth0-7"),
        ("POST", "/config/vrouter", &named, 409, "name: "),
        ("POST", "/config/vrouter", &wrong, 422, "priority"),
        ("POST", "/config/vrouter", &secret, 422, "auth_type"),
        (
            "POST",
            "/config/vrouter?persist=no",
            &wrong,
            400,
            "persist=false",
        ),
        ("POST", "/config/vrouter", &json!([1]), 400, "object"),
        (
            "PATCH",
            "/config/vrouter/eth0-7",
            &json!({"vip": null}),
            422,
            "vip",
        ),
        ("PATCH", "/config/vrouter/nobody", &json!({}), 404, "nobody"),
        ("PUT", "/config/vrouter/eth0-7", &json!({}), 405, ""),
    ] {
        let answer = send(&socket, method, path, body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        assert_eq!(answer.field("content-type"), ["application/problem+json"]);
        assert!(answer.body.contains(says), "{answer:?}");
        assert!(!answer.body.contains("banana77"), "{answer:?}");
        assert_eq!(file(&daemon), before);
        assert_eq!(names(&daemon), [NAME]);
    }
    let plain = ask(&socket, "POST", "/config/vrouter");
    assert_eq!(plain.status, 415, "{plain:?}");

    // Somebody has edited the file.
    let edited = format!("{before}\n# by hand\n");
    fs::write(&daemon.files().config, &edited).unwrap();
    let answer = send(&socket, "POST", "/config/vrouter", &second());
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.body.contains("+# by hand"), "{answer:?}");
    assert_eq!(
        (file(&daemon), names(&daemon)),
        (edited, vec![NAME.to_owned()])
    );
    assert_eq!(ask(&socket, "POST", "/run/reload").status, 200);
    let answer = send(&socket, "POST", "/config/vrouter", &second());
    assert_eq!(answer.status, 201, "{answer:?}");
    daemon.stop();
}

/// Who writes a secret into a file that others read is told; so is who may not read it at all.
#[test]
fn the_mode_and_the_owner_of_the_file_are_looked_at() {
    let scene = Scene::new("the_mode_and_the_owner_of_the_file_are_looked_at");
    let mut daemon = start(&scene, "");
    let socket = socket(&daemon);
    let path = daemon.files().config.clone();
    let warning = "others than its owner may read (mode 0644)";
    let change = |keys: &Value| {
        let mark = daemon.log().mark();
        let answer = send(&socket, "PATCH", &format!("/config/vrouter/{NAME}"), keys);
        assert_eq!(answer.status, 200, "{answer:?}");
        ask(&socket, "POST", "/run/reload");
        let reloaded = |line: &Line| line.text.contains("reload ordered").then_some(());
        let log = daemon.log();
        log.wait_after(mark, "the reload", within(5.0), reloaded);
        mark
    };
    let keys =
        |secret: &str| json!({"version": 3, "auth_type": "hmac-sha256", "auth_secret": secret});
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let mark = change(&keys("one"));
    let warned = |line: &Line| line.text.contains(warning).then_some(());
    let log = daemon.log();
    log.wait_after(mark, "the warning", within(5.0), warned);
    change(&json!({"priority": 99}));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    change(&keys("two"));
    chown(&path, Some(1234), Some(1234)).unwrap();
    let refused = ask(&socket, "POST", "/run/reload");
    assert_eq!(refused.status, 422, "{refused:?}");
    let why = "user id 1234 and group id 1234 with mode 0600, rvrrpd runs as user id 0";
    assert!(refused.body.contains(why), "{refused:?}");
    assert_eq!(daemon.sigterm().code(), Some(0));
    // Of a change that brings no secret, and of a file that nobody else may read, none.
    daemon.log().wait_end(within(5.0));
    let lines = daemon.log().lines();
    assert_eq!(lines.iter().filter_map(warned).count(), 1);
}

/// A small file system, unmounted with it.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]);
        assert!(mount.arg(&path).status().unwrap().success());
        Self(path)
    }

    fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Whatever keeps the file from being written keeps everything else from being changed.
#[test]
fn a_full_disk_and_a_read_only_file_refuse_with_nothing_changed() {
    let scene = Scene::new("a_full_disk_and_a_read_only_file_refuse_with_nothing_changed");
    let disk = Disk::mount(scene.lab.dir().join("disk"));
    let target = disk.0.join("rvrrpd.conf");
    symlink(&target, Files::of(&scene.lab, &scene.r1).config).unwrap();
    let daemon = start(&scene, "");
    let (socket, before) = (socket(&daemon), file(&daemon));
    let refused = |status: u16, says: &str| {
        let off = format!("/run/vrrp/{NAME}/disable");
        for answer in [
            send(&socket, "POST", "/config/vrouter", &second()),
            send(
                &socket,
                "PATCH",
                "/config/vrouter/eth0-7",
                &json!({"priority": 50}),
            ),
            ask(&socket, "DELETE", "/config/vrouter/eth0-7"),
            ask(&socket, "POST", &off),
        ] {
            assert_eq!(answer.status, status, "{answer:?}");
            assert!(answer.body.contains(says), "{answer:?}");
        }
        assert_eq!(file(&daemon), before);
        let running = ask(&socket, "GET", "/config/vrouter").json();
        assert_eq!(running.as_array().unwrap().len(), 1);
        assert_eq!(
            (&running[0]["priority"], &running[0]["enabled"]),
            (&100.into(), &true.into())
        );
        assert_eq!(daemon.state(NAME), Some(State::Master));
    };
    let _full = fs::write(disk.0.join("filler"), vec![1; 128 * 1024]);
    refused(507, "nothing was changed");
    fs::remove_file(disk.0.join("filler")).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).unwrap();
    refused(500, "read-only");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    disk.remount("ro");
    refused(500, "ead-only");
    disk.remount("rw");
    // The daemon has given up the right to give files away.
    chown(&target, None, Some(12)).unwrap();
    refused(500, "owner of the old file");
    chown(&target, None, Some(0)).unwrap();
    let left: Vec<_> = fs::read_dir(&disk.0).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // What need not be written is done all the same.
    let off = format!("/run/vrrp/{NAME}/disable?persist=false");
    assert_eq!(ask(&socket, "POST", &off).status, 200);

    // The same file once it can be written: the target, with its owner and mode.
    let answer = send(&socket, "POST", "/config/vrouter", &second());
    assert_eq!(answer.status, 201, "{answer:?}");
    let link = &daemon.files().config;
    assert_eq!(fs::read_link(link).unwrap(), target);
    let now = fs::metadata(&target).unwrap();
    assert_eq!((now.uid(), now.gid(), now.mode() & 0o7777), (0, 0, 0o640));
    assert!(file(&daemon).contains("\"second\""), "{}", file(&daemon));
    daemon.stop();
}

/// After a power cut the file is the old or the new one: the new one is on the disk before it gets
/// the name, and then the name is.
#[test]
fn the_file_is_synchronised_renamed_and_synchronised() {
    let scene = Scene::new("the_file_is_synchronised_renamed_and_synchronised");
    let daemon = start(&scene, "");
    let (socket, trace) = (socket(&daemon), scene.lab.dir().join("trace"));
    let mut strace = Command::new("strace");
    strace
        .args([
            "-f",
            "-y",
            "-e",
            "trace=write,fsync,fdatasync,rename,renameat,renameat2",
        ])
        .arg("-o")
        .arg(&trace)
        .args(["-p", &daemon.pid().to_string()]);
    let mut strace = Process::start("strace", strace);
    strace
        .log()
        .wait_after(0, "strace is attached", within(20.0), |line| {
            line.text.contains("attached").then_some(())
        });
    let answer = send(&socket, "POST", "/config/vrouter", &second());
    assert_eq!(answer.status, 201, "{answer:?}");
    strace.signal(libc::SIGINT);
    let _status = strace.wait_exit(within(20.0));
    let text = fs::read_to_string(&trace).unwrap();
    let directory = fs::canonicalize(scene.lab.dir()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let place = |what: &str, call: &str, of: &str| {
        let found = lines
            .iter()
            .position(|line| line.contains(call) && line.contains(of));
        found.unwrap_or_else(|| panic!("{what} in\n{text}"))
    };
    let new = ".rvrrpd-r1.conf.rvrrpd-new";
    let written = place("the new file is written", "write(", new);
    let synchronised = place("the new file is synchronised", "fsync(", new);
    let renamed = place("the new file gets the name", "rename", new);
    let known = place(
        "the directory is synchronised",
        "fsync(",
        &format!("<{}>", directory.display()),
    );
    assert!(
        written < synchronised && synchronised < renamed && renamed < known,
        "{text}"
    );
    daemon.stop();
}
