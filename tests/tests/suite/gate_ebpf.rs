//! Who decides what reaches a virtual MAC: the eBPF gate, and nftables where that is not permitted.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use rvrrpd_tests::bpf::{self, Dropper};
use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::{Frame, Mac};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::in_user_namespace;
use rvrrpd_tests::mode::lacks_ebpf;
use rvrrpd_tests::probe::ping_mac;
use rvrrpd_tests::process::Process;
use rvrrpd_tests::rvrrpd::{Files, Rvrrpd, State, Vrouter, config, program};
use rvrrpd_tests::scene::{NAME, SERVER, Scene, VIP, VIP_TEXT, VMAC, VRID};
use rvrrpd_tests::sys::{self, Stamp};

/// How the daemon is started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// As root.
    Root,
    /// By a service manager that does not give it CAP_BPF.
    WithoutBpf,
    /// On a kernel before 6.6.
    WithoutTcx,
}

impl Way {
    fn start(self, scene: &Scene, host: &Host, text: &str) -> Rvrrpd {
        let files = Files::of(&scene.lab, host);
        files.write(text);
        let mut command = match self {
            Self::WithoutBpf => {
                let mut command = host.command("setpriv");
                command.arg("--bounding-set=-bpf,-sys_admin").arg(program());
                command
            }
            Self::Root | Self::WithoutTcx => host.command(program()),
        };
        command.args(["-m", "1", "-c"]).arg(&files.config);
        if self == Self::WithoutTcx {
            bpf::without_tcx(&mut command);
        }
        Rvrrpd::start_command(host, files, command)
    }
}

const NAME6: &str = "eth0-7-v6";

fn router() -> Vrouter {
    Vrouter::new(VRID, &[VIP_TEXT]).macvlan()
}

/// Nobody but the initial user namespace loads eBPF programs.
fn is_skipped(test: &str) -> bool {
    if in_user_namespace() {
        println!("skipped: {test} (no eBPF in a user namespace)");
    }
    in_user_namespace()
}

/// What the daemon says about the gate of an interface.
fn gate(daemon: &Rvrrpd, interface: &str) -> String {
    let mark = daemon.log().mark();
    daemon.status("global");
    let wanted = format!("gate interface={interface} ");
    daemon
        .log()
        .wait_after(mark, "the line of the gate", within(5.0), |line| {
            line.text
                .split_once(&wanted)
                .map(|(_, rest)| rest.to_owned())
        })
}

fn rules(host: &Host) -> String {
    host.run("nft", &["list", "ruleset"])
}

fn filters(host: &Host) -> String {
    host.run("tc", &["filter", "show", "dev", "eth0", "ingress"])
}

/// A peer that advertises every 40.95 s keeps r2 Backup. Its reverse path filter, which would do the
/// work of the gate, is off.
fn hold_backup(scene: &Scene, daemon: &Rvrrpd) {
    scene.inject(scene.ghost(200, 4095));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    for interface in ["all", "standby7"] {
        scene
            .r2
            .sysctl(&format!("ipv4/conf/{interface}/rp_filter"), "0");
    }
}

/// Makes a Backup Master, as the peer is silent, and waits until that is announced.
fn make_master(scene: &Scene, lan: &Capture, daemon: &Rvrrpd) {
    let start = Stamp::now();
    scene.inject(scene.ghost(200, 10));
    daemon.wait_state(NAME, State::Master, within(10.0));
    lan.wait_since(start, "its ARP", within(5.0), |frame| {
        frame.arp().is_some_and(|arp| arp.announces(VIP))
    });
}

/// Pings in frames to the virtual MAC that are answered: by the VIP, and by the server behind.
fn reach(scene: &Scene, lan: &Capture) -> (usize, usize) {
    let of = |target: Ipv4Addr| ping_mac(lan, &scene.client, VMAC, target, 3);
    (of(VIP), of(SERVER))
}

