//! Elections: routers become Master or stop being it, all of one moment in one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Instant;

use super::announce;
use super::dataplane::{Step, uses_virtual_mac, virtual_mac};
use super::gate::Change;
use super::kernel::{Batch, Kernel};
use super::netlink;
use super::{Carrier, Error, Plan, Report, RouterId};
use crate::config::model::Route;
use crate::wire::{Mac, arp};

/// Routers whose addresses come together. The last one's announcements wait for this many at the
/// most, not for those of a thousand.
const PART: usize = 128;

impl Kernel {
    /// Makes the routers in `wanted` active or not. Where one is so already nothing changes; that
    /// an active one is active is reported, for who asks has not heard it.
    pub(super) fn elect(&mut self, wanted: &BTreeMap<RouterId, bool>) {
        let changes: Vec<(RouterId, bool)> = wanted
            .iter()
            .map(|(id, active)| (*id, *active))
            .filter(|(id, active)| {
                self.routers
                    .get(id)
                    .is_some_and(|router| router.active != *active)
            })
            .collect();
        if !changes.is_empty() {
            self.elect_changed(&changes);
        }
        for (id, _) in wanted.iter().filter(|(_, active)| **active) {
            let router = self.routers.get(id);
            if router.is_some_and(|router| router.plan.awaited) {
                self.report(Report::Activated(*id));
            }
        }
    }

    fn elect_changed(&mut self, changes: &[(RouterId, bool)]) {
        self.examine_before(changes);
        let mut failures = self.move_gate(changes);
        // Out before in: an address may move from one router to another.
        let (coming, going): (Vec<_>, Vec<_>) =
            changes.iter().copied().partition(|(_, active)| *active);
        let mut batch = Batch::default();
        self.let_ripen(going.iter().map(|(id, _)| *id));
        for (id, active) in going {
            self.change_one(id, active, &mut batch, &mut failures);
        }
        // What is in is announced while the kernel works on the next ones.
        let mut parts = coming.chunks(PART);
        loop {
            let part = parts.next().unwrap_or_default();
            for (id, active) in part {
                self.change_one(*id, *active, &mut batch, &mut failures);
            }
            let is_last = parts.len() == 0;
            if is_last {
                let (first, _) = changes[0];
                self.change_static_routes(first, &mut batch);
            }
            failures.extend(self.execute(core::mem::take(&mut batch)));
            let plans = part.iter().filter_map(|(id, _)| self.routers.get(id));
            self.announcer
                .begin(plans.map(|router| &router.plan), is_last);
            if is_last {
                break;
            }
        }
        self.announce_own(changes);
        for (id, error) in failures {
            self.report(Report::ActivationFailed(id, error));
        }
        for (id, _) in changes.iter().filter(|(_, active)| !active) {
            if let Some(router) = self.routers.get(id).filter(|router| router.plan.owner) {
                self.withdraw_duties(&router.with_plan(router.plan.clone()));
            }
        }
    }

    /// Addresses leave an interface itself only where they go alone: another daemon that has
    /// stopped may have taken that setting back.
    fn examine_before(&mut self, changes: &[(RouterId, bool)]) {
        let leaving = changes.iter().filter(|(_, active)| !active);
        let routers = leaving.filter_map(|(id, _)| self.routers.get(id));
        let plans = routers.map(|router| &router.plan);
        let parents: BTreeSet<u32> = plans
            .filter(|plan| matches!(plan.carrier, Carrier::Ether { .. }))
            .map(|plan| plan.parent)
            .collect();
        for parent in parents {
            self.examine_settings(Some(parent));
        }
    }

    /// The gate opens before the addresses come and closes before they go.
    fn move_gate(&mut self, changes: &[(RouterId, bool)]) -> Vec<(RouterId, Error)> {
        let moves: Vec<(RouterId, Vec<Change>)> = changes
            .iter()
            .filter_map(|(id, active)| Some((self.routers.get(id)?, *active)))
            // A parent that is gone has no gate, and nothing behind it.
            .filter(|(router, _)| self.parents.contains_key(&router.plan.parent))
            .map(|(router, active)| {
                let (mut open, close) = router.dataplane().gate(router);
                if router.plan.owner {
                    open.extend(self.duties(router, true));
                }
                (router.plan.id, if active { open } else { close })
            })
            .collect();
        self.change_gate(&moves)
    }

    /// Changes the gate in one transaction; where that is refused, router by router, so that only
    /// those fail that it is about.
    pub(super) fn change_gate(
        &mut self,
        changes: &[(RouterId, Vec<Change>)],
    ) -> Vec<(RouterId, Error)> {
        let refused = together_or_apart(changes, |changes| {
            self.gate.apply(changes, &mut self.journal)
        });
        refused
            .into_iter()
            .map(|(id, error)| (id, Error::new("gate", error)))
            .collect()
    }

