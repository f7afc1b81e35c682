//! How the gate is attached, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use rvrrpd::net::kernel::{Gate, Hook, Kernel, Loader};
use rvrrpd::wire::Family;
use rvrrpd_ebpf::{GATED_INTERFACES, GateState};

use crate::gate::{VIP, gate, master};
use crate::lab::{Lab, eventually, inside};
use crate::wire::vrid;

/// In the environment of [`process_that_holds_the_gate`]: how it attaches.
const HOLD: &str = "RVRRPD_TEST_HOLD";

fn close(gate: &Gate, ifindex: u32) {
    let router = (Family::V4, vrid(7));
    gate.set(ifindex, router, GateState::Closed).unwrap();
}

#[test]
fn a_detached_gate_lets_everything_through() {
    let test = "hooks::a_detached_gate_lets_everything_through";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        master(lab);
        let lan = lab.index("lan");
        for hook in [Hook::Tcx, Hook::Clsact] {
            gate.attach_by(lan, hook).unwrap();
            assert_eq!(gate.hook(lan), Some(hook));
            assert!(lab.answers(VIP), "{hook:?}: what was said is forgotten");
            close(&gate, lan);
            assert!(!lab.answers(VIP), "{hook:?}");
            gate.attach_by(lan, hook).unwrap();
            assert!(!lab.answers(VIP), "{hook:?}: attached again");
            gate.detach(lan);
            assert_eq!(gate.hook(lan), None);
            assert!(lab.answers(VIP), "{hook:?}");
            gate.detach(lan);
        }
        gate.attach(lan).unwrap();
        close(&gate, lan);
        drop(gate);
        assert!(lab.answers(VIP));
        assert!(
            !lab.router("tc filter show dev lan ingress")
                .contains("0x56525250")
        );
    });
}

/// Also what comes by clsact, after the programs of others, is judged.
#[test]
fn programs_of_others_are_named_and_run_as_well() {
    let test = "hooks::programs_of_others_are_named_and_run_as_well";
    inside(test, |lab| {
        let (Some(mut ours), Some(mut others)) = (gate(test), gate(test)) else {
            return;
        };
        master(lab);
        let lan = lab.index("lan");
        others.attach(lan).unwrap();
        assert!(others.neighbours(lan).unwrap().is_empty());
        ours.attach(lan).unwrap();
        let [neighbour] = &ours.neighbours(lan).unwrap()[..] else {
            panic!("one program of others");
        };
        assert_eq!(neighbour.name, "rvrrpd_gate");
        assert!(!neighbour.is_before);
        assert!(others.neighbours(lan).unwrap()[0].is_before);
        assert_ne!(others.neighbours(lan).unwrap()[0].id, neighbour.id);
        // Whoever closes, the other one does not open.
        close(&others, lan);
        assert!(!lab.answers(VIP));
        others
            .set(lan, (Family::V4, vrid(7)), GateState::Open)
            .unwrap();
        assert!(lab.answers(VIP));
        others.detach(lan);
        others.attach_by(lan, Hook::Clsact).unwrap();
        close(&others, lan);
        assert!(!lab.answers(VIP));
        assert!(ours.neighbours(lan).unwrap().is_empty());
    });
}

/// An interface that is removed and made again, with the same index even, gets its gate back.
#[test]
fn a_parent_that_is_made_again_is_attached_again() {
    let test = "hooks::a_parent_that_is_made_again_is_attached_again";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        master(lab);
        let lan = lab.index("lan");
        for hook in [Hook::Tcx, Hook::Clsact] {
            lab.router("ip link add p0 index 77 type veth peer name p1 index 78");
            gate.attach_by(lan, hook).unwrap();
            let place = gate.attach_by(77, hook).unwrap();
            close(&gate, lan);
            close(&gate, 77);
            lab.router("ip link del p0");
            gate.attach_by(77, hook).unwrap_err();
            lab.router("ip link add p0 index 77 type veth peer name p1 index 78");
            assert_eq!(gate.attach_by(77, hook).unwrap(), place);
            let router = (Family::V4, vrid(7));
            assert_eq!(gate.states().state(place, router), GateState::Closed);
            assert!(!lab.answers(VIP), "the others never lose theirs");
            lab.router("ip link set lan down; ip link set lan name lan0; ip link set lan0 up");
            lab.router("ip link set v4 up");
            gate.attach_by(lan, hook).unwrap();
            gate.set(lan, router, GateState::Open).unwrap();
            lab.await_answer(VIP);
            close(&gate, lan);
            assert!(!lab.answers(VIP), "it stays through a new name");
            lab.router("ip link set lan0 down; ip link set lan0 name lan; ip link set lan up");
            lab.router("ip link set v4 up; ip link del p0");
            gate.detach(77);
            gate.detach(lan);
            lab.await_answer(VIP);
        }
    });
}

