//! The deadlines of a worker's routers: a heap in which every router has at most one entry, whose
//! place is known, so that moving a deadline neither searches nor allocates.
//!
//! Each entry has four below it, which lie in one cache line: between two advertisements of a
//! thousand routers the heap is cold, and what costs is the number of lines.

use super::hold;
use crate::fsm::Time;

/// Place of a router that has no deadline.
const NOWHERE: usize = usize::MAX;
/// Entries below an entry.
const CHILDREN: usize = 4;

/// Deadlines by slot number.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: Vec<(Time, usize)>,
    /// Place in `heap` by slot.
    places: Vec<usize>,
}

impl Deadlines {
    /// Has room for this many.
    pub(super) fn hold(&mut self, count: usize) {
        hold(&mut self.heap, count);
        hold(&mut self.places, count);
    }

    /// Sets, moves or removes the deadline of `slot`.
    pub(super) fn set(&mut self, slot: usize, at: Option<Time>) {
        let known = self.places.get(slot).copied().unwrap_or(NOWHERE);
        match (at, known) {
            (None, NOWHERE) => {}
            (None, place) => self.remove(place),
            (Some(at), NOWHERE) => {
                if self.places.len() <= slot {
                    self.places.resize(slot + 1, NOWHERE);
                }
                self.heap.push((at, slot));
                self.rise(self.heap.len() - 1);
            }
            (Some(at), place) => {
                let before = core::mem::replace(&mut self.heap[place].0, at);
                if at < before {
                    self.rise(place);
                } else {
                    self.sink(place);
                }
            }
        }
    }

    /// The earliest deadline and whose it is.
    pub(super) fn first(&self) -> Option<(Time, usize)> {
        self.heap.first().copied()
    }

    /// Hands out all whose deadline has come at `now`, with it. They keep it.
    pub(super) fn due(&self, now: Time, found: &mut Vec<(Time, usize)>) {
        self.due_from(0, now, found);
    }

    /// What is below an entry is not earlier: nothing is looked at below one that is not due.
    fn due_from(&self, place: usize, now: Time, found: &mut Vec<(Time, usize)>) {
        if let Some(entry) = self.heap.get(place)
            && entry.0 <= now
        {
            found.push(*entry);
            for child in children(place) {
                self.due_from(child, now, found);
            }
        }
    }

    fn remove(&mut self, place: usize) {
        let (_, slot) = self.heap.swap_remove(place);
        self.places[slot] = NOWHERE;
        if place < self.heap.len() {
            self.rise(place);
            let (_, moved) = self.heap[place];
            self.sink(self.places[moved]);
        }
    }

    /// Moves an entry up to where nothing above it is later.
    fn rise(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.heap[parent].0 <= entry.0 {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    /// Moves an entry down to where nothing below it is earlier.
    fn sink(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let below = children(place).start..children(place).end.min(self.heap.len());
            let Some(least) = below.min_by_key(|child| self.heap[*child].0) else {
                break;
            };
            if entry.0 <= self.heap[least].0 {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: (Time, usize)) {
        self.heap[place] = entry;
        self.places[entry.1] = place;
    }
}

/// The earliest of all of them.
pub(super) fn earliest<const N: usize>(all: [&Deadlines; N]) -> Option<Time> {
    let first = all.into_iter().filter_map(Deadlines::first);
    first.map(|(at, _)| at).min()
}

/// The places below a place.
const fn children(place: usize) -> core::ops::Range<usize> {
    CHILDREN * place + 1..CHILDREN * place + 1 + CHILDREN
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is set, moved and removed: the first one is the earliest, and those are due
        /// whose time has come.
        #[test]
        fn first_is_the_earliest(
            steps in prop::collection::vec((0_usize..40, prop::option::of(0_u64..50)), 0..300),
            now in 0_u64..50,
        ) {
            let mut deadlines = Deadlines::default();
            let mut model = BTreeMap::new();
            for (slot, at) in steps {
                let at = at.map(Time::from_micros);
                deadlines.set(slot, at);
                match at {
                    Some(at) => model.insert(slot, at),
                    None => model.remove(&slot),
                };
                let earliest = model.values().min().copied();
                prop_assert_eq!(deadlines.first().map(|(at, _)| at), earliest);
                if let Some((at, slot)) = deadlines.first() {
                    prop_assert_eq!(model.get(&slot), Some(&at));
                }
                let now = Time::from_micros(now);
                let mut found = Vec::new();
                deadlines.due(now, &mut found);
                found.sort_unstable_by_key(|(_, slot)| *slot);
                let due = model.iter().filter(|(_, at)| **at <= now);
                prop_assert_eq!(found, due.map(|(slot, at)| (*at, *slot)).collect::<Vec<_>>());
            }
        }
    }
}
