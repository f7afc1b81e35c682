//! The engine of a worker: everything that it decides, without a thread, a clock or a socket.
//!
//! ```text
//!  control, deliver ─┐                                   ┌─▶ Host::send      frames
//!                    ├─▶ Slot: fsm::Router ─▶ actions ──▶┤
//!  deadlines ────────┘   ▲                               └─▶ Host::command   driver
//!      └─ drain barrier ─┘ Host::drained_until, Host::delivery
//!  beats ───────────▶ Chorus: the frames of many Masters ───▶ Host::send
//! ```
//!
//! What it needs it asks of a [`Host`]: the thread of [`super::Worker`], or a simulation with a
//! clock of its own. In the steady state nothing is allocated.

mod absorb;
mod barrier;
mod chorus;
mod host;
mod slot;

use core::time::Duration;
use std::collections::HashMap;

pub use barrier::LEAD;
pub use host::Host;

use super::deadlines::{Deadlines, earliest};
use super::{Control, Delivery, Setup, hold};
use crate::driver::{Command, RouterId};
use crate::fsm::{Action, Event, Reason, Reasons, Router, Time};
use chorus::{Chorus, Score, Soloist};
use slot::Slot;

/// The virtual routers of one worker and what they still want to be done. `P` is how its [`Host`]
/// knows an interface.
#[derive(Debug)]
pub struct Engine<P> {
    slots: Vec<Option<Slot<P>>>,
    places: HashMap<RouterId, usize>,
    deadlines: Deadlines,
    /// Masters that advertise as one; those without any have ended.
    choruses: Vec<Chorus>,
    /// The numbers of those that have not.
    scores: HashMap<Score, usize>,
    /// When, by their numbers.
    beats: Deadlines,
    /// When router advertisements are due.
    advertising: Deadlines,
    /// Reused in every pass, so that no pass allocates.
    actions: Vec<Action>,
    outgoing: Vec<Outgoing>,
    /// Masters that have just advertised by themselves and might do so with others.
    soloists: Vec<Soloist>,
    /// Always empty; its memory is for moving frames.
    spare: Vec<u8>,
    /// Places in a batch of frames that the kernel refused.
    refused: Vec<usize>,
    commands: Vec<Command>,
    due: Vec<(Time, usize)>,
    /// Deadlines that come soon.
    near: Vec<(Time, usize)>,
    expired: Vec<barrier::Expired>,
    drained: Vec<(u32, Time)>,
    lost: Vec<(u32, Time)>,
}

/// A frame that is due.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    port: u32,
    /// To unicast peers, not to the group.
    to_peers: bool,
    slot: usize,
    packet: Packet,
}

/// What a router sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Packet {
    /// An advertisement.
    Advert,
    /// The one with priority 0.
    Resign,
    /// A router advertisement.
    RouterAdvertisement,
    /// The one with router lifetime 0.
    Farewell,
}

impl Outgoing {
    /// What leaves in one batch has this in common.
    const fn way(&self) -> (u32, bool) {
        (self.port, self.to_peers)
    }
}

impl<P> Default for Engine<P> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            places: HashMap::new(),
            deadlines: Deadlines::default(),
            choruses: Vec::new(),
            scores: HashMap::new(),
            beats: Deadlines::default(),
            advertising: Deadlines::default(),
            actions: Vec::new(),
            outgoing: Vec::new(),
            soloists: Vec::new(),
            spare: Vec::new(),
            refused: Vec::new(),
            commands: Vec::new(),
            due: Vec::new(),
            near: Vec::new(),
            expired: Vec::new(),
            drained: Vec::new(),
            lost: Vec::new(),
        }
    }
}

