//! ioctls on interfaces and routes (netdevice(7), route(4)), IPv4.

use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

#[allow(clippy::cast_possible_truncation, reason = "it is 2")]
const AF_INET: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;

/// Name of an interface or a label, as the kernel takes it.
#[derive(Clone, Copy, Debug)]
pub struct Name([libc::c_char; libc::IFNAMSIZ]);

impl Name {
    /// Longest name in bytes.
    pub const LONGEST: usize = libc::IFNAMSIZ - 1;

    /// None for an empty name, one of more than 15 bytes or one with a NUL.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        if name.is_empty() || name.len() > Self::LONGEST || name.contains('\0') {
            return None;
        }
        let mut bytes = [0; libc::IFNAMSIZ];
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        Some(Self(bytes))
    }
}

/// The index of an interface of the calling thread's network namespace (if_nametoindex(3)).
///
/// # Errors
/// What the kernel says; `ENODEV` if there is none of this name.
pub fn index(name: &Name) -> io::Result<u32> {
    // SAFETY: the name lives until the call returns and ends with a NUL, because it has one byte
    // more than the longest name.
    let index = unsafe { libc::if_nametoindex(name.0.as_ptr()) };
    if index == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(index)
    }
}

/// The address of an interface or label (`SIOCGIFADDR`).
///
/// # Errors
/// What the kernel says; `EADDRNOTAVAIL` without an address or label, `ENODEV` without interface.
pub fn address(fd: BorrowedFd<'_>, name: &Name) -> io::Result<Ipv4Addr> {
    let mut request = interface_request(name);
    call(fd, libc::SIOCGIFADDR, &mut request)?;
    // SAFETY: the request was zeroed when it was made and the kernel wrote a socket address over
    // its union, so all bytes of that member are initialised, and any bytes are a valid value.
    let [_, _, a, b, c, d, ..] = unsafe { request.ifr_ifru.ifru_addr.sa_data };
    Ok(Ipv4Addr::from(
        [a, b, c, d].map(|byte| byte.to_ne_bytes()[0]),
    ))
}

/// Sets the address of an interface or label (`SIOCSIFADDR`), with the prefix of its class.
///
/// # Errors
/// What the kernel says.
pub fn set_address(fd: BorrowedFd<'_>, name: &Name, address: Ipv4Addr) -> io::Result<()> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_addr = socket_address(address);
    call(fd, libc::SIOCSIFADDR, &mut request)
}

/// Sets the broadcast address of an interface or label (`SIOCSIFBRDADDR`); 0.0.0.0 for none.
///
/// # Errors
/// What the kernel says.
pub fn set_broadcast(fd: BorrowedFd<'_>, name: &Name, broadcast: Ipv4Addr) -> io::Result<()> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_broadaddr = socket_address(broadcast);
    call(fd, libc::SIOCSIFBRDADDR, &mut request)
}

/// Sets the network mask of an interface or label (`SIOCSIFNETMASK`).
///
/// # Errors
/// What the kernel says.
pub fn set_netmask(fd: BorrowedFd<'_>, name: &Name, mask: Ipv4Addr) -> io::Result<()> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_netmask = socket_address(mask);
    call(fd, libc::SIOCSIFNETMASK, &mut request)
}

/// Sets the flags (`IFF_*`) of an interface (`SIOCSIFFLAGS`); a label without `IFF_UP` is removed.
///
/// # Errors
/// What the kernel says.
pub fn set_flags(fd: BorrowedFd<'_>, name: &Name, flags: i16) -> io::Result<()> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_flags = flags;
    call(fd, libc::SIOCSIFFLAGS, &mut request)
}

/// Sets the Ethernet address of an interface (`SIOCSIFHWADDR`).
///
/// # Errors
/// What the kernel says.
pub fn set_hardware_address(fd: BorrowedFd<'_>, name: &Name, mac: [u8; 6]) -> io::Result<()> {
    let mut request = interface_request(name);
    let mut data = [0; 14];
    for (to, from) in data.iter_mut().zip(mac) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_hwaddr = libc::sockaddr {
        sa_family: libc::ARPHRD_ETHER,
        sa_data: data,
    };
    call(fd, libc::SIOCSIFHWADDR, &mut request)
}

/// What an ioctl of this file takes: a structure of exactly the size that the kernel copies.
///
/// # Safety
/// The layout is that of the kernel for every request it is used with.
unsafe trait Argument {}
// SAFETY: `struct ifreq` of linux/if.h; its union is as large as the kernel's (24 bytes with
// 64-bit pointers), so that a reply never writes past its end.
unsafe impl Argument for libc::ifreq {}

fn call<T: Argument>(
    fd: BorrowedFd<'_>,
    request: libc::c_ulong,
    argument: &mut T,
) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the argument is a live, fully initialised structure of
    // the kernel's layout, exclusively borrowed for the time of the call; the kernel keeps no
    // pointer to it.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// All bytes are set, because the kernel copies the whole structure.
fn interface_request(name: &Name) -> libc::ifreq {
    // SAFETY: integers and a null pointer in a union: all zero bits are a valid value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    request.ifr_name = name.0;
    request
}

/// `struct sockaddr_in` of port 0, seen as the `struct sockaddr` of the same size.
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data.iter_mut().skip(2).zip(address.octets()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    libc::sockaddr {
        sa_family: AF_INET,
        sa_data: data,
    }
}
