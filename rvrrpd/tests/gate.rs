//! The nftables gate, judged by a host on the LAN and by the nft program.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod lab;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use lab::{Lab, inside};
use rvrrpd::driver::gate::{Change, Tables};
use rvrrpd::wire::Mac;

const NAME: &str = "rvrrpd_test";
const VIP: &str = "192.0.2.1";
const VIP6: &str = "2001:db8:1::1";
const MAC: Mac = Mac([0, 0, 0x5e, 0, 1, 7]);
const MAC6: Mac = Mac([0, 0, 0x5e, 0, 2, 7]);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A Master without its gate: macvlans with the virtual MACs and the virtual addresses.
fn master(lab: &Lab) {
    lab.macvlan("v4", "lan", &MAC.to_string());
    lab.macvlan("v6", "lan", &MAC6.to_string());
    lab.router(&format!(
        "ip addr add {VIP}/32 dev v4; ip addr add {VIP6}/128 dev v6 nodad noprefixroute"
    ));
}

fn tables(lab: &Lab) -> Vec<String> {
    lab.router("nft list tables")
        .lines()
        .map(str::to_owned)
        .collect()
}

fn drops(lab: &Lab, index: u32) -> u64 {
    lab.counted(&format!("@closed_{index}"))
}

/// V3-FSM-345: a Backup must discard packets with a destination link-layer MAC address equal to the
/// virtual router MAC address.
#[test]
fn frames_to_a_closed_virtual_mac_are_dropped_and_to_others_not() {
    inside(
        "frames_to_a_closed_virtual_mac_are_dropped_and_to_others_not",
        |lab| {
            master(lab);
            let index = lab.index("lan");
            let mut gate = Tables::new(NAME).unwrap();
            gate.attach("lan", index).unwrap();
            // The host knows the virtual MAC already, as after a change of the Master.
            lab.host(&format!(
            "ip neigh replace {VIP} dev eth0 lladdr {MAC}; ip neigh replace {VIP6} dev eth0 lladdr {MAC6}"
        ));
            lab.await_answer(VIP);
            lab.await_answer(VIP6);
            assert_eq!(drops(lab, index), 0);

            gate.apply(&[Change::Close(index, MAC)]).unwrap();
            assert!(!lab.answers(VIP));
            assert!(drops(lab, index) >= 3);
            assert!(lab.answers(VIP6), "the other virtual MAC is open");
            assert!(
                lab.answers("192.0.2.2"),
                "the MAC of the parent is no virtual one"
            );

            gate.apply(&[Change::Close(index, MAC6), Change::Open(index, MAC)])
                .unwrap();
            assert!(lab.answers(VIP));
            assert!(!lab.answers(VIP6));
            gate.apply(&[Change::Open(index, MAC6)]).unwrap();
            assert!(lab.answers(VIP6));
            gate.remove().unwrap();
        },
    );
}

/// A closed MAC must not be a way through the router either: nothing is forwarded for it.
#[test]
fn a_closed_virtual_mac_forwards_nothing() {
    inside("a_closed_virtual_mac_forwards_nothing", |lab| {
        lab.macvlan("v4", "lan", &MAC.to_string());
        let index = lab.index("lan");
        let mut gate = Tables::new(NAME).unwrap();
        gate.attach("lan", index).unwrap();
        lab.host(&format!(
            "ip neigh replace {VIP} dev eth0 lladdr {MAC}; ip route add 198.51.100.0/24 via {VIP}"
        ));
        lab.await_answer("198.51.100.10");
        gate.apply(&[Change::Close(index, MAC)]).unwrap();
        assert!(!lab.answers("198.51.100.10"));
        assert!(drops(lab, index) >= 3);
        gate.remove().unwrap();
        assert!(lab.answers("198.51.100.10"));
    });
}