/// FSM-B-3, FSM-B-4, FSM-A-4: the gate opens and closes whoever it is, and the log and SIGUSR2 say
/// who and why. With eBPF an IPv4 router needs no nftables at all.
#[test]
fn each_way_opens_and_closes() {
    if is_skipped("each_way_opens_and_closes") {
        return;
    }
    for way in [Way::Root, Way::WithoutBpf, Way::WithoutTcx] {
        let scene = Scene::with_upstream("each_way_opens_and_closes");
        scene.lab.step(&format!("{way:?}"));
        let lan = scene.lan.capture();
        let text = config(&[
            router().interval(1.0),
            Vrouter::new(8, &["10.1.0.108"])
                .macvlan()
                .text("interface", "eth1")
                .text("vifname", "standby8"),
        ]);
        let daemon = way.start(&scene, &scene.r2, &text);
        daemon.wait_state(NAME, State::Backup, within(10.0));
        hold_backup(&scene, &daemon);
        assert_eq!(reach(&scene, &lan), (0, 0), "{way:?}: as Backup");
        make_master(&scene, &lan, &daemon);
        until("all is open for the Master", within(5.0), || {
            (reach(&scene, &lan) == (3, 3)).then_some(())
        });
        hold_backup(&scene, &daemon);
        until("the gate closes", within(5.0), || {
            (reach(&scene, &lan) == (0, 0)).then_some(())
        });

        let said = gate(&daemon, "eth0");
        let programs = bpf::programs(&scene.r2, "eth0").len();
        let told: Vec<String> = daemon
            .log()
            .lines()
            .into_iter()
            .map(|line| line.text)
            .filter(|line| line.contains("the eBPF gate"))
            .filter(|line| !line.contains("gate interface="))
            .collect();
        match way {
            Way::Root => {
                assert_eq!(said, "kind=ebpf hook=tcx");
                assert_eq!(programs, 1);
                assert_eq!(rules(&scene.r2), "");
                assert!(told.is_empty(), "{told:?}");
            }
            Way::WithoutTcx => {
                assert_eq!(said, "kind=ebpf hook=clsact");
                assert_eq!(programs, 0);
                let filters = filters(&scene.r2);
                assert_eq!(filters.matches("0x56525250").count(), 1, "{filters}");
                assert_eq!(rules(&scene.r2), "");
                assert!(told.is_empty(), "{told:?}");
            }
            Way::WithoutBpf => {
                assert!(said.starts_with("kind=nftables why="), "{said}");
                assert!(said.contains("CAP_BPF"), "{said}");
                assert_eq!(programs, 0);
                assert!(rules(&scene.r2).contains("00:00:5e:00:01:07"));
                assert_eq!(told.len(), 1, "two interfaces, one line: {told:?}");
                assert!(told[0].contains("needs CAP_BPF; nftables is used"));
            }
        }
        daemon.stop();
        assert!(bpf::programs(&scene.r2, "eth0").is_empty());
        assert_eq!(rules(&scene.r2), "", "{way:?}");
        assert!(!filters(&scene.r2).contains("0x56525250"), "{way:?}");
    }
}

/// FSM-A-5: `accept_mode = false` by each way: not from the LAN, not from behind, yet forwarded; a
/// reload switches it, and other routers come and go meanwhile.
#[test]
fn each_way_refuses() {
    if is_skipped("each_way_refuses") {
        return;
    }
    for way in [Way::Root, Way::WithoutBpf] {
        let scene = Scene::with_upstream("each_way_refuses");
        scene.lab.step(&format!("{way:?}"));
        let lan = scene.lan.capture();
        let server = scene.server.as_ref().expect("a server");
        let text = |accept: bool, others: &[u8]| {
            let other = |group: &u8| Vrouter::new(*group, &[&format!("10.0.0.{group}")]).macvlan();
            let mut vrouters = vec![router().key("accept_mode", accept)];
            vrouters.extend(others.iter().map(other));
            config(&vrouters)
        };
        let daemon = way.start(&scene, &scene.r2, &text(false, &[]));
        let start = Stamp::now();
        daemon.wait_state(NAME, State::Master, within(10.0));
        lan.wait_since(start, "its ARP", within(5.0), |frame| {
            frame.arp().is_some_and(|arp| arp.announces(VIP))
        });
        let from_behind = || {
            let mut ping = server.command("ping");
            ping.args(["-q", "-c", "2", "-i", "0.05", "-W", "1", VIP_TEXT]);
            ping.output().expect("ping").status.success()
        };
        // The own MAC of the router leads to the VIP as well.
        let by_own_mac = || ping_mac(&lan, &scene.client, scene.r2.mac("eth0"), VIP, 3);
        let accepts = || (reach(&scene, &lan), by_own_mac(), from_behind());
        assert_eq!(accepts(), ((0, 3), 0, false), "{way:?}");
        for (accept, others, expected) in [
            (true, &[20, 21][..], ((3, 3), 3, true)),
            (false, &[21], ((0, 3), 0, false)),
            (true, &[], ((3, 3), 3, true)),
        ] {
            daemon.reload(&text(accept, others));
            until(
                &format!("{way:?}: accept_mode = {accept}"),
                within(8.0),
                || (accepts() == expected).then_some(()),
            );
            for group in others {
                let name = format!("eth0-{group}");
                daemon.wait_state(&name, State::Master, within(10.0));
            }
        }
        assert_eq!(daemon.state(NAME), Some(State::Master));
        daemon.reload("");
        until("no gate without routers", within(5.0), || {
            let none = bpf::programs(&scene.r2, "eth0").is_empty() && rules(&scene.r2).is_empty();
            none.then_some(())
        });
        daemon.stop();
    }
}

