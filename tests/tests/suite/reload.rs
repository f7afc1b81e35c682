//! Reload: SIGHUP makes of any running configuration any other one, exactly as a fresh start of
//! it, and routers that both have in common do not notice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{slowness, until, within};
use rvrrpd_tests::frame::{AdvertSpec, Mac};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::inject::Injector;
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::random::Random;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP, VIP_TEXT, VRID, advert_from, converge};
use rvrrpd_tests::snapshot::{Snapshot, snapshot};
use rvrrpd_tests::standstill;
use rvrrpd_tests::sys::Stamp;

in_modes! {
    // Ether: two virtual MACs on one interface.
    any_configuration_becomes_any_other: macvlan, ebpf;
    a_change_in_place: macvlan, ether, ebpf, ebpf_no_accept;
    a_bad_file_changes_nothing: macvlan, ether, ebpf;
    // Ether: two virtual MACs on one interface.
    a_router_is_removed_and_added: macvlan, ebpf;
}

/// VRIDs that a peer of priority 254 holds in Backup.
const HELD: [u8; 3] = [1, 2, 3];
/// VRIDs that are used on each of the two interfaces.
const VRIDS: u8 = 8;
/// The longest advertisement interval that is used.
const LONGEST: Duration = Duration::from_millis(200);
/// When a Master announces its addresses again.
const REPEATS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Pairs unless the environment variable `RVRRPD_RELOAD_PAIRS` says otherwise.
const PAIRS: u64 = 100;
/// The same where it is not macvlans that are made and removed.
const FEWER_PAIRS: u64 = 10;
/// Pairs that run beside each other.
const LANES: usize = 3;

/// A random valid configuration: its routers and its global static routes.
#[derive(Clone, Debug)]
struct Configuration {
    vrouters: Vec<Vrouter>,
    globals: BTreeSet<u64>,
}

impl Configuration {
    /// One that has some of the routers of `before`, and nothing to do with the others.
    fn new(mode: Mode, random: &mut Random, before: &[Vrouter]) -> Self {
        let mut vrouters = Vec::new();
        for interface in 0..2 {
            for vrid in 1..=VRIDS {
                let place = (format!("eth{interface}"), vrid);
                let same = before.iter().find(|vrouter| key(vrouter) == place);
                if let Some(same) = same.filter(|_| random.below(3) == 0) {
                    vrouters.push(same.clone());
                } else if random.below(5) < 3 {
                    vrouters.push(vrouter(mode, random, interface, vrid));
                }
            }
        }
        // The order of the file means nothing.
        if random.coin() {
            vrouters.reverse();
        }
        let globals = (0..random.below(3)).map(|_| random.below(4)).collect();
        Self { vrouters, globals }
    }

    fn text(&self) -> String {
        let mut text = config(&self.vrouters);
        for number in &self.globals {
            text.push_str(&format!(
                "[[protocols.static]]\nroute = \"172.16.{number}.0/24\"\nnh = \"10.0.0.250\"\n\
                 metric = {}\n",
                number + 1
            ));
        }
        text
    }

    /// (interface, VRID) of every router.
    fn keys(&self) -> BTreeSet<(String, u8)> {
        self.vrouters.iter().map(key).collect()
    }
}

fn key(vrouter: &Vrouter) -> (String, u8) {
    (
        vrouter
            .value("interface")
            .unwrap_or_default()
            .trim_matches('"')
            .to_owned(),
        vrouter.group(),
    )
}

/// A random virtual router of `vrid` on `eth<interface>`.
fn vrouter(mode: Mode, random: &mut Random, interface: u8, vrid: u8) -> Vrouter {
    let pool: Vec<String> = (1..=4)
        .map(|k| format!("10.{interface}.{vrid}.{k}"))
        .collect();
    let first = random.below(4) as usize;
    let count = 1 + random.below(4) as usize;
    let vips: Vec<&str> = (0..count).map(|k| pool[(first + k) % 4].as_str()).collect();
    let mut vrouter = Vrouter::new(vrid, &vips)
        .mode(mode)
        .text("interface", &format!("eth{interface}"))
        .priority(1 + random.below(253) as u8)
        .preemption(random.coin())
        .interval(if random.coin() { 0.1 } else { 0.2 });
    if random.coin() {
        vrouter = vrouter.key("accept_mode", random.coin());
    }
    let letter = if random.below(3) == 0 { 'x' } else { 'r' };
    if mode == Mode::Macvlan {
        vrouter = vrouter.text("vifname", &format!("v{letter}{interface}.{vrid}"));
    }
    let routes: Vec<String> = (0..random.below(3))
        .map(|k| {
            format!(
                "{{ route = \"192.168.{}.{}/28\", nh = \"10.{interface}.0.250\", metric = {} }}",
                u64::from(interface) * 100 + u64::from(vrid),
                k * 16,
                random.below(3) * 10
            )
        })
        .collect();
    if !routes.is_empty() {
        vrouter = vrouter.key("routes", format!("[{}]", routes.join(", ")));
    }
    vrouter
}

