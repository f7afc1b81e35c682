//! What is shown of a virtual router: states, reasons, events and counters with the names of
//! RFC 8347 and RFC 6527.

use std::collections::BTreeMap;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::frame::AdvertSpec;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{GHOST, NAME, Scene, VIP_TEXT, VRID};

in_modes! {
    events_and_reasons: macvlan, ether, ebpf;
    the_owner_is_shown: macvlan, ether, ebpf;
    // Ether: two virtual MACs on one interface.
    discontinuity: macvlan, ebpf;
    // Ether changes the MAC of the interface.
    ethernet_only: macvlan, ebpf;
    passwords_are_not_shown: macvlan, ether, ebpf;
}

/// Waits until the line of `name` says all of `wanted`.
#[track_caller]
fn wait(daemon: &Rvrrpd, name: &str, wanted: &[(&str, &str)]) -> BTreeMap<String, String> {
    until(&format!("{name} shows {wanted:?}"), within(8.0), || {
        let status = daemon.status(name);
        let shows = wanted
            .iter()
            .all(|(key, value)| status.get(*key).map(String::as_str) == Some(value));
        shows.then_some(status)
    })
}

/// Y-3, TERM-1, FSM-I-4: each way into a state has its event and its reason; an interface that is
/// down, or without an address, is a reason that is shown by name.
fn events_and_reasons(mode: Mode) {
    for family in FAMILIES {
        let scene = Scene::new("events_and_reasons");
        let name = family.name();
        // Its own interval keeps it Backup for 1.8 s, too, where nobody advertises.
        let vrouter = family
            .vrouter()
            .mode(mode)
            .priority(100)
            .preemption(true)
            .interval(0.5);
        let daemon = scene.start(&scene.r1, &config(std::slice::from_ref(&vrouter)));
        daemon.wait_state(name, State::Backup, within(10.0));
        // 0.5 s between adverts keep the Backup what it is for 1.8 s.
        scene.inject(family.ghost(200, 50));
        let status = wait(
            &daemon,
            name,
            &[
                ("state", "Backup"),
                ("advertisement-rcvd", "1"),
                ("last-adv-source", &family.ghost_address().to_string()),
            ],
        );
        let shown = |key: &str| status[key].as_str();
        assert_eq!(shown("last-event"), "startup", "{family}");
        assert_eq!(shown("new-master-reason"), "not-master", "{family}");
        assert_eq!(
            shown("master-down-interval"),
            "180",
            "{family}: 3·50 + 156/256·50 cs"
        );
        assert_eq!(
            shown("skew-time"),
            "304687",
            "{family}: 156/256·50 cs in µs"
        );
        assert_eq!(shown("master-transitions"), "0", "{family}");
        let up = status["up-datetime"].clone();
        assert!(up.ends_with('Z') && up.contains('T'), "{family}: {up}");

        let silent = [
            ("state", "Master"),
            ("last-event", "master-timeout"),
            ("new-master-reason", "no-response"),
            ("master-transitions", "1"),
        ];
        let status = wait(&daemon, name, &silent);
        assert_eq!(status["up-datetime"], up, "{family}: since Init");

        scene.inject(family.ghost(200, 50));
        let beaten = [
            ("state", "Backup"),
            ("last-event", "higher-priority-backup"),
        ];
        let status = wait(&daemon, name, &beaten);
        assert_eq!(
            status["new-master-reason"], "no-response",
            "{family}: the last one"
        );

        scene.inject(family.ghost(0, 50));
        let resigned = [
            ("state", "Master"),
            ("last-event", "master-timeout"),
            ("new-master-reason", "priority"),
            ("priority-zero-pkts-rcvd", "1"),
        ];
        wait(&daemon, name, &resigned);

        scene.inject(family.ghost(200, 50));
        wait(&daemon, name, &[("state", "Backup")]);
        scene.inject(family.ghost(50, 50));
        let preempted = [
            ("state", "Master"),
            ("last-event", "lower-priority-master"),
            ("new-master-reason", "preempted"),
        ];
        wait(&daemon, name, &preempted);

        scene.r1.ip("link set eth0 down");
        let down = [
            ("state", "Init"),
            ("last-event", "interface-down"),
            ("not-ready", "interface-down"),
            ("up-datetime", "-"),
        ];
        // The kernel takes IPv6 addresses out with the interface, and tells that first.
        if *family == Family::V4 {
            wait(&daemon, name, &down);
        } else {
            wait(&daemon, name, &[("state", "Init"), ("up-datetime", "-")]);
        }
        scene.r1.ip("link set eth0 up");
        let status = wait(&daemon, name, &[("state", "Backup")]);
        let event = status["last-event"].as_str();
        assert!(
            event == "interface-up" || *family == Family::V6 && event == "primary-ip-address",
            "{family}: {event}"
        );

        if *family == Family::V4 {
            scene.r1.ip("address del 10.0.0.1/24 dev eth0");
            let lost = [
                ("state", "Init"),
                ("last-event", "no-primary-ip-address"),
                ("not-ready", "no-primary-address"),
            ];
            wait(&daemon, name, &lost);
            scene.r1.ip("address add 10.0.0.1/24 dev eth0");
            wait(&daemon, name, &[("last-event", "primary-ip-address")]);
        }

        daemon.reload(&config(&[vrouter.clone().key("enabled", false)]));
        let off = [
            ("state", "Init"),
            ("last-event", "shutdown"),
            ("not-ready", "disabled"),
        ];
        wait(&daemon, name, &off);
        let delayed = vrouter.key("preempt_delay", 0.2);
        daemon.reload(&config(&[delayed]));
        wait(
            &daemon,
            name,
            &[("state", "Backup"), ("last-event", "startup")],
        );
        let held = until("the hold time passes", within(5.0), || {
            scene.inject(family.ghost(50, 50));
            let status = daemon.status(name);
            (status["state"] == "Master").then_some(status)
        });
        assert_eq!(held["last-event"], "preempt-hold-timeout", "{family}");
        assert_eq!(held["new-master-reason"], "preempted", "{family}");
        daemon.stop();
    }
}

