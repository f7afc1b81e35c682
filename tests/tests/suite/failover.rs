//! What the LAN and its clients see when the Master goes.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{slowness, within};
use rvrrpd_tests::frame::{Frame, Mac};
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::probe::{Pinger, longest_outage, lost};
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{
    NAME, SERVER, Scene, VIP, VIP_TEXT, VMAC, VRID, advert_from, converge, down_interval, masters,
    skew,
};
use rvrrpd_tests::standstill;
use rvrrpd_tests::sys::Stamp;

in_modes! {
    power_off: macvlan, ether, ebpf, ebpf_no_accept;
    sigkill: macvlan, ether, ebpf, ebpf_no_accept;
    sigterm: macvlan, ether, ebpf, ebpf_no_accept;
    version_2: macvlan, ether, ebpf;
    carrier_loss: macvlan, ether, ebpf;
    a_frozen_process: macvlan, ether, ebpf;
}

const INTERVAL: Duration = Duration::from_millis(100);

/// How much later than the protocol demands something may have happened since `start` on a busy
/// machine.
fn margin(start: Stamp) -> Duration {
    Duration::from_millis(400).mul_f64(slowness()) + standstill::between(start, Stamp::now())
}

fn router(mode: Mode, priority: u8) -> String {
    let vips = [VIP_TEXT, "10.0.0.101", "10.0.0.102"];
    config(&[Vrouter::new(VRID, &vips)
        .mode(mode)
        .priority(priority)
        .preemption(true)])
}

fn vips() -> [Ipv4Addr; 3] {
    [
        VIP,
        Ipv4Addr::new(10, 0, 0, 101),
        Ipv4Addr::new(10, 0, 0, 102),
    ]
}

/// Starts r1 as Master and r2 as Backup.
fn pair(scene: &Scene, lan: &Capture, text: impl Fn(u8) -> String) -> (Rvrrpd, Rvrrpd) {
    let first = scene.start(&scene.r1, &text(200));
    first.wait_state(NAME, State::Master, within(10.0));
    let second = scene.start(&scene.r2, &text(100));
    second.wait_state(NAME, State::Backup, within(10.0));
    converge(
        lan,
        &[(VRID, &scene.r1)],
        Duration::from_millis(300),
        within(5.0),
    );
    (first, second)
}

/// Asserts that r2's first frames from `start` on are an advert and then one ARP per virtual
/// address: a request from and for the address, everywhere with the virtual MAC (FSM-B-6, ARP-3).
fn assert_announcement(lan: &Capture, start: Stamp) {
    let ours = |frame: &Frame| {
        frame.port == "r2"
            && (frame.is_advert_of(VRID) || frame.arp().is_some_and(|arp| arp.sender == arp.target))
    };
    let mut announced = Vec::new();
    let frames = lan.wait_count(start, 4, "an advert and three ARPs", within(5.0), ours);
    let (advert, arps) = frames.split_first().expect("four frames");
    assert!(
        advert.advert().is_some(),
        "the advert comes first: {frames:#?}"
    );
    // Regular adverts may stand between the ARPs of a slow machine.
    let more = lan.wait_count(start, 3, "three ARPs", within(5.0), |f| {
        ours(f) && f.arp().is_some()
    });
    for frame in &more {
        let arp = frame.arp().expect("ARP");
        assert_eq!(arp.operation, 1, "{frame:?}");
        assert_eq!(
            (frame.source(), frame.destination()),
            (VMAC, Mac::BROADCAST),
            "{frame:?}"
        );
        assert_eq!((arp.sender_mac, arp.target_mac), (VMAC, VMAC), "{frame:?}");
        announced.push(arp.sender);
    }
    announced.sort();
    assert_eq!(announced, vips(), "one ARP per virtual address: {arps:#?}");
}

/// Last advert of r1.
fn last_of_first(lan: &Capture) -> Frame {
    lan.frames()
        .into_iter()
        .rfind(advert_from_r1)
        .expect("an advert of r1")
}

fn advert_from_r1(frame: &Frame) -> bool {
    frame.port == "r1" && frame.is_advert_of(VRID)
}

