//! Requests about routes.

use std::net::IpAddr;

use super::PROTOCOL;
use super::message::Request;
use super::uapi::{
    AF_INET, AF_INET6, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, RT_SCOPE_NOWHERE, RT_SCOPE_UNIVERSE,
    RT_TABLE_UNSPEC, RTA_DST, RTA_GATEWAY, RTA_METRICS, RTA_PRIORITY, RTA_TABLE, RTAX_MTU,
    RTM_DELROUTE, RTM_F_FIB_MATCH, RTM_GETROUTE, RTM_NEWROUTE, RTN_LOCAL, RTN_UNICAST,
};
use crate::config::model::Route;

/// Adds a route that is ours. A route of somebody else to the same destination with the same
/// metric counts as there already: whoever needs to know asks for the list.
pub(in crate::driver) fn add_route(route: &Route) -> Request {
    let request = named(
        RTM_NEWROUTE,
        NLM_F_CREATE | NLM_F_EXCL,
        route,
        RT_SCOPE_UNIVERSE,
    )
    .tolerate(&[libc::EEXIST]);
    if route.mtu == 0 {
        return request;
    }
    request.nest(RTA_METRICS, |metrics| metrics.number(RTAX_MTU, route.mtu))
}

/// Deletes a route of protocol 112.
pub(in crate::driver) fn delete_route(route: &Route) -> Request {
    named(RTM_DELROUTE, 0, route, RT_SCOPE_NOWHERE).tolerate(&[libc::ESRCH, libc::ENODEV])
}

/// All routes of protocol 112; a kernel before 4.20 hands out all.
pub(super) fn dump(family: u8) -> Request {
    let header = header(family, 0, RT_SCOPE_UNIVERSE, RTN_UNICAST);
    Request::new(RTM_GETROUTE, NLM_F_DUMP, &header)
}

/// Asks for the entry that serves the first address of the destination.
pub(super) fn find(route: &Route) -> Request {
    let (family, length) = match route.destination {
        IpAddr::V4(_) => (AF_INET, 32),
        IpAddr::V6(_) => (AF_INET6, 128),
    };
    let mut header = [0; 12];
    header[0] = family;
    header[1] = length;
    header[8..].copy_from_slice(&RTM_F_FIB_MATCH.to_ne_bytes());
    address(
        Request::new(RTM_GETROUTE, 0, &header),
        RTA_DST,
        route.destination,
    )
}

/// Whether an entry delivers to this host itself.
pub(super) fn is_local(body: &[u8]) -> bool {
    body.get(7) == Some(&RTN_LOCAL)
}

fn named(kind: u16, flags: u16, route: &Route, scope: u8) -> Request {
    let family = match route.destination {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    };
    let request = Request::new(
        kind,
        flags,
        &header(family, route.prefix, scope, RTN_UNICAST),
    );
    let request = address(request, RTA_DST, route.destination);
    let request = address(request, RTA_GATEWAY, route.next_hop).number(RTA_TABLE, route.table);
    if route.metric == 0 {
        return request;
    }
    request.number(RTA_PRIORITY, route.metric)
}

fn address(request: Request, kind: u16, address: IpAddr) -> Request {
    match address {
        IpAddr::V4(address) => request.bytes(kind, &address.octets()),
        IpAddr::V6(address) => request.bytes(kind, &address.octets()),
    }
}

/// `struct rtmsg`; the protocol is always ours.
fn header(family: u8, prefix: u8, scope: u8, kind: u8) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = family;
    header[1] = prefix;
    header[4] = RT_TABLE_UNSPEC;
    header[5] = PROTOCOL;
    header[6] = scope;
    header[7] = kind;
    header
}
