//! Announcements: gratuitous ARP and unsolicited NA, at once at a takeover and again later, for
//! one that got lost leaves a host or a switch with the way to a dead router for hours.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::herald::Herald;
use super::{Plan, RouterId};
use crate::log::Limiter;
use crate::net::sender::Sender;
use crate::net::sys::clock;

/// When announcements are repeated, counted from the takeover.
const REPEATS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Repeats of different routers are so far apart, so that a thousand takeovers are no burst.
const PACE: Duration = Duration::from_millis(1);
/// Places over which repeats are spread.
const SPREAD: u32 = 512;
/// Announcements that are asked for again and again, as by a stranger who claims to be Master, go
/// out at most this often.
const SHORTEST_GAP: Duration = Duration::from_millis(100);

static COMPLAINT: Limiter = Limiter::new();

/// What is still to be announced.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    due: BTreeMap<(Instant, RouterId), ()>,
    last: BTreeMap<RouterId, Instant>,
    /// Where there is one it sends what is many, meanwhile.
    herald: Option<Herald>,
}

impl Announcer {
    /// From now on this one announces what is many.
    pub(super) fn employ(&mut self, herald: Herald) {
        self.herald = Some(herald);
    }

    /// Announces these routers at once, all of one sender in one batch, and plans the repeats. With
    /// the last ones all have been announced when this returns; others may still be on their way.
    pub(super) fn begin<'a>(&mut self, plans: impl Iterator<Item = &'a Plan>, is_last: bool) {
        let plans: Vec<&Plan> = plans.collect();
        match &mut self.herald {
            Some(herald) if !is_last => herald.send(&plans),
            _ => send(&plans),
        }
        if let Some(herald) = self.herald.as_mut().filter(|_| is_last) {
            herald.wait();
        }
        let now = Instant::now();
        for plan in plans {
            self.last.insert(plan.id, now);
            let place = PACE * (plan.id.0 % SPREAD);
            for repeat in REPEATS {
                self.due.insert((now + repeat + place, plan.id), ());
            }
        }
    }

    /// Announces a router again, unless that was done just now.
    pub(super) fn again(&mut self, plan: &Plan) {
        let now = Instant::now();
        let last = self.last.insert(plan.id, now);
        match last {
            Some(last) if now.duration_since(last) < SHORTEST_GAP => {
                self.last.insert(plan.id, last);
                self.due.insert((last + SHORTEST_GAP, plan.id), ());
            }
            _ => send(&[plan]),
        }
    }

    /// Forgets a router: it is not Master any more.
    pub(super) fn end(&mut self, id: RouterId) {
        if self.last.remove(&id).is_some() {
            self.due.retain(|(_, of), ()| *of != id);
        }
    }

    /// When [`Self::repeat`] wants to be called.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), ())| *at)
    }

    /// Sends what is due; `plan_of` knows the plans of active routers.
    pub(super) fn repeat<'a>(&mut self, plan_of: impl Fn(RouterId) -> Option<&'a Plan>) {
        let now = Instant::now();
        let later = self.due.split_off(&(now, RouterId(u32::MAX)));
        let due = core::mem::replace(&mut self.due, later);
        let plans: Vec<&Plan> = due.into_keys().filter_map(|(_, id)| plan_of(id)).collect();
        for plan in &plans {
            self.last.insert(plan.id, now);
        }
        send(&plans);
    }
}

/// Sends the announcements of these plans, those of one sender in one batch.
fn send(plans: &[&Plan]) {
    let of = |plan: &&Plan| (Arc::clone(&plan.sender), Arc::clone(&plan.announcements));
    send_all(plans.iter().map(of).collect());
}

/// Frames and where they leave.
pub(super) type Announcements = (Arc<Sender>, Arc<[Vec<u8>]>);

/// Sends announcements, those of one sender in one batch.
pub(super) fn send_all(mut rest: Vec<Announcements>) {
    while let Some((sender, _)) = rest.first() {
        let sender = Arc::clone(sender);
        let (now, later) = rest
            .into_iter()
            .partition::<Vec<_>, _>(|(other, _)| Arc::ptr_eq(other, &sender));
        let frames = now
            .iter()
            .flat_map(|(_, frames)| frames.iter().map(Vec::as_slice));
        send_frames(&sender, frames);
        rest = later;
    }
}

/// Sends frames; that it failed is told, but nothing can be done about it now.
pub(super) fn send_frames<'a>(sender: &Sender, frames: impl IntoIterator<Item = &'a [u8]>) {
    sender.send(frames, |_, error| {
        if let Some(suppressed) = COMPLAINT.allow(clock::monotonic().as_micros()) {
            tracing::warn!("announcement not sent: {error}{suppressed}");
        }
    });
}
