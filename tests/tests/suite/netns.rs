//! `netns`: one process serves the virtual routers of many network namespaces.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rvrrpd_tests::deadline::{Deadline, until, within};
use rvrrpd_tests::frame::Frame;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::lab::{Lab, Lan};
use rvrrpd_tests::mode::{Mode, has_ebpf};
use rvrrpd_tests::rvrrpd::{Files, Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{advert_from, converge};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;
use rvrrpd_tests::web::ask;

in_modes! {
    // Ether: two virtual MACs on one interface. The tests that are not here are about names, about
    // modes beside each other, or too many for all modes.
    one_namespace_fails_over_alone: macvlan, ebpf;
    a_namespace_that_goes_and_comes_back: macvlan, ebpf;
    a_namespace_that_comes_later: macvlan, ebpf;
    a_reload_adds_and_removes_namespaces: macvlan, ebpf;
    sigkill_and_a_new_start_clean_every_namespace: macvlan, ebpf;
}

const VRID: u8 = 7;
const VIP4: &str = "10.0.0.100";
const VIP6: &str = "fe80::7:100";
const WINDOW: Duration = Duration::from_millis(500);

/// A LAN on which two namespaces have interfaces, each served by another daemon.
struct Site {
    lan: Lan,
    a: Host,
    b: Host,
}

/// Two hosts for daemons, and LANs between namespaces that have the same interfaces, addresses and
/// interface indexes on each of them.
struct Sites {
    one: Host,
    two: Host,
    all: Vec<Site>,
    lab: Lab,
}

impl Sites {
    fn new(test: &str, names: &[&str]) -> Self {
        let lab = Lab::new(test);
        let one = lab.host("one");
        let two = lab.host("two");
        let all = names.iter().map(|name| {
            let lan = lab.lan(name);
            let a = lab.host(&format!("{name}-a"));
            let b = lab.host(&format!("{name}-b"));
            attach(&lab, &lan, &a, "10.0.0.1/24");
            attach(&lab, &lan, &b, "10.0.0.2/24");
            Site { lan, a, b }
        });
        let all = all.collect();
        Self { one, two, all, lab }
    }

    fn start(&self, host: &Host, text: &str) -> Rvrrpd {
        Rvrrpd::start(&self.lab, host, text)
    }
}

fn attach(lab: &Lab, lan: &Lan, host: &Host, address: &str) {
    lab.attach(lan, host, "eth0", &[address]);
}

/// VRID 7 of both families in the namespace of `host`, on a macvlan.
fn both(mode: Mode, host: &Host, priority: u8) -> [Vrouter; 2] {
    [VIP4, VIP6].map(|vip| {
        Vrouter::new(VRID, &[vip])
            .inside(host)
            .priority(priority)
            .preemption(true)
            .mode(mode)
    })
}

fn names(host: &Host) -> [String; 2] {
    let name = format!("{}-eth0-{VRID}", host.netns());
    [name.clone(), format!("{name}-v6")]
}

#[track_caller]
fn wait(daemon: &Rvrrpd, host: &Host, state: State) {
    for name in names(host) {
        daemon.wait_state(&name, state, within(10.0));
    }
}

/// Waits until the daemon runs: before that a signal ends it.
#[track_caller]
fn wait_started(daemon: &Rvrrpd) {
    daemon.log().wait_after(0, "it runs", within(5.0), |line| {
        line.text.contains("daemon started").then_some(())
    });
}

#[track_caller]
fn carries(host: &Host, vip: &str, on: bool) {
    let vip: IpAddr = vip.parse().unwrap();
    let what = format!("{} on {}: {on}", vip, host.name());
    until(&what, within(5.0), || {
        (host.carriers_of(vip).is_empty() != on).then_some(())
    });
}

/// Who asks about an interface whose name several namespaces have is told of all of them, and gets the
/// one of the namespace that is named.
#[test]
fn the_api_tells_namespaces_apart() {
    let sites = Sites::new("the_api_tells_namespaces_apart", &["red", "blue"]);
    let [red, blue] = &sites.all[..] else {
        panic!("two sites")
    };
    let mut text = config(&both(Mode::Macvlan, &red.a, 200));
    text += &config(&both(Mode::Macvlan, &blue.a, 200)[..1]);
    let daemon = sites.start(&sites.one, &text);
    wait(&daemon, &red.a, State::Master);
    let socket = daemon.files().run_dir.join("rvrrpd.sock");
    let about = |query: &str| ask(&socket, "GET", &format!("/run/vrrp/7/eth0{query}"));
    let answer = about("");
    assert_eq!(answer.status, 409, "{answer:?}");
    for host in [&red.a, &blue.a] {
        let choice = format!("netns={}", host.netns());
        assert!(answer.body.contains(&choice), "{answer:?}");
        let one = about(&format!("?{choice}")).json();
        assert_eq!(one["name"], names(host)[0]);
    }
    let v6 = about("?family=ipv6").json();
    assert_eq!(v6["name"], names(&red.a)[1], "the only one");
    assert_eq!(about("?netns=").status, 404);
    daemon.stop();
}

/// The same interface names, interface indexes, VRIDs and addresses in two namespaces and in that
/// of the daemon: what happens in one is nothing to the others; macvlan and `ether`, IPv4 and IPv6.
#[test]
fn namespaces_are_independent() {
    let sites = Sites::new("namespaces_are_independent", &["red", "blue"]);
    let home = sites.lab.lan("home");
    attach(&sites.lab, &home, &sites.one, "10.0.0.1/24");
    let peer = sites.lab.host_on(&home, "peer", &["10.0.0.2/24"]);
    let [red, blue] = &sites.all[..] else {
        panic!("two sites")
    };
    let before = [&sites.one, &red.a, &blue.a].map(snapshot);
    let ether = |vip| Vrouter::new(VRID, &[vip]).priority(200).preemption(true);
    let mut text = config(&both(Mode::Macvlan, &red.a, 200));
    text += &config(&[ether(VIP4).inside(&blue.a)]);
    text += &config(&[ether(VIP4)]);
    let daemon = sites.start(&sites.one, &text);
    wait(&daemon, &red.a, State::Master);
    let blue_name = names(&blue.a)[0].clone();
    daemon.wait_state(&blue_name, State::Master, within(10.0));
    daemon.wait_state("eth0-7", State::Master, within(10.0));
    for host in [&sites.one, &red.a, &blue.a] {
        carries(host, VIP4, true);
    }
    carries(&red.a, VIP6, true);
    carries(&blue.a, VIP6, false);
    assert_eq!(red.a.carriers_of(VIP4.parse().unwrap()), ["standby7"]);
    assert_eq!(blue.a.carriers_of(VIP4.parse().unwrap()), ["eth0"]);

    // A better router in one of the namespaces.
    let mark = daemon.log().mark();
    let other = sites.start(
        &peer,
        &config(&[Vrouter::new(VRID, &[VIP4]).priority(250).preemption(true)]),
    );
    daemon.wait_state("eth0-7", State::Backup, within(10.0));
    other.wait_state("eth0-7", State::Master, within(10.0));
    carries(&sites.one, VIP4, false);
    let second = sites.start(&sites.two, &config(&both(Mode::Macvlan, &red.b, 250)));
    wait(&daemon, &red.a, State::Backup);
    wait(&second, &red.b, State::Master);
    carries(&red.a, VIP4, false);
    carries(&red.a, VIP6, false);
    carries(&blue.a, VIP4, true);
    // The lower device of one goes down: the others hear nothing of it.
    red.a.ip("link set eth0 down");
    wait(&daemon, &red.a, State::Init);
    red.a.ip("link set eth0 up");
    wait(&daemon, &red.a, State::Backup);
    let changed = daemon.log().texts_after(mark);
    let blues = changed.iter().filter(|line| line.contains(blue.a.netns()));
    assert_eq!(blues.count(), 0, "{changed:#?}");
    assert_eq!(daemon.status(&blue_name)["netns"], blue.a.netns());
    second.stop();
    other.stop();
    daemon.stop();
    let hosts = [&sites.one, &red.a, &blue.a];
    for (before, host) in before.iter().zip(hosts) {
        // IPv6 had to make its addresses anew.
        let changed = ["operstate", "fe80::", "link eth0"];
        let after = snapshot(host).without(&changed);
        before
            .clone()
            .without(&changed)
            .assert_same(&after, host.name());
    }
}

/// Two daemons, each serves three namespaces: one of them fails over, the others stay, and their
/// Master misses no advertisement.
fn one_namespace_fails_over_alone(mode: Mode) {
    let sites = Sites::new("one_namespace_fails_over_alone", &["s1", "s2", "s3"]);
    let routers = |priority| {
        let hosts = sites.all.iter();
        let hosts = hosts.map(|site| if priority > 100 { &site.a } else { &site.b });
        let all: Vec<Vrouter> = hosts.flat_map(|host| both(mode, host, priority)).collect();
        config(&all)
    };
    let second = sites.start(&sites.two, &routers(100));
    let first = sites.start(&sites.one, &routers(200));
    for site in &sites.all {
        wait(&first, &site.a, State::Master);
        wait(&second, &site.b, State::Backup);
    }
    // The kernel keeps repetitions to itself in each of them, although their interfaces have the
    // same index.
    for site in sites.all.iter().filter(|_| has_ebpf()) {
        for name in names(&site.b) {
            until("repetitions are absorbed", within(5.0), || {
                let status = second.status(&name);
                assert_eq!(status["socket-filter"], "ebpf");
                (status["absorbed"] != "0").then_some(())
            });
        }
    }
    let captures: Vec<_> = sites.all.iter().map(|site| site.lan.capture()).collect();
    let start = Stamp::now();
    sites.all[1].lan.carrier(&sites.all[1].a, false);
    wait(&second, &sites.all[1].b, State::Master);
    wait(&first, &sites.all[1].a, State::Init);
    carries(&sites.all[1].b, VIP4, true);
    sites.all[1].lan.carrier(&sites.all[1].a, true);
    wait(&first, &sites.all[1].a, State::Master);
    wait(&second, &sites.all[1].b, State::Backup);
    for (site, lan) in sites.all.iter().zip(&captures) {
        converge(lan, &[(VRID, &site.a)], WINDOW, within(5.0));
        let from_b = |frame: &Frame| advert_from(&site.b, VRID)(frame);
        let taken_over = lan.frames_since(start).iter().any(from_b);
        assert_eq!(taken_over, site.a.name() == "s2-a", "{}", site.a.name());
    }
    first.stop();
    for site in &sites.all {
        wait(&second, &site.b, State::Master);
    }
    second.stop();
}

/// A namespace is deleted and made again under its name: its routers wait with `no-namespace`, which
/// lets the kernel take it down, and start again; the others hear nothing of it.
fn a_namespace_that_goes_and_comes_back(mode: Mode) {
    let test = "a_namespace_that_goes_and_comes_back";
    let sites = Sites::new(test, &["s1", "s2"]);
    let [gone, stays] = &sites.all[..] else {
        panic!("two sites")
    };
    let text = config(&both(mode, &gone.a, 200)) + &config(&both(mode, &stays.a, 200));
    let daemon = sites.start(&sites.one, &text);
    wait(&daemon, &gone.a, State::Master);
    wait(&daemon, &stays.a, State::Master);
    let captures = [gone.lan.capture(), stays.lan.capture()];
    for round in 0..3 {
        sites.lab.step(&format!("round {round}"));
        let start = Stamp::now();
        let mark = daemon.log().mark();
        sites.lab.delete(&gone.a);
        wait(&daemon, &gone.a, State::Init);
        let name = names(&gone.a)[0].clone();
        until("the reason is told", within(5.0), || {
            (daemon.status(&name)["not-ready"] == "no-namespace").then_some(())
        });
        // Resigned in order, because the namespace was there until the daemon let go of it.
        captures[0].wait_since(start, "the priority 0", within(5.0), |frame| {
            frame.advert().is_some_and(|advert| advert.priority == 0)
        });
        until("nobody holds the namespace", within(5.0), || {
            (!gone.lan.has_cable(&gone.a)).then_some(())
        });
        sites.lab.make_again(&gone.a);
        attach(&sites.lab, &gone.lan, &gone.a, "10.0.0.1/24");
        wait(&daemon, &gone.a, State::Master);
        carries(&gone.a, VIP4, true);
        carries(&gone.a, VIP6, true);
        let lines = daemon.log().texts_after(mark);
        let others = lines.iter().filter(|line| line.contains(stays.a.netns()));
        let others: Vec<_> = others.filter(|line| line.contains("Changed")).collect();
        assert!(others.is_empty(), "{others:#?}");
    }
    let adverts = captures[1].adverts_since(Stamp(Duration::ZERO), VRID);
    assert!(adverts.iter().all(|(_, advert)| advert.priority == 200));
    daemon.stop();
}

/// The name is there before the namespace: its routers wait, and one that is not there from the
/// beginning is told of.
fn a_namespace_that_comes_later(mode: Mode) {
    let sites = Sites::new("a_namespace_that_comes_later", &["s1"]);
    let site = &sites.all[0];
    sites.lab.delete(&site.a);
    let daemon = sites.start(&sites.one, &config(&both(mode, &site.a, 200)));
    wait_started(&daemon);
    let name = names(&site.a)[0].clone();
    until("the reason is told", within(5.0), || {
        (daemon.status(&name)["not-ready"] == "no-namespace").then_some(())
    });
    // As `ip netns add` does it, with a pause between its steps.
    let file = format!("/run/netns/{}", site.a.netns());
    std::fs::write(&file, "").unwrap();
    assert_eq!(daemon.status(&name)["not-ready"], "no-namespace");
    std::fs::remove_file(&file).unwrap();
    sites.lab.make_again(&site.a);
    attach(&sites.lab, &site.lan, &site.a, "10.0.0.1/24");
    wait(&daemon, &site.a, State::Master);
    daemon.stop();
}

/// A reload adds and removes namespaces; others are not touched. Where the daemon was started
/// without any, and has given up the right to enter one, it says so.
fn a_reload_adds_and_removes_namespaces(mode: Mode) {
    let test = "a_reload_adds_and_removes_namespaces";
    let sites = Sites::new(test, &["s1", "s2"]);
    let [first, second] = &sites.all[..] else {
        panic!("two sites")
    };
    let before = [&first.a, &second.a].map(snapshot);
    let daemon = sites.start(&sites.one, &config(&both(mode, &first.a, 200)));
    wait(&daemon, &first.a, State::Master);
    let mark = daemon.log().mark();
    daemon.reload(&(config(&both(mode, &first.a, 200)) + &config(&both(mode, &second.a, 200))));
    wait(&daemon, &second.a, State::Master);
    carries(&second.a, VIP6, true);
    let untouched = |line: &String| !(line.contains(first.a.netns()) && line.contains("Changed"));
    assert!(daemon.log().texts_after(mark).iter().all(untouched));
    daemon.reload(&config(&both(mode, &second.a, 200)));
    carries(&first.a, VIP4, false);
    carries(&first.a, VIP6, false);
    until("everything is taken back", within(5.0), || {
        before[0].diff(&snapshot(&first.a)).is_empty().then_some(())
    });
    // Nothing of the daemon keeps it: with its name it goes.
    sites.lab.delete(&first.a);
    until("nobody holds the namespace", within(5.0), || {
        (!first.lan.has_cable(&first.a)).then_some(())
    });
    daemon.stop();
    before[1].assert_same(&snapshot(&second.a), "after the stop");

    let daemon = sites.start(&sites.two, "");
    wait_started(&daemon);
    daemon.reload(&config(&both(mode, &second.b, 200)));
    let name = names(&second.b)[0].clone();
    until("it waits for the namespace", within(5.0), || {
        let status = daemon
            .statistics()
            .contains_key(&name)
            .then(|| daemon.status(&name))?;
        (status["not-ready"] == "no-namespace").then_some(())
    });
    let log = daemon.log();
    log.wait_after(0, "it is told", within(5.0), |line| {
        let is_told = line.text.contains("CAP_SYS_ADMIN") && line.text.contains("restart");
        is_told.then_some(())
    });
    daemon.stop();
}

/// After SIGKILL a start takes back what was left in every namespace, also in those that the
/// configuration names no more; one that is gone, and one that was made anew, need nothing.
fn sigkill_and_a_new_start_clean_every_namespace(mode: Mode) {
    let test = "sigkill_and_a_new_start_clean_every_namespace";
    let sites = Sites::new(test, &["s1", "s2", "s3", "s4"]);
    let hosts: Vec<&Host> = sites.all.iter().map(|site| &site.a).collect();
    let before: Vec<_> = hosts.iter().map(|host| snapshot(host)).collect();
    let ether = |host: &Host| {
        let route = "[{ route = \"192.168.1.0/24\", nh = \"10.0.0.50\" }]";
        Vrouter::new(VRID, &[VIP4])
            .inside(host)
            .key("routes", route)
    };
    let text = |hosts: &[&Host]| {
        let all: Vec<Vrouter> = hosts[1..]
            .iter()
            .flat_map(|host| both(mode, host, 200))
            .collect();
        config(&[ether(hosts[0])]) + &config(&all)
    };
    let mut daemon = sites.start(&sites.one, &text(&hosts));
    daemon.wait_state(&names(hosts[0])[0], State::Master, within(10.0));
    for host in &hosts[1..] {
        wait(&daemon, host, State::Master);
    }
    for host in &hosts {
        carries(host, VIP4, true);
    }
    daemon.sigkill();
    for (before, host) in before.iter().zip(&hosts) {
        assert!(!before.diff(&snapshot(host)).is_empty(), "{}", host.name());
    }
    sites.lab.delete(hosts[2]);
    sites.lab.delete(hosts[3]);
    sites.lab.make_again(hosts[3]);
    let foreign = "link add standby7 address 00:00:5e:00:01:07 type bridge";
    hosts[3].ip(foreign);
    // Only the first is still configured.
    let daemon = sites.start(&sites.one, &config(&[ether(hosts[0])]));
    daemon.wait_state(&names(hosts[0])[0], State::Master, within(10.0));
    before[1].assert_same(
        &snapshot(hosts[1]),
        "a namespace that is not configured any more",
    );
    assert!(hosts[3].interfaces().contains(&"standby7".to_owned()));
    daemon.stop();
    before[0].assert_same(&snapshot(hosts[0]), "after the stop");
    let left = Files::of(&sites.lab, &sites.one).run_dir.join("netns");
    assert!(!left.exists(), "{left:?} is left");
}

/// Names that cannot be those of another namespace.
#[test]
fn the_own_namespace_and_a_second_name_are_refused() {
    let test = "the_own_namespace_and_a_second_name_are_refused";
    let sites = Sites::new(test, &["s1"]);
    let site = &sites.all[0];
    attach(&sites.lab, &site.lan, &sites.one, "10.0.0.3/24");
    let daemon = sites.start(&sites.one, &config(&both(Mode::Macvlan, &sites.one, 200)));
    until("it is told", within(5.0), || {
        let told = |text: &str| text.contains("that of the daemon itself");
        daemon
            .log()
            .lines()
            .iter()
            .any(|line| told(&line.text))
            .then_some(())
    });
    let name = names(&sites.one)[0].clone();
    assert_eq!(daemon.status(&name)["not-ready"], "no-namespace");
    daemon.stop();
}

const MANY: usize = 200;

/// Descriptors, threads and resident memory in kB of a process.
fn cost(pid: u32) -> (usize, usize, u64) {
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/{pid}/{what}"))
            .unwrap()
            .count()
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.unwrap().trim().trim_end_matches(" kB").parse();
    (count("fd"), count("task"), resident.unwrap())
}

/// Waits until each of `count` routers is in `state` by the log.
fn wait_all(daemon: &Rvrrpd, count: usize, state: State, deadline: Deadline) {
    let wanted = state.to_string();
    until(&format!("all {count} are {state}"), deadline, || {
        let states: std::collections::BTreeMap<String, String> = daemon
            .changes()
            .into_iter()
            .map(|change| (change.name, change.to))
            .collect();
        let there = states.values().filter(|state| **state == wanted).count();
        (there == count).then_some(())
    });
}

/// 200 namespaces with two virtual routers each in one process, against another process with 200:
/// they elect, fail over and stop, and nothing is left.
#[test]
fn two_hundred_namespaces() {
    let test = "two_hundred_namespaces";
    let lab = Lab::with_limit(test, Duration::from_secs(480));
    let (one, two) = (lab.host("one"), lab.host("two"));
    lab.step("namespaces");
    let pairs: Vec<(Host, Host)> = (0..MANY)
        .map(|number| {
            let [a, b] = ["a", "b"].map(|side| lab.host(&format!("{side}{number}")));
            let peer = b.netns();
            a.ip(&format!(
                "link add eth0 type veth peer name eth0 netns {peer}"
            ));
            for (host, address) in [(&a, "10.0.0.1/24"), (&b, "10.0.0.2/24")] {
                host.ip_batch(&[
                    &format!("address add {address} dev eth0"),
                    "link set eth0 up",
                ]);
            }
            (a, b)
        })
        .collect();
    let examined = || pairs.iter().step_by(MANY / 10);
    let before: Vec<_> = examined()
        .map(|(a, b)| [snapshot(a), snapshot(b)])
        .collect();
    let routers = |side: fn(&(Host, Host)) -> &Host, priority| {
        let all: Vec<Vrouter> = pairs
            .iter()
            .flat_map(|pair| [7, 8].map(|group| (side(pair), group)))
            .map(|(host, group)| {
                Vrouter::new(group, &[&format!("10.0.0.10{group}")])
                    .inside(host)
                    .priority(priority)
                    .preemption(true)
                    .macvlan()
                    .interval(1.0)
            })
            .collect();
        config(&all)
    };
    lab.step("start");
    let began = Instant::now();
    let mut first = Rvrrpd::start(&lab, &one, &routers(|pair| &pair.0, 200));
    wait_all(&first, 2 * MANY, State::Master, within(60.0));
    println!("{MANY} namespaces: all Master after {:?}", began.elapsed());
    let second = Rvrrpd::start(&lab, &two, &routers(|pair| &pair.1, 100));
    wait_all(&second, 2 * MANY, State::Backup, within(60.0));
    for (name, daemon) in [("Master", &first), ("Backup", &second)] {
        let (descriptors, threads, resident) = cost(daemon.pid());
        println!("{name}: {descriptors} descriptors, {threads} threads, {resident} kB resident");
        assert!(threads < 16, "{threads} threads");
        assert!(resident < 64 << 10, "{resident} kB resident");
    }
    lab.step("failover");
    let mark = second.log().mark();
    let killed = Instant::now();
    first.sigkill();
    until("all have taken over", within(30.0), || {
        let lines = second.log().texts_after(mark);
        let masters = lines.iter().filter(|line| line.contains("to Master"));
        (masters.count() == 2 * MANY).then_some(())
    });
    println!("all Master by the log {:?} after SIGKILL", killed.elapsed());
    for (_, b) in &pairs {
        for group in [7, 8] {
            carries(b, &format!("10.0.0.10{group}"), true);
        }
    }
    lab.step("a new start after SIGKILL");
    let began = Instant::now();
    let first = Rvrrpd::start(&lab, &one, &routers(|pair| &pair.0, 200));
    wait_all(&first, 2 * MANY, State::Master, within(60.0));
    println!("all Master again after {:?}", began.elapsed());
    lab.step("stop");
    for mut daemon in [first, second] {
        let began = Instant::now();
        daemon.process().signal(libc::SIGTERM);
        let status = daemon.process().wait_exit(within(30.0));
        println!("stopped in {:?}", began.elapsed());
        assert_eq!(status.code(), Some(0), "{status}");
    }
    lab.step("what is left");
    for ((a, b), [before_a, before_b]) in examined().zip(&before) {
        before_a.assert_same(&snapshot(a), a.name());
        before_b.assert_same(&snapshot(b), b.name());
    }
    for host in pairs.iter().flat_map(|(a, b)| [a, b]) {
        assert_eq!(host.interfaces(), ["eth0", "lo"], "{}", host.name());
    }
}
