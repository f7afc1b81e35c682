//! Slots are changed while packets come, without locks. Every packet is kept or delivered, once.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::os::fd::AsFd as _;

use rvrrpd::net::filter::Channel;
use rvrrpd::net::sys::socket;
use rvrrpd::wire::Family;

use crate::lab::{eventually, inside};
use crate::load;
use crate::wire::{Advert, Wire, admit, keep, message_at};

const ROUNDS: usize = 300;
const BATCH: usize = 64;

#[test]
fn every_advertisement_is_kept_or_delivered_once() {
    let test = "race::every_advertisement_is_kept_or_delivered_once";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        for family in [Family::V4, Family::V6] {
            let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), &kernel.filter);
            let slot = admit(&kernel.filter, wire.socket, family, 10);
            let [a, b] = [100, 101].map(|priority| {
                let mut advert = Advert::new(family, 10);
                advert.priority = priority;
                advert.frame()
            });
            let frames: Vec<_> = (0..BATCH)
                .map(|n| if n % 3 == 0 { &b } else { &a })
                .collect();
            let (stop, changes) = (AtomicBool::new(false), AtomicU64::new(0));
            let (mut kept, mut delivered) = (0, 0);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let frames = [&a, &b];
                    while !stop.load(Ordering::Relaxed) {
                        let change = changes.fetch_add(1, Ordering::Relaxed);
                        match change % 3 {
                            2 => _ = slot.end(),
                            which => keep(slot, family, frames[usize::from(which == 1)]),
                        }
                        // Some packets meet a slot that stays as it is, some do not.
                        (0..change * 97 % 2000).for_each(|_| core::hint::spin_loop());
                        if change % 3 == 2 {
                            let revived = slot.last();
                            assert_eq!(revived.as_micros(), 0, "kept after the end");
                        }
                    }
                });
                let _ends = Ends(&stop);
                let mut rounds = 0;
                eventually("packets are kept, and packets are delivered", || {
                    let (some, others) = wire.outcome(&frames, || slot.absorbed());
                    delivered += some;
                    kept += others;
                    rounds += 1;
                    let changes = changes.load(Ordering::Relaxed);
                    rounds >= ROUNDS && changes > 1000 && kept > 1000 && delivered > 1000
                });
                assert_eq!(delivered + kept, rounds * BATCH, "{family:?}");
            });
            assert_eq!(socket::overflows(&wire.receiver.as_fd()).unwrap(), 0);
        }
    });
}

/// A packet that is half of the one and half of the other message is neither, also while the one is
/// written over the other.
#[test]
fn a_mixture_of_two_messages_is_never_kept() {
    let test = "race::a_mixture_of_two_messages_is_never_kept";
    inside(test, |lab| {
        let Some(kernel) = load(test) else { return };
        let family = Family::V4;
        let mut wire = Wire::new(lab, "w", Channel::Vrrp(family), &kernel.filter);
        let slot = admit(&kernel.filter, wire.socket, family, 10);
        // In each eight bytes the same two addresses, so that a mixture has a right checksum.
        let [a, b] = [[100_u8, 200], [200, 100]].map(|pair| {
            let mut advert = Advert::new(family, 10);
            let last = pair.into_iter().cycle().take(40);
            advert.addresses = last.map(|last| [203, 0, 113, last].into()).collect();
            advert.frame()
        });
        let start = message_at(family);
        let mixtures: Vec<Vec<u8>> = (1..a.len())
            .filter(|cut| cut % 8 == 0)
            .flat_map(|cut| [(&a, &b, cut), (&b, &a, cut)])
            .map(|(head, tail, cut)| {
                let cut = (start + cut).min(head.len());
                [&head[..cut], &tail[cut..]].concat()
            })
            .filter(|frame| frame[start..] != a[start..] && frame[start..] != b[start..])
            .collect();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    keep(slot, family, &a);
                    keep(slot, family, &b);
                }
            });
            let _ends = Ends(&stop);
            for _ in 0..ROUNDS {
                let outcome = wire.outcome(&mixtures, || slot.absorbed());
                assert_eq!(outcome, (mixtures.len(), 0));
            }
        });
    });
}

/// Lets the other thread end, also when this one panics.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
