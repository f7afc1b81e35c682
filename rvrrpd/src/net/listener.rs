//! The listener of an interface: a thread that reads its receive sockets, its own one or one that
//! reads those of many interfaces ([`SharedListener`]).

mod shared;

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use arc_swap::ArcSwapOption;

pub use shared::SharedListener;

use super::backlog::Backlog;
use super::socket::Receiver;
use super::solicitation;
use super::sys::{self, mmsg::Batch, mmsg::Received};
use crate::fsm::Time;
use crate::wire::Family;
use crate::wire::advert::Datagram;
use crate::wire::verdict::Reject;

/// Older than this, a receive time stamp is the effect of a stepped wall clock, not of a queue.
const LONGEST_QUEUE: core::time::Duration = core::time::Duration::from_secs(60);

/// Longest time between readings of two clocks that are of the same time.
const SAME_TIME: core::time::Duration = core::time::Duration::from_micros(100);

/// Batches of one socket before the other one, and the order to stop, have their turn.
const MOST_BATCHES: usize = 64;

/// Least time between two looks at solicitations, one batch each: a flood of them costs next to
/// nothing, and what has no room meanwhile is lost. Each router answers every 3 s at most.
const SOLICITATION_PAUSE: core::time::Duration = core::time::Duration::from_millis(100);

/// How long a listener lets packets gather that come so fast that it is woken for each, in
/// milliseconds. The socket has room for more of them than can come meanwhile, nobody believes in
/// silence before they are read, and times are those of the kernel.
const MODERATION_PAUSE: i32 = 1;

/// Wakeups in a row, each within a pause of the one before, that are too often.
const MODERATION_STREAK: u32 = 16;

/// Whether a listener is woken so often that it should let packets gather: a thousand wakeups a
/// second cost next to nothing, a hundred thousand a whole processor.
#[derive(Debug, Default)]
struct Moderation {
    woken: Time,
    streak: u32,
}

impl Moderation {
    /// It was woken at this time.
    fn is_too_often(&mut self, woken: Time) -> bool {
        // The pause itself is in between once it is kept.
        let is_near = woken.since(self.woken) < core::time::Duration::from_millis(2);
        self.woken = woken;
        self.streak = if is_near {
            self.streak.saturating_add(1)
        } else {
            0
        };
        self.streak >= MODERATION_STREAK
    }
}

