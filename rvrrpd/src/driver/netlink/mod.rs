//! rtnetlink: requests in batches, lists, and what its messages mean.
//!
//! neli opens and binds the sockets; messages are written and read here, because many requests go
//! into one system call and each needs its own answer.

mod address;
mod link;
mod message;
mod neighbour;
mod parse;
mod route;
mod socket;
mod uapi;

use std::io;
use std::net::IpAddr;

use super::{Address, KernelEvent, Link};
use crate::config::model::Route;
use uapi::{AF_INET, AF_INET6};

pub(super) use address::{Flavour, add_address, add_link_local, delete_address};
pub(super) use link::{
    Ipv4Silence, create_macvlan, delete_group, delete_link, rename, set_group, set_mac, set_mtu,
    set_up, silence_macvlan,
};
pub(super) use message::Request;
pub(super) use neighbour::use_neighbour;
pub(super) use route::{add_route, delete_route};
pub(super) use socket::{Done, Netlink, Refusal};

/// `IFA_PROTO` and `rtm_protocol` of everything that is ours: the number of VRRP.
pub(super) const PROTOCOL: u8 = crate::wire::IP_PROTOCOL;

/// Multicast groups that tell of links, addresses and routes.
pub(super) const EVENT_GROUPS: [u32; 5] = [
    uapi::RTNLGRP_LINK,
    uapi::RTNLGRP_IPV4_IFADDR,
    uapi::RTNLGRP_IPV4_ROUTE,
    uapi::RTNLGRP_IPV6_IFADDR,
    uapi::RTNLGRP_IPV6_ROUTE,
];

/// Classic BPF: lets through every message but those about routes that are not ours. A router
/// with a full table would otherwise hear of every change of it.
pub(super) fn event_filter() -> [socket2::SockFilter; 7] {
    /// Offset of `nlmsg_type`.
    const TYPE: u32 = 4;
    /// Offset of `rtm_protocol`.
    const ROUTE_PROTOCOL: u32 = 16 + 5;
    const LOAD_SHORT: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // BPF reads network byte order, netlink writes that of the host.
    let seen = |kind: u16| u32::from(kind.to_be());
    let instruction = |code, yes, no, value| socket2::SockFilter::new(code, yes, no, value);
    [
        instruction(LOAD_SHORT, 0, 0, TYPE),
        instruction(JUMP_IF_EQUAL, 1, 0, seen(uapi::RTM_NEWROUTE)),
        instruction(JUMP_IF_EQUAL, 0, 2, seen(uapi::RTM_DELROUTE)),
        instruction(LOAD_BYTE, 0, 0, ROUTE_PROTOCOL),
        instruction(JUMP_IF_EQUAL, 0, 1, u32::from(PROTOCOL)),
        instruction(RETURN, 0, 0, u32::MAX),
        instruction(RETURN, 0, 0, 0),
    ]
}

/// What the messages of one datagram tell, in their order.
pub(super) fn events(datagram: &[u8]) -> impl Iterator<Item = KernelEvent> {
    message::messages(datagram).filter_map(|message| {
        let body = message.body;
        match message.kind {
            uapi::RTM_NEWLINK => parse::link(body).map(KernelEvent::Link),
            uapi::RTM_DELLINK => parse::link(body).map(|link| KernelEvent::LinkGone {
                index: link.index,
                lower: link.lower,
            }),
            uapi::RTM_NEWADDR => parse::address(body).map(|(a, _)| KernelEvent::Address(a)),
            uapi::RTM_DELADDR => parse::address(body).map(|(a, _)| KernelEvent::AddressGone(a)),
            uapi::RTM_DELROUTE => parse::route(body).map(KernelEvent::RouteGone),
            _ => None,
        }
    })
}

impl Netlink {
    /// All links, by interface index.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        self.dump(&link::dump(), |_, body| parse::link(body))
    }

    /// The neighbour on this interface that packets to `address` go to; none where the address is
    /// no other host.
    ///
    /// # Errors
    /// What the kernel says: there is no route (`ENETUNREACH`).
    pub(crate) fn next_hop(&mut self, index: u32, address: IpAddr) -> io::Result<Option<IpAddr>> {
        let request = neighbour::find_route(index, address);
        let answers = self.dump(&request, |kind, body| {
            neighbour::next_hop(kind, body, address)
        })?;
        Ok(answers.into_iter().next())
    }

    /// The routes of ours, of all tables.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn routes(&mut self) -> io::Result<Vec<Route>> {
        let mut all = Vec::new();
        for family in [AF_INET, AF_INET6] {
            match self.dump(&route::dump(family), |_, body| parse::route(body)) {
                Ok(list) => all.extend(list),
                // A kernel without IPv6.
                Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// What the kernel has in the place of `route`, as far as it tells: the entry that serves the
    /// first address of the destination, where it is one of the same destination and metric.
    pub(crate) fn in_place_of(&mut self, wanted: &Route) -> Option<String> {
        let request = route::find(wanted);
        let answers = self.dump(&request, |_, body| parse::foreign_route(body, wanted));
        answers.ok()?.into_iter().next()
    }

    /// Whether packets to `address` on this interface are for this host, as far as the kernel tells.
    pub(crate) fn is_local(&mut self, index: u32, address: IpAddr) -> bool {
        let request = neighbour::find_route(index, address);
        let answers = self.dump(&request, |_, body| Some(route::is_local(body)));
        answers.is_ok_and(|answers| answers.contains(&true))
    }

    /// All addresses, those of an interface in the kernel's order, each with its label (IPv4).
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<(Address, Option<String>)>> {
        let mut all = Vec::new();
        for family in [AF_INET, AF_INET6] {
            match self.dump(&address::dump(family), |_, body| parse::address(body)) {
                Ok(list) => all.extend(list),
                // A kernel without IPv6.
                Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}
