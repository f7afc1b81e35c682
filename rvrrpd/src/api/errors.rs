//! Errors of the protocol as events: what the counters of a virtual router say beyond what they
//! said before (RFC 8347, `vrrp-virtual-router-error-event` and `vrrp-protocol-error-event`).
//!
//! The counters are looked at, so that who floods a router costs it no event for each packet, and
//! what the kernel refuses counts, too. A router that goes on refusing is told of less and less
//! often, so that one that a neighbour is configured differently from does not push everything else
//! out of the history.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::Published;
use super::registry::Snapshot;
use crate::events::{Change, Event};
use crate::stats::Status;
use crate::wire::verdict::Reject;

/// How often the counters are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// How long nothing is told of a router after its first error, and twice that after the next.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(640);
/// Most events of one look; what is left comes with the next.
const MOST: usize = 128;
/// Reason of packets that could not be sent.
const SEND: &str = "send";

/// Counters by place: the rules of [`Reject::ALL`], then packets that could not be sent.
type Counts = [u64; Reject::ALL.len() + 1];

/// What is known of all virtual routers.
#[derive(Debug, Default)]
pub(super) struct Errors {
    /// By the address of the status, which the entry keeps.
    known: HashMap<usize, Known>,
}

#[derive(Debug)]
struct Known {
    status: Arc<Status>,
    counts: Counts,
    pause: Duration,
    quiet_until: Option<Instant>,
}

impl Errors {
    /// Of what is counted from now on, where nobody has watched yet.
    pub(super) fn from_now(snapshot: &Snapshot) -> Self {
        Self::beyond(snapshot.routers.iter().map(|router| &router.status))
    }

    fn beyond<'a>(routers: impl Iterator<Item = &'a Arc<Status>>) -> Self {
        let known = routers.map(|status| (place(status), Known::beyond(status, counts(status))));
        Self {
            known: known.collect(),
        }
    }

    /// What there is to tell now, one event for each virtual router and reason. Of a router that
    /// is new everything is.
    pub(super) fn look(&mut self, snapshot: &Snapshot, now: Instant) -> Vec<Event> {
        let routers = snapshot
            .routers
            .iter()
            .map(|router: &Arc<Published>| &router.status);
        self.of(routers, now)
    }

    fn of<'a>(
        &mut self,
        routers: impl ExactSizeIterator<Item = &'a Arc<Status>> + Clone,
        now: Instant,
    ) -> Vec<Event> {
        if self.known.len() > routers.len() {
            let there: HashSet<usize> = routers.clone().map(place).collect();
            self.known.retain(|place, _| there.contains(place));
        }
        let mut events = Vec::new();
        for status in routers {
            if events.len() >= MOST {
                break;
            }
            let known = self
                .known
                .entry(place(status))
                .or_insert_with(|| Known::beyond(status, [0; _]));
            known.tell(now, &mut events);
        }
        events
    }
}

/// What an entry is found by.
fn place(status: &Arc<Status>) -> usize {
    Arc::as_ptr(status).addr()
}

impl Known {
    /// Of which nothing is to be told but what exceeds `counts`.
    fn beyond(status: &Arc<Status>, counts: Counts) -> Self {
        Self {
            status: Arc::clone(status),
            counts,
            pause: FIRST_PAUSE,
            quiet_until: None,
        }
    }

