//! What is shown.

use std::collections::BTreeSet;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT, VRID};
use rvrrpd_tests::web::{ask, curl, output};

use super::{URL, get, log_in, socket, start, vrouter, wait_until_up, with_api};

/// The commands of rVRRPd's documentation (3.3), word for word but for the address.
#[test]
fn the_documented_session_over_http() {
    let scene = Scene::new("the_documented_session_over_http");
    let _daemon = start(&scene, "");
    let jar = scene.lab.dir().join("rvrrpd-api-cookie");
    let jar = jar.to_str().unwrap();
    let run = |line: &str| {
        let mut command = scene.r1.command("sh");
        command.args(["-c", &line.replace("/tmp/rvrrpd-api-cookie", jar)]);
        String::from_utf8(output(command)).unwrap()
    };
    run(
        "curl -k -c /tmp/rvrrpd-api-cookie -d \"user=admin passwd=banana\" -X POST \
         http://127.0.0.1:7080/auth",
    );
    let text = run("curl -k -s -b /tmp/rvrrpd-api-cookie -X GET http://127.0.0.1:7080/run/vrrp");
    let expected = r#"[{"virtual_ip":"10.0.0.100","group":7,"interface":"standby7","priority":100,"preempt":false,"state":"Master","#;
    assert!(text.starts_with(expected), "{text}");
    // The guide writes "the auth/ path".
    let text = run("curl -s -d 'user=admin passwd=banana' http://127.0.0.1:7080/auth/");
    assert!(text.contains("\"user\":\"admin\""), "{text}");
}

/// The fields of rVRRPd come first and in its order (reference of its API).
#[test]
fn a_router_in_detail_begins_with_the_documented_fields() {
    let scene = Scene::new("a_router_in_detail_begins_with_the_documented_fields");
    let daemon = start(&scene, "");
    let cookies = log_in(&scene.r1, URL, "admin");
    let detail = get(&scene.r1, &cookies, "/run/vrrp/7/eth0");
    let mac = scene.r1.mac("eth0").to_string().to_uppercase();
    let expected = format!(
        "{{\"virtual_ip\":\"10.0.0.100\",\"group\":7,\"interface\":\"standby7\",\
         \"vif\":\"standby7\",\"priority\":100,\"preempt\":false,\"state\":\"Master\",\
         \"auth_type\":0,\"interface_hwaddress\":\"{mac}\",\"advert_interval\":0.1,\
         \"masterdown_interval\":0.36"
    );
    assert!(detail.body.starts_with(&expected), "{}", detail.body);
    assert_eq!(
        get(&scene.r1, &cookies, "/run/vrrp/7/standby7").json()["name"],
        NAME
    );
    let at_work = get(&scene.r1, &cookies, "/run/vrrp/7/eth0").json();
    let filter = at_work["socket_filter"].as_str().unwrap_or_default();
    let gate = at_work["gate"].as_str().unwrap_or_default();
    assert!(["classic", "ebpf"].contains(&filter), "{at_work}");
    assert!(["ebpf", "nftables"].contains(&gate), "{at_work}");
    let metrics = get(&scene.r1, &cookies, "/metrics").body;
    let labels =
        format!("socket_filter=\"{filter}\",gate=\"{gate}\",data_plane=\"macvlan\",netns=\"\"");
    assert!(metrics.contains(&labels), "{labels}: {metrics}");
    let counts = metrics.contains("rvrrpd_gate_frames_total{reason=\"closed-frames\"} ");
    assert_eq!(counts, gate == "ebpf", "{metrics}");
    // What the line for operators says.
    let status = daemon.status(NAME);
    assert_eq!(status["socket-filter"], filter);
    let sent = || {
        let detail = get(&scene.r1, &cookies, "/run/vrrp/7/eth0").json();
        detail["statistics"]["advertisement-sent"].as_u64()
    };
    let before = sent();
    until("more advertisements are counted", within(5.0), || {
        (sent() > before).then_some(())
    });
    for (path, status) in [
        ("/run/vrrp/7", 200),
        ("/run/vrrp/8", 200),
        ("/run/vrrp/0", 400),
        ("/run/vrrp/256", 400),
        ("/run/vrrp/x", 400),
        ("/run/vrrp/7/eth1", 404),
        ("/run/vrrp/7/eth0?family=ipv6", 404),
        ("/run/vrrp/7/eth0?family=7", 400),
        ("/run/vrrp/7/eth0?netns=", 200),
        ("/run/vrrp/7/eth0?netns=blue", 404),
        ("/run/vrrp/7/eth0?nam=eth0-7", 400),
        ("/run/vrrp?family=ipv4", 400),
        ("/events?since=1", 400),
        ("/nothing", 404),
    ] {
        let answer = get(&scene.r1, &cookies, path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        if status >= 400 {
            assert_eq!(answer.field("content-type"), ["application/problem+json"]);
            assert_eq!(answer.json()["status"], status, "{path}");
        }
    }
    assert_eq!(get(&scene.r1, &cookies, "/run/vrrp/8").body, "[]");
}

#[test]
fn why_a_router_does_not_run_is_shown() {
    let scene = Scene::new("why_a_router_does_not_run_is_shown");
    let stray = Vrouter::new(8, &["10.0.0.108"]).text("interface", "eth9");
    let off = Vrouter::new(9, &["10.0.0.109"])
        .macvlan()
        .key("enabled", false);
    let text = with_api("", &[vrouter(), stray, off]);
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Master, within(10.0));
    let socket = socket(&daemon);
    until("all reasons are shown", within(10.0), || {
        let routers = ask(&socket, "GET", "/run/vrrp").json();
        let shown = |place: usize| {
            let router = &routers[place];
            (
                router["state"].clone(),
                router["substate"].clone(),
                router["not_ready"].clone(),
            )
        };
        let null = serde_json::Value::Null;
        let expected = [
            ("Master".into(), null.clone(), serde_json::json!([])),
            ("Init".into(), null, serde_json::json!(["no-interface"])),
            (
                "Init".into(),
                "shutdown".into(),
                serde_json::json!(["disabled"]),
            ),
        ];
        ([shown(0), shown(1), shown(2)] == expected).then_some(())
    });
}

