//! A router: the kernel's receive sockets, the listener and the worker, with the real dispatcher,
//! engine and state machine in them and a clock of its own.

use std::collections::VecDeque;
use std::mem::take;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use rvrrpd::driver::{Command, RouterId};
use rvrrpd::fsm::{Params, Reason, Reasons, Time, Transition};
use rvrrpd::pool::{
    Control, Delivery, Dispatcher, Engine, Entry, Host, Mailbox, Sample, Setup, Table,
};
use rvrrpd::stats::{Global, Status};
use rvrrpd::wire::{Family, Vrid};

use super::listener::Listener;
use super::scenario::{Group, Micros, NodePlan};
use super::setup::{expect, id, message, params};

/// The only interface of a node.
const INDEX: u32 = 1;

/// A clock that started at another time and runs a little fast or slow.
#[derive(Clone, Debug)]
pub(crate) struct Clock(pub(crate) NodePlan);

impl Clock {
    pub(crate) fn shows(&self, at: Micros) -> Time {
        let gained = i128::from(at) * i128::from(self.0.drift) / 1_000_000;
        let shown = i128::from(self.0.clock) + i128::from(at) + gained;
        Time::from_micros(u64::try_from(shown).unwrap())
    }

    /// The first moment when the clock shows this time.
    pub(crate) fn moment(&self, time: Time) -> Micros {
        let local = i128::from(time.as_micros()) - i128::from(self.0.clock);
        let guess = local * 1_000_000 / (1_000_000 + i128::from(self.0.drift)) - 1;
        let mut at = u64::try_from(guess.max(0)).unwrap();
        while self.shows(at) < time {
            at += 1;
        }
        at
    }
}

/// What a worker did in one pass, in its order.
#[derive(Debug)]
pub(crate) enum Deed {
    /// Was given new parameters.
    Params(RouterId, Params),
    /// Was told whether it can run.
    Ready(RouterId, bool),
    /// Handled an advertisement.
    Heard(Delivery),
    Transition(RouterId, Transition),
    Sent(Vec<u8>),
    Told(Command),
    /// Does not believe in silence before this time.
    Postponed(RouterId, Time),
}

/// A running daemon.
pub(crate) struct Node {
    pub(crate) clock: Clock,
    pub(crate) engine: Engine<u32>,
    pub(crate) deeds: Vec<Deed>,
    pub(crate) listener: Listener,
    pub(crate) controls: VecDeque<Control<u32>>,
    table: Arc<Table>,
    queue: Receiver<Delivery>,
    status: Vec<Arc<Status>>,
    generation: u64,
    absorbs: bool,
}

/// The engine's view of its node.
struct Rim<'a> {
    now: Time,
    queue: &'a Receiver<Delivery>,
    listener: &'a mut Listener,
    /// Whether the listener runs at the same time.
    race: bool,
    deeds: &'a mut Vec<Deed>,
}

impl Node {
    pub(crate) fn new(plan: &NodePlan, number: usize, groups: &[Group]) -> Self {
        let (sender, queue) = crossbeam_channel::bounded(256);
        // Nobody asks for router advertisements, and nobody sleeps.
        let control = crossbeam_channel::unbounded().0;
        let worker = Mailbox::new(sender, control, std::thread::current());
        let table = Arc::new(Table::default());
        let global = Arc::new(Global::default());
        let mut node = Self {
            clock: Clock(plan.clone()),
            engine: Engine::default(),
            deeds: Vec::new(),
            listener: Listener::new(Dispatcher::new(
                "sim0",
                Arc::clone(&table),
                vec![worker],
                global,
            )),
            controls: VecDeque::new(),
            table,
            queue,
            status: groups.iter().map(|_| Arc::default()).collect(),
            generation: 0,
            absorbs: plan.absorbs,
        };
        for group in 0..groups.len() {
            node.configure(groups, group, number);
        }
        node
    }

    /// What the supervisor does with new values.
    pub(crate) fn configure(&mut self, groups: &[Group], group: usize, number: usize) {
        self.generation += 1;
        let generation = self.generation;
        for family in [Family::V4, Family::V6] {
            let entries = groups.iter().enumerate();
            let entries =
                entries
                    .filter(|(_, group)| group.family == family)
                    .map(|(index, group)| {
                        let entry = Entry {
                            id: id(index),
                            worker: 0,
                            expect: expect(group, &group.settings[number]),
                            status: Arc::clone(&self.status[index]),
                            absorb: self.absorbs.then_some(generation),
                            doorbell: None,
                        };
                        (group.vrid, Arc::new(entry))
                    });
            self.table.replace(family, entries);
        }
        let settings = &groups[group].settings[number];
        self.controls.push_back(Control::Set(Box::new(Setup {
            id: id(group),
            generation,
            title: "".into(),
            params: params(&groups[group], settings),
            message: message(&groups[group], settings),
            router_advertisements: None,
            port: Some(INDEX),
            status: Arc::clone(&self.status[group]),
        })));
    }