    fn tell(&mut self, now: Instant, events: &mut Vec<Event>) {
        if self.quiet_until.is_some_and(|until| now < until) {
            return;
        }
        let counts = counts(&self.status);
        let before = events.len();
        for (place, (count, known)) in counts.iter().zip(self.counts).enumerate() {
            let grown = count.saturating_sub(known);
            if grown > 0 {
                let reason = Reject::ALL.get(place).map_or(SEND, |reject| reject.name());
                events.push(self.event(reason, grown));
            }
        }
        for (known, count) in self.counts.iter_mut().zip(counts) {
            // Those of the kernel are nowhere for an instant when its slot is given up.
            *known = count.max(*known);
        }
        if events.len() > before {
            self.quiet_until = Some(now + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        } else {
            self.pause = FIRST_PAUSE;
        }
    }

    fn event(&self, reason: &'static str, count: u64) -> Event {
        let condition = self.status.condition();
        Event {
            router: Arc::clone(&self.status),
            change: Change::Error(reason, count),
            before: condition,
            after: condition,
            at: SystemTime::now(),
        }
    }
}

/// Also of packets of version 3 that were accepted in spite of another interval or address list.
fn counts(status: &Status) -> Counts {
    let refused = status.refused();
    let mut counts = [0; Reject::ALL.len() + 1];
    for (reject, count) in refused.broken() {
        if let Some(place) = counts.get_mut(reject.index()) {
            *place = count;
        }
    }
    let [.., send] = &mut counts;
    *send = status.send_errors.value();
    for (reject, mismatches) in [
        (Reject::Interval, &status.interval_mismatches),
        (Reject::AddressList, &status.address_list_mismatches),
    ] {
        if let Some(place) = counts.get_mut(reject.index()) {
            *place += mismatches.value();
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        errors: &mut Errors,
        routers: &[Arc<Status>],
        now: Instant,
    ) -> Vec<(&'static str, u64)> {
        let events = errors.of(routers.iter(), now);
        let told = events.iter().map(|event| match event.change {
            Change::Error(reason, count) => (reason, count),
            _ => panic!("{event:?}"),
        });
        told.collect()
    }

    #[test]
    fn each_reason_is_told_with_its_count_and_then_less_often() {
        let routers = [Arc::<Status>::default()];
        let status = &routers[0];
        status.rejects.of(Reject::Ttl).add(9);
        let (mut errors, start) = (Errors::beyond(routers.iter()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        // What was before is not told.
        assert_eq!(told(&mut errors, &routers, at(0)), []);
        status.rejects.of(Reject::Checksum).add(3);
        status.interval_mismatches.count();
        status.send_errors.add(2);
        assert_eq!(
            told(&mut errors, &routers, at(1)),
            [("checksum", 3), ("interval", 1), ("send", 2)]
        );
        status.rejects.of(Reject::Checksum).add(5);
        assert_eq!(told(&mut errors, &routers, at(10)), []);
        assert_eq!(told(&mut errors, &routers, at(11)), [("checksum", 5)]);
        status.rejects.of(Reject::Checksum).add(1);
        assert_eq!(told(&mut errors, &routers, at(30)), []);
        assert_eq!(told(&mut errors, &routers, at(31)), [("checksum", 1)]);
        // After a pause without any the next is told at once, and the pause is short again.
        assert_eq!(told(&mut errors, &routers, at(71)), []);
        status.rejects.of(Reject::Checksum).add(1);
        assert_eq!(told(&mut errors, &routers, at(72)), [("checksum", 1)]);
        status.rejects.of(Reject::Checksum).add(1);
        assert_eq!(told(&mut errors, &routers, at(82)), [("checksum", 1)]);
    }

    #[test]
    fn of_a_router_that_is_new_everything_is_told() {
        let (old, new) = (Arc::<Status>::default(), Arc::<Status>::default());
        let (mut errors, now) = (Errors::beyond([&old].into_iter()), Instant::now());
        new.rejects.of(Reject::Ttl).add(2);
        assert_eq!(told(&mut errors, &[old, new], now), [("ttl", 2)]);
    }

    #[test]
    fn one_look_tells_so_many_and_the_next_the_others() {
        let routers: Vec<Arc<Status>> = (0..MOST + 5).map(|_| Arc::default()).collect();
        let (mut errors, start) = (Errors::default(), Instant::now());
        assert!(told(&mut errors, &routers, start).is_empty());
        for status in &routers {
            status.rejects.of(Reject::Ttl).count();
        }
        assert_eq!(told(&mut errors, &routers, start + LOOK).len(), MOST);
        assert_eq!(told(&mut errors, &routers, start + 2 * LOOK).len(), 5);
        assert!(told(&mut errors, &routers[..3], start + 3 * LOOK).is_empty());
        assert_eq!(errors.known.len(), 3);
    }
}
