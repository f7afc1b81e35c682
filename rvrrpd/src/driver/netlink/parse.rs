//! What the kernel's messages about links, addresses and routes mean.

use std::net::IpAddr;

use super::PROTOCOL;
use super::message::{attributes, number, text};
use super::uapi::{
    AF_INET, AF_INET6, AF_UNSPEC, IFA_ADDRESS, IFA_F_DADFAILED, IFA_F_SECONDARY, IFA_F_TENTATIVE,
    IFA_FLAGS, IFA_LABEL, IFA_LOCAL, IFA_PROTO, IFF_LOWER_UP, IFF_UP, IFLA_ADDRESS, IFLA_GROUP,
    IFLA_IFNAME, IFLA_INFO_KIND, IFLA_INFO_SLAVE_KIND, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO,
    IFLA_MTU, IFLA_OPERSTATE, IPV6_DEFAULT_METRIC, OPERATIONAL_STATES_DOWN, RTA_DST, RTA_GATEWAY,
    RTA_METRICS, RTA_OIF, RTA_PRIORITY, RTA_TABLE, RTAX_MTU, RTN_UNICAST,
};
use crate::config::model::Route;
use crate::driver::{Address, Link};
use crate::wire::Mac;

/// What the labels of the ioctl driver have after the name of the interface.
const ALIAS: &str = ":v";

/// A link from `struct ifinfomsg` and what follows; none for what bridges and drivers tell about
/// their ports in messages of the same type.
pub(super) fn link(body: &[u8]) -> Option<Link> {
    let (header, rest) = body.split_at_checked(16)?;
    if header[0] != AF_UNSPEC {
        return None;
    }
    let flags = number(header, 8)?;
    let mut link = Link {
        index: number(header, 4)?,
        name: String::new(),
        mac: None,
        kind: u16::from_ne_bytes([header[2], header[3]]),
        mtu: 0,
        up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        lower: None,
        group: 0,
        macvlan: false,
        secluded: false,
        enslaved: false,
        vrf: false,
    };
    let mut elsewhere = false;
    for (kind, value) in attributes(rest) {
        match kind {
            IFLA_IFNAME => text(value)?.clone_into(&mut link.name),
            IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
            IFLA_MTU => link.mtu = number(value, 0)?,
            IFLA_LINK => link.lower = number(value, 0).filter(|index| *index != 0),
            IFLA_LINK_NETNSID => elsewhere = true,
            IFLA_LINKINFO => {
                for (kind, value) in attributes(value) {
                    match kind {
                        IFLA_INFO_KIND => {
                            let kind = text(value);
                            link.macvlan = kind == Some("macvlan");
                            link.secluded =
                                matches!(kind, Some("macvlan" | "macvtap" | "ipvlan" | "ipvtap"));
                        }
                        // A VRF takes packets, not frames: what is sent to the interface is
                        // still received there.
                        IFLA_INFO_SLAVE_KIND => {
                            link.vrf = text(value) == Some("vrf");
                            link.enslaved = !link.vrf;
                        }
                        _ => {}
                    }
                }
            }
            IFLA_GROUP => link.group = number(value, 0)?,
            IFLA_OPERSTATE => {
                link.carrier &= !value
                    .first()
                    .is_some_and(|state| OPERATIONAL_STATES_DOWN.contains(state));
            }
            _ => {}
        }
    }
    if elsewhere {
        // An index of another network namespace names nothing here.
        link.lower = None;
    }
    (!link.name.is_empty()).then_some(link)
}

/// Whether a label is one of the ioctl driver: `eth0:v7` or `eth0:v7.2`.
fn is_alias(label: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    label
        .rsplit_once(ALIAS)
        .is_some_and(|(_, place)| match place.split_once('.') {
            Some((vrid, place)) => number(vrid) && number(place),
            None => number(place),
        })
}

/// An address from `struct ifaddrmsg` and what follows, with its label.
pub(super) fn address(body: &[u8]) -> Option<(Address, Option<String>)> {
    let (header, rest) = body.split_at_checked(8)?;
    let family = header[0];
    let mut flags = u32::from(header[2]);
    let (mut local, mut other, mut label, mut protocol) = (None, None, None, 0);
    for (kind, value) in attributes(rest) {
        match kind {
            IFA_LOCAL => local = ip(family, value),
            IFA_ADDRESS => other = ip(family, value),
            IFA_LABEL => label = text(value).map(str::to_owned),
            IFA_FLAGS => flags = number(value, 0)?,
            IFA_PROTO => protocol = *value.first()?,
            _ => {}
        }
    }
    let alias = label.as_deref().is_some_and(is_alias);
    let address = Address {
        index: number(header, 4)?,
        address: local.or(other)?,
        prefix: header[1],
        duplicate: flags & IFA_F_DADFAILED != 0 && family == AF_INET6,
        tentative: flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0 && family == AF_INET6,
        secondary: flags & IFA_F_SECONDARY != 0 && family == AF_INET,
        ours: protocol == PROTOCOL || alias,
    };
    Some((address, label))
}

