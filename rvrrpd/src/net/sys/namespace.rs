//! Network namespaces of threads (setns(2), ioctl_ns(2)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `NS_GET_NSTYPE` of linux/nsfs.h: `_IO(0xb7, 0x3)`.
const GET_TYPE: libc::Ioctl = 0xb703;

/// Whether a descriptor is that of a network namespace.
#[must_use]
pub(crate) fn is_network_namespace(file: BorrowedFd<'_>) -> bool {
    // SAFETY: this request takes no argument.
    unsafe { libc::ioctl(file.as_raw_fd(), GET_TYPE) == libc::CLONE_NEWNET }
}

/// Moves the calling thread into a network namespace. Sockets that it has stay where they were
/// made.
///
/// # Errors
/// That of setns(2): `EPERM` without CAP_SYS_ADMIN.
pub(crate) fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor and a number.
    if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
