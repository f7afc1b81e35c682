//! A worker: the thread that runs an engine. It owns the queues, the clock and the sockets.

use core::hash::BuildHasher as _;
use core::time::Duration;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;

use crossbeam_channel::{Receiver, TryRecvError};

use super::{Control, Delivery, Engine, Host, LEAD, Port, Sample, Setup, Surroundings, hold};
use crate::driver::Command;
use crate::events::{self, Change};
use crate::fsm::{Cause, Time, Transition};
use crate::log::Limiter;
use crate::net::sys::{clock, process};
use crate::net::unicast::Failure;
use crate::stats::{Condition, Identity};
use crate::wire::{Family, Vrid};

/// Longest wait when no router has a deadline.
const IDLE: Duration = Duration::from_secs(3600);

/// A deadline that comes within this time comes before what is to be told. A thousand lines take longer.
const SOON: Duration = LEAD;

/// What is to be told waits no longer than this, whatever is due; then some of it is told each time.
const LONGEST_SILENCE: Duration = Duration::from_millis(5);
/// How much is told before the deadlines are looked at again.
const PIECE: usize = 32;

/// Least time between two times that the driver is told to be awake.
const ALERT_EVERY: Duration = Duration::from_millis(10);

/// The thread of an engine. A [`Mailbox`](super::Mailbox) is where it is told things.
#[derive(Debug)]
pub struct Worker {
    engine: Engine<Arc<Port>>,
    control: Receiver<Control>,
    rim: Rim,
}

/// What the engine sees of the thread.
#[derive(Debug)]
struct Rim {
    adverts: Receiver<Delivery>,
    surroundings: Surroundings,
    send_complaint: Limiter,
    /// What is to be logged once everything has been sent: title and change.
    transitions: Vec<(Arc<str>, Option<Arc<Identity>>, Transition)>,
    changes: Vec<events::Event>,
    /// Since when the first of these waits.
    untold: Option<Time>,
    postponements: Limiter,
    standstills: Limiter,
    /// When the driver was last told to be awake.
    alerted: Time,
    /// SipHash with a secret key: numbers that nobody on the LAN can guess.
    random: RandomState,
    /// How many of them were drawn.
    drawn: u64,
}

impl Worker {
    /// A worker without routers.
    #[must_use]
    pub fn new(
        adverts: Receiver<Delivery>,
        control: Receiver<Control>,
        surroundings: Surroundings,
    ) -> Self {
        Self {
            engine: Engine::default(),
            control,
            rim: Rim {
                adverts,
                surroundings,
                send_complaint: Limiter::new(),
                transitions: Vec::new(),
                changes: Vec::new(),
                untold: None,
                postponements: Limiter::new(),
                standstills: Limiter::new(),
                alerted: Time::from_micros(0),
                random: RandomState::new(),
                drawn: 0,
            },
        }
    }

    /// Works until [`Control::Stop`].
    pub fn run(mut self) {
        let Self {
            engine,
            control,
            rim,
        } = &mut self;
        loop {
            let mut is_order = false;
            match control.try_recv() {
                Ok(Control::Stop) | Err(TryRecvError::Disconnected) => {
                    engine.control(Control::Stop, rim);
                    // Where all processors were kept from what takes the last frames out of the queue of an
                    // interface, they would wait for a thousand lines. It is always permitted.
                    let _ordinary = process::schedule_other();
                    return rim.tell_before(None);
                }
                Ok(control) => {
                    is_order = control.is_order();
                    engine.control(control, rim);
                    rim.make_room(engine.room());
                }
                Err(TryRecvError::Empty) if rim.adverts.is_empty() => {
                    let wait = engine
                        .wake()
                        .map_or(IDLE, |wake| wake.since(clock::monotonic()));
                    if !wait.is_zero() {
                        std::thread::park_timeout(wait);
                    }
                }
                Err(TryRecvError::Empty) => {}
            }
            engine.pass(rim);
            // Whoever gave an order may tell what follows from it: this comes before, whatever is due.
            rim.tell_before(engine.deadline().filter(|_| !is_order));
        }
    }
}

impl Rim {
    /// As the engine does for itself: two changes of each, for what is to be told may wait for a pass.
    fn make_room(&mut self, count: usize) {
        hold(&mut self.transitions, 2 * count);
        hold(&mut self.changes, 2 * count);
    }

    /// No advertisement and no address waits for the lines and the watchers of a thousand changes,
    /// also not those of which the time comes soon: of routers that a dead Master has left, each one's a
    /// few microseconds after the one before.
    fn tell_before(&mut self, deadline: Option<Time>) {
        while !(self.changes.is_empty() && self.transitions.is_empty()) {
            let now = self.now();
            let is_late = now.since(*self.untold.get_or_insert(now)) > LONGEST_SILENCE;
            let is_soon = deadline.is_some_and(|deadline| deadline.since(now) < SOON);
            if is_soon && !is_late {
                return;
            }
            self.tell_some();
            if is_soon {
                return;
            }
        }
        self.untold = None;
    }