/// V3-TM-2, FSM-B-6, ARP-3, FWD-2: the Master's machine dies: takeover not before the down
/// interval, the client loses no more than that, and its neighbour entry never changes.
fn power_off(mode: Mode) {
    let scene = Scene::with_upstream("power_off");
    let lan = scene.lan.capture();
    let (mut first, second) = pair(&scene, &lan, |priority| router(mode, priority));
    let pinger = Pinger::start(&scene.client, SERVER, Duration::from_millis(10));
    pinger.wait_answer(Stamp::default(), within(5.0));
    assert_eq!(scene.client.neighbour(IpAddr::V4(VIP)), Some(VMAC));
    scene.lab.step("power off");
    let off = Stamp::now();
    scene.lan.cut(&scene.r1);
    let cut = Stamp::now();
    let last = lan
        .frames()
        .into_iter()
        .rfind(|f| advert_from_r1(f) && f.stamp < off)
        .expect("advert");
    first.sigkill();
    let takeover = lan.wait_since(off, "takeover", within(5.0), advert_from(&scene.r2, VRID));
    let gap = takeover.stamp.since(last.stamp);
    let least = down_interval(100, INTERVAL);
    assert!(
        gap >= least,
        "took over {gap:?} after the last advert, {least:?} is the least"
    );
    // An advert may just have passed before the cut took effect.
    let most = least + cut.since(last.stamp) + margin(last.stamp);
    assert!(
        gap <= most,
        "took over {gap:?} after the last advert, {most:?} would be slow"
    );
    assert_announcement(&lan, off);
    second.wait_state(NAME, State::Master, within(10.0));
    pinger.wait_answer(takeover.stamp, within(5.0));
    let echoes = pinger.stop();
    let outage = longest_outage(&echoes);
    assert!(
        outage <= gap + margin(off),
        "{outage:?} without answer, takeover after {gap:?}"
    );
    println!(
        "takeover {gap:?}, outage {outage:?}, lost {:?}",
        lost(&echoes).len()
    );
    assert_eq!(scene.client.neighbour(IpAddr::V4(VIP)), Some(VMAC));
}

/// V3-TM-2: SIGKILL of the Master alone. Its kernel goes on forwarding, so that a client may lose
/// nothing; who is Master is decided as ever.
fn sigkill(mode: Mode) {
    let scene = Scene::with_upstream("sigkill");
    let lan = scene.lan.capture();
    let (mut first, second) = pair(&scene, &lan, |priority| router(mode, priority));
    let pinger = Pinger::start(&scene.client, SERVER, Duration::from_millis(10));
    pinger.wait_answer(Stamp::default(), within(5.0));
    let killed = Stamp::now();
    first.sigkill();
    let takeover = lan.wait_since(
        killed,
        "takeover",
        within(5.0),
        advert_from(&scene.r2, VRID),
    );
    let gap = takeover.stamp.since(last_of_first(&lan).stamp);
    let least = down_interval(100, INTERVAL);
    assert!(
        gap >= least,
        "took over {gap:?} after the last advert, {least:?} is the least"
    );
    assert!(
        gap <= least + margin(killed),
        "took over {gap:?} after the last advert"
    );
    assert_announcement(&lan, killed);
    second.wait_state(NAME, State::Master, within(10.0));
    pinger.wait_answer(takeover.stamp, within(5.0));
    let outage = longest_outage(&pinger.stop());
    assert!(
        outage <= gap + margin(killed),
        "{outage:?} without answer, takeover after {gap:?}"
    );
    assert_eq!(scene.client.neighbour(IpAddr::V4(VIP)), Some(VMAC));
}

/// FSM-A-6, FSM-B-7: SIGTERM: one priority 0, takeover after the skew time, exit code 0.
fn sigterm(mode: Mode) {
    let scene = Scene::with_upstream("sigterm");
    let lan = scene.lan.capture();
    let (first, second) = pair(&scene, &lan, |priority| router(mode, priority));
    let pinger = Pinger::start(&scene.client, SERVER, Duration::from_millis(10));
    pinger.wait_answer(Stamp::default(), within(5.0));
    let start = Stamp::now();
    first.stop();
    let resigns = |frame: &Frame| {
        let priority = frame.advert().map(|advert| advert.priority);
        frame.port == "r1" && priority == Some(0)
    };
    lan.wait_since(start, "priority 0", within(5.0), resigns);
    let resigned: Vec<_> = lan
        .adverts_since(start, VRID)
        .into_iter()
        .filter(|(frame, _)| resigns(frame))
        .collect();
    assert_eq!(resigned.len(), 1, "{resigned:#?}");
    assert_eq!(
        last_of_first(&lan),
        resigned[0].0,
        "nothing comes after priority 0"
    );
    let takeover = lan.wait_since(start, "takeover", within(5.0), advert_from(&scene.r2, VRID));
    let gap = takeover.stamp.since(resigned[0].0.stamp);
    let least = skew(100, INTERVAL);
    assert!(
        gap >= least,
        "took over {gap:?} after priority 0, {least:?} is the least"
    );
    assert!(
        gap <= least + margin(start),
        "took over {gap:?} after priority 0"
    );
    assert_announcement(&lan, start);
    second.wait_state(NAME, State::Master, within(10.0));
    pinger.wait_answer(takeover.stamp, within(5.0));
    let outage = longest_outage(&pinger.stop());
    assert!(
        outage <= gap + margin(start),
        "{outage:?} without answer, takeover after {gap:?}"
    );
    assert_eq!(scene.client.neighbour(IpAddr::V4(VIP)), Some(VMAC));
    assert_eq!(scene.r1.carriers_of(IpAddr::V4(VIP)), Vec::<String>::new());
}

