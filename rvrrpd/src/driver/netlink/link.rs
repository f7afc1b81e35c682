//! Requests about links.
//!
//! None of them sets a link down: that waits for an RCU grace period under the rtnl lock, 15 ms.

use super::message::Request;
use super::uapi::{
    AF_INET, AF_INET6, AF_UNSPEC, IFF_UP, IFLA_ADDRESS, IFLA_AF_SPEC, IFLA_EXT_MASK, IFLA_GROUP,
    IFLA_IFNAME, IFLA_INET_CONF, IFLA_INET6_ADDR_GEN_MODE, IFLA_INFO_DATA, IFLA_INFO_KIND,
    IFLA_LINK, IFLA_LINKINFO, IFLA_MACVLAN_BC_QUEUE_LEN, IFLA_MACVLAN_MODE, IFLA_MTU,
    IN6_ADDR_GEN_MODE_NONE, IPV4_DEVCONF_ARP_ANNOUNCE, IPV4_DEVCONF_ARP_IGNORE,
    IPV4_DEVCONF_FORWARDING, IPV4_DEVCONF_PROMOTE_SECONDARIES, IPV4_DEVCONF_RP_FILTER,
    IPV4_DEVCONF_SEND_REDIRECTS, MACVLAN_MODE_BRIDGE, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL,
    RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK, SKIP_STATS,
};
use crate::wire::Mac;

/// Broadcasts (ARP requests) that may wait for the macvlans of a parent; the kernel's 1000 are
/// few for hundreds of macvlans.
const BROADCAST_QUEUE: u32 = 4096;

/// A macvlan in bridge mode, down. `AlreadyExists` if the name is taken.
pub(in crate::driver) fn create_macvlan(name: &str, mac: Mac, parent: u32, group: u32) -> Request {
    Request::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header(0, 0, 0))
        .text(IFLA_IFNAME, name)
        .bytes(IFLA_ADDRESS, &mac.0)
        .number(IFLA_LINK, parent)
        .number(IFLA_GROUP, group)
        .nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "macvlan")
                .nest(IFLA_INFO_DATA, |data| {
                    data.number(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE)
                        .number(IFLA_MACVLAN_BC_QUEUE_LEN, BROADCAST_QUEUE)
                })
        })
}

/// IPv4 settings of a macvlan, as in `/proc/sys/net/ipv4/conf`.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Ipv4Silence {
    /// `arp_ignore`.
    pub(in crate::driver) arp_ignore: u32,
    /// `arp_announce`.
    pub(in crate::driver) arp_announce: u32,
    /// `send_redirects`.
    pub(in crate::driver) send_redirects: u32,
    /// `rp_filter`.
    pub(in crate::driver) rp_filter: u32,
    /// `promote_secondaries`.
    pub(in crate::driver) promote_secondaries: u32,
    /// `forwarding`.
    pub(in crate::driver) forwarding: u32,
}

/// Settings that must be there before the macvlan is set up. The kernel ignores them in the
/// request that creates it.
pub(in crate::driver) fn silence_macvlan(index: u32, ipv4: Ipv4Silence, ipv6: bool) -> Request {
    Request::new(RTM_SETLINK, 0, &header(index, 0, 0)).nest(IFLA_AF_SPEC, |families| {
        let families = families.nest(u16::from(AF_INET), |family| {
            family.nest(IFLA_INET_CONF, |conf| {
                conf.number(IPV4_DEVCONF_ARP_IGNORE, ipv4.arp_ignore)
                    .number(IPV4_DEVCONF_ARP_ANNOUNCE, ipv4.arp_announce)
                    .number(IPV4_DEVCONF_SEND_REDIRECTS, ipv4.send_redirects)
                    .number(IPV4_DEVCONF_RP_FILTER, ipv4.rp_filter)
                    .number(IPV4_DEVCONF_PROMOTE_SECONDARIES, ipv4.promote_secondaries)
                    .number(IPV4_DEVCONF_FORWARDING, ipv4.forwarding)
            })
        });
        if !ipv6 {
            return families;
        }
        families.nest(u16::from(AF_INET6), |family| {
            family.bytes(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE])
        })
    })
}

/// Sets a link up.
pub(in crate::driver) fn set_up(index: u32) -> Request {
    Request::new(RTM_SETLINK, 0, &header(index, IFF_UP, IFF_UP))
}

/// Gives a link another name, also while it is up (Linux 6.2; before, `EBUSY`).
pub(in crate::driver) fn rename(index: u32, name: &str) -> Request {
    Request::new(RTM_SETLINK, 0, &header(index, 0, 0)).text(IFLA_IFNAME, name)
}

/// Changes the Ethernet address.
pub(in crate::driver) fn set_mac(index: u32, mac: Mac) -> Request {
    Request::new(RTM_SETLINK, 0, &header(index, 0, 0)).bytes(IFLA_ADDRESS, &mac.0)
}

/// Changes the MTU.
pub(in crate::driver) fn set_mtu(index: u32, mtu: u32) -> Request {
    Request::new(RTM_SETLINK, 0, &header(index, 0, 0)).number(IFLA_MTU, mtu)
}

/// Moves a link to another group.
pub(in crate::driver) fn set_group(index: u32, group: u32) -> Request {
    Request::new(RTM_SETLINK, 0, &header(index, 0, 0))
        .number(IFLA_GROUP, group)
        .tolerate(&[libc::ENODEV])
}

/// Deletes a link.
pub(in crate::driver) fn delete_link(index: u32) -> Request {
    Request::new(RTM_DELLINK, 0, &header(index, 0, 0)).tolerate(&[libc::ENODEV])
}

/// Deletes all links of a group, in the time that one of them takes.
pub(in crate::driver) fn delete_group(group: u32) -> Request {
    Request::new(RTM_DELLINK, 0, &header(0, 0, 0))
        .number(IFLA_GROUP, group)
        .tolerate(&[libc::ENODEV])
}

pub(super) fn dump() -> Request {
    Request::new(RTM_GETLINK, NLM_F_DUMP, &header(0, 0, 0)).number(IFLA_EXT_MASK, SKIP_STATS)
}

/// `struct ifinfomsg`.
fn header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[0] = AF_UNSPEC;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}
