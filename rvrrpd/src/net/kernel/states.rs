//! What the gate lets through, in memory that it shares with this process.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use aya::maps::MapData;
use rvrrpd_ebpf::{ANSWERED_COUNT, GATE_STATES, GATED_INTERFACES, GateState, REFUSED_COUNT};

use crate::net::sys::shared::{Words, page_size};
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
    /// Those of the places that were ever used, mapped by [`Self::together`]. What is mapped stays: a
    /// gate may be asked about an interface that is just leaving.
    parts: Box<[OnceLock<Words>]>,
    /// Places whose states are in the same page; a power of two.
    together: u32,
    map: MapData,
}

impl States {
    pub(super) fn of(map: MapData) -> Self {
        let of_place = GATE_STATES as usize * size_of::<u64>();
        let together = u32::try_from(page_size() / of_place).unwrap_or(1).max(1);
        Self {
            parts: Place::ALL.map(|_| OnceLock::new()).collect(),
            together,
            map,
        }
    }

    /// Makes the states of an interface reachable, all of them foreign. Memory for all interfaces
    /// that there can be would be more than most hosts need.
    pub(super) fn open(&self, place: Place) -> io::Result<()> {
        let number = place.0 / self.together;
        let Some(part) = self.parts.get(number as usize) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if part.get().is_none() {
            let count = self.together * GATE_STATES;
            let first = number * count;
            let words = Words::map(self.map.fd().as_fd(), first as usize, count as usize)?;
            // Whoever was faster mapped the same.
            let _same = part.set(words);
        }
        // The first touch of a page costs a fault, which no takeover shall wait for.
        self.clear(place);
        Ok(())
    }

    /// Decides about frames to the virtual MAC of a virtual router.
    pub fn set(&self, place: Place, router: (Family, Vrid), state: GateState) {
        if let Some(word) = self.word(place, router) {
            word.store(state as u64, Ordering::Release);
        }
    }

    /// What is done now with frames to the virtual MAC of a virtual router.
    #[must_use]
    pub fn state(&self, place: Place, router: (Family, Vrid)) -> GateState {
        let word = self.word(place, router);
        match word.map(|word| word.load(Ordering::Acquire)) {
            Some(1) => GateState::Closed,
            Some(2) => GateState::Open,
            Some(3) => GateState::Carried,
            _ => GateState::Foreign,
        }
    }

    /// Forgets all virtual routers and addresses of an interface.
    pub(super) fn clear(&self, place: Place) {
        for word in self.words(place) {
            word.store(GateState::Foreign as u64, Ordering::Release);
        }
    }

    /// Tells the gate how many addresses of an interface are refused, and how many answered.
    pub(super) fn set_addresses(&self, place: Place, refused: u64, answered: u64) {
        for (at, count) in [(REFUSED_COUNT, refused), (ANSWERED_COUNT, answered)] {
            if let Some(word) = self.words(place).get(at as usize) {
                word.store(count, Ordering::Release);
            }
        }
    }

    fn word(&self, place: Place, router: (Family, Vrid)) -> Option<&AtomicU64> {
        self.words(place).get(offset(router) as usize)
    }

    /// The states of an interface; none before [`Self::open`].
    fn words(&self, place: Place) -> &[AtomicU64] {
        let part = self.parts.get((place.0 / self.together) as usize);
        let words = part.and_then(OnceLock::get).map(Words::all);
        let first = (place.0 % self.together * GATE_STATES) as usize;
        words
            .and_then(|words| words.get(first..first + GATE_STATES as usize))
            .unwrap_or_default()
    }
}

/// Where the state of a virtual router is in the map.
pub(super) fn index(place: Place, router: (Family, Vrid)) -> u32 {
    place.0 * GATE_STATES + offset(router)
}

/// Where it is among those of its interface.
fn offset((family, vrid): (Family, Vrid)) -> u32 {
    let family = match family {
        Family::V4 => 0,
        Family::V6 => 256,
    };
    family + u32::from(vrid.number())
}