/// An election is no transaction of nftables: neither of IPv4 nor of IPv6 routers, whether or not
/// they accept.
#[test]
fn an_election_asks_nothing_of_nftables() {
    const EACH: u8 = 30;
    if lacks_ebpf("an_election_asks_nothing_of_nftables") {
        return;
    }
    let scene = Scene::new("an_election_asks_nothing_of_nftables");
    let lan = scene.lan.capture();
    let vrouters: Vec<Vrouter> = (1..=EACH)
        .flat_map(|group| {
            let both = [
                vec![format!("10.0.1.{group}")],
                vec![format!("fe80::{group:x}"), format!("2001:db8::{group:x}")],
            ];
            both.map(|vips| {
                let vips: Vec<&str> = vips.iter().map(String::as_str).collect();
                let vrouter = Vrouter::new(group, &vips).macvlan().preemption(true);
                let family = if vips.len() > 1 { 6 } else { 4 };
                vrouter
                    .text("vifname", &format!("vr{family}.{group}"))
                    .key("accept_mode", group % 2 == 0)
            })
        })
        .collect();
    let of = |priority| {
        let routers = vrouters.iter().cloned();
        config(
            &routers
                .map(|one| one.priority(priority))
                .collect::<Vec<_>>(),
        )
    };
    let is_in = |daemon: &Rvrrpd, state| {
        let what = format!("all are {state}");
        until(&what, within(20.0), || {
            let name = |one: &Vrouter| match one.value("vifname") {
                Some(vif) if vif.contains("vr6") => format!("eth0-{}-v6", one.group()),
                _ => format!("eth0-{}", one.group()),
            };
            let all = vrouters
                .iter()
                .all(|one| daemon.state(&name(one)) == Some(state));
            all.then_some(())
        });
    };
    let mut first = scene.start(&scene.r1, &of(200));
    is_in(&first, State::Master);
    let second = scene.start(&scene.r2, &of(100));
    is_in(&second, State::Backup);
    let mut command = scene.r2.command("nft");
    command.arg("monitor");
    let monitor = Process::start("nft monitor", command);
    // It listens once it tells of something.
    let told = |mark, name: &str| {
        monitor
            .log()
            .wait_after(mark, "a transaction", within(5.0), |line| {
                line.text.contains(name).then_some(())
            });
    };
    until("the monitor listens", within(5.0), || {
        scene.r2.run("nft", &["add", "table", "inet", "begin"]);
        scene.r2.run("nft", &["delete", "table", "inet", "begin"]);
        (monitor.log().mark() > 0).then_some(())
    });
    scene.r2.run("nft", &["add", "table", "inet", "before"]);
    told(0, "inet before");
    let mark = monitor.log().mark();
    first.sigkill();
    is_in(&second, State::Master);
    // Give it all back, too.
    let first = scene.start(&scene.r1, &of(200));
    is_in(&second, State::Backup);
    is_in(&first, State::Master);
    let closed = |frame: &Frame| frame.port == "r1" && frame.is_advert_of(EACH);
    lan.wait_count(Stamp::now(), 3, "adverts", within(5.0), closed);
    scene.r2.run("nft", &["add", "table", "inet", "after"]);
    told(mark, "inet after");
    let lines = monitor.log().texts_after(mark);
    let others: Vec<&String> = lines
        .iter()
        .filter(|line| !line.contains("inet after") && !line.contains("new generation"))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    first.stop();
    second.stop();
}

