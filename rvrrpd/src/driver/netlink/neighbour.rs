//! Requests about neighbours, and about the next hop that is one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::{Request, attributes};
use super::uapi::{
    AF_INET, AF_INET6, NDA_DST, NLM_F_CREATE, NTF_USE, RTA_DST, RTA_GATEWAY, RTA_OIF, RTM_GETROUTE,
    RTM_NEWNEIGH, RTM_NEWROUTE, RTN_UNICAST,
};

/// Makes the kernel do what a packet to this neighbour would make it do: resolve it where it is
/// unknown or failed, probe it where it has not been heard for long, and nothing where it is known
/// (`NTF_USE`, net/core/neighbour.c).
pub(in crate::driver) fn use_neighbour(index: u32, address: IpAddr) -> Request {
    let (family, bytes) = parts(&address);
    // struct ndmsg of linux/neighbour.h.
    let mut header = [0; 12];
    header[0] = family;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[10] = NTF_USE;
    Request::new(RTM_NEWNEIGH, NLM_F_CREATE, &header).bytes(NDA_DST, bytes.as_slice())
}

/// Asks which way packets to this address leave by this interface.
pub(super) fn find_route(index: u32, address: IpAddr) -> Request {
    let (family, bytes) = parts(&address);
    let mut header = [0; 12];
    header[0] = family;
    header[1] = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    Request::new(RTM_GETROUTE, 0, &header)
        .bytes(RTA_DST, bytes.as_slice())
        .number(RTA_OIF, index)
}

/// The neighbour that packets to `address` go to, from the answer: the gateway, or the address
/// itself where it is on the link. None where it is no other host (local, broadcast).
pub(super) fn next_hop(kind: u16, body: &[u8], address: IpAddr) -> Option<IpAddr> {
    /// Length of struct rtmsg.
    const HEADER: usize = 12;
    if kind != RTM_NEWROUTE || *body.get(7)? != RTN_UNICAST {
        return None;
    }
    let gateway = attributes(body.get(HEADER..)?).find(|(kind, _)| *kind == RTA_GATEWAY);
    let Some((_, bytes)) = gateway else {
        return Some(address);
    };
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|bytes| Ipv6Addr::from(bytes).into())
}

fn parts(address: &IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    }
}
