//! Masters of one interface that advertise at the same beat do so as one: a single deadline, their
//! frames in one piece of memory and one system call.
//!
//! What costs a Master between two advertisements of a thousand routers is the memory of each of them,
//! which is cold: its entry among the deadlines, its state machine, its frame. As long as nothing happens
//! to them all do the same at the same times, so one state machine goes through it for all, and memory of
//! their own is touched for their counters alone. Whatever happens to one of them comes after it has
//! [stepped out](Engine::step_out): it has its own timer again, and joins again with its next
//! advertisement.

use core::mem;
use core::time::Duration;
use std::sync::Arc;

use super::slot::Slot;
use super::{Engine, Host};
use crate::fsm::{Action, Event, Router, Time};
use crate::stats::Status;

/// A chorus of fewer is not begun.
const LEAST: usize = 2;

/// Masters that advertise as one.
#[derive(Debug)]
pub(super) struct Chorus {
    /// The interface.
    port: u32,
    /// What the timer of each of them does.
    router: Router,
    members: Vec<Member>,
    /// The frames of all of them, and of some that have left.
    frames: Vec<u8>,
    /// How many bytes of `frames` are of those.
    left: usize,
}

/// One of them.
#[derive(Debug)]
struct Member {
    /// Its slot.
    place: usize,
    /// Its frame.
    start: usize,
    length: usize,
    status: Arc<Status>,
}

/// A Master that has advertised and did nothing else. In their order those that may do so as one lie
/// side by side.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Soloist {
    port: u32,
    interval: Duration,
    next: Time,
    place: usize,
}

impl Soloist {
    /// The one in the slot at this place, which has just advertised on this interface; none where each of
    /// its advertisements is another one or several, or where it does not keep to the beat yet.
    pub(super) fn new<P>(port: u32, place: usize, slot: &Slot<P>) -> Option<Self> {
        let is_one = slot.router.is_on_beat() && slot.frames.constant().is_some();
        let next = slot.router.timer_end().filter(|_| is_one)?;
        let interval = slot.router.params().interval;
        Some(Self {
            port,
            interval,
            next,
            place,
        })
    }

    fn is_beside(&self, other: &Self) -> bool {
        (self.port, self.interval, self.next) == (other.port, other.interval, other.next)
    }
}

impl Chorus {
    const fn new(port: u32, router: Router) -> Self {
        Self {
            port,
            router,
            members: Vec::new(),
            frames: Vec::new(),
            left: 0,
        }
    }

    fn add(&mut self, place: usize, frame: &[u8], status: &Arc<Status>) {
        self.members.push(Member {
            place,
            start: self.frames.len(),
            length: frame.len(),
            status: Arc::clone(status),
        });
        self.frames.extend_from_slice(frame);
    }

    fn remove(&mut self, place: usize) {
        let known = self.members.iter().position(|one| one.place == place);
        if let Some(known) = known {
            self.left += self.members.swap_remove(known).length;
        }
        if self.members.is_empty() {
            self.frames.clear();
            self.left = 0;
        }
    }

    /// Moves the frames together where half of the memory is of those that have left. The other half of
    /// `spare`, which is empty before and after, is what it takes for that.
    fn pack(&mut self, spare: &mut Vec<u8>) {
        if 2 * self.left <= self.frames.len() {
            return;
        }
        for member in &mut self.members {
            let frame = self.frames.get(member.start..).unwrap_or_default();
            let frame = frame.get(..member.length).unwrap_or_default();
            member.start = spare.len();
            spare.extend_from_slice(frame);
        }
        mem::swap(&mut self.frames, spare);
        spare.clear();
        self.left = 0;
    }

    fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let frame = |one: &Member| self.frames.get(one.start..one.start + one.length);
        self.members
            .iter()
            .map(move |one| frame(one).unwrap_or_default())
    }

    /// Counts what has just been sent. `refused`: the places of those that were not, in their order.
    fn count(&self, refused: &[usize]) {
        let mut refused = refused.iter().copied().peekable();
        for (place, member) in self.members.iter().enumerate() {
            if refused.next_if_eq(&place).is_some() {
                member.status.send_errors.count();
            } else {
                member.status.advertisement_sent.count();
            }
        }
    }

    /// Reads the counters of all of them, so that the processor waits for the memory of several at once.
    fn fetch(&self) -> u64 {
        let counters = self.members.iter().map(|one| one.status.fetch());
        counters.fold(0, |sum, counter| sum ^ counter)
    }
}