/// Programs and filters that others have at the interface go on, before, while and after.
#[test]
fn others_are_left_alone() {
    if is_skipped("others_are_left_alone") {
        return;
    }
    let scene = Scene::new("others_are_left_alone");
    let lan = scene.lan.capture();
    let own = || {
        let mac = scene.r1.mac("eth0");
        ping_mac(&lan, &scene.client, mac, Ipv4Addr::new(10, 0, 0, 1), 2)
    };
    let add = |host: &Host| {
        let bytecode = "1,6 0 0 2,";
        let words = [
            "filter", "add", "dev", "eth0", "ingress", "pref", "7", "bpf", "da", "bytecode",
            bytecode,
        ];
        host.run("tc", &words);
    };
    scene
        .r1
        .run("tc", &["qdisc", "add", "dev", "eth0", "clsact"]);
    for way in [Way::Root, Way::WithoutTcx] {
        assert_eq!(own(), 2);
        let others = Dropper::attach(&scene.r1, "eth0");
        assert_eq!(own(), 0);
        let [other] = bpf::programs(&scene.r1, "eth0")[..] else {
            panic!("one program");
        };
        let daemon = way.start(&scene, &scene.r1, &config(&[router()]));
        daemon.wait_state(NAME, State::Master, within(10.0));
        assert_eq!(own(), 0, "{way:?}: the other one still drops");
        let programs = bpf::programs(&scene.r1, "eth0");
        assert_eq!(programs.last(), Some(&other));
        // First in order.
        assert_eq!(programs.len(), if way == Way::Root { 2 } else { 1 });
        drop(others);
        until("the other one is gone", within(5.0), || {
            (own() == 2).then_some(())
        });
        add(&scene.r1);
        assert_eq!(own(), 0, "{way:?}: the filter of others still drops");
        daemon.stop();
        assert_eq!(own(), 0, "{way:?}: after the stop");
        assert!(filters(&scene.r1).contains("pref 7"));
        scene.r1.run(
            "tc",
            &["filter", "del", "dev", "eth0", "ingress", "pref", "7"],
        );
    }
    assert_eq!(own(), 2);
}

/// SIGKILL takes the tcx program along. The filter of clsact stays, with the state that it had, until
/// the next start, of whatever kind; then it is gone.
#[test]
fn sigkill_leaves_nothing_for_long() {
    if is_skipped("sigkill_leaves_nothing_for_long") {
        return;
    }
    let scene = Scene::with_upstream("sigkill_leaves_nothing_for_long");
    let lan = scene.lan.capture();
    let text = config(&[router().interval(1.0)]);
    for way in [Way::Root, Way::WithoutTcx] {
        let mut daemon = way.start(&scene, &scene.r2, &text);
        daemon.wait_state(NAME, State::Backup, within(10.0));
        hold_backup(&scene, &daemon);
        daemon.sigkill();
        let left = filters(&scene.r2).contains("0x56525250");
        assert_eq!(left, way == Way::WithoutTcx, "{way:?}");
        until("no program", within(5.0), || {
            bpf::programs(&scene.r2, "eth0").is_empty().then_some(())
        });
        let daemon = Way::Root.start(&scene, &scene.r2, &text);
        daemon.wait_state(NAME, State::Master, within(10.0));
        assert!(!filters(&scene.r2).contains("0x56525250"), "{way:?}");
        until("the Master is reached", within(5.0), || {
            (reach(&scene, &lan) == (3, 3)).then_some(())
        });
        daemon.stop();
        assert!(bpf::programs(&scene.r2, "eth0").is_empty(), "{way:?}");
    }
}

