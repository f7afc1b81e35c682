//! The drain barrier: silence counts only when everything that could break it has been read.
//!
//! A Backup whose time is up takes over because it heard nothing. A process that was stalled heard
//! nothing either, although advertisements lie in its socket. So an expiry is believed in three
//! steps: the listener has passed on everything up to the deadline, the queue behind it is
//! handled, and the deadline is still the one that expired. Otherwise it is looked at again soon.
//! What was lost for want of room is not waited for, but silence counts anew from the last loss:
//! once, so that a flood gives a dead Master at most as much time again as it had.
//!
//! Where the worker itself was late, so may have been whatever brings frames to the socket: the
//! hypervisor, another processor, the network card. The Master gets once as much time as the worker
//! was late, and no more than [`LONGEST_GRACE`].
//!
//! Before all that the kernel is asked whether it kept an advertisement to itself, which is all
//! that ever happens in the steady state.

use core::time::Duration;

use super::slot::Slot;
use super::{Engine, Host};
use crate::fsm::{Deadline, Event, Time};

/// How long before a silence ends a worker is awake: longer than a processor that sleeps takes to
/// wake. It asks the kernel then, which it would have to do anyway; if a Master is silent still, it
/// does not sleep again and tells the driver to be awake.
pub const LEAD: Duration = Duration::from_micros(150);

/// How long a Backup whose time is up waits for its listener to catch up before it looks again.
const DRAIN_RETRY: Duration = Duration::from_micros(200);

/// A worker that is later than this was stopped, and not alone. It is far more than a busy host takes
/// to run a thread that comes first.
const LATE: Duration = Duration::from_millis(10);

/// What the Master gets at the most where the worker was late: longer than what was stopped together
/// takes to run again.
const LONGEST_GRACE: Duration = Duration::from_millis(50);

/// A deadline that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expired {
    place: usize,
    deadline: Deadline,
    /// It means silence, which has to be proven. A Master's means nothing that anybody could say.
    is_silence: bool,
    /// How long after it was to be looked at.
    late: Duration,
}

impl<P> Engine<P> {
    /// Lets the deadlines take effect that have come at `now`.
    pub(super) fn fire<H: Host<Port = P>>(&mut self, now: Time, host: &mut H) {
        self.drained.clear();
        self.lost.clear();
        self.deadlines.due(now + LEAD, &mut self.due);
        let mut fetched = 0;
        for (at, place) in self.due.drain(..) {
            if at > now {
                self.near.push((at, place));
                continue;
            }
            let slot = self.slots[place].as_ref();
            fetched ^= slot.map_or(0, Slot::fetch);
            match slot.and_then(|slot| slot.deadline()) {
                Some(deadline) if deadline.at <= now => {
                    let is_silence = slot.is_some_and(|slot| slot.router.needs_drain());
                    self.expired.push(Expired {
                        place,
                        deadline,
                        is_silence,
                        late: now.since(at),
                    });
                }
                // It was put off to look again soon, and another one has come meanwhile.
                other => self.deadlines.set(place, other.map(|deadline| deadline.at)),
            }
        }
        core::hint::black_box(fetched);
        if self.expired.is_empty() && !self.is_beat(now) {
            return self.foresee(host);
        }
        self.near.clear();
        let mut expired = core::mem::take(&mut self.expired);
        let before = expired.len();
        expired.retain(|one| !(one.is_silence && self.heard_meanwhile(one.place, host)));
        if expired.len() < before {
            self.all_heard_meanwhile(host);
            expired.retain(|expired| self.is_armed(*expired));
        }
        if expired.iter().any(|one| one.is_silence) {
            host.takeover_is_near();
        }
        expired.retain(|expired| {
            if !expired.is_silence {
                return true;
            }
            if self.is_graced(*expired, now, host) {
                return false;
            }
            let is_proven = self.is_proven(*expired, now, host);
            if !is_proven {
                let later = Some(now + DRAIN_RETRY);
                self.deadlines.set(expired.place, later);
            }
            is_proven
        });
        self.empty_queue(host);
        expired.retain(|one| !one.is_silence || self.is_believed(*one, now, host));
        for one in expired.drain(..) {
            if one.is_silence {
                self.end_absorption(one.place, host);
            }
            // Has an advertisement armed the timer anew, this generation has no effect.
            let generation = one.deadline.generation;
            self.handle_at(one.place, Event::Timer { generation }, now, host);
        }
        self.expired = expired;
    }

