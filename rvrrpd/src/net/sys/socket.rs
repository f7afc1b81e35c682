//! Socket options and addresses that socket2 lacks.

use core::mem::size_of;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{SockFilter, SockRef};

// The kernel counts in narrower integers than Rust; these values fit.
#[allow(clippy::cast_possible_truncation, reason = "constants that fit")]
const AF_PACKET: u16 = libc::AF_PACKET as u16;
#[allow(clippy::cast_possible_truncation, reason = "constants that fit")]
const LINK_ADDRESS_SIZE: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
#[allow(clippy::cast_possible_truncation, reason = "constants that fit")]
const INT_SIZE: libc::socklen_t = size_of::<i32>() as libc::socklen_t;
/// `ICMPV6_FILTER` of linux/icmpv6.h.
const ICMPV6_FILTER: i32 = 1;
#[allow(clippy::cast_possible_truncation, reason = "constants that fit")]
const ICMPV6_FILTER_SIZE: libc::socklen_t = size_of::<[u32; 8]>() as libc::socklen_t;

/// Asks the kernel for a receive time stamp on each packet (`SO_TIMESTAMPNS`, socket(7)).
///
/// # Errors
/// That of setsockopt(2).
pub fn enable_timestamps(socket: &impl AsRawFd) -> io::Result<()> {
    set_int(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Sets the receive buffer in bytes beyond `net.core.rmem_max` (needs CAP_NET_ADMIN; without it,
/// as far as the limit allows).
///
/// # Errors
/// That of setsockopt(2).
pub fn force_receive_buffer(socket: &impl AsRawFd, bytes: i32) -> io::Result<()> {
    set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
        .or_else(|_| set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes))
}

/// Sets the send buffer in bytes beyond `net.core.wmem_max`, likewise.
///
/// # Errors
/// That of setsockopt(2).
pub fn force_send_buffer(socket: &impl AsRawFd, bytes: i32) -> io::Result<()> {
    set_int(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes)
        .or_else(|_| set_int(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes))
}

/// Priority of what is sent (`SO_PRIORITY`), so that a queue full of traffic does not delay it;
/// 7 is TC_PRIO_CONTROL.
///
/// # Errors
/// That of setsockopt(2).
pub fn set_priority(socket: &impl AsRawFd, priority: i32) -> io::Result<()> {
    set_int(socket, libc::SOL_SOCKET, libc::SO_PRIORITY, priority)
}

/// Asks for destination and hop limit of each IPv6 packet (RFC 3542 §6).
///
/// # Errors
/// That of setsockopt(2).
pub fn enable_ipv6_details(socket: &impl AsRawFd) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)
}

/// Lets messages of one type alone pass an ICMPv6 socket (`ICMPV6_FILTER`, RFC 3542 §3.2).
///
/// # Errors
/// That of setsockopt(2).
pub fn pass_icmpv6_type(socket: &impl AsRawFd, kind: u8) -> io::Result<()> {
    // `struct icmp6_filter` of linux/icmpv6.h: a bit that is set keeps its type out.
    let mut filter = [u32::MAX; 8];
    filter[usize::from(kind >> 5)] &= !(1 << (kind & 31));
    // SAFETY: the pointer is to a filter of our own that outlives the call, and the length is its
    // size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            ICMPV6_FILTER,
            (&raw const filter).cast(),
            ICMPV6_FILTER_SIZE,
        )
    };
    done(result)
}

/// Binds a packet socket to one interface without receiving anything (protocol 0, packet(7)).
///
/// # Errors
/// That of bind(2): `ENODEV` where the interface is gone.
pub fn bind_packet_sender(socket: &impl AsRawFd, index: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: AF_PACKET,
        sll_protocol: 0,
        sll_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer is to a sockaddr_ll of our own that outlives the call, and the length is
    // its size.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            LINK_ADDRESS_SIZE,
        )
    };
    done(result)
}

/// Binds a socket to the interface with this index (`SO_BINDTOIFINDEX`, Linux 5.0). A name could
/// be that of another interface by now.
///
/// # Errors
/// That of setsockopt(2): `ENODEV` where the interface is gone.
pub fn bind_to_interface(socket: &impl AsRawFd, index: u32) -> io::Result<()> {
    let index = i32::try_from(index).map_err(io::Error::other)?;
    set_int(socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, index)
}

/// Attaches a classic BPF program (`SO_ATTACH_FILTER`, socket(7)).
///
/// # Errors
/// `InvalidInput` if the kernel does not take the program.
pub fn attach_filter(socket: &impl AsRawFd, program: &[SockFilter]) -> io::Result<()> {
    SockRef::from(&borrow(socket)).attach_filter(program)
}

/// The descriptor of a socket whose type only tells its number.
pub(crate) fn borrow(socket: &impl AsRawFd) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open while `socket` is borrowed, which is as long as the borrowed
    // descriptor lives.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// Attaches an eBPF program in the place of whatever filter there was (`SO_ATTACH_BPF`, socket(7)).
///
/// # Errors
/// That of setsockopt(2).
pub fn attach_program(socket: &impl AsRawFd, program: BorrowedFd<'_>) -> io::Result<()> {
    set_int(
        socket,
        libc::SOL_SOCKET,
        libc::SO_ATTACH_BPF,
        program.as_raw_fd(),
    )
}

/// Number of a socket that no other one of this boot has, in any network namespace (`SO_COOKIE`,
/// socket(7); of all namespaces since Linux 5.4).
///
/// # Errors
/// That of getsockopt(2).
pub fn cookie(socket: &impl AsRawFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    #[allow(clippy::cast_possible_truncation, reason = "a constant that fits")]
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the pointer is to a number of our own that outlives the call, and the length is its
    // size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    done(result)?;
    Ok(cookie)
}

/// Packets that found the receive buffer full since the socket was made, modulo 2^32
/// (`SO_MEMINFO`, linux/sock_diag.h). No filter has seen these.
///
/// # Errors
/// That of getsockopt(2).
pub fn overflows(socket: &impl AsRawFd) -> io::Result<u32> {
    /// `SK_MEMINFO_VARS` and `SK_MEMINFO_DROPS`.
    const VARIABLES: usize = 9;
    const DROPS: usize = 8;
    let mut values = [0_u32; VARIABLES];
    #[allow(clippy::cast_possible_truncation, reason = "a constant that fits")]
    let mut length = size_of::<[u32; VARIABLES]>() as libc::socklen_t;
    // SAFETY: the pointer is to an array of our own that outlives the call, and the length is its
    // size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    done(result)?;
    Ok(values[DROPS])
}

/// Whether something can be read now; poll(2) without waiting.
#[must_use]
pub fn is_readable(socket: BorrowedFd<'_>) -> bool {
    matches!(poll([socket], 0), Ok([true]))
}

/// Waits until one of the descriptors can be read, or for `timeout` milliseconds (-1: for ever),
/// and says which can.
///
/// # Errors
/// That of poll(2), `EINTR` excepted, which counts as nothing to read.
pub fn poll<const N: usize>(sockets: [BorrowedFd<'_>; N], timeout: i32) -> io::Result<[bool; N]> {
    let mut set = sockets.map(|socket| libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: the pointer is to N pollfds of our own, and N is what the kernel is told.
    let result = unsafe { libc::poll(set.as_mut_ptr(), N as libc::nfds_t, timeout) };
    match done(result) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(set.map(|entry| entry.revents != 0)),
    }
}

fn set_int(socket: &impl AsRawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer is to an int of our own that outlives the call, and the length is its
    // size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            INT_SIZE,
        )
    };
    done(result)
}

fn done(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
