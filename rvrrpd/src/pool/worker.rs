//! A worker: the thread that owns some of the virtual routers.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, select};

use super::deadlines::Deadlines;
use super::frames::Frames;
use super::{Control, Delivery, Port, Setup};
use crate::driver::{Command, RouterId};
use crate::fsm::{Action, Deadline, Event, Reason, Reasons, Router, State, Time, Transition};
use crate::log::Limiter;
use crate::net::sys::clock;
use crate::wire::Version;
use crate::wire::advert::ChecksumForm;

/// How long a Backup whose time is up waits for its listener to catch up before it looks again.
const DRAIN_RETRY: Duration = Duration::from_micros(200);
/// Longest wait when no router has a deadline.
const IDLE: Duration = Duration::from_secs(3600);

/// The virtual routers of one thread and what they still want to be done.
#[derive(Debug)]
pub struct Worker {
    adverts: Receiver<Delivery>,
    control: Receiver<Control>,
    driver: Sender<Command>,
    slots: Vec<Option<Slot>>,
    places: HashMap<RouterId, usize>,
    deadlines: Deadlines,
    /// Reused in every pass, so that no pass allocates.
    actions: Vec<Action>,
    outgoing: Vec<Outgoing>,
    /// Places in a batch of frames that the kernel refused.
    refused: Vec<usize>,
    commands: Vec<Command>,
    expired: Vec<usize>,
    drained: Vec<(u32, Time)>,
    send_complaint: Limiter,
}

/// One virtual router with its frames.
#[derive(Debug)]
struct Slot {
    setup: Setup,
    router: Router,
    checksum_form: ChecksumForm,
    frames: Frames,
}

/// A frame that is due.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    port: u32,
    slot: usize,
    resign: bool,
}

impl Worker {
    /// A worker without routers.
    #[must_use]
    pub fn new(
        adverts: Receiver<Delivery>,
        control: Receiver<Control>,
        driver: Sender<Command>,
    ) -> Self {
        Self {
            adverts,
            control,
            driver,
            slots: Vec::new(),
            places: HashMap::new(),
            deadlines: Deadlines::default(),
            actions: Vec::new(),
            outgoing: Vec::new(),
            refused: Vec::new(),
            commands: Vec::new(),
            expired: Vec::new(),
            drained: Vec::new(),
            send_complaint: Limiter::new(),
        }
    }