    fn tell_some(&mut self) {
        for change in self.changes.drain(..PIECE.min(self.changes.len())) {
            self.surroundings.events.send(change);
        }
        let lines = PIECE.min(self.transitions.len());
        for (title, identity, transition) in self.transitions.drain(..lines) {
            let identity = identity.as_deref();
            tracing::info!(
                said.name = identity.map(|it| it.name.as_str()),
                said.group = identity.map(|it| it.group),
                said.interface = identity.map(|it| it.parent.as_str()),
                said.from = %transition.from,
                said.to = %transition.to,
                said.cause = transition.cause.name(),
                "VR {title} - Changed from {} to {} ({})",
                transition.from,
                transition.to,
                transition.cause.name(),
            );
        }
    }
}

impl Host for Rim {
    type Port = Arc<Port>;

    fn index(port: &Arc<Port>) -> u32 {
        port.number
    }

    fn now(&self) -> Time {
        clock::monotonic()
    }

    fn wall_clock(&self) -> Duration {
        clock::realtime()
    }

    fn random(&mut self) -> u64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn)
    }

    fn waiting(&self) -> usize {
        self.adverts.len()
    }

    fn delivery(&mut self) -> Option<Delivery> {
        self.adverts.try_recv().ok()
    }

    fn drained_until(&mut self, port: &Arc<Port>, now: Time) -> Time {
        port.drained_until(now)
    }

    fn lost_until(&mut self, port: &Arc<Port>, now: Time) -> Time {
        port.lost_until(now)
    }

    fn absorb(
        &mut self,
        port: &Arc<Port>,
        router: (Family, Vrid),
        sample: &Sample,
        received: Time,
    ) -> bool {
        port.absorb(router, sample, received)
    }

    fn last_absorbed(&mut self, port: &Arc<Port>, router: (Family, Vrid)) -> Time {
        port.last_absorbed(router)
    }

    fn end_absorption(&mut self, port: &Arc<Port>, router: (Family, Vrid)) -> Time {
        port.end_absorption(router)
    }

    fn send<'a>(
        &mut self,
        port: &Arc<Port>,
        frames: impl Iterator<Item = &'a [u8]>,
        mut refused: impl FnMut(usize),
    ) {
        port.sender.send(frames, |place, error| {
            refused(place);
            if let Some(suppressed) = self.send_complaint.allow(self.now().as_micros()) {
                tracing::warn!(
                    "advertisements on interface {} not sent: {error}{suppressed}",
                    port.name,
                );
            }
        });
    }

    fn send_to_peers<'a>(
        &mut self,
        port: &Arc<Port>,
        family: Family,
        datagrams: impl Iterator<Item = (IpAddr, &'a [u8])>,
    ) -> usize {
        let Some(sender) = port.unicast(family) else {
            return datagrams.count();
        };
        let Err(Failure { count, peer, error }) = sender.send(datagrams) else {
            return 0;
        };
        if let Some(suppressed) = self.send_complaint.allow(self.now().as_micros()) {
            tracing::warn!(
                "advertisements on interface {} not sent to {peer}: {error}{suppressed}",
                port.name,
            );
        }
        count
    }

    fn reached(&mut self, deadline: Time, now: Time) {
        let lateness = &self.surroundings.performance.worker_lateness;
        lateness.observe(now.since(deadline));
    }

    fn takeover_is_near(&mut self) {
        let now = self.now();
        if now.since(self.alerted) >= ALERT_EVERY {
            self.alerted = now;
            self.command(Command::StandBy);
        }
    }

    fn command(&mut self, command: Command) {
        // The driver ends after the workers; should it have died, the supervisor knows.
        let _ended = self.surroundings.driver.send(command);
    }

    fn postponed(&mut self, setup: &Setup, until: Time) {
        let now = self.now();
        if let Some(suppressed) = self.postponements.allow(now.as_micros()) {
            tracing::warn!(
                "VR {} - Nothing heard of the Master, but packets were lost: it has {:?} more\
                 {suppressed}",
                setup.title,
                until.since(now),
            );
        }
    }

    fn late(&mut self, setup: &Setup, late: Duration) {
        let now = self.now();
        if let Some(suppressed) = self.standstills.allow(now.as_micros()) {
            tracing::warn!(
                "VR {} - Nothing heard of the Master, but this host stood still: looked at {late:?} \
                 too late, it has a little more{suppressed}",
                setup.title,
            );
        }
    }

    fn transition(&mut self, setup: &Setup, transition: Transition) {
        let identity = setup.status.identity();
        self.transitions
            .push((Arc::clone(&setup.title), identity, transition));
    }

    fn changed(&mut self, setup: &Setup, before: Condition, cause: Option<Cause>) {
        if !self.surroundings.events.is_watched() {
            return;
        }
        let change = Change::Condition(cause);
        self.changes
            .push(events::Event::since(&setup.status, change, before));
    }
}
