//! What the gate stops, judged by a host on the LAN.

use std::net::IpAddr;

use rvrrpd::net::kernel::{Gate, Kernel};
use rvrrpd::wire::{Family, Mac};
use rvrrpd_ebpf::{GateState, Stopped};

use crate::lab::{Lab, eventually, inside};
use crate::load;
use crate::wire::vrid;

pub(crate) const VIP: &str = "192.0.2.1";
pub(crate) const VIP6: &str = "2001:db8:1::1";
pub(crate) const MAC: Mac = Mac([0, 0, 0x5e, 0, 1, 7]);
pub(crate) const MAC6: Mac = Mac([0, 0, 0x5e, 0, 2, 7]);

pub(crate) fn gate(test: &str) -> Option<Gate> {
    load(test).map(|kernel: Kernel| kernel.gate.unwrap())
}

/// A Master without its gate: macvlans with the virtual MACs and the virtual addresses, which the
/// host knows already, as after a change of the Master.
pub(crate) fn master(lab: &Lab) {
    lab.macvlan("v4", "lan", &MAC.to_string());
    lab.macvlan("v6", "lan", &MAC6.to_string());
    lab.router(&format!(
        "ip addr add {VIP}/32 dev v4; ip addr add {VIP6}/128 dev v6 nodad noprefixroute"
    ));
    lab.host(&format!(
        "ip neigh replace {VIP} dev eth0 lladdr {MAC}
         ip neigh replace {VIP6} dev eth0 lladdr {MAC6}"
    ));
    lab.await_answer(VIP);
    lab.await_answer(VIP6);
}

fn closed(gate: &Gate) -> u64 {
    gate.stopped().count(Stopped::Closed).unwrap()
}

/// V3-FSM-345: a Backup must discard packets with a destination link-layer MAC address equal to the
/// virtual router MAC address.
#[test]
fn frames_to_a_closed_virtual_mac_are_dropped_and_to_others_not() {
    let test = "gate::frames_to_a_closed_virtual_mac_are_dropped_and_to_others_not";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        master(lab);
        let place = gate.attach(lab.index("lan")).unwrap();
        let (v4, v6) = ((Family::V4, vrid(7)), (Family::V6, vrid(7)));
        let states = gate.states().clone();
        assert_eq!(states.state(place, v4), GateState::Foreign);
        assert!(lab.answers(VIP) && lab.answers(VIP6));
        assert_eq!(closed(&gate), 0);

        states.set(place, v4, GateState::Closed);
        assert!(!lab.answers(VIP));
        assert!(closed(&gate) >= 3);
        assert!(lab.answers(VIP6), "the other family");
        assert!(lab.answers("192.0.2.2"), "the MAC of the parent");

        states.set(place, v4, GateState::Open);
        states.set(place, v6, GateState::Closed);
        assert!(lab.answers(VIP));
        assert!(!lab.answers(VIP6));
        for neighbour in [6, 8] {
            states.set(place, (Family::V6, vrid(neighbour)), GateState::Closed);
        }
        states.set(place, v6, GateState::Open);
        assert!(lab.answers(VIP6), "the VRIDs beside it");
        assert_eq!(states.state(place, v6), GateState::Open);
    });
}

/// A closed MAC must not be a way through the router either: nothing is forwarded for it.
#[test]
fn a_closed_virtual_mac_forwards_nothing() {
    let test = "gate::a_closed_virtual_mac_forwards_nothing";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        lab.macvlan("v4", "lan", &MAC.to_string());
        let lan = lab.index("lan");
        gate.attach(lan).unwrap();
        lab.host(&format!(
            "ip neigh replace {VIP} dev eth0 lladdr {MAC}; ip route add 198.51.100.0/24 via {VIP}"
        ));
        lab.await_answer("198.51.100.10");
        let router = (Family::V4, vrid(7));
        gate.set(lan, router, GateState::Closed).unwrap();
        assert!(!lab.answers("198.51.100.10"));
        assert!(closed(&gate) >= 3);
        gate.set(lan, router, GateState::Open).unwrap();
        assert!(lab.answers("198.51.100.10"));
        gate.set(lab.index("wan"), router, GateState::Open)
            .unwrap_err();
    });
}

/// VRIDs are per LAN: a VLAN on the parent may have a router of the same VRID, hence of the same
/// virtual MAC, and its frames come in through the parent. A tag with VLAN 0 is only a priority.
#[test]
fn a_closed_virtual_mac_does_not_concern_vlans_of_the_parent() {
    let test = "gate::a_closed_virtual_mac_does_not_concern_vlans_of_the_parent";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        // Behind the gate: what it lets through.
        lab.router(
            "nft add table netdev seen
             nft 'add chain netdev seen c { type filter hook ingress device lan priority -500; }'
             nft add rule netdev seen c ether daddr 00:00:5e:00:01:07 counter",
        );
        let lan = lab.index("lan");
        gate.attach(lan).unwrap();
        let router = (Family::V4, vrid(7));
        gate.set(lan, router, GateState::Closed).unwrap();
        let (mut passed, mut dropped) = (0, 0);
        for (tag, ours) in [
            ("", true),
            ("81000005", false),
            ("8100e005", false),
            ("88a80005", false),
            ("8100e000", true),
            ("88a80000", true),
            ("88a8000581000000", false),
            ("88a8000081000005", false),
            ("88a8000081000000", true),
        ] {
            lab.send(&format!(
                "00005e000107020000000001{tag}88b5{}",
                "00".repeat(46)
            ));
            dropped += u64::from(ours);
            passed += u64::from(!ours);
            eventually(&format!("the frame with tag `{tag}` is judged"), || {
                let seen = lab.counted("ether daddr 00:00:5e:00:01:07");
                seen + closed(&gate) == passed + dropped
            });
            assert_eq!(closed(&gate), dropped, "tag `{tag}`");
        }
    });
}