    /// Works until [`Control::Stop`].
    pub fn run(mut self) {
        loop {
            let wait = self
                .deadlines
                .first()
                .map_or(IDLE, |(deadline, _)| deadline.at.since(clock::monotonic()));
            select! {
                recv(self.control) -> control => match control {
                    Ok(Control::Stop) | Err(_) => return self.stop(),
                    Ok(control) => self.control(control),
                },
                recv(self.adverts) -> delivery => {
                    if let Ok(delivery) = delivery {
                        self.deliver(&delivery);
                    }
                }
                default(wait) => {}
            }
            self.empty_queue();
            self.fire();
            self.flush();
        }
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Set(setup) => self.set(*setup),
            Control::Readiness(id, reasons) => {
                if let Some(&slot) = self.places.get(&id) {
                    self.handle(slot, Event::Readiness(reasons));
                }
            }
            Control::Remove(ids, _left) => self.remove(ids),
            Control::Stop => {}
        }
    }

    fn set(&mut self, setup: Setup) {
        // What is due was decided with the old values and leaves with them.
        self.flush();
        let params = setup.params;
        if let Some(&place) = self.places.get(&setup.id) {
            if let Some(slot) = &mut self.slots[place] {
                slot.setup = setup;
                slot.choose_checksum_form();
                slot.make_frames();
            }
            self.handle(place, Event::Params(params));
        } else {
            let mut slot = Slot::new(setup);
            slot.make_frames();
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
        }
    }

    fn remove(&mut self, ids: Vec<RouterId>) {
        let places: Vec<usize> = ids.iter().filter_map(|id| self.places.remove(id)).collect();
        for &place in &places {
            self.handle(place, Event::Readiness(Reasons::from(Reason::Stopping)));
        }
        self.commands.push(Command::Remove(ids));
        self.flush();
        for place in places {
            self.slots[place] = None;
            self.deadlines.set(place, None);
        }
    }

    /// All Masters resign in one batch before the first address is taken out.
    fn stop(mut self) {
        for slot in 0..self.slots.len() {
            self.handle(slot, Event::Readiness(Reasons::from(Reason::Stopping)));
        }
        self.flush();
    }

    /// Handles the advertisements that are in the queue now, not those that come meanwhile.
    fn empty_queue(&mut self) {
        for _ in 0..self.adverts.len() {
            let Ok(delivery) = self.adverts.try_recv() else {
                return;
            };
            self.deliver(&delivery);
        }
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let Some(&place) = self.places.get(&delivery.id) else {
            return;
        };
        if let Some(slot) = &mut self.slots[place] {
            slot.follow_checksum_form(delivery.checksum_form);
            slot.frames.follow(delivery.stamp);
        }
        self.handle(place, Event::Advert(delivery.advert));
    }

    /// Lets the deadlines that have come take effect. The silence that a Backup acts on counts
    /// only if its listener has caught up, and whatever that brought has been handled.
    fn fire(&mut self) {
        let now = clock::monotonic();
        self.drained.clear();
        while let Some((deadline, place)) = self.deadlines.first()
            && deadline.at <= now
        {
            self.expired.push(place);
            let later = Deadline {
                at: now + DRAIN_RETRY,
                generation: deadline.generation,
            };
            self.deadlines.set(place, Some(later));
        }
        if self.expired.is_empty() {
            return;
        }
        let mut expired = core::mem::take(&mut self.expired);
        expired.retain(|&place| self.is_proven(place, now));
        self.empty_queue();
        for place in expired.drain(..) {
            let Some(slot) = &self.slots[place] else {
                continue;
            };
            match slot.router.deadline() {
                Some(deadline) if deadline.at <= now => {
                    self.handle(
                        place,
                        Event::Timer {
                            generation: deadline.generation,
                        },
                    );
                }
                deadline => self.deadlines.set(place, deadline),
            }
        }
        self.expired = expired;
    }

    /// Whether everything that was received for this router before its deadline is in our queue.
    fn is_proven(&mut self, place: usize, now: Time) -> bool {
        let Some(slot) = &self.slots[place] else {
            return true;
        };
        let deadline = slot.router.deadline();
        let port = slot.setup.port.as_ref();
        let (Some(deadline), Some(port)) = (deadline, port.filter(|_| slot.router.needs_drain()))
        else {
            return true;
        };
        let known = self.drained.iter().find(|(index, _)| *index == port.index);
        let until = known.map(|(_, until)| *until).unwrap_or_else(|| {
            let until = port.drained_until(now);
            self.drained.push((port.index, until));
            until
        });
        deadline.at <= until
    }

    fn handle(&mut self, place: usize, event: Event) {
        let Some(slot) = &mut self.slots[place] else {
            return;
        };
        let now = clock::monotonic();
        slot.router.handle(now, event, &mut self.actions);
        self.deadlines.set(place, slot.router.deadline());
        let status = &slot.setup.status;
        status.publish(slot.router.reasons(), slot.router.params().priority);
        let port = slot.setup.port.as_ref().map(|port| port.index);
        let id = slot.setup.id;
        for action in self.actions.drain(..) {
            match action {
                Action::SendAdvert | Action::SendResign => {
                    let resign = action == Action::SendResign;
                    self.outgoing.extend(port.map(|port| Outgoing {
                        port,
                        slot: place,
                        resign,
                    }));
                }
                Action::Activate => self.commands.push(Command::Activate(id)),
                Action::Announce => self.commands.push(Command::Announce(id)),
                Action::Deactivate => self.commands.push(Command::Deactivate(id)),
                Action::Transition(transition) => {
                    publish(&slot.setup, transition, now);
                }
            }
        }
    }

    /// Seals the frames that are due, in the order in which they will leave.
    fn seal(&mut self) {
        let now = clock::realtime();
        let slots = &mut self.slots;
        self.outgoing.retain(|outgoing| {
            slots[outgoing.slot].as_mut().is_some_and(|slot| {
                let key = &slot.setup.message.auth;
                slot.frames.seal(key, outgoing.resign, now)
            })
        });
    }

    /// Sends the frames that are due, interface by interface, then tells the driver: the first
    /// advertisement never waits for the kernel's configuration.
    fn flush(&mut self) {
        self.outgoing.sort_unstable_by_key(|outgoing| outgoing.port);
        self.seal();
        for batch in self.outgoing.chunk_by(|one, other| one.port == other.port) {
            let slots = &self.slots;
            let frames = batch.iter().filter_map(|outgoing| {
                let slot = slots[outgoing.slot].as_ref()?;
                Some(slot.frames.bytes(outgoing.resign))
            });
            let port = batch
                .first()
                .and_then(|outgoing| slots[outgoing.slot].as_ref())
                .and_then(|slot| slot.setup.port.as_ref());
            let Some(port) = port else {
                continue;
            };
            let refused = &mut self.refused;
            port.sender.send(frames, |place, error| {
                refused.push(place);
                complain(&self.send_complaint, port, &error);
            });
            for (place, outgoing) in batch.iter().enumerate() {
                if let Some(slot) = &slots[outgoing.slot] {
                    slot.count_sent(!refused.contains(&place), outgoing.resign);
                }
            }
            refused.clear();
        }
        self.outgoing.clear();
        for command in self.commands.drain(..) {
            // The driver ends after the workers; should it have died, the supervisor knows.
            let _ended = self.driver.send(command);
        }
    }
}

