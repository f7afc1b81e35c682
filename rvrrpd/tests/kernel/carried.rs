//! Traffic by way of a virtual MAC that the gate carries.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};

use rvrrpd::net::kernel::{Hook, load_gate};
use rvrrpd::net::namespace::{Namespace, NamespaceId};
use rvrrpd::net::station::Station;
use rvrrpd::wire::{Family, Mac};
use rvrrpd_ebpf::{GateState, Stopped};

use crate::answers::{KNOWN, LOCAL, VIP, VIP6, answer, answering, both, count, set};
use crate::ask::{Arp, Asker, arp_reply};
use crate::gate::{MAC, MAC6, gate};
use crate::lab::{Lab, inside};
use crate::wire::vrid;

/// The VRID where another one than that of [`answering`] is meant.
const VRID: u8 = 9;
const FAR: &str = "198.51.100.10";
const FAR6: &str = "2001:db8:2::10";
/// What the kernel does with the addresses of a network that it has by default, and worse: nothing
/// of it is changed.
const WORST: &str = "for i in all lan; do cd /proc/sys/net/ipv4/conf/$i
    echo 1 > rp_filter; echo 0 > arp_ignore; echo 0 > arp_announce; done";

/// The host behind the router is reached by the virtual addresses, that of IPv6 a link-local one.
fn route(lab: &Lab) {
    lab.host(&format!(
        "ip route replace 198.51.100.0/24 via {VIP}
         ip -6 route replace 2001:db8:2::/64 via {LOCAL} dev eth0; ip neigh flush all"
    ));
}

fn neighbour(lab: &Lab, address: impl Into<IpAddr>) -> String {
    lab.host(&format!("ip neigh show to {} dev eth0", address.into()))
}

/// FSM-A-4, FSM-B-3: without any address and sysctl of its own, a Master forwards and a Backup does
/// not. FSM-A-5: nothing is accepted, but ND.
#[test]
fn a_master_forwards_and_does_not_accept() {
    let test = "carried::a_master_forwards_and_does_not_accept";
    inside(test, |lab| {
        lab.router(WORST);
        let Some((gate, lan)) = answering(lab, test, false) else {
            return;
        };
        route(lab);
        lab.await_answer(FAR);
        lab.await_answer(FAR6);
        assert!(neighbour(lab, VIP).contains(&MAC.to_string()));
        assert!(neighbour(lab, LOCAL).contains(&MAC6.to_string()));
        assert_eq!(count(&gate, Stopped::Refused), 0);
        assert!(!lab.answers(&VIP.to_string()) && !lab.answers(&VIP6.to_string()));
        assert!(neighbour(lab, VIP6).contains(&MAC6.to_string()));
        // Not by the router's own MAC either.
        let own = lab.router("cat /sys/class/net/lan/address");
        let before = count(&gate, Stopped::Refused);
        assert!(before >= 6);
        lab.host(&format!("ip neigh replace {VIP} dev eth0 lladdr {own}"));
        assert!(!lab.answers(&VIP.to_string()));
        assert!(count(&gate, Stopped::Refused) >= before + 3);
        lab.host(&format!("ip neigh replace {VIP} dev eth0 lladdr {MAC}"));
        lab.await_answer("192.0.2.2");
        lab.await_answer("2001:db8:1::2");

        set(&gate, lan, GateState::Closed);
        assert!(!lab.answers(FAR) && !lab.answers(FAR6));
        lab.await_answer("192.0.2.2");
        set(&gate, lan, GateState::Carried);
        lab.await_answer(FAR);
        lab.await_answer(FAR6);
        // Open is for who has an interface with the virtual MAC: here nobody.
        set(&gate, lan, GateState::Open);
        assert!(!lab.answers(FAR));
    });
}

/// Frames that were joined on the way up pass as well.
#[test]
fn a_master_forwards_large_transfers() {
    const BYTES: usize = 64 << 20;
    let test = "carried::a_master_forwards_large_transfers";
    inside(test, |lab| {
        let Some((_gate, _)) = answering(lab, test, false) else {
            return;
        };
        route(lab);
        let within = |of| Namespace::open(NamespaceId(1), &lab.namespace(of)).unwrap();
        for (family, far) in [(Family::V4, FAR), (Family::V6, FAR6)] {
            let far: IpAddr = far.parse().unwrap();
            let listener = within('f').enter(|| TcpListener::bind((far, 0)).unwrap());
            let listener = listener.unwrap();
            let port = listener.local_addr().unwrap().port();
            let receiver = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
                stream.write_all(b"all").unwrap();
            });
            let stream = within('h').enter(|| TcpStream::connect((far, port)).unwrap());
            let mut stream = stream.unwrap();
            for _ in 0..BYTES >> 20 {
                stream.write_all(&[0x55; 1 << 20]).unwrap();
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "all", "{family:?}");
            receiver.join().unwrap();
        }
    });
}

