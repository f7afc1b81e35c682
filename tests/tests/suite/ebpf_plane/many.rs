//! Ten thousand virtual addresses.
//!
//! Modes: ebpf.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::{Arp, Frame, Mac, Nd};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::{Lab, Lan};
use rvrrpd_tests::mode::lacks_ebpf;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::sys::Stamp;

use super::said;

const LANS: u8 = 4;
/// Virtual routers of each family on each LAN.
const ROUTERS: u8 = 125;
/// Virtual addresses of each.
const ADDRESSES: u8 = 10;
/// Questions that are asked at once.
const BATCH: usize = 100;
/// How often a question is asked at most.
const ATTEMPTS: usize = 5;

/// The virtual addresses of a virtual router; one of IPv6 begins with a link-local one.
fn addresses(is_v6: bool, lan: u8, vrid: u8) -> Vec<IpAddr> {
    let group = |number: u8| u16::from(number);
    (0..ADDRESSES)
        .map(|number| match (is_v6, number) {
            (false, _) => Ipv4Addr::new(10, lan, 100 + number, vrid).into(),
            (true, 0) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, group(lan), group(vrid)).into(),
            (true, _) => {
                let network = group(lan) + 1;
                Ipv6Addr::new(0x2001, 0xdb8, network, group(number), 0, 0, 0, group(vrid)).into()
            }
        })
        .collect()
}

/// Every virtual router: its family, LAN and VRID.
fn each() -> impl Iterator<Item = (bool, u8, u8)> {
    let lans = [false, true].into_iter();
    let lans = lans.flat_map(|is_v6| (0..LANS).map(move |lan| (is_v6, lan)));
    lans.flat_map(|(is_v6, lan)| {
        // The log tells routers apart by interface and VRID.
        let first = 1 + ROUTERS * u8::from(is_v6);
        (first..first + ROUTERS).map(move |vrid| (is_v6, lan, vrid))
    })
}

fn routers(priority: u8) -> String {
    let vrouters: Vec<Vrouter> = each()
        .map(|(is_v6, lan, vrid)| {
            let addresses = addresses(is_v6, lan, vrid);
            let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Vrouter::new(vrid, &texts)
                .text("interface", &format!("eth{lan}"))
                .iftype("ebpf")
                .key("accept_mode", false)
                .interval(1.0)
                .preemption(true)
                .priority(priority)
        })
        .collect();
    config(&vrouters)
}

/// Whose answer to a question a frame is, and what it says.
fn answer(frame: &Frame) -> Option<(IpAddr, Mac)> {
    let address = match (frame.arp(), frame.nd()) {
        (Some(arp), _) => arp.sender.into(),
        (_, Some(nd)) => nd.target.into(),
        _ => return None,
    };
    let mac = said(frame, address).filter(|_| frame.port != "client")?;
    Some((address, mac))
}

/// Waits until all are in `state`.
fn wait_all(daemon: &Rvrrpd, state: State) {
    let wanted = state.to_string();
    until(&format!("all are {state}"), within(30.0), || {
        let states: HashMap<String, String> = daemon
            .changes()
            .into_iter()
            .map(|change| (change.name, change.to))
            .collect();
        let there = states.values().filter(|state| **state == wanted);
        (there.count() == each().count()).then_some(())
    });
}

/// Who is asked, and by which MAC he has to be known.
fn questions(client: &Host, lan: u8) -> Vec<(IpAddr, Mac, Vec<u8>)> {
    let interface = format!("eth{lan}");
    let (mac, v4) = (client.mac(&interface), client.address(&interface));
    let v6 = client.link_local(&interface);
    let mine = each().filter(|(_, of, _)| *of == lan);
    mine.flat_map(|(is_v6, _, vrid)| {
        let theirs = Mac([0, 0, 0x5e, 0, 1 + u8::from(is_v6), vrid]);
        let asked = addresses(is_v6, lan, vrid).into_iter();
        asked.map(move |address| {
            let question = match address {
                IpAddr::V4(address) => Arp::request(mac, v4, address),
                IpAddr::V6(address) => Nd::solicitation(mac, v6, address),
            };
            (address, theirs, question)
        })
    })
    .collect()
}

/// 10 000 virtual addresses of 1000 virtual routers on four interfaces: whoever asks for one gets one
/// answer, from the Master, with the virtual MAC of its virtual router (ARP-1, ND-1).
#[test]
fn each_of_ten_thousand_addresses_is_answered_once() {
    let test = "each_of_ten_thousand_addresses_is_answered_once";
    if lacks_ebpf(test) {
        return;
    }
    let lab = Lab::with_limit(test, Duration::from_secs(120));
    let lans: Vec<Lan> = (0..LANS).map(|lan| lab.lan(&format!("lan{lan}"))).collect();
    let [first, second, client] = ["r1", "r2", "client"].map(|name| lab.host(name));
    for (number, lan) in (0..LANS).zip(&lans) {
        for (host, last) in [(&first, 1), (&second, 2), (&client, 9)] {
            let address = format!("10.{number}.0.{last}/16");
            lab.attach(lan, host, &format!("eth{number}"), &[&address]);
        }
    }
    let master = Rvrrpd::start(&lab, &first, &routers(200));
    wait_all(&master, State::Master);
    let backup = Rvrrpd::start(&lab, &second, &routers(100));
    wait_all(&backup, State::Backup);
    for (number, lan) in (0..LANS).zip(&lans) {
        lab.step(&format!("lan{number}"));
        let all = questions(&client, number);
        let macs: HashMap<IpAddr, Mac> = all.iter().map(|(of, mac, _)| (*of, *mac)).collect();
        let injector = client.injector(&format!("eth{number}"));
        let mut unanswered = all;
        // What a busy machine loses is asked again, as hosts do.
        for _ in 0..ATTEMPTS {
            let capture = lan.capture();
            let start = Stamp::now();
            for batch in unanswered.chunks(BATCH) {
                let asked = Stamp::now();
                for (_, _, question) in batch {
                    injector.send(question);
                }
                let quiet = Duration::from_millis(20);
                capture.until_quiet(asked, quiet, within(10.0), |frame| answer(frame).is_some());
            }
            let quiet = Duration::from_millis(300);
            let answers =
                capture.until_quiet(start, quiet, within(10.0), |frame| answer(frame).is_some());
            let mut found: HashMap<IpAddr, Vec<(String, Mac)>> = HashMap::new();
            for frame in &answers {
                let (address, mac) = answer(frame).expect("chosen by it");
                let answered = found.entry(address).or_default();
                answered.push((frame.port.clone(), mac));
            }
            for (address, answered) in &found {
                assert_eq!(*answered, [("r1".to_owned(), macs[address])], "{address}");
            }
            unanswered.retain(|(address, ..)| !found.contains_key(address));
        }
        let missing: Vec<IpAddr> = unanswered.iter().map(|(address, ..)| *address).collect();
        assert!(missing.is_empty(), "lan{number}: nobody has {missing:?}");
    }
    master.stop();
    backup.stop();
}
