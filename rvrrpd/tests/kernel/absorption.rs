//! Repetitions of the Master's advertisement stay in the kernel, and nothing else does.

use std::net::IpAddr;
use std::os::fd::AsFd as _;

use rvrrpd::net::filter::Channel;
use rvrrpd::net::sys::{clock, socket};
use rvrrpd::wire::{Family, TTL};
use socket2::SockRef;

use crate::lab::{eventually, inside};
use crate::load;
use crate::wire::{
    Advert, IP, OWN_V4, OWN_V6, Wire, admit, keep, message_at, sum_header, sum_message,
    with_length, with_ttl,
};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[test]
fn repetitions_are_kept_and_everything_else_is_delivered() {
    let test = "absorption::repetitions_are_kept_and_everything_else_is_delivered";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        assert!(kernel.filter.can_absorb());
        for family in FAMILIES {
            let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), &kernel.filter);
            let slot = admit(&kernel.filter, wire.socket, family, 10);
            admit(&kernel.filter, wire.socket, family, 12);
            let absorbed = || slot.absorbed();
            let master = Advert::new(family, 10).frame();
            assert_eq!(wire.outcome(&[&master; 5], absorbed), (5, 0));

            keep(slot, family, &master);
            let begun = slot.last();
            assert_eq!(wire.outcome(&[&master; 5], absorbed), (0, 5));
            assert!(!wire.receiver.is_readable());
            let (last, now) = (slot.last(), clock::monotonic());
            assert!(begun < last && last <= now, "{begun} {last} {now}");

            let different = differences(family);
            for (what, frame) in &different {
                let outcome = wire.outcome(&[frame], absorbed);
                assert_eq!(outcome, (1, 0), "{family:?}: {what}");
                assert_eq!(slot.last(), last, "{family:?}: {what}");
            }
            for (what, frame) in same(family) {
                let outcome = wire.outcome(&[frame], absorbed);
                assert_eq!(outcome, (0, 1), "{family:?}: {what}");
            }

            let last = slot.last();
            assert_eq!(slot.end(), last);
            assert_eq!(wire.outcome(&[&master], absorbed), (1, 0));
            assert_eq!(slot.end().as_micros(), 0);
            // Each of them can be the one that is kept.
            let ours = |(_, frame): &&(_, Vec<u8>)| frame[message_at(family) + 1] == 10;
            for (what, kept) in different.iter().filter(ours) {
                keep(slot, family, kept);
                assert_eq!(wire.outcome(&[&master], absorbed), (1, 0), "{what}");
                for (other, frame) in different.iter().filter(ours) {
                    let expected = if what == other { (0, 1) } else { (1, 0) };
                    let outcome = wire.outcome(&[frame], absorbed);
                    assert_eq!(outcome, expected, "{other} while kept: {what}");
                }
            }
            slot.end();
        }
    });
}

fn differences(family: Family) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |change: &dyn Fn(&mut Advert)| {
        let mut advert = Advert::new(family, 10);
        change(&mut advert);
        advert.frame()
    };
    let (source, address, own): (&str, &str, &str) = match family {
        Family::V4 => ("203.0.113.3", "203.0.113.102", OWN_V4),
        Family::V6 => ("fe80::3", "2001:db8:9::101", OWN_V6),
    };
    let address: IpAddr = address.parse().unwrap();
    let mut all = vec![
        ("priority", changed(&|advert| advert.priority = 101)),
        ("resignation", changed(&|advert| advert.priority = 0)),
        ("interval", changed(&|advert| advert.interval = 2)),
        (
            "another address",
            changed(&|advert| advert.addresses[1] = address),
        ),
        (
            "one address more",
            changed(&|advert| advert.addresses.push(address)),
        ),
        (
            "one address less",
            changed(&|advert| advert.addresses.truncate(1)),
        ),
        (
            "the other order",
            changed(&|advert| advert.addresses.reverse()),
        ),
        (
            "source",
            changed(&|advert| advert.source = source.parse().unwrap()),
        ),
        ("VRID", changed(&|advert| advert.vrid = 12)),
    ];
    let mut unicast = Advert::new(family, 10).frame();
    match own.parse().unwrap() {
        IpAddr::V4(own) => {
            unicast[IP + 16..IP + 20].copy_from_slice(&own.octets());
            sum_header(&mut unicast);
        }
        IpAddr::V6(own) => unicast[IP + 24..IP + 40].copy_from_slice(&own.octets()),
    }
    sum_message(family, &mut unicast);
    unicast[..6].fill(0xff);
    all.push(("destination", unicast));
    let trailer = with_length(family, Advert::new(family, 10).frame(), 28);
    all.push(("as long as with a trailer", trailer));
    let mut longest = changed(&|advert| {
        advert.addresses = vec![address; if advert.family == Family::V4 { 60 } else { 15 }];
    });
    all.push(("the longest that can be kept", longest.clone()));
    let end = longest.len() - 1;
    longest[end] ^= 1;
    sum_message(family, &mut longest);
    all.push(("its last bit", longest));
    all
}