/// A gate that is gone without a word, here with its interface, is seen and made again, with the
/// states that it had.
#[test]
fn a_gate_that_is_gone_is_made_again() {
    let test = "hooks::a_gate_that_is_gone_is_made_again";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        let made = "ip link add p0 index 77 type veth peer name p1 index 78";
        lab.router(made);
        let place = gate.attach(77).unwrap();
        close(&gate, 77);
        assert!(!gate.examine(77).unwrap(), "it is there");
        assert!(!gate.examine(78).unwrap(), "nothing is wanted there");
        lab.router("ip link del p0");
        assert!(!gate.examine(77).unwrap(), "there is no such interface");
        lab.router(made);
        assert!(gate.examine(77).unwrap());
        assert!(!gate.examine(77).unwrap());
        assert_eq!(gate.hook(77), Some(Hook::Tcx));
        let router = (Family::V4, vrid(7));
        assert_eq!(gate.states().state(place, router), GateState::Closed);
        gate.detach(77);
        assert!(!gate.examine(77).unwrap(), "nothing is wanted any more");
    });
}

#[test]
fn there_is_room_for_so_many_interfaces_and_no_more() {
    let test = "hooks::there_is_room_for_so_many_interfaces_and_no_more";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        lab.router(&format!(
            "for i in $(seq 0 2 {GATED_INTERFACES})
             do echo link add d$i type veth peer name d$((i + 1)); done | ip -batch -"
        ));
        let indexes: Vec<u32> = (0..=GATED_INTERFACES)
            .map(|i| lab.index(&format!("d{i}")))
            .collect();
        let (last, first) = indexes.split_last().unwrap();
        let mut places: Vec<_> = first.iter().map(|&i| gate.attach(i).unwrap()).collect();
        let error = gate.attach(*last).unwrap_err();
        assert!(error.to_string().contains("64 interfaces"), "{error}");
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), GATED_INTERFACES as usize);
        close(&gate, first[3]);
        gate.detach(first[3]);
        let place = gate.attach(*last).unwrap();
        let router = (Family::V4, vrid(7));
        assert_eq!(gate.states().state(place, router), GateState::Foreign);
        gate.attach(9999).unwrap_err();
    });
}

/// tcx: frames pass again. clsact: the filter stays with its last state, until it is removed by
/// name.
#[test]
fn what_a_killed_process_leaves_behind() {
    let test = "hooks::what_a_killed_process_leaves_behind";
    inside(test, |lab| {
        if gate(test).is_none() {
            return;
        }
        master(lab);
        let lan = lab.index("lan");
        Gate::remove_leftover(lan).unwrap();
        kill(lab, Hook::Tcx);
        eventually("the gate is gone", || lab.answers(VIP));
        kill(lab, Hook::Clsact);
        assert!(!lab.answers(VIP));
        Gate::remove_leftover(lan).unwrap();
        assert!(lab.answers(VIP));
        Gate::remove_leftover(lan).unwrap();
        kill(lab, Hook::Clsact);
        let mut gate = gate(test).unwrap();
        gate.attach_by(lan, Hook::Clsact).unwrap();
        assert!(lab.answers(VIP), "the successor takes the place");
        close(&gate, lan);
        assert!(!lab.answers(VIP));
        drop(gate);
        assert!(lab.answers(VIP));
        Gate::remove_leftover(9999).unwrap_err();
    });
}

/// Ends a process that holds the gate closed, by SIGKILL.
fn kill(lab: &Lab, hook: Hook) {
    let mut child = holder(hook);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("holding")));
    assert!(!lab.answers(VIP), "{hook:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

fn holder(hook: Hook) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("hooks::process_that_holds_the_gate")
        .env(HOLD, format!("{hook:?}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "run in a process of its own by what_a_killed_process_leaves_behind"]
fn process_that_holds_the_gate() {
    let Ok(hook) = std::env::var(HOLD) else {
        return;
    };
    let hook = if hook == "Tcx" {
        Hook::Tcx
    } else {
        Hook::Clsact
    };
    let mut gate = Kernel::load(Loader::begin()).unwrap().gate.unwrap();
    let lan = std::fs::read_to_string("/sys/class/net/lan/ifindex").unwrap();
    let lan = lan.trim().parse().unwrap();
    gate.attach_by(lan, hook).unwrap();
    close(&gate, lan);
    println!("holding");
    // Until the parent ends.
    let _end = std::io::stdin().read(&mut [0]);
}
