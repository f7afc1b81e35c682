//! The pool: worker threads that own the virtual routers.
//!
//! ```text
//!  listener ─▶ Dispatcher ──┬─▶ bounded queue ─▶ Worker 0 ─▶ sender, driver
//!  (checks, table of VRIDs) └─▶ bounded queue ─▶ Worker 1 ─▶ sender, driver
//!  supervisor ──────────────── control queue ──▶ each
//! ```
//!
//! A worker alone touches its routers, so there are no locks; a router stays on its worker for
//! life. Nothing in here waits for the kernel, a file or a script. What a worker decides is its
//! [`Engine`], which knows no thread, clock or socket, so that a simulation can run it.

mod advertising;
mod deadlines;
mod dispatch;
mod doorbell;
mod engine;
mod frames;
mod mailbox;
mod mixed;
mod port;
mod replay;
mod senders;
mod steady;
mod table;
mod worker;

use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

pub use dispatch::Dispatcher;
pub use doorbell::Doorbell;
pub use engine::{Engine, Host, LEAD};
pub use mailbox::Mailbox;
pub use port::{Port, PortSlots};
pub use steady::{LONGEST_SAMPLE, Sample};
pub use table::{Entry, Table};
pub use worker::Worker;

use crate::driver::{Command, RouterId};
use crate::events;
use crate::fsm::{Advert, Params, Reasons, Time};
use crate::stats::{Performance, Status};
use crate::wire::advert::{ChecksumForm, Peers};
use crate::wire::auth::{Key, Stamp};
use crate::wire::{Family, Mac, Versions, Vrid};
use std::net::{IpAddr, Ipv6Addr};

/// Advertisements that may wait for one worker: two of each virtual router, within these bounds. A
/// worker that is farther behind has lost them anyway; bounding the queue bounds the memory that the
/// LAN can make us use.
const SHORTEST_QUEUE: usize = 1536;
const LONGEST_QUEUE: usize = 8192;

/// Room for so many in a list, so that nobody waits for memory when they come.
fn hold<T>(list: &mut Vec<T>, count: usize) {
    list.reserve(count.saturating_sub(list.len()));
}

/// An accepted advertisement on its way to its router.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The virtual router.
    pub id: RouterId,
    /// What the state machine needs.
    pub advert: Advert,
    /// Checksum form that the sender used; none in version 2, which has one alone.
    pub checksum_form: Option<ChecksumForm>,
    /// Its number, where authentication numbers messages.
    pub stamp: Option<Stamp>,
    /// What it looks like, where it repeats the one before and the kernel may keep more of them to
    /// itself; and [`Setup::generation`] that it was judged by.
    pub sample: Option<(u64, Box<Sample>)>,
}

/// What a virtual router sends, from which its frames are made.
#[derive(Clone, Debug)]
pub struct Message {
    /// VRID.
    pub vrid: Vrid,
    /// Address family.
    pub family: Family,
    /// Versions, each of which is one message.
    pub versions: Versions,
    /// Addresses in the order in which they are advertised.
    pub addresses: Vec<IpAddr>,
    /// Authentication.
    pub auth: Key,
    /// Whom it is sent to.
    pub peers: Peers,
    /// Ethernet source address; looked at only where it is sent to the group, for datagrams to
    /// peers have that of the interface.
    pub source_mac: Mac,
    /// Checksum form of version 3; none: follow the peer, message only until one is heard.
    pub checksum_form: Option<ChecksumForm>,
}

/// The router advertisements of an IPv6 virtual router, which it sends while Master.
#[derive(Clone, Debug)]
pub struct RouterAdvertisements {
    /// The whole frame.
    pub frame: Vec<u8>,
    /// The one with router lifetime 0, for when the configuration ends them, not for when Master
    /// is given up: the virtual router lives on (RA-5).
    pub farewell: Vec<u8>,
    /// Source of both, the virtual link-local address.
    pub source: Ipv6Addr,
    /// Least time between two unsolicited ones, at least 3 s (MinRtrAdvInterval).
    pub min_interval: Duration,
    /// Most time between two (MaxRtrAdvInterval).
    pub max_interval: Duration,
    /// What hosts ring that ask for one.
    pub doorbell: Arc<Doorbell>,
}

