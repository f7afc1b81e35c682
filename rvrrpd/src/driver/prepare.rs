//! Preparation: everything that takes long is made before the first election, in few batches.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Instant;

use super::gate::Hooks;
use super::journal::Entry;
use super::kernel::{Kernel, Known};
use super::parent::{Parent, of_all, of_parent};
use super::{Carrier, Error, Link, Plan, Report, RouterId, group};
use crate::config::model::Route;
use crate::driver::dataplane::{uses_virtual_mac, virtual_mac};
use crate::wire::Mac;

/// What went wrong, by router.
pub(super) type Failures = BTreeMap<RouterId, Error>;

impl Kernel {
    /// Makes what a Backup needs for each plan, or changes what differs from the plan before.
    pub(super) fn prepare(&mut self, mut plans: Vec<Plan>) {
        let links = match self.netlink.links() {
            Ok(links) => links,
            Err(error) => {
                let error = Error::new("list of links", error);
                for plan in plans {
                    self.report(Report::Unprepared(plan.id, error.clone()));
                }
                return;
            }
        };
        self.choose(&mut plans, &links);
        // First of all: what the journal does not have must not be made.
        if let Err(error) = self.journal_plans(&plans, &links) {
            let error = Error::new("journal", error);
            for plan in plans {
                let known = self
                    .routers
                    .get(&plan.id)
                    .is_some_and(|router| router.prepared);
                self.report(if known {
                    Report::ActivationFailed(plan.id, error.clone())
                } else {
                    Report::Unprepared(plan.id, error.clone())
                });
            }
            return;
        }
        if plans.iter().any(|plan| !plan.peers.is_empty()) {
            self.resolver.hurry();
        }
        let ids: Vec<RouterId> = plans.iter().map(|plan| plan.id).collect();
        let mut failures = Failures::new();
        let changed = self.take_over(plans, &links);
        let fresh: Vec<RouterId> = ids
            .iter()
            .copied()
            .filter(|id| self.routers.get(id).is_some_and(|router| !router.prepared))
            .collect();
        let renamed = self.rename(&changed, &links);
        self.leave_to_others(&fresh, &links, &mut failures);
        let told = self.prepare_parents(&ids, &links, &mut failures);
        self.set_gate(&ids, &mut failures);
        self.enter_stations(&ids, &mut failures);
        self.make_macvlans(&fresh, &mut failures);
        self.find_unmade(&fresh, &mut failures);
        for (old, id) in changed {
            self.follow(&old, id, renamed.get(&id).copied());
            self.leave_station(&old, Some(id));
        }
        for id in &ids {
            self.need_only(*id);
        }
        // The interface itself may have the virtual MAC, or an address made of it.
        self.doubt.links |= ids.iter().any(|id| {
            let router = self.routers.get(id);
            router.is_some_and(|router| !router.active && uses_virtual_mac(&router.plan))
        });
        for id in ids {
            match failures.remove(&id) {
                Some(error) => self.report(Report::Unprepared(id, error)),
                None => {
                    if let Some(router) = self.routers.get_mut(&id) {
                        router.prepared = true;
                    }
                    if !told.contains(&id) {
                        self.report(Report::Prepared(id));
                    }
                }
            }
        }
    }

    /// Puts the plans in place; returns the plans before of the routers that go on.
    fn take_over(&mut self, plans: Vec<Plan>, links: &[Link]) -> Vec<(Plan, RouterId)> {
        let mut changed = Vec::new();
        for plan in plans {
            let id = plan.id;
            let known = self.routers.get(&id);
            if known.is_some_and(|router| router.plan.parent != plan.parent) {
                // The parent is another interface now; the old one may still be there, renamed.
                // What was lost with its parent left nothing; that index may be another's by now.
                if known.is_some_and(|router| !router.prepared && router.vif.is_none()) {
                    if let Some(lost) = self.routers.remove(&id) {
                        self.leave_parent(lost.plan.parent, id);
                    }
                } else if let Err(error) = self.remove(&[id]) {
                    tracing::error!("not everything was taken out of the kernel: {error}");
                }
            }
            let own_mac = own_mac(&plan, links).or_else(|| self.mac_before(&plan));
            match self.routers.get_mut(&id) {
                Some(router) if router.prepared => {
                    if !router.active {
                        router.own_mac = own_mac;
                    }
                    changed.push((core::mem::replace(&mut router.plan, plan), id));
                }
                _ => {
                    let router = Known {
                        plan,
                        prepared: false,
                        active: false,
                        since: None,
                        vif: None,
                        own_mac,
                    };
                    self.routers.insert(id, router);
                }
            }
        }
        changed
    }

