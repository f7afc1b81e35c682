//! What needs which capability, and what a refusal says.

use std::io::ErrorKind;
use std::process::Command;

use caps::{CapSet, Capability, CapsHashSet};
use rvrrpd::net::filter::Channel;
use rvrrpd::net::kernel::{Cause, Hook, Kernel, Loader, Part, load_gate};
use rvrrpd::wire::Family;
use rvrrpd_ebpf::{GateState, Stopped};

use crate::gate::VIP;
use crate::lab::{eventually, inside};
use crate::load;
use crate::wire::{Advert, Wire, admit, keep, vrid};

/// In the environment of [`process_elsewhere`]: what is expected there.
const EXPECT: &str = "RVRRPD_TEST_EXPECT";

/// Leaves this thread, which has the rights of root, these capabilities alone.
fn confine(capabilities: &[Capability]) {
    let kept: CapsHashSet = capabilities.iter().copied().collect();
    caps::set(None, CapSet::Effective, &kept).unwrap();
    caps::set(None, CapSet::Permitted, &kept).unwrap();
}

fn is_skipped(test: &str) -> bool {
    load(test).is_none()
}

#[test]
fn cap_bpf_alone_is_enough_for_the_filter() {
    let test = "privileges::cap_bpf_alone_is_enough_for_the_filter";
    inside(test, |lab| {
        if is_skipped(test) {
            return;
        }
        // Its sockets need CAP_NET_RAW and, for their buffer, CAP_NET_ADMIN.
        let kernel = std::thread::spawn(|| {
            confine(&[Capability::CAP_BPF]);
            Kernel::load(Loader::begin()).unwrap()
        });
        let kernel = kernel.join().unwrap();
        let refusal = kernel.gate.as_ref().unwrap_err();
        assert_eq!(refusal.part, Part::Gate);
        let missing = vec![Capability::CAP_NET_ADMIN];
        assert_eq!(refusal.cause, Cause::Capabilities(missing));
        assert_eq!(
            refusal.to_string(),
            "the eBPF gate needs CAP_NET_ADMIN; nftables is used"
        );
        for family in [Family::V4, Family::V6] {
            let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), &kernel.filter);
            let slot = admit(&kernel.filter, wire.socket, family, 10);
            let frame = Advert::new(family, 10).frame();
            keep(slot, family, &frame);
            assert_eq!(wire.outcome(&[&frame], || slot.absorbed()), (0, 1));
        }
    });
}

#[test]
fn without_cap_bpf_nothing_is_loaded() {
    let test = "privileges::without_cap_bpf_nothing_is_loaded";
    inside(test, |_| {
        if is_skipped(test) {
            return;
        }
        for others in [
            &[Capability::CAP_NET_RAW, Capability::CAP_NET_ADMIN][..],
            &[][..],
        ] {
            confine(others);
            let refusal = Kernel::load(Loader::begin()).unwrap_err();
            assert_eq!(refusal.part, Part::Filter);
            let missing = vec![Capability::CAP_BPF];
            assert_eq!(refusal.cause, Cause::Capabilities(missing));
            let text = refusal.to_string();
            assert!(text.contains("CAP_BPF") && text.contains("classic BPF is used"));
        }
    });
}

/// Loaded with what the daemon keeps, without CAP_PERFMON and without a byte of RLIMIT_MEMLOCK;
/// then everything is dropped.
#[test]
fn what_is_loaded_needs_no_capability() {
    let test = "privileges::what_is_loaded_needs_no_capability";
    inside(test, |lab| {
        if is_skipped(test) {
            return;
        }
        let pid = std::process::id();
        lab.router(&format!("prlimit --pid {pid} --memlock=0"));
        let (lan, wan) = (lab.index("lan"), lab.index("wan"));
        // Made while it is allowed, attached to a socket again later.
        let mut wire = {
            let kernel = Kernel::load(Loader::begin()).unwrap();
            Wire::new(lab, "w", Channel::Vrrp(Family::V4), &kernel.filter)
        };
        confine(&[Capability::CAP_BPF, Capability::CAP_NET_ADMIN]);
        let kernel = Kernel::load(Loader::begin()).unwrap();
        let mut gate = kernel.gate.unwrap();
        gate.attach(wan).unwrap();
        load_gate().unwrap();
        confine(&[]);
        let refusal = load_gate().unwrap_err();
        assert_eq!(refusal.part, Part::Gate);
        assert!(
            refusal
                .to_string()
                .contains("needs CAP_BPF and CAP_NET_ADMIN")
        );

        kernel
            .filter
            .attach(&std::os::fd::AsFd::as_fd(&wire.receiver))
            .unwrap();
        let slot = admit(&kernel.filter, wire.socket, Family::V4, 10);
        let frame = Advert::new(Family::V4, 10).frame();
        keep(slot, Family::V4, &frame);
        assert_eq!(wire.outcome(&[&frame], || slot.absorbed()), (0, 1));
        let other = Advert::new(Family::V4, 11).frame();
        assert_eq!(wire.outcome(&[other], || kernel.filter.foreign()), (0, 1));

        assert_eq!(
            gate.attach_by(lan, Hook::Clsact).unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
        gate.neighbours(lan).unwrap_err();
        gate.attach(lan).unwrap();
        let router = (Family::V4, vrid(7));
        gate.set(lan, router, GateState::Open).unwrap();
        gate.refuse(lan, router, VIP.parse().unwrap()).unwrap();
        gate.accept(lan, VIP.parse().unwrap());
        gate.answer(lan, router, VIP.parse().unwrap(), true)
            .unwrap();
        gate.forget(lan, VIP.parse().unwrap());
        assert!(gate.conflicts().is_empty());
        gate.detach(lan);

        gate.attach(wire.index).unwrap();
        gate.set(wire.index, router, GateState::Closed).unwrap();
        let mut frame = frame;
        frame[..6].copy_from_slice(&crate::gate::MAC.0);
        wire.send(&[frame]);
        eventually("the frame is stopped", || {
            gate.stopped().count(Stopped::Closed) == Some(1)
        });
    });
}

/// A process of its own in a new namespace of the kind that `arguments` of unshare(1) name.
fn elsewhere(arguments: &[&str], expect: &str) {
    let status = Command::new("unshare")
        .args(arguments)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("privileges::process_elsewhere")
        .env(EXPECT, expect)
        .status();
    assert!(status.unwrap().success(), "{expect}");
}

#[test]
fn a_user_namespace_is_told_from_missing_capabilities() {
    elsewhere(&["--map-root-user", "--net"], "forbidden");
}

/// The programs see the clock of the initial time namespace.
#[test]
fn nothing_is_kept_where_the_clock_is_another_one() {
    let test = "privileges::nothing_is_kept_where_the_clock_is_another_one";
    inside(test, |_| {
        if is_skipped(test) {
            return;
        }
        elsewhere(
            &["--time", "--fork", "--monotonic", "100000"],
            "no absorption",
        );
        elsewhere(&["--time", "--fork", "--boottime", "100000"], "absorption");
    });
}

#[test]
#[ignore = "run in another namespace by those above"]
fn process_elsewhere() {
    let Ok(expect) = std::env::var(EXPECT) else {
        return;
    };
    let loaded = Kernel::load(Loader::begin());
    match expect.as_str() {
        "forbidden" => assert_eq!(loaded.unwrap_err().cause, Cause::Forbidden),
        "absorption" => assert!(loaded.unwrap().filter.can_absorb()),
        _ => assert!(!loaded.unwrap().filter.can_absorb()),
    }
}
