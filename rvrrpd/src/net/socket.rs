//! The receive socket of an interface and family.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

use super::filter::{self, Channel, VridSet};
use super::membership::Members;
use super::sys;
use crate::wire::{Family, GROUP_V4, GROUP_V6, IP_PROTOCOL, IP_PROTOCOL_AH};

/// Room for some ten thousand advertisements, so that a stalled listener loses none.
const RECEIVE_BUFFER: i32 = 8 << 20;
/// BPF_RET | BPF_K with 0: nothing passes.
const DROP_ALL: (u16, u8, u8, u32) = (0x06, 0, 0, 0);
/// BPF_RET | BPF_K with the greatest length: everything passes.
const PASS_ALL: (u16, u8, u8, u32) = (0x06, 0, 0, u32::MAX);

/// Raw IP socket of protocol 112, or of protocol 51 (AH), on one interface. It is a member of the
/// VRRP group there, and hears nothing that the host forwards.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    channel: Channel,
    index: u32,
    cookie: u64,
}

impl Receiver {
    /// Opens the socket. Nothing passes before [`Self::filter`] is called: a raw socket receives
    /// from its creation on, for all interfaces.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW, `ENODEV` where the interface is gone.
    pub fn open(index: u32, channel: Channel) -> io::Result<Self> {
        let family = channel.family();
        let protocol = match channel {
            Channel::Vrrp(_) => IP_PROTOCOL,
            Channel::Ah => IP_PROTOCOL_AH,
        };
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = Socket::new(
            domain,
            Type::RAW.nonblocking(),
            Some(Protocol::from(i32::from(protocol))),
        )?;
        attach(&socket, &[DROP_ALL])?;
        sys::socket::bind_to_interface(&socket, index)?;
        sys::socket::enable_timestamps(&socket)?;
        sys::socket::force_receive_buffer(&socket, RECEIVE_BUFFER)?;
        match family {
            Family::V4 => socket.set_multicast_all_v4(false)?,
            Family::V6 => {
                sys::socket::enable_ipv6_details(&socket)?;
                socket.set_multicast_all_v6(false)?;
            }
        }
        let receiver = Self {
            cookie: sys::socket::cookie(&socket)?,
            socket,
            channel,
            index,
        };
        receiver.join()?;
        Ok(receiver)
    }

    fn join(&self) -> io::Result<()> {
        match self.family() {
            Family::V4 => self
                .socket
                .join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(self.index)),
            Family::V6 => self.socket.join_multicast_v6(&GROUP_V6, self.index),
        }
    }

    /// Joins the group again where the interface has forgotten it: the kernel makes its half of
    /// IPv6 (or IPv4) anew when the MTU was too small for it (1280, 68 bytes) and is not any more,
    /// and the socket still counts as a member. Whether that was so. `members` are those of the
    /// interface's network namespace.
    ///
    /// # Errors
    /// The group cannot be joined, or nobody knows whether it has to be.
    pub fn join_again(&self, members: &Members) -> io::Result<bool> {
        if members.has(self.index, self.family())? {
            return Ok(false);
        }
        // What is left of the membership is in the way; that it is none is no error.
        let _none = match self.family() {
            Family::V4 => self
                .socket
                .leave_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(self.index)),
            Family::V6 => self.socket.leave_multicast_v6(&GROUP_V6, self.index),
        };
        self.join()?;
        Ok(true)
    }

    /// Lets the VRIDs of the set pass, or everything where there is none (`socket_filter =
    /// false`); of protocol 51 only what has a message inside, so that other users of AH are no
    /// business of ours. Replaces the filter before it without a gap.
    ///
    /// # Errors
    /// That of setsockopt(2).
    pub fn filter(&self, vrids: Option<&VridSet>) -> io::Result<()> {
        let vrids = match (vrids, self.channel) {
            (None, Channel::Vrrp(_)) => return attach(&self.socket, &[PASS_ALL]),
            (None, Channel::Ah) => &VridSet::ALL,
            (Some(vrids), _) => vrids,
        };
        self.socket
            .attach_filter(&filter::program(self.channel, vrids))
    }

    /// Lets pass what the eBPF filter admits. Replaces the filter before it without a gap.
    ///
    /// # Errors
    /// That of setsockopt(2).
    pub fn filter_by(&self, filter: &super::kernel::Filter) -> io::Result<()> {
        filter.attach(&self.socket)
    }

    /// What the eBPF filter knows it by.
    #[must_use]
    pub const fn cookie(&self) -> u64 {
        self.cookie
    }

    /// What it receives.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// Family of the socket.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.channel.family()
    }

    /// Packets that found the receive buffer full so far, modulo 2^32. 0 where the kernel does not
    /// tell: then nobody knows of a loss.
    #[must_use]
    pub fn overflows(&self) -> u32 {
        sys::socket::overflows(&self.socket).unwrap_or(0)
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
