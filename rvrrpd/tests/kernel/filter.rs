//! What the socket filter drops, and that it counts it.

use rvrrpd::net::filter::Channel;
use rvrrpd::net::kernel::Demands;
use rvrrpd::wire::advert::ChecksumForm;
use rvrrpd::wire::{Family, Version, Versions};
use rvrrpd_ebpf::Dropped;

use crate::lab::inside;
use crate::load;
use crate::wire::{Advert, IP, Wire, admit, message_at, sum_header, vrid, with_length, with_ttl};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const COPIES: usize = 20;

/// V2-RX-1 to V2-RX-6; V3-RX-1 to V3-RX-7.
#[test]
fn each_reason_is_counted_and_one_packet_a_second_is_shown() {
    let test = "filter::each_reason_is_counted_and_one_packet_a_second_is_shown";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        for family in FAMILIES {
            let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), &kernel.filter);
            let good = Advert::new(family, 10).frame();
            let other = Advert::new(family, 11).frame();
            let nobody = wire.outcome(&[&good, &other], || kernel.filter.foreign());
            assert_eq!(nobody, (0, 2), "{family:?}");

            for (reason, bad) in [
                (Dropped::Ttl, with_ttl(family, good.clone(), 254)),
                (Dropped::Version, with_first(family, &good, 0x41)),
                (Dropped::Version, with_first(family, &good, 0xf1)),
                (Dropped::Type, {
                    let version = good[message_at(family)] & 0xf0;
                    with_first(family, &good, version | 2)
                }),
                (Dropped::Truncated, {
                    let message = i16::try_from(good.len() - message_at(family)).unwrap();
                    with_length(family, good.clone(), 6 - message)
                }),
                (Dropped::CountZero, with_count(family, &good, 0)),
                (Dropped::Length, with_count(family, &good, 1)),
                (Dropped::Length, with_count(family, &good, 3)),
                (Dropped::Length, with_length(family, good.clone(), 8)),
                (Dropped::Length, with_length(family, good.clone(), -8)),
                (Dropped::Checksum, with_last_bit(&good)),
            ] {
                // A slot of its own for each, so that its first packet is shown.
                let slot = admit(&kernel.filter, wire.socket, family, 10);
                let count = || slot.dropped()[reason as usize];
                let (shown, counted) = wire.outcome(&[&bad; COPIES], count);
                assert!(shown >= 1, "{family:?} {reason:?}");
                assert!(counted > COPIES / 2, "{family:?} {reason:?}: {counted}");
                let all: u64 = slot.dropped().iter().sum();
                assert_eq!(all, count(), "{family:?} {reason:?}");
                assert_eq!(wire.outcome(&[&good], count), (1, 0));
            }
            let foreign = wire.outcome(&[&other, &good], || kernel.filter.foreign());
            assert_eq!(foreign, (1, 1), "{family:?}");
        }
    });
}

fn with_first(family: Family, frame: &[u8], first: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[message_at(family)] = first;
    frame
}

fn with_count(family: Family, frame: &[u8], count: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[message_at(family) + 3] = count;
    frame
}

fn with_last_bit(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let end = frame.len() - 1;
    frame[end] ^= 1;
    frame
}

