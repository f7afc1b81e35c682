//! The Client API from outside: what a client, a browser and an attacker see.

mod abuse;
mod attacks;
mod events;
mod monitoring;
mod orders;
mod page;
mod reading;
mod schemathesis;
mod sessions;
mod tls;
mod writes;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::process::Line;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT, VRID};
use rvrrpd_tests::web::{Answer, ask, curl};

/// Level 0 and level 1, both with the password `banana`; made by rVRRPd 0.1.3 and rvrrpd-pw.
const USERS: &str = r#"users = [
  "{{SHA256}}admin:0:a3e5b8d8b1f43248:9074cd007e17abd2618e0e40b2a4466ac566418e0d97766a00003ab8504e71fa",
  "{{SHA256}}root:1:a3e5b8d8b1f43248:9074cd007e17abd2618e0e40b2a4466ac566418e0d97766a00003ab8504e71fa",
]"#;
/// Where it listens.
const URL: &str = "http://127.0.0.1:7080";

/// The usual virtual router on a macvlan.
fn vrouter() -> Vrouter {
    Vrouter::new(VRID, &[VIP_TEXT]).macvlan()
}

/// A configuration with `[api]`.
fn with_api(keys: &str, vrouters: &[Vrouter]) -> String {
    format!("[api]\n{USERS}\n{keys}\n\n{}", config(vrouters))
}

/// A daemon with the usual virtual router, Master, and with `[api]`, which has opened its sockets or
/// told why not.
fn start(scene: &Scene, keys: &str) -> Rvrrpd {
    let daemon = scene.start(&scene.r1, &with_api(keys, &[vrouter()]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    wait_until_ready(&daemon);
    // Where it answers it has dealt with the others.
    assert_eq!(ask(&socket(&daemon), "GET", "/health").status, 200);
    daemon
}

/// Waits until it says that it is ready; its Unix socket is there then.
#[track_caller]
fn wait_until_ready(daemon: &Rvrrpd) {
    let started = |line: &Line| line.text.contains("daemon started").then_some(());
    daemon.log().wait_after(0, "start", within(10.0), started);
    UnixStream::connect(socket(daemon)).expect("Unix socket");
}

/// Its Unix socket.
fn socket(daemon: &Rvrrpd) -> PathBuf {
    daemon.files().run_dir.join("rvrrpd.sock")
}

/// The cookies of a new session of `user`.
#[track_caller]
fn log_in(host: &Host, url: &str, user: &str) -> String {
    let login = format!("user={user} passwd=banana");
    // A virtual router may be Master before the API listens.
    let answer = until("somebody listens", within(10.0), || {
        let answer = curl(host, &["-k", "-d", &login, &format!("{url}/auth")]);
        (answer.status != 0).then_some(answer)
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.cookies()
}

/// A GET with these cookies.
fn get(host: &Host, cookies: &str, path: &str) -> Answer {
    curl(host, &["-b", cookies, &format!("{URL}{path}")])
}

/// Waits until something answers at `URL`.
#[track_caller]
fn wait_until_up(host: &Host) {
    until("the API answers", within(10.0), || {
        (curl(host, &[&format!("{URL}/health")]).status == 200).then_some(())
    });
}