/// FSM-A-5, ND-2: with the address on this host a Master accepts. That of IPv6 is not on the parent: its
/// kernel would ask for neighbours in the name of the address and with the MAC of the parent, and
/// they would learn that one (for IPv4 there is `arp_announce`).
#[test]
fn a_master_accepts_by_an_address_of_its_own() {
    let test = "carried::a_master_accepts_by_an_address_of_its_own";
    inside(test, |lab| {
        let Some((mut gate, lan)) = answering(lab, test, true) else {
            return;
        };
        lab.router(&format!(
            "echo 2 > /proc/sys/net/ipv4/conf/lan/arp_announce
             ip addr add {VIP}/32 dev lan noprefixroute
             ip addr add {VIP6}/128 dev lo nodad noprefixroute"
        ));
        for (vip, mac) in [(IpAddr::from(VIP), MAC), (VIP6.into(), MAC6)] {
            lab.await_answer(&vip.to_string());
            let neighbour = neighbour(lab, vip);
            assert!(neighbour.contains(&mac.to_string()), "{neighbour}");
        }
        let [v4, _] = both();
        gate.answer(lan, v4, VIP.into(), false).unwrap();
        assert!(!lab.answers(&VIP.to_string()));
        lab.await_answer(&VIP6.to_string());
        gate.accept(lan, VIP.into());
        lab.await_answer(&VIP.to_string());
        assert!(neighbour(lab, VIP).contains(&MAC.to_string()));
    });
}

/// A host that wants to take a virtual address finds it taken (RFC 4862 §5.4).
#[test]
fn nobody_else_takes_a_virtual_address() {
    let test = "carried::nobody_else_takes_a_virtual_address";
    inside(test, |lab| {
        let Some(_gate) = answering(lab, test, false) else {
            return;
        };
        lab.host(&format!(
            "echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_dad
             echo 1 > /proc/sys/net/ipv6/conf/all/accept_dad
             ip addr add {VIP6}/64 dev eth0"
        ));
        crate::lab::eventually("the address is found taken", || {
            lab.host("ip -6 addr show dev eth0").contains("dadfailed")
        });
    });
}

/// By a filter of clsact, as before Linux 6.6, and behind and before programs of others, which are
/// other gates here.
#[test]
fn it_is_the_same_by_clsact_and_with_programs_of_others() {
    let test = "carried::it_is_the_same_by_clsact_and_with_programs_of_others";
    inside(test, |lab| {
        let (Some(mut ours), Some(mut first), Some(mut last)) =
            (gate(test), gate(test), gate(test))
        else {
            return;
        };
        let lan = lab.index("lan");
        route(lab);
        last.attach(lan).unwrap();
        for hook in [Hook::Clsact, Hook::Tcx] {
            ours.attach_by(lan, hook).unwrap();
            first.attach(lan).unwrap();
            answer(&mut ours, lan, false);
            let mut asker = Asker::new(lab, KNOWN);
            let request = Arp::request(VIP);
            let reply = asker.ask_one(request.frame()).unwrap();
            assert_eq!(reply[..42], arp_reply(&request, MAC)[..42], "{hook:?}");
            lab.await_answer(FAR);
            lab.await_answer(FAR6);
            for other in [&first, &last] {
                let router = both()[0];
                other.set(lan, router, GateState::Closed).unwrap();
                assert!(!lab.answers(FAR), "{hook:?}: the others run as well");
                other.set(lan, router, GateState::Foreign).unwrap();
                lab.await_answer(FAR);
            }
            first.detach(lan);
            ours.detach(lan);
            assert!(!lab.answers(FAR), "{hook:?}: nobody carries the MAC");
        }
    });
}

/// A parent that drops what is not for it wants to be told of the virtual MACs.
#[test]
fn a_bridge_is_a_parent_like_any_other() {
    let test = "carried::a_bridge_is_a_parent_like_any_other";
    inside(test, |lab| {
        let Some(mut gate) = gate(test) else { return };
        lab.router(
            "ip link add br0 type bridge mcast_snooping 0; ip link set br0 up
             ip link set lan master br0
             ip addr del 192.0.2.2/24 dev lan; ip addr add 192.0.2.2/24 dev br0
             ip addr del 2001:db8:1::2/64 dev lan; ip addr add 2001:db8:1::2/64 dev br0 nodad",
        );
        let bridge = lab.index("br0");
        gate.attach(bridge).unwrap();
        answer(&mut gate, bridge, false);
        route(lab);
        // The bridge drops it before there is a question of who it is for.
        assert!(!lab.answers(FAR));
        assert!(neighbour(lab, VIP).contains(&MAC.to_string()));
        let mut station = Station::open(bridge).unwrap();
        station.add(MAC).unwrap();
        station.add(MAC).unwrap();
        station.add(MAC6).unwrap();
        lab.await_answer(FAR);
        lab.await_answer(FAR6);
        station.remove(MAC).unwrap();
        station.remove(MAC).unwrap();
        station.remove(MAC6).unwrap();
        assert!(!lab.answers(FAR));
    });
}

