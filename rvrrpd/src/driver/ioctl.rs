//! The classic way of changing the kernel (`netdrv = "ioctl"`): IPv4 only, no batches.
//!
//! Addresses only: a route by ioctl cannot be marked as ours, so that it could not be told from
//! others after a crash.
//!
//! The virtual address becomes an alias (`eth0:v1`), so that the interface's own addresses stay;
//! `SIOCSIFADDR` without a label would replace the first of them.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use socket2::{Domain, Socket, Type};

use crate::net::sys::ioctl::{self, Name};
use crate::wire::Mac;

/// Longest prefix of a subnet that has a broadcast address (RFC 3021).
const LONGEST_WITH_BROADCAST: u8 = 30;
/// A socket to send ioctls through.
#[derive(Debug)]
pub struct Ioctl {
    socket: Socket,
}

impl Ioctl {
    /// Opens the socket, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        Ok(Self { socket })
    }

    /// Adds an address under a label of its own. Nothing happens if it is there already.
    ///
    /// The kernel knows no way to give address and prefix at once: for some microseconds the
    /// address has the prefix of its class.
    ///
    /// # Errors
    /// `InvalidInput`: the label is not `interface:something` of at most 15 bytes, or the prefix is
    /// longer than 32. `AlreadyExists`: the label has another address. Else what the kernel says.
    pub fn add_alias(
        &self,
        interface: &str,
        label: &str,
        address: Ipv4Addr,
        prefix: u8,
    ) -> io::Result<()> {
        let name = alias_name(label)?;
        if label.split_once(':').map(|(parent, _)| parent) != Some(interface) {
            return Err(invalid(format!(
                "label `{label}`: must begin with `{interface}:`"
            )));
        }
        if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
            return Err(invalid(format!("{address}: no address of a host")));
        }
        let mask = mask(prefix)?;
        let fd = self.socket.as_fd();
        match ioctl::address(fd, &name) {
            Ok(there) if there != address => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{label}: is {there} already, cannot become {address}"),
                ));
            }
            Ok(_) => {}
            Err(_) => ioctl::set_address(fd, &name, address)
                .map_err(|error| explain(&format!("{label}: adding {address}"), &error))?,
        }
        if prefix > LONGEST_WITH_BROADCAST {
            // The kernel would keep the broadcast address of the class.
            ioctl::set_broadcast(fd, &name, Ipv4Addr::UNSPECIFIED).map_err(|error| {
                explain(&format!("{label}: clearing broadcast address"), &error)
            })?;
        }
        ioctl::set_netmask(fd, &name, mask)
            .map_err(|error| explain(&format!("{label}: setting netmask {mask}"), &error))
    }

    /// Removes the address with this label. Nothing happens if there is none.
    ///
    /// If it is the first address of its subnet, the kernel removes the others with it unless
    /// `promote_secondaries` is set.
    ///
    /// # Errors
    /// `InvalidInput`: the label has no colon (that would be the interface itself) or is longer
    /// than 15 bytes. Else what the kernel says.
    pub fn remove_alias(&self, label: &str) -> io::Result<()> {
        let name = alias_name(label)?;
        match ioctl::set_flags(self.socket.as_fd(), &name, 0) {
            Err(error)
                if !matches!(
                    error.raw_os_error(),
                    Some(libc::EADDRNOTAVAIL | libc::ENODEV)
                ) =>
            {
                Err(explain(&format!("{label}: removing the alias"), &error))
            }
            _ => Ok(()),
        }
    }

    /// Changes the Ethernet address of an interface.
    ///
    /// # Errors
    /// `InvalidInput`: no name of an interface. Else what the kernel says; `ResourceBusy` from
    /// devices that must be down for it.
    pub fn set_mac(&self, interface: &str, mac: Mac) -> io::Result<()> {
        let name = interface_name(interface)?;
        ioctl::set_hardware_address(self.socket.as_fd(), &name, mac.0).map_err(|error| {
            explain(
                &format!("{interface}: setting Ethernet address {mac}"),
                &error,
            )
        })
    }
}

fn mask(prefix: u8) -> io::Result<Ipv4Addr> {
    if prefix > 32 {
        return Err(invalid(format!("prefix length {prefix}: must be 0..=32")));
    }
    Ok(u32::MAX
        .checked_shl(32 - u32::from(prefix))
        .unwrap_or(0)
        .into())
}

/// A name with a colon: never the interface itself, whose address or flags would be changed.
fn alias_name(label: &str) -> io::Result<Name> {
    match label.split_once(':') {
        Some((parent, rest)) if !parent.is_empty() && !rest.is_empty() => Name::new(label)
            .ok_or_else(|| {
                invalid(format!(
                    "label `{label}`: must have at most {} bytes",
                    Name::LONGEST
                ))
            }),
        _ => Err(invalid(format!(
            "label `{label}`: must be `interface:something`"
        ))),
    }
}

fn interface_name(interface: &str) -> io::Result<Name> {
    Name::new(interface)
        .filter(|_| !interface.contains(':'))
        .ok_or_else(|| invalid(format!("`{interface}` is no name of an interface")))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn explain(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
