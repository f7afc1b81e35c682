//! Static routes: of one virtual router and of all.

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT, VRID};
use rvrrpd_tests::snapshot::snapshot;

in_modes! {
    // Ether: two virtual MACs on one interface.
    routes_follow_the_master: macvlan, ebpf;
    a_removed_route_and_address_come_back: macvlan, ether, ebpf;
}

/// Whether `host` has a route to `destination` whose text holds all of `parts`.
fn has(host: &Host, destination: &str, parts: &[&str]) -> bool {
    host.routes()
        .iter()
        .any(|route| route.starts_with(destination) && parts.iter().all(|p| route.contains(p)))
}

fn wait_for(host: &Host, destination: &str, parts: &[&str], there: bool) {
    until(
        &format!("route {destination} {parts:?}: {there}"),
        within(5.0),
        || (has(host, destination, parts) == there).then_some(()),
    );
}

/// contract §2.3, §2.2 `routes`: they are there while Master, with metric, MTU and table, and gone
/// with it; the global ones come with the first Master and go with the last.
fn routes_follow_the_master(mode: Mode) {
    let scene = Scene::with_upstream("routes_follow_the_master");
    let before = snapshot(&scene.r2);
    let own = "[{ route = \"192.168.1.0/24\", nh = \"10.1.0.50\", metric = 77, mtu = 1400 }, \
               { route = \"192.168.2.0\", mask = \"255.255.255.0\", nh = \"10.1.0.50\", table = 100 }]";
    let text = format!(
        "{}[protocols]\n[[protocols.static]]\nroute = \"172.16.0.0\"\nmask = \"255.240.0.0\"\n\
         nh = \"10.1.0.50\"\nmetric = 5\n",
        config(&[
            Vrouter::new(VRID, &[VIP_TEXT])
                .mode(mode)
                .key("routes", own),
            Vrouter::new(8, &["10.0.0.108"]).mode(mode),
        ])
    );
    let daemon = scene.start(&scene.r2, &text);
    daemon.wait_state(NAME, State::Master, within(10.0));
    wait_for(
        &scene.r2,
        "192.168.1.0/24",
        &["via 10.1.0.50", "metric 77", "mtu 1400"],
        true,
    );
    wait_for(
        &scene.r2,
        "192.168.2.0/24",
        &["via 10.1.0.50", "table 100"],
        true,
    );
    wait_for(
        &scene.r2,
        "172.16.0.0/12",
        &["via 10.1.0.50", "metric 5"],
        true,
    );
    daemon.wait_state("eth0-8", State::Master, within(10.0));
    scene.lab.step("one router yields");
    scene.inject(scene.ghost(200, 4095));
    daemon.wait_state(NAME, State::Backup, within(10.0));
    wait_for(&scene.r2, "192.168.1.0/24", &[], false);
    wait_for(&scene.r2, "192.168.2.0/24", &[], false);
    assert!(
        has(&scene.r2, "172.16.0.0/12", &[]),
        "another router is still Master"
    );
    scene.lab.step("the other yields");
    let other = rvrrpd_tests::frame::AdvertSpec {
        vrid: 8,
        addresses: vec!["10.0.0.108".parse().unwrap()],
        ..scene.ghost(200, 4095)
    };
    scene.inject(other);
    daemon.wait_state("eth0-8", State::Backup, within(10.0));
    wait_for(&scene.r2, "172.16.0.0/12", &[], false);
    daemon.stop();
    before.assert_same(&snapshot(&scene.r2), "after the stop");
}

/// A route of ours that somebody removes while we are Master comes back.
fn a_removed_route_and_address_come_back(mode: Mode) {
    let scene = Scene::with_upstream("a_removed_route_and_address_come_back");
    let routes = "[{ route = \"192.168.1.0/24\", nh = \"10.1.0.50\" }]";
    let vrouter = Vrouter::new(VRID, &[VIP_TEXT])
        .mode(mode)
        .key("routes", routes);
    let daemon = scene.start(&scene.r2, &config(&[vrouter]));
    daemon.wait_state(NAME, State::Master, within(10.0));
    wait_for(&scene.r2, "192.168.1.0/24", &[], true);
    scene.r2.ip("route del 192.168.1.0/24");
    wait_for(&scene.r2, "192.168.1.0/24", &["via 10.1.0.50"], true);
    let vip = VIP_TEXT.parse().unwrap();
    until("the VIP", within(5.0), || {
        (scene.r2.carriers_of(vip) == mode.carriers("eth0", VRID)).then_some(())
    });
    let carrier = scene.r2.carriers_of(vip);
    // On ether it has the prefix of the interface.
    let prefix = if mode == Mode::Ether { 24 } else { 32 };
    scene.r2.ip(&format!(
        "address del {VIP_TEXT}/{prefix} dev {}",
        carrier[0]
    ));
    until("the VIP is back", within(5.0), || {
        (scene.r2.carriers_of(vip) == carrier).then_some(())
    });
    assert_eq!(daemon.state(NAME), Some(State::Master));
    daemon.stop();
}