    /// Asks the kernel about the silences that end soon. What it kept ends them now, so that nobody
    /// wakes for them; what is left had better find everybody awake.
    fn foresee<H: Host<Port = P>>(&mut self, host: &mut H) {
        let mut near = core::mem::take(&mut self.near);
        near.retain(|one| self.awaits_silence(*one));
        let before = near.len();
        near.retain(|(_, place)| !self.heard_meanwhile(*place, host));
        if near.len() < before {
            self.all_heard_meanwhile(host);
        }
        if near.iter().any(|one| self.awaits_silence(*one)) {
            host.takeover_is_near();
        }
        near.clear();
        self.near = near;
    }

    /// Whether a silence ends at this deadline, which is not one that was put off to look again
    /// soon.
    pub(super) fn awaits_silence(&self, (at, place): (Time, usize)) -> bool {
        let slot = self.slots.get(place).and_then(Option::as_ref);
        slot.is_some_and(|slot| {
            slot.router.needs_drain() && slot.deadline().is_some_and(|deadline| deadline.at == at)
        })
    }

    /// Whether the deadline is still the one that has come.
    fn is_armed(&self, expired: Expired) -> bool {
        let slot = self.slots[expired.place].as_ref();
        slot.and_then(|slot| slot.deadline()) == Some(expired.deadline)
    }

    /// Whether the Master gets more time, because this worker is late.
    fn is_graced<H: Host<Port = P>>(&mut self, expired: Expired, now: Time, host: &mut H) -> bool {
        let Some(slot) = &mut self.slots[expired.place] else {
            return false;
        };
        if expired.late <= LATE || !slot.give_grace(now, expired.late.min(LONGEST_GRACE)) {
            return false;
        }
        let until = slot.deadline().map(|deadline| deadline.at);
        self.deadlines.set(expired.place, until);
        slot.setup.status.takeovers_postponed.count();
        host.late(&slot.setup, expired.late);
        true
    }

    /// Whether everything that was received for this router before its deadline is in our queue.
    fn is_proven<H: Host<Port = P>>(&mut self, expired: Expired, now: Time, host: &mut H) -> bool {
        let slot = self.slots[expired.place].as_ref();
        let Some(port) = slot.and_then(|slot| slot.setup.port.as_ref()) else {
            return true;
        };
        let index = H::index(port);
        let known = self.drained.iter().find(|(known, _)| *known == index);
        let until = known.map(|(_, until)| *until).unwrap_or_else(|| {
            let until = host.drained_until(port, now);
            self.drained.push((index, until));
            until
        });
        expired.deadline.at <= until
    }

    /// Whether nothing was lost that would have broken the silence, or enough time was given.
    fn is_believed<H: Host<Port = P>>(
        &mut self,
        expired: Expired,
        now: Time,
        host: &mut H,
    ) -> bool {
        let Some(slot) = &mut self.slots[expired.place] else {
            return true;
        };
        let is_still_due = |deadline: Deadline| deadline.generation == expired.deadline.generation;
        let Some(port) = slot
            .setup
            .port
            .as_ref()
            .filter(|_| slot.router.needs_drain() && slot.deadline().is_some_and(is_still_due))
        else {
            return true;
        };
        let index = H::index(port);
        let known = self.lost.iter().find(|(known, _)| *known == index);
        let lost = known.map(|(_, lost)| *lost).unwrap_or_else(|| {
            let lost = host.lost_until(port, now);
            self.lost.push((index, lost));
            lost
        });
        if slot.believes(lost) {
            return true;
        }
        let deadline = slot.deadline();
        let at = deadline.map(|deadline| deadline.at);
        self.deadlines.set(expired.place, at);
        slot.setup.status.takeovers_postponed.count();
        if let Some(deadline) = deadline {
            host.postponed(&slot.setup, deadline.at);
        }
        false
    }
}
