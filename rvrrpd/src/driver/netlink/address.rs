//! Requests about addresses.

use std::net::{IpAddr, Ipv6Addr};

use super::PROTOCOL;
use super::message::Request;
use super::uapi::{
    AF_INET, AF_INET6, IFA_ADDRESS, IFA_CACHEINFO, IFA_F_NODAD, IFA_F_NOPREFIXROUTE, IFA_FLAGS,
    IFA_LOCAL, IFA_PROTO, IFAPROT_KERNEL_LL, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, RTM_DELADDR,
    RTM_GETADDR, RTM_NEWADDR,
};

/// Whether the subnet of an address becomes reachable through its interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::driver) enum Flavour {
    /// The kernel adds a connected route, as for `ip address add`.
    Connected,
    /// It does not (`IFA_F_NOPREFIXROUTE`): another interface has the subnet.
    Alone,
    /// It does not, and of IPv6 the host uses it as a source where it has no other: it is
    /// deprecated from the start (RFC 4862 §5.5.4, RFC 6724 §5 rule 3).
    Guest,
}

/// Adds an address that is ours, without duplicate address detection.
pub(in crate::driver) fn add_address(
    index: u32,
    address: IpAddr,
    prefix: u8,
    flavour: Flavour,
) -> Request {
    let mut flags = 0;
    if flavour != Flavour::Connected {
        flags |= IFA_F_NOPREFIXROUTE;
    }
    if address.is_ipv6() {
        flags |= IFA_F_NODAD;
    }
    let request = named(
        RTM_NEWADDR,
        NLM_F_CREATE | NLM_F_EXCL,
        index,
        address,
        prefix,
    )
    .number(IFA_FLAGS, flags)
    .bytes(IFA_PROTO, &[PROTOCOL])
    .tolerate(&[libc::EEXIST]);
    if flavour == Flavour::Guest && address.is_ipv6() {
        return request.bytes(IFA_CACHEINFO, &NEVER_PREFERRED);
    }
    request
}

/// `struct ifa_cacheinfo`: preferred for 0 s, valid for ever; the time stamps are the kernel's.
const NEVER_PREFERRED: [u8; 16] = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];

/// Adds a link-local address as the kernel makes one when the link is set up.
pub(in crate::driver) fn add_link_local(index: u32, address: Ipv6Addr) -> Request {
    named(
        RTM_NEWADDR,
        NLM_F_CREATE | NLM_F_EXCL,
        index,
        address.into(),
        64,
    )
    .bytes(IFA_PROTO, &[IFAPROT_KERNEL_LL])
    .tolerate(&[libc::EEXIST])
}

/// Deletes an address.
pub(in crate::driver) fn delete_address(index: u32, address: IpAddr, prefix: u8) -> Request {
    named(RTM_DELADDR, 0, index, address, prefix).tolerate(&[libc::EADDRNOTAVAIL, libc::ENODEV])
}

pub(super) fn dump(family: u8) -> Request {
    Request::new(RTM_GETADDR, NLM_F_DUMP, &header(family, 0, 0))
}

fn named(kind: u16, flags: u16, index: u32, address: IpAddr, prefix: u8) -> Request {
    match address {
        IpAddr::V4(address) => Request::new(kind, flags, &header(AF_INET, prefix, index))
            .bytes(IFA_LOCAL, &address.octets())
            .bytes(IFA_ADDRESS, &address.octets()),
        IpAddr::V6(address) => Request::new(kind, flags, &header(AF_INET6, prefix, index))
            .bytes(IFA_LOCAL, &address.octets())
            .bytes(IFA_ADDRESS, &address.octets()),
    }
}

/// `struct ifaddrmsg`.
fn header(family: u8, prefix: u8, index: u32) -> [u8; 8] {
    let mut header = [family, prefix, 0, 0, 0, 0, 0, 0];
    header[4..].copy_from_slice(&index.to_ne_bytes());
    header
}
