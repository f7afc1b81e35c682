//! Waiting for many descriptors (epoll(7)), level-triggered.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Interest {
    /// Something can be read.
    Read,
    /// An exceptional condition (`EPOLLPRI`): for /proc/self/mountinfo, that mounts have changed
    /// (proc_pid_mounts(5)).
    Exception,
    /// Nothing, for the moment.
    None,
}

impl Interest {
    const fn events(self) -> u32 {
        #[allow(clippy::cast_sign_loss, reason = "flags")]
        match self {
            Self::Read => libc::EPOLLIN as u32,
            Self::Exception => libc::EPOLLPRI as u32,
            Self::None => 0,
        }
    }
}

/// A set of descriptors, each with a number by which it is known. May be changed by any thread
/// while another one waits.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// That of epoll_create1(2).
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes a flag; the descriptor that it returns belongs to nobody else.
        let set = unsafe {
            let set = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if set < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(set)
        };
        Ok(Self(set))
    }

    /// Adds a descriptor.
    ///
    /// # Errors
    /// That of epoll_ctl(2).
    pub(crate) fn add(
        &self,
        descriptor: BorrowedFd<'_>,
        number: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, number, interest)
    }

    /// Waits for something else on a descriptor of the set.
    ///
    /// # Errors
    /// That of epoll_ctl(2).
    pub(crate) fn change(
        &self,
        descriptor: BorrowedFd<'_>,
        number: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, descriptor, number, interest)
    }

    /// Takes a descriptor out.
    ///
    /// # Errors
    /// That of epoll_ctl(2): it is not in the set.
    pub(crate) fn remove(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, descriptor, 0, Interest::None)
    }

    /// Waits until something happens, or for `timeout` milliseconds (-1: for ever), and puts the
    /// numbers of what it happened to into `numbers`, in place of what was in there; at most as
    /// many as it has room for.
    ///
    /// # Errors
    /// That of epoll_wait(2), `EINTR` excepted, which counts as nothing.
    pub(crate) fn wait(&self, numbers: &mut Vec<u64>, timeout: i32) -> io::Result<()> {
        const MOST: usize = 64;
        numbers.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST];
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "a constant that fits"
        )]
        let room = MOST as libc::c_int;
        // SAFETY: the pointer is to `room` events of our own.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_fd().as_raw_fd(),
                events.as_mut_ptr(),
                room,
                timeout,
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            };
        };
        numbers.extend(events.iter().take(count).map(|event| event.u64));
        Ok(())
    }

    fn control(
        &self,
        operation: libc::c_int,
        descriptor: BorrowedFd<'_>,
        number: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.events(),
            u64: number,
        };
        // SAFETY: the pointer is to an event of our own that outlives the call.
        let result = unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                operation,
                descriptor.as_raw_fd(),
                &raw mut event,
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}
