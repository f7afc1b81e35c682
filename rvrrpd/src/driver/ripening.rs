//! IPv6 addresses that the kernel is not done with yet.
//!
//! The kernel answers a request for an address before one of its threads has put in the local
//! route and has counted the address among those that hold the subnet-router anycast address of
//! their subnet (net/ipv6/addrconf.c, `addrconf_dad_work`). Deleted before that, it is counted
//! out without having been counted in, and an interface that forwards loses an anycast address
//! that others of its addresses still need.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::kernel::{Kernel, Known};
use super::{Carrier, RouterId};

/// Age from which the kernel is done with an address.
const RIPE: Duration = Duration::from_secs(1);
/// How long the other routers wait for the kernel's thread.
const PATIENCE: Duration = Duration::from_millis(100);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// Longest prefix of a subnet that has an anycast address (RFC 6164 §5: /127 has none).
const LONGEST_PREFIX: u8 = 126;

impl Kernel {
    /// Waits until the kernel is done with the addresses that these routers, which are about to
    /// lose them, have put on an interface a moment ago.
    pub(super) fn let_ripen(&mut self, leaving: impl Iterator<Item = RouterId>) {
        let unripe: Vec<(u32, IpAddr)> = leaving
            .filter_map(|id| self.routers.get(&id))
            .filter(|router| router.since.is_some_and(|since| since.elapsed() < RIPE))
            .flat_map(|router| unripe(router).map(|address| (router.plan.parent, address)))
            .collect();
        let end = Instant::now() + PATIENCE;
        for (index, address) in unripe {
            while !self.netlink.is_local(index, address)
                && self.has_address(index, address)
                && Instant::now() < end
            {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Whether the interface has the address, which goes when it is set down.
    fn has_address(&mut self, index: u32, address: IpAddr) -> bool {
        let all = self.netlink.addresses().unwrap_or_default();
        all.iter()
            .any(|(one, _)| (one.index, one.address) == (index, address))
    }
}

/// The addresses of a router that hold an anycast address of its interface.
fn unripe(router: &Known) -> impl Iterator<Item = IpAddr> {
    let plan = &router.plan;
    let addresses = match plan.carrier {
        Carrier::Ether { .. } => plan.addresses.as_slice(),
        // Interfaces of ours, or addresses without a subnet.
        Carrier::Macvlan { .. } | Carrier::Ebpf | Carrier::Best { .. } => &[],
    };
    let ours = addresses.iter().filter(|(address, prefix)| {
        address.is_ipv6() && *prefix <= LONGEST_PREFIX && !plan.own.contains(address)
    });
    ours.map(|(address, _)| *address)
}