/// VRIDs are per LAN: a VLAN on the parent may have a router of the same VRID, hence of the same
/// virtual MAC, and its frames come in through the parent. A tag with VLAN 0 is only a priority.
#[test]
fn a_closed_virtual_mac_does_not_concern_vlans_of_the_parent() {
    inside(
        "a_closed_virtual_mac_does_not_concern_vlans_of_the_parent",
        |lab| {
            lab.router(
                "nft add table netdev seen
                 nft 'add chain netdev seen c { type filter hook ingress device lan priority -500; }'
                 nft add rule netdev seen c ether daddr 00:00:5e:00:01:07 counter",
            );
            let index = lab.index("lan");
            let mut gate = Tables::new(NAME).unwrap();
            gate.attach("lan", index).unwrap();
            gate.apply(&[Change::Close(index, MAC)]).unwrap();
            let (mut seen, mut dropped) = (0, 0);
            for (tag, ours) in [
                ("", true),
                ("81000005", false),
                ("8100e005", false),
                ("88a80005", false),
                ("8100e000", true),
                ("88a80000", true),
            ] {
                lab.send(&format!(
                    "00005e000107020000000001{tag}88b5{}",
                    "00".repeat(46)
                ));
                seen += 1;
                dropped += u64::from(ours);
                lab::eventually("the frame arrives", || {
                    lab.counted("ether daddr 00:00:5e:00:01:07") == seen
                });
                assert_eq!(drops(lab, index), dropped, "tag `{tag}`");
            }
            gate.remove().unwrap();
        },
    );
}

/// RFC 9568 §6.1, Accept_Mode false: packets to the virtual address are not accepted, but ARP and ND
/// are answered and packets are forwarded.
#[test]
fn accept_mode_false_refuses_packets_but_not_arp_nd_and_forwarding() {
    inside(
        "accept_mode_false_refuses_packets_but_not_arp_nd_and_forwarding",
        |lab| {
            master(lab);
            let mut gate = Tables::new(NAME).unwrap();
            lab.await_answer(VIP);
            lab.await_answer(VIP6);
            assert_eq!(
                tables(lab),
                [format!("table netdev {NAME}")],
                "made when needed"
            );
            gate.apply(&[Change::Refuse(address(VIP)), Change::Refuse(address(VIP6))])
                .unwrap();
            lab.host("ip neigh flush all");
            assert!(!lab.answers(VIP));
            assert!(!lab.answers(VIP6));
            assert!(lab.counted("@refused4") >= 3);
            assert!(lab.counted("@refused6") >= 3);
            for (vip, mac) in [(VIP, MAC), (VIP6, MAC6)] {
                let neighbour = lab.host(&format!("ip neigh show to {vip} dev eth0"));
                assert!(neighbour.contains(&mac.to_string()), "{neighbour}");
            }
            // Unicast solicitations, by which a host makes sure that its router is still there.
            lab.host(&format!(
                "ip neigh replace {VIP6} dev eth0 lladdr {MAC6} nud probe router"
            ));
            lab::eventually("a unicast neighbour solicitation is answered", || {
                lab.host(&format!("ip neigh show to {VIP6} dev eth0"))
                    .contains("REACHABLE")
            });
            lab.host(&format!(
                "ip route add 198.51.100.0/24 via {VIP}; ip route add 2001:db8:2::/64 via {VIP6}"
            ));
            assert!(lab.answers("198.51.100.10"));
            assert!(lab.answers("2001:db8:2::10"));
            assert!(
                lab.answers("192.0.2.2"),
                "other addresses are not concerned"
            );
            lab.router(&format!(
                "ping -q -c 1 -W 1 {VIP}; ping -q -c 1 -W 1 {VIP6}"
            ));

            gate.apply(&[Change::Accept(address(VIP)), Change::Accept(address(VIP6))])
                .unwrap();
            assert!(lab.answers(VIP));
            assert!(lab.answers(VIP6));
            gate.remove().unwrap();
        },
    );
}