/// Takes what a listener receives.
pub trait Sink: Send + 'static {
    /// One packet of protocol 112, or why it is not even a datagram, and when the kernel
    /// received it. False where it was lost: whom it is for has no room for it.
    fn packet(&mut self, datagram: Result<Datagram<'_>, Reject>, received: Time) -> bool;

    /// So many packets found a receive buffer full, and were lost before any filter saw them.
    fn overflowed(&mut self, packets: u32, now: Time);

    /// One ICMPv6 packet that may be a router solicitation.
    fn solicitation(&mut self, datagram: &Datagram<'_>, received: Time);
}

/// How far the listener of an interface has come. Whoever wants to conclude something from
/// silence asks it first.
#[derive(Debug)]
pub struct Progress {
    /// What was read from one socket says nothing about another.
    receivers: Vec<(Receiver, Backlog)>,
    /// One that was added while the listener ran.
    added: OnceLock<(Receiver, Backlog)>,
    /// Where solicitations come in; no election depends on them.
    solicitations: ArcSwapOption<solicitation::Receiver>,
}

impl Progress {
    fn new(receivers: Vec<Receiver>) -> Self {
        let receivers = receivers.into_iter();
        Self {
            receivers: receivers
                .map(|receiver| (receiver, Backlog::default()))
                .collect(),
            added: OnceLock::new(),
            solicitations: ArcSwapOption::empty(),
        }
    }

    /// Every packet that the kernel received before this time has been passed on: see
    /// [`Backlog::until`].
    #[must_use]
    pub fn until(&self, now: Time) -> Time {
        self.sockets()
            .map(|(receiver, backlog)| backlog.until(now, || receiver.is_readable()))
            .min()
            .unwrap_or(now)
    }

    /// No packet was lost for want of room that the kernel received later than this.
    #[must_use]
    pub fn lost_until(&self, now: Time) -> Time {
        let sockets = self.sockets();
        let losses =
            sockets.map(|(receiver, backlog)| backlog.lost_until(now, receiver.overflows()));
        losses.max().unwrap_or_default()
    }

    /// The receive sockets, to change their filters.
    pub fn receivers(&self) -> impl Iterator<Item = &Receiver> {
        self.sockets().map(|(receiver, _)| receiver)
    }

    fn sockets(&self) -> impl Iterator<Item = &(Receiver, Backlog)> {
        self.receivers.iter().chain(self.added.get())
    }
}

/// A running listener; dropping it ends its thread, if that is its own one, and closes the sockets.
/// Nothing reaches the sink after that.
#[derive(Debug)]
pub struct Listener {
    progress: Arc<Progress>,
    way: Way,
}

/// Who reads.
#[derive(Debug)]
enum Way {
    /// A thread of its own.
    Alone {
        stop: Option<UnixStream>,
        thread: Option<JoinHandle<()>>,
    },
    /// A thread that reads for others, too.
    Shared(shared::Membership),
}

impl Listener {
    /// Starts the thread `name`. It calls `prepare` once (scheduling), then reads `receivers`
    /// into `sink`.
    ///
    /// # Errors
    /// The thread or its stop channel cannot be made.
    pub fn start(
        name: &str,
        receivers: Vec<Receiver>,
        prepare: impl FnOnce() + Send + 'static,
        sink: impl Sink,
    ) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let progress = Arc::new(Progress::new(receivers));
        let shared = Arc::clone(&progress);
        let thread = std::thread::Builder::new()
            .name(format!("rx-{name}"))
            .spawn(move || {
                prepare();
                listen(&shared, &stopped, sink);
            })?;
        Ok(Self {
            progress,
            way: Way::Alone {
                stop: Some(stop),
                thread: Some(thread),
            },
        })
    }

    /// Lets the running listener read one more socket. There can be one; a second is dropped.
    ///
    /// # Errors
    /// The listener cannot be woken.
    pub fn add(&self, receiver: Receiver) -> io::Result<()> {
        let _second = self.progress.added.set((receiver, Backlog::default()));
        match (&self.way, self.progress.added.get()) {
            (Way::Shared(membership), Some((receiver, _))) => membership.read(receiver),
            _ => self.wake(),
        }
    }

    /// Lets the running listener read solicitations from this socket, or from none; the one
    /// before closes.
    ///
    /// # Errors
    /// The listener cannot be woken.
    pub fn solicitations(&self, receiver: Option<solicitation::Receiver>) -> io::Result<()> {
        let receiver = receiver.map(Arc::new);
        if let Way::Shared(membership) = &self.way {
            membership.read_solicitations(receiver.as_deref())?;
        }
        self.progress.solicitations.store(receiver);
        self.wake()
    }

    /// Whether there is a socket for solicitations.
    #[must_use]
    pub fn hears_solicitations(&self) -> bool {
        self.progress.solicitations.load().is_some()
    }

    fn wake(&self) -> io::Result<()> {
        match &self.way {
            Way::Alone {
                stop: Some(stop), ..
            } => (&mut &*stop).write_all(&[0]),
            _ => Ok(()),
        }
    }

    /// How far the listener has come.
    #[must_use]
    pub const fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Way::Alone { stop, thread } = &mut self.way {
            drop(stop.take());
            if let Some(thread) = thread.take() {
                let _panicked = thread.join();
            }
        }
    }
}

fn listen(progress: &Progress, stopped: &UnixStream, mut sink: impl Sink) {
    let mut batch = Batch::default();
    let mut moderation = Moderation::default();
    let mut pause = None;
    loop {
        let solicitations = progress.solicitations.load_full();
        let asked = match wait(progress, solicitations.as_deref(), pause, stopped) {
            Ok(asked) => asked,
            Err(error) => {
                if let Some(error) = error {
                    tracing::error!("listener ends: {error}");
                }
                return;
            }
        };
        let woken = sys::clock::monotonic();
        read_all(progress, &mut batch, &mut sink);
        if let Some(receiver) = solicitations.as_deref().filter(|_| asked) {
            read_solicitations(receiver, &mut batch, &mut sink);
            pause = Some(sys::clock::monotonic() + SOLICITATION_PAUSE);
        }
        if moderation.is_too_often(woken) {
            // Only the order to stop is worth waking for.
            drop(sys::socket::poll([stopped.as_fd()], MODERATION_PAUSE));
        }
    }
}

