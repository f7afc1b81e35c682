//! Sessions: how they begin, how they end, and what they are good for.

use std::time::{Duration, Instant};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT};
use rvrrpd_tests::web::curl;

/// Level 0, password `banana`, that takes about half a second: 8 MiB, 50 passes.
pub(super) const ARGON2: &str = "{{ARGON2ID}}slow:0::$argon2id$v=19$m=8192,t=50,p=1$YmFuYW5hc2FsdGJhbmFuYQ$FP6Meq/jkF3rUe6VtcTwGNpvMKSH2Ryf14SqIUao0sU";

use super::{URL, get, log_in, start, vrouter, with_api};

#[test]
fn a_session_ends_after_its_lifetime() {
    let scene = Scene::new("a_session_ends_after_its_lifetime");
    let _daemon = start(&scene, "session_lifetime = 5");
    let begin = Instant::now();
    let cookies = log_in(&scene.r1, URL, "admin");
    assert_eq!(get(&scene.r1, &cookies, "/run/vrrp").status, 200);
    until("the session ends", within(15.0), || {
        (get(&scene.r1, &cookies, "/run/vrrp").status == 401).then_some(())
    });
    // Its time is counted in whole seconds.
    assert!(begin.elapsed() > Duration::from_secs(4), "{begin:?}");
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
    let url = format!("{URL}/run/vrrp/[1-60]");
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

/// Who keeps no cookies logs in with each request, to read, and is slowed down like everybody.
#[test]
fn passwords_come_with_each_request_to_read() {
    let scene = Scene::new("passwords_come_with_each_request_to_read");
    let daemon = start(&scene, "host = [\"127.0.0.1:7080\", \"10.0.0.1:7080\"]");
    let text = with_api(
        "host = [\"127.0.0.1:7080\", \"10.0.0.1:7080\"]",
        &[vrouter()],
    );
    let text = text.replacen("users = [", &format!("users = [{ARGON2:?},"), 1);
    daemon.reload(&text);
    let ask = |host, address: &str, login: &str, path: &str| {
        curl(
            host,
            &["-u", login, &format!("http://{address}:7080{path}")],
        )
    };
    let local = |login: &str, path: &str| ask(&scene.r1, "127.0.0.1", login, path);
    // Not by logging in: who fails too often waits.
    until("the user is there", within(20.0), || {
        let known = super::ask(&super::socket(&daemon), "GET", "/config/global").json();
        let users = known["api"]["users"].as_array()?;
        (users.len() == 3).then_some(())
    });
    assert_eq!(local("slow:banana", "/metrics").status, 200);
    let cpu = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks = fields[11..13]
            .iter()
            .map(|field| field.parse::<u64>().unwrap());
        ticks.sum::<u64>()
    };
    let before = cpu();
    for _ in 0..5 {
        let login = ["-d", "user=slow passwd=banana", &format!("{URL}/auth")];
        assert_eq!(curl(&scene.r1, &login).status, 200);
    }
    let five = cpu() - before;
    let before = cpu();
    for _ in 0..20 {
        for path in ["/metrics", "/run/vrrp", "/run/global"] {
            assert_eq!(local("slow:banana", path).status, 200, "{path}");
        }
    }
    // 60 hashes would be 12 times as much.
    let sixty = cpu() - before;
    assert!(sixty < five * 6, "{sixty} ticks, five hashes: {five}");
    let wrong = local("slow:orange", "/metrics");
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.field("www-authenticate").len(), 1, "{wrong:?}");
    assert!(!wrong.body.contains(VIP_TEXT));
    // It is offered where it would do, and not to scripts of pages, whose browser would ask then.
    for (offered, method, headers) in [
        (1, "GET", &["Sec-Fetch-Mode: navigate"][..]),
        (1, "GET", &[]),
        (0, "GET", &["Sec-Fetch-Mode: cors"]),
        (0, "GET", &["X-Requested-With: fetch"]),
        (0, "GET", &["Accept: text/event-stream"]),
        (0, "POST", &[]),
    ] {
        let url = format!("{URL}/run/reload");
        let url = if method == "GET" {
            format!("{URL}/metrics")
        } else {
            url
        };
        let mut arguments = vec!["-X", method, &url];
        for header in headers {
            arguments.extend(["-H", header]);
        }
        let nobody = curl(&scene.r1, &arguments);
        let challenges = nobody.field("www-authenticate").len();
        assert_eq!((nobody.status, challenges), (401, offered), "{headers:?}");
    }
    // Nothing is changed so.
    let order = format!("{URL}/run/vrrp/{NAME}/disable");
    for (method, url) in [("POST", &order), ("DELETE", &format!("{URL}/auth"))] {
        let answer = curl(&scene.r1, &["-u", "root:banana", "-X", method, url]);
        assert_eq!(answer.status, 401, "{method} {url}");
    }

    // Another host guesses, and then has to wait, with the right one, too.
    let remote = |login: &str| ask(&scene.client, "10.0.0.1", login, "/run/vrrp");
    assert_eq!(remote("admin:banana").status, 200);
    // Long enough that the right one comes within it on a slow machine, too.
    until("guesses are slowed down", within(60.0), || {
        let answer = remote("admin:orange");
        let wait = answer.field("retry-after").first()?.parse::<u64>().ok()?;
        (answer.status == 429 && wait >= 6).then_some(())
    });
    assert_eq!(remote("admin:banana").status, 429);
    assert_eq!(local("admin:banana", "/run/vrrp").status, 200);

    // What is remembered goes with the password.
    daemon.reload(&text.replace("slow:0:", "slow:1:"));
    let again = until("the line is another one", within(20.0), || {
        let users = local("slow:banana", "/config/global").json();
        let users = users["api"]["users"].as_array()?.clone();
        users[0].as_str()?.contains("slow:1").then_some(users)
    });
    assert_eq!(again.len(), 3);
}