/// The gate stays through a new name, and comes back with the interface; closed for a Backup.
#[test]
fn the_gate_follows_its_interface() {
    if is_skipped("the_gate_follows_its_interface") {
        return;
    }
    for way in [Way::Root, Way::WithoutTcx] {
        let scene = Scene::with_upstream("the_gate_follows_its_interface");
        scene.lab.step(&format!("{way:?}"));
        let lan = scene.lan.capture();
        let text = config(&[router().interval(1.0)]);
        let daemon = way.start(&scene, &scene.r2, &text);
        daemon.wait_state(NAME, State::Backup, within(10.0));
        hold_backup(&scene, &daemon);
        let has_gate = |interface: &str| {
            let filter = scene
                .r2
                .run("tc", &["filter", "show", "dev", interface, "ingress"]);
            bpf::programs(&scene.r2, interface).len() + filter.matches("0x56525250").count()
        };
        assert_eq!(has_gate("eth0"), 1);
        let mark = daemon.log().mark();
        scene.r2.ip_batch(&[
            "link set eth0 down",
            "link set eth0 name other",
            "link set other up",
        ]);
        // What comes and goes faster than it looks is no change.
        daemon.wait_change(mark, NAME, State::Init, within(10.0));
        assert_eq!(has_gate("other"), 1, "{way:?}: with another name");
        scene.r2.ip_batch(&[
            "link set other down",
            "link set other name eth0",
            "link set eth0 up",
        ]);
        daemon.wait_change(mark, NAME, State::Backup, within(10.0));
        hold_backup(&scene, &daemon);
        assert_eq!(has_gate("eth0"), 1, "{way:?}");
        until("the gate is closed", within(5.0), || {
            (reach(&scene, &lan) == (0, 0)).then_some(())
        });
        make_master(&scene, &lan, &daemon);
        until("the Master is reached", within(5.0), || {
            (reach(&scene, &lan).0 == 3).then_some(())
        });

        let index = scene.r2.ip_json("link show dev eth0")[0]["ifindex"].to_string();
        let mark = daemon.log().mark();
        scene.r2.ip_batch(&[
            "link del eth0",
            &format!("link add name eth0 index {index} type veth peer name far0"),
            "link set far0 up",
            "link set eth0 up",
            "address add 10.0.0.2/24 dev eth0",
        ]);
        daemon.wait_change(mark, NAME, State::Master, within(15.0));
        assert_eq!(has_gate("eth0"), 1, "{way:?}: made again");
        assert!(gate(&daemon, "eth0").starts_with("kind=ebpf"));
        daemon.stop();
        assert_eq!(has_gate("eth0"), 0);
    }
}

/// Who is stopped or frozen while the kernel verifies its programs loads them again.
#[test]
fn a_stop_while_it_starts_costs_no_gate() {
    if is_skipped("a_stop_while_it_starts_costs_no_gate") {
        return;
    }
    let scene = Scene::new("a_stop_while_it_starts_costs_no_gate");
    let daemon = Way::Root.start(&scene, &scene.r1, &config(&[router()]));
    let status = format!("/proc/{}/status", daemon.pid());
    let has_said = |what: &str| {
        let lines = daemon.log().lines();
        lines.iter().any(|line| line.text.contains(what))
    };
    let tasks = format!("/proc/{}/task", daemon.pid());
    let is_loader = |task: fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "loader")
    };
    until("it is about to load them", within(10.0), || {
        let mut tasks = fs::read_dir(&tasks).expect("threads").flatten();
        (has_said("Starting") && !tasks.any(is_loader)).then_some(())
    });
    // Fewer than it tries: ten times, each time once more for the reason.
    let mut stops = 0..18;
    until("it has started", within(10.0), || {
        if stops.next().is_some() {
            sys::kill(daemon.pid(), libc::SIGSTOP).expect("SIGSTOP");
            until("it stands", within(5.0), || {
                let status = fs::read_to_string(&status).expect("status");
                status.contains("State:\tT").then_some(())
            });
            sys::kill(daemon.pid(), libc::SIGCONT).expect("SIGCONT");
        }
        has_said("daemon started").then_some(())
    });
    daemon.wait_state(NAME, State::Master, within(10.0));
    assert!(gate(&daemon, "eth0").starts_with("kind=ebpf"));
}