impl<P> Engine<P> {
    /// When a thread had better be awake for the next [`Self::pass`]: when it is due or, where a
    /// silence ends then, [`LEAD`] before, so that a takeover does not wait for a processor that
    /// sleeps.
    #[must_use]
    pub fn wake(&self) -> Option<Time> {
        let first = self.deadlines.first().map(|first| {
            let lead = if self.awaits_silence(first) {
                LEAD
            } else {
                Duration::ZERO
            };
            first.0.before(lead)
        });
        let others = earliest([&self.beats, &self.advertising]);
        first.into_iter().chain(others).min()
    }

    /// When the next [`Self::pass`] is due, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        earliest([&self.deadlines, &self.beats, &self.advertising])
    }

    /// The state machine of a router.
    #[must_use]
    pub fn router(&self, id: RouterId) -> Option<Router> {
        let slot = self.slots[*self.places.get(&id)?].as_ref()?;
        Some(self.alone(slot))
    }

    /// Takes an order. To be followed by [`Self::pass`].
    pub fn control<H: Host<Port = P>>(&mut self, control: Control<P>, host: &mut H) {
        match control {
            Control::Set(setup) => self.set(*setup, host),
            Control::Readiness(id, reasons) => {
                if let Some(&place) = self.places.get(&id) {
                    self.end_absorption(place, host);
                    self.handle(place, Event::Readiness(reasons), host);
                }
            }
            Control::Activated(id) => {
                let now = host.now();
                self.advertise(id, |slot| slot.activated(now));
            }
            Control::Solicited(id, received) => {
                let random = host.random();
                self.advertise(id, |slot| slot.solicited(received, random));
            }
            Control::Remove(ids) => self.remove(ids, host),
            // All that came before has been done, or this would not have its turn.
            Control::Fence(_done) => {}
            Control::Several(controls) => {
                for control in controls {
                    self.control(control, host);
                    // An advertisement that is due does not wait for a thousand orders.
                    self.pass(host);
                }
            }
            Control::Stop => self.stop(host),
        }
    }

    /// Takes an advertisement. To be followed by [`Self::pass`].
    pub fn deliver<H: Host<Port = P>>(&mut self, delivery: &Delivery, host: &mut H) {
        let Some(&place) = self.places.get(&delivery.id) else {
            return;
        };
        self.step_out(place);
        if let Some(slot) = &mut self.slots[place] {
            slot.follow_checksum_form(delivery.checksum_form);
            if slot.router.params().is_owner() {
                // Refused and counted as such; its form of the checksum is all that it teaches.
                return;
            }
            slot.frames.follow(delivery.stamp);
            slot.setup.status.heard(&delivery.advert);
        }
        self.hear(place, delivery, host);
    }

    /// Handles what is in the queue, lets the deadlines that have come take effect, and sends what
    /// all of this gave.
    pub fn pass<H: Host<Port = P>>(&mut self, host: &mut H) {
        self.empty_queue(host);
        let now = host.now();
        if let Some(deadline) = self.deadline().filter(|deadline| *deadline <= now) {
            host.reached(deadline, now);
        }
        self.fire(now, host);
        self.fire_router_advertisements(host);
        self.flush(host);
        self.sing(now, host);
        self.unite();
    }

    /// Changes when the router advertisements of a router leave.
    fn advertise(&mut self, id: RouterId, change: impl FnOnce(&mut Slot<P>)) {
        let Some(&place) = self.places.get(&id) else {
            return;
        };
        if let Some(slot) = &mut self.slots[place] {
            change(slot);
            let next = slot.next_router_advertisement();
            self.advertising.set(place, next);
        }
    }

    /// Lets the router advertisements leave that are due.
    fn fire_router_advertisements<H: Host<Port = P>>(&mut self, host: &mut H) {
        let now = host.now();
        while let Some((due, place)) = self.advertising.first()
            && due <= now
        {
            self.send_router_advertisement::<H>(place, Packet::RouterAdvertisement);
            let slot = self.slots[place].as_mut();
            let next = slot.and_then(|slot| {
                slot.advertised(now, host.random());
                // It is later by the shortest interval; were that 0, this would never end.
                slot.next_router_advertisement().filter(|next| *next > now)
            });
            self.advertising.set(place, next);
        }
    }

    fn send_router_advertisement<H: Host<Port = P>>(&mut self, place: usize, packet: Packet) {
        let slot = self.slots[place].as_ref();
        let outgoing = slot.and_then(|slot| slot.outgoing::<H>(place, packet));
        self.outgoing.extend(outgoing);
    }

    fn set<H: Host<Port = P>>(&mut self, setup: Setup<P>, host: &mut H) {
        let known = self.places.get(&setup.id).copied();
        let now = host.now();
        if let Some(place) = known
            && let Some(slot) = &mut self.slots[place]
            && slot.ends_advertising(&setup)
        {
            slot.advertised(now, host.random());
            self.send_router_advertisement::<H>(place, Packet::Farewell);
        }
        // What is due was decided with the old values and leaves with them.
        self.flush(host);
        let params = setup.params;
        if let Some(place) = known {
            // What the kernel keeps was judged by the old values.
            self.end_absorption(place, host);
            if let Some(slot) = &mut self.slots[place] {
                slot.replace(setup, now);
                let next = slot.next_router_advertisement();
                self.advertising.set(place, next);
            }
            self.handle(place, Event::Params(params), host);
        } else {
            let slot = Slot::new(setup);
            let place = self
                .slots
                .iter()
                .position(Option::is_none)
                .unwrap_or_else(|| {
                    self.slots.push(None);
                    self.slots.len() - 1
                });
            self.places.insert(slot.setup.id, place);
            self.slots[place] = Some(slot);
            self.make_room();
        }
    }

    /// Room for everything that happens to all routers at once, so that then nobody waits for
    /// memory: a thread that is no real-time one may be on its way in the heap.
    fn make_room(&mut self) {
        let count = self.slots.len();
        self.deadlines.hold(count);
        hold(&mut self.outgoing, count);
        hold(&mut self.soloists, count);
        hold(&mut self.commands, count);
        hold(&mut self.due, count);
        hold(&mut self.near, count);
        hold(&mut self.expired, count);
        // One for each interface, of which there are no more.
        hold(&mut self.drained, count);
        hold(&mut self.lost, count);
    }

    /// How many routers there is room for.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.slots.len()
    }

    fn remove<H: Host<Port = P>>(&mut self, ids: Vec<RouterId>, host: &mut H) {
        let places: Vec<usize> = ids.iter().filter_map(|id| self.places.remove(id)).collect();
        for &place in &places {
            self.end_absorption(place, host);
            self.handle(
                place,
                Event::Readiness(Reasons::from(Reason::Stopping)),
                host,
            );
        }
        self.commands.push(Command::Remove(ids));
        self.flush(host);
        for place in places {
            self.slots[place] = None;
            self.deadlines.set(place, None);
            self.advertising.set(place, None);
        }
    }

    /// All Masters resign in one batch before the first address is taken out.
    fn stop<H: Host<Port = P>>(&mut self, host: &mut H) {
        for place in 0..self.slots.len() {
            self.end_absorption(place, host);
            self.handle(
                place,
                Event::Readiness(Reasons::from(Reason::Stopping)),
                host,
            );
        }
        self.flush(host);
    }

    /// Handles the advertisements that are in the queue now, not those that come meanwhile.
    fn empty_queue<H: Host<Port = P>>(&mut self, host: &mut H) {
        for _ in 0..host.waiting() {
            let Some(delivery) = host.delivery() else {
                return;
            };
            self.deliver(&delivery, host);
        }
    }

    fn handle<H: Host<Port = P>>(&mut self, place: usize, event: Event, host: &mut H) {
        self.handle_at(place, event, host.now(), host);
    }

    fn handle_at<H: Host<Port = P>>(
        &mut self,
        place: usize,
        event: Event,
        now: Time,
        host: &mut H,
    ) {
        self.step_out(place);
        let Some(slot) = &mut self.slots[place] else {
            return;
        };
        let is_timer = matches!(event, Event::Timer { .. });
        let interval = slot.router.master_interval();
        slot.router.handle(now, event, &mut self.actions);
        self.deadlines
            .set(place, slot.deadline().map(|deadline| deadline.at));
        let is_advertised_anew = slot.router.master_interval() != interval;
        if is_timer && self.actions == [Action::SendAdvert] && !is_advertised_anew {
            // The steady state of a Master: nothing but its timer has changed, and no memory is
            // touched for the rest, which would have to be fetched for each advertisement.
            self.actions.clear();
            if let Some(outgoing) = slot.outgoing::<H>(place, Packet::Advert) {
                let soloist = Soloist::new(outgoing.port, place, slot);
                self.soloists.extend(soloist);
                self.outgoing.push(outgoing);
            }
            return;
        }
        let status = &slot.setup.status;
        let before = status.condition();
        let mut cause = None;
        status.publish_router(&slot.router);
        let id = slot.setup.id;
        for action in self.actions.drain(..) {
            match action {
                Action::SendAdvert | Action::SendResign => {
                    let packet = if action == Action::SendResign {
                        Packet::Resign
                    } else {
                        Packet::Advert
                    };
                    self.outgoing.extend(slot.outgoing::<H>(place, packet));
                }
                Action::Activate => self.commands.push(Command::Activate(id)),
                Action::Announce => self.commands.push(Command::Announce(id)),
                Action::Deactivate => self.commands.push(Command::Deactivate(id)),
                Action::Transition(transition) => {
                    status.transition(transition, before.reasons, now);
                    host.transition(&slot.setup, transition);
                    cause = Some(transition.cause);
                }
            }
        }
        if status.condition() != before {
            host.changed(&slot.setup, before, cause);
        }
        slot.follow_state();
        let next = slot.next_router_advertisement();
        self.advertising.set(place, next);
    }

    /// Seals the frames that are due, in the order in which they will leave.
    fn seal<H: Host<Port = P>>(&mut self, host: &H) {
        if self.outgoing.is_empty() {
            return;
        }
        let (now, slots) = (host.wall_clock(), &mut self.slots);
        self.outgoing.retain(|outgoing| {
            slots[outgoing.slot]
                .as_mut()
                .is_some_and(|slot| slot.seal(outgoing.packet, now))
        });
    }

    /// Sends the frames that are due, interface by interface, then tells the driver: the first
    /// advertisement never waits for the kernel's configuration.
    fn flush<H: Host<Port = P>>(&mut self, host: &mut H) {
        self.outgoing.sort_unstable_by_key(Outgoing::way);
        self.seal(host);
        for batch in self
            .outgoing
            .chunk_by(|one, other| one.way() == other.way())
        {
            let slots = &self.slots;
            let port = batch
                .first()
                .and_then(|outgoing| slots[outgoing.slot].as_ref())
                .and_then(|slot| slot.setup.port.as_ref());
            let Some(port) = port else {
                continue;
            };
            if batch.first().is_some_and(|outgoing| outgoing.to_peers) {
                for outgoing in batch {
                    if let Some(slot) = &slots[outgoing.slot] {
                        slot.send_to_peers(port, outgoing.packet, host);
                    }
                }
                continue;
            }
            let due = batch.iter().filter_map(|outgoing| {
                let slot = slots[outgoing.slot].as_ref()?;
                Some((slot, outgoing.packet))
            });
            let frames = due.clone().flat_map(|(slot, packet)| slot.packets(packet));
            let refused = &mut self.refused;
            host.send(port, frames, |place| refused.push(place));
            let mut first = 0;
            for (slot, packet) in due {
                let end = first + slot.packets(packet).count();
                let failed = refused.iter().filter(|place| (first..end).contains(place));
                slot.count(end - first, failed.count(), packet);
                first = end;
            }
            refused.clear();
        }
        self.outgoing.clear();
        for command in self.commands.drain(..) {
            host.command(command);
        }
    }
}
