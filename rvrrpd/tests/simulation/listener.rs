//! The way from the wire into the queue of the worker, with the real dispatcher and the real account
//! of what has been read.

use std::collections::VecDeque;
use std::rc::Rc;

use rvrrpd::fsm::Time;
use rvrrpd::net::backlog::Backlog;
use rvrrpd::net::listener::Sink;
use rvrrpd::pool::Dispatcher;
use rvrrpd::wire::advert::Datagram;
use rvrrpd::wire::{Family, Version, Versions};

use super::filter::Filter;

/// Packets that the listener takes at once.
const BATCH: usize = 32;

/// A frame on its way; who sent it and what it says, so that nobody has to ask the code under test.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: Option<usize>,
    pub(crate) family: Family,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    pub(crate) version: Version,
    /// Whether it says in version 2 what another one said in version 3.
    pub(crate) double: bool,
}

impl Frame {
    /// Whether who speaks these versions makes anything of it.
    pub(crate) fn is_for(&self, versions: Versions) -> bool {
        versions.include(self.version) && !(self.double && versions == Versions::Both)
    }
}

/// A frame and when it was received, by the clock of the node.
pub(crate) type Packet = (Rc<Frame>, Time);

/// What became of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Receipt {
    /// It is in the socket.
    Waits,
    /// The filter kept it.
    Absorbed,
    /// The socket was full.
    Lost,
}

/// The kernel's receive sockets and the thread that reads them.
pub(crate) struct Listener {
    /// IPv4 and IPv6.
    sockets: [VecDeque<Packet>; 2],
    pub(crate) filter: Filter,
    /// Taken out of a socket and not passed on yet.
    in_hand: Option<(usize, Vec<Packet>)>,
    backlogs: [Backlog; 2],
    overflows: [u32; 2],
    dispatcher: Dispatcher,
}

impl Listener {
    pub(crate) fn new(dispatcher: Dispatcher) -> Self {
        Self {
            sockets: Default::default(),
            filter: Filter::default(),
            in_hand: None,
            backlogs: Default::default(),
            overflows: [0; 2],
            dispatcher,
        }
    }

    /// A packet reaches a socket. Whether there is room for it comes before the filter.
    pub(crate) fn receive(&mut self, frame: Rc<Frame>, received: Time, room: usize) -> Receipt {
        let socket = socket(frame.family);
        if self.sockets[socket].len() >= room {
            self.overflows[socket] += 1;
            return Receipt::Lost;
        }
        if self.filter.absorbs(&frame, received) {
            return Receipt::Absorbed;
        }
        self.sockets[socket].push_back((frame, received));
        Receipt::Waits
    }

    /// The listener passes on what it took and takes more. True if it took something.
    pub(crate) fn listen(&mut self, now: Time) -> bool {
        if let Some((socket, batch)) = self.in_hand.take() {
            for (frame, received) in &batch {
                let datagram = Datagram::from_ethernet(&frame.bytes);
                if !self.dispatcher.packet(datagram, *received) {
                    self.backlogs[socket].lost(*received);
                }
            }
            if let Some((_, received)) = batch.last() {
                self.backlogs[socket].passed_on(*received);
            }
            if self.sockets[socket].is_empty() {
                self.backlogs[socket].end();
                self.backlogs[socket].overflows(self.overflows[socket], now);
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

    /// What `net::listener::Progress` says.
    pub(crate) fn lost_until(&self, now: Time) -> Time {
        let sockets = self.overflows.iter().zip(&self.backlogs);
        let losses = sockets.map(|(overflows, backlog)| backlog.lost_until(now, *overflows));
        losses.max().unwrap()
    }

    /// What `net::listener::Progress` says.
    pub(crate) fn until(&self, now: Time) -> Time {
        let sockets = self.sockets.iter().zip(&self.backlogs);
        sockets
            .map(|(socket, backlog)| backlog.until(now, || !socket.is_empty()))
            .min()
            .unwrap()
    }
}

fn socket(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}
