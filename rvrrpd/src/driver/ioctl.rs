//! The classic way of changing the kernel (`netdrv = "ioctl"`): IPv4 only, no batches.
//!
//! The virtual address becomes an alias (`eth0:v1`), so that the interface's own addresses stay;
//! `SIOCSIFADDR` without a label would replace the first of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use socket2::{Domain, Socket, Type};

use crate::config::model::Route;
use crate::net::sys::ioctl::{self, Name};
use crate::wire::Mac;

/// Largest metric that a route can have here: the field is a signed short and holds metric + 1.
const LARGEST_METRIC: u32 = 32_766;
/// Longest prefix of a subnet that has a broadcast address (RFC 3021).
const LONGEST_WITH_BROADCAST: u8 = 30;
/// The table `main`, the only one that `SIOCADDRT` knows.
const TABLE_MAIN: u32 = libc::RT_TABLE_MAIN as u32;

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

    /// Whether a route can be made by ioctl at all.
    ///
    /// # Errors
    /// `Unsupported`: IPv6, a table other than `main` (254), a metric above 32766, or an MTU (what
    /// the ioctl calls MTU sets the advertised MSS).
    pub fn check_route(route: &Route) -> io::Result<()> {
        let refuse = |why: String| {
            let text = format!("route {}: {why}; netdrv = \"libnl\" can", route_name(route));
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        };
        if !route.destination.is_ipv4() || !route.next_hop.is_ipv4() {
            return refuse("ioctl cannot make IPv6 routes".to_owned());
        }
        if route.table != TABLE_MAIN {
            return refuse(format!(
                "ioctl cannot reach table {}, only {TABLE_MAIN} (main)",
                route.table
            ));
        }
        if route.metric > LARGEST_METRIC {
            return refuse(format!(
                "ioctl cannot set metric {}, only 0..={LARGEST_METRIC}",
                route.metric
            ));
        }
        if route.mtu != 0 {
            return refuse("ioctl cannot set the MTU of a route".to_owned());
        }
        Ok(())
    }

    /// Adds a route.
    ///
    /// # Errors
    /// As [`check_route`](Self::check_route). `AlreadyExists`: that very route is there. Else what
    /// the kernel says.
    pub fn add_route(&self, route: &Route) -> io::Result<()> {
        ioctl::add_route(self.socket.as_fd(), &entry(route)?)
            .map_err(|error| explain(&format!("adding route {}", route_name(route)), &error))
    }

    /// Removes a route. Nothing happens if it is not there.
    ///
    /// # Errors
    /// As [`check_route`](Self::check_route), else what the kernel says.
    pub fn remove_route(&self, route: &Route) -> io::Result<()> {
        match ioctl::delete_route(self.socket.as_fd(), &entry(route)?) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(explain(
                &format!("removing route {}", route_name(route)),
                &error,
            )),
            _ => Ok(()),
        }
    }
}

fn entry(route: &Route) -> io::Result<ioctl::Route> {
    Ioctl::check_route(route)?;
    let (IpAddr::V4(destination), IpAddr::V4(gateway)) = (route.destination, route.next_hop) else {
        return Err(invalid(format!("route {}: not IPv4", route_name(route))));
    };
    Ok(ioctl::Route {
        destination,
        mask: mask(route.prefix)?,
        gateway,
        // 0 is "none given" for the ioctl, which takes 1 off.
        metric: i16::try_from(route.metric + 1)
            .map_err(|_| invalid(format!("route {}: metric too large", route_name(route))))?,
    })
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

fn route_name(route: &Route) -> String {
    format!(
        "{}/{} via {}",
        route.destination, route.prefix, route.next_hop
    )
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn explain(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