impl<P> Engine<P> {
    /// Lets the choruses advertise whose beat has come at `now`.
    pub(super) fn sing<H: Host<Port = P>>(&mut self, now: Time, host: &mut H) {
        while let Some((due, number)) = self.beats.first()
            && due <= now
        {
            let Some(chorus) = self.choruses.get_mut(number) else {
                return;
            };
            let mut router = chorus.router.clone();
            let generation = router.deadline().map_or(0, |deadline| deadline.generation);
            router.handle(now, Event::Timer { generation }, &mut self.actions);
            let is_all = self.actions == [Action::SendAdvert];
            self.actions.clear();
            if is_all {
                chorus.router = router;
                chorus.pack(&mut self.spare);
                let next = chorus.router.timer_end();
                self.beats.set(number, next);
                self.send_as_one(number, host);
            } else {
                self.disband(number, now, host);
            }
        }
    }

    fn send_as_one<H: Host<Port = P>>(&mut self, number: usize, host: &mut H) {
        let chorus = &self.choruses[number];
        let first = chorus.members.first();
        let first = first.and_then(|first| self.slots[first.place].as_ref());
        let Some(port) = first.and_then(|slot| slot.setup.port.as_ref()) else {
            return;
        };
        let refused = &mut self.refused;
        host.send(port, chorus.frames(), |place| refused.push(place));
        core::hint::black_box(chorus.fetch());
        chorus.count(refused);
        refused.clear();
    }

    /// More is to be done than to advertise, which is done for each of them.
    fn disband<H: Host<Port = P>>(&mut self, number: usize, now: Time, host: &mut H) {
        while let Some(last) = self.choruses[number].members.last() {
            let place = last.place;
            self.step_out(place);
            let deadline = self.slots[place].as_ref().and_then(|slot| slot.deadline());
            let generation = deadline.map_or(0, |deadline| deadline.generation);
            self.handle_at(place, Event::Timer { generation }, now, host);
        }
        self.flush(host);
    }

    /// A router that something else than its beat happens to, or that asks for its state, has a timer of
    /// its own again: then its deadline has to be set.
    pub(super) fn step_out(&mut self, place: usize) -> bool {
        let Some(slot) = &mut self.slots[place] else {
            return false;
        };
        let Some(number) = slot.chorus.take() else {
            return false;
        };
        let chorus = &mut self.choruses[number];
        slot.router.keep_step_with(&chorus.router);
        chorus.remove(place);
        if chorus.members.is_empty() {
            self.beats.set(number, None);
        }
        true
    }

    /// The state machine of a router, as it would be by itself.
    pub(super) fn alone(&self, slot: &Slot<P>) -> Router {
        let mut router = slot.router.clone();
        if let Some(number) = slot.chorus {
            router.keep_step_with(&self.choruses[number].router);
        }
        router
    }

    /// Those that have just advertised at the same beat of the same interface do so as one from now on.
    pub(super) fn unite(&mut self) {
        let mut soloists = mem::take(&mut self.soloists);
        soloists.sort_unstable();
        for group in soloists.chunk_by(Soloist::is_beside) {
            let Some((first, slot)) = group
                .first()
                .and_then(|first| Some((first, self.slots[first.place].as_ref()?)))
            else {
                continue;
            };
            let fits = |chorus: &Chorus| {
                chorus.port == first.port
                    && !chorus.members.is_empty()
                    && chorus.router.is_in_step_with(&slot.router)
            };
            let known = self.choruses.iter().position(fits);
            if known.is_none() && group.len() < LEAST {
                continue;
            }
            let number = known.unwrap_or_else(|| {
                let chorus = Chorus::new(first.port, slot.router.clone());
                let is_free = |chorus: &Chorus| chorus.members.is_empty();
                let free = self.choruses.iter().position(is_free);
                if let Some(free) = free {
                    self.choruses[free] = chorus;
                    return free;
                }
                self.choruses.push(chorus);
                self.choruses.len() - 1
            });
            for one in group {
                self.join(number, one.place);
            }
        }
        soloists.clear();
        self.soloists = soloists;
    }

    fn join(&mut self, number: usize, place: usize) {
        let (Some(slot), chorus) = (&mut self.slots[place], &mut self.choruses[number]) else {
            return;
        };
        let Some(frame) = slot.frames.constant() else {
            return;
        };
        chorus.add(place, frame, &slot.setup.status);
        slot.chorus = Some(number);
        self.deadlines.set(place, None);
        self.beats.set(number, chorus.router.timer_end());
    }
}
