//! The sample configuration of rVRRPd's own documentation, in TOML and in JSON.

use std::net::Ipv4Addr;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::{Lab, Lan};
use rvrrpd_tests::rvrrpd::{self, Files, Rvrrpd, State};
use rvrrpd_tests::snapshot::snapshot;

/// The sample, word for word but for the directory of its files.
fn toml(directory: &str) -> String {
    format!(
        r#"debug = 5
pid = "{directory}/rvrrpd.pid"
working_dir = "{directory}"
main_log = "{directory}/rvrrpd.log"
error_log = "{directory}/rvrrpd-error.log"
client_api = "http"

[[vrouter]]
  group = 1
  interface = "ens192.900"
  vip = "10.100.100.1"
  priority = 254
  preemption = true
  rfc3768 = true
  netdrv = "libnl"
  iftype = "macvlan"
  vifname = "vrrp0"
  auth_type = "rfc2338-simple"
  auth_secret = "thissecretnolongeris"

[protocols]
  [[protocols.static]]
    route = "0.0.0.0"
    mask = "0.0.0.0"
    nh = "10.240.0.254"

[api]
  tls = false
  host = "0.0.0.0:7080"
  users = [ "{{{{SHA256}}}}admin:0:1eb7ac761a1201f9:095820af06d5d5b17a0bc5e9e9e0f9b8d6f1d6c7e27f7d5a5a4e4a1d1d2e3f40" ]
"#
    )
}

/// The same as JSON.
fn json(directory: &str) -> String {
    format!(
        r#"{{
  "debug": 5,
  "pid": "{directory}/rvrrpd.pid",
  "working_dir": "{directory}",
  "main_log": "{directory}/rvrrpd.log",
  "error_log": "{directory}/rvrrpd-error.log",
  "client_api": "http",
  "run_dir": "{directory}/rvrrpd-r1-run",
  "vrouter": [
    {{
      "group": 1, "interface": "ens192.900", "vip": "10.100.100.1", "priority": 254,
      "preemption": true, "rfc3768": true, "netdrv": "libnl", "iftype": "macvlan",
      "vifname": "vrrp0", "auth_type": "rfc2338-simple", "auth_secret": "thissecretnolongeris"
    }}
  ],
  "protocols": {{
    "static": [ {{ "route": "0.0.0.0", "mask": "0.0.0.0", "nh": "10.240.0.254" }} ]
  }},
  "api": {{
    "tls": false, "host": "0.0.0.0:7080",
    "users": [ "{{{{SHA256}}}}admin:0:1eb7ac761a1201f9:095820af06d5d5b17a0bc5e9e9e0f9b8d6f1d6c7e27f7d5a5a4e4a1d1d2e3f40" ]
  }}
}}
"#
    )
}

/// A router with the interface names of the sample.
fn router(lab: &Lab) -> (Host, Lan) {
    let (lan, upstream) = (lab.lan("lan"), lab.lan("upstream"));
    let host = lab.host("r1");
    lab.attach(&lan, &host, "ens192.900", &["10.100.100.2/24"]);
    lab.attach(&upstream, &host, "eth1", &["10.240.0.1/24"]);
    (host, lan)
}

/// The daemon becomes Master with what the sample says, and tells its password to nobody.
fn assert_runs(host: &Host, lan: &Lan, daemon: &Rvrrpd) {
    let capture = lan.capture();
    daemon.wait_state("ens192.900-1", State::Master, within(10.0));
    let frame = capture.wait_since(
        rvrrpd_tests::sys::Stamp::default(),
        "an advert",
        within(5.0),
        |frame| frame.is_advert_of(1),
    );
    let advert = frame.advert().expect("advert");
    assert_eq!(
        (advert.version, advert.priority, advert.auth_type),
        (2, 254, 1)
    );
    assert_eq!(advert.auth_data, b"thissecr", "8 bytes of the password");
    assert_eq!(advert.addresses, [Ipv4Addr::new(10, 100, 100, 1)]);
    until("the address on vrrp0", within(5.0), || {
        (host.carriers_of(Ipv4Addr::new(10, 100, 100, 1).into()) == ["vrrp0"]).then_some(())
    });
    until("the default route", within(5.0), || {
        host.routes()
            .iter()
            .any(|r| r.starts_with("default via 10.240.0.254"))
            .then_some(())
    });
    for line in daemon.log().lines() {
        assert!(
            !line.text.contains("thissecr"),
            "the password is in the log: {}",
            line.text
        );
    }
}

/// Documentation §2.2.5, Listing 1, in TOML.
#[test]
fn documented_sample_in_toml() {
    let lab = Lab::new("documented_sample_in_toml");
    let (host, lan) = router(&lab);
    let before = snapshot(&host);
    let daemon = Rvrrpd::start(&lab, &host, &toml(&lab.dir().display().to_string()));
    assert_runs(&host, &lan, &daemon);
    daemon.stop();
    before.assert_same(&snapshot(&host), "after the stop");
}

/// The same in JSON, by `-g json` and by the ending of the file's name.
#[test]
fn documented_sample_in_json() {
    let lab = Lab::new("documented_sample_in_json");
    let (host, lan) = router(&lab);
    let text = json(&lab.dir().display().to_string());
    let forms: [(&str, &[&str]); 2] = [("sample.conf", &["-g", "json"]), ("sample.json", &[])];
    for (name, switches) in forms {
        lab.step(name);
        let path = lab.dir().join(name);
        std::fs::write(&path, &text).expect("configuration");
        let mut command = rvrrpd::command_on(&host);
        command
            .args(["-m", "1"])
            .args(switches)
            .arg("-c")
            .arg(&path);
        let daemon = Rvrrpd::start_command(&host, Files::of(&lab, &host), command);
        assert_runs(&host, &lan, &daemon);
        daemon.stop();
    }
}