/// What has no meaning for VRRP.
fn same(family: Family) -> Vec<(&'static str, Vec<u8>)> {
    let plain = Advert::new(family, 10).frame();
    let changed = |at: usize| {
        let mut frame = plain.clone();
        frame[IP + at] ^= 1;
        with_ttl(family, frame, TTL)
    };
    let mut padded = plain.clone();
    padded.resize(128, 0xa5);
    let mut all = vec![("padding", padded)];
    match family {
        Family::V4 => all.extend([("type of service", changed(1)), ("id", changed(5))]),
        Family::V6 => all.push(("flow label", changed(3))),
    }
    all
}

#[test]
fn what_is_too_long_or_of_two_families_is_not_kept() {
    let test = "absorption::what_is_too_long_or_of_two_families_is_not_kept";
    inside(test, |_| {
        let Some(kernel) = load(test) else { return };
        let slot = kernel.filter.slots().take().unwrap();
        let slot = kernel.filter.slots().slot(slot).unwrap();
        let [v4, v6]: [IpAddr; 2] = ["192.0.2.1", "fe80::1"].map(|one| one.parse().unwrap());
        let now = clock::monotonic();
        assert!(slot.begin([v4, v4], &[0; 256], now));
        assert!(!slot.begin([v4, v4], &[0; 257], now));
        assert_eq!(slot.last().as_micros(), 0);
        assert!(!slot.begin([v4, v6], &[0; 8], now));
        assert_eq!(slot.last().as_micros(), 0);
    });
}

/// A slot that is given back says nothing of its past to whom it is given next.
#[test]
fn a_slot_is_empty_when_it_is_taken() {
    let test = "absorption::a_slot_is_empty_when_it_is_taken";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        let family = Family::V4;
        let filter = &kernel.filter;
        let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), filter);
        let number = filter.slots().take().unwrap();
        let slot = filter.slots().slot(number).unwrap();
        let key = (wire.socket, crate::wire::vrid(10));
        filter
            .admit(key, crate::wire::demands(family), number)
            .unwrap();
        let master = Advert::new(family, 10).frame();
        keep(slot, family, &master);
        assert_eq!(wire.outcome(&[&master; 3], || slot.absorbed()), (0, 3));
        let far = with_ttl(family, master.clone(), 1);
        wire.outcome(&[&far; 3], || slot.dropped()[0]);
        let mut wrong = master.clone();
        wrong[master.len() - 1] ^= 1;
        let cut = with_length(family, master.clone(), -18);
        for frame in [wrong, cut] {
            wire.outcome(&[&frame; 3], || slot.dropped().iter().sum());
        }

        filter.refuse(key);
        filter.slots().give_back(number);
        assert_eq!(filter.slots().take(), Some(number));
        assert_eq!((slot.absorbed(), slot.dropped()), (0, [0; 7]));
        filter
            .admit(key, crate::wire::demands(family), number)
            .unwrap();
        assert_eq!(wire.outcome(&[&master], || slot.absorbed()), (1, 0));
        let (shown, _) = wire.outcome(&[&far], || slot.dropped()[0]);
        assert_eq!(shown, 1);
    });
}

#[test]
fn all_slots_can_be_taken_and_no_more() {
    let test = "absorption::all_slots_can_be_taken_and_no_more";
    inside(test, |_| {
        let Some(kernel) = load(test) else { return };
        let slots = kernel.filter.slots();
        let mut taken: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(taken.len(), rvrrpd_ebpf::ROUTERS as usize);
        assert!(taken.iter().all(|&number| slots.slot(number).is_some()));
        taken.dedup();
        assert_eq!(taken.len(), rvrrpd_ebpf::ROUTERS as usize);
        assert!(slots.slot(rvrrpd_ebpf::ROUTERS).is_none());
        slots.give_back(5);
        assert_eq!((slots.take(), slots.take()), (Some(5), None));
    });
}

/// The kernel asks for room in the receive buffer before it asks the filter: what finds none is not
/// kept either, and only the counter of the socket tells that the Master is not silent.
#[test]
fn a_full_buffer_shows_in_the_counter_of_the_socket() {
    let test = "absorption::a_full_buffer_shows_in_the_counter_of_the_socket";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        for family in FAMILIES {
            let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), &kernel.filter);
            let receiver = wire.receiver.as_fd();
            SockRef::from(&receiver).set_recv_buffer_size(4096).unwrap();
            let overflows = || socket::overflows(&wire.receiver.as_fd()).unwrap();
            let slot = admit(&kernel.filter, wire.socket, family, 10);
            let master = Advert::new(family, 10).frame();
            keep(slot, family, &master);
            wire.send(&[&master]);
            eventually("a repetition is kept", || slot.absorbed() == 1);
            assert_eq!(overflows(), 0);

            let mut other = Advert::new(family, 10);
            other.priority = 1;
            let other = other.frame();
            eventually("the buffer is full", || {
                wire.send(&[&other]);
                overflows() > 0
            });
            let (last, before) = (slot.last(), overflows());
            wire.send(&[&master]);
            eventually("the counter moves", || overflows() > before);
            assert_eq!((slot.last(), slot.absorbed()), (last, 1), "{family:?}");
            wire.delivered();
            assert_eq!(wire.outcome(&[&master], || slot.absorbed()), (0, 1));
        }
    });
}