#[test]
fn an_owned_address_is_not_answered_for_by_the_parent() {
    inside(
        "an_owned_address_is_not_answered_for_by_the_parent",
        |lab| {
            let (lan, wan) = (lab.index("lan"), lab.index("wan"));
            let mut gate = Tables::new(NAME).unwrap();
            let own = Ipv4Addr::new(192, 0, 2, 2);
            let resolves = || {
                lab.host(
                    "ip neigh flush all; ping -q -c 1 -W 1 192.0.2.2 >/dev/null || true; \
                     ip neigh show to 192.0.2.2 dev eth0 | grep -q lladdr && echo yes || echo no",
                )
            };
            gate.apply(&[Change::Own(wan, IpAddr::V4(own))]).unwrap();
            assert_eq!(resolves(), "yes\n", "another interface owns it");
            gate.apply(&[Change::Own(lan, IpAddr::V4(own))]).unwrap();
            assert_eq!(resolves(), "no\n");
            assert!(lab.counted("@owned") >= 1);
            gate.apply(&[
                Change::Own(lan, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3))),
                Change::Disown(lan, IpAddr::V4(own)),
            ])
            .unwrap();
            assert_eq!(resolves(), "yes\n");
            gate.remove().unwrap();
        },
    );
}

#[test]
fn tables_go_with_the_gate_and_leftovers_of_a_dead_one_too() {
    inside(
        "tables_go_with_the_gate_and_leftovers_of_a_dead_one_too",
        |lab| {
            lab.router("nft add table inet firewall");
            let firewall = ["table inet firewall".to_owned()];
            Tables::remove_leftover(NAME).unwrap();
            let index = lab.index("lan");
            let make = || {
                let mut gate = Tables::new(NAME).unwrap();
                gate.attach("lan", index).unwrap();
                let changes = [
                    Change::Close(index, MAC),
                    Change::Refuse(address(VIP)),
                    Change::Own(index, IpAddr::V4(Ipv4Addr::LOCALHOST)),
                ];
                gate.apply(&changes).unwrap();
                gate
            };
            let gate = make();
            assert_eq!(tables(lab).len(), 4);
            gate.remove().unwrap();
            assert_eq!(tables(lab), firewall);

            drop(make());
            assert_eq!(
                tables(lab).len(),
                4,
                "a killed process leaves its gate as it was"
            );
            Tables::remove_leftover(NAME).unwrap();
            assert_eq!(tables(lab), firewall);
            Tables::remove_leftover(NAME).unwrap();

            drop(make());
            let gate = Tables::new(NAME).unwrap();
            assert_eq!(
                tables(lab).len(),
                2,
                "a new gate begins with nothing closed"
            );
            assert!(!lab.router("nft list ruleset").contains(&MAC.to_string()));
            gate.remove().unwrap();
            assert_eq!(tables(lab), firewall);
        },
    );
}

/// `systemctl reload nftables` flushes the whole ruleset.
#[test]
fn a_flush_by_the_administrator_does_not_open_the_gate() {
    inside(
        "a_flush_by_the_administrator_does_not_open_the_gate",
        |lab| {
            let index = lab.index("lan");
            let mut gate = Tables::new(NAME).unwrap();
            gate.attach("lan", index).unwrap();
            gate.apply(&[Change::Close(index, MAC)]).unwrap();
            lab.router("nft flush ruleset");
            assert!(lab.router("nft list ruleset").contains(&MAC.to_string()));
            // Another daemon of the same name must not take it either.
            assert_eq!(
                Tables::new(NAME).unwrap_err().kind(),
                ErrorKind::PermissionDenied
            );
            gate.remove().unwrap();
        },
    );
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    inside("what_is_wrong_is_refused_and_changes_nothing", |lab| {
        let index = lab.index("lan");
        for name in ["", "a b", "ä", "x;y", &"n".repeat(129)] {
            assert_eq!(
                Tables::new(name).unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{name}"
            );
        }
        let mut gate = Tables::new(NAME).unwrap();
        for name in ["", "a-name-of-16-byt", "a\0b"] {
            assert_eq!(
                gate.attach(name, 9).unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{name}"
            );
        }
        let error = gate.attach("nowhere", 9999).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error
                .to_string()
                .contains("no interface `nowhere` with index 9999"),
            "{error}"
        );
        gate.attach("lan", index).unwrap();
        let before = lab.router("nft list ruleset");

        let error = gate
            .apply(&[Change::Close(index, MAC), Change::Close(9999, MAC)])
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let other = Mac([2, 0, 0, 0, 0, 1]);
        let error = gate
            .apply(&[Change::Close(index, MAC), Change::Close(index, other)])
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        gate.apply(&[
            Change::Open(9999, MAC),
            Change::Open(index, other),
            Change::Accept(address(VIP)),
        ])
        .unwrap();
        gate.detach(9999).unwrap();
        gate.apply(&[]).unwrap();
        assert_eq!(lab.router("nft list ruleset"), before);
        gate.remove().unwrap();
    });
}

