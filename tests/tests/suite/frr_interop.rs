//! Election and failover with FRR's vrrpd: versions 2 and 3, both forms of the IPv4 checksum, as
//! Master and as Backup, started first and second.
//!
//! All combinations run beside each other, one VRID each.

use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::frame::{Frame, Sum};
use rvrrpd_tests::frr::{self, Frr, Instance};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::{Lab, address_of};
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{Scene, advert_from, converge};
use rvrrpd_tests::sys::Stamp;

/// Three advertisement intervals, in which every Master is heard.
const WINDOW: Duration = Duration::from_millis(3200);

/// One combination.
#[derive(Clone, Copy)]
struct Case {
    family: Family,
    vrid: u8,
    version: u8,
    /// `v3_checksum`.
    checksum: &'static str,
    /// FRR's `checksum-with-ipv4-pseudoheader`, where it has it.
    pseudo_header: Option<bool>,
    /// Whether rVRRPd has the higher priority.
    master: bool,
    /// Whether rVRRPd has the virtual address on its interface.
    owner: bool,
}

/// All combinations that this FRR can do.
fn cases() -> Vec<Case> {
    let choice = frr::can_choose_checksum();
    let mut kinds = vec![
        (Family::V4, 2, "auto", None),
        (Family::V4, 3, "auto", None),
        (Family::V4, 3, "pseudo-header", choice.then_some(true)),
    ];
    if choice {
        kinds.push((Family::V4, 3, "auto", Some(false)));
        kinds.push((Family::V4, 3, "rfc9568", Some(false)));
    }
    if FAMILIES.contains(&Family::V6) {
        kinds.push((Family::V6, 3, "auto", None));
    }
    let mut cases = Vec::new();
    for (family, version, checksum, pseudo_header) in kinds {
        for master in [false, true] {
            cases.push(Case {
                family,
                vrid: 20 + cases.len() as u8,
                version,
                checksum,
                pseudo_header,
                master,
                owner: false,
            });
        }
    }
    // FRR itself cannot be the owner: its priorities end with 254.
    for (family, version) in [(Family::V4, 2), (Family::V4, 3), (Family::V6, 3)] {
        cases.push(Case {
            family,
            vrid: 20 + cases.len() as u8,
            version,
            checksum: "auto",
            pseudo_header: None,
            master: true,
            owner: true,
        });
    }
    cases
}

impl Case {
    fn vip(self) -> String {
        match self.family {
            Family::V4 => format!("10.0.0.{}", 100 + self.vrid),
            Family::V6 => format!("fe80::{:x}", 0x1000 + u16::from(self.vrid)),
        }
    }

    fn name(self) -> String {
        match self.family {
            Family::V4 => format!("eth0-{}", self.vrid),
            Family::V6 => format!("eth0-{}-v6", self.vrid),
        }
    }

    fn vrouter(self) -> Vrouter {
        let vrouter = Vrouter::new(self.vrid, &[&self.vip()])
            .macvlan()
            .priority(if self.master { 200 } else { 100 })
            .preemption(true)
            .key("version", self.version)
            .key("timers", "{ advert = 1 }");
        if self.version == 3 && self.family == Family::V4 {
            return vrouter.text("v3_checksum", self.checksum);
        }
        vrouter
    }

    fn instance(self) -> Instance {
        Instance {
            family: self.family,
            version: self.version,
            vrid: self.vrid,
            priority: if self.master { 100 } else { 200 },
            interval: 1000,
            vip: self.vip(),
            pseudo_header: self.pseudo_header,
        }
    }
}

fn scene(test: &str) -> Option<Scene> {
    if !frr::installed() {
        println!("{test}: skipped, FRR is not installed");
        return None;
    }
    let limit = Duration::from_secs(150);
    Some(Scene::in_lab(Lab::with_limit(test, limit)))
}

fn start_rvrrpd(scene: &Scene) -> Rvrrpd {
    for case in cases().into_iter().filter(|case| case.owner) {
        let prefix = match case.family {
            Family::V4 => "24",
            Family::V6 => "64",
        };
        let vip = case.vip();
        if !scene.r1.addresses("eth0").contains(&address_of(&vip)) {
            let request = format!("address add {vip}/{prefix} dev eth0 nodad");
            scene.r1.ip(&request);
        }
    }
    let vrouters: Vec<Vrouter> = cases().into_iter().map(Case::vrouter).collect();
    scene.start(&scene.r1, &config(&vrouters))
}