/// V3-CK-1, V2-RX-5, V3-RX-6: a checksum that user space would take passes, and so does what the filter
/// does not sum up.
#[test]
fn what_has_a_right_checksum_passes_and_what_is_not_summed_up() {
    let test = "filter::what_has_a_right_checksum_passes_and_what_is_not_summed_up";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        for (family, version, forms) in [
            (Family::V4, Version::V2, vec![ChecksumForm::Message]),
            (
                Family::V4,
                Version::V3,
                vec![ChecksumForm::Message, ChecksumForm::PseudoHeader],
            ),
            (Family::V6, Version::V3, vec![ChecksumForm::PseudoHeader]),
        ] {
            let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), &kernel.filter);
            let slot = kernel.filter.slots().take().unwrap();
            let demands = Demands {
                least_ttl: 255,
                versions: Versions::Both,
            };
            let key = (wire.socket, vrid(10));
            kernel.filter.admit(key, demands, slot).unwrap();
            let dropped = || {
                let slot = kernel.filter.slots().slot(slot).unwrap();
                slot.dropped()[Dropped::Checksum as usize]
            };
            let mut advert = Advert::new(family, 10);
            advert.version = version;
            let address = advert.addresses[1];
            for count in [1, 2, 3, 14, 15, 16, 60, 61, 62, 255] {
                advert.addresses = vec![address; count];
                let (each, extra) = match (family, version) {
                    (Family::V4, Version::V2) => (4, 16),
                    (Family::V4, Version::V3) => (4, 8),
                    (Family::V6, _) => (16, 8),
                };
                // Nobody sends fragments.
                if count * each > 1400 {
                    continue;
                }
                let is_summed_up = count * each + extra <= 256;
                for form in &forms {
                    advert.checksum_form = *form;
                    let right = advert.frame();
                    let outcome = wire.outcome(&[&right; COPIES], dropped);
                    assert_eq!(outcome, (COPIES, 0), "{version:?} {form:?} {count}");
                    let wrong = with_last_bit(&right);
                    let (_, counted) = wire.outcome(&[&wrong; COPIES], dropped);
                    assert_eq!(counted > COPIES / 2, is_summed_up, "{version:?} {count}");
                    // Over IPv6 a trailer is covered, and left to user space all the same.
                    let trailer = with_length(family, wrong, 28);
                    let outcome = wire.outcome(&[&trailer; COPIES], dropped);
                    assert_eq!(outcome, (COPIES, 0), "{version:?} {count}");
                }
            }
        }
    });
}

/// V2-RX-2, MIX-1: each virtual router has its versions.
#[test]
fn both_versions_pass_where_both_are_spoken() {
    let test = "filter::both_versions_pass_where_both_are_spoken";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        let mut wire = Wire::new(lab, "w", Channel::Vrrp(Family::V4), &kernel.filter);
        let v2 = Advert::new(Family::V4, 10).frame();
        let mut v3 = Advert::new(Family::V4, 10);
        v3.version = Version::V3;
        let v3 = v3.frame();
        let slot = kernel.filter.slots().take().unwrap();
        let key = (wire.socket, vrid(10));
        for (versions, expected) in [
            (Versions::Both, [true, true]),
            (Versions::V2, [true, false]),
            (Versions::V3, [false, true]),
        ] {
            let demands = Demands {
                least_ttl: 255,
                versions,
            };
            kernel.filter.admit(key, demands, slot).unwrap();
            let dropped = || kernel.filter.slots().slot(slot).unwrap().dropped()[1];
            for (frame, passes) in [&v2, &v3].into_iter().zip(expected) {
                let (_, counted) = wire.outcome(&[frame; COPIES], dropped);
                assert_eq!(counted == 0, passes, "{versions:?}");
            }
        }
    });
}

/// V2-RX-1: unicast peers behind routers may have a lower TTL, each virtual router its own.
#[test]
fn the_least_ttl_is_that_of_the_virtual_router() {
    let test = "filter::the_least_ttl_is_that_of_the_virtual_router";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        for family in FAMILIES {
            let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), &kernel.filter);
            let slot = kernel.filter.slots().take().unwrap();
            let demands = Demands {
                least_ttl: 200,
                ..crate::wire::demands(family)
            };
            let key = (wire.socket, vrid(10));
            kernel.filter.admit(key, demands, slot).unwrap();
            let dropped = || kernel.filter.slots().slot(slot).unwrap().dropped()[0];
            let frame = Advert::new(family, 10).frame();
            let near = with_ttl(family, frame.clone(), 200);
            let outcome = wire.outcome(&[&near; COPIES], dropped);
            assert_eq!(outcome, (COPIES, 0), "{family:?}");
            let far = with_ttl(family, frame, 199);
            let (_, counted) = wire.outcome(&[&far; COPIES], dropped);
            assert!(counted > COPIES / 2, "{family:?}");
        }
    });
}

