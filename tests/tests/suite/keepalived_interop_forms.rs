//! Owners on either side, both forms of the IPv4 checksum, and IPv6, with keepalived. All combinations
//! run beside each other, one VRID each.

use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::within;
use rvrrpd_tests::family::Family;
use rvrrpd_tests::frame::{Frame, Sum};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::keepalived::{self, Instance, Keepalived};
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::rvrrpd::{Rvrrpd, Vrouter, config};
use rvrrpd_tests::scene::{Scene, advert_from, converge};

/// Three advertisement intervals, in which every Master is heard.
const WINDOW: Duration = Duration::from_millis(3200);

/// Who has the higher priority.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Higher {
    /// rVRRPd, with 200.
    Ours,
    /// rVRRPd, with the virtual address on its interface.
    OursAsOwner,
    /// keepalived, with 200.
    Theirs,
    /// keepalived, with 255.
    TheirsAsOwner,
}

/// One combination.
#[derive(Clone, Copy)]
struct Case {
    family: Family,
    vrid: u8,
    version: u8,
    /// `v3_checksum`.
    checksum: &'static str,
    /// keepalived's `v3_checksum_as_v2`.
    as_v2: bool,
    higher: Higher,
}

/// All combinations that this keepalived can do.
fn cases() -> Vec<Case> {
    let mut kinds = vec![
        (2, "auto", false, Higher::OursAsOwner),
        (2, "auto", false, Higher::TheirsAsOwner),
        (3, "auto", false, Higher::OursAsOwner),
        (3, "auto", false, Higher::TheirsAsOwner),
        (3, "pseudo-header", false, Higher::Ours),
        (3, "pseudo-header", false, Higher::Theirs),
    ];
    if keepalived::can_choose_checksum() {
        kinds.extend([
            (3, "auto", true, Higher::Ours),
            (3, "auto", true, Higher::Theirs),
            (3, "rfc9568", true, Higher::Ours),
            (3, "rfc9568", true, Higher::Theirs),
        ]);
    }
    let ipv6 = [
        Higher::Ours,
        Higher::Theirs,
        Higher::OursAsOwner,
        Higher::TheirsAsOwner,
    ];
    let ipv6 = ipv6.map(|higher| (3, "auto", false, higher));
    let kinds = kinds.into_iter().map(|kind| (Family::V4, kind));
    let kinds = kinds.chain(ipv6.map(|kind| (Family::V6, kind)));
    (40..)
        .zip(kinds)
        .map(
            |(vrid, (family, (version, checksum, as_v2, higher)))| Case {
                family,
                vrid,
                version,
                checksum,
                as_v2,
                higher,
            },
        )
        .collect()
}

impl Case {
    fn vip(self) -> String {
        match self.family {
            Family::V4 => format!("10.0.0.{}", 100 + self.vrid),
            Family::V6 => format!("fe80::{:x}", 0x1000 + u16::from(self.vrid)),
        }
    }

    fn ours(self) -> bool {
        matches!(self.higher, Higher::Ours | Higher::OursAsOwner)
    }

    fn vrouter(self) -> Vrouter {
        let vrouter = Vrouter::new(self.vrid, &[&self.vip()])
            .macvlan()
            .priority(if self.ours() { 200 } else { 100 })
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
            version: self.version,
            vrid: self.vrid,
            priority: match self.higher {
                Higher::TheirsAsOwner => 255,
                Higher::Theirs => 200,
                Higher::OursAsOwner => 254,
                Higher::Ours => 100,
            },
            interval: 1.0,
            password: None,
            vmac: false,
            options: if self.as_v2 {
                vec!["v3_checksum_as_v2".to_owned()]
            } else {
                Vec::new()
            },
            vips: vec![match self.family {
                Family::V4 => format!("{}/24", self.vip()),
                Family::V6 => format!("{}/64", self.vip()),
            }],
        }
    }
}