/// One of two equal routers on two LANs of its own, with peers that exist only in frames.
struct Side {
    host: Host,
    captures: [Capture; 2],
    peers: [(Injector, Mac); 2],
}

impl Side {
    fn new(lab: &Lab, name: &str) -> Self {
        let lans = [lab.lan(&format!("{name}-0")), lab.lan(&format!("{name}-1"))];
        let host = lab.host(name);
        let mut peers = Vec::new();
        for (number, lan) in lans.iter().enumerate() {
            let interface = format!("eth{number}");
            lab.attach(lan, &host, &interface, &[]);
            // The same on both sides, so that the kernels can be compared.
            host.ip(&format!(
                "link set {interface} address 02:00:00:00:00:0{number}"
            ));
            host.ip(&format!("address add 10.{number}.0.1/16 dev {interface}"));
            let peer = format!("{name}-peer{number}");
            let peer = lab.host_on(lan, &peer, &[&format!("10.{number}.0.2/16")]);
            peers.push((peer.injector("eth0"), peer.mac("eth0")));
            // Link-local addresses come from the MAC that the interface had first.
            host.sysctl(&format!("ipv6/conf/{interface}/disable_ipv6"), "1");
        }
        let captures = [lans[0].capture(), lans[1].capture()];
        Self {
            host,
            captures,
            peers: peers.try_into().unwrap_or_else(|_| panic!("two peers")),
        }
    }

    /// Makes the routers of [`HELD`] Backup for a long time, whatever their interval.
    fn hold(&self) {
        for (number, (injector, mac)) in self.peers.iter().enumerate() {
            let source = Ipv4Addr::new(10, number as u8, 0, 2);
            for vrid in HELD {
                let spec = AdvertSpec::v3(vrid, 254, 4095, source, &[source]);
                injector.send(
                    &AdvertSpec {
                        mac: Some(*mac),
                        ..spec
                    }
                    .frame(),
                );
            }
        }
    }

    /// What the router has advertised since `start`: the fields by interface and VRID.
    fn adverts(&self, start: Stamp) -> BTreeMap<(String, u8), BTreeSet<String>> {
        let mut found = BTreeMap::<_, BTreeSet<String>>::new();
        for (number, capture) in self.captures.iter().enumerate() {
            for frame in capture.frames_since(start) {
                let Some(advert) = frame.advert().filter(|_| frame.port == self.host.name()) else {
                    continue;
                };
                found
                    .entry((format!("eth{number}"), advert.vrid))
                    .or_default()
                    .insert(advert.fields());
            }
        }
        found
    }

    /// What was advertised within the last two of the longest intervals.
    fn recent(&self) -> BTreeMap<(String, u8), BTreeSet<String>> {
        self.adverts(Stamp(Stamp::now().0.saturating_sub(LONGEST * 9 / 4)))
    }

    /// The kernel's state without what differs between two equal hosts.
    fn kernel(&self) -> Snapshot {
        // A busy kernel may leave a macvlan's operstate at UNKNOWN; its flags tell what counts.
        snapshot(&self.host).without(&["ifindex", "link_index", "link_netnsid", "operstate"])
    }
}