#[test]
fn secrets_stay_in_the_daemon() {
    let scene = Scene::new("secrets_stay_in_the_daemon");
    let secret = Vrouter::new(9, &["10.0.0.109"])
        .v2()
        .text("auth_type", "rfc2338-simple")
        .text("auth_secret", "Gehe1m42");
    let keys = "secret = \"NobodyMayKnow\"";
    let _daemon = scene.start(&scene.r1, &with_api(keys, &[secret]));
    wait_until_up(&scene.r1);
    let cookies = log_in(&scene.r1, URL, "root");
    let mut seen = String::new();
    for path in paths(&scene) {
        if path != "/events" {
            let path = path.replace("{group}", "9").replace("{interface}", "eth0");
            seen.push_str(&get(&scene.r1, &cookies, &path).body);
        }
    }
    assert!(seen.contains("\"auth_secret\":\"***\""), "{seen}");
    assert!(seen.contains("\"secret\":\"***\""), "{seen}");
    assert!(seen.contains("{{SHA256}}root:1:***"), "{seen}");
    for secret in [
        "Gehe1m42",
        "NobodyMayKnow",
        "a3e5b8d8b1f43248",
        "9074cd007e17",
    ] {
        assert!(!seen.contains(secret), "{secret}");
    }
}

/// Paths of the document that are to be read.
fn paths(scene: &Scene) -> Vec<String> {
    let document = curl(&scene.r1, &[&format!("{URL}/openapi.json")]).json();
    let paths = document["paths"].as_object().unwrap();
    let read = paths.iter().filter(|(_, item)| item.get("get").is_some());
    read.map(|(path, _)| path.clone()).collect()
}

