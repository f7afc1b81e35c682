//! The monitor: a thread that hears what the kernel tells about links, addresses and our routes.

use core::time::Duration;
use std::io;

use crossbeam_channel::Sender;
use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;

use super::netlink::{self, Netlink};
use super::{Address, Command, KernelEvent, Link, Report};
use crate::net::sys;

/// Room for the events of some ten thousand changes.
const RECEIVE_BUFFER: i32 = 32 << 20;
/// Largest datagram that is read.
const LARGEST_RECEIVE: usize = 64 << 10;
/// Time before a list that failed is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// All links and addresses of this network namespace.
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

/// Starts the thread. It ends when driver and supervisor have.
///
/// # Errors
/// The socket or the thread cannot be made.
pub(super) fn start(driver: Sender<Command>, supervisor: Sender<Report>) -> io::Result<()> {
    let groups = Groups::new_groups(&netlink::EVENT_GROUPS);
    let socket = NlSocket::connect(NlFamily::Route, None, groups)?;
    sys::socket::attach_filter(&socket, &netlink::event_filter())?;
    sys::socket::force_receive_buffer(&socket, RECEIVE_BUFFER)?;
    std::thread::Builder::new()
        .name("monitor".to_owned())
        .spawn(move || {
            if let Err(error) = listen(&socket, &driver, &supervisor) {
                tracing::error!(
                    "what happens to links and addresses is not heard any more: {error}"
                );
            }
        })?;
    Ok(())
}

fn listen(
    socket: &NlSocket,
    driver: &Sender<Command>,
    supervisor: &Sender<Report>,
) -> io::Result<()> {
    let mut buffer = vec![0; LARGEST_RECEIVE];
    let tell = |event: KernelEvent| {
        let told = driver.send(Command::Kernel(event.clone()));
        supervisor.send(Report::Kernel(event)).is_ok() && told.is_ok()
    };
    loop {
        match socket.recv(&mut buffer, Msg::empty()) {
            Ok((length, _)) => {
                let datagram = buffer.get(..length).unwrap_or_default();
                if !netlink::events(datagram).all(&tell) {
                    return Ok(());
                }
            }
            // Events were lost: all that there is says more than they would have.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                tracing::warn!("the kernel changed faster than could be followed, looking anew");
                let (links, addresses) = insist(|| start_anew(socket, &mut buffer), PAUSE);
                if !tell(KernelEvent::Resync(links, addresses)) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
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

/// All that there is now. The events that are still waiting are older than that; until they are
/// out of the way the kernel drops new ones.
fn start_anew(socket: &NlSocket, buffer: &mut [u8]) -> io::Result<(Vec<Link>, Vec<Address>)> {
    loop {
        match socket.recv(&mut *buffer, Msg::DONTWAIT) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return snapshot(),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
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