/// The addresses that owners have on their interface.
fn own(scene: &Scene) {
    for case in cases() {
        let host = match case.higher {
            Higher::OursAsOwner => &scene.r1,
            Higher::TheirsAsOwner => &scene.r2,
            Higher::Ours | Higher::Theirs => continue,
        };
        // keepalived takes its addresses with it when it stops.
        if !host
            .carriers_of(case.vip().parse().expect("an address"))
            .contains(&"eth0".to_owned())
        {
            let prefix = match case.family {
                Family::V4 => "24",
                Family::V6 => "64",
            };
            host.ip(&format!(
                "address add {}/{prefix} dev eth0 nodad",
                case.vip()
            ));
        }
    }
}

fn start_keepalived(scene: &Scene) -> Keepalived {
    own(scene);
    let instances: Vec<Instance> = cases().into_iter().map(Case::instance).collect();
    Keepalived::start(&scene.lab, &scene.r2, &instances)
}

fn start_rvrrpd(scene: &Scene) -> Rvrrpd {
    own(scene);
    let vrouters: Vec<Vrouter> = cases().into_iter().map(Case::vrouter).collect();
    scene.start(&scene.r1, &config(&vrouters))
}

/// Waits until the host of higher priority is the only Master of every virtual router, and checks
/// what it sends.
fn converged(scene: &Scene, lan: &Capture) {
    let master = |case: &Case| if case.ours() { &scene.r1 } else { &scene.r2 };
    let expected: Vec<(u8, &Host)> = cases()
        .iter()
        .map(|case| (case.vrid, master(case)))
        .collect();
    converge(lan, &expected, WINDOW, within(25.0));
    let frames = lan.frames();
    for case in cases() {
        let sent = advert_from(master(&case), case.vrid);
        let last = frames.iter().rfind(|frame: &&Frame| sent(frame));
        let advert = last.and_then(|frame| frame.advert()).expect("an advert");
        let sum = if case.version == 2 || case.as_v2 {
            Sum::Message
        } else {
            Sum::PseudoHeader
        };
        // An owner learns the form of a Backup only where that advertises beside it, and
        // keepalived before 2.3.0 takes either.
        if case.higher != Higher::OursAsOwner {
            assert_eq!(advert.sum, sum, "VRID {}", case.vrid);
        }
        let owner = matches!(case.higher, Higher::OursAsOwner | Higher::TheirsAsOwner);
        let priority = if owner { 255 } else { 200 };
        assert_eq!(advert.priority, priority, "VRID {}", case.vrid);
    }
}

fn all_at(lan: &Capture, host: &Host) {
    let expected: Vec<(u8, &Host)> = cases().iter().map(|case| (case.vrid, host)).collect();
    converge(lan, &expected, WINDOW, within(25.0));
}

fn scene(test: &str) -> Option<Scene> {
    if !keepalived::installed() {
        println!("{test}: skipped, keepalived is not installed");
        return None;
    }
    let limit = Duration::from_secs(150);
    Some(Scene::in_lab(Lab::with_limit(test, limit)))
}

/// V3-CK-1, V3-CK-2, FSM-I-2, V2-RX-7: rVRRPd first, then keepalived, which stops and comes back.
#[test]
fn owners_and_checksums_rvrrpd_first() {
    let Some(scene) = scene("owners_and_checksums_rvrrpd_first") else {
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
    let _peer = start_keepalived(&scene);
    scene.lab.step("both again");
    converged(&scene, &lan);
    daemon.stop();
}

/// The same with keepalived first; rVRRPd stops and comes back.
#[test]
fn owners_and_checksums_keepalived_first() {
    let Some(scene) = scene("owners_and_checksums_keepalived_first") else {
        return;
    };
    let lan = scene.lan.capture();
    let _peer = start_keepalived(&scene);
    scene.lab.step("keepalived alone");
    all_at(&lan, &scene.r2);
    let daemon = start_rvrrpd(&scene);
    scene.lab.step("both");
    converged(&scene, &lan);
    daemon.stop();
    scene.lab.step("rvrrpd stopped");
    all_at(&lan, &scene.r2);
    let daemon = start_rvrrpd(&scene);
    scene.lab.step("both again");
    converged(&scene, &lan);
    daemon.stop();
}