/// A unicast route of ours with one next hop from `struct rtmsg` and what follows.
pub(super) fn route(body: &[u8]) -> Option<Route> {
    let (header, rest) = body.split_at_checked(12)?;
    let (family, prefix, protocol, kind) = (header[0], header[1], header[5], header[7]);
    if protocol != PROTOCOL || kind != RTN_UNICAST {
        return None;
    }
    let mut destination = match family {
        AF_INET => IpAddr::from([0; 4]),
        AF_INET6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let (mut next_hop, mut metric, mut mtu, mut table) = (None, 0, 0, u32::from(header[4]));
    for (kind, value) in attributes(rest) {
        match kind {
            RTA_DST => destination = ip(family, value)?,
            RTA_GATEWAY => next_hop = ip(family, value),
            RTA_PRIORITY => metric = number(value, 0)?,
            RTA_TABLE => table = number(value, 0)?,
            RTA_METRICS => {
                mtu = attributes(value)
                    .find(|(kind, _)| *kind == RTAX_MTU)
                    .and_then(|(_, value)| number(value, 0))
                    .unwrap_or(0);
            }
            _ => {}
        }
    }
    Some(Route {
        destination,
        prefix,
        next_hop: next_hop?,
        metric: default_metric(family == AF_INET6, metric),
        mtu,
        table,
    })
}

/// A route of somebody else to the destination of `ours`, with its metric, in words.
pub(super) fn foreign_route(body: &[u8], ours: &Route) -> Option<String> {
    let (header, rest) = body.split_at_checked(12)?;
    let (family, prefix, protocol) = (header[0], header[1], header[5]);
    let (mut metric, mut table, mut next_hop, mut index) = (0, u32::from(header[4]), None, None);
    let mut destination = None;
    for (kind, value) in attributes(rest) {
        match kind {
            RTA_DST => destination = ip(family, value),
            RTA_GATEWAY => next_hop = ip(family, value),
            RTA_PRIORITY => metric = number(value, 0)?,
            RTA_TABLE => table = number(value, 0)?,
            RTA_OIF => index = number(value, 0),
            _ => {}
        }
    }
    let is_same = prefix == ours.prefix
        && destination.is_none_or(|destination| destination == ours.destination)
        && default_metric(family == AF_INET6, metric) == ours.metric
        && table == ours.table;
    if !is_same || protocol == PROTOCOL {
        return None;
    }
    let mut words = format!("protocol {protocol}");
    if let Some(next_hop) = next_hop {
        words = format!("via {next_hop}, {words}");
    }
    if let Some(index) = index {
        words = format!("{words}, interface index {index}");
    }
    Some(words)
}

/// 0 for the metric that the kernel gives to a route without one.
fn default_metric(ipv6: bool, metric: u32) -> u32 {
    if ipv6 && metric == IPV6_DEFAULT_METRIC {
        0
    } else {
        metric
    }
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        AF_INET6 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_are_too_bad_to_parse(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (link(&bytes), address(&bytes), route(&bytes));
        }
    }

    #[test]
    fn a_message_about_a_bridge_port_is_not_about_the_link() {
        let mut body = [0; 16].to_vec();
        body[0] = 7;
        body.extend_from_slice(&[9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
        assert_eq!(link(&body), None);
        body[0] = 0;
        assert_eq!(link(&body).unwrap().name, "eth0");
    }
    #[test]
    fn ports_of_a_vrf_are_told_from_other_ports() {
        for (kind, vrf, enslaved) in [("vrf", true, false), ("bond", false, true)] {
            let mut body = [0; 16].to_vec();
            body.extend_from_slice(&[9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
            // IFLA_LINKINFO with IFLA_INFO_SLAVE_KIND, which ends with a zero.
            let length = u8::try_from(4 + kind.len() + 1).unwrap();
            body.extend_from_slice(&[4 + length, 0, 18, 0, length, 0, 4, 0]);
            body.extend_from_slice(kind.as_bytes());
            body.resize((body.len() + 1).next_multiple_of(4), 0);
            let link = link(&body).unwrap();
            assert_eq!((link.vrf, link.enslaved), (vrf, enslaved), "{kind}");
        }
    }
}