    /// The parent's own Ethernet address as far as it is known. An interface that carries the
    /// virtual one still, though its router is not Master, was given that by us.
    fn mac_before(&self, plan: &Plan) -> Option<Mac> {
        let known = self.routers.get(&plan.id);
        known
            .filter(|router| router.plan.parent == plan.parent)
            .and_then(|router| router.own_mac)
    }

    pub(super) fn journal_plans(&mut self, plans: &[Plan], links: &[Link]) -> io::Result<()> {
        let mut entries = Vec::new();
        for plan in plans {
            let before = self.mac_before(plan);
            let active = self.routers.get(&plan.id).is_some_and(|of| of.active);
            let own_mac = if active {
                before
            } else {
                own_mac(plan, links).or(before)
            };
            entries.extend(super::dataplane::of(&plan.carrier).entries(
                plan,
                own_mac,
                self.group.number,
            ));
            entries.extend(plan.routes.iter().map(entry));
        }
        // Of an interface one Ethernet address is put back: the one that it has now.
        let stale = |known: &Entry| match known {
            Entry::EtherMac { interface, .. } => !entries.contains(known)
                && entries.iter().any(
                    |new| matches!(new, Entry::EtherMac { interface: of, .. } if of == interface),
                ),
            _ => false,
        };
        self.journal.forget(stale)?;
        self.journal.record(entries)
    }

    /// What of a router may be in the kernel.
    pub(super) fn entries(&self, id: RouterId) -> Vec<Entry> {
        let Some(router) = self.routers.get(&id) else {
            return Vec::new();
        };
        let mut entries =
            router
                .dataplane()
                .entries(&router.plan, router.own_mac, self.group.number);
        entries.extend(router.plan.routes.iter().map(entry));
        entries
    }

