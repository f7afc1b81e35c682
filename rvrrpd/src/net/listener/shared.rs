//! A listener for many interfaces: one thread reads the sockets of all of them, so that hundreds of
//! network namespaces need no hundreds of threads.

use core::fmt;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::super::socket::Receiver;
use super::super::solicitation;
use super::super::sys::epoll::{Epoll, Interest};
use super::super::sys::{clock, mmsg::Batch};
use super::{Listener, Progress, SOLICITATION_PAUSE, Sink, Way, read_all, read_solicitations};
use crate::fsm::Time;

/// Number of the order to stop in the set of descriptors. Members begin with 1; the sockets of
/// member N are 2 N, that for solicitations 2 N + 1.
const STOP: u64 = 0;

/// The thread. Dropping it ends it: interfaces that are still there are not heard any more.
#[derive(Debug)]
pub struct SharedListener {
    members: Arc<Members>,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Members {
    epoll: Epoll,
    all: Mutex<HashMap<u64, Arc<Member>>>,
    next: AtomicU64,
}

/// An interface.
struct Member {
    progress: Arc<Progress>,
    /// None after it has left. Held while packets are passed on, so that who lets it leave knows
    /// that nothing comes after.
    sink: Mutex<Option<Box<dyn Sink>>>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}

/// An interface's place; dropping it gives it up.
#[derive(Debug)]
pub(super) struct Membership {
    members: Arc<Members>,
    number: u64,
    member: Arc<Member>,
}

impl SharedListener {
    /// Starts the thread `name`, which calls `prepare` once (scheduling).
    ///
    /// # Errors
    /// The thread or its set of descriptors cannot be made.
    pub fn start(name: &str, prepare: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let epoll = Epoll::new()?;
        epoll.add(stopped.as_fd(), STOP, Interest::Read)?;
        let members = Arc::new(Members {
            epoll,
            all: Mutex::default(),
            next: AtomicU64::new(1),
        });
        let shared = Arc::clone(&members);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                prepare();
                if let Err(error) = listen(&shared) {
                    tracing::error!("listener ends: {error}");
                }
                drop(stopped);
            })?;
        Ok(Self {
            members,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Reads `receivers` into `sink` from now on.
    ///
    /// # Errors
    /// A socket cannot be waited for.
    pub fn add(&self, receivers: Vec<Receiver>, sink: impl Sink) -> io::Result<Listener> {
        let progress = Arc::new(Progress::new(receivers));
        let member = Arc::new(Member {
            progress: Arc::clone(&progress),
            sink: Mutex::new(Some(Box::new(sink))),
        });
        let number = self.members.next.fetch_add(1, Ordering::Relaxed);
        self.members.all.lock().insert(number, Arc::clone(&member));
        let membership = Membership {
            members: Arc::clone(&self.members),
            number,
            member,
        };
        for receiver in progress.receivers() {
            membership.read(receiver)?;
        }
        Ok(Listener {
            progress,
            way: Way::Shared(membership),
        })
    }
}

impl Drop for SharedListener {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Membership {
    /// Reads this socket, too.
    pub(super) fn read(&self, receiver: &Receiver) -> io::Result<()> {
        let epoll = &self.members.epoll;
        epoll.add(receiver.as_fd(), 2 * self.number, Interest::Read)
    }

    /// Reads solicitations from this socket instead of the one before.
    pub(super) fn read_solicitations(
        &self,
        receiver: Option<&solicitation::Receiver>,
    ) -> io::Result<()> {
        let epoll = &self.members.epoll;
        if let Some(before) = self.member.progress.solicitations.load().as_deref() {
            epoll.remove(before.as_fd())?;
        }
        receiver.map_or(Ok(()), |receiver| {
            epoll.add(receiver.as_fd(), 2 * self.number + 1, Interest::Read)
        })
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.members.all.lock().remove(&self.number);
        // Others may hold the sockets open for a while. One that was never added is no matter.
        for receiver in self.member.progress.receivers() {
            let _not_there = self.members.epoll.remove(receiver.as_fd());
        }
        let _not_there = self.read_solicitations(None);
        *self.member.sink.lock() = None;
    }
}

fn listen(members: &Members) -> io::Result<()> {
    let mut batch = Batch::default();
    let mut ready = Vec::new();
    let mut pauses: Vec<(Time, u64)> = Vec::new();
    loop {
        let now = clock::monotonic();
        pauses.retain(|(over, number)| {
            let rests = *over > now;
            if !rests {
                members.hear_solicitations(*number, Interest::Read);
            }
            rests
        });
        let wait = pauses.iter().map(|(over, _)| over.since(now)).min();
        let wait = wait.map_or(-1, |wait| {
            i32::try_from(wait.as_millis() + 1).unwrap_or(i32::MAX)
        });
        members.epoll.wait(&mut ready, wait)?;
        // Both families of an interface are read at once.
        ready.sort_unstable();
        ready.dedup();
        for number in &ready {
            if *number == STOP {
                return Ok(());
            }
            let Some(member) = members.all.lock().get(&(number / 2)).cloned() else {
                continue;
            };
            let mut sink = member.sink.lock();
            let Some(sink) = sink.as_deref_mut() else {
                continue;
            };
            if number % 2 == 0 {
                read_all(&member.progress, &mut batch, sink);
            } else if let Some(receiver) = member.progress.solicitations.load_full() {
                read_solicitations(&receiver, &mut batch, sink);
                members.hear_solicitations(number / 2, Interest::None);
                pauses.push((clock::monotonic() + SOLICITATION_PAUSE, number / 2));
            }
        }
    }
}

impl Members {
    fn hear_solicitations(&self, number: u64, interest: Interest) {
        let Some(member) = self.all.lock().get(&number).cloned() else {
            return;
        };
        if let Some(receiver) = member.progress.solicitations.load().as_deref() {
            // One that leaves at this moment is in the set no more.
            let _left = self
                .epoll
                .change(receiver.as_fd(), 2 * number + 1, interest);
        }
    }
}
