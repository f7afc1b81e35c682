//! Unicast peers: everything goes to them and only they are heard.
//!
//! Three routers on one LAN, each with the two others as peers, unless a test says otherwise.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::{Advert, AdvertSpec, Frame, Mac, Sum};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::{Lab, Lan};
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{VRID, advert_from, converge, skew};
use rvrrpd_tests::standstill;
use rvrrpd_tests::sys::Stamp;

const INTERVAL: Duration = Duration::from_millis(100);
/// Long enough that every Master is heard several times.
const WINDOW: Duration = Duration::from_millis(500);

/// What differs between the families.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Family {
    V4,
    V6,
}
use Family::{V4, V6};

impl Family {
    /// Address of host `number` on LAN `lan`.
    fn host(self, lan: u8, number: u8) -> IpAddr {
        match self {
            V4 => Ipv4Addr::new(10, 0, lan, number).into(),
            V6 => Ipv6Addr::new(0xfd00, 0, 0, lan.into(), 0, 0, 0, number.into()).into(),
        }
    }

    fn vips(self) -> Vec<IpAddr> {
        match self {
            V4 => vec![Ipv4Addr::new(10, 0, 0, 100).into()],
            V6 => vec![
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100).into(),
                Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100).into(),
            ],
        }
    }

    /// An address that nothing can be sent to: the broadcast address of the LAN, without route.
    fn unreachable(self) -> IpAddr {
        match self {
            V4 => self.host(0, 255),
            V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    const fn prefix(self) -> u8 {
        match self {
            V4 => 24,
            V6 => 64,
        }
    }

    /// Name that the usual virtual router has by default.
    const fn name(self) -> &'static str {
        match self {
            V4 => "eth0-7",
            V6 => "eth0-7-v6",
        }
    }

    const fn group(self) -> (&'static str, Mac) {
        match self {
            V4 => ("224.0.0.18", Mac([1, 0, 0x5e, 0, 0, 0x12])),
            V6 => ("ff02::12", Mac([0x33, 0x33, 0, 0, 0, 0x12])),
        }
    }

    fn vrouter(self, mode: Mode, priority: u8) -> Vrouter {
        let vips: Vec<String> = self.vips().iter().map(ToString::to_string).collect();
        let vips: Vec<&str> = vips.iter().map(String::as_str).collect();
        Vrouter::new(VRID, &vips)
            .mode(mode)
            .priority(priority)
            .preemption(true)
    }
}

fn list(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses
        .iter()
        .map(|address| format!("\"{address}\""))
        .collect();
    format!("[{}]", texts.join(", "))
}

fn peers(vrouter: Vrouter, addresses: &[IpAddr]) -> Vrouter {
    vrouter.key("unicast_peers", list(addresses))
}

/// The usual scene.
struct Trio {
    /// The MACs that the interfaces of the routers have by themselves.
    macs: [Mac; 3],
    family: Family,
    mode: Mode,
    routers: [Host; 3],
    /// A host that is nobody's peer.
    stranger: Host,
    lan: Lan,
    lab: Lab,
}

impl Trio {
    fn new(test: &str, family: Family, mode: Mode) -> Self {
        let lab = Lab::new(test);
        let lan = lab.lan("lan");
        let host = |name: &str, number| {
            let address = format!("{}/{}", family.host(0, number), family.prefix());
            lab.host_on(&lan, name, &[&address])
        };
        let routers = [host("r1", 1), host("r2", 2), host("r3", 3)];
        Self {
            family,
            mode,
            macs: [0, 1, 2].map(|number: usize| routers[number].mac("eth0")),
            routers,
            stranger: host("stranger", 9),
            lan,
            lab,
        }
    }

    /// Whether the interface of router `number` can have this MAC: on ether, also the virtual one.
    fn has_mac(&self, number: usize, mac: Mac) -> bool {
        let ipv4 = self.family == V4;
        let virtual_mac = if ipv4 {
            Mac::virtual_v4(VRID)
        } else {
            Mac::virtual_v6(VRID)
        };
        mac == self.macs[number] || (self.mode == Mode::Ether && mac == virtual_mac)
    }

    fn address(&self, number: usize) -> IpAddr {
        self.family.host(0, number as u8 + 1)
    }

