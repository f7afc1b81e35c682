//! The socket that hears router solicitations, where a virtual router advertises.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::sys;
use crate::wire::ra::{ALL_ROUTERS, ROUTER_SOLICITATION};

/// Room for some hundred solicitations: one of them is enough.
const RECEIVE_BUFFER: usize = 64 << 10;
/// BPF_RET | BPF_K with 0: nothing passes.
const DROP_ALL: (u16, u8, u8, u32) = (0x06, 0, 0, 0);
/// BPF_RET | BPF_K with the greatest length: everything passes.
const PASS_ALL: (u16, u8, u8, u32) = (0x06, 0, 0, u32::MAX);

/// Raw ICMPv6 socket on one interface, which is a member of the group of all routers there and
/// hears router solicitations alone.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
}

impl Receiver {
    /// Opens the socket.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW, `ENODEV` where the interface is gone or has no IPv6.
    pub fn open(index: u32) -> io::Result<Self> {
        let kind = Type::RAW.nonblocking();
        let socket = Socket::new(Domain::IPV6, kind, Some(Protocol::ICMPV6))?;
        // A raw socket receives from its creation on, for all interfaces and types.
        attach(&socket, DROP_ALL)?;
        sys::socket::pass_icmpv6_type(&socket, ROUTER_SOLICITATION)?;
        sys::socket::bind_to_interface(&socket, index)?;
        sys::socket::enable_timestamps(&socket)?;
        sys::socket::enable_ipv6_details(&socket)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_multicast_all_v6(false)?;
        socket.join_multicast_v6(&ALL_ROUTERS, index)?;
        attach(&socket, PASS_ALL)?;
        Ok(Self { socket })
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn attach(socket: &Socket, (op, jt, jf, k): (u16, u8, u8, u32)) -> io::Result<()> {
    socket.attach_filter(&[SockFilter::new(op, jt, jf, k)])
}
