//! Interfaces of this host and their addresses (getifaddrs(3)).

use core::ffi::CStr;
use core::net::IpAddr;
use core::ptr;
use std::io;

use libc::{c_int, ifaddrs, sockaddr, sockaddr_in, sockaddr_in6};

use crate::failure::{Failure, system};
use crate::text;

/// An address of an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Local {
    /// The interface.
    pub(crate) interface: String,
    /// The address.
    pub(crate) address: IpAddr,
    /// Its netmask.
    pub(crate) mask: IpAddr,
}

impl Local {
    /// Whether `other` is in its subnet.
    pub(crate) fn has_in_subnet(&self, other: IpAddr) -> bool {
        match (self.address, self.mask, other) {
            (IpAddr::V4(a), IpAddr::V4(mask), IpAddr::V4(b)) => a & mask == b & mask,
            (IpAddr::V6(a), IpAddr::V6(mask), IpAddr::V6(b)) => a & mask == b & mask,
            _ => false,
        }
    }

    /// How long the prefix is.
    fn prefix(&self) -> u32 {
        match self.mask {
            IpAddr::V4(mask) => mask.to_bits().leading_ones(),
            IpAddr::V6(mask) => mask.to_bits().leading_ones(),
        }
    }
}

/// All of them.
pub(crate) fn all() -> Result<Vec<Local>, Failure> {
    let mut list: *mut ifaddrs = ptr::null_mut();
    // SAFETY: the pointer is to room for one pointer.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        let error = io::Error::last_os_error();
        return Err(system(format!("the interfaces cannot be read: {error}")));
    }
    let mut found = Vec::new();
    let mut at = list;
    // SAFETY: each pointer of the list is NULL or to an entry, until it is freed below.
    while let Some(entry) = unsafe { at.as_ref() } {
        // SAFETY: both are NULL or to a socket address as long as its family says.
        let addresses = unsafe { (address(entry.ifa_addr), address(entry.ifa_netmask)) };
        if let (Some(address), Some(mask)) = addresses {
            // SAFETY: every entry has a name with an end.
            let name = unsafe { CStr::from_ptr(entry.ifa_name) };
            found.push(Local {
                interface: name.to_string_lossy().into_owned(),
                address,
                mask,
            });
        }
        at = entry.ifa_next;
    }
    // SAFETY: the list is that of getifaddrs(), and nothing points into it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// # Safety
/// The pointer is NULL or to a socket address as long as its family says.
unsafe fn address(socket: *const sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller says so; every socket address begins with its family.
    let family = c_int::from(unsafe { socket.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: one of this family is as long, and need not be aligned as this type is.
            let it = unsafe { socket.cast::<sockaddr_in>().read_unaligned() };
            Some(text::ipv4(it.sin_addr).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let it = unsafe { socket.cast::<sockaddr_in6>().read_unaligned() };
            Some(text::ipv6(it.sin6_addr).into())
        }
        _ => None,
    }
}

/// The interface that has this address.
pub(crate) fn having(all: &[Local], address: IpAddr) -> Option<&Local> {
    all.iter().find(|local| local.address == address)
}

/// The one interface with the subnet of this address; of several the one with the longest prefix,
/// none where that is not one.
pub(crate) fn towards(all: &[Local], address: IpAddr) -> Option<&str> {
    let inside = || all.iter().filter(|local| local.has_in_subnet(address));
    let longest = inside().map(Local::prefix).max()?;
    let mut names = inside()
        .filter(|local| local.prefix() == longest)
        .map(|local| local.interface.as_str());
    let first = names.next()?;
    names.all(|name| name == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(interface: &str, address: &str, mask: &str) -> Local {
        Local {
            interface: interface.to_owned(),
            address: address.parse().unwrap(),
            mask: mask.parse().unwrap(),
        }
    }

    #[test]
    fn the_interface_of_an_address() {
        let all = [
            local("lo", "127.0.0.1", "255.0.0.0"),
            local("eth0", "10.0.0.1", "255.255.255.0"),
            local("eth1", "10.0.1.1", "255.255.0.0"),
            local("eth0", "fe80::1", "ffff:ffff:ffff:ffff::"),
            local("eth1", "fe80::2", "ffff:ffff:ffff:ffff::"),
        ];
        let towards = |text: &str| towards(&all, text.parse().unwrap());
        assert_eq!(towards("10.0.0.9"), Some("eth0"));
        assert_eq!(towards("10.0.7.9"), Some("eth1"));
        assert_eq!(towards("10.1.0.9"), None);
        // Which of the two?
        assert_eq!(towards("fe80::9"), None);
        let having = having(&all, "fe80::2".parse().unwrap());
        assert_eq!(having.unwrap().interface, "eth1");
    }

    #[test]
    fn the_loopback_interface_is_there() {
        let all = all().unwrap();
        let lo = having(&all, "127.0.0.1".parse().unwrap());
        assert_eq!(lo, Some(&local("lo", "127.0.0.1", "255.0.0.0")));
    }
}
