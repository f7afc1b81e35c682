//! Packet sockets that receive (packet(7)).

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, BorrowedFd};

// The kernel counts in narrower integers than Rust; these constants fit.
#[allow(clippy::cast_possible_truncation, reason = "constants that fit")]
const AF_PACKET: u16 = libc::AF_PACKET as u16;
#[allow(clippy::cast_possible_truncation, reason = "constants that fit")]
const MR_MULTICAST: u16 = libc::PACKET_MR_MULTICAST as u16;
#[allow(clippy::cast_possible_truncation, reason = "constants that fit")]
const MR_UNICAST: u16 = libc::PACKET_MR_UNICAST as u16;
#[allow(clippy::cast_possible_truncation, reason = "constants that fit")]
const LINK_ADDRESS_SIZE: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
#[allow(clippy::cast_possible_truncation, reason = "constants that fit")]
const MEMBERSHIP_SIZE: libc::socklen_t = size_of::<libc::packet_mreq>() as libc::socklen_t;

/// Index of the interface `name`.
///
/// # Errors
/// `ENODEV` where there is none, `EINVAL` where the name holds a NUL byte.
pub(crate) fn interface_index(name: &str) -> io::Result<i32> {
    let name = CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: the name ends with a NUL and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(index).map_err(io::Error::other)
}

/// Binds a packet socket to one interface and one Ethernet type, `ETH_P_ALL` for all of them;
/// outgoing frames are seen as well then.
///
/// # Errors
/// That of bind(2): `ENODEV` where the interface is gone.
pub(crate) fn bind(socket: BorrowedFd<'_>, interface: i32, protocol: u16) -> io::Result<()> {
    let address = link_address(interface, protocol);
    // SAFETY: the pointer is to a whole sockaddr_ll that outlives the call, and the length is its
    // size.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            LINK_ADDRESS_SIZE,
        )
    })
}

/// Hardware type (`ARPHRD_*`) of the interface that a packet socket is bound to.
///
/// # Errors
/// That of getsockname(2).
pub(crate) fn hardware_type(socket: BorrowedFd<'_>) -> io::Result<u16> {
    let mut address = link_address(0, 0);
    let mut length = LINK_ADDRESS_SIZE;
    // SAFETY: the pointer is to a whole sockaddr_ll and the length is its size, so that the kernel
    // writes within it.
    check(unsafe {
        libc::getsockname(
            socket.as_raw_fd(),
            (&raw mut address).cast(),
            &raw mut length,
        )
    })?;
    Ok(address.sll_hatype)
}

/// Receives frames to an Ethernet multicast group, for as long as the socket is open.
///
/// # Errors
/// That of setsockopt(2).
pub(crate) fn join(socket: BorrowedFd<'_>, interface: i32, group: [u8; 6]) -> io::Result<()> {
    let add = libc::PACKET_ADD_MEMBERSHIP;
    membership(socket, add, interface, MR_MULTICAST, group)
}

/// Receives frames to a MAC address of its own on an interface, for as long as the socket is open:
/// the interface has an entry more in its filter, or is promiscuous where it has none.
///
/// # Errors
/// That of setsockopt(2): `ENODEV` where the interface is gone.
pub(crate) fn add_unicast(socket: BorrowedFd<'_>, interface: i32, mac: [u8; 6]) -> io::Result<()> {
    let add = libc::PACKET_ADD_MEMBERSHIP;
    membership(socket, add, interface, MR_UNICAST, mac)
}

/// Ends [`add_unicast`].
///
/// # Errors
/// That of setsockopt(2): `EADDRNOTAVAIL` where it was not there, or the interface is gone.
pub(crate) fn drop_unicast(socket: BorrowedFd<'_>, interface: i32, mac: [u8; 6]) -> io::Result<()> {
    let drop = libc::PACKET_DROP_MEMBERSHIP;
    membership(socket, drop, interface, MR_UNICAST, mac)
}

fn membership(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    interface: i32,
    kind: u16,
    address: [u8; 6],
) -> io::Result<()> {
    let [a, b, c, d, e, f] = address;
    let request = libc::packet_mreq {
        mr_ifindex: interface,
        mr_type: kind,
        mr_alen: 6,
        mr_address: [a, b, c, d, e, f, 0, 0],
    };
    // SAFETY: the pointer is to a whole packet_mreq that outlives the call, and the length is its
    // size.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const request).cast(),
            MEMBERSHIP_SIZE,
        )
    })
}

fn link_address(interface: i32, protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: AF_PACKET,
        sll_protocol: protocol.to_be(),
        sll_ifindex: interface,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
