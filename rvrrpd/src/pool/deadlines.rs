//! The deadlines of a worker's routers: a binary heap in which every router has at most one
//! entry, whose place is known, so that moving a deadline neither searches nor allocates.

use crate::fsm::Deadline;

/// Place of a router that has no deadline.
const NOWHERE: usize = usize::MAX;

/// Deadlines by slot number.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: Vec<(Deadline, usize)>,
    /// Place in `heap` by slot.
    places: Vec<usize>,
}

impl Deadlines {
    /// Sets, moves or removes the deadline of `slot`.
    pub(super) fn set(&mut self, slot: usize, deadline: Option<Deadline>) {
        if self.places.len() <= slot {
            self.places.resize(slot + 1, NOWHERE);
        }
        let place = self.places[slot];
        match (deadline, place) {
            (None, NOWHERE) => {}
            (None, place) => self.remove(place),
            (Some(deadline), NOWHERE) => {
                self.heap.push((deadline, slot));
                self.places[slot] = self.heap.len() - 1;
                self.rise(self.heap.len() - 1);
            }
            (Some(deadline), place) => {
                self.heap[place].0 = deadline;
                let place = self.rise(place);
                self.sink(place);
            }
        }
    }

    /// The earliest deadline and whose it is.
    pub(super) fn first(&self) -> Option<(Deadline, usize)> {
        self.heap.first().copied()
    }

    fn remove(&mut self, place: usize) {
        let (_, slot) = self.heap.swap_remove(place);
        self.places[slot] = NOWHERE;
        if place < self.heap.len() {
            self.places[self.heap[place].1] = place;
            let place = self.rise(place);
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0.at <= self.heap[place].0.at {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len() && self.heap[child].0.at < self.heap[least].0.at {
                    least = child;
                }
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.places[self.heap[one].1] = one;
        self.places[self.heap[other].1] = other;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::fsm::Time;

    proptest! {
        /// Whatever is set, moved and removed: the first one is the earliest.
        #[test]
        fn first_is_the_earliest(steps in prop::collection::vec((0_usize..20, prop::option::of(0_u64..50)), 0..200)) {
            let mut deadlines = Deadlines::default();
            let mut model = BTreeMap::new();
            for (generation, (slot, at)) in (0_u64..).zip(steps) {
                match at {
                    Some(at) => {
                        let deadline = Deadline { at: Time::from_micros(at), generation };
                        deadlines.set(slot, Some(deadline));
                        model.insert(slot, deadline);
                    }
                    None => {
                        deadlines.set(slot, None);
                        model.remove(&slot);
                    }
                }
                let earliest = model.values().map(|deadline| deadline.at).min();
                prop_assert_eq!(deadlines.first().map(|(deadline, _)| deadline.at), earliest);
                if let Some((deadline, slot)) = deadlines.first() {
                    prop_assert_eq!(model.get(&slot), Some(&deadline));
                }
            }
        }
    }
}