/// An interface that is removed and made again, with the same index even, gets its gate back; the
/// others never lose theirs.
#[test]
fn a_parent_that_is_made_again_is_attached_again() {
    inside("a_parent_that_is_made_again_is_attached_again", |lab| {
        let make = || {
            lab.router(
                "ip link add p0 index 77 type veth peer name p1 index 78; ip link set p0 up",
            );
        };
        let remove = || lab.router("ip link del p0");
        let hooked = || {
            lab.router("nft list ruleset")
                .matches("device \"p0\" priority")
                .count()
        };
        let lan = lab.index("lan");
        make();
        let mut gate = Tables::new(NAME).unwrap();
        gate.attach("lan", lan).unwrap();
        gate.attach("p0", 77).unwrap();
        gate.apply(&[Change::Close(77, MAC), Change::Close(lan, MAC6)])
            .unwrap();
        remove();
        gate.apply(&[Change::Close(77, MAC6)]).unwrap();
        assert_eq!(
            gate.attach("p0", 77).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        // The rebuild that a change elsewhere may need does not stumble over the missing one.
        gate.attach("lan", lan).unwrap();
        make();
        gate.attach("p0", 77).unwrap();
        assert_eq!(hooked(), 1);
        let ruleset = lab.router("nft list ruleset");
        assert_eq!(ruleset.matches(&MAC.to_string()).count(), 1, "{ruleset}");
        assert_eq!(ruleset.matches(&MAC6.to_string()).count(), 2, "{ruleset}");

        // Detached after it is gone, attached anew: nothing is closed.
        gate.apply(&[Change::Own(77, IpAddr::V4(Ipv4Addr::LOCALHOST))])
            .unwrap();
        remove();
        gate.detach(77).unwrap();
        let ruleset = lab.router("nft list ruleset");
        assert!(
            !ruleset.contains("_77") && !ruleset.contains("127.0.0.1"),
            "{ruleset}"
        );
        make();
        gate.attach("p0", 77).unwrap();
        assert_eq!(hooked(), 1);
        assert_eq!(
            lab.router("nft list ruleset")
                .matches(&MAC6.to_string())
                .count(),
            1
        );
        gate.detach(77).unwrap();
        assert_eq!(hooked(), 0);
        gate.remove().unwrap();
    });
}

/// Every VRID of both families on eight parents, and as many addresses, in one transaction.
#[test]
fn thousands_of_changes_are_one_transaction() {
    inside("thousands_of_changes_are_one_transaction", |lab| {
        let mut gate = Tables::new(NAME).unwrap();
        let changes = every_mac(lab, &mut gate);
        let addresses: Vec<Change> = (0..4000_u32)
            .map(|number| {
                Change::Refuse(IpAddr::V6((0x2001_0db8 << 96 | u128::from(number)).into()))
            })
            .collect();
        gate.apply(&[changes.clone(), addresses].concat()).unwrap();
        let ruleset = lab.router("nft list ruleset");
        assert_eq!(ruleset.matches("00:00:5e:00:").count(), changes.len());
        assert_eq!(ruleset.matches("2001:db8::").count(), 4000);
        let opens: Vec<Change> = changes.iter().map(opposite).collect();
        gate.apply(&opens).unwrap();
        assert!(!lab.router("nft list ruleset").contains("00:00:5e:00:"));
        gate.remove().unwrap();
    });
}

/// How long a takeover waits for its gate. `cargo test --test gate -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, nothing is asserted"]
fn measure_apply() {
    inside("measure_apply", |lab| {
        let index = lab.index("lan");
        let start = Instant::now();
        let mut gate = Tables::new(NAME).unwrap();
        println!("new: {:?}", start.elapsed());
        let start = Instant::now();
        gate.attach("lan", index).unwrap();
        println!("attach: {:?}", start.elapsed());
        let start = Instant::now();
        gate.apply(&[Change::Refuse(address(VIP))]).unwrap();
        println!("first refusal, with its table: {:?}", start.elapsed());
        let all = every_mac(lab, &mut gate);
        for count in [1, 250, 1000, 4000] {
            let closes = &all[..count.min(all.len())];
            let opens: Vec<Change> = closes.iter().map(opposite).collect();
            let (mut close, mut open) = (Vec::new(), Vec::new());
            for _ in 0..30 {
                let start = Instant::now();
                gate.apply(closes).unwrap();
                close.push(start.elapsed());
                let start = Instant::now();
                gate.apply(&opens).unwrap();
                open.push(start.elapsed());
            }
            for (what, mut times) in [("close", close), ("open", open)] {
                times.sort();
                println!(
                    "{what} {}: median {:?}, longest {:?}",
                    closes.len(),
                    times[15],
                    times[29]
                );
            }
        }
        let start = Instant::now();
        gate.remove().unwrap();
        println!("remove: {:?}", start.elapsed());
    });
}

/// Eight parents, attached, and the changes that close all virtual MACs on them.
fn every_mac(lab: &Lab, gate: &mut Tables) -> Vec<Change> {
    let mut changes = Vec::new();
    for number in 0..8 {
        lab.router(&format!(
            "ip link add p{number} type veth peer name q{number}"
        ));
        let index = lab.index(&format!("p{number}"));
        gate.attach(&format!("p{number}"), index).unwrap();
        for family in [1, 2] {
            changes.extend(
                (1..=255).map(|vrid| Change::Close(index, Mac([0, 0, 0x5e, 0, family, vrid]))),
            );
        }
    }
    changes
}

fn opposite(change: &Change) -> Change {
    match *change {
        Change::Close(index, mac) => Change::Open(index, mac),
        other => other,
    }
}

/// Who looks with the nft program sees interfaces and addresses, not numbers of another byte order.
#[test]
fn what_nft_lists_can_be_read() {
    inside("what_nft_lists_can_be_read", |lab| {
        master(lab);
        let [four, six] = ["v4", "v6"].map(|name| lab.index(name));
        let link_local: Ipv6Addr = "fe80::7".parse().unwrap();
        let mut gate = Tables::new(NAME).unwrap();
        gate.attach("lan", lab.index("lan")).unwrap();
        gate.apply(&[
            Change::Close(lab.index("lan"), MAC),
            Change::Refuse(address(VIP)),
            Change::Refuse(address(VIP6)),
            Change::Silence(six),
            Change::Own(four, address(VIP)),
            Change::Own(six, address(VIP6)),
            Change::RefuseLinkLocal(six, link_local),
            Change::Permit(six, link_local),
            Change::AskFrom(six, link_local),
        ])
        .unwrap();
        let list = lab.router("nft list ruleset");
        let elements: BTreeSet<&str> = list
            .lines()
            .filter_map(|line| {
                line.trim()
                    .strip_prefix("elements = { ")?
                    .strip_suffix(" }")
            })
            .collect();
        let expected = BTreeSet::from([
            "00:00:5e:00:01:07",
            "192.0.2.1",
            "2001:db8:1::1",
            "\"v6\"",
            "\"v4\" . 192.0.2.1",
            "\"v6\" . 2001:db8:1::1",
            "\"v6\" . fe80::7",
            "\"v6\" : fe80::7",
        ]);
        assert_eq!(elements, expected, "{list}");
        gate.remove().unwrap();
    });
}
