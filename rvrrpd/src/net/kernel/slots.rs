//! The advertisements whose repetitions the filter keeps to itself.
//!
//! A slot is memory that this process and the filter share. Its stamp is everything: 0, and the
//! filter passes all; else the time of the last repetition, which the filter exchanges for a newer
//! one only if it is still the one from before it compared. So whoever takes the stamp away knows
//! that what came later is delivered, and may change the rest of the slot.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use aya::maps::MapData;
use parking_lot::Mutex;
use rvrrpd_ebpf::{Dropped, MESSAGE_WORDS, ROUTERS};

use crate::fsm::Time;
use crate::net::sys::shared::{Words, page_size};

/// Words of a slot, and the places of its fields among them.
const WORDS: usize = size_of::<rvrrpd_ebpf::Slot>() / 8;
const STAMP: usize = offset_of!(rvrrpd_ebpf::Slot, stamp) / 8;
const ABSORBED: usize = offset_of!(rvrrpd_ebpf::Slot, absorbed) / 8;
const LENGTH: usize = offset_of!(rvrrpd_ebpf::Slot, length) / 8;
const ADDRESSES: usize = offset_of!(rvrrpd_ebpf::Slot, addresses) / 8;
const MESSAGE: usize = offset_of!(rvrrpd_ebpf::Slot, message) / 8;
const LAST: usize = offset_of!(rvrrpd_ebpf::Slot, last) / 8;
const DROPPED: usize = offset_of!(rvrrpd_ebpf::Slot, dropped) / 8;
const TOLD: usize = offset_of!(rvrrpd_ebpf::Slot, told) / 8;

/// All slots.
#[derive(Debug)]
pub struct Slots {
    /// Mapped one by one when the first slot in them is taken: what is mapped is resident.
    parts: Box<[OnceLock<Words>]>,
    /// Slots in a part.
    part: usize,
    free: Mutex<Free>,
    map: MapData,
}

#[derive(Debug, Default)]
struct Free {
    returned: Vec<u32>,
    /// The first that was never used.
    next: u32,
}

/// One slot of the array.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a>(&'a [AtomicU64]);

impl Slots {
    pub(super) fn map(map: MapData) -> io::Result<Self> {
        // As many as there are words in a page are whole pages, whatever the size of a slot.
        let part = (page_size() / 8).min(ROUTERS as usize);
        let parts = (ROUTERS as usize).div_ceil(part);
        let slots = Self {
            parts: (0..parts).map(|_| OnceLock::new()).collect(),
            part,
            free: Mutex::default(),
            map,
        };
        slots.map_part(0)?;
        Ok(slots)
    }

    /// A slot that nobody uses; none where all are in use, or where there is no memory for it.
    pub fn take(&self) -> Option<u32> {
        let mut free = self.free.lock();
        if let Some(number) = free.returned.pop() {
            return Some(number);
        }
        let number = Some(free.next).filter(|number| *number < ROUTERS)?;
        self.map_part(number as usize / self.part).ok()?;
        free.next += 1;
        Some(number)
    }

    fn map_part(&self, number: usize) -> io::Result<()> {
        let Some(part) = self.parts.get(number).filter(|part| part.get().is_none()) else {
            return Ok(());
        };
        let first = number * self.part;
        let count = self.part.min(ROUTERS as usize - first);
        let words = Words::map(self.map.fd().as_fd(), first * WORDS, count * WORDS)?;
        // Nobody else maps: the first part is mapped before there is anybody, the others with
        // `free` locked.
        let _alone = part.set(words);
        Ok(())
    }

    /// Gives a slot back, after nobody can use it any more.
    pub fn give_back(&self, number: u32) {
        if let Some(slot) = self.slot(number) {
            slot.end();
            let dropped = Dropped::ALL.map(|reason| DROPPED + reason as usize);
            for at in dropped.into_iter().chain([ABSORBED, TOLD]) {
                slot.word(at).store(0, Ordering::Relaxed);
            }
        }
        self.free.lock().returned.push(number);
    }

    /// A slot by its number.
    #[must_use]
    pub fn slot(&self, number: u32) -> Option<Slot<'_>> {
        let (part, place) = (number as usize / self.part, number as usize % self.part);
        let start = place * WORDS;
        let words = self.parts.get(part)?.get()?.all();
        let words = words.get(start..start + WORDS)?;
        Some(Slot(words))
    }
}

impl Slot<'_> {
    /// Keeps repetitions of this advertisement from now on. It came at `received`. False if it is
    /// too long.
    #[must_use]
    pub fn begin(self, addresses: [IpAddr; 2], message: &[u8], received: Time) -> bool {
        self.end();
        if message.len() > MESSAGE_WORDS * 8 {
            return false;
        }
        match addresses {
            [IpAddr::V4(source), IpAddr::V4(destination)] => {
                let octets = source.octets().into_iter().chain(destination.octets());
                self.write(ADDRESSES, 4, octets);
            }
            [IpAddr::V6(source), IpAddr::V6(destination)] => {
                let octets = source.octets().into_iter().chain(destination.octets());
                self.write(ADDRESSES, 4, octets);
            }
            _ => return false,
        }
        self.write(MESSAGE, MESSAGE_WORDS, message.iter().copied());
        self.word(LENGTH)
            .store(message.len() as u64, Ordering::Relaxed);
        // Never a stamp that the filter may have seen before it compared.
        let last = self.word(LAST).load(Ordering::Relaxed);
        let stamp = (received.as_micros() * 1000).max(last + 1);
        self.word(STAMP).store(stamp, Ordering::SeqCst);
        true
    }

    /// When the last repetition came.
    #[must_use]
    pub fn last(self) -> Time {
        time(self.word(STAMP).load(Ordering::SeqCst))
    }

    /// Keeps nothing more, and says when the last repetition came.
    pub fn end(self) -> Time {
        let stamp = self.word(STAMP).swap(0, Ordering::SeqCst);
        if stamp != 0 {
            self.word(LAST).store(stamp, Ordering::Relaxed);
        }
        time(stamp)
    }

    /// How many were kept since the slot was taken.
    #[must_use]
    pub fn absorbed(self) -> u64 {
        self.word(ABSORBED).load(Ordering::Relaxed)
    }

    /// What was dropped since the slot was taken, in the order of [`Dropped::ALL`].
    #[must_use]
    pub fn dropped(self) -> [u64; Dropped::ALL.len()] {
        Dropped::ALL.map(|reason| {
            let word = self.word(DROPPED + reason as usize);
            word.load(Ordering::Relaxed)
        })
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.0[at]
    }

    /// Writes bytes into `count` words, and zeros behind them.
    fn write(self, at: usize, count: usize, mut bytes: impl Iterator<Item = u8>) {
        for word in &self.0[at..at + count] {
            let value = core::array::from_fn(|_| bytes.next().unwrap_or(0));
            word.store(u64::from_ne_bytes(value), Ordering::Relaxed);
        }
    }
}

/// Nanoseconds in microseconds, not earlier.
const fn time(stamp: u64) -> Time {
    Time::from_micros(stamp.div_ceil(1000))
}