/// What the memberships are, in the lists of the kernel; they end with the station.
#[test]
fn a_station_is_what_it_was_told_and_ends_with_it() {
    const MANY: u16 = 400;
    let test = "carried::a_station_is_what_it_was_told_and_ends_with_it";
    inside(test, |lab| {
        let lan = lab.index("lan");
        let promiscuity = || {
            let link = lab.router("ip -d -o link show dev lan");
            let rest = link.split("promiscuity ").nth(1).unwrap();
            rest.split(' ').next().unwrap().parse::<u32>().unwrap()
        };
        let groups = || {
            let list = lab.router("cat /proc/net/igmp6");
            let of_lan = list.lines().filter(|line| {
                line.contains(" lan ") && line.contains("ff0200000000000000000001ff0a")
            });
            of_lan.count()
        };
        let before = promiscuity();
        let mut station = Station::open(lan).unwrap();
        for number in 1..=250 {
            station.add(Mac([0, 0, 0x5e, 0, 1, number])).unwrap();
        }
        // A veth has no filter.
        assert_eq!(promiscuity(), before + 1);
        let of = |net: u16, number: u16| {
            std::net::Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0x0a, number)
        };
        let twins = [1, 2].map(|net| std::net::Ipv6Addr::new(net, 0, 0, 0, 0, 0, 0x0a, 1));
        for address in [twins[0], twins[0], twins[1]] {
            station.join(address).unwrap();
        }
        assert_eq!(groups(), 1);
        station.leave(twins[0]).unwrap();
        station.leave(twins[0]).unwrap();
        assert_eq!(groups(), 1, "the other one is in it");
        station.leave(twins[1]).unwrap();
        assert_eq!(groups(), 0);
        // So many need more than one socket where the kernel gives little memory for it.
        let optmem = "/proc/sys/net/core/optmem_max";
        lab.router(&format!(
            "if [ -w {optmem} ]; then echo 4096 > {optmem}; fi"
        ));
        for number in 1..=MANY {
            station.join(of(1, number)).unwrap();
        }
        assert_eq!(groups(), usize::from(MANY));
        for number in (1..=MANY).filter(|number| number % 2 == 0) {
            station.leave(of(1, number)).unwrap();
        }
        assert_eq!(groups(), usize::from(MANY / 2));
        drop(station);
        assert_eq!((groups(), promiscuity()), (0, before));

        lab.router("ip link add p0 type veth peer name p1; ip link set p0 up");
        let mut station = Station::open(lab.index("p0")).unwrap();
        station.add(MAC).unwrap();
        station.join(VIP6).unwrap();
        lab.router("ip link del p0");
        station.remove(MAC).unwrap();
        station.leave(VIP6).unwrap();
        let error = station.add(MAC).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(19));
        station.join(VIP6).unwrap_err();
    });
}

/// Interface indexes are those of a namespace: another one has a gate of its own.
#[test]
fn namespaces_do_not_mix() {
    let test = "carried::namespaces_do_not_mix";
    inside(test, |lab| {
        let Some(mut own) = gate(test) else { return };
        let far = Namespace::open(NamespaceId(1), &lab.namespace('f')).unwrap();
        lab.router(
            "ip link add p0 index 77 type veth peer name p1 index 78
             ip link set p0 up; ip link set p1 up",
        );
        far.enter(|| {
            lab.router(
                "ip link add p0 index 77 type veth peer name p1 index 78
                 ip link set p0 up; ip link set p1 up",
            );
        })
        .unwrap();
        let mut other = load_gate().unwrap();
        let place = own.attach(77).unwrap();
        let theirs = far.enter(|| other.attach(77).unwrap()).unwrap();
        let router = (Family::V4, vrid(VRID));
        own.set(77, router, GateState::Closed).unwrap();
        own.answer(77, router, VIP.into(), true).unwrap();
        assert_eq!(other.states().state(theirs, router), GateState::Foreign);
        assert_eq!(own.states().state(place, router), GateState::Closed);
        for number in 0..10_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
            other.answer(77, router, address.into(), true).unwrap();
        }
        assert_eq!(count(&own, Stopped::Closed), 0);
        far.enter(|| other.detach(77)).unwrap();
        assert_eq!(own.hook(77), Some(Hook::Tcx));
    });
}