/// V2-TM-1, V2-TM-2, FSM-B-7: the same with version 2 and whole seconds.
fn version_2(mode: Mode) {
    let scene = Scene::new("version_2");
    let lan = scene.lan.capture();
    let text = |priority| {
        config(&[Vrouter::new(VRID, &[VIP_TEXT])
            .v2()
            .mode(mode)
            .priority(priority)
            .preemption(true)])
    };
    let (first, mut second) = pair_of_v2(&scene, text);
    let second_interval = Duration::from_secs(1);
    let start = Stamp::now();
    first.stop();
    let resigned = lan.wait_since(start, "priority 0", within(2.0), |frame| {
        frame.advert().is_some_and(|advert| advert.priority == 0)
    });
    let takeover = lan.wait_since(start, "takeover", within(5.0), advert_from(&scene.r2, VRID));
    let gap = takeover.stamp.since(resigned.stamp);
    assert!(
        gap >= skew(100, second_interval),
        "took over {gap:?} after priority 0"
    );
    assert!(
        gap <= skew(100, second_interval) + margin(start),
        "took over {gap:?} after priority 0"
    );
    let first = scene.start(&scene.r1, &text(200));
    first.wait_state(NAME, State::Master, within(10.0));
    second.sigkill();
    converge(
        &lan,
        &[(VRID, &scene.r1)],
        Duration::from_millis(2500),
        within(10.0),
    );
}

/// Starts r1 as Master and r2 as Backup, both of version 2.
fn pair_of_v2(scene: &Scene, text: impl Fn(u8) -> String) -> (Rvrrpd, Rvrrpd) {
    let first = scene.start(&scene.r1, &text(200));
    first.wait_state(NAME, State::Master, within(10.0));
    let second = scene.start(&scene.r2, &text(100));
    second.wait_state(NAME, State::Backup, within(10.0));
    (first, second)
}

/// FSM-I-4, FSM-A-6: without carrier a router is in Init; with it again it takes part again.
fn carrier_loss(mode: Mode) {
    let scene = Scene::new("carrier_loss");
    let lan = scene.lan.capture();
    let (first, second) = pair(&scene, &lan, |priority| router(mode, priority));
    scene.lan.carrier(&scene.r1, false);
    first.wait_state(NAME, State::Init, within(10.0));
    second.wait_state(NAME, State::Master, within(10.0));
    scene.lan.carrier(&scene.r1, true);
    first.wait_state(NAME, State::Master, within(10.0));
    second.wait_state(NAME, State::Backup, within(10.0));
    converge(
        &lan,
        &[(VRID, &scene.r1)],
        Duration::from_millis(500),
        within(5.0),
    );
    first.stop();
    second.stop();
}

/// V3-TM-7: a Backup that was stopped does not believe its stale timer; a Master that was stopped
/// too long finds one Master afterwards.
fn a_frozen_process(mode: Mode) {
    let scene = Scene::new("a_frozen_process");
    let lan = scene.lan.capture();
    let (mut first, mut second) = pair(&scene, &lan, |priority| router(mode, priority));
    scene.lab.step("freeze the Backup");
    let start = Stamp::now();
    second.process().signal(libc::SIGSTOP);
    lan.wait_count(start, 12, "adverts", within(5.0), advert_from_r1);
    let thawed = Stamp::now();
    second.process().signal(libc::SIGCONT);
    lan.wait_count(thawed, 10, "adverts", within(5.0), advert_from_r1);
    assert_eq!(
        masters(&lan, VRID, Stamp::now().since(start)).len(),
        1,
        "no false takeover"
    );
    scene.lab.step("freeze the Master");
    first.process().signal(libc::SIGSTOP);
    second.wait_state(NAME, State::Master, within(10.0));
    let burst = Stamp::now();
    first.process().signal(libc::SIGCONT);
    converge(
        &lan,
        &[(VRID, &scene.r1)],
        Duration::from_millis(500),
        within(5.0),
    );
    let soon = |frame: &Frame| {
        advert_from_r1(frame) && frame.stamp.since(burst) < Duration::from_millis(50)
    };
    let sent = lan.frames_since(burst).into_iter().filter(soon).count();
    assert!(sent <= 3, "{sent} adverts at once after a pause");
}
