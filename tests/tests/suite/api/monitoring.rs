//! What monitoring reads, judged by what others wrote: YANG modules, Prometheus' own parser, and the
//! examples of `docs/monitoring/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::{AdvertSpec, Sum};
use rvrrpd_tests::python;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter};
use rvrrpd_tests::scene::{GHOST, NAME, Scene, VIP};
use rvrrpd_tests::web::ask;
use serde_json::Value;

use super::{socket, vrouter, with_api};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A daemon that shows as much as can be shown: both families and all versions, one that does not
/// run, one without its interface, a peer, and packets that are refused.
fn everything(scene: &Scene) -> Rvrrpd {
    let own = vrouter().preemption(true);
    let six = Vrouter::new(8, &["fe80::8", "2001:db8::8"]).macvlan();
    let both = Vrouter::new(9, &["10.0.0.109"])
        .macvlan()
        .text("version", "2+3")
        .interval(1.0);
    let two = Vrouter::new(10, &["10.0.0.110"])
        .macvlan()
        .v2()
        .key("enabled", false);
    let stray = Vrouter::new(11, &["10.0.0.111"]).text("interface", "eth9");
    let daemon = scene.start(&scene.r1, &with_api("", &[own, six, both, two, stray]));
    for name in [NAME, "eth0-8-v6", "eth0-9"] {
        daemon.wait_state(name, State::Master, within(15.0));
    }
    scene.inject(scene.ghost(50, 10));
    scene.inject(AdvertSpec::v3(77, 50, 100, GHOST, &[VIP]));
    // The eBPF filter counts a foreign VRID, the classic one cannot.
    scene.inject(AdvertSpec {
        sum: Sum::Wrong,
        ..scene.ghost(50, 10)
    });
    let socket = socket(&daemon);
    until("all that was sent is counted", within(10.0), || {
        let text = ask(&socket, "GET", "/metrics").body;
        let is_there = |name: &str| text.lines().any(|line| line.starts_with(name));
        (is_there("rvrrpd_packets_refused_total{reason=") && is_there("rvrrpd_not_ready{"))
            .then_some(())
    });
    daemon
}

/// Gives `text` to `command`; what it says where it fails.
fn judge(mut command: Command, text: &str) -> Result<(), String> {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who has heard enough closes it.
    let _closed = child.stdin.take().unwrap().write_all(text.as_bytes());
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Whether `model` is data of the modules of RFC 8347, with all that is mandatory; the features are
/// those that the daemon has.
fn yanglint(scene: &Scene, model: &Value) -> Result<(), String> {
    let file = scene.lab.dir().join("model.json");
    fs::write(&file, model.to_string()).unwrap();
    let modules = repository().join("tests/yang");
    let mut command = Command::new("yanglint");
    command
        .arg("--path")
        .arg(&modules)
        .args(["--disable-searchdir", "--format", "json"]);
    for features in [
        "ietf-interfaces:",
        "ietf-ip:",
        "ietf-vrrp:validate-interval-errors,validate-address-list-errors",
    ] {
        command.args(["--features", features]);
    }
    for module in [
        "ietf-vrrp@2018-03-13.yang",
        "ietf-ip@2018-02-22.yang",
        "iana-if-type@2014-05-08.yang",
    ] {
        command.arg(modules.join(module));
    }
    command.args(["--type", "data"]).arg(file);
    judge(command, "")
}

/// RFC 8347, and by its imports RFC 8343 and RFC 8344.
#[test]
fn the_yang_state_is_valid() {
    let scene = Scene::new("the_yang_state_is_valid");
    let daemon = everything(&scene);
    let model = ask(&socket(&daemon), "GET", "/yang/ietf-vrrp").json();
    let interfaces = &model["ietf-interfaces:interfaces"]["interface"];
    assert_eq!(interfaces.as_array().unwrap().len(), 2, "{model}");
    assert_eq!(yanglint(&scene, &model), Ok(()), "{model}");
    // The judge is none that lets all pass.
    let instance =
        "/ietf-interfaces:interfaces/interface/0/ietf-ip:ipv4/ietf-vrrp:vrrp/vrrp-instance/0";
    for (name, value) in [
        ("vrid", 300.into()),
        ("state", "Master".into()),
        ("colour", 1.into()),
    ] {
        let mut wrong = model.clone();
        wrong.pointer_mut(instance).unwrap()[name] = value;
        assert!(yanglint(&scene, &wrong).is_err(), "{wrong}");
    }
}

/// What Prometheus' parser of OpenMetrics makes of it.
#[test]
fn metrics_are_read_by_prometheus() {
    let Some(python) = python::program("python") else {
        return;
    };
    let scene = Scene::new("metrics_are_read_by_prometheus");
    let daemon = everything(&scene);
    let text = ask(&socket(&daemon), "GET", "/metrics").body;
    let parse = |text: &str| {
        let mut command = Command::new(&python);
        command.args([
            "-c",
            "import sys; from prometheus_client.openmetrics.parser import \
             text_string_to_metric_families as parse; \
             assert len(list(parse(sys.stdin.read()))) > 20",
        ]);
        judge(command, text)
    };
    assert_eq!(parse(&text), Ok(()), "{text}");
    for wrong in [text.replace("# EOF", ""), text.replacen("} ", "}", 1)] {
        assert!(parse(&wrong).is_err());
    }
}

/// Names of samples in `text`, with those that they come from in `# TYPE`.
fn samples(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter(|line| !line.starts_with('#'));
    let mut names: BTreeSet<String> = names
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    // A counter by reason that has counted nothing yet has no sample.
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        if let Some(name) = line.strip_suffix(" counter") {
            names.insert(format!("{name}_total"));
        }
    }
    names
}