impl RouterAdvertisements {
    /// Whether both say the same, equally often.
    fn says_the_same(&self, other: &Self) -> bool {
        self.frame == other.frame
            && self.min_interval == other.min_interval
            && self.max_interval == other.max_interval
    }
}

/// Everything a worker needs to run a virtual router. `P` is how it knows an interface. What each
/// advertisement takes is at the end.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Setup<P = Arc<Port>> {
    /// Its handle.
    pub id: RouterId,
    /// Another one for each setup of this router.
    pub generation: u64,
    /// How it is called in the log: `<vip> for group <g> on interface <if>`.
    pub title: Arc<str>,
    /// Parameters of the state machine.
    pub params: Params,
    /// What it sends.
    pub message: Message,
    /// Its router advertisements; none: it sends none.
    pub router_advertisements: Option<Box<RouterAdvertisements>>,
    /// The interface it sends on and hears; none while there is no such interface.
    pub port: Option<P>,
    /// Where its state is published.
    pub status: Arc<Status>,
}

/// What a worker is told beside advertisements.
#[derive(Debug)]
pub enum Control<P = Arc<Port>> {
    /// A new virtual router, or new values for one that is there: it keeps its state.
    Set(Box<Setup<P>>),
    /// The reasons why it cannot run have changed.
    Readiness(RouterId, Reasons),
    /// What the Master needs is in the kernel, and its addresses have been announced.
    Activated(RouterId),
    /// A host asked for a router advertisement at this time.
    Solicited(RouterId, Time),
    /// They leave: as Master with priority 0. Everything of theirs is then taken out of the
    /// kernel.
    Remove(Vec<RouterId>),
    /// The sender is dropped when what was ordered before has been done, the last advertisements have
    /// left, and what followed has been told.
    Fence(Sender<()>),
    /// These, in their order: the worker is woken once for all of them.
    Several(Vec<Self>),
    /// All leave, and the thread ends.
    Stop,
}

impl<P> Control<P> {
    /// Whether a state may follow from it.
    fn is_order(&self) -> bool {
        match self {
            Self::Activated(_) | Self::Solicited(..) | Self::Fence(_) => false,
            Self::Several(controls) => controls.iter().any(Self::is_order),
            Self::Set(_) | Self::Readiness(..) | Self::Remove(..) | Self::Stop => true,
        }
    }
}

/// Whom a worker tells.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The queue of the driver.
    pub driver: Sender<Command>,
    /// Who watches.
    pub events: events::Sender,
    /// How late it is.
    pub performance: Arc<Performance>,
}

/// One worker thread, as the others see it.
#[derive(Debug)]
pub struct Handle {
    /// Its queues.
    pub mailbox: Mailbox,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Starts worker `number`, which calls `prepare` once (scheduling). Of `routers` virtual routers any
    /// number may be its own, and all of them may be told of at once. It ends with [`Control::Stop`]
    /// alone.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub fn start(
        number: usize,
        routers: usize,
        surroundings: Surroundings,
        prepare: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let places = (2 * routers).clamp(SHORTEST_QUEUE, LONGEST_QUEUE);
        let (adverts, incoming): (_, Receiver<Delivery>) = crossbeam_channel::bounded(places);
        let (control, orders) = crossbeam_channel::unbounded();
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                prepare();
                Worker::new(incoming, orders, surroundings).run();
            })?;
        Ok(Self {
            mailbox: Mailbox::new(adverts, control, thread.thread().clone()),
            thread,
        })
    }

    /// Waits until the thread has ended, after [`Control::Stop`].
    pub fn join(self) {
        let _panicked = self.thread.join();
    }
}
