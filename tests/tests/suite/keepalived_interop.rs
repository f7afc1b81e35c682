//! Election and failover with keepalived: version 2 without and with a password, version 3; with
//! `use_vmac` and without; as Master and as Backup; started first and second.
//!
//! All twelve combinations of the first three run beside each other, one VRID each.

use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::within;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::keepalived::{self, Instance, Keepalived};
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{Scene, advert_from, converge};
use rvrrpd_tests::sys::Stamp;

in_modes! {
    rvrrpd_started_first: macvlan, ether, ebpf;
    keepalived_started_first: macvlan, ebpf;
}

/// Three advertisement intervals of version 2, in which every Master is heard.
const WINDOW: Duration = Duration::from_millis(3200);

/// One combination.
#[derive(Clone, Copy)]
struct Case {
    vrid: u8,
    version: u8,
    password: bool,
    vmac: bool,
    /// Whether rVRRPd has the higher priority.
    master: bool,
    mode: Mode,
}

/// All combinations; on ether the last one, because there is one virtual MAC per interface.
fn cases(mode: Mode) -> Vec<Case> {
    let mut cases = Vec::new();
    for (version, password) in [(2, false), (2, true), (3, false)] {
        for vmac in [false, true] {
            for master in [false, true] {
                let vrid = 10 + cases.len() as u8;
                cases.push(Case {
                    vrid,
                    version,
                    password,
                    vmac,
                    master,
                    mode,
                });
            }
        }
    }
    if mode == Mode::Ether {
        cases.drain(..cases.len() - 1);
    }
    cases
}

impl Case {
    fn vip(self) -> String {
        format!("10.0.0.{}", 100 + self.vrid)
    }

    fn vrouter(self) -> Vrouter {
        let vrouter = Vrouter::new(self.vrid, &[&self.vip()])
            .mode(self.mode)
            .priority(if self.master { 200 } else { 100 })
            .preemption(true)
            .key("version", self.version)
            .key("timers", "{ advert = 1 }");
        if self.password {
            return vrouter
                .text("auth_type", "rfc2338-simple")
                .text("auth_secret", "passw0rd");
        }
        vrouter
    }

    fn instance(self) -> Instance {
        Instance {
            version: self.version,
            vrid: self.vrid,
            priority: if self.master { 100 } else { 200 },
            interval: 1.0,
            password: self.password.then(|| "passw0rd".to_owned()),
            vmac: self.vmac,
            options: Vec::new(),
            vips: vec![format!("{}/32", self.vip())],
        }
    }
}

fn start_rvrrpd(mode: Mode, scene: &Scene) -> Rvrrpd {
    let vrouters: Vec<Vrouter> = cases(mode).into_iter().map(Case::vrouter).collect();
    scene.start(&scene.r1, &config(&vrouters))
}

fn start_keepalived(mode: Mode, scene: &Scene) -> Keepalived {
    let instances: Vec<Instance> = cases(mode).into_iter().map(Case::instance).collect();
    Keepalived::start(&scene.lab, &scene.r2, &instances)
}

/// Waits until the host of higher priority is the only Master of every virtual router.
fn converged(mode: Mode, scene: &Scene, lan: &Capture) {
    let expected: Vec<(u8, &Host)> = cases(mode)
        .iter()
        .map(|case| (case.vrid, if case.master { &scene.r1 } else { &scene.r2 }))
        .collect();
    converge(lan, &expected, WINDOW, within(25.0));
}

/// Waits until `host` is the only Master of every virtual router.
fn all_at(mode: Mode, lan: &Capture, host: &Host) {
    let expected: Vec<(u8, &Host)> = cases(mode).iter().map(|case| (case.vrid, host)).collect();
    converge(lan, &expected, WINDOW, within(25.0));
}

fn scene(test: &str) -> Option<Scene> {
    if !keepalived::installed() {
        println!("{test}: skipped, keepalived is not installed");
        return None;
    }
    Some(Scene::in_lab(Lab::with_limit(
        test,
        Duration::from_secs(150),
    )))
}

/// rVRRPd first, then keepalived; keepalived stops and comes back; keepalived is killed.
fn rvrrpd_started_first(mode: Mode) {
    let Some(scene) = scene("rvrrpd_started_first") else {
        return;
    };
    let lan = scene.lan.capture();
    let daemon = start_rvrrpd(mode, &scene);
    scene.lab.step("rvrrpd alone");
    all_at(mode, &lan, &scene.r1);
    let peer = start_keepalived(mode, &scene);
    scene.lab.step("both");
    converged(mode, &scene, &lan);
    peer.stop();
    scene.lab.step("keepalived stopped");
    all_at(mode, &lan, &scene.r1);
    let peer = start_keepalived(mode, &scene);
    scene.lab.step("both again");
    converged(mode, &scene, &lan);
    peer.kill();
    scene.lab.step("keepalived killed");
    all_at(mode, &lan, &scene.r1);
    for case in cases(mode) {
        daemon.wait_state(&format!("eth0-{}", case.vrid), State::Master, within(10.0));
    }
    daemon.stop();
}

/// keepalived first, then rVRRPd; rVRRPd stops and comes back; rVRRPd is killed.
fn keepalived_started_first(mode: Mode) {
    let Some(scene) = scene("keepalived_started_first") else {
        return;
    };
    let lan = scene.lan.capture();
    let _peer = start_keepalived(mode, &scene);
    scene.lab.step("keepalived alone");
    all_at(mode, &lan, &scene.r2);
    let start = Stamp::now();
    let daemon = start_rvrrpd(mode, &scene);
    scene.lab.step("both");
    converged(mode, &scene, &lan);
    for case in cases(mode).into_iter().filter(|case| !case.master) {
        let name = format!("eth0-{}", case.vrid);
        assert_eq!(daemon.state(&name), Some(State::Backup), "{name}");
        let adverts = lan
            .frames_since(start)
            .into_iter()
            .filter(advert_from_r1(&scene, case));
        assert_eq!(
            adverts.count(),
            0,
            "{name}: a Backup that hears its Master never advertises"
        );
    }
    daemon.stop();
    scene.lab.step("rvrrpd stopped");
    all_at(mode, &lan, &scene.r2);
    let mut daemon = start_rvrrpd(mode, &scene);
    scene.lab.step("both again");
    converged(mode, &scene, &lan);
    daemon.sigkill();
    scene.lab.step("rvrrpd killed");
    all_at(mode, &lan, &scene.r2);
}

fn advert_from_r1(scene: &Scene, case: Case) -> impl Fn(&rvrrpd_tests::frame::Frame) -> bool {
    advert_from(&scene.r1, case.vrid)
}
