//! Masters of one interface that advertise at the same beat do so as one: a single deadline, their
//! frames in one piece of memory and one system call.
//!
//! What costs a Master between two advertisements of a thousand routers is the memory of each of them,
//! which is cold: its entry among the deadlines, its state machine, its frame. As long as nothing happens
//! to them all do the same at the same times, so one state machine goes through it for all, and memory of
//! their own is touched for their counters alone. Whatever happens to one of them comes after it has
//! [stepped out](Engine::step_out): it has its own timer again, and joins again with its next
//! advertisement. Nobody joins who is alone at its beat, who speaks both versions or to unicast peers, or
//! whose messages are numbered.

use core::mem;
use core::time::Duration;
use std::sync::Arc;

use super::slot::Slot;
use super::{Engine, Host};
use crate::fsm::{Action, Beat, Event, Router, Time};
use crate::stats::Status;

/// A chorus of fewer is not begun.
const LEAST: usize = 2;

/// What all members of a chorus have in common: interface, interval and beat. No other chorus has it.
pub(super) type Score = (u32, Duration, Beat);

/// Masters that advertise as one. They are at their beat, and stay there.
#[derive(Debug)]
pub(super) struct Chorus {
    score: Score,
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

/// A Master that has just advertised by itself, at its beat, and could do so with others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Soloist {
    score: Score,
    place: usize,
}

impl Soloist {
    /// The one in the slot at this place, which sends on the interface of this number; none where it
    /// cannot be a member.
    pub(super) fn new<P>(port: u32, place: usize, slot: &Slot<P>) -> Option<Self> {
        let is_one = slot.router.is_on_beat() && slot.frames.constant().is_some();
        let params = slot.router.params();
        let score = (port, params.interval, params.beat);
        is_one.then_some(Self { score, place })
    }
}

impl Chorus {
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

    /// Moves the frames together once half of the memory is of those that have left. `spare` is empty
    /// before and after; what memory it has is for this.
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
    /// Whether a chorus is to advertise at `now`.
    pub(super) fn is_beat(&self, now: Time) -> bool {
        self.beats.first().is_some_and(|(at, _)| at <= now)
    }

    /// Lets the choruses advertise whose beat has come at `now`.
    pub(super) fn sing<H: Host<Port = P>>(&mut self, now: Time, host: &mut H) {
        let mut due = mem::take(&mut self.due);
        self.beats.due(now, &mut due);
        for (_, number) in due.drain(..) {
            let chorus = &mut self.choruses[number];
            let mut router = chorus.router.clone();
            let generation = router.deadline().map_or(0, |deadline| deadline.generation);
            router.handle(now, Event::Timer { generation }, &mut self.actions);
            let is_all = self.actions == [Action::SendAdvert] && router.is_on_beat();
            self.actions.clear();
            if is_all {
                chorus.router = router;
                let next = chorus.router.timer_end();
                self.beats.set(number, next);
                self.send_as_one(number, host);
                self.choruses[number].pack(&mut self.spare);
            } else {
                self.disband(number, now, host);
            }
        }
        self.due = due;
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

    /// After a stall more is to be done than to advertise, or the beat is missed: each of them sees to
    /// that by itself.
    fn disband<H: Host<Port = P>>(&mut self, number: usize, now: Time, host: &mut H) {
        for _ in 0..self.choruses[number].members.len() {
            let Some(place) = self.choruses[number].members.last().map(|last| last.place) else {
                break;
            };
            self.step_out(place);
            let deadline = self.slots[place].as_ref().and_then(Slot::deadline);
            let generation = deadline.map_or(0, |deadline| deadline.generation);
            self.handle_at(place, Event::Timer { generation }, now, host);
        }
        self.flush(host);
    }

    /// A router that something else than its beat happens to has a timer of its own again.
    pub(super) fn step_out(&mut self, place: usize) {
        let Some(slot) = &mut self.slots[place] else {
            return;
        };
        let Some(number) = slot.chorus.take() else {
            return;
        };
        let chorus = &mut self.choruses[number];
        slot.router.keep_step_with(&chorus.router);
        let deadline = slot.deadline().map(|deadline| deadline.at);
        self.deadlines.set(place, deadline);
        chorus.remove(place);
        if chorus.members.is_empty() {
            self.scores.remove(&chorus.score);
            self.beats.set(number, None);
        }
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
        soloists.sort_unstable_by_key(|one| one.score);
        for group in soloists.chunk_by(|one, next| one.score == next.score) {
            let Some(Soloist { score, place }) = group.first().copied() else {
                continue;
            };
            let known = self.scores.get(&score).copied();
            if known.is_none() && group.len() < LEAST {
                continue;
            }
            let Some(slot) = &self.slots[place] else {
                continue;
            };
            let router = slot.router.clone();
            let number = known.unwrap_or_else(|| self.begin(score, router));
            for one in group {
                self.join(number, one.place);
            }
        }
        soloists.clear();
        self.soloists = soloists;
    }

    /// An empty chorus, in the memory of one that has ended if there is any.
    fn begin(&mut self, score: Score, router: Router) -> usize {
        let ended = self.choruses.iter().position(|one| one.members.is_empty());
        let number = ended.unwrap_or(self.choruses.len());
        if let Some(ended) = self.choruses.get_mut(number) {
            ended.score = score;
            ended.router = router;
        } else {
            self.choruses.push(Chorus {
                score,
                router,
                members: Vec::new(),
                frames: Vec::new(),
                left: 0,
            });
        }
        self.scores.insert(score, number);
        number
    }

    fn join(&mut self, number: usize, place: usize) {
        let (Some(slot), chorus) = (&mut self.slots[place], &mut self.choruses[number]) else {
            return;
        };
        let Some(frame) = slot.frames.constant() else {
            return;
        };
        if slot.router.is_in_step_with(&chorus.router) {
            chorus.add(place, frame, &slot.setup.status);
            slot.chorus = Some(number);
            self.deadlines.set(place, None);
            self.beats.set(number, chorus.router.timer_end());
        }
    }
}
