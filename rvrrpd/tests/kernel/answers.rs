//! The gate as the virtual MAC itself: what it answers, drops, leaves alone and takes note of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rvrrpd::net::kernel::Gate;
use rvrrpd::wire::{Family, Mac};
use rvrrpd_ebpf::{GateState, Stopped};

use crate::ask::{ASKER, ASKER4, Arp, Asker, NOBODY, Nd, advertisement, arp_reply};
use crate::gate::{MAC, MAC6, gate};
use crate::lab::{Lab, inside};
use crate::wire::vrid;

pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
pub(crate) const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
/// Answered by VRID 200 in all tests.
pub(crate) const KNOWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
pub(crate) const V4: u8 = 7;

pub(crate) fn both() -> [(Family, rvrrpd::wire::Vrid); 2] {
    [Family::V4, Family::V6].map(|family| (family, vrid(V4)))
}

/// A gate on the LAN whose routers of VRID 7 answer for their addresses, and what they are.
pub(crate) fn answering(lab: &Lab, test: &str, accepts: bool) -> Option<(Gate, u32)> {
    let mut gate = gate(test)?;
    let lan = lab.index("lan");
    gate.attach(lan).unwrap();
    answer(&mut gate, lan, accepts);
    Some((gate, lan))
}

pub(crate) fn answer(gate: &mut Gate, lan: u32, accepts: bool) {
    let [v4, v6] = both();
    gate.answer(lan, v4, VIP.into(), accepts).unwrap();
    for vip in [VIP6, LOCAL] {
        gate.answer(lan, v6, vip.into(), accepts).unwrap();
    }
    let known = (Family::V4, vrid(200));
    gate.answer(lan, known, KNOWN.into(), true).unwrap();
    for router in [v4, v6, known] {
        gate.set(lan, router, GateState::Carried).unwrap();
    }
}

pub(crate) fn set(gate: &Gate, lan: u32, state: GateState) {
    for router in both() {
        gate.set(lan, router, state).unwrap();
    }
}

pub(crate) fn count(gate: &Gate, reason: Stopped) -> u64 {
    gate.stopped().count(reason).unwrap()
}

/// Counts answers with a priority, whose tag a packet socket does not see.
const TAGGED: &str = "nft add table netdev seen
    nft 'add chain netdev seen c { type filter hook ingress device eth0 priority -500; }'
    nft add rule netdev seen c ether daddr 02:00:00:00:00:51 vlan id 0 vlan pcp 7 counter";

fn tagged(lab: &Lab) -> u64 {
    lab.counted_on_host("vlan pcp 7")
}

/// Counts what comes out of the gate from [`ASKER`].
pub(crate) const SEEN: &str = "nft add table netdev seen
    nft 'add chain netdev seen c { type filter hook ingress device lan priority -500; }'
    nft add rule netdev seen c ether saddr 02:00:00:00:00:51 counter";

pub(crate) fn seen(lab: &Lab) -> u64 {
    lab.counted("ether saddr 02:00:00:00:00:51")
}