impl Slot {
    fn new(setup: Setup) -> Self {
        let router = Router::new(setup.params);
        let checksum_form = setup.message.checksum_form.unwrap_or(ChecksumForm::Message);
        Self {
            setup,
            router,
            checksum_form,
            frames: Frames::default(),
        }
    }

    fn choose_checksum_form(&mut self) {
        if let Some(form) = self.setup.message.checksum_form {
            self.checksum_form = form;
        }
    }

    /// V3-CK-1, V3-CK-2: where nothing else is configured, speak as the peer does.
    fn follow_checksum_form(&mut self, form: ChecksumForm) {
        let follows =
            self.setup.message.version == Version::V3 && self.setup.message.checksum_form.is_none();
        if follows && form != self.checksum_form {
            self.checksum_form = form;
            self.make_frames();
        }
    }

    fn make_frames(&mut self) {
        let Setup {
            message, params, ..
        } = &self.setup;
        self.frames.make(message, params, self.checksum_form);
    }

    fn count_sent(&self, sent: bool, resign: bool) {
        let status = &self.setup.status;
        if !sent {
            status.send_errors.count();
            return;
        }
        status.advertisement_sent.count();
        if resign {
            status.priority_zero_pkts_sent.count();
        }
    }
}

fn publish(setup: &Setup, transition: Transition, now: Time) {
    setup.status.transition(transition.to, now);
    if transition.to == State::Master {
        setup.status.master_transitions.count();
    }
    tracing::info!(
        "VR {} - Changed from {} to {} ({})",
        setup.title,
        transition.from,
        transition.to,
        transition.cause.name(),
    );
}

fn complain(limiter: &Limiter, port: &Arc<Port>, error: &std::io::Error) {
    if let Some(suppressed) = limiter.allow(clock::monotonic().as_micros()) {
        tracing::warn!(
            "advertisements on interface {} not sent: {error} ({suppressed} more like it not \
             logged)",
            port.index,
        );
    }
}
