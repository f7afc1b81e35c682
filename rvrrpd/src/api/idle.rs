//! The thread before anybody wants anything of it: it waits in one system call, without an event
//! loop, so that a daemon that nobody asks pays for none.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::OnceLock;

use crate::net::sys::socket::poll;

/// Wakes the thread.
#[derive(Debug, Default)]
pub(super) struct Bell(OnceLock<UnixStream>);

/// What hears the bell.
#[derive(Debug)]
pub(super) struct Ear(UnixStream);

impl Bell {
    /// What hears this bell from now on; there is one at the most.
    ///
    /// # Errors
    /// The kernel gives no sockets.
    pub(super) fn ear(&self) -> io::Result<Ear> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        let _first = self.0.set(bell);
        Ok(Ear(ear))
    }

    /// Rings. Where nobody listens any more nothing happens.
    pub(super) fn ring(&self) {
        if let Some(mut bell) = self.0.get() {
            // Full: it has rung already.
            let _heard = bell.write(&[0]);
        }
    }
}

impl Ear {
    /// Waits until `is_over` at the sound of the bell, or until somebody connects.
    ///
    /// # Errors
    /// That of poll(2).
    pub(super) fn wait(
        &self,
        listener: &UnixListener,
        mut is_over: impl FnMut() -> bool,
    ) -> io::Result<()> {
        while !is_over() {
            let [is_asked, has_rung] = poll([listener.as_fd(), self.0.as_fd()], -1)?;
            if is_asked {
                return Ok(());
            }
            if has_rung {
                let _all = (&self.0).read(&mut [0; 64]);
            }
        }
        Ok(())
    }
}
