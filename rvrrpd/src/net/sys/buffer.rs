//! Socket buffers beyond the limits of the host.

use std::io;
use std::os::fd::AsRawFd;

/// Sets the send buffer of a socket to this many bytes, beyond `net.core.wmem_max`
/// (`SO_SNDBUFFORCE`); needs CAP_NET_ADMIN.
///
/// # Errors
/// What the kernel says.
pub fn force_send_buffer(socket: &impl AsRawFd, bytes: i32) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<i32>()).map_err(io::Error::other)?;
    // SAFETY: the socket is open while it is borrowed, and the option is an int, which lives until
    // the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            std::ptr::from_ref(&bytes).cast(),
            size,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
