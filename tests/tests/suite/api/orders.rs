//! What changes the daemon, and who may.

use std::os::unix::fs::PermissionsExt as _;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::rvrrpd::{State, Vrouter};
use rvrrpd_tests::scene::{NAME, Scene, VRID};
use rvrrpd_tests::sys::Stamp;
use rvrrpd_tests::web::{Answer, ask, curl, output};

use super::{URL, log_in, socket, start, vrouter, with_api};

#[test]
fn a_router_is_disabled_and_enabled_while_it_runs() {
    let scene = Scene::new("a_router_is_disabled_and_enabled_while_it_runs");
    let capture = scene.lan.capture();
    let daemon = start(&scene, "");
    let socket = socket(&daemon);
    let mark = Stamp::now();
    let answer = ask(&socket, "POST", &format!("/run/vrrp/{NAME}/disable"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let router = answer.json();
    assert_eq!(router["enabled"], false);
    assert_eq!(
        (&router["state"], &router["substate"]),
        (&"Init".into(), &"shutdown".into())
    );
    until("the Master resigned", within(5.0), || {
        let adverts = capture.adverts_since(mark, VRID);
        adverts
            .iter()
            .any(|(_, advert)| advert.priority == 0)
            .then_some(())
    });
    // The driver takes it away after that.
    until("nobody carries the address", within(5.0), || {
        let carriers = scene.r1.carriers_of("10.0.0.100".parse().unwrap());
        carriers.is_empty().then_some(())
    });
    // Once more changes nothing and is no error.
    let again = ask(
        &socket,
        "POST",
        &format!("/run/vrrp/{NAME}/disable?persist=false"),
    );
    assert_eq!(
        (again.status, &again.json()["enabled"]),
        (200, &false.into())
    );

    let answer = ask(&socket, "POST", &format!("/run/vrrp/{NAME}/enable"));
    assert_eq!(
        (answer.status, &answer.json()["enabled"]),
        (200, &true.into())
    );
    assert_eq!(answer.json()["substate"], serde_json::Value::Null);
    daemon.wait_state(NAME, State::Master, within(10.0));

    // What is not to be kept is as the file says after the next reload.
    let order = format!("/run/vrrp/{NAME}/disable?persist=false");
    assert_eq!(ask(&socket, "POST", &order).json()["enabled"], false);
    let answer = ask(&socket, "POST", "/run/reload");
    assert_eq!((answer.status, &answer.json()["changed"]), (200, &1.into()));
    daemon.wait_state(NAME, State::Master, within(10.0));

    for (method, path, status) in [
        ("POST", "/run/vrrp/nobody/enable", 404),
        ("POST", "/run/vrrp/eth0-7/destroy", 405),
        ("POST", "/run/vrrp/eth0-7/enable?persist=maybe", 400),
        ("POST", "/run/vrrp/eth0-7/enable?force", 400),
        ("DELETE", "/run/vrrp/eth0-7/enable", 405),
        ("GET", "/run/reload", 405),
    ] {
        assert_eq!(ask(&socket, method, path).status, status, "{method} {path}");
    }
}

#[test]
fn a_reload_tells_what_it_did_or_what_is_wrong() {
    let scene = Scene::new("a_reload_tells_what_it_did_or_what_is_wrong");
    let daemon = start(&scene, "");
    let other = Vrouter::new(8, &["10.0.0.108"]).macvlan();
    daemon.rewrite(&with_api("", &[vrouter().priority(120), other]));
    let answer = ask(&socket(&daemon), "POST", "/run/reload");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.body,
        r#"{"added":1,"removed":0,"replaced":0,"changed":1,"untouched":0,"warnings":[]}"#
    );
    daemon.rewrite(&with_api("", &[vrouter().key("priority", 300)]));
    let answer = ask(&socket(&daemon), "POST", "/run/reload");
    assert_eq!(answer.status, 422, "{answer:?}");
    let error = answer.json()["errors"][0].as_str().unwrap().to_owned();
    assert!(
        error.contains("priority") && error.contains("254"),
        "{error}"
    );
    let routers = ask(&socket(&daemon), "GET", "/run/vrrp").json();
    assert_eq!(routers.as_array().unwrap().len(), 2);
}

#[test]
fn levels_count() {
    let scene = Scene::new("levels_count");
    let daemon = start(&scene, "");
    let order = |cookies: &str, more: &[&str]| -> Answer {
        let url = format!("{URL}/run/vrrp/{NAME}/disable");
        let mut words = vec!["-X", "POST", "-b", cookies];
        words.extend(more);
        words.push(&url);
        curl(&scene.r1, &words)
    };
    let (reader, writer) = (
        log_in(&scene.r1, URL, "admin"),
        log_in(&scene.r1, URL, "root"),
    );
    assert_eq!(order("", &[]).status, 401);
    assert_eq!(order(&reader, &[]).status, 403);
    assert_eq!(
        order(&writer, &["-H", "Origin: http://evil.example"]).status,
        403
    );
    assert_eq!(daemon.state(NAME), Some(State::Master));
    assert_eq!(
        order(&writer, &["-H", &format!("Origin: {URL}")]).status,
        200
    );
    daemon.wait_state(NAME, State::Init, within(10.0));
}

/// On the Unix socket everybody reads; root and the group `rvrrpd` write.
#[test]
fn peer_credentials_count() {
    let scene = Scene::new("peer_credentials_count");
    let daemon = start(&scene, "");
    let socket = socket(&daemon);
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let path = socket.to_str().unwrap();
    let as_nobody = |groups: &str, words: &[&str]| -> Answer {
        let mut command = scene.r1.command("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", groups]);
        command.args(["curl", "-s", "-i", "--unix-socket", path]);
        Answer::parse(&output({
            command.args(words);
            command
        }))
    };
    let order = format!("http://x/run/vrrp/{NAME}/disable");
    let read = as_nobody("--clear-groups", &["http://x/run/vrrp"]);
    assert_eq!(read.json()[0]["name"], NAME);
    let refused = as_nobody("--clear-groups", &["-X", "POST", &order]);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("group rvrrpd"), "{refused:?}");
    assert_eq!(daemon.state(NAME), Some(State::Master));
    let group = std::fs::read_to_string("/etc/group").unwrap();
    let group = group
        .lines()
        .find_map(|line| line.strip_prefix("rvrrpd:x:"));
    if let Some(id) = group.and_then(|rest| rest.split(':').next()) {
        let answer = as_nobody(&format!("--groups={id}"), &["-X", "POST", &order]);
        assert_eq!(answer.status, 200, "{answer:?}");
        ask(&socket, "POST", &format!("/run/vrrp/{NAME}/enable"));
    } else {
        println!("skipped: this host has no group rvrrpd");
    }
    let answer = ask(&socket, "POST", &format!("/run/vrrp/{NAME}/disable"));
    assert_eq!(answer.status, 200, "{answer:?}");
}