fn start_frr(scene: &Scene) -> Frr {
    let instances: Vec<Instance> = cases().into_iter().map(Case::instance).collect();
    Frr::start(&scene.lab, &scene.r2, &instances)
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

/// V3-CK-1, V3-CK-2: with `auto` both speak the form that FRR has, with the others the one that is
/// configured.
fn assert_checksums(scene: &Scene, lan: &Capture) {
    for case in cases().into_iter().filter(|case| case.version == 3) {
        let sum_of = |host: &Host| {
            let theirs = advert_from(host, case.vrid);
            let frames = lan.frames();
            let last = frames.iter().rfind(|frame: &&Frame| theirs(frame));
            last.and_then(|frame| frame.advert())
                .map(|advert| advert.sum)
        };
        let wanted = match case.pseudo_header {
            Some(false) => Sum::Message,
            Some(true) | None => Sum::PseudoHeader,
        };
        let master = if case.master { &scene.r1 } else { &scene.r2 };
        assert_eq!(
            sum_of(master),
            Some(wanted),
            "VRID {} of {}",
            case.vrid,
            master.name()
        );
    }
}

/// rVRRPd first, then FRR; FRR stops and comes back; FRR is killed.
#[test]
fn rvrrpd_started_first() {
    let Some(scene) = scene("rvrrpd_started_first") else {
        return;
    };
    let lan = scene.lan.capture();
    let daemon = start_rvrrpd(&scene);
    scene.lab.step("rvrrpd alone");
    all_at(&lan, &scene.r1);
    let peer = start_frr(&scene);
    scene.lab.step("both");
    converged(&scene, &lan);
    assert_checksums(&scene, &lan);
    let stopped = Stamp::now();
    peer.stop();
    scene.lab.step("FRR stopped");
    for case in cases().into_iter().filter(|case| !case.master) {
        // Its priority 0 is heard: the skew time is enough.
        until("we are Master after the skew time", within(2.5), || {
            (daemon.state(&case.name()) == Some(State::Master)).then_some(())
        });
        lan.wait_since(stopped, "priority 0 of FRR", within(1.0), |frame| {
            let advert = frame.advert();
            frame.port == "r2" && advert.is_some_and(|a| a.vrid == case.vrid && a.priority == 0)
        });
    }
    all_at(&lan, &scene.r1);
    let peer = start_frr(&scene);
    scene.lab.step("both again");
    converged(&scene, &lan);
    peer.kill();
    scene.lab.step("FRR killed");
    all_at(&lan, &scene.r1);
    daemon.stop();
}

/// FRR first, then rVRRPd; rVRRPd stops and comes back; rVRRPd is killed.
#[test]
fn frr_started_first() {
    let Some(scene) = scene("frr_started_first") else {
        return;
    };
    let lan = scene.lan.capture();
    let _peer = start_frr(&scene);
    scene.lab.step("FRR alone");
    all_at(&lan, &scene.r2);
    let start = Stamp::now();
    let daemon = start_rvrrpd(&scene);
    scene.lab.step("both");
    converged(&scene, &lan);
    for case in cases().into_iter().filter(|case| !case.master) {
        let name = case.name();
        assert_eq!(daemon.state(&name), Some(State::Backup), "{name}");
        let ours = advert_from(&scene.r1, case.vrid);
        let adverts = lan.frames_since(start).into_iter().filter(|f| ours(f));
        assert_eq!(
            adverts.count(),
            0,
            "{name}: a Backup that hears its Master is silent"
        );
    }
    daemon.stop();
    scene.lab.step("rvrrpd stopped");
    all_at(&lan, &scene.r2);
    let mut daemon = start_rvrrpd(&scene);
    scene.lab.step("both again");
    converged(&scene, &lan);
    daemon.sigkill();
    scene.lab.step("rvrrpd killed");
    all_at(&lan, &scene.r2);
}
