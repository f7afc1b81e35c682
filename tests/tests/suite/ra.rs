//! Router advertisements: the Master alone sends them, and hosts do not notice a failover.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::{Frame, IPV6, Mac, RsSpec, ethernet, hex, ip};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{Files, Rvrrpd, State, Vrouter, config, run};
use rvrrpd_tests::scene::{Scene, VRID, converge};
use rvrrpd_tests::standstill;
use rvrrpd_tests::sys::Stamp;

in_modes! {
    // The others are slow, and about what is the same in all modes.
    ra_1_only_the_master_sends_them: macvlan, ether, ebpf;
    ra_1_ra_2_failover: macvlan, ether, ebpf;
}

const NAME: &str = "eth0-7-v6";
const VMAC: Mac = Mac::virtual_v6(VRID);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Longest that an answer is delayed on purpose (RFC 4861 §10, MAX_RA_DELAY_TIME).
const LONGEST_DELAY: Duration = Duration::from_millis(500);
/// Longer than any answer that is not kept back takes.
const QUIET: Duration = Duration::from_millis(1500);
/// Least time between two (MIN_DELAY_BETWEEN_RAS), less what a send may take.
const GAP: Duration = Duration::from_millis(2900);

/// Advertised every 3 to 4 s.
const OFTEN: &str = "{ prefixes = [\"2001:db8:1::/64\"], max_interval = 4, lifetime = 600 }";
/// After the first three, which are 16 s apart, next to never.
const SELDOM: &str =
    "{ prefixes = [\"2001:db8:1::/64\"], min_interval = 1350, max_interval = 1800 }";

fn plain(mode: Mode, priority: u8) -> Vrouter {
    Vrouter::new(VRID, &["fe80::100", "2001:db8:1::100"])
        .mode(mode)
        .priority(priority)
        .preemption(true)
}

fn router(mode: Mode, priority: u8, advertised: &str) -> Vrouter {
    plain(mode, priority).key("router_advertisement", advertised)
}

fn start(scene: &Scene, host: &Host, vrouter: Vrouter) -> Rvrrpd {
    scene.start(host, &config(&[vrouter]))
}

/// Starts the first router and waits for its first router advertisement.
fn master(mode: Mode, scene: &Scene, lan: &Capture, advertised: &str) -> (Rvrrpd, Frame) {
    let daemon = start(scene, &scene.r1, router(mode, 200, advertised));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let first = lan.wait_since(Stamp::default(), "a first RA", within(5.0), is_ra);
    (daemon, first)
}

fn is_ra(frame: &Frame) -> bool {
    frame.ra().is_some()
}

fn ras(lan: &Capture, since: Stamp) -> Vec<Frame> {
    let mut frames = lan.frames_since(since);
    frames.retain(is_ra);
    frames
}

