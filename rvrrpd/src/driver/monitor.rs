//! The monitor: a thread that hears what the kernel tells about links, addresses and our routes in
//! every network namespace that virtual routers are in, and about the names of namespaces.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Arc, OnceLock};

use crossbeam_channel::Sender;
use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use parking_lot::Mutex;

use super::netlink::{self, Netlink};
use super::{Address, Command, KernelEvent, Link, Report};
use crate::net::namespace::{Namespace, NamespaceId};
use crate::net::sys;
use crate::net::sys::epoll::{Epoll, Interest};

/// Room for the events of some ten thousand changes.
const RECEIVE_BUFFER: i32 = 32 << 20;
/// Largest datagram that is read.
const LARGEST_RECEIVE: usize = 64 << 10;
/// Time before a list that failed is tried again.
const PAUSE: Duration = Duration::from_millis(100);
/// Datagrams of one namespace before the others have their turn.
const MOST_DATAGRAMS: usize = 256;
/// What tells of mounts: the names of namespaces are such.
const MOUNTS: &str = "/proc/self/mountinfo";
/// Its number in the set of descriptors; the others are those of namespaces.
const MOUNTS_NUMBER: u64 = u64::MAX;

/// All links and addresses of the network namespace of the calling thread.
///
/// # Errors
/// What the kernel says.
pub fn snapshot() -> io::Result<(Vec<Link>, Vec<Address>)> {
    let mut netlink = Netlink::open()?;
    let links = netlink.links()?;
    let addresses = netlink
        .addresses()?
        .into_iter()
        .map(|(address, _)| address)
        .collect();
    Ok((links, addresses))
}

/// The thread, as those see it who tell it what to hear.
#[derive(Clone, Debug)]
pub struct Monitor(Arc<Heard>);

#[derive(Debug)]
struct Heard {
    epoll: Epoll,
    sockets: Mutex<HashMap<u64, Arc<Ear>>>,
    mounts: OnceLock<File>,
}

/// What is heard of one namespace.
struct Ear {
    socket: NlSocket,
    namespace: Option<Arc<Namespace>>,
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, .. } = self;
        f.debug_struct("Ear")
            .field("namespace", namespace)
            .finish_non_exhaustive()
    }
}

impl Monitor {
    /// Starts the thread, which hears the namespace of the calling thread, that of the daemon. It
    /// ends when driver and supervisor have.
    ///
    /// # Errors
    /// The socket or the thread cannot be made.
    pub(super) fn start(driver: Sender<Command>, supervisor: Sender<Report>) -> io::Result<Self> {
        let monitor = Self(Arc::new(Heard {
            epoll: Epoll::new()?,
            sockets: Mutex::default(),
            mounts: OnceLock::new(),
        }));
        monitor.hear(None)?;
        let heard = Arc::clone(&monitor.0);
        std::thread::Builder::new()
            .name("monitor".to_owned())
            .spawn(move || {
                if let Err(error) = heard.listen(&driver, &supervisor) {
                    tracing::error!(
                        "what happens to links and addresses is not heard any more: {error}"
                    );
                }
            })?;
        Ok(monitor)
    }

    /// Hears a namespace from now on, and tells what is there: events tell what changes after.
    ///
    /// # Errors
    /// The namespace cannot be entered, or its socket cannot be made.
    pub fn watch(&self, namespace: &Arc<Namespace>) -> io::Result<(Vec<Link>, Vec<Address>)> {
        namespace.enter(|| {
            self.hear(Some(Arc::clone(namespace)))?;
            snapshot().inspect_err(|_| self.forget(namespace.id))
        })?
    }

    /// Hears nothing more of a namespace.
    pub fn forget(&self, id: NamespaceId) {
        if let Some(ear) = self.0.sockets.lock().remove(&u64::from(id.0)) {
            let _not_there = self.0.epoll.remove(sys::socket::borrow(&ear.socket));
        }
    }

    /// Tells of every change of mounts, which the names of namespaces are ([`Report::Mounts`]).
    ///
    /// # Errors
    /// /proc does not tell of them.
    pub fn watch_mounts(&self) -> io::Result<()> {
        if self.0.mounts.get().is_none() {
            let mounts = File::open(MOUNTS)?;
            let epoll = &self.0.epoll;
            epoll.add(mounts.as_fd(), MOUNTS_NUMBER, Interest::Exception)?;
            let _kept = self.0.mounts.set(mounts);
        }
        Ok(())
    }

