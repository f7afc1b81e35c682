//! The send socket for unicast peers: whole IP datagrams, for which the kernel finds the way and
//! the neighbour. Their Ethernet source is the MAC of the interface.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::sys;
pub use super::sys::peers::Failure;
use crate::wire::Family;

/// `IPPROTO_RAW` of linux/in.h: what is sent begins with its IP header (raw(7); for IPv6 since
/// Linux 4.5), and nothing is received but protocol 255.
const IP_HEADER_INCLUDED: i32 = 255;
/// A neighbour that does not answer holds what is sent to it until the kernel gives up, at most
/// `unres_qlen_bytes` (208 KiB) for each. So many that 64 dead ones do not silence the others.
const SEND_BUFFER: i32 = 16 << 20;
/// TC_PRIO_CONTROL of linux/pkt_sched.h.
const CONTROL_PRIORITY: i32 = 7;
/// BPF_RET | BPF_K with 0: nothing passes.
const DROP_ALL: (u16, u8, u8, u32) = (0x06, 0, 0, 0);

/// Raw IP socket of one interface and family that sends and receives nothing.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    family: Family,
    index: u32,
}

impl Sender {
    /// Opens the socket. All that it sends leaves by this interface.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW, `ENODEV` where the interface is gone.
    pub fn open(index: u32, family: Family) -> io::Result<Self> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let protocol = Protocol::from(IP_HEADER_INCLUDED);
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
        let (op, jt, jf, k) = DROP_ALL;
        socket.attach_filter(&[SockFilter::new(op, jt, jf, k)])?;
        sys::socket::bind_to_interface(&socket, index)?;
        sys::socket::force_send_buffer(&socket, SEND_BUFFER)?;
        sys::socket::set_priority(&socket, CONTROL_PRIORITY)?;
        Ok(Self {
            socket,
            family,
            index,
        })
    }

    /// Family of the socket.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Sends each datagram to its peer, in as few system calls as possible and without waiting.
    /// One that cannot be sent (no route to that peer) does not hold back the others.
    ///
    /// # Errors
    /// What was not sent.
    pub fn send<'a>(
        &self,
        datagrams: impl IntoIterator<Item = (IpAddr, &'a [u8])>,
    ) -> Result<(), Failure> {
        sys::peers::send_each(self.socket.as_fd(), self.index, datagrams)
    }
}