/// The frame in which the virtual router sends this message, whose checksum is set.
fn frame_of(message: &str) -> Vec<u8> {
    let mut message = hex(message);
    let pseudo = ip::pseudo_header(LINK_LOCAL.into(), ALL_NODES.into(), 58, message.len());
    let sum = ip::checksum(&[&pseudo, &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let packet = ip::packet(LINK_LOCAL.into(), ALL_NODES.into(), 58, 255, 0, &message);
    ethernet(Mac([0x33, 0x33, 0, 0, 0, 1]), VMAC, IPV6, &packet)
}

fn solicitation(client: &Host) -> RsSpec {
    RsSpec::new(client.mac("eth0"), client.link_local("eth0"))
}

fn solicit(client: &Host) {
    client.injector("eth0").send(&solicitation(client).frame());
}

/// Raw ICMPv6 sockets of a host.
fn sockets(host: &Host) -> usize {
    let table = host.run("cat", &["/proc/net/raw6"]);
    table.lines().filter(|line| line.contains(":003A ")).count()
}

/// RA-1, FSM-A-3: every byte of what the Master sends, the first one behind its neighbour advertisements;
/// a Backup sends none, also when it is asked.
fn ra_1_only_the_master_sends_them(mode: Mode) {
    let scene = Scene::new("ra_1_only_the_master_sends_them");
    let lan = scene.lan.capture();
    let all = "{ max_interval = 4, min_interval = 3, lifetime = 4660, managed = true, other = true, \
               preference = \"low\", hop_limit = 7, reachable_time = 66051, \
               retrans_timer = 67438087, mtu = 1492, rdnss = \"2001:db8::53\", \
               dnssl = [\"example.org\"], dns_lifetime = 168496141, prefixes = [\
               \"2001:db8:1::/64\", { prefix = \"2001:db8:2::/48\", on_link = false, \
               autonomous = false, valid_lifetime = 4294967295, preferred_lifetime = 0 }] }";
    let expected = frame_of(
        "86000000 07d81234 00010203 04050607 0101 00005e000207 0501 0000 000005d4
         0304 40c0 00278d00 00093a80 00000000 20010db8000100000000000000000000
         0304 3000 ffffffff 00000000 00000000 20010db8000200000000000000000000
         1903 0000 0a0b0c0d 20010db8000000000000000000000053
         1f03 0000 0a0b0c0d 076578616d706c65 036f7267 00 000000",
    );
    let (first, ra) = master(mode, &scene, &lan, all);
    let backup = start(&scene, &scene.r2, router(mode, 100, all));
    backup.wait_state(NAME, State::Backup, within(10.0));
    let nas = lan.frames_since(Stamp::default()).into_iter();
    let mut nas = nas.filter(|frame| frame.nd().is_some_and(|nd| nd.kind == 136 && !nd.solicited));
    let last_na = nas.nth(1).expect("an NA for each address");
    assert!(last_na.stamp <= ra.stamp, "{last_na:?} behind {ra:?}");
    let start = Stamp::now();
    solicit(&scene.client);
    lan.wait_count(start, 3, "three more", within(20.0), is_ra);
    for frame in ras(&lan, Stamp::default()) {
        assert_eq!(frame.port, "r1", "{frame:?}");
        assert_eq!(frame.bytes, expected, "{frame:?}");
        assert!(frame.ra().expect("RA").sum);
    }
    let counters = first.counters(NAME);
    assert!(counters["router-advertisement-sent"] >= 4, "{counters:?}");
    assert_eq!(counters["router-solicitation-rcvd"], 1);
    let counters = backup.counters(NAME);
    assert_eq!(counters["router-advertisement-sent"], 0);
    assert_eq!(counters["router-solicitation-rcvd"], 1);
    first.stop();
    backup.stop();
}

/// Without the key nothing is sent, nobody is answered, and there is no socket to be asked by.
#[test]
fn off_unless_configured() {
    let scene = Scene::new("ra_off_unless_configured");
    let lan = scene.lan.capture();
    let before = sockets(&scene.r1);
    let daemon = start(&scene, &scene.r1, plain(Mode::Macvlan, 200));
    daemon.wait_state(NAME, State::Master, within(10.0));
    solicit(&scene.client);
    let sent = lan.until_quiet(Stamp::default(), QUIET, within(10.0), is_ra);
    assert!(sent.is_empty(), "{sent:#?}");
    assert_eq!(sockets(&scene.r1), before);
    daemon.stop();
}

/// What a host that listens to router advertisements has: its default routes, its addresses of the
/// prefix.
fn configured(client: &Host) -> (Vec<String>, Vec<IpAddr>) {
    let routes = client.ip_json("-6 route show default");
    let gateways = routes.as_array().into_iter().flatten();
    let gateways = gateways.filter_map(|route| Some(route["gateway"].as_str()?.to_owned()));
    let addresses = client.addresses("eth0").into_iter();
    let of_prefix = addresses.filter(|address| match address {
        IpAddr::V6(address) => address.segments()[..4] == [0x2001, 0xdb8, 1, 0],
        IpAddr::V4(_) => false,
    });
    (gateways.collect(), of_prefix.collect())
}

/// RA-1, RA-2, RA-3, RA-5: power off, a better router that comes back, an orderly stop: whoever is
/// Master sends the same bytes, nobody ever a lifetime of 0, and a Linux host that has configured
/// itself by them keeps its default route and its address.
fn ra_1_ra_2_failover(mode: Mode) {
    let scene = Scene::new("ra_failover");
    let client = &scene.client;
    for (setting, value) in [("forwarding", "0"), ("accept_ra", "1"), ("autoconf", "1")] {
        client.sysctl(&format!("ipv6/conf/eth0/{setting}"), value);
    }
    let lan = scene.lan.capture();
    let (mut first, ra) = master(mode, &scene, &lan, OFTEN);
    let second = start(&scene, &scene.r2, router(mode, 100, OFTEN));
    second.wait_state(NAME, State::Backup, within(10.0));
    until("the client has configured itself", within(10.0), || {
        let (gateways, addresses) = configured(client);
        (gateways == ["fe80::100"] && addresses.len() == 1).then_some(())
    });
    let before = configured(client);
    assert_eq!(client.neighbour(LINK_LOCAL.into()), Some(VMAC));
    let next_of = |host: &Host, since| {
        let of_host = |frame: &Frame| is_ra(frame) && frame.port == host.name();
        let frame = lan.wait_since(since, "an RA of the new Master", within(10.0), of_host);
        assert_eq!(frame.bytes, ra.bytes, "{frame:?} is another than {ra:?}");
        assert_eq!(configured(client), before);
    };
    scene.lab.step("power off");
    scene.lan.cut(&scene.r1);
    first.sigkill();
    let off = Stamp::now();
    second.wait_state(NAME, State::Master, within(10.0));
    next_of(&scene.r2, off);
    scene.lab.step("the first returns");
    scene.lan.heal(&scene.r1);
    let back = Stamp::now();
    let first = start(&scene, &scene.r1, router(mode, 200, OFTEN));
    first.wait_state(NAME, State::Master, within(10.0));
    second.wait_state(NAME, State::Backup, within(10.0));
    next_of(&scene.r1, back);
    let yielded = Stamp::now();
    let sent = lan.wait_count(yielded, 3, "9 s of RAs", within(20.0), is_ra);
    assert!(sent.iter().all(|frame| frame.port == "r1"), "{sent:#?}");
    scene.lab.step("orderly stop");
    let stopped = Stamp::now();
    first.stop();
    second.wait_state(NAME, State::Master, within(10.0));
    next_of(&scene.r2, stopped);
    second.stop();
    for frame in ras(&lan, Stamp::default()) {
        assert_eq!(frame.bytes, ra.bytes, "{frame:?}");
    }
    // The lifetime goes on although nobody is left.
    assert_eq!(configured(client), before);
}

/// RFC 4861 §6.2.6: who asks is answered once, to all, not at once in all cases, and never within
/// 3 s of the one before.
#[test]
fn solicitations_are_answered_once() {
    let scene = Scene::new("ra_solicitations_are_answered_once");
    let lan = scene.lan.capture();
    let (daemon, first) = master(Mode::Macvlan, &scene, &lan, SELDOM);
    scene.lab.step("too soon after the first");
    let frame = solicitation(&scene.client).frame();
    let injector = scene.client.injector("eth0");
    for _ in 0..50 {
        injector.send(&frame);
    }
    // The answer comes up to 3.5 s after the first.
    let answered = lan.until_quiet(first.stamp, 3 * QUIET, within(20.0), is_ra);
    let [_, answer] = answered.as_slice() else {
        panic!("one answer, not {answered:#?}");
    };
    assert!(answer.stamp.since(first.stamp) >= GAP, "{answered:#?}");
    assert_eq!(answer.bytes, first.bytes);
    scene.lab.step("long enough after it");
    let asked = Stamp::now();
    let unspecified = RsSpec {
        source: Ipv6Addr::UNSPECIFIED,
        rest: vec![0; 4],
        ..solicitation(&scene.client)
    };
    let injector = scene.client.injector("eth0");
    injector.send(&unspecified.frame());
    let second = lan.wait_since(asked, "an answer", within(5.0), is_ra);
    let delay = second.stamp.since(asked);
    let late = standstill::between(asked, second.stamp);
    let most = LONGEST_DELAY + QUIET + late;
    assert!(delay < most, "answered after {delay:?}");
    let more = lan.until_quiet(asked, QUIET, within(5.0), is_ra);
    assert_eq!(more.len(), 1, "{more:#?}");
    let counters = daemon.counters(NAME);
    assert_eq!(counters["router-solicitation-rcvd"], 51);
    assert_eq!(counters["router-advertisement-sent"], 3);
    daemon.stop();
}

/// RFC 4861 §6.1.1: what is no valid solicitation is not answered.
#[test]
fn malformed_solicitations_are_ignored() {
    let scene = Scene::new("ra_malformed_solicitations_are_ignored");
    let lan = scene.lan.capture();
    let (daemon, first) = master(Mode::Macvlan, &scene, &lan, SELDOM);
    let right = solicitation(&scene.client);
    let link_layer = right.rest.clone();
    let with = |change: &dyn Fn(&mut RsSpec)| {
        let mut spec = right.clone();
        change(&mut spec);
        spec.frame()
    };
    // The kernel counts the wrong checksum and the one that is shorter than its header itself.
    let by_kernel = [
        with(&|spec| spec.wrong_sum = 1),
        with(&|spec| spec.rest.clear()),
    ];
    let by_daemon = [
        with(&|spec| spec.ttl = 254),
        with(&|spec| spec.ttl = 64),
        with(&|spec| spec.code = 1),
        with(&|spec| spec.rest = vec![0; 3]),
        with(&|spec| spec.rest.extend([14, 0, 0, 0, 0, 0, 0, 0])),
        with(&|spec| spec.rest.extend([14, 2, 0, 0, 0, 0, 0, 0])),
        with(&|spec| spec.rest.push(14)),
        with(&|spec| {
            spec.source = Ipv6Addr::UNSPECIFIED;
            spec.rest.clone_from(&link_layer);
        }),
    ];
    let injector = scene.client.injector("eth0");
    for frame in by_kernel.iter().chain(&by_daemon) {
        injector.send(frame);
    }
    let refused = || daemon.counters("global")["router-solicitations-refused"];
    until("they are refused", within(5.0), || {
        (refused() >= by_daemon.len() as u64).then_some(())
    });
    // Longer than an answer that is kept back for 3 s takes.
    let quiet = Duration::from_millis(4000);
    let answered = lan.until_quiet(first.stamp, quiet, within(20.0), is_ra);
    assert_eq!(answered, [first], "{answered:#?}");
    assert_eq!(daemon.counters(NAME)["router-solicitation-rcvd"], 0);
    let asked = Stamp::now();
    injector.send(&right.frame());
    lan.wait_since(asked, "an answer to a right one", within(5.0), is_ra);
    daemon.stop();
}

/// A flood of solicitations costs nothing but itself: advertisements leave as before.
#[test]
fn a_flood_of_solicitations() {
    let scene = Scene::new("ra_a_flood_of_solicitations");
    let lan = scene.lan.capture();
    let (daemon, _) = master(Mode::Macvlan, &scene, &lan, SELDOM);
    let backup = start(&scene, &scene.r2, router(Mode::Macvlan, 100, SELDOM));
    backup.wait_state(NAME, State::Backup, within(10.0));
    let (began, frame) = (Stamp::now(), solicitation(&scene.client).frame());
    let injector = scene.client.injector("eth0");
    while Stamp::now().since(began) < Duration::from_secs(2) {
        injector.send(&frame);
    }
    let window = Duration::from_millis(500);
    converge(&lan, &[(VRID, &scene.r1)], window, within(5.0));
    let answered = ras(&lan, began);
    assert!(answered.len() <= 2, "{answered:#?}");
    // Ten looks a second, 64 at a time.
    let looked_at = daemon.counters(NAME)["router-solicitation-rcvd"];
    assert!((1..5000).contains(&looked_at), "{looked_at}");
    assert_eq!(backup.changes().len(), 1, "{:?}", backup.changes());
    daemon.stop();
    backup.stop();
}

/// A reload changes what is advertised, begins and ends it, and the election does not notice. Only
/// the end of router advertisements by configuration is a lifetime of 0, once.
#[test]
fn a_reload_changes_the_options() {
    let scene = Scene::new("ra_a_reload_changes_the_options");
    let lan = scene.lan.capture();
    let before = sockets(&scene.r1);
    let daemon = start(&scene, &scene.r1, plain(Mode::Macvlan, 200));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let changes = daemon.changes();
    let began = Stamp::now();
    let reload = |vrouter: Vrouter| {
        let at = Stamp::now();
        daemon.reload(&config(&[vrouter]));
        at
    };
    let lifetime =
        |seconds| move |frame: &Frame| frame.ra().is_some_and(|ra| ra.lifetime == seconds);
    scene.lab.step("on");
    let on = reload(router(Mode::Macvlan, 200, SELDOM));
    lan.wait_since(on, "the first", within(5.0), lifetime(5400));
    assert_eq!(sockets(&scene.r1), before + 1);
    scene.lab.step("other options");
    let changed = reload(router(
        Mode::Macvlan,
        200,
        "{ lifetime = 777, dnssl = \"example.org\" }",
    ));
    let frame = lan.wait_since(changed, "the changed one", within(8.0), lifetime(777));
    let expected = frame_of(
        "86000000 40000309 00000000 00000000 0101 00005e000207
         1f03 0000 00000708 076578616d706c65 036f7267 00 000000",
    );
    assert_eq!(frame.bytes, expected, "{frame:?}");
    scene.lab.step("nothing else");
    let same = reload(router(
        Mode::Macvlan,
        150,
        "{ lifetime = 777, dnssl = \"example.org\" }",
    ));
    lan.wait_since(same, "the new priority", within(5.0), |frame| {
        frame.advert().is_some_and(|advert| advert.priority == 150)
    });
    let none = lan.until_quiet(same, 2 * QUIET, within(10.0), is_ra);
    assert!(none.is_empty(), "{none:#?}");
    scene.lab.step("off");
    let off = reload(plain(Mode::Macvlan, 200));
    let last = lan.wait_since(off, "the last one", within(5.0), is_ra);
    let expected = frame_of(
        "86000000 40000000 00000000 00000000 0101 00005e000207
         1f03 0000 00000708 076578616d706c65 036f7267 00 000000",
    );
    assert_eq!(last.bytes, expected, "{last:?}");
    until("its socket is closed", within(5.0), || {
        (sockets(&scene.r1) == before).then_some(())
    });
    solicit(&scene.client);
    let sent = lan.until_quiet(off, 2 * QUIET, within(10.0), is_ra);
    assert_eq!(sent, [last]);
    assert_eq!(daemon.changes(), changes, "the election has noticed");
    let adverts = lan.adverts_since(began, VRID);
    assert!(adverts.iter().all(|(_, advert)| advert.priority != 0));
    daemon.stop();
}

/// Another virtual link-local address: farewell from the old one, then the new one advertises.
#[test]
fn a_reload_changes_the_source() {
    let scene = Scene::new("ra_a_reload_changes_the_source");
    let lan = scene.lan.capture();
    let (daemon, _) = master(Mode::Macvlan, &scene, &lan, SELDOM);
    let changed = Stamp::now();
    let vrouter =
        router(Mode::Macvlan, 200, SELDOM).key("vip", "[\"fe80::200\", \"2001:db8:1::100\"]");
    daemon.reload(&config(&[vrouter]));
    let sent = lan.wait_count(changed, 2, "farewell and the new one", within(8.0), is_ra);
    let told: Vec<(String, u16)> = sent
        .iter()
        .filter_map(Frame::ra)
        .map(|ra| (ra.source.to_string(), ra.lifetime))
        .collect();
    let expected = [("fe80::100".to_owned(), 0), ("fe80::200".to_owned(), 5400)];
    assert_eq!(told, expected);
    daemon.stop();
}

/// What cannot be is refused with the key and what is allowed, before anything is touched.
#[test]
fn wrong_values_are_refused() {
    let scene = Scene::new("ra_wrong_values_are_refused");
    let files = Files::of(&scene.lab, &scene.r1);
    let v4 = Vrouter::new(VRID, &["10.0.0.100"]).key("router_advertisement", "{}");
    for (vrouter, message) in [
        (v4, "router_advertisement: is for IPv6, allowed: "),
        (
            router(Mode::Macvlan, 100, "{ lifetime = 599 }"),
            "router_advertisement.lifetime: 599 is less than max_interval, allowed: 0, or 600..9000",
        ),
        (
            router(Mode::Macvlan, 100, "{ prefixes = [\"2001:db8::1/64\"] }"),
            "router_advertisement.prefixes: \"2001:db8::1/64\" has bits behind its length, \
             allowed: 2001:db8::/64",
        ),
    ] {
        files.write(&config(&[vrouter]));
        let path = files.config.display().to_string();
        let (code, out, err) = run(&scene.r1, &["-t", "-c", &path]);
        assert_eq!(code, Some(1), "{out:?} {err:?}");
        let lines: Vec<&String> = out.iter().chain(&err).collect();
        let found = lines.iter().any(|line| line.contains(message));
        assert!(found, "{lines:#?}, without {message}");
    }
}