/// ARP-1, FSM-A-1: requests for a virtual address are answered with the virtual MAC, by whatever way they
/// come, and once.
#[test]
fn arp_requests_are_answered_with_the_virtual_mac() {
    let test = "answers::arp_requests_are_answered_with_the_virtual_mac";
    inside(test, |lab| {
        let Some((gate, _)) = answering(lab, test, false) else {
            return;
        };
        let mut asker = Asker::new(lab, KNOWN);
        let own = lab.router("cat /sys/class/net/lan/address");
        let own: Mac = parse(own.trim());
        let request = Arp::request(VIP);
        lab.host(TAGGED);
        let answered = [
            request,
            Arp { to: MAC, ..request },
            Arp { to: own, ..request },
            // RFC 5227 §2.1.1: somebody wants to take the address.
            Arp {
                sender: NOBODY,
                ..request
            },
            // A priority, and no VLAN.
            Arp {
                tag: &[0x81, 0, 0xe0, 0],
                ..request
            },
        ];
        for request in answered {
            let answer = asker.ask_one(request.frame());
            let answer = answer.unwrap_or_else(|| panic!("{:x?}", request.frame()));
            assert_eq!(answer[..42], arp_reply(&request, MAC)[..42]);
        }
        assert_eq!(tagged(lab), 1);
        assert_eq!(
            count(&gate, Stopped::AnsweredArp),
            2 * answered.len() as u64
        );
        // Who asks with more than a request gets no more back than the shortest frame.
        let mut long = request.frame();
        long.resize(1400, 0xaa);
        assert_eq!(asker.ask_one(&long).unwrap().len(), 60);
        // In the shortest form that has it all.
        let short = asker.ask_one(&request.frame()[..42]).unwrap();
        assert_eq!(short[..42], arp_reply(&request, MAC)[..42]);

        let other = Mac([2, 0, 0, 0, 0, 0x99]);
        for (what, request) in [
            (
                "of a VLAN",
                Arp {
                    tag: &[0x81, 0, 0, 5],
                    ..request
                },
            ),
            (
                "to somebody else",
                Arp {
                    to: other,
                    ..request
                },
            ),
            (
                "for another address",
                Arp::request(Ipv4Addr::new(192, 0, 2, 99)),
            ),
            (
                "a reply",
                Arp {
                    operation: 2,
                    ..request
                },
            ),
        ] {
            assert_eq!(asker.ask_one(request.frame()), None, "{what}");
        }
        assert_eq!(count(&gate, Stopped::NotAnswerable), 0);
        // What the router has itself is the kernel's.
        let answer = asker.ask_one(Arp::request(Ipv4Addr::new(192, 0, 2, 2)).frame());
        assert_eq!(answer.unwrap()[6..12], own.0);
    });
}

/// ND-1, FSM-A-2: the same by neighbour discovery, with whatever options.
#[test]
fn neighbour_solicitations_are_answered_with_the_virtual_mac() {
    let test = "answers::neighbour_solicitations_are_answered_with_the_virtual_mac";
    inside(test, |lab| {
        let Some((gate, _)) = answering(lab, test, false) else {
            return;
        };
        let mut asker = Asker::new(lab, KNOWN);
        lab.host(TAGGED);
        let link = [&[1, 1][..], &ASKER.0].concat();
        let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
        let long: Vec<u8> = [[200, 2].as_slice(), &[7; 14]].concat();
        let options = [
            vec![],
            link.clone(),
            [&nonce[..], &long, &link].concat(),
            nonce.repeat(40),
            [link.clone(), nonce.repeat(140)].concat(),
        ];
        let mut asked = 0;
        for target in [VIP6, LOCAL] {
            for options in &options {
                let question = Nd {
                    options: options.clone(),
                    ..Nd::solicitation(target)
                };
                let answer = asker.ask_one(question.frame());
                assert_eq!(answer, Some(advertisement(&question, MAC6)), "{options:?}");
                asked += 1;
            }
            // By which a host makes sure that its router is still there.
            let unicast = Nd {
                to: MAC6,
                destination: target,
                ..Nd::solicitation(target)
            };
            for question in [unicast, Nd::probe(target)] {
                let answer = asker.ask_one(question.frame());
                assert_eq!(answer, Some(advertisement(&question, MAC6)));
                asked += 1;
            }
            // A newer probe has a nonce (RFC 7527).
            let question = Nd {
                options: nonce.to_vec(),
                ..Nd::probe(target)
            };
            let answer = asker.ask_one(question.frame());
            assert_eq!(answer, Some(advertisement(&question, MAC6)));
            asked += 1;
            // What follows the packet is no part of it.
            let mut padded = Nd::solicitation(target).frame();
            padded.extend([0xaa; 20]);
            let answer = asker.ask_one(padded);
            assert_eq!(answer, Some(advertisement(&Nd::solicitation(target), MAC6)));
            asked += 1;
            let with_priority = Nd {
                tag: &[0x81, 0, 0xe0, 0],
                ..Nd::solicitation(target)
            };
            let answer = asker.ask_one(with_priority.frame());
            assert_eq!(answer, Some(advertisement(&with_priority, MAC6)));
            asked += 1;
        }
        assert_eq!(tagged(lab), 2);
        assert_eq!(count(&gate, Stopped::AnsweredNd), asked);
        assert_eq!(count(&gate, Stopped::NotAnswerable), 0);
        // The options name where the answer goes.
        let elsewhere = Nd::solicitation(VIP6).frame_from(Mac([2, 0, 0, 0, 0, 0x77]));
        assert_eq!(
            asker.ask_one(elsewhere),
            Some(advertisement(&Nd::solicitation(VIP6), MAC6))
        );
        for (what, question) in [
            (
                "of a VLAN",
                Nd {
                    tag: &[0x81, 0, 0, 5],
                    ..Nd::solicitation(VIP6)
                },
            ),
            (
                "to somebody else",
                Nd {
                    to: Mac([2, 0, 0, 0, 0, 0x99]),
                    ..Nd::solicitation(VIP6)
                },
            ),
            (
                "an address that nobody has",
                Nd::solicitation(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x101)),
            ),
        ] {
            assert_eq!(asker.ask_one(question.frame()), None, "{what}");
        }
        assert_eq!(count(&gate, Stopped::NotAnswerable), 0);
    });
}

