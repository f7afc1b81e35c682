//! Unicast peers that are keepalived: version 2 without and with a password, version 3, over IPv4;
//! version 3 over IPv6, with keepalived's hop limit of 64 and with 255; as Master and as Backup;
//! started first and second.

use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::within;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::keepalived::{self, Instance, Keepalived};
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{Scene, converge};
use rvrrpd_tests::sys::Stamp;

/// Three advertisement intervals, in which every Master is heard.
const WINDOW: Duration = Duration::from_millis(3200);
/// Addresses of rVRRPd and of keepalived.
const OURS: [&str; 2] = ["10.0.0.1", "fd00::1"];
const THEIRS: [&str; 2] = ["10.0.0.2", "fd00::2"];

/// What carries the adverts.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Network {
    V4,
    /// keepalived sends its default hop limit, 64, and we take it.
    V6,
    /// keepalived sends 255, and we take nothing else.
    V6Gtsm,
}
use Network::{V4, V6, V6Gtsm};

/// One combination.
#[derive(Clone, Copy)]
struct Case {
    vrid: u8,
    network: Network,
    version: u8,
    password: bool,
    /// Whether rVRRPd has the higher priority.
    master: bool,
}

/// All combinations.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (network, version, password) in [
        (V4, 2, false),
        (V4, 2, true),
        (V4, 3, false),
        (V6, 3, false),
        (V6Gtsm, 3, false),
    ] {
        for master in [false, true] {
            let vrid = 30 + cases.len() as u8;
            cases.push(Case {
                vrid,
                network,
                version,
                password,
                master,
            });
        }
    }
    cases
}

impl Case {
    /// Virtual addresses; their prefix length.
    fn vips(self) -> (Vec<String>, u8) {
        let host = 100 + self.vrid;
        match self.network {
            V4 => (vec![format!("10.0.0.{host}")], 32),
            V6 | V6Gtsm => (vec![format!("fe80::{host}"), format!("fd00::{host}")], 64),
        }
    }

    fn name(self) -> String {
        match self.network {
            V4 => format!("eth0-{}", self.vrid),
            V6 | V6Gtsm => format!("eth0-{}-v6", self.vrid),
        }
    }

    /// Addresses of rVRRPd and of keepalived.
    fn ends(self) -> [&'static str; 2] {
        let place = usize::from(self.network != V4);
        [OURS[place], THEIRS[place]]
    }

    fn vrouter(self) -> Vrouter {
        let (vips, _) = self.vips();
        let vips: Vec<&str> = vips.iter().map(String::as_str).collect();
        let [_, theirs] = self.ends();
        let vrouter = Vrouter::new(self.vrid, &vips)
            .macvlan()
            .priority(if self.master { 200 } else { 100 })
            .preemption(true)
            .key("version", self.version)
            .key("timers", "{ advert = 1 }")
            .key("unicast_peers", format!("[{theirs:?}]"));
        if self.network == V6 {
            return vrouter.key("unicast_min_ttl", 64);
        }
        if self.password {
            return vrouter
                .text("auth_type", "rfc2338-simple")
                .text("auth_secret", "passw0rd");
        }
        vrouter
    }

    fn instance(self) -> Instance {
        let (vips, prefix) = self.vips();
        let [ours, theirs] = self.ends();
        let mut unicast = vec![
            format!("unicast_src_ip {theirs}"),
            format!("unicast_peer {{\n    {ours}\n  }}"),
        ];
        if self.network == V6Gtsm {
            unicast.push("unicast_ttl 255".to_owned());
        }
        Instance {
            version: self.version,
            vrid: self.vrid,
            priority: if self.master { 100 } else { 200 },
            interval: 1.0,
            password: self.password.then(|| "passw0rd".to_owned()),
            vmac: false,
            options: unicast,
            vips: vips.iter().map(|vip| format!("{vip}/{prefix}")).collect(),
        }
    }
}

fn start_rvrrpd(scene: &Scene) -> Rvrrpd {
    let vrouters: Vec<Vrouter> = cases().into_iter().map(Case::vrouter).collect();
    scene.start(&scene.r1, &config(&vrouters))
}

fn start_keepalived(scene: &Scene) -> Keepalived {
    let instances: Vec<Instance> = cases().into_iter().map(Case::instance).collect();
    Keepalived::start(&scene.lab, &scene.r2, &instances)
}