    pub(crate) fn ready(&mut self, groups: usize, link: bool) {
        let reasons = Reasons::NONE.with_if(!link, Reason::NoCarrier);
        for group in 0..groups {
            let control = Control::Readiness(id(group), reasons);
            self.controls.push_back(control);
        }
    }

    /// The worker runs: one order or one advertisement, then a pass, in a race with the listener
    /// or not. False if it has ended.
    pub(crate) fn work(&mut self, at: Micros, race: bool) -> bool {
        let mut deeds = take(&mut self.deeds);
        let mut rim = Rim {
            now: self.clock.shows(at),
            queue: &self.queue,
            listener: &mut self.listener,
            race,
            deeds: &mut deeds,
        };
        let mut runs = true;
        if let Some(control) = self.controls.pop_front() {
            match &control {
                Control::Set(setup) => rim.deeds.push(Deed::Params(setup.id, setup.params)),
                Control::Readiness(id, reasons) => {
                    rim.deeds.push(Deed::Ready(*id, reasons.is_ready()));
                }
                Control::Remove(_)
                | Control::Fence(_)
                | Control::Activated(_)
                | Control::Solicited(..)
                | Control::Several(_) => {}
                Control::Stop => {
                    runs = false;
                    let ids = (0..self.status.len()).map(id);
                    rim.deeds.extend(ids.map(|id| Deed::Ready(id, false)));
                }
            }
            self.engine.control(control, &mut rim);
        } else if let Some(delivery) = rim.delivery() {
            self.engine.deliver(&delivery, &mut rim);
        }
        if runs {
            self.engine.pass(&mut rim);
        }
        self.deeds = deeds;
        runs
    }

    /// Whether the worker has something to do at once.
    pub(crate) fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.controls.is_empty()
    }
}

impl Host for Rim<'_> {
    type Port = u32;

    fn index(port: &u32) -> u32 {
        *port
    }

    fn now(&self) -> Time {
        self.now
    }

    fn wall_clock(&self) -> Duration {
        Duration::from_micros(self.now.as_micros())
    }

    /// No router of the simulation sends router advertisements.
    fn random(&mut self) -> u64 {
        0
    }

    fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn delivery(&mut self) -> Option<Delivery> {
        let delivery = self.queue.try_recv().ok()?;
        self.deeds.push(Deed::Heard(delivery.clone()));
        Some(delivery)
    }

    fn drained_until(&mut self, _port: &u32, now: Time) -> Time {
        while self.race && self.listener.listen(now) {}
        self.listener.until(now)
    }

    fn lost_until(&mut self, _port: &u32, now: Time) -> Time {
        self.listener.lost_until(now)
    }

    fn absorb(
        &mut self,
        _port: &u32,
        router: (Family, Vrid),
        sample: &Sample,
        received: Time,
    ) -> bool {
        let heard = self.deeds.iter().rev().find_map(|deed| match deed {
            Deed::Heard(delivery) if delivery.advert.received == received => Some(delivery),
            _ => None,
        });
        let delivery = heard.expect("what is absorbed was heard").clone();
        self.listener.filter.arm(router, sample.clone(), delivery);
        true
    }

    fn last_absorbed(&mut self, _port: &u32, router: (Family, Vrid)) -> Time {
        let (last, news) = self.listener.filter.look(router);
        self.deeds.extend(news.map(Deed::Heard));
        last.advert.received
    }

    fn end_absorption(&mut self, _port: &u32, router: (Family, Vrid)) -> Time {
        let (last, news) = self.listener.filter.look(router);
        self.listener.filter.disarm(router);
        let received = last.advert.received;
        match self.deeds.last() {
            // What was delivered is in the account already.
            Some(Deed::Heard(delivery)) if delivery.id == last.id => {
                if received > delivery.advert.received {
                    self.deeds.push(Deed::Heard(last));
                } else if let Some(news) = news {
                    let at = self.deeds.len() - 1;
                    self.deeds.insert(at, Deed::Heard(news));
                }
            }
            Some(Deed::Params(..)) => {
                let at = self.deeds.len() - 1;
                self.deeds.splice(at..at, news.map(Deed::Heard));
            }
            _ => self.deeds.extend(news.map(Deed::Heard)),
        }
        received
    }

    fn send<'a>(
        &mut self,
        _port: &u32,
        frames: impl Iterator<Item = &'a [u8]>,
        _refused: impl FnMut(usize),
    ) {
        self.deeds
            .extend(frames.map(|frame| Deed::Sent(frame.to_vec())));
    }

    /// No router of the simulation has unicast peers.
    fn send_to_peers<'a>(
        &mut self,
        _port: &u32,
        _family: Family,
        datagrams: impl Iterator<Item = (IpAddr, &'a [u8])>,
    ) -> usize {
        datagrams.count()
    }

    fn command(&mut self, command: Command) {
        self.deeds.push(Deed::Told(command));
    }

    fn postponed(&mut self, setup: &Setup<u32>, until: Time) {
        self.deeds.push(Deed::Postponed(setup.id, until));
    }

    fn transition(&mut self, setup: &Setup<u32>, transition: Transition) {
        self.deeds.push(Deed::Transition(setup.id, transition));
    }
}