/// Every name of a metric of ours in an expression.
fn names(expression: &str) -> Vec<&str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("rvrrpd_")).collect()
}

#[track_caller]
fn are_there(expression: &str, samples: &BTreeSet<String>) {
    let names = names(expression);
    assert!(!names.is_empty(), "no metric in {expression}");
    for name in names {
        assert!(
            samples.contains(name),
            "{name} of {expression} is not in /metrics"
        );
    }
}

/// The examples ask for what there is.
#[test]
fn the_examples_of_the_documentation_ask_for_what_there_is() {
    let Some(python) = python::program("python") else {
        return;
    };
    let scene = Scene::new("the_examples_of_the_documentation_ask_for_what_there_is");
    let daemon = everything(&scene);
    let samples = samples(&ask(&socket(&daemon), "GET", "/metrics").body);
    let directory = repository().join("docs/monitoring");

    let mut command = Command::new(python);
    command.args([
        "-c",
        "import sys, yaml, json; print(json.dumps(yaml.safe_load(sys.stdin)))",
    ]);
    let alerts = fs::File::open(directory.join("rvrrpd-alerts.yml")).unwrap();
    let output = command.stdin(alerts).output().unwrap();
    let alerts: Value = serde_json::from_slice(&output.stdout).unwrap();
    let alerts = alerts.as_object().unwrap();
    assert!(alerts.keys().eq(["groups"]), "{alerts:?}");
    let mut seen = BTreeSet::new();
    for group in alerts["groups"].as_array().unwrap() {
        assert!(group["name"].is_string(), "{group}");
        for rule in group["rules"].as_array().unwrap() {
            for key in rule.as_object().unwrap().keys() {
                let known = ["alert", "expr", "for", "labels", "annotations"];
                assert!(known.contains(&key.as_str()), "{key}");
            }
            let name = rule["alert"].as_str().unwrap();
            assert!(seen.insert(name), "{name} is there twice");
            assert!(rule["labels"]["severity"].is_string(), "{name}");
            assert!(rule["annotations"]["summary"].is_string(), "{name}");
            are_there(rule["expr"].as_str().unwrap(), &samples);
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");

    let text = fs::read_to_string(directory.join("rvrrpd-grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["title"].is_string() && dashboard["schemaVersion"].is_u64());
    let (mut ids, mut places) = (BTreeSet::new(), Vec::<[u64; 4]>::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        let [x, y, w, h] = place;
        assert!(x + w <= 24 && w > 0 && h > 0, "{panel}");
        for [ox, oy, ow, oh] in &places {
            let beside = x + w <= *ox || ox + ow <= x || y + h <= *oy || oy + oh <= y;
            assert!(beside, "{} lies upon another", panel["title"]);
        }
        places.push(place);
        for target in panel["targets"].as_array().unwrap() {
            are_there(target["expr"].as_str().unwrap(), &samples);
        }
    }
    assert!(ids.len() >= 8, "{ids:?}");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            are_there(&variable["query"].to_string(), &samples);
        }
    }
    // The page that explains them names nothing else either.
    let page = fs::read_to_string(directory.join("../monitoring.md")).unwrap();
    for name in names(&page) {
        let known = samples.iter().any(|sample| sample.starts_with(name));
        assert!(known, "{name} of docs/monitoring.md is not in /metrics");
    }
}