#[test]
fn the_set_changes_while_packets_come_and_is_that_of_the_interface() {
    let test = "filter::the_set_changes_while_packets_come_and_is_that_of_the_interface";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        let filter = &kernel.filter;
        for family in FAMILIES {
            let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), filter);
            let mut other = Wire::new(lab, "x", Channel::Vrrp(family), filter);
            let frames = [7, 200, 255].map(|vrid| Advert::new(family, vrid).frame());
            let passing = |on: &mut Wire| {
                let each = frames.iter();
                let each = each.map(|frame| on.outcome(&[frame], || filter.foreign()).0 == 1);
                each.collect::<Vec<_>>()
            };
            admit(filter, wire.socket, family, 7);
            admit(filter, wire.socket, family, 200);
            assert_eq!(passing(&mut wire), [true, true, false], "{family:?}");
            admit(filter, wire.socket, family, 255);
            filter.refuse((wire.socket, vrid(7)));
            assert_eq!(passing(&mut wire), [false, true, true], "{family:?}");
            assert_eq!(passing(&mut other), [false; 3], "{family:?}");
            admit(filter, other.socket, family, 7);
            assert_eq!(passing(&mut other), [true, false, false], "{family:?}");
            filter.refuse((wire.socket, vrid(9)));
            assert_eq!(passing(&mut wire), [false, true, true], "{family:?}");
            for (socket, number) in [(wire.socket, 200), (wire.socket, 255), (other.socket, 7)] {
                filter.refuse((socket, vrid(number)));
            }
        }
    });
}

/// IPv4 options move the message; what begins behind them is never kept, but looked at.
#[test]
fn options_are_stepped_over() {
    let test = "filter::options_are_stepped_over";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        let mut wire = Wire::new(lab, "w", Channel::Vrrp(Family::V4), &kernel.filter);
        let plain = Advert::new(Family::V4, 10).frame();
        let slot = admit(&kernel.filter, wire.socket, Family::V4, 10);
        crate::wire::keep(slot, Family::V4, &plain);
        let [known, foreign] = [10, 11].map(|number| with_router_alert(&plain, number));
        let frames = [known, foreign];
        let count = || kernel.filter.foreign() + slot.absorbed();
        assert_eq!(wire.outcome(&frames, count), (1, 1));
        assert_eq!(slot.absorbed(), 0);
        assert_eq!(wire.outcome(&[plain], count), (0, 1));
        assert_eq!(slot.absorbed(), 1);
    });
}

/// RFC 2113.
fn with_router_alert(plain: &[u8], vrid: u8) -> Vec<u8> {
    let mut frame = plain.to_vec();
    frame[IP] = 0x46;
    frame[message_at(Family::V4) + 1] = vrid;
    frame.splice(IP + 20..IP + 20, [0x94, 4, 0, 0]);
    let length = u16::from_be_bytes([frame[IP + 2], frame[IP + 3]]) + 4;
    frame[IP + 2..IP + 4].copy_from_slice(&length.to_be_bytes());
    sum_header(&mut frame);
    frame
}

/// AUTH-RX-6 is for the listener; here only VRRP passes, and of our VRIDs only, never kept.
#[test]
fn behind_authentication_headers_only_ours_passes() {
    let test = "filter::behind_authentication_headers_only_ours_passes";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        let mut wire = Wire::new(lab, "w", Channel::Ah, &kernel.filter);
        let plain = Advert::new(Family::V4, 10).frame();
        let slot = admit(&kernel.filter, wire.socket, Family::V4, 10);
        crate::wire::keep(slot, Family::V4, &plain);
        let ours = protected(&plain, 112, 10);
        assert_eq!(wire.outcome(&[&ours, &ours], || slot.absorbed()), (2, 0));
        let foreign = protected(&plain, 112, 11);
        let count = || kernel.filter.foreign();
        assert_eq!(wire.outcome(&[&foreign], count), (0, 1));
        let other = protected(&plain, 6, 10);
        let count = || kernel.filter.other_protocol();
        assert_eq!(wire.outcome(&[&other], count), (0, 1));
        let far = with_ttl(Family::V4, ours, 254);
        let count = || slot.dropped()[Dropped::Ttl as usize];
        assert!(wire.outcome(&[&far; COPIES], count).1 > COPIES / 2);
    });
}

fn protected(plain: &[u8], protocol: u8, vrid: u8) -> Vec<u8> {
    let mut frame = plain.to_vec();
    frame[message_at(Family::V4) + 1] = vrid;
    let mut header = vec![0; 24];
    header[0] = protocol;
    header[1] = 4;
    frame[IP + 9] = 51;
    frame.splice(IP + 20..IP + 20, header);
    let length = u16::from_be_bytes([frame[IP + 2], frame[IP + 3]]) + 24;
    frame[IP + 2..IP + 4].copy_from_slice(&length.to_be_bytes());
    sum_header(&mut frame);
    frame
}
