//! Neighbours that must be known before they are needed: a Backup sends nothing to its unicast
//! peers, so that the kernel forgets their Ethernet addresses, and the first advertisement of a
//! takeover would wait for their resolution, or be lost where it fails.
//!
//! Every so often the kernel is told that they are in use, which costs two small netlink messages
//! each and, at most once in half a minute, an ARP request or a neighbour solicitation. A peer
//! behind a router is reached through that one, which then is the neighbour.

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use super::kernel::Kernel;
use super::netlink::{Request, use_neighbour};

/// How often. The kernel keeps an entry without traffic for about a minute
/// (`gc_stale_time`), and believes it for about half of that (`base_reachable_time`).
const PERIOD: Duration = Duration::from_secs(10);

/// When the neighbours have to be looked after.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    due: Option<Instant>,
}

impl Resolver {
    /// When [`Kernel::resolve_neighbours`] wants to be called.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.due
    }

    /// There may be new neighbours.
    pub(super) fn hurry(&mut self) {
        self.due = Some(Instant::now());
    }
}

impl Kernel {
    /// Looks after the neighbours of all routers, if it is time.
    pub(super) fn resolve_neighbours(&mut self) {
        let now = Instant::now();
        if self.resolver.due.is_none_or(|due| due > now) {
            return;
        }
        let peers: BTreeSet<(u32, IpAddr)> = self
            .routers
            .values()
            .flat_map(|router| {
                let parent = router.plan.parent;
                router.plan.peers.iter().map(move |peer| (parent, *peer))
            })
            .collect();
        let mut neighbours = BTreeSet::new();
        for (parent, peer) in &peers {
            match self.netlink.next_hop(*parent, *peer) {
                Ok(next_hop) => neighbours.extend(next_hop.map(|address| (*parent, address))),
                // No route, an interface that is down: sending fails as well and says so.
                Err(error) => tracing::debug!("way to unicast peer {peer}: {error}"),
            }
        }
        let requests: Vec<Request> = neighbours
            .into_iter()
            .map(|(parent, address)| use_neighbour(parent, address))
            .collect();
        for refusal in self
            .netlink
            .batch(&requests)
            .into_iter()
            .filter_map(Result::err)
        {
            tracing::debug!("neighbour of a unicast peer: {}", refusal.into_error());
        }
        self.resolver.due = (!peers.is_empty()).then(|| now + PERIOD);
    }
}
