//! Virtual MACs without an interface in other network namespaces than the daemon's own.
//!
//! Modes: ebpf.

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::mode::lacks_ebpf;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::Scene;
use rvrrpd_tests::snapshot::snapshot;

use super::{answers, router, who_has};

fn inside(scene: &Scene, family: Family, host: &rvrrpd_tests::host::Host) -> (Vrouter, String) {
    let _ = scene;
    let vrouter = router(family, false).inside(host);
    (vrouter, format!("{}-{}", host.netns(), family.name()))
}

/// The same interface index, VRID and address in two namespaces and in that of the daemon: each has
/// a program of its own, and what happens in one is nothing to the others. One that goes takes all
/// along, and comes back.
#[test]
fn namespaces_have_their_own() {
    if lacks_ebpf("namespaces_have_their_own") {
        return;
    }
    for family in FAMILIES {
        let scene = Scene::new("namespaces_have_their_own");
        scene.lab.step(&family.to_string());
        let lan = scene.lan.capture();
        let home = scene.lab.lan("home");
        let one = scene.lab.host_on(&home, "one", &["10.0.0.1/24"]);
        let asker = scene.lab.host_on(&home, "asker", &["10.0.0.50/24"]);
        let home_lan = home.capture();
        let before = [&scene.r1, &scene.r2, &one].map(snapshot);
        let (first, first_name) = inside(&scene, *family, &scene.r1);
        let (second, second_name) = inside(&scene, *family, &scene.r2);
        let of = |first_priority| {
            config(&[
                first.clone().priority(first_priority).preemption(true),
                second.clone().priority(100).preemption(true),
                router(*family, true),
            ])
        };
        let daemon = scene.start(&one, &of(200));
        daemon.wait_state(&first_name, State::Master, within(10.0));
        daemon.wait_state(&second_name, State::Backup, within(10.0));
        daemon.wait_state(family.name(), State::Master, within(10.0));
        answers(&lan, &scene, *family, Some(&scene.r1));
        let at_home = || who_has(&home_lan, &asker, family.vip());
        assert_eq!(at_home(), [("one".to_owned(), family.vmac())]);
        daemon.reload(&of(50));
        daemon.wait_state(&second_name, State::Master, within(10.0));
        daemon.wait_state(&first_name, State::Backup, within(10.0));
        answers(&lan, &scene, *family, Some(&scene.r2));
        assert_eq!(at_home(), [("one".to_owned(), family.vmac())]);
        // One goes, the others go on.
        let mark = daemon.log().mark();
        scene.lab.delete(&scene.r2);
        daemon.wait_change(mark, &first_name, State::Master, within(10.0));
        answers(&lan, &scene, *family, Some(&scene.r1));
        scene.lab.make_again(&scene.r2);
        scene
            .lab
            .attach(&scene.lan, &scene.r2, "eth0", &["10.0.0.2/24"]);
        daemon.wait_state(&second_name, State::Master, within(15.0));
        until("one answer", within(8.0), || {
            let answers = who_has(&lan, &scene.client, family.vip());
            (answers == [("r2".to_owned(), family.vmac())]).then_some(())
        });
        daemon.stop();
        before[0].assert_same(&snapshot(&scene.r1), "r1");
        before[2].assert_same(&snapshot(&one), "the daemon's own");
        answers(&lan, &scene, *family, None);
    }
}

/// A namespace whose routers were on macvlans gets one that is not: both serve.
#[test]
fn beside_a_macvlan() {
    if lacks_ebpf("beside_a_macvlan") {
        return;
    }
    let scene = Scene::new("beside_a_macvlan");
    let lan = scene.lan.capture();
    let one = scene.lab.host("one");
    let before = snapshot(&scene.r1);
    let macvlan = Vrouter::new(9, &["10.0.0.109"]).macvlan().inside(&scene.r1);
    let (vrouter, name) = inside(&scene, Family::V4, &scene.r1);
    let macvlan_name = format!("{}-eth0-9", scene.r1.netns());
    let daemon = scene.start(&one, &config(std::slice::from_ref(&macvlan)));
    daemon.wait_state(&macvlan_name, State::Master, within(10.0));
    daemon.reload(&config(&[macvlan.clone(), vrouter]));
    daemon.wait_state(&name, State::Master, within(10.0));
    let has = |address: &str| who_has(&lan, &scene.client, address.parse().unwrap());
    answers(&lan, &scene, Family::V4, Some(&scene.r1));
    let of_macvlan = rvrrpd_tests::frame::Mac::virtual_v4(9);
    assert_eq!(has("10.0.0.109"), [("r1".to_owned(), of_macvlan)]);
    daemon.reload(&config(&[macvlan]));
    until("nobody answers", within(8.0), || {
        has("10.0.0.100").is_empty().then_some(())
    });
    assert_eq!(has("10.0.0.109"), [("r1".to_owned(), of_macvlan)]);
    daemon.stop();
    before.assert_same(&snapshot(&scene.r1), "after the stop");
}