    /// The virtual router of router `number` with the others as peers; the first one has the
    /// highest priority.
    fn vrouter(&self, number: usize) -> Vrouter {
        let others: Vec<IpAddr> = (0..3)
            .filter(|other| *other != number)
            .map(|other| self.address(other))
            .collect();
        peers(
            self.family.vrouter(self.mode, 200 - 50 * number as u8),
            &others,
        )
    }

    fn start(&self, number: usize, vrouter: &Vrouter) -> Rvrrpd {
        let text = config(std::slice::from_ref(vrouter));
        Rvrrpd::start(&self.lab, &self.routers[number], &text)
    }

    /// All three; the first one is Master before the others start, and these have heard it before
    /// anybody ends it: two that become Master at once, each with the virtual MAC on its interface,
    /// do not reach each other.
    fn start_all(&self) -> [Rvrrpd; 3] {
        let first = self.start(0, &self.vrouter(0));
        first.wait_state(self.family.name(), State::Master, within(10.0));
        let [second, third] = [1, 2].map(|number| self.start(number, &self.vrouter(number)));
        for backup in [&second, &third] {
            backup.wait_state(self.family.name(), State::Backup, within(10.0));
            until("it hears the Master", within(5.0), || {
                let counters = backup.counters(self.family.name());
                (counters.get("advertisement-rcvd") > Some(&0)).then_some(())
            });
        }
        [first, second, third]
    }

    fn converge(&self, lan: &Capture, number: usize) {
        converge(lan, &[(VRID, &self.routers[number])], WINDOW, within(10.0));
    }

    /// An advert of priority 254 from `source` to the first router, sent by the stranger.
    fn advert(&self, source: IpAddr) -> AdvertSpec {
        let v4 = AdvertSpec::v3(VRID, 254, 10, Ipv4Addr::UNSPECIFIED, &[]);
        AdvertSpec {
            addresses: self.family.vips(),
            source,
            sum: match self.family {
                V4 => Sum::Message,
                V6 => Sum::PseudoHeader,
            },
            mac: Some(self.stranger.mac("eth0")),
            peer: Some((self.address(0), self.routers[0].mac("eth0"))),
            ..v4
        }
    }

    /// Sends `spec` ten times; waits until the counter of `refused` has seen them all.
    fn refused(&self, daemon: &Rvrrpd, spec: &AdvertSpec, refused: &str) {
        let counter = format!("refused-{refused}");
        let value = || {
            let counters = daemon.counters(self.family.name());
            counters.get(&counter).copied().unwrap_or(0)
        };
        let before = value();
        let injector = self.stranger.injector("eth0");
        for _ in 0..10 {
            injector.send(&spec.frame());
        }
        until(&format!("{counter} counts 10"), within(5.0), || {
            (value() == before + 10).then_some(())
        });
    }
}