/// FSM-B-3: the macvlan comes up behind a closed gate: whatever is sent to the virtual MAC while
/// the daemon starts, nothing of it is forwarded. By IPv6, which has no reverse path filter.
#[test]
fn nothing_passes_while_it_starts() {
    let scene = Scene::with_upstream("nothing_passes_while_it_starts");
    let server = scene.server.as_ref().expect("a server");
    for (host, interface, address) in [
        (&scene.client, "eth0", "2001:db8::50"),
        (&scene.r2, "eth0", "2001:db8::2"),
        (&scene.r2, "eth1", "2001:db8:1::2"),
        (server, "eth0", "2001:db8:1::50"),
    ] {
        host.ip(&format!("address add {address}/64 dev {interface} nodad"));
    }
    server.ip("-6 route add default via 2001:db8:1::2");
    let virtual_mac = Mac::virtual_v6(VRID);
    let entry = format!("neigh replace fe80::100 lladdr {virtual_mac} dev eth0 nud permanent");
    scene.client.ip(&entry);
    scene
        .client
        .ip("-6 route add default via fe80::100 dev eth0");
    // Nobody is Master of it here, so it has to wait for its own time.
    let router = Vrouter::new(VRID, &["fe80::100"]).macvlan().interval(1.0);
    for round in 0..3 {
        let mut command = scene.client.command("ping");
        command.args(["-6", "-n", "-i", "0.002", "2001:db8:1::50"]);
        let pings = Process::start("ping", command);
        let daemon = scene.start(&scene.r2, &config(std::slice::from_ref(&router)));
        daemon.wait_state(NAME6, State::Backup, within(10.0));
        let answers = |from: usize| {
            let lines = pings.log().texts_after(from);
            lines.iter().filter(|line| line.contains("ttl=")).count()
        };
        // It looks before it may have become Master.
        let (seen, state) = (answers(0), daemon.state(NAME6));
        if state == Some(State::Backup) {
            assert_eq!(seen, 0, "round {round}");
        }
        daemon.wait_state(NAME6, State::Master, within(10.0));
        until("the Master forwards", within(5.0), || {
            (answers(0) > 0).then_some(())
        });
        daemon.stop();
    }
}

/// ARP-7, ND-5: the macvlan of an IPv6 router speaks in the name of its addresses alone, so that
/// the LAN learns where its groups are from a Master, and nothing from who has yielded.
#[test]
fn an_ipv6_macvlan_speaks_for_its_addresses_alone() {
    let scene = Scene::new("an_ipv6_macvlan_speaks_for_its_addresses_alone");
    let lan = scene.lan.capture();
    let virtual_mac = Mac::virtual_v6(VRID);
    let text = |priority, interval| {
        let vips = ["fe80::7:7", "2001:db8::7:7"];
        let one = Vrouter::new(VRID, &vips).macvlan().preemption(true);
        config(&[one.priority(priority).interval(interval)])
    };
    let start = Stamp::now();
    let daemon = scene.start(&scene.r1, &text(100, 0.1));
    daemon.wait_state(NAME6, State::Master, within(10.0));
    // Hop-by-hop header (0) with the router alert, then ICMPv6: MLDv2 report.
    let report = |frame: &Frame| {
        frame.port == "r1"
            && frame.source() == virtual_mac
            && frame.bytes.get(12..14) == Some(&[0x86, 0xdd])
            && frame.bytes.get(20) == Some(&0)
    };
    let first = lan.wait_since(start, "an MLD report of the Master", within(5.0), report);
    let source = first.bytes.get(22..38).expect("a source address");
    let local: std::net::Ipv6Addr = "fe80::7:7".parse().expect("an address");
    assert_eq!(source, local.octets(), "{first:?}");

    let second = scene.start(&scene.r2, &text(200, 1.0));
    second.wait_state(NAME6, State::Master, within(10.0));
    daemon.wait_state(NAME6, State::Backup, within(10.0));
    until("its addresses are gone", within(5.0), || {
        scene
            .r1
            .carriers_of(IpAddr::V6(local))
            .is_empty()
            .then_some(())
    });
    // Somebody who uses the macvlan of a Backup.
    let yielded = Stamp::now();
    let mut ping = scene.r1.command("ping");
    ping.args(["-6", "-c", "3", "-i", "0.1", "-W", "1", "-I"]);
    ping.args(["standby7", "ff02::1"]);
    drop(ping.output());
    let sent = |frame: &&Frame| frame.port == "r1" && frame.source() == virtual_mac;
    let frames = lan.frames_since(yielded);
    let spoken: Vec<&Frame> = frames.iter().filter(sent).collect();
    assert!(spoken.is_empty(), "{spoken:#?}");
    daemon.stop();
    second.stop();
}
