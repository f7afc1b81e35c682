//! The receive socket of an interface and family.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

use super::filter::{self, VridSet};
use super::sys;
use crate::wire::{Family, GROUP_V4, GROUP_V6, IP_PROTOCOL};

/// Room for some ten thousand advertisements, so that a stalled listener loses none.
const RECEIVE_BUFFER: i32 = 8 << 20;
/// BPF_RET | BPF_K with 0: nothing passes.
const DROP_ALL: (u16, u8, u8, u32) = (0x06, 0, 0, 0);
/// BPF_RET | BPF_K with the greatest length: everything passes.
const PASS_ALL: (u16, u8, u8, u32) = (0x06, 0, 0, u32::MAX);

/// Raw IP socket of protocol 112 on one interface. It is a member of the VRRP group there, and
/// hears nothing that the host forwards.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    family: Family,
}

impl Receiver {
    /// Opens the socket. Nothing passes before [`Self::filter`] is called: a raw socket receives
    /// from its creation on, for all interfaces.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW, `ENODEV` where the interface is gone.
    pub fn open(name: &str, index: u32, family: Family) -> io::Result<Self> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = Socket::new(
            domain,
            Type::RAW.nonblocking(),
            Some(Protocol::from(i32::from(IP_PROTOCOL))),
        )?;
        attach(&socket, &[DROP_ALL])?;
        socket.bind_device(Some(name.as_bytes()))?;
        sys::socket::enable_timestamps(&socket)?;
        sys::socket::force_receive_buffer(&socket, RECEIVE_BUFFER)?;
        match family {
            Family::V4 => {
                socket.set_multicast_all_v4(false)?;
                socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))?;
            }
            Family::V6 => {
                sys::socket::enable_ipv6_details(&socket)?;
                socket.set_multicast_all_v6(false)?;
                socket.join_multicast_v6(&GROUP_V6, index)?;
            }
        }
        Ok(Self { socket, family })
    }

    /// Lets the VRIDs of the set pass, or everything where there is none (`socket_filter =
    /// false`). Replaces the filter before it without a gap.
    ///
    /// # Errors
    /// That of setsockopt(2).
    pub fn filter(&self, vrids: Option<&VridSet>) -> io::Result<()> {
        match vrids {
            Some(vrids) => self
                .socket
                .attach_filter(&filter::program(self.family, vrids)),
            None => attach(&self.socket, &[PASS_ALL]),
        }
    }

    /// Family of the socket.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Whether a packet is waiting.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        sys::socket::is_readable(self.socket.as_fd())
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn attach(socket: &Socket, code: &[(u16, u8, u8, u32)]) -> io::Result<()> {
    let code: Vec<_> = code
        .iter()
        .map(|&(op, jt, jf, k)| SockFilter::new(op, jt, jf, k))
        .collect();
    socket.attach_filter(&code)
}