    fn hear(&self, namespace: Option<Arc<Namespace>>) -> io::Result<()> {
        let id = namespace.as_ref().map_or(NamespaceId::OWN, |one| one.id);
        let groups = Groups::new_groups(&netlink::EVENT_GROUPS);
        let socket = NlSocket::connect(NlFamily::Route, None, groups)?;
        sys::socket::attach_filter(&socket, &netlink::event_filter())?;
        sys::socket::force_receive_buffer(&socket, RECEIVE_BUFFER)?;
        let number = u64::from(id.0);
        let ear = Arc::new(Ear { socket, namespace });
        self.0.sockets.lock().insert(number, Arc::clone(&ear));
        let epoll = &self.0.epoll;
        epoll.add(sys::socket::borrow(&ear.socket), number, Interest::Read)
    }
}

impl Heard {
    fn listen(&self, driver: &Sender<Command>, supervisor: &Sender<Report>) -> io::Result<()> {
        let mut buffer = vec![0; LARGEST_RECEIVE];
        let mut ready = Vec::new();
        loop {
            self.epoll.wait(&mut ready, -1)?;
            for number in &ready {
                if *number == MOUNTS_NUMBER {
                    if supervisor.send(Report::Mounts).is_err() {
                        return Ok(());
                    }
                    continue;
                }
                let Some(ear) = self.sockets.lock().get(number).cloned() else {
                    continue;
                };
                let id = ear
                    .namespace
                    .as_ref()
                    .map_or(NamespaceId::OWN, |one| one.id);
                let tell = |event: KernelEvent| {
                    let told = driver.send(Command::Kernel(id, event.clone()));
                    supervisor.send(Report::Kernel(id, event)).is_ok() && told.is_ok()
                };
                match ear.read(&mut buffer, tell) {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(error) if id == NamespaceId::OWN => return Err(error),
                    Err(error) => {
                        let name = ear.namespace.as_ref().map(|one| one.name.as_str());
                        let name = name.unwrap_or_default();
                        tracing::error!(
                            "what happens in network namespace {name} is not heard any more: \
                             {error}"
                        );
                        self.sockets.lock().remove(number);
                    }
                }
            }
        }
    }
}

impl Ear {
    /// Reads what has come and tells it; false when nobody listens any more.
    fn read(&self, buffer: &mut [u8], tell: impl Fn(KernelEvent) -> bool) -> io::Result<bool> {
        for _ in 0..MOST_DATAGRAMS {
            match self.socket.recv(&mut *buffer, Msg::DONTWAIT) {
                Ok((length, _)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    if !netlink::events(datagram).all(&tell) {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                // Events were lost: all that there is says more than they would have.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    tracing::warn!(
                        "the kernel changed faster than could be followed, looking anew"
                    );
                    let (links, addresses) = insist(|| self.start_anew(buffer), PAUSE);
                    return Ok(tell(KernelEvent::Resync(links, addresses)));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// All that there is now. The events that are still waiting are older than that; until they
    /// are out of the way the kernel drops new ones.
    fn start_anew(&self, buffer: &mut [u8]) -> io::Result<(Vec<Link>, Vec<Address>)> {
        loop {
            match self.socket.recv(&mut *buffer, Msg::DONTWAIT) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return match &self.namespace {
                        Some(namespace) => namespace.enter(snapshot)?,
                        None => snapshot(),
                    };
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Tries until it succeeds: who changed too fast for events may change too fast for a list, and to
/// give up would be to know nothing of links any more.
fn insist<T>(mut attempt: impl FnMut() -> io::Result<T>, pause: Duration) -> T {
    let mut told = false;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) if !told => {
                tracing::warn!("links and addresses cannot be listed, tried again: {error}");
                told = true;
            }
            Err(_) => {}
        }
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_fails_is_tried_again() {
        let mut left = 3;
        let listed = insist(
            || {
                left -= 1;
                if left > 0 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                Ok("all")
            },
            Duration::ZERO,
        );
        assert_eq!((listed, left), ("all", 0));
    }
}
