//! What the gate lets through, in memory that it shares with this process.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::os::fd::AsFd;

use aya::maps::MapData;
use rvrrpd_ebpf::{GATE_STATES, GATED_INTERFACES, GateState, REFUSED_COUNT};

use crate::net::sys::shared::Words;
use crate::wire::{Family, Vrid};

/// An interface among those that have a gate.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place(pub(super) u32);

impl Place {
    pub(super) const ALL: core::ops::Range<u32> = 0..GATED_INTERFACES;
}

/// The state of every virtual MAC. To open or close one is one store, which the next frame meets;
/// any thread may do it.
#[derive(Debug)]
pub struct States {
    words: Words,
    _map: MapData,
}

impl States {
    pub(super) fn map(map: MapData) -> io::Result<Self> {
        let words = Words::map(map.fd().as_fd(), 0, REFUSED_COUNT as usize + 1)?;
        let states = Self { words, _map: map };
        // The first touch of a page costs a fault, which no takeover shall wait for.
        for word in states.words.all() {
            word.store(0, Ordering::Relaxed);
        }
        Ok(states)
    }

    /// Decides about frames to the virtual MAC of a virtual router.
    pub fn set(&self, place: Place, router: (Family, Vrid), state: GateState) {
        if let Some(word) = self.word(index(place, router)) {
            word.store(state as u64, Ordering::Release);
        }
    }

    /// What is done now with frames to the virtual MAC of a virtual router.
    #[must_use]
    pub fn state(&self, place: Place, router: (Family, Vrid)) -> GateState {
        let word = self.word(index(place, router));
        match word.map(|word| word.load(Ordering::Acquire)) {
            Some(1) => GateState::Closed,
            Some(2) => GateState::Open,
            _ => GateState::Foreign,
        }
    }

    /// Forgets all virtual routers of an interface.
    pub(super) fn clear(&self, place: Place) {
        let start = (place.0 * GATE_STATES) as usize;
        let words = self.words.all().iter();
        for word in words.skip(start).take(GATE_STATES as usize) {
            word.store(GateState::Foreign as u64, Ordering::Release);
        }
    }

    /// Tells the gate how many addresses are refused.
    pub(super) fn set_refused(&self, count: u64) {
        if let Some(word) = self.word(REFUSED_COUNT) {
            word.store(count, Ordering::Release);
        }
    }

    fn word(&self, index: u32) -> Option<&AtomicU64> {
        self.words.all().get(index as usize)
    }
}

/// Where the state of a virtual router is in the map.
pub(super) fn index(place: Place, (family, vrid): (Family, Vrid)) -> u32 {
    let family = match family {
        Family::V4 => 0,
        Family::V6 => 256,
    };
    place.0 * GATE_STATES + family + u32::from(vrid.number())
}
