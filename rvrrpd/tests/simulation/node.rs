//! A router: the kernel's receive sockets, the listener and the worker, with the real dispatcher,
//! engine and state machine in them and a clock of its own.

use std::collections::VecDeque;
use std::mem::take;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use rvrrpd::driver::{Command, RouterId};
use rvrrpd::fsm::{Params, Reason, Reasons, Time, Transition};
use rvrrpd::net::backlog::Backlog;
use rvrrpd::net::listener::Sink;
use rvrrpd::pool::{Control, Delivery, Dispatcher, Engine, Entry, Host, Message, Setup, Table};
use rvrrpd::stats::{Global, Status};
use rvrrpd::wire::advert::{Datagram, Expect};
use rvrrpd::wire::auth::Key;
use rvrrpd::wire::{Family, Mac, PRIORITY_OWNER, Version};

use super::scenario::{Group, Micros, NodePlan, Settings};

/// Packets that the listener takes at once.
const BATCH: usize = 32;
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

/// A frame on its way; who sent it and what it says, so that nobody has to ask the code under test.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: Option<usize>,
    pub(crate) family: Family,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
}

/// A frame and when it was received, by the clock of the node.
pub(crate) type Packet = (Rc<Frame>, Time);

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
}

/// The kernel's receive sockets and the thread that reads them.
pub(crate) struct Listener {
    /// IPv4 and IPv6.
    sockets: [VecDeque<Packet>; 2],
    /// Taken out of a socket and not passed on yet.
    in_hand: Option<(usize, Vec<Packet>)>,
    backlogs: [Backlog; 2],
    dispatcher: Dispatcher,
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
        let table = Arc::new(Table::default());
        let global = Arc::new(Global::default());
        let mut node = Self {
            clock: Clock(plan.clone()),
            engine: Engine::default(),
            deeds: Vec::new(),
            listener: Listener {
                sockets: Default::default(),
                in_hand: None,
                backlogs: Default::default(),
                dispatcher: Dispatcher::new("sim0", Arc::clone(&table), vec![sender], global),
            },
            controls: VecDeque::new(),
            table,
            queue,
            status: groups.iter().map(|_| Arc::default()).collect(),
        };
        for group in 0..groups.len() {
            node.configure(groups, group, number);
        }
        node
    }

    /// What the supervisor does with new values.
    pub(crate) fn configure(&mut self, groups: &[Group], group: usize, number: usize) {
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
                        };
                        (group.vrid, Arc::new(entry))
                    });
            self.table.replace(family, entries);
        }
        let settings = &groups[group].settings[number];
        self.controls.push_back(Control::Set(Box::new(Setup {
            id: id(group),
            title: String::new(),
            params: params(&groups[group], settings),
            message: message(&groups[group], settings),
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
                Control::Remove(..) => {}
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

impl Listener {
    /// A packet reaches a socket. False if there is no room for it.
    pub(crate) fn receive(&mut self, frame: Rc<Frame>, received: Time, room: usize) -> bool {
        let socket = &mut self.sockets[socket(frame.family)];
        if socket.len() >= room {
            return false;
        }
        socket.push_back((frame, received));
        true
    }

    /// The listener passes on what it took and takes more. True if it took something.
    pub(crate) fn listen(&mut self) -> bool {
        if let Some((socket, batch)) = self.in_hand.take() {
            for (frame, received) in &batch {
                let datagram = Datagram::from_ethernet(&frame.bytes);
                self.dispatcher.packet(datagram, *received);
            }
            if let Some((_, received)) = batch.last() {
                self.backlogs[socket].passed_on(*received);
            }
            if self.sockets[socket].is_empty() {
                self.backlogs[socket].end();
            } else {
                self.take(socket);
                return true;
            }
        }
        if let Some(socket) = (0..2).find(|socket| !self.sockets[*socket].is_empty()) {
            self.backlogs[socket].begin();
            self.take(socket);
        }
        self.in_hand.is_some()
    }

    fn take(&mut self, socket: usize) {
        let waiting = &mut self.sockets[socket];
        let batch = waiting.drain(..waiting.len().min(BATCH)).collect();
        self.in_hand = Some((socket, batch));
    }

    /// Everything that was received and not passed on.
    pub(crate) fn unread(&self) -> impl Iterator<Item = &Packet> {
        let in_hand = self.in_hand.iter().flat_map(|(_, batch)| batch);
        in_hand.chain(self.sockets.iter().flatten())
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

    fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn delivery(&mut self) -> Option<Delivery> {
        let delivery = self.queue.try_recv().ok()?;
        self.deeds.push(Deed::Heard(delivery));
        Some(delivery)
    }

    fn drained_until(&mut self, _port: &u32, now: Time) -> Time {
        while self.race && self.listener.listen() {}
        let sockets = self.listener.sockets.iter().zip(&self.listener.backlogs);
        sockets
            .map(|(socket, backlog)| backlog.until(now, || !socket.is_empty()))
            .min()
            .unwrap()
    }

    fn send<'a>(&mut self, _port: &u32, frames: impl Iterator<Item = &'a [u8]>) -> bool {
        self.deeds
            .extend(frames.map(|frame| Deed::Sent(frame.to_vec())));
        true
    }

    fn command(&mut self, command: Command) {
        self.deeds.push(Deed::Told(command));
    }

    fn transition(&mut self, setup: &Setup<u32>, transition: Transition) {
        self.deeds.push(Deed::Transition(setup.id, transition));
    }
}

pub(crate) fn id(group: usize) -> RouterId {
    RouterId(u32::try_from(group).unwrap())
}

fn socket(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

pub(crate) fn key(group: &Group) -> Key {
    if group.password {
        Key::simple(b"secret")
    } else {
        Key::None
    }
}

pub(crate) fn addresses(family: Family, count: u8) -> Vec<IpAddr> {
    (0..count)
        .map(|number| match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100 + number)),
            Family::V6 if number == 0 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100)),
            Family::V6 => IpAddr::V6(Ipv6Addr::new(
                0x2001,
                0xdb8,
                0,
                0,
                0,
                0,
                0,
                u16::from(number),
            )),
        })
        .collect()
}

fn params(group: &Group, settings: &Settings) -> Params {
    Params {
        version: group.version,
        priority: settings.priority,
        interval: settings.interval,
        preempt: settings.preempt,
        preempt_delay: settings.preempt_delay,
        startup_delay: settings.startup_delay,
        source: settings.source,
    }
}

fn message(group: &Group, settings: &Settings) -> Message {
    Message {
        vrid: group.vrid,
        family: group.family,
        version: group.version,
        addresses: addresses(group.family, settings.addresses),
        auth: key(group),
        source_mac: Mac::of_virtual_router(group.family, group.vrid),
        checksum_form: match group.version {
            Version::V2 => None,
            Version::V3 => settings.checksum_form,
        },
    }
}

fn expect(group: &Group, settings: &Settings) -> Expect {
    Expect {
        version: group.version,
        vrid: group.vrid,
        source: settings.source,
        interval: settings.interval,
        addresses: addresses(group.family, settings.addresses),
        address_list_check: true,
        owner: settings.priority == PRIORITY_OWNER,
        auth: key(group),
    }
}