/// FSM-B-1, FSM-B-2: who is not Master does not answer; nobody else on this host does either.
#[test]
fn a_closed_router_is_silent() {
    let test = "answers::a_closed_router_is_silent";
    inside(test, |lab| {
        let Some((mut gate, lan)) = answering(lab, test, true) else {
            return;
        };
        lab.router(SEEN);
        // The kernel would answer for these.
        lab.router(&format!(
            "ip addr add {VIP}/32 dev lan; ip addr add {VIP6}/128 dev lan nodad"
        ));
        let mut asker = Asker::new(lab, KNOWN);
        let own = lab.router("cat /sys/class/net/lan/address");
        let own: Mac = parse(own.trim());
        let questions = [
            Arp::request(VIP).frame(),
            Nd::solicitation(VIP6).frame(),
            Nd::probe(VIP6).frame(),
        ];
        let sources = |answers: &[Vec<u8>]| -> Vec<Mac> {
            let source = |frame: &Vec<u8>| Mac(frame[6..12].try_into().unwrap());
            answers.iter().map(source).collect()
        };
        let answers = asker.ask(&questions);
        assert_eq!(sources(&answers), [MAC, MAC6, MAC6]);
        assert_eq!(seen(lab), 0);
        set(&gate, lan, GateState::Closed);
        assert!(asker.ask(&questions).is_empty());
        assert_eq!(count(&gate, Stopped::ClosedNeighbour), 3);
        assert_eq!(seen(lab), 0);
        // Announcements of who is Master instead.
        let gratuitous = Arp {
            sender: VIP,
            ..Arp::request(VIP)
        };
        asker.ask(&[gratuitous.frame()]);
        assert_eq!(seen(lab), 1);
        assert!(gate.conflicts().is_empty(), "it is his address");
        // Not ours to decide: the kernel's.
        set(&gate, lan, GateState::Foreign);
        assert_eq!(sources(&asker.ask(&questions[..2])), [own, own]);
        gate.forget(lan, VIP.into());
        set(&gate, lan, GateState::Carried);
        assert_eq!(sources(&asker.ask(&questions[..2])), [own, MAC6]);
        gate.answer(lan, both()[0], VIP.into(), true).unwrap();
        assert_eq!(sources(&asker.ask(&questions[..2])), [MAC, MAC6]);
        let wrong = gate.answer(lan, both()[0], VIP6.into(), true).unwrap_err();
        assert_eq!(wrong.kind(), std::io::ErrorKind::InvalidInput);
        assert_eq!(sources(&asker.ask(&questions[..2])), [MAC, MAC6]);
    });
}