/// Every documented path is there, and without a session it shows nothing.
#[test]
fn the_document_is_true_and_everything_needs_a_session() {
    let scene = Scene::new("the_document_is_true_and_everything_needs_a_session");
    let _daemon = start(&scene, "");
    let document = curl(&scene.r1, &[&format!("{URL}/openapi.json")]).json();
    let open = BTreeSet::from(["/auth", "/health", "/openapi.json"]);
    let mut count = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let concrete = path
                .replace("{group}", "7")
                .replace("{interface}", "eth0")
                .replace("{name}", NAME);
            let method = method.to_uppercase();
            let url = format!("{URL}{concrete}");
            let answer = curl(&scene.r1, &["-X", &method, &url]);
            let expected = match (path.as_str(), method.as_str()) {
                ("/auth", "POST") => 400,
                ("/auth", _) => 401,
                (path, _) if open.contains(path) => 200,
                _ => 401,
            };
            assert_eq!(answer.status, expected, "{method} {path}: {answer:?}");
            if !open.contains(path.as_str()) {
                assert!(!answer.body.contains(VIP_TEXT), "{answer:?}");
            }
            let documented = &item[method.to_lowercase()]["responses"];
            assert!(
                documented.get(expected.to_string()).is_some(),
                "{method} {path}: {expected} is not documented"
            );
            count += 1;
        }
    }
    assert!(count >= 18, "{count}");
    let answer = curl(&scene.r1, &["-X", "PUT", &format!("{URL}/auth")]);
    assert_eq!((answer.status, answer.field("allow").len()), (405, 1));
}

#[test]
fn metrics_are_openmetrics() {
    let scene = Scene::new("metrics_are_openmetrics");
    let daemon = start(&scene, "");
    // What became of the election is still carried out.
    let answer = until("the driver has done something", within(5.0), || {
        let answer = ask(&socket(&daemon), "GET", "/metrics");
        let idle = "rvrrpd_queue_depth{queue=\"driver\"} 0\n";
        let unused = "rvrrpd_driver_latency_seconds_bucket{le=\"+Inf\"} 0\n";
        let is_done = answer.body.contains(idle) && !answer.body.contains(unused);
        is_done.then_some(answer)
    });
    let kind = answer.field("content-type")[0];
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(answer.body.contains("# EOF"), "{}", answer.body);
    let labels = format!("{{name=\"{NAME}\",group=\"{VRID}\",interface=\"eth0\",family=\"ipv4\"}}");
    for line in [
        format!("rvrrpd_state{labels} 2"),
        format!("rvrrpd_priority{labels} 100"),
        format!("rvrrpd_master_transitions_total{labels} 1"),
        "rvrrpd_virtual_routers{state=\"Master\"} 1".to_owned(),
    ] {
        assert!(answer.body.contains(&line), "{line} in\n{}", answer.body);
    }
    let value = |series: &str| {
        let mut lines = answer.body.lines();
        let number = lines.find_map(|line| line.strip_prefix(series)?.trim().parse::<u64>().ok());
        number.unwrap_or_else(|| panic!("{series} in\n{}", answer.body))
    };
    let count = |name: &str| value(&format!("rvrrpd_{name}_seconds_bucket{{le=\"+Inf\"}}"));
    // Each left at a deadline, which was seen before.
    let sent = value(&format!("rvrrpd_advertisement_sent_total{labels}"));
    assert!(
        count("worker_lateness") >= sent && sent > 0,
        "{}",
        answer.body
    );
    assert!(count("driver_latency") > 0, "{}", answer.body);
}

/// Without `client_api` and `[api]` there is no server, but the Unix socket is there.
#[test]
fn without_api_there_is_the_unix_socket_alone() {
    let scene = Scene::new("without_api_there_is_the_unix_socket_alone");
    let daemon = scene.start(&scene.r1, &config(&[vrouter()]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let socket = socket(&daemon);
    assert_eq!(ask(&socket, "GET", "/run/vrrp").json()[0]["name"], NAME);
    assert_eq!(scene.r1.run("ss", &["-Hltn"]), "");

    daemon.reload(&with_api("", &[vrouter()]));
    wait_until_up(&scene.r1);
    daemon.reload(&with_api("host = \"[::1]:7081\"", &[vrouter()]));
    until(
        "the other address is listened on, and no other",
        within(10.0),
        || {
            let listening = scene.r1.run("ss", &["-Hltn"]);
            (listening.contains("[::1]:7081") && listening.lines().count() == 1).then_some(())
        },
    );
    daemon.reload(&format!("client_api = \"http\"\n{}", config(&[vrouter()])));
    wait_until_up(&scene.r1);
    let texts = daemon.log().texts_after(0);
    assert!(!texts.iter().any(|text| text.contains("no effect")));
    daemon.stop();
    assert!(!socket.exists());
}