    /// Lets alone what another daemon has in this network namespace: two of the same virtual router
    /// would take the macvlan and the frames from each other.
    fn leave_to_others(&self, fresh: &[RouterId], links: &[Link], failures: &mut Failures) {
        for router in fresh.iter().filter_map(|id| self.routers.get(id)) {
            let plan = &router.plan;
            if !matches!(plan.carrier, Carrier::Macvlan { .. }) {
                continue;
            }
            let mac = virtual_mac(plan);
            let other = links.iter().find(|link| {
                link.is_of_rvrrpd()
                    && (link.mac, link.lower) == (Some(mac), Some(plan.parent))
                    && link.group != self.group.number
                    && group::is_held(link.group)
            });
            if let Some(other) = other {
                let taken = io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!(
                        "another rvrrpd that runs in this network namespace has this virtual \
                         router on interface {}; allowed: one of them",
                        plan.parent_name
                    ),
                );
                let what = format!("macvlan {}", other.name);
                failures.insert(plan.id, Error::new(what, taken));
            }
        }
    }

    /// The settings and the gate of the parents. What the plan before needed and this one does not
    /// is still there after. Returns those of which [`Report::Prepared`] was told already.
    fn prepare_parents(
        &mut self,
        ids: &[RouterId],
        links: &[Link],
        failures: &mut Failures,
    ) -> BTreeSet<RouterId> {
        let mut told = None;
        for id in ids {
            if failures.contains_key(id) {
                continue;
            }
            let Some(router) = self.routers.get(id) else {
                continue;
            };
            let (plan, prepared) = (&router.plan, router.prepared);
            let (index, name) = (plan.parent, plan.parent_name.clone());
            let (settings, of_all) = (of_parent(plan), of_all(plan));
            let (on_macvlan, by_ebpf) = match plan.carrier {
                Carrier::Macvlan { .. } => (true, false),
                Carrier::Ebpf => (false, true),
                _ => (false, false),
            };
            let parent = self
                .parents
                .entry(index)
                .or_insert_with(|| Parent::new(&name));
            let mut result = self
                .all
                .need(*id, &of_all, &mut self.journal)
                .and_then(|()| parent.need(*id, settings, &mut self.journal));
            let (attached, carries) = (parent.attached, parent.carries);
            if prepared {
                // It has a gate already.
            } else if on_macvlan && !attached {
                result = result.and_then(|()| self.guard(index, &name));
            } else if by_ebpf && !carries {
                let begin = Instant::now();
                result = result.and_then(|()| {
                    let attached = self.attach_carrier(index, &name, Hooks::Any, links);
                    attached.map_err(|why| self.cannot_carry(*id, &why))
                });
                if result.is_ok() && told.is_none() {
                    told = Some(self.tell_early(begin.elapsed(), ids, links, failures));
                }
            }
            if let Err(error) = result {
                failures.insert(*id, Error::new(format!("interface {name}"), error));
            }
        }
        told.unwrap_or_default()
    }

    /// Makes the gate of a parent that macvlans are on.
    fn guard(&mut self, index: u32, name: &str) -> io::Result<()> {
        let guard = self.gate.attach(name, index, &mut self.journal)?;
        if let Some(parent) = self.parents.get_mut(&index) {
            parent.attached = true;
        }
        self.tell_guard(index, name, guard);
        Ok(())
    }

    /// What a router needs of settings, and nothing else.
    fn need_only(&mut self, id: RouterId) {
        let Some(plan) = self.routers.get(&id).map(|router| &router.plan) else {
            return;
        };
        let all = self.all.need_only(id, &of_all(plan), &mut self.journal);
        let parent = self.parents.get_mut(&plan.parent);
        let of_parent = parent.map_or(Ok(()), |parent| {
            parent.need_only(id, of_parent(plan), &mut self.journal)
        });
        if let Err(error) = all.and(of_parent) {
            tracing::error!("settings of interface {}: {error}", plan.parent_name);
        }
    }

    /// A router leaves its parent; the last one takes the changes of the parent along.
    pub(super) fn leave_parent(&mut self, index: u32, id: RouterId) {
        if let Err(error) = self.all.leave(id, &mut self.journal) {
            tracing::error!("settings of all interfaces are not as they were: {error}");
        }
        let Some(parent) = self.parents.get_mut(&index) else {
            return;
        };
        let restored = parent.leave(id, &mut self.journal);
        let mut detached = Ok(());
        if parent.is_unused() {
            let attached = parent.attached || parent.carries;
            self.parents.remove(&index);
            if attached {
                self.report(Report::Unguarded(self.namespace, index));
                detached = self.gate.detach(index, &mut self.journal);
            }
        }
        if let Err(error) = detached.and(restored) {
            tracing::error!("interface with index {index} not as it was: {error}");
        }
    }
}

/// Ethernet address of the parent. A virtual one is not its own: it was left by somebody else.
fn own_mac(plan: &Plan, links: &[Link]) -> Option<Mac> {
    let parent = links.iter().find(|link| link.index == plan.parent);
    parent
        .and_then(|link| link.mac)
        .filter(|mac| *mac != virtual_mac(plan))
}

/// The journal's entry for a route.
pub(super) fn entry(route: &Route) -> Entry {
    Entry::Route {
        destination: route.destination,
        prefix: route.prefix,
        next_hop: route.next_hop,
        metric: route.metric,
        mtu: route.mtu,
        table: route.table,
    }
}
