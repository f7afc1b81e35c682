//! Directories one step at a time, so that no symbolic link is ever followed.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// Opens `name` in `directory`; `O_CLOEXEC` and `O_NOFOLLOW` are added to `flags`, and `mode` is
/// that of a file that is made (openat(2)).
///
/// # Errors
/// Those of openat(2); `ELOOP` or `ENOTDIR` where `name` is a symbolic link.
pub(crate) fn open_at(
    directory: BorrowedFd<'_>,
    name: &CStr,
    flags: libc::c_int,
    mode: libc::mode_t,
) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open and the name ends with a NUL, both for the whole call.
    let fd = unsafe {
        libc::openat(
            directory.as_raw_fd(),
            name.as_ptr(),
            flags | libc::O_CLOEXEC | libc::O_NOFOLLOW,
            mode,
        )
    };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the directory `name` in `directory` (mkdirat(2)).
///
/// # Errors
/// Those of mkdirat(2).
pub(crate) fn make_directory_at(
    directory: BorrowedFd<'_>,
    name: &CStr,
    mode: libc::mode_t,
) -> io::Result<()> {
    // SAFETY: the descriptor is open and the name ends with a NUL, both for the whole call.
    if unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), mode) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