/// Y-2, Y-3: the owner is shown as such; it follows from the address of the interface.
fn the_owner_is_shown(mode: Mode) {
    let scene = Scene::new("the_owner_is_shown");
    let own = scene.r1.address("eth0").to_string();
    let daemon = scene.start(
        &scene.r1,
        &config(&[Vrouter::new(VRID, &[&own]).mode(mode)]),
    );
    daemon.wait_state(NAME, State::Master, within(10.0));
    let status = wait(&daemon, NAME, &[("state", "Master"), ("is-owner", "true")]);
    assert_eq!(status["last-event"], "owner-preempt");
    assert_eq!(status["new-master-reason"], "priority");
    assert_eq!(status["last-adv-source"], "-");
    daemon.reload(&config(&[Vrouter::new(VRID, &[VIP_TEXT]).mode(mode)]));
    let status = wait(&daemon, NAME, &[("is-owner", "false"), ("priority", "100")]);
    assert_eq!(status["state"], "Master", "it goes on");
}

/// Y-1: counters rise, and the time since when they count stands still, of the daemon and of the
/// virtual router; one that a reload adds has its own.
fn discontinuity(mode: Mode) {
    let scene = Scene::new("discontinuity");
    let vrouter = Family::V4.vrouter().mode(mode);
    let daemon = scene.start(&scene.r1, &config(std::slice::from_ref(&vrouter)));
    daemon.wait_change(0, NAME, State::Backup, within(10.0));
    let time = |name: &str| daemon.status(name)["discontinuity-datetime"].clone();
    let (global, own) = (time("global"), time(NAME));
    daemon.wait_state(NAME, State::Master, within(10.0));
    scene.inject(AdvertSpec {
        ttl: 254,
        ..Family::V4.ghost(200, 10)
    });
    scene.inject(Family::V4.ghost(200, 10));
    wait(
        &daemon,
        NAME,
        &[("refused-ttl", "1"), ("advertisement-rcvd", "1")],
    );
    let more = Vrouter::new(8, &["10.0.0.108"]).mode(mode);
    daemon.reload(&config(&[vrouter, more]));
    // It has no line before.
    daemon.wait_change(0, "eth0-8", State::Backup, within(10.0));
    assert_eq!((time("global"), time(NAME)), (global, own.clone()));
    assert!(time("eth0-8") > own);
    assert_eq!(daemon.status("global")["virtual-routers"], "2");
    assert_eq!(daemon.status("global")["interfaces"], "1");
}

/// LEG-1: a link that is not Ethernet is refused by name; an Ethernet card keeps its own MAC.
fn ethernet_only(mode: Mode) {
    let scene = Scene::new("ethernet_only");
    let mac = scene.r1.mac("eth0");
    scene.r1.ip("address add 10.7.0.1/24 dev lo");
    let vrouters = [
        Family::V4.vrouter().mode(mode),
        Vrouter::new(9, &["10.7.0.9"])
            .mode(mode)
            .text("interface", "lo"),
    ];
    let daemon = scene.start(&scene.r1, &config(&vrouters));
    daemon.wait_change(0, NAME, State::Backup, within(10.0));
    wait(
        &daemon,
        "lo-9",
        &[("state", "Init"), ("not-ready", "not-ethernet")],
    );
    wait(&daemon, NAME, &[("state", "Master")]);
    assert_eq!(scene.r1.mac("eth0"), mac);
    daemon.stop();
}

/// SEC-1: a password is nowhere in the log, at the highest debug level, with the counters, and
/// where a peer uses another one; what was wrong is counted by the names of RFC 2787.
fn passwords_are_not_shown(mode: Mode) {
    let scene = Scene::new("passwords_are_not_shown");
    let vrouter = Family::V4
        .vrouter()
        .mode(mode)
        .v2()
        .text("auth_type", "rfc2338-simple")
        .text("auth_secret", "s3cr3t77");
    let text = format!("debug = 5\n{}", config(&[vrouter]));
    let daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Backup, within(10.0));
    let spec = AdvertSpec {
        auth_type: 1,
        auth_data: *b"0therone",
        ..AdvertSpec::v2(VRID, 200, 1, GHOST, &[[10, 0, 0, 100].into()])
    };
    scene.inject(spec.clone());
    scene.inject(AdvertSpec {
        auth_type: 0,
        auth_data: [0; 8],
        ..spec
    });
    wait(
        &daemon,
        NAME,
        &[("auth-failures", "1"), ("auth-type-mismatch", "1")],
    );
    daemon.reload(&text.replace("debug = 5", "debug = 4"));
    wait(&daemon, NAME, &[("state", "Master")]);
    for line in daemon.log().lines() {
        for secret in ["s3cr3t77", "0therone"] {
            assert!(!line.text.contains(secret), "{}", line.text);
        }
    }
}
