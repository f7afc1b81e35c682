//! Sessions: how they begin, how they end, and what they are good for.

use std::time::{Duration, Instant};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT};
use rvrrpd_tests::web::curl;

use super::{URL, get, log_in, start, vrouter, with_api};

#[test]
fn a_session_ends_after_its_lifetime() {
    let scene = Scene::new("a_session_ends_after_its_lifetime");
    let _daemon = start(&scene, "session_lifetime = 2");
    let begin = Instant::now();
    let cookies = log_in(&scene.r1, URL, "admin");
    assert_eq!(get(&scene.r1, &cookies, "/run/vrrp").status, 200);
    until("the session ends", within(10.0), || {
        (get(&scene.r1, &cookies, "/run/vrrp").status == 401).then_some(())
    });
    // Its time is counted in whole seconds.
    assert!(begin.elapsed() > Duration::from_secs(1), "{begin:?}");
}

#[test]
fn a_session_can_be_ended() {
    let scene = Scene::new("a_session_can_be_ended");
    let _daemon = start(&scene, "");
    let (one, other) = (
        log_in(&scene.r1, URL, "admin"),
        log_in(&scene.r1, URL, "admin"),
    );
    let auth = format!("{URL}/auth");
    let answer = curl(&scene.r1, &["-X", "DELETE", "-b", &one, &auth]);
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(get(&scene.r1, &one, "/run/vrrp").status, 401);
    assert_eq!(get(&scene.r1, &other, "/run/vrrp").status, 200);
    let again = curl(&scene.r1, &["-X", "DELETE", "-b", &one, &auth]);
    assert_eq!(again.status, 401);
}

#[test]
fn cookies_that_were_not_signed_here_are_worth_nothing() {
    let scene = Scene::new("cookies_that_were_not_signed_here_are_worth_nothing");
    let _daemon = start(&scene, "");
    let good = log_in(&scene.r1, URL, "admin");
    let fields: Vec<(&str, &str)> = good
        .split("; ")
        .filter_map(|pair| pair.split_once('='))
        .collect();
    assert_eq!(
        fields.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["user", "ts", "nonce", "token"]
    );
    let with = |name: &str, value: &str| {
        let pairs = fields.iter().map(|(known, old)| {
            let value = if *known == name { value } else { old };
            format!("{known}={value}")
        });
        pairs.collect::<Vec<_>>().join("; ")
    };
    for bad in [
        String::new(),
        with("user", "root"),
        with("user", "nobody"),
        with("ts", "0"),
        with("ts", "99999999999999999999"),
        with("ts", "-1"),
        with("nonce", "1"),
        with("nonce", "x"),
        with("token", ""),
        with("token", &"0".repeat(64)),
    ] {
        let answer = get(&scene.r1, &bad, "/run/vrrp");
        assert_eq!(answer.status, 401, "{bad}: {answer:?}");
        assert!(!answer.body.contains(VIP_TEXT));
    }
    assert_eq!(get(&scene.r1, &good, "/run/vrrp").status, 200);
}

/// Each request has its own answer, however many run beside each other.
#[test]
fn answers_are_never_mixed_up() {
    let scene = Scene::new("answers_are_never_mixed_up");
    let _daemon = start(&scene, "");
    let cookies = log_in(&scene.r1, URL, "admin");
    let url = format!("{URL}/run/vrrp?[1-60]");
    std::thread::scope(|scope| {
        for with_session in [true, false].repeat(4) {
            let (scene, cookies, url) = (&scene, &cookies, &url);
            scope.spawn(move || {
                let mut command = scene.r1.command("curl");
                command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}\n"]);
                if with_session {
                    command.args(["-b", cookies]);
                }
                command.arg(url);
                let text = rvrrpd_tests::web::output(command);
                let expected = if with_session { "200\n" } else { "401\n" };
                assert_eq!(String::from_utf8(text).unwrap(), expected.repeat(60));
            });
        }
    });
}

#[test]
fn forms_and_json_log_in_too() {
    let scene = Scene::new("forms_and_json_log_in_too");
    let _daemon = start(&scene, "");
    let auth = format!("{URL}/auth");
    let json = "content-type: application/json";
    for (arguments, status) in [
        (vec!["-d", "user=admin&passwd=banana"], 200),
        (
            vec!["-d", "user=admin", "--data-urlencode", "passwd=ban ana"],
            401,
        ),
        (
            vec!["-H", json, "-d", r#"{"user":"root","passwd":"banana"}"#],
            200,
        ),
        (vec!["-H", json, "-d", r#"{"user":"root"}"#], 400),
        (vec!["-d", "admin banana"], 400),
        (vec!["-d", "user=nobody passwd=banana"], 401),
        (
            vec![
                "-H",
                "Origin: http://evil.example",
                "-d",
                "user=admin passwd=banana",
            ],
            403,
        ),
    ] {
        let mut words = arguments.clone();
        words.push(&auth);
        let answer = curl(&scene.r1, &words);
        assert_eq!(answer.status, status, "{arguments:?}: {answer:?}");
        assert_eq!(
            answer.field("set-cookie").len(),
            if status == 200 { 4 } else { 0 }
        );
    }
}

/// A configured secret outlives the daemon; another one, or another password, ends all sessions.
#[test]
fn sessions_live_as_long_as_secret_and_password() {
    let scene = Scene::new("sessions_live_as_long_as_secret_and_password");
    let daemon = start(&scene, "secret = \"one\"");
    let cookies = log_in(&scene.r1, URL, "admin");
    daemon.stop();
    let daemon = start(&scene, "secret = \"one\"");
    assert_eq!(
        get(&scene.r1, &cookies, "/run/vrrp").json()[0]["name"],
        NAME
    );
    daemon.reload(&with_api("secret = \"two\"", &[vrouter()]));
    until("the session ends with its secret", within(10.0), || {
        (get(&scene.r1, &cookies, "/run/vrrp").status == 401).then_some(())
    });
    let cookies = log_in(&scene.r1, URL, "root");
    let text = with_api("secret = \"two\"", &[vrouter()]).replace("root:1:", "root:0:");
    daemon.reload(&text);
    until("the session ends with its level", within(10.0), || {
        (get(&scene.r1, &cookies, "/run/vrrp").status == 401).then_some(())
    });
}