/// A question that is wrong in itself, or to which the answer would go to a group, has none.
#[test]
fn what_no_answer_can_go_to_has_none() {
    let test = "answers::what_no_answer_can_go_to_has_none";
    inside(test, |lab| {
        let Some((gate, _)) = answering(lab, test, false) else {
            return;
        };
        lab.router(SEEN);
        let mut asker = Asker::new(lab, KNOWN);
        let request = Arp::request(VIP);
        let group = Mac([0x01, 0, 0x5e, 0, 0, 1]);
        let from = |sender_mac| Arp {
            sender_mac,
            ..request
        };
        let by = |sender: [u8; 4]| Arp {
            sender: sender.into(),
            ..request
        };
        let solicitation = Nd::solicitation(VIP6);
        let changed = |at: usize, value: u8| {
            let mut frame = solicitation.frame();
            frame[at] = value;
            frame
        };
        let with = |options: &[u8]| Nd {
            options: options.to_vec(),
            ..solicitation.clone()
        };
        let group6 = "ff02::2".parse().unwrap();
        let cases = [
            ("from a group", from(group).frame()),
            ("from all", from(Mac::BROADCAST).frame()),
            ("from none", from(Mac([0; 6])).frame()),
            ("for a group", by([224, 0, 0, 1]).frame()),
            ("for all", by([255; 4]).frame()),
            ("for the loopback", by([127, 0, 0, 1]).frame()),
            ("hop limit", changed(21, 254)),
            ("code", changed(55, 1)),
            ("checksum", changed(56, solicitation.frame()[56] ^ 1)),
            ("a length of no whole options", changed(19, 31)),
            ("a length beyond the end", changed(19, 40)),
            ("a length without a target", changed(19, 16)),
            (
                "from an IPv6 group",
                Nd {
                    source: group6,
                    ..solicitation.clone()
                }
                .frame(),
            ),
            (
                "to the link-layer address of a group",
                with(&[1, 1, 1, 0, 0x5e, 0, 0, 1]).frame(),
            ),
            (
                "to no link-layer address",
                with(&[1, 1, 0, 0, 0, 0, 0, 0]).frame(),
            ),
            (
                "an option without a length",
                with(&[1, 0, 2, 0, 0, 0, 0, 0x51]).frame(),
            ),
            (
                "a probe that says who asks",
                Nd {
                    source: Ipv6Addr::UNSPECIFIED,
                    ..solicitation.clone()
                }
                .frame(),
            ),
            (
                "a probe to a single one",
                Nd {
                    destination: VIP6,
                    ..Nd::probe(VIP6)
                }
                .frame(),
            ),
            (
                "in the name of the address",
                Nd {
                    source: VIP6,
                    ..solicitation.clone()
                }
                .frame(),
            ),
        ];
        let all = cases.len() as u64;
        for (number, (what, frame)) in cases.into_iter().enumerate() {
            let number = number as u64;
            assert_eq!(asker.ask(&[frame]), [[0_u8; 0]; 0], "{what}");
            let refused = count(&gate, Stopped::NotAnswerable);
            assert_eq!(refused, number + 1, "{what}");
        }
        assert_eq!(seen(lab), all, "they are left to the kernel");
        // No question at all.
        let mut others = vec![
            Arp {
                operation: 0x101,
                ..request
            }
            .frame(),
            Arp {
                sender: VIP,
                ..request
            }
            .frame(),
        ];
        for at in 14..20 {
            let mut frame = request.frame();
            frame[at] ^= 1;
            others.push(frame);
        }
        others.extend((14..42).map(|length| request.frame()[..length].to_vec()));
        let whole = solicitation.frame();
        others.extend((14..78).map(|length| whole[..length].to_vec()));
        let sent = others.len() as u64;
        assert_eq!(asker.ask(&others), [[0_u8; 0]; 0]);
        assert_eq!(count(&gate, Stopped::NotAnswerable), all);
        assert_eq!(seen(lab), all + sent);
        assert_eq!(asker.ask(&[request.frame(), whole]).len(), 2);
    });
}