/// Starts a configuration, makes another of it by SIGHUP, and compares with a fresh start of that.
fn check_pair(mode: Mode, lab: &Lab, sides: &[Side; 2], seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let a = Configuration::new(mode, &mut random, &[]);
    let b = Configuration::new(mode, &mut random, &a.vrouters);
    lab.step(&format!("seed {seed}"));
    let [reloaded, fresh] = sides;
    let before = [snapshot(&reloaded.host), snapshot(&fresh.host)];
    let began = Stamp::now();
    let old = Rvrrpd::start(lab, &reloaded.host, &a.text());
    let new = Rvrrpd::start(lab, &fresh.host, &b.text());
    for (daemon, configuration, side) in [(&old, &a, reloaded), (&new, &b, fresh)] {
        wait_started(daemon, configuration, side);
    }
    let hup = Stamp::now();
    old.reload(&b.text());
    let since = wait_equal(&old, &b, sides, seed)?;
    check_undisturbed((&a, &b), reloaded, began, hup, since)?;
    old.stop();
    new.stop();
    for (side, before) in sides.iter().zip(before) {
        let diff = before.diff(&snapshot(&side.host));
        if !diff.is_empty() {
            return Err(format!("{} after the stop:\n{diff}", side.host.name()));
        }
    }
    Ok(())
}

/// Waits until every router has its state: held ones Backup, the others Master.
fn wait_started(daemon: &Rvrrpd, configuration: &Configuration, side: &Side) {
    let names: Vec<(String, bool)> = configuration
        .keys()
        .into_iter()
        .map(|(interface, vrid)| (format!("{interface}-{vrid}"), HELD.contains(&vrid)))
        .collect();
    until("every router is Backup", within(8.0), || {
        names
            .iter()
            .all(|(name, _)| daemon.state(name).is_some())
            .then_some(())
    });
    side.hold();
    until("the others are Master", within(8.0), || {
        side.hold();
        names
            .iter()
            .all(|(name, held)| {
                daemon.state(name) == Some(if *held { State::Backup } else { State::Master })
            })
            .then_some(())
    });
}