    fn change_one(
        &mut self,
        id: RouterId,
        active: bool,
        batch: &mut Batch,
        failures: &mut Vec<(RouterId, Error)>,
    ) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        router.active = active;
        router.since = active.then(Instant::now);
        let dataplane = router.dataplane();
        let step = if active { Step::Add } else { Step::Take };
        if !active {
            self.announcer.end(id);
        }
        let result = dataplane.duties(router, step, &self.ioctl, batch);
        failures.extend(result.err().map(|error| (id, error)));
        let routes = router.plan.routes.clone();
        for route in &routes {
            self.change_route(id, route, step, batch);
        }
    }

    /// Adds or takes out one route of a router; one that another router wants too stays.
    pub(super) fn change_route(&self, id: RouterId, route: &Route, step: Step, batch: &mut Batch) {
        match step {
            Step::Add => batch.push_route(id, route, netlink::add_route(route)),
            Step::Take if self.is_wanted(route, id) => {}
            Step::Take => batch.push_route(id, route, netlink::delete_route(route)),
        }
    }

    /// The static routes come with the first active router and go with the last.
    pub(super) fn change_static_routes(&mut self, id: RouterId, batch: &mut Batch) {
        let wanted = self.any_active();
        if wanted == self.static_routes_in {
            return;
        }
        self.static_routes_in = wanted;
        for route in &self.static_routes {
            let request = if wanted {
                netlink::add_route(route)
            } else {
                netlink::delete_route(route)
            };
            batch.push_route(id, route, request);
        }
    }

    /// Where an interface has changed its Ethernet address.
    fn announce_own(&mut self, changes: &[(RouterId, bool)]) {
        for (id, active) in changes {
            let Some(router) = self
                .routers
                .get(id)
                .filter(|router| uses_virtual_mac(&router.plan))
            else {
                continue;
            };
            let plan = router.plan.clone();
            let mac = if *active {
                Some(virtual_mac(&plan))
            } else {
                router.own_mac
            };
            if let Some(mac) = mac {
                self.announce_own_addresses(&plan, mac);
            }
        }
    }

    /// The other addresses of a parent whose Ethernet address has changed: hosts have to follow.
    fn announce_own_addresses(&mut self, plan: &Plan, mac: Mac) {
        let Ok(addresses) = self.netlink.addresses() else {
            return;
        };
        let frames: Vec<Vec<u8>> = addresses
            .iter()
            .filter(|(address, _)| address.index == plan.parent)
            .filter(|(address, _)| {
                plan.addresses
                    .iter()
                    .all(|(vip, _)| *vip != address.address)
            })
            .filter_map(|(address, _)| match address.address {
                IpAddr::V4(address) => Some(arp::gratuitous(mac, address)),
                IpAddr::V6(_) => None,
            })
            .collect();
        announce::send_frames(&plan.sender, frames.iter().map(Vec::as_slice));
    }
}

/// Tries the parts together, then, where that fails, each for itself; the parts that failed.
fn together_or_apart<K: Copy, T: Copy>(
    parts: &[(K, Vec<T>)],
    mut attempt: impl FnMut(&[T]) -> io::Result<()>,
) -> Vec<(K, io::Error)> {
    let all: Vec<T> = parts.iter().flat_map(|(_, part)| part).copied().collect();
    if attempt(&all).is_ok() {
        return Vec::new();
    }
    let apart = parts.iter();
    apart
        .filter_map(|(key, part)| Some((*key, attempt(part).err()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_that_is_refused_fails() {
        let mut taken = Vec::new();
        let mut attempts = 0;
        let refused = together_or_apart(
            &[("one", vec![1, 2]), ("two", vec![3]), ("three", vec![4])],
            |elements| {
                attempts += 1;
                if elements.contains(&3) {
                    return Err(io::Error::other("no 3"));
                }
                taken.extend_from_slice(elements);
                Ok(())
            },
        );
        let names: Vec<&str> = refused.iter().map(|(name, _)| *name).collect();
        assert_eq!((names, taken, attempts), (vec!["two"], vec![1, 2, 4], 4));
    }

    #[test]
    fn what_is_taken_together_is_not_tried_apart() {
        let mut attempts = 0;
        let refused = together_or_apart(&[(1, vec![1]), (2, vec![2])], |_| {
            attempts += 1;
            Ok(())
        });
        assert!(refused.is_empty());
        assert_eq!(attempts, 1);
    }
}