/// A conflict is told of once, while it goes on once a second at the most.
#[test]
fn who_else_has_an_address_is_told_of() {
    let test = "answers::who_else_has_an_address_is_told_of";
    inside(test, |lab| {
        let Some((mut gate, lan)) = answering(lab, test, false) else {
            return;
        };
        lab.router(SEEN);
        let mut asker = Asker::new(lab, KNOWN);
        assert!(gate.conflicts().is_empty());
        let claim = Arp {
            sender: VIP,
            ..Arp::request(VIP)
        };
        let told = |gate: &mut Gate| -> Vec<(u32, IpAddr, Mac)> {
            let conflicts = gate.conflicts().into_iter();
            conflicts
                .map(|one| (one.ifindex, one.address, one.mac))
                .collect()
        };
        let expected = vec![(lan, IpAddr::from(VIP), ASKER)];
        for (what, frame) in [
            ("gratuitous", claim),
            (
                "a reply",
                Arp {
                    operation: 2,
                    target: ASKER4,
                    ..claim
                },
            ),
            (
                "a question",
                Arp {
                    target: KNOWN,
                    ..claim
                },
            ),
        ] {
            assert!(asker.ask(&[frame.frame()]).is_empty(), "{what}");
            crate::lab::eventually(what, || {
                // Of those that come within a second of another one nothing is written.
                asker.ask(&[frame.frame()]);
                told(&mut gate) == expected
            });
        }
        assert!(gate.conflicts().is_empty(), "told of already");
        let passed = seen(lab);
        assert!(passed >= 6);
        assert_eq!(count(&gate, Stopped::Conflict), passed);

        let announce = Nd {
            kind: 136,
            flags: 0x20,
            options: [&[2, 1][..], &[2, 0, 0, 0, 0, 0x88]].concat(),
            ..Nd::solicitation(VIP6)
        };
        asker.ask(&[announce.frame()]);
        let named = Mac([2, 0, 0, 0, 0, 0x88]);
        assert_eq!(told(&mut gate), [(lan, IpAddr::from(VIP6), named)]);
        let without = Nd {
            options: Vec::new(),
            target: LOCAL,
            ..announce.clone()
        };
        asker.ask(&[without.frame()]);
        assert_eq!(told(&mut gate), [(lan, IpAddr::from(LOCAL), ASKER)]);
        // What no kernel would take.
        let distant = Nd {
            hop_limit: 254,
            ..announce.clone()
        };
        // Another Master, and who holds an address of a router that is none here.
        let master = Nd {
            options: [&[2, 1][..], &MAC6.0].concat(),
            ..announce.clone()
        };
        let master4 = Arp {
            sender_mac: MAC,
            ..claim
        };
        let before = count(&gate, Stopped::Conflict);
        asker.ask(&[distant.frame(), master.frame(), master4.frame()]);
        set(&gate, lan, GateState::Closed);
        asker.ask(&[announce.frame(), claim.frame()]);
        assert_eq!(count(&gate, Stopped::Conflict), before);
        assert!(gate.conflicts().is_empty());

        // A flood is one line, with all of its packets.
        set(&gate, lan, GateState::Carried);
        let third = Ipv4Addr::new(192, 0, 2, 3);
        gate.answer(lan, both()[0], third.into(), true).unwrap();
        let flood = Arp {
            sender: third,
            ..Arp::request(third)
        };
        asker.ask(&vec![flood.frame(); 500]);
        for count in [500, 1] {
            let [one] = &gate.conflicts()[..] else {
                panic!("one conflict")
            };
            assert_eq!((one.address, one.count), (IpAddr::from(third), count));
            assert!(gate.conflicts().is_empty());
            asker.ask(&[flood.frame()]);
        }
    });
}

/// One by one: each request has one answer, with the virtual MAC of its own router.
#[test]
fn a_thousand_addresses_are_answered_once_each() {
    const EACH: u8 = 250;
    let test = "answers::a_thousand_addresses_are_answered_once_each";
    inside(test, |lab| {
        let Some((mut gate, lan)) = answering(lab, test, false) else {
            return;
        };
        let v4 = |net: u8, vrid: u8| Ipv4Addr::new(10, net, 0, vrid);
        let v6 = |net: u8, vrid: u8| {
            let octets = u16::from_be_bytes([net, vrid]);
            Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, octets)
        };
        let mut questions = Vec::new();
        let mut expected = Vec::new();
        for number in 1..=EACH {
            let routers = [Family::V4, Family::V6].map(|family| (family, vrid(number)));
            for net in 1..=4 {
                let (v4, v6) = (v4(net, number), v6(net, number));
                gate.answer(lan, routers[0], v4.into(), false).unwrap();
                gate.answer(lan, routers[1], v6.into(), false).unwrap();
                let (arp, nd) = (Arp::request(v4), Nd::solicitation(v6));
                questions.extend([arp.frame(), nd.frame()]);
                expected.push(arp_reply(&arp, Mac([0, 0, 0x5e, 0, 1, number])));
                expected.push(advertisement(&nd, Mac([0, 0, 0x5e, 0, 2, number])));
            }
            for router in routers {
                gate.set(lan, router, GateState::Carried).unwrap();
            }
        }
        let mut asker = Asker::new(lab, KNOWN);
        // The queue of a receiving processor has room for a thousand.
        for (questions, expected) in questions.chunks(500).zip(expected.chunks(500)) {
            let mut answers = asker.ask(questions);
            let mut expected = expected.to_vec();
            answers.sort_unstable();
            expected.sort_unstable();
            assert!(answers == expected, "{} answers", answers.len());
        }
        gate.detach(lan);
        gate.attach(lan).unwrap();
        for router in both() {
            gate.set(lan, router, GateState::Carried).unwrap();
        }
        answer(&mut gate, lan, false);
        assert!(asker.ask(&questions[..500]).is_empty(), "all forgotten");
    });
}