/// Waits until adverts and kernel of both sides are the same; returns when that was seen.
fn wait_equal(
    daemon: &Rvrrpd,
    b: &Configuration,
    sides: &[Side; 2],
    seed: u64,
) -> Result<Stamp, String> {
    let [reloaded, fresh] = sides;
    let expected: BTreeSet<(String, u8)> = b
        .keys()
        .into_iter()
        .filter(|(_, vrid)| !HELD.contains(vrid))
        .collect();
    let deadline = within(8.0);
    loop {
        // Held routers that the reload made anew have heard nobody yet.
        reloaded.hold();
        let (left, right) = (reloaded.recent(), fresh.recent());
        let keys: BTreeSet<_> = left.keys().cloned().collect();
        if left == right && keys == expected {
            let diff = fresh.kernel().diff(&reloaded.kernel());
            if diff.is_empty() {
                return Ok(Stamp::now());
            }
            if deadline.passed() {
                return Err(format!(
                    "seed {seed}: kernel (- fresh, + reloaded):\n{diff}"
                ));
            }
        } else if deadline.passed() {
            return Err(format!(
                "seed {seed}: adverts after the reload\n{left:#?}\nof a fresh start\n{right:#?}\n\
                 expected from {expected:?}\nlast log lines {:#?}",
                daemon
                    .log()
                    .texts_after(daemon.log().mark().saturating_sub(10))
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Routers that are the same in both configurations sent no priority 0, announced nothing anew since
/// the first was started at `began`, and no Backup would have taken over from them.
fn check_undisturbed(
    (a, b): (&Configuration, &Configuration),
    side: &Side,
    began: Stamp,
    hup: Stamp,
    end: Stamp,
) -> Result<(), String> {
    for vrouter in a
        .vrouters
        .iter()
        .filter(|vrouter| b.vrouters.contains(vrouter))
    {
        let (interface, vrid) = key(vrouter);
        if HELD.contains(&vrid) {
            continue;
        }
        let capture = &side.captures[usize::from(interface == "eth1")];
        // From one interval before the reload on, so that the gap across it is seen.
        let start = Stamp(hup.0.saturating_sub(LONGEST * 2));
        let mut last: Option<Stamp> = None;
        for (frame, advert) in capture.adverts_since(start, vrid) {
            if frame.port != side.host.name() || frame.stamp > end {
                continue;
            }
            if advert.priority == 0 {
                return Err(format!("{interface} {vrid} is unchanged and resigned"));
            }
            let gap = last.map_or(Duration::ZERO, |last| frame.stamp.since(last));
            let late = last.map(|last| standstill::between(last, frame.stamp));
            if gap > 3 * advert.interval.mul_f64(slowness()) + late.unwrap_or_default() {
                return Err(format!(
                    "{interface} {vrid} is unchanged and paused for {gap:?}"
                ));
            }
            last = Some(frame.stamp);
        }
        let ours = |mac| mac == Mac::virtual_v4(vrid);
        let mut announced: BTreeMap<Ipv4Addr, Vec<Stamp>> = BTreeMap::new();
        for (frame, arp) in capture.arps_since(began) {
            if frame.port == side.host.name() && ours(arp.sender_mac) {
                announced.entry(arp.sender).or_default().push(frame.stamp);
            }
        }
        for (address, stamps) in announced {
            for (place, stamp) in stamps.iter().enumerate() {
                let age = stamp.since(stamps[0]);
                let due = REPEATS.iter().filter(|repeat| age >= **repeat).count();
                if place > due {
                    let times = place + 1;
                    return Err(format!(
                        "{interface} {vrid} is unchanged and announced {address} {times} times \
                         within {age:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// 100 random pairs of configurations (`RVRRPD_RELOAD_PAIRS`, `RVRRPD_RELOAD_SEED`): after SIGHUP
/// the kernel and the adverts are those of a fresh start, common routers are undisturbed, and a
/// stop leaves nothing.
fn any_configuration_becomes_any_other(mode: Mode) {
    let variable = |name: &str, default| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let default = match mode {
        Mode::Macvlan => PAIRS,
        _ => FEWER_PAIRS,
    };
    let (pairs, seed) = (
        variable("RVRRPD_RELOAD_PAIRS", default),
        variable("RVRRPD_RELOAD_SEED", 1),
    );
    let limit = Duration::from_secs(60 + 6 * pairs);
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let lab = Lab::with_limit("any_configuration_becomes_any_other", limit);
                let sides = [Side::new(&lab, "reloaded"), Side::new(&lab, "fresh")];
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= pairs || failures.lock().unwrap().len() >= 3 {
                        return;
                    }
                    if let Err(error) = check_pair(mode, &lab, &sides, seed + number) {
                        failures
                            .lock()
                            .unwrap()
                            .push(format!("seed {}: {error}", seed + number));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    println!("{pairs} pairs in {:?}", began.elapsed());
}

/// TX-9: a changed priority, list of addresses or interval shows in the next adverts and in what
/// the router publishes, without a resignation, and only addresses that are new are announced.
fn a_change_in_place(mode: Mode) {
    let scene = Scene::new("a_change_in_place");
    let lan = scene.lan.capture();
    let first = Vrouter::new(VRID, &[VIP_TEXT]).mode(mode);
    let daemon = scene.start(&scene.r1, &config(std::slice::from_ref(&first)));
    daemon.wait_state(NAME, State::Master, within(10.0));
    converge(
        &lan,
        &[(VRID, &scene.r1)],
        Duration::from_millis(300),
        within(5.0),
    );
    let added = Vrouter::new(VRID, &[VIP_TEXT, "10.0.0.101"]).mode(mode);
    let changes = [
        ("priority", first.clone().priority(150), 150, 1, 100, "34"),
        ("addresses", added.clone().priority(150), 150, 2, 100, "34"),
        (
            "interval",
            added.priority(150).interval(0.2),
            150,
            2,
            200,
            "68",
        ),
        ("back", first, 100, 1, 100, "36"),
    ];
    for (what, vrouter, priority, count, interval, down) in changes {
        scene.lab.step(what);
        let start = Stamp::now();
        daemon.reload(&config(&[vrouter]));
        lan.wait_since(
            start,
            &format!("an advert with the new {what}"),
            within(5.0),
            |frame| {
                frame.advert().is_some_and(|a| {
                    a.vrid == VRID
                        && a.priority == priority
                        && a.count == count
                        && a.interval == Duration::from_millis(interval)
                })
            },
        );
        until("the down interval, in centiseconds", within(5.0), || {
            (daemon.status(NAME)["master-down-interval"] == down).then_some(())
        });
        let wanted = if count == 2 {
            mode.carriers("eth0", VRID)
        } else {
            vec![]
        };
        until("the second address", within(5.0), || {
            (scene.r1.carriers_of("10.0.0.101".parse().unwrap()) == wanted).then_some(())
        });
        let resigned = lan
            .adverts_since(start, VRID)
            .into_iter()
            .filter(|(_, a)| a.priority == 0)
            .count();
        assert_eq!(resigned, 0, "{what}: resigned");
        assert_eq!(daemon.state(NAME), Some(State::Master), "{what}");
        until("the first address", within(5.0), || {
            let carriers = scene.r1.carriers_of(VIP.into());
            (carriers == mode.carriers("eth0", VRID)).then_some(())
        });
    }
    daemon.stop();
}

/// A file with an error changes nothing on SIGHUP; the log tells file, line and key, and the
/// daemon goes on; the next good file is taken.
fn a_bad_file_changes_nothing(mode: Mode) {
    let scene = Scene::new("a_bad_file_changes_nothing");
    let lan = scene.lan.capture();
    let good = config(&[Vrouter::new(VRID, &[VIP_TEXT]).mode(mode)]);
    let mut daemon = scene.start(&scene.r1, &good);
    daemon.wait_state(NAME, State::Master, within(10.0));
    until("the VIP", within(5.0), || {
        (!scene.r1.carriers_of(VIP.into()).is_empty()).then_some(())
    });
    // The kernel tells the operational state of a new link some time later.
    let kernel = || snapshot(&scene.r1).without(&["operstate"]);
    let before = kernel();
    let path = daemon.files().config.display().to_string();
    let bad = [
        config(&[Vrouter::new(VRID, &[VIP_TEXT])
            .mode(mode)
            .key("priority", 300)]),
        config(&[Vrouter::new(8, &["10.0.0.108"]).mode(mode)]) + "nonsense",
        "[[vrouter]]\n".to_owned(),
    ];
    for text in bad {
        let (mark, start) = (daemon.log().mark(), Stamp::now());
        daemon.reload(&text);
        daemon
            .log()
            .wait_after(mark, "the error with its place", within(5.0), |line| {
                line.text.contains(&format!("{path}:")).then_some(())
            });
        lan.wait_count(
            start,
            5,
            "adverts go on",
            within(5.0),
            advert_from(&scene.r1, VRID),
        );
        assert!(daemon.runs());
        assert_eq!(daemon.state(NAME), Some(State::Master));
        let told: BTreeSet<String> = lan
            .adverts_since(start, VRID)
            .into_iter()
            .map(|(_, a)| a.fields())
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        before.assert_same(&kernel(), "after a bad file");
    }
    daemon.reload(&config(&[Vrouter::new(VRID, &[VIP_TEXT])
        .mode(mode)
        .priority(150)]));
    lan.wait_since(Stamp::now(), "the new priority", within(5.0), |frame| {
        frame.advert().is_some_and(|advert| advert.priority == 150)
    });
    daemon.stop();
}

/// A router that a reload removes resigns and takes everything with it; one that it adds runs.
fn a_router_is_removed_and_added(mode: Mode) {
    let scene = Scene::new("a_router_is_removed_and_added");
    let lan = scene.lan.capture();
    let usual = Vrouter::new(VRID, &[VIP_TEXT]).mode(mode);
    let other = Vrouter::new(8, &["10.0.0.108"]).mode(mode);
    let daemon = scene.start(&scene.r1, &config(std::slice::from_ref(&usual)));
    daemon.wait_state(NAME, State::Master, within(10.0));
    until("the VIP", within(5.0), || {
        (!scene.r1.carriers_of(VIP.into()).is_empty()).then_some(())
    });
    let alone = snapshot(&scene.r1).without(&["ifindex", "operstate", "promiscuity"]);
    daemon.reload(&config(&[usual.clone(), other]));
    daemon.wait_state("eth0-8", State::Master, within(10.0));
    let start = Stamp::now();
    daemon.reload(&config(&[usual]));
    lan.wait_since(
        start,
        "priority 0 of the removed one",
        within(5.0),
        |frame| {
            frame
                .advert()
                .is_some_and(|advert| advert.vrid == 8 && advert.priority == 0)
        },
    );
    until("the kernel is as before", within(5.0), || {
        let now = snapshot(&scene.r1).without(&["ifindex", "operstate", "promiscuity"]);
        alone.diff(&now).is_empty().then_some(())
    });
    let resigned = lan
        .adverts_since(start, VRID)
        .into_iter()
        .filter(|(_, a)| a.priority == 0)
        .count();
    assert_eq!(resigned, 0, "the one that stays");
    daemon.stop();
}