/// RFC 9568 §6.1, Accept_Mode false: packets to the virtual address are not accepted, but ARP and ND
/// are answered and packets are forwarded.
#[test]
fn accept_mode_false_refuses_packets_but_not_arp_nd_and_forwarding() {
    let test = "gate::accept_mode_false_refuses_packets_but_not_arp_nd_and_forwarding";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        master(lab);
        let lan = lab.index("lan");
        gate.attach(lan).unwrap();
        let routers = [Family::V4, Family::V6].map(|family| (family, vrid(7)));
        let vips: [IpAddr; 2] = [VIP, VIP6].map(|vip| vip.parse().unwrap());
        for (router, vip) in routers.into_iter().zip(vips) {
            gate.set(lan, router, GateState::Open).unwrap();
            gate.refuse(lan, router, vip).unwrap();
        }
        let refused = || gate.stopped().count(Stopped::Refused).unwrap();
        lab.host("ip neigh flush all");
        assert!(!lab.answers(VIP));
        let v4 = refused();
        assert!(v4 >= 3);
        assert!(!lab.answers(VIP6));
        assert!(refused() >= v4 + 3);
        assert_eq!(closed(&gate), 0);
        for (vip, mac) in [(VIP, MAC), (VIP6, MAC6)] {
            let neighbour = lab.host(&format!("ip neigh show to {vip} dev eth0"));
            assert!(neighbour.contains(&mac.to_string()), "{neighbour}");
        }
        // Unicast solicitations, by which a host makes sure that its router is still there.
        lab.host(&format!(
            "ip neigh replace {VIP6} dev eth0 lladdr {MAC6} nud probe router"
        ));
        eventually("a unicast neighbour solicitation is answered", || {
            lab.host(&format!("ip neigh show to {VIP6} dev eth0"))
                .contains("REACHABLE")
        });
        lab.host(&format!(
            "ip route add 198.51.100.0/24 via {VIP}; ip route add 2001:db8:2::/64 via {VIP6}"
        ));
        assert!(lab.answers("198.51.100.10"));
        assert!(lab.answers("2001:db8:2::10"));
        assert!(lab.answers("192.0.2.2") && lab.answers("2001:db8:1::2"));
        lab.router(&format!(
            "ping -q -c 1 -W 1 {VIP}; ping -q -c 1 -W 1 {VIP6}"
        ));

        // By way of the router's own MAC too, as from a host that took the router for a gateway.
        let own = lab.router("cat /sys/class/net/lan/address");
        lab.host(&format!("ip neigh replace {VIP} dev eth0 lladdr {own}"));
        assert!(!lab.answers(VIP));

        lab.host("ip neigh flush all");
        gate.accept(lan, vips[0]);
        gate.accept(lan, vips[0]);
        assert!(lab.answers(VIP) && !lab.answers(VIP6));
        gate.accept(lan, vips[1]);
        assert!(lab.answers(VIP6));
    });
}

/// Who is not Master only forwards; what it is sent for a virtual address is for the Master.
#[test]
fn what_a_backup_is_sent_for_a_virtual_address_goes_on() {
    let test = "gate::what_a_backup_is_sent_for_a_virtual_address_goes_on";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        let lan = lab.index("lan");
        gate.attach(lan).unwrap();
        let router = (Family::V4, vrid(7));
        // The far host stands for the Master.
        let far = "198.51.100.10";
        lab.host("ip route add default via 192.0.2.2");
        gate.refuse(lan, router, far.parse().unwrap()).unwrap();
        for (state, expected) in [
            (GateState::Closed, true),
            (GateState::Open, false),
            (GateState::Foreign, true),
        ] {
            gate.set(lan, router, state).unwrap();
            assert_eq!(lab.answers(far), expected, "{state:?}");
        }
    });
}

/// A link-local address means another host on each interface.
#[test]
fn an_address_is_refused_on_its_interface_alone() {
    let test = "gate::an_address_is_refused_on_its_interface_alone";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        let (lan, wan) = (lab.index("lan"), lab.index("wan"));
        let router = (Family::V4, vrid(7));
        for index in [lan, wan] {
            gate.attach(index).unwrap();
            gate.set(index, router, GateState::Open).unwrap();
        }
        let address = "192.0.2.2".parse().unwrap();
        gate.refuse(wan, router, address).unwrap();
        assert!(lab.answers("192.0.2.2"));
        gate.refuse(lan, router, address).unwrap();
        assert!(!lab.answers("192.0.2.2"));
        gate.detach(wan);
        assert!(!lab.answers("192.0.2.2"));
        gate.detach(lan);
        assert!(lab.answers("192.0.2.2"));
        gate.refuse(lan, router, address).unwrap_err();
        gate.attach(lan).unwrap();
        gate.set(lan, router, GateState::Open).unwrap();
        assert!(lab.answers("192.0.2.2"), "what was said is forgotten");
    });
}
