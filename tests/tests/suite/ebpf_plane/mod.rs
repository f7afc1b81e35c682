//! `iftype = "ebpf"`: a virtual MAC without an interface.
//!
//! Modes: ebpf.

mod choice;
mod conflict;
mod life;
mod many;
mod netns;
mod reload;
mod serving;
mod traces;

use std::net::{IpAddr, Ipv6Addr};

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::Family;
use rvrrpd_tests::frame::{Arp, Frame, Mac, Nd};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::Scene;
use rvrrpd_tests::sys::Stamp;

/// The usual virtual router of a family.
fn router(family: Family, accept: bool) -> Vrouter {
    family.vrouter().iftype("ebpf").key("accept_mode", accept)
}

/// r1 is Master, r2 Backup.
fn pair(scene: &Scene, vrouter: &Vrouter, name: &str) -> (Rvrrpd, Rvrrpd) {
    let of = |priority| config(&[vrouter.clone().priority(priority).preemption(true)]);
    let first = scene.start(&scene.r1, &of(200));
    first.wait_state(name, State::Master, within(10.0));
    let second = scene.start(&scene.r2, &of(100));
    second.wait_state(name, State::Backup, within(10.0));
    (first, second)
}

/// Asks once who has `address`, from `eth0` of `client`: who answers, and with which MAC.
fn who_has(lan: &Capture, client: &Host, address: IpAddr) -> Vec<(String, Mac)> {
    let injector = client.injector("eth0");
    let start = Stamp::now();
    let mac = client.mac("eth0");
    match address {
        IpAddr::V4(address) => {
            injector.send(&Arp::request(mac, client.address("eth0"), address));
        }
        IpAddr::V6(address) => {
            injector.send(&Nd::solicitation(mac, client.link_local("eth0"), address));
        }
    }
    let said = |frame: &Frame| said(frame, address);
    lan.answers(start, |frame| said(frame).is_some())
        .into_iter()
        .filter_map(|frame| Some((frame.port.clone(), said(&frame)?)))
        .collect()
}

/// The MAC that an answer (no announcement) gives for `address`.
fn said(frame: &Frame, address: IpAddr) -> Option<Mac> {
    match address {
        IpAddr::V4(address) => {
            let arp = frame.arp().filter(|arp| arp.answers(address))?;
            Some(arp.sender_mac)
        }
        IpAddr::V6(address) => {
            let nd = frame.nd().filter(|nd| nd.kind == 136 && nd.solicited)?;
            (nd.target == address).then_some(nd.link_layer).flatten()
        }
    }
}

/// Exactly this host answers for the virtual address, once, with the virtual MAC; none: nobody. Who
/// has just become Master may still be at it.
#[track_caller]
fn answers(lan: &Capture, scene: &Scene, family: Family, host: Option<&Host>) {
    let expected: Vec<_> = host
        .map(|host| (host.name().to_owned(), family.vmac()))
        .into_iter()
        .collect();
    until("the answer is as it should be", within(5.0), || {
        (who_has(lan, &scene.client, family.vip()) == expected).then_some(())
    });
    for _ in 0..2 {
        let answers = who_has(lan, &scene.client, family.vip());
        assert_eq!(answers, expected, "{family}");
    }
}

/// The MAC that host names as its own for an address is never its physical one.
#[track_caller]
fn never_physical(lan: &Capture, start: Stamp, host: &Host, vips: &[IpAddr]) {
    let own = host.mac("eth0");
    let bad: Vec<Frame> = lan
        .frames_since(start)
        .into_iter()
        .filter(|frame| frame.port == host.name())
        .filter(|frame| {
            let arp = frame
                .arp()
                .is_some_and(|arp| arp.sender_mac == own && vips.contains(&IpAddr::V4(arp.sender)));
            let nd = frame.nd().is_some_and(|nd| {
                let named = if nd.kind == 136 {
                    nd.target.into()
                } else {
                    nd.source
                };
                nd.link_layer == Some(own) && vips.contains(&named)
            });
            arp || nd
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Pings `target` from `host` through its own routes; how many of three come back.
fn pings(host: &Host, target: IpAddr) -> usize {
    let mut command = host.command("ping");
    command.args(["-n", "-c", "3", "-i", "0.1", "-W", "1"]);
    if matches!(target, IpAddr::V6(address) if Ipv6Addr::is_unicast_link_local(&address)) {
        command.arg(format!("{target}%eth0"));
    } else {
        command.arg(target.to_string());
    }
    let output = command.output().expect("ping");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter(|line| line.contains("bytes from"))
        .count()
}