/// Waits for a packet or for a change of the sockets, and says whether somebody solicits;
/// solicitations are not looked at before `pause` is over. An error without a cause is the order
/// to stop.
fn wait(
    progress: &Progress,
    solicitations: Option<&solicitation::Receiver>,
    pause: Option<Time>,
    mut stopped: &UnixStream,
) -> Result<bool, Option<io::Error>> {
    let stop = stopped.as_fd();
    let mut receivers = progress.receivers().map(AsFd::as_fd);
    let [first, second, third] = [(); 3].map(|()| receivers.next().unwrap_or(stop));
    let left = pause.map(|pause| pause.since(sys::clock::monotonic()));
    let left = left.filter(|left| solicitations.is_some() && !left.is_zero());
    let timeout = left.map_or(-1, |left| {
        i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX)
    });
    let fourth = solicitations
        .filter(|_| left.is_none())
        .map_or(stop, AsFd::as_fd);
    match sys::socket::poll([stop, first, second, third, fourth], timeout) {
        // A byte says that the sockets are others, the end of the stream that it is over.
        Ok([true, ..]) => match stopped.read(&mut [0]) {
            Ok(0) => Err(None),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(Some(error)),
        },
        Ok([.., asked]) => Ok(asked),
        Err(error) => Err(Some(error)),
    }
}

/// Reads what has come, from all sockets but that of solicitations.
fn read_all(progress: &Progress, batch: &mut Batch, sink: &mut (impl Sink + ?Sized)) {
    for (receiver, backlog) in progress.sockets() {
        backlog.begin();
        read(receiver, batch, backlog, sink);
        backlog.end();
        let now = sys::clock::monotonic();
        let overflows = backlog.overflows(receiver.overflows(), now);
        if overflows > 0 {
            sink.overflowed(overflows, now);
        }
    }
}

/// Both clocks at the same time. Who is stopped between the two would take packets for older than they
/// are, and silence for longer.
fn clocks() -> (Time, core::time::Duration) {
    let mut clocks = (sys::clock::monotonic(), sys::clock::realtime());
    for _ in 0..3 {
        if sys::clock::monotonic().since(clocks.0) < SAME_TIME {
            break;
        }
        clocks = (sys::clock::monotonic(), sys::clock::realtime());
    }
    clocks
}

/// Reads one batch.
fn read_solicitations(
    receiver: &solicitation::Receiver,
    batch: &mut Batch,
    sink: &mut (impl Sink + ?Sized),
) {
    if let Err(error) = batch.receive(receiver.as_fd(), Family::V6) {
        tracing::debug!("receive: {error}");
        return;
    }
    let clocks = clocks();
    for packet in batch.packets() {
        sink.solicitation(&datagram_v6(&packet), received(&packet, clocks));
    }
}

fn read(
    receiver: &Receiver,
    batch: &mut Batch,
    backlog: &Backlog,
    sink: &mut (impl Sink + ?Sized),
) {
    for _ in 0..MOST_BATCHES {
        let more = match batch.receive(receiver.as_fd(), receiver.family()) {
            Ok(more) => more,
            // The interface is down or gone (ENETDOWN, ENODEV): told once per event, and the
            // supervisor hears of it from the kernel too.
            Err(error) => {
                tracing::debug!("receive: {error}");
                return;
            }
        };
        let clocks = clocks();
        let mut last = None;
        for packet in batch.packets() {
            let received = received(&packet, clocks);
            if !sink.packet(datagram(receiver.family(), &packet), received) {
                backlog.lost(received);
            }
            last = Some(received);
        }
        if let Some(last) = last {
            backlog.passed_on(last);
        }
        if !more {
            return;
        }
    }
}

/// When the kernel received a packet, by the monotonic clock; `clocks` are this one and the wall
/// clock, now.
fn received(packet: &Received<'_>, clocks: (Time, core::time::Duration)) -> Time {
    let (monotonic, realtime) = clocks;
    let age = packet
        .stamp
        .map_or_else(Default::default, |stamp| realtime.saturating_sub(stamp));
    let age = if age > LONGEST_QUEUE {
        core::time::Duration::ZERO
    } else {
        age
    };
    let age = u64::try_from(age.as_micros()).unwrap_or(0);
    Time::from_micros(monotonic.as_micros().saturating_sub(age))
}

fn datagram<'a>(family: Family, packet: &Received<'a>) -> Result<Datagram<'a>, Reject> {
    match family {
        Family::V4 => Datagram::from_ipv4(packet.bytes),
        Family::V6 => Ok(datagram_v6(packet)),
    }
}

fn datagram_v6<'a>(packet: &Received<'a>) -> Datagram<'a> {
    Datagram {
        family: Family::V6,
        source: IpAddr::V6(packet.source.unwrap_or(Ipv6Addr::UNSPECIFIED)),
        destination: IpAddr::V6(packet.destination.unwrap_or(Ipv6Addr::UNSPECIFIED)),
        ttl: packet.hop_limit.unwrap_or(0),
        payload: packet.bytes,
        ah: None,
    }
}
