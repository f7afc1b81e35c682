//! The sniffer of mode 0: shows every advertisement on one interface.

mod show;

use std::io::{self, ErrorKind, Read as _, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use socket2::{Domain, SockFilter, Socket, Type};

use crate::net::sys::packet;
use crate::wire::{Family, IP_PROTOCOL, IP_PROTOCOL_AH, Mac};

/// All Ethernet types, sent frames included (linux/if_ether.h).
const ALL_TYPES: u16 = 0x0003;
/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK` of linux/if_arp.h: both have an Ethernet header.
const WITH_ETHERNET_HEADER: [u16; 2] = [1, 772];
/// The largest frame: an IP packet of 64 KiB behind an Ethernet header and a tag.
const MAX_FRAME: usize = 65_535 + 18;

/// How often a silent interface is looked at, whether it is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Shows every advertisement on an interface, those of this host included, on stdout until SIGINT
/// or SIGTERM, which end the process at once with exit code 0. Returns when nobody reads stdout
/// any more.
///
/// # Errors
/// No such interface or none of Ethernet, CAP_NET_RAW is missing, or stdout cannot be written.
pub fn run(interface: &str) -> io::Result<()> {
    // Nothing has to be undone and the end may come while stdout blocks, so the handler itself
    // ends the process.
    let always = Arc::new(AtomicBool::new(true));
    for signal in [SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, 0, Arc::clone(&always))?;
    }
    let index = packet::interface_index(interface)
        .map_err(|error| named(interface, "no such interface", &error))?;
    let socket = open(index).map_err(|error| {
        let what = match error.kind() {
            ErrorKind::PermissionDenied => "cannot listen without root or CAP_NET_RAW",
            _ => "cannot listen",
        };
        named(interface, what, &error)
    })?;
    match show_all(interface, index, &socket, &mut io::stdout().lock()) {
        // The reader has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn named(interface: &str, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{interface}: {what}: {error}"))
}

fn show_all(
    interface: &str,
    index: i32,
    mut socket: &Socket,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "Listening for VRRP packets on {interface}")?;
    out.flush()?;
    let mut buffer = vec![0; MAX_FRAME];
    // A socket whose interface went down first is not told that the interface is gone.
    socket.set_read_timeout(Some(LOOK))?;
    loop {
        match socket.read(&mut buffer) {
            Ok(length) => {
                if let Some(text) = show::frame(&buffer[..length]) {
                    out.write_all(text.as_bytes())?;
                    out.flush()?;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let now = packet::interface_index(interface)
                    .map_err(|error| named(interface, "cannot listen any more", &error))?;
                if now != index {
                    return Err(io::Error::new(
                        ErrorKind::NotFound,
                        format!("{interface}: another interface has this name now"),
                    ));
                }
            }
            // Told once; frames come again when the interface is up again.
            Err(error)
                if error.kind() == ErrorKind::NetworkDown
                    && packet::interface_index(interface).is_ok_and(|now| now == index) =>
            {
                writeln!(out, "{interface} is down")?;
                out.flush()?;
            }
            Err(error) => return Err(named(interface, "cannot listen any more", &error)),
        }
    }
}

/// A packet socket of one interface that receives nothing but protocol 112, and 51 of IPv4.
fn open(interface: i32) -> io::Result<Socket> {
    // Protocol 0 receives nothing until the filter is there and the interface is known.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    socket.attach_filter(&filter())?;
    packet::bind(socket.as_fd(), interface, ALL_TYPES)?;
    if !WITH_ETHERNET_HEADER.contains(&packet::hardware_type(socket.as_fd())?) {
        return Err(io::Error::new(
            ErrorKind::Unsupported,
            "not an Ethernet interface",
        ));
    }
    for family in [Family::V4, Family::V6] {
        packet::join(socket.as_fd(), interface, Mac::of_group(family).0)?;
    }
    Ok(socket)
}

/// Passes IPv4 and IPv6 packets of protocol 112, and IPv4 ones of protocol 51, that are in no VLAN,
/// and frames whose VLAN tag the kernel has not taken off, which [`show::frame`] looks at. All
/// other traffic of the interface stays in the kernel.
fn filter() -> [SockFilter; 15] {
    // Operations of linux/bpf_common.h.
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP: u16 = 0x05;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // Places of linux/filter.h.
    const PROTOCOL: u32 = (-0x1000_i32).cast_unsigned();
    const VLAN_TAG: u32 = (-0x1000_i32 + 44).cast_unsigned();
    const NETWORK_HEADER: i32 = -0x10_0000;
    const IPV4_PROTOCOL: u32 = (NETWORK_HEADER + 9).cast_unsigned();
    const IPV6_NEXT_HEADER: u32 = (NETWORK_HEADER + 6).cast_unsigned();
    [
        SockFilter::new(LOAD_HALF, 0, 0, PROTOCOL),
        SockFilter::new(JUMP_EQUAL, 11, 0, 0x8100),
        SockFilter::new(JUMP_EQUAL, 10, 0, 0x88a8),
        SockFilter::new(JUMP_EQUAL, 1, 0, 0x0800),
        SockFilter::new(JUMP_EQUAL, 3, 9, 0x86dd),
        SockFilter::new(LOAD_BYTE, 0, 0, IPV4_PROTOCOL),
        SockFilter::new(JUMP_EQUAL, 3, 0, IP_PROTOCOL_AH as u32),
        SockFilter::new(JUMP, 0, 0, 1),
        SockFilter::new(LOAD_BYTE, 0, 0, IPV6_NEXT_HEADER),
        SockFilter::new(JUMP_EQUAL, 0, 4, IP_PROTOCOL as u32),
        SockFilter::new(LOAD_HALF, 0, 0, VLAN_TAG),
        SockFilter::new(AND, 0, 0, 0x0fff),
        SockFilter::new(JUMP_EQUAL, 0, 1, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests;