macro_rules! in_both_families {
    ($($(#[$doc:meta])* $name:ident: $($mode:ident),+ => $body:ident;)*) => {$(
        mod $name {
            in_both_families!(@ipv4 V4, $name, $body, $($mode)+);
            in_both_families!(@ipv6 V6, $name, $body, $($mode)+);
        }
    )*};
    (@$of:ident $family:ident, $name:ident, $body:ident, $($mode:ident)+) => {
        mod $of {
            use crate::unicast::{Family, $body};

            $(
                #[test]
                fn $mode() {
                    let name = concat!(stringify!($name), "::", stringify!($of));
                    rvrrpd_tests::mode::run(name, rvrrpd_tests::in_modes!(@$mode), |mode| {
                        $body(concat!(stringify!($name), "_", stringify!($of)), Family::$family, mode);
                    });
                }
            )+
        }
    };
}

in_both_families! {
    /// FSM-I-3, FSM-B-6, V2-RX-12: the highest priority becomes Master; every field of what it
    /// sends to each of its peers is right, and nothing goes to the group.
    unicast_election: macvlan, ether, ebpf => election;
    /// FSM-A-6: priority 0 reaches every peer, and the next one takes over after its skew time.
    unicast_resignation: macvlan => resignation;
    /// FSM-B-6: when the Master dies the next one takes over, and announces it.
    unicast_failover: macvlan, ether, ebpf => failover;
    /// V2-RX-12, V2-RX-11: who is no peer is refused, counted, and logged now and then.
    unicast_stranger: macvlan, ebpf => stranger;
    /// V2-RX-12: what goes to the group is refused, also from a peer.
    unicast_hears_no_multicast: macvlan, ebpf => hears_no_multicast;
    /// V2-RX-12: without peers nothing is heard that was sent to ourselves.
    multicast_hears_no_unicast: macvlan => multicast_hears_no_unicast;
    /// V3-RX-1: TTL 255 from peers, unless a lower limit is configured.
    unicast_ttl: macvlan => ttl;
    /// FSM-A-9: the tie-break compares the configured sources.
    unicast_tie_break: macvlan => tie_break;
    /// A reload takes a running Master from multicast to unicast and back.
    unicast_reload: macvlan, ether, ebpf => reload;
    /// Peers on another link, behind a router.
    unicast_routed: macvlan, ebpf => routed;
    /// A Backup, which sends nothing, knows the neighbours that it will need.
    unicast_neighbours: macvlan, ether, ebpf => neighbours;
    /// V2-RX-8: numbered messages, with the Master killed and started again.
    unicast_hmac: macvlan => hmac;
    /// A peer that nothing can be sent to does not keep the others from hearing us.
    unicast_unreachable: macvlan => unreachable;
    /// An own address among the peers is a mistake that keeps the router in Init.
    unicast_own_address: macvlan => own_address;
}

/// Whom the adverts of `host` since `start` went to, after a look at everything else in them.
fn destinations(trio: &Trio, lan: &Capture, start: Stamp, number: usize) -> BTreeSet<IpAddr> {
    let family = trio.family;
    let name = trio.routers[number].name();
    let adverts = lan.adverts_since(start, VRID);
    let of_it = adverts.into_iter().filter(|(frame, _)| frame.port == name);
    of_it
        .map(|(frame, advert)| {
            assert!(trio.has_mac(number, advert.mac), "{frame:?}");
            assert_eq!(advert.source, trio.address(number), "{frame:?}");
            assert_eq!((advert.ttl, advert.tos), (255, 0xc0), "{frame:?}");
            assert!(advert.header_sum, "{frame:?}");
            assert_eq!((advert.version, advert.kind), (3, 1), "{frame:?}");
            assert_eq!(advert.interval, INTERVAL, "{frame:?}");
            let sum = match family {
                V4 => Sum::Message,
                V6 => Sum::PseudoHeader,
            };
            assert_eq!(advert.sum, sum, "{frame:?}");
            assert_eq!(advert.addresses, family.vips(), "{frame:?}");
            let peer = (0..3).find(|other| trio.address(*other) == advert.destination);
            let peer = peer.unwrap_or_else(|| panic!("not to a peer: {frame:?}"));
            assert!(trio.has_mac(peer, advert.group_mac), "{frame:?}");
            advert.destination
        })
        .collect()
}

fn election(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let lan = trio.lan.capture();
    let [first, second, third] = trio.start_all();
    second.wait_state(family.name(), State::Backup, within(10.0));
    third.wait_state(family.name(), State::Backup, within(10.0));
    trio.converge(&lan, 0);
    let both = BTreeSet::from([trio.address(1), trio.address(2)]);
    assert_eq!(destinations(&trio, &lan, Stamp::default(), 0), both);
    let (group, group_mac) = family.group();
    for (frame, advert) in lan.adverts_since(Stamp::default(), VRID) {
        assert_ne!(advert.destination.to_string(), group, "{frame:?}");
        assert_ne!(advert.group_mac, group_mac, "{frame:?}");
    }
    let counters = first.counters(family.name());
    assert_eq!(counters.get("send-errors"), Some(&0));
    for daemon in [&second, &third] {
        let counters = daemon.counters(family.name());
        assert!(counters["advertisement-rcvd"] > 0, "{counters:?}");
        assert_eq!(counters["advertisement-sent"], 0);
    }
}

fn resignation(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let lan = trio.lan.capture();
    let slow = |number| trio.vrouter(number).interval(1.0);
    let [first, _second, _third] = [0, 1, 2].map(|number| trio.start(number, &slow(number)));
    first.wait_state(family.name(), State::Master, within(10.0));
    let start = Stamp::now();
    lan.wait_count(
        start,
        2,
        "an advert for each peer",
        within(5.0),
        advert_from(&trio.routers[0], VRID),
    );
    first.stop();
    let resigned = lan.wait_count(start, 2, "priority 0", within(5.0), |frame| {
        frame.advert().is_some_and(|advert| advert.priority == 0)
    });
    let told: BTreeSet<IpAddr> = resigned
        .iter()
        .filter_map(|frame| Some(frame.advert()?.destination))
        .collect();
    assert_eq!(told, BTreeSet::from([trio.address(1), trio.address(2)]));
    let takeover = lan.wait_since(
        start,
        "takeover",
        within(5.0),
        advert_from(&trio.routers[1], VRID),
    );
    let gap = takeover.stamp.since(resigned[0].stamp);
    let second = Duration::from_secs(1);
    assert!(gap >= skew(150, second), "took over after {gap:?}");
    assert!(
        gap < 2 * second + standstill::between(start, Stamp::now()),
        "took over after {gap:?}, as if nobody had resigned"
    );
    let by_third = lan.adverts_since(resigned[0].stamp, VRID);
    let by_third = by_third.iter().filter(|(frame, _)| frame.port == "r3");
    // Unless the machine stood still while both their times came.
    let late = standstill::between(resigned[0].stamp, takeover.stamp);
    let has_reason = late > Duration::from_millis(100);
    assert!(
        has_reason || by_third.count() == 0,
        "the third has no reason to advertise"
    );
}

/// Whether the frame announces the first virtual address from the virtual MAC.
fn announces(family: Family, frame: &Frame) -> bool {
    match (family, family.vips().as_slice()) {
        (V4, [IpAddr::V4(vip)]) => {
            frame.source() == Mac::virtual_v4(VRID)
                && frame.arp().is_some_and(|arp| arp.announces(*vip))
        }
        _ => frame.source() == Mac::virtual_v6(VRID) && frame.nd().is_some(),
    }
}

fn failover(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let lan = trio.lan.capture();
    let [mut first, second, _third] = trio.start_all();
    trio.converge(&lan, 0);
    let start = Stamp::now();
    first.sigkill();
    second.wait_state(family.name(), State::Master, within(10.0));
    lan.wait_since(start, "its announcement", within(5.0), |frame| {
        frame.port == "r2" && announces(family, frame)
    });
    trio.converge(&lan, 1);
    assert_eq!(
        destinations(&trio, &lan, start, 1),
        // Who is dead is told as well, or would not be told when it comes back.
        BTreeSet::from([trio.address(0), trio.address(2)])
    );
    let counters = second.counters(family.name());
    assert_eq!(counters.get("send-errors"), Some(&0));
    // The first one comes back, finds a Master and preempts it.
    let first = trio.start(0, &trio.vrouter(0));
    first.wait_state(family.name(), State::Master, within(10.0));
    second.wait_state(family.name(), State::Backup, within(10.0));
    trio.converge(&lan, 0);
}

fn stranger(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let first = trio.start(0, &trio.vrouter(0));
    first.wait_state(family.name(), State::Master, within(10.0));
    let mark = first.log().mark();
    let stranger = family.host(0, 9);
    trio.refused(&first, &trio.advert(stranger), "not-peer");
    first
        .log()
        .wait_after(mark, "it is said", within(5.0), |line| {
            let said = line.text.contains(&stranger.to_string())
                && line.text.contains("none of the unicast peers");
            said.then_some(())
        });
    let lines = first.log().texts_after(mark);
    let said = lines.iter().filter(|line| line.contains("unicast peers"));
    assert!(said.count() < 5, "one line for many packets: {lines:#?}");
    assert_eq!(first.state(family.name()), Some(State::Master));
    // The same advert from a peer is heard.
    let peer = trio.advert(trio.address(1));
    let mark = first.log().mark();
    trio.stranger.injector("eth0").send(&peer.frame());
    first.wait_change(mark, family.name(), State::Backup, within(10.0));
}

fn hears_no_multicast(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let first = trio.start(0, &trio.vrouter(0));
    first.wait_state(family.name(), State::Master, within(10.0));
    let mark = first.log().mark();
    for source in [trio.address(1), family.host(0, 9)] {
        let spec = AdvertSpec {
            peer: None,
            ..trio.advert(source)
        };
        trio.refused(&first, &spec, "multicast");
    }
    first
        .log()
        .wait_after(mark, "it is said", within(5.0), |line| {
            line.text
                .contains("sent to a multicast group")
                .then_some(())
        });
    assert_eq!(first.state(family.name()), Some(State::Master));
}

fn multicast_hears_no_unicast(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let lan = trio.lan.capture();
    let first = trio.start(0, &family.vrouter(mode, 200));
    first.wait_state(family.name(), State::Master, within(10.0));
    let source = lan.wait_since(
        Stamp::default(),
        "an advert",
        within(5.0),
        advert_from(&trio.routers[0], VRID),
    );
    let own = source.advert().map(|advert| advert.source);
    let spec = trio.advert(trio.address(1));
    let spec = AdvertSpec {
        peer: own.map(|own| (own, trio.routers[0].mac("eth0"))),
        ..spec
    };
    trio.refused(&first, &spec, "destination");
    assert_eq!(first.state(family.name()), Some(State::Master));
}

fn ttl(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let first = trio.start(0, &trio.vrouter(0));
    first.wait_state(family.name(), State::Master, within(10.0));
    let with = |ttl| AdvertSpec {
        ttl,
        ..trio.advert(trio.address(1))
    };
    for ttl in [254, 64, 1] {
        trio.refused(&first, &with(ttl), "ttl");
    }
    let global = first.counters("global");
    assert_eq!(global.get("ip-ttl-errors"), Some(&30));
    assert_eq!(first.state(family.name()), Some(State::Master));
    let mark = first.log().mark();
    let text = config(&[trio.vrouter(0).key("unicast_min_ttl", 64)]);
    first.reload(&text);
    first
        .log()
        .wait_after(mark, "the reload", within(5.0), |line| {
            line.text.contains("1 changed").then_some(())
        });
    // What was there before the reload took effect is refused as well, so wait for that first.
    trio.refused(&first, &with(63), "ttl");
    let mark = first.log().mark();
    trio.stranger.injector("eth0").send(&with(64).frame());
    first.wait_change(mark, family.name(), State::Backup, within(10.0));
}

fn tie_break(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let lan = trio.lan.capture();
    // By their first addresses the second router would win.
    let sources = [family.host(0, 30), family.host(0, 20)];
    for (router, source) in trio.routers.iter().zip(sources) {
        let line = format!("address add {source}/{} dev eth0", family.prefix());
        router.ip(&line);
    }
    let vrouter = |own: usize| {
        peers(family.vrouter(mode, 100), &[sources[1 - own]])
            .text("unicast_src", &sources[own].to_string())
    };
    // Who was Master first would stay it, so both become Master while they are apart.
    let start = Stamp::now();
    trio.lan.cut(&trio.routers[1]);
    let daemons = [0, 1].map(|number| trio.start(number, &vrouter(number)));
    for daemon in &daemons {
        daemon.wait_state(family.name(), State::Master, within(10.0));
    }
    trio.lan.heal(&trio.routers[1]);
    daemons[1].wait_state(family.name(), State::Backup, within(10.0));
    trio.converge(&lan, 0);
    assert_eq!(daemons[0].state(family.name()), Some(State::Master));
    for (frame, advert) in lan.adverts_since(start, VRID) {
        let own = if frame.port == "r1" { 0 } else { 1 };
        assert_eq!(advert.source, sources[own], "{frame:?}");
        assert_eq!(advert.destination, sources[1 - own], "{frame:?}");
    }
}

/// Whether an advert of the first router goes to one of its peers.
fn is_unicast(trio: &Trio, advert: &Advert) -> bool {
    [trio.address(1), trio.address(2)].contains(&advert.destination)
}

fn reload(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let lan = trio.lan.capture();
    let multicast = config(&[family.vrouter(mode, 200)]);
    let unicast = config(&[trio.vrouter(0)]);
    let first = Rvrrpd::start(&trio.lab, &trio.routers[0], &multicast);
    first.wait_state(family.name(), State::Master, within(10.0));
    let changes = first.changes().len();
    for (text, to_peers) in [(&unicast, true), (&multicast, false), (&unicast, true)] {
        let start = Stamp::now();
        first.reload(text);
        let switched = lan.wait_since(start, "an advert of the other kind", within(5.0), |frame| {
            frame.port == "r1"
                && frame
                    .advert()
                    .is_some_and(|advert| is_unicast(&trio, &advert) == to_peers)
        });
        lan.wait_count(
            switched.stamp,
            10,
            "more of them",
            within(5.0),
            advert_from(&trio.routers[0], VRID),
        );
        let adverts = lan.adverts_since(start, VRID);
        for (frame, advert) in adverts {
            if frame.stamp > switched.stamp {
                assert_eq!(is_unicast(&trio, &advert), to_peers, "{frame:?}");
            }
            assert_ne!(advert.priority, 0, "{frame:?}");
        }
    }
    let others = [1, 2].map(|number| trio.start(number, &trio.vrouter(number)));
    for other in &others {
        other.wait_state(family.name(), State::Backup, within(10.0));
    }
    trio.converge(&lan, 0);
    assert_eq!(first.changes().len(), changes, "it was Master all the time");
}

/// Two routers on two LANs with a router between them.
fn routed(test: &str, family: Family, mode: Mode) {
    let lab = Lab::new(test);
    let lans = [lab.lan("left"), lab.lan("right")];
    let captures = [lans[0].capture(), lans[1].capture()];
    let address = |lan: u8, number: u8| {
        let prefix = family.prefix();
        format!("{}/{prefix}", family.host(lan, number))
    };
    let hosts = [
        lab.host_on(&lans[0], "r1", &[&address(1, 1)]),
        lab.host_on(&lans[1], "r2", &[&address(2, 1)]),
    ];
    let between = lab.host_on(&lans[0], "between", &[&address(1, 254)]);
    lab.attach(&lans[1], &between, "eth1", &[&address(2, 254)]);
    for (host, own, other) in [(&hosts[0], 1, 2), (&hosts[1], 2, 1)] {
        let gateway = family.host(own, 254);
        host.ip(&format!(
            "route add {} via {gateway}",
            family.host(other, 1)
        ));
    }
    let vrouter = |own: u8| {
        peers(family.vrouter(mode, 100 * own), &[family.host(3 - own, 1)])
            .text("iftype", "ether")
            .key("virtual_mac", false)
    };
    let start = |own: u8, vrouter: Vrouter| {
        Rvrrpd::start(&lab, &hosts[usize::from(own) - 1], &config(&[vrouter]))
    };
    // A hop in between, which is not expected: both are Master and say why.
    let mut daemons = [start(1, vrouter(1)), start(2, vrouter(2))];
    for daemon in &daemons {
        daemon.wait_state(family.name(), State::Master, within(10.0));
        until("the TTL is refused", within(5.0), || {
            let counters = daemon.counters(family.name());
            (counters.get("refused-ttl").copied() > Some(3)).then_some(())
        });
    }
    for (number, daemon) in daemons.iter_mut().enumerate() {
        let own = number as u8 + 1;
        daemon.reload(&config(&[vrouter(own).key("unicast_min_ttl", 254)]));
    }
    daemons[0].wait_state(family.name(), State::Backup, within(10.0));
    daemons[1].wait_state(family.name(), State::Master, within(10.0));
    let expected = [(VRID, &hosts[1])];
    converge(&captures[1], &expected, WINDOW, within(5.0));
    // The neighbour that is kept known is the router in between.
    let gateway = family.host(2, 254);
    assert!(hosts[1].neighbour(gateway).is_some());
    daemons[1].sigkill();
    daemons[0].wait_state(family.name(), State::Master, within(10.0));
}

fn neighbours(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    // The third is not there, so that it never says anything from which it could be learnt; its
    // kernel answers all the same.
    let first = trio.start(0, &trio.vrouter(0));
    first.wait_state(family.name(), State::Master, within(10.0));
    let second = trio.start(1, &trio.vrouter(1));
    second.wait_state(family.name(), State::Backup, within(10.0));
    let third = trio.address(2);
    let mac = trio.routers[2].mac("eth0");
    let known = |limit| {
        until("the neighbour is known", within(limit), || {
            (trio.routers[1].neighbour(third) == Some(mac)).then_some(())
        });
    };
    known(5.0);
    trio.routers[1].ip(&format!("neighbour del {third} dev eth0"));
    known(20.0);
    let counters = second.counters(family.name());
    assert_eq!(counters["advertisement-sent"], 0);
    assert_eq!(second.state(family.name()), Some(State::Backup));
}

fn hmac(test: &str, family: Family, mode: Mode) {
    assert_authenticated(test, family, mode, |vrouter| {
        vrouter
            .text("auth_type", "hmac-sha256")
            .text("auth_secret", "an example key of the group, 1..")
    });
}

/// V2-RX-8: the Authentication Header covers the whole IPv4 header, which the kernel completes.
#[test]
fn unicast_ah() {
    assert_authenticated("unicast_ah", V4, Mode::Macvlan, |vrouter| {
        vrouter
            .v2()
            .text("auth_type", "rfc2338-ah")
            .text("auth_secret", "s3cr3t12")
    });
}

/// Nobody is refused, neither in the steady state nor after a Master was killed and started again.
fn assert_authenticated(test: &str, family: Family, mode: Mode, auth: impl Fn(Vrouter) -> Vrouter) {
    let trio = Trio::new(test, family, mode);
    let start = |number| trio.start(number, &auth(trio.vrouter(number)));
    let mut first = start(0);
    first.wait_state(family.name(), State::Master, within(10.0));
    let others = [1, 2].map(start);
    for other in &others {
        other.wait_state(family.name(), State::Backup, within(10.0));
        until("the Master is heard", within(8.0), || {
            let counters = other.counters(family.name());
            (counters["advertisement-rcvd"] > 3).then_some(())
        });
        assert_eq!(other.state(family.name()), Some(State::Backup));
    }
    first.sigkill();
    others[0].wait_state(family.name(), State::Master, within(10.0));
    let first = start(0);
    first.wait_state(family.name(), State::Master, within(10.0));
    others[0].wait_state(family.name(), State::Backup, within(10.0));
    for daemon in [&first, &others[0], &others[1]] {
        let counters = daemon.counters("global");
        let refused: Vec<_> = counters
            .iter()
            .filter(|(name, _)| name.starts_with("refused-"))
            .collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
    // Somebody without the key says nothing that is believed.
    let spec = trio.advert(trio.address(1));
    trio.stranger.injector("eth0").send(&spec.frame());
    until("it is refused", within(5.0), || {
        let counters = first.counters("global");
        let refused = counters.keys().any(|name| name.starts_with("refused-"));
        refused.then_some(())
    });
    assert_eq!(first.state(family.name()), Some(State::Master));
}

fn unreachable(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let lan = trio.lan.capture();
    let others = [family.unreachable(), trio.address(1), trio.address(2)];
    let first = trio.start(0, &peers(family.vrouter(mode, 200), &others));
    first.wait_state(family.name(), State::Master, within(10.0));
    for peer in [1, 2] {
        lan.wait_count(Stamp::default(), 3, "adverts", within(5.0), |frame| {
            frame
                .advert()
                .is_some_and(|advert| advert.destination == trio.address(peer))
        });
    }
    let text = format!("not sent to {}", family.unreachable());
    first.log().wait_after(0, &text, within(5.0), |line| {
        line.text.contains(&text).then_some(())
    });
    let counters = first.counters(family.name());
    assert!(counters["advertisement-sent"] >= 3, "{counters:?}");
    assert!(counters["send-errors"] >= 3, "{counters:?}");
}

fn own_address(test: &str, family: Family, mode: Mode) {
    let trio = Trio::new(test, family, mode);
    let own = trio.address(0);
    let all = [own, trio.address(1)];
    // Which address of the interface is a peer is not in the file.
    let line = format!(
        "address add {}/{} dev eth0",
        family.host(0, 30),
        family.prefix()
    );
    trio.routers[0].ip(&line);
    let source = family.host(0, 30).to_string();
    let vrouter = peers(family.vrouter(mode, 200), &all).text("unicast_src", &source);
    let first = trio.start(0, &vrouter);
    first
        .log()
        .wait_after(0, "the reason", within(5.0), |line| {
            line.text.contains("own-address-among-peers").then_some(())
        });
    assert!(matches!(
        first.state(family.name()),
        None | Some(State::Init)
    ));
    first.reload(&config(&[peers(
        family.vrouter(mode, 200),
        &[trio.address(1)],
    )
    .text("unicast_src", &source)]));
    first.wait_state(family.name(), State::Master, within(10.0));
}