/// Waits until the host of higher priority is the only Master of every virtual router.
fn converged(scene: &Scene, lan: &Capture) {
    let expected: Vec<(u8, &Host)> = cases()
        .iter()
        .map(|case| (case.vrid, if case.master { &scene.r1 } else { &scene.r2 }))
        .collect();
    converge(lan, &expected, WINDOW, within(25.0));
}

/// Waits until `host` is the only Master of every virtual router.
fn all_at(lan: &Capture, host: &Host) {
    let expected: Vec<(u8, &Host)> = cases().iter().map(|case| (case.vrid, host)).collect();
    converge(lan, &expected, WINDOW, within(25.0));
}

fn scene(test: &str) -> Option<Scene> {
    if !keepalived::installed() {
        println!("{test}: skipped, keepalived is not installed");
        return None;
    }
    let scene = Scene::in_lab(Lab::with_limit(test, Duration::from_secs(150)));
    for (router, address) in [(&scene.r1, OURS[1]), (&scene.r2, THEIRS[1])] {
        router.ip(&format!("address add {address}/64 dev eth0"));
    }
    Some(scene)
}

/// Every advert goes from one of the two to the other.
fn assert_unicast(lan: &Capture, start: Stamp) {
    for case in cases() {
        for (frame, advert) in lan.adverts_since(start, case.vrid) {
            let ends = [advert.source.to_string(), advert.destination.to_string()];
            let [ours, theirs] = case.ends();
            let (right, ttl) = match (frame.port.as_str(), case.network) {
                ("r1", _) => ([ours, theirs], 255),
                (_, V6) => ([theirs, ours], 64),
                _ => ([theirs, ours], 255),
            };
            assert_eq!(ends, right, "{frame:?}");
            assert_eq!((advert.ttl, advert.tos), (ttl, 0xc0), "{frame:?}");
        }
    }
}

/// rVRRPd first, then keepalived; keepalived stops and comes back; keepalived is killed.
#[test]
fn rvrrpd_with_unicast_peers_started_first() {
    let Some(scene) = scene("rvrrpd_with_unicast_peers_started_first") else {
        return;
    };
    let lan = scene.lan.capture();
    let daemon = start_rvrrpd(&scene);
    scene.lab.step("rvrrpd alone");
    all_at(&lan, &scene.r1);
    let peer = start_keepalived(&scene);
    scene.lab.step("both");
    converged(&scene, &lan);
    peer.stop();
    scene.lab.step("keepalived stopped");
    all_at(&lan, &scene.r1);
    let peer = start_keepalived(&scene);
    scene.lab.step("both again");
    converged(&scene, &lan);
    peer.kill();
    scene.lab.step("keepalived killed");
    all_at(&lan, &scene.r1);
    for case in cases() {
        daemon.wait_state(&case.name(), State::Master, within(10.0));
    }
    assert_unicast(&lan, Stamp::default());
    daemon.stop();
}

/// keepalived first, then rVRRPd; rVRRPd stops (keepalived hears priority 0); rVRRPd is killed.
#[test]
fn keepalived_with_unicast_peers_started_first() {
    let Some(scene) = scene("keepalived_with_unicast_peers_started_first") else {
        return;
    };
    let lan = scene.lan.capture();
    let _peer = start_keepalived(&scene);
    scene.lab.step("keepalived alone");
    all_at(&lan, &scene.r2);
    let daemon = start_rvrrpd(&scene);
    scene.lab.step("both");
    converged(&scene, &lan);
    for case in cases().into_iter().filter(|case| !case.master) {
        assert_eq!(daemon.state(&case.name()), Some(State::Backup));
        let counters = daemon.counters(&case.name());
        assert_eq!(counters["advertisement-sent"], 0, "{}", case.name());
    }
    let start = Stamp::now();
    daemon.stop();
    for case in cases().into_iter().filter(|case| case.master) {
        lan.wait_since(start, "priority 0", within(5.0), |frame| {
            frame.port == "r1"
                && frame
                    .advert()
                    .is_some_and(|advert| (advert.vrid, advert.priority) == (case.vrid, 0))
        });
    }
    scene.lab.step("rvrrpd stopped");
    all_at(&lan, &scene.r2);
    let mut daemon = start_rvrrpd(&scene);
    scene.lab.step("both again");
    converged(&scene, &lan);
    daemon.sigkill();
    scene.lab.step("rvrrpd killed");
    all_at(&lan, &scene.r2);
    assert_unicast(&lan, Stamp::default());
}