/// Whatever comes in, what goes out is an answer to somebody for one of the addresses, or nothing;
/// and the gate goes on. Random bytes, and questions of which a few bytes are others.
#[test]
fn random_frames_have_no_wrong_answers() {
    const ROUNDS: usize = 100;
    let test = "answers::random_frames_have_no_wrong_answers";
    inside(test, |lab| {
        let Some((gate, _)) = answering(lab, test, false) else {
            return;
        };
        let mut asker = Asker::new(lab, KNOWN);
        // xorshift64, for frames that are the same each time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below
        };
        let nonces = [14, 1, 1, 2, 3, 4, 5, 6].repeat(20);
        let models = [
            Arp::request(VIP).frame(),
            Nd::solicitation(VIP6).frame(),
            Nd::probe(LOCAL).frame(),
            Nd {
                options: nonces,
                ..Nd::solicitation(LOCAL)
            }
            .frame(),
        ];
        let mut answered = 0;
        for round in 0..ROUNDS {
            let frames: Vec<Vec<u8>> = (0..300)
                .map(|_| {
                    let mut frame = models[random(models.len())].clone();
                    if round % 2 == 0 {
                        let length = 14 + random(200);
                        frame.resize(length.max(14), 0);
                        for byte in &mut frame[14..] {
                            *byte = u8::try_from(random(256)).unwrap();
                        }
                    } else {
                        for _ in 0..=random(2) {
                            let at = 14 + random(frame.len() - 14);
                            frame[at] = u8::try_from(random(256)).unwrap();
                        }
                        if random(4) == 0 {
                            frame.truncate(14 + random(frame.len() - 14));
                        }
                    }
                    frame
                })
                .collect();
            for answer in asker.ask(&frames) {
                answered += 1;
                if answer[12..14] == [8, 6] {
                    assert_eq!(answer[6..12], MAC.0, "{answer:x?}");
                    assert_eq!(answer[14..22], [0, 1, 8, 0, 6, 4, 0, 2], "{answer:x?}");
                    assert_eq!(answer[28..32], VIP.octets(), "{answer:x?}");
                    assert!(answer[38] < 224, "{answer:x?}");
                } else {
                    let target: [u8; 16] = answer[62..78].try_into().unwrap();
                    let target = Ipv6Addr::from(target);
                    assert!([VIP6, LOCAL].contains(&target), "{answer:x?}");
                    let to: [u8; 16] = answer[38..54].try_into().unwrap();
                    let question = Nd {
                        source: if answer[..6] == ASKER.0 {
                            to.into()
                        } else {
                            Ipv6Addr::UNSPECIFIED
                        },
                        ..Nd::solicitation(target)
                    };
                    assert_eq!(answer, advertisement(&question, MAC6));
                    let is_group = question.source.is_multicast();
                    assert!(!is_group, "{answer:x?}");
                }
            }
        }
        assert!(answered > 100, "some of the changes are no mistakes");
        assert!(count(&gate, Stopped::NotAnswerable) > 100);
        let questions = [Arp::request(VIP).frame(), Nd::solicitation(VIP6).frame()];
        assert_eq!(asker.ask(&questions).len(), 2);
    });
}

pub(crate) fn parse(mac: &str) -> Mac {
    let mut octets = mac
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).unwrap());
    Mac(core::array::from_fn(|_| octets.next().unwrap()))
}
