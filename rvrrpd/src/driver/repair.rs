//! Repair: what others took away comes back.
//!
//! systemd-networkd, NetworkManager and careless scripts remove or change what they do not know. A
//! Master without its address is a black hole. Events only say what has become doubtful; then the
//! kernel is asked what is there, and what should be there and is not is made again. So no lost
//! or surprising event can leave anything missing, and two programs that undo each other's work
//! meet at a bounded rate.

use core::time::Duration;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::Instant;

use super::dataplane::{Step, link_local, uses_virtual_mac, virtual_mac};
use super::gate::{Change, Hooks, voices};
use super::kernel::{Batch, Kernel};
use super::netlink::{self, Done};
use super::{Address, Carrier, Error, KernelEvent, Link, Plan, Report, RouterId};
use crate::wire::Mac;

/// Least time between two looks.
const SHORTEST_GAP: Duration = Duration::from_millis(20);
/// Time between two looks where each finds something to put back.
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// How often what tells of no change is looked at: settings, a ruleset without an owner, routes
/// that were refused.
pub(super) const ROUND: Duration = Duration::from_secs(5);

/// Least MTU of an interface that has IPv6 (RFC 8200 §5).
const LEAST_IPV6_MTU: u32 = 1280;

/// What events have made doubtful.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    pub(super) links: bool,
    pub(super) addresses: bool,
    pub(super) routes: bool,
    /// A route was refused, as for want of a way to its next hop, or another one is in its place.
    pub(super) refused_routes: bool,
    /// Settings of interfaces.
    settings: bool,
    not_before: Option<Instant>,
    gap: Duration,
}

impl Kernel {
    /// Notes what an event makes doubtful.
    pub(super) fn notice(&mut self, event: &KernelEvent) {
        match event {
            KernelEvent::Link(link) => self.follow_parent(link),
            KernelEvent::LinkGone { index, .. } => {
                self.told.remove(index);
                self.lose_parent(*index);
            }
            KernelEvent::Resync(links, _) => {
                self.told.clear();
                self.follow_all(links);
            }
            _ => {}
        }
        // The kernel takes routes out without a word when their interface goes down or the address
        // goes that they depend on.
        let routes = self.has_routes();
        match event {
            KernelEvent::AddressGone(gone) => {
                self.doubt.addresses |= self.routers.values().any(|router| {
                    router.active
                        && router.carrier() == Some(gone.index)
                        && router
                            .plan
                            .addresses
                            .iter()
                            .any(|(vip, _)| *vip == gone.address)
                        && router.dataplane().puts(&router.plan, gone.address)
                });
                self.doubt.routes |= routes;
            }
            KernelEvent::Link(link) if !self.is_news(link) => {}
            KernelEvent::Link(Link { index, .. }) | KernelEvent::LinkGone { index, .. } => {
                // Another daemon that stops takes its macvlans along, and our settings just
                // before. The kernel tells nobody of a change of these: its notices
                // (RTNLGRP_IPV4_NETCONF) are about forwarding and rp_filter alone.
                self.doubt.settings |=
                    matches!(event, KernelEvent::LinkGone { lower: Some(_), .. });
                self.doubt.links |= self
                    .routers
                    .values()
                    .any(|router| router.vif == Some(*index) || router.plan.parent == *index);
                self.doubt.routes |= routes;
            }
            KernelEvent::Address(address) => {
                self.doubt.routes |= self.doubt.refused_routes;
                self.doubt.addresses |= self.is_of_virtual_mac(address);
            }
            KernelEvent::RouteGone(_) => self.doubt.routes |= routes,
            KernelEvent::Resync(..) => {
                self.doubt.links = true;
                self.doubt.addresses = true;
                self.doubt.settings = true;
                self.doubt.routes |= routes;
            }
        }
    }

    /// What was not heard of parents.
    fn follow_all(&mut self, links: &[Link]) {
        for link in links {
            self.follow_parent(link);
        }
        let is_there = |index: &u32| links.iter().any(|link| link.index == *index);
        let parents = self.parents.keys().copied();
        let gone: Vec<u32> = parents.filter(|index| !is_there(index)).collect();
        for index in gone {
            self.lose_parent(index);
        }
    }

    /// A parent that was renamed: its settings have other paths, and the gate's hook is bound by
    /// name.
    fn follow_parent(&mut self, link: &Link) {
        let Some(parent) = self.parents.get_mut(&link.index) else {
            return;
        };
        let renamed = parent
            .rename(&link.name, &mut self.journal)
            .unwrap_or_else(|error| {
                tracing::error!("journal: {error}");
                true
            });
        if !renamed {
            return;
        }
        if !parent.attached {
            if !parent.carries {
                return;
            }
            let (name, index) = (&link.name, link.index);
            let journal = &mut self.journal;
            // It stays where it is; the journal has to know the name.
            match self.gate.attach_carrier(name, index, Hooks::Any, journal) {
                Ok(guard) => self.tell_guard(index, name, guard),
                Err(error) => tracing::error!("gate of {name}: {error}"),
            }
            return;
        }
        match self.gate.attach(&link.name, link.index, &mut self.journal) {
            Ok(guard) => self.tell_guard(link.index, &link.name, guard),
            Err(error) => tracing::error!("gate of {}: {error}", link.name),
        }
    }

    /// A parent that is gone took along all that was on it, its settings and the gate's hook. By
    /// now there may be another one with its index, whose MAC and addresses are none of ours: so
    /// nothing is taken out there, and it is prepared anew.
    fn lose_parent(&mut self, index: u32) {
        let of_it = self.routers.values_mut();
        let of_it = of_it.filter(|router| router.plan.parent == index);
        let (mut lost, mut ended, mut silent) = (Vec::new(), Vec::new(), Vec::new());
        for router in of_it {
            lost.push(router.plan.id);
            let carrier = router.carrier();
            silent.extend(
                carrier
                    .into_iter()
                    .flat_map(|at| forgotten(&router.plan, at)),
            );
            router.vif = None;
            router.prepared = false;
            if core::mem::take(&mut router.active) {
                ended.push((router.plan.id, router.plan.routes.clone()));
            }
        }
        let mut batch = Batch::default();
        for (id, routes) in &ended {
            self.announcer.end(*id);
            for route in routes {
                self.change_route(*id, route, Step::Take, &mut batch);
            }
            self.change_static_routes(*id, &mut batch);
        }
        for (id, error) in self.execute(batch) {
            self.report(Report::ActivationFailed(id, error));
        }
        if let Err(error) = self.gate.apply(&silent, &mut self.journal) {
            tracing::warn!("gate: {error}");
        }
        for id in lost {
            self.leave_parent(index, id);
        }
    }

    /// When [`Self::look`] wants to be called.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let doubt = &self.doubt;
        (doubt.links || doubt.addresses || doubt.routes || doubt.settings)
            .then(|| doubt.not_before.unwrap_or_else(Instant::now))
    }

    /// Looks at what is doubtful, once it is time, and makes what is missing.
    pub(super) fn look(&mut self) {
        if self.next_look().is_none_or(|next| next > Instant::now()) {
            return;
        }
        let mut doubt = core::mem::take(&mut self.doubt);
        self.doubt.refused_routes = doubt.refused_routes;
        if doubt.links || doubt.addresses {
            // What was refused, of either, is tried again now; whether it is refused again is seen.
            doubt.links |= !self.refused.is_empty();
            self.refused_before = core::mem::take(&mut self.refused);
        }
        if doubt.settings {
            self.examine_settings(None);
        }
        if doubt.links {
            self.look_at_groups();
        }
        let links = doubt.links && self.look_at_links();
        if links {
            // Whether it helped is seen whatever the next event says.
            self.told.clear();
        }
        let addresses = (doubt.links || doubt.addresses) && self.look_at_addresses();
        let routes = doubt.routes && self.look_at_routes();
        self.doubt.gap = if links || addresses || routes {
            (2 * doubt.gap).clamp(SHORTEST_GAP, LONGEST_GAP)
        } else {
            SHORTEST_GAP
        };
        self.doubt.not_before = Some(Instant::now() + self.doubt.gap);
    }

    /// What no event tells of.
    pub(super) fn look_round(&mut self) {
        self.doubt.routes |= self.doubt.refused_routes;
        self.doubt.links |= !self.refused.is_empty();
        self.restore_gate();
        self.look_at_neighbours();
        self.tell_conflicts();
        self.look_at_groups();
        self.examine_settings(None);
        self.doubt.routes |= self.has_routes() && self.routes_may_be_listed();
    }

    fn restore_gate(&mut self) {
        let restored = self.gate.restore().unwrap_or_else(|error| {
            tracing::error!("gate: {error}");
            Vec::new()
        });
        for (index, parent) in &mut self.parents {
            // Was the interface made anew, the memberships went with the old one.
            if restored.contains(index) {
                parent.station = None;
            }
        }
        for parent in restored.iter().filter_map(|at| self.parents.get(at)) {
            if let Some(user) = parent.any_user() {
                self.report(Report::Repaired(user, "eBPF gate".to_owned()));
            }
        }
        let routers = self.routers.values().map(|router| &router.plan);
        let of_them = routers.filter(|plan| restored.contains(&plan.parent));
        let of_them: Vec<RouterId> = of_them.map(|plan| plan.id).collect();
        let mut failures = BTreeMap::new();
        self.enter_stations(&of_them, &mut failures);
        for (id, error) in failures {
            self.report(Report::ActivationFailed(id, error));
        }
    }

    /// Makes the settings again that somebody has changed: those of one parent, or all.
    pub(super) fn examine_settings(&mut self, of: Option<u32>) {
        let parents = self.parents.iter_mut();
        let parents = parents.filter(|(index, _)| of.is_none_or(|of| of == **index));
        let all = of.is_none().then_some(&mut self.all);
        let mut put_back = Vec::new();
        for parent in parents.map(|(_, parent)| parent).chain(all) {
            let made = parent.examine(&mut self.journal).unwrap_or_else(|error| {
                tracing::error!("settings of an interface: {error}");
                Vec::new()
            });
            let user = parent.any_user();
            put_back.extend(made.into_iter().filter_map(|what| Some((user?, what))));
        }
        for (id, what) in put_back {
            self.report(Report::Repaired(id, what));
        }
    }

    /// Macvlans that are gone, down or smaller than their parent, and an interface that has lost
    /// the virtual MAC.
    fn look_at_links(&mut self) -> bool {
        let Ok(links) = self.netlink.links() else {
            self.doubt.links = true;
            return false;
        };
        let mut batch = Batch::default();
        let mut gone = Vec::new();
        let mut spoiled = Vec::new();
        let mut given = Vec::new();
        for (id, router) in &self.routers {
            let Some(index) = router.carrier() else {
                continue;
            };
            let link = links.iter().find(|link| link.index == index);
            match (&router.plan.carrier, link) {
                (Carrier::Macvlan { .. }, None) => gone.push(*id),
                (Carrier::Macvlan { name }, Some(link)) => {
                    // The kernel lowers the MTU of a macvlan with that of its parent, and leaves
                    // it there.
                    let parent = links.iter().find(|link| link.index == router.plan.parent);
                    if let Some(parent) = parent.filter(|parent| parent.mtu > link.mtu) {
                        if link.mtu < LEAST_IPV6_MTU {
                            spoiled.push(netlink::delete_link(index));
                            gone.push(*id);
                            continue;
                        }
                        let what = format!("MTU {} of macvlan {name}", parent.mtu);
                        batch.push(*id, what, netlink::set_mtu(index, parent.mtu));
                    }
                    if !link.up {
                        batch.push(*id, format!("macvlan {name} up"), netlink::set_up(index));
                    }
                    if link.mac != Some(virtual_mac(&router.plan)) {
                        let request = netlink::set_mac(index, virtual_mac(&router.plan));
                        batch.push(*id, format!("virtual MAC of {name}"), request);
                    }
                }
                (Carrier::Ether { .. }, Some(link))
                    if router.active
                        && uses_virtual_mac(&router.plan)
                        && link.mac != Some(virtual_mac(&router.plan)) =>
                {
                    let request = netlink::set_mac(index, virtual_mac(&router.plan));
                    batch.push(*id, format!("virtual MAC of {}", link.name), request);
                    given.extend(link.mac.map(|mac| (*id, mac)));
                }
                // Whoever is not Master must not carry it (ARP-7).
                (Carrier::Ether { .. }, Some(link))
                    if !router.active
                        && uses_virtual_mac(&router.plan)
                        && link.mac == Some(virtual_mac(&router.plan)) =>
                {
                    if let Some(own) = router.own_mac {
                        let request = netlink::set_mac(index, own);
                        batch.push(*id, format!("own MAC of {}", link.name), request);
                    }
                }
                (Carrier::Ether { .. } | Carrier::Ebpf | Carrier::Best { .. }, _) => {}
            }
        }
        let mut repaired = self.put_back(batch);
        self.take_own_macs(given, &links);
        // The kernel forgets the IPv6 half of an interface that is too small for IPv6, and that it
        // must be silent with it; grown again, the macvlan would speak. So a new one is made.
        if !spoiled.is_empty() {
            repaired = true;
            for refusal in self
                .netlink
                .batch(&spoiled)
                .into_iter()
                .filter_map(Result::err)
            {
                tracing::error!("macvlan with a small MTU: {}", refusal.into_error());
            }
        }
        self.replace_macvlans(&gone, &links) || repaired
    }

    /// An Ethernet address that somebody gave to an interface while it carried the virtual one is
    /// what it gets back at the end.
    fn take_own_macs(&mut self, given: Vec<(RouterId, Mac)>, links: &[Link]) {
        for (id, mac) in given {
            let Some(router) = self.routers.get_mut(&id) else {
                continue;
            };
            router.own_mac = Some(mac);
            let plan = router.plan.clone();
            if let Err(error) = self.journal_plans(&[plan], links) {
                tracing::warn!("journal: {error}");
            }
        }
    }

    /// Whether the kernel made this link-local address of the virtual MAC, because the link was
    /// set down and up while it carried that one. The address outlives the Master, and two
    /// routers would have the same (ND-5).
    fn is_of_virtual_mac(&self, address: &Address) -> bool {
        !address.ours
            && self.routers.values().any(|router| {
                let plan = &router.plan;
                uses_virtual_mac(plan)
                    && plan.parent == address.index
                    && address.address == link_local(virtual_mac(plan))
                    && plan
                        .addresses
                        .iter()
                        .all(|(vip, _)| *vip != address.address)
            })
    }

    /// Link-local addresses made of a virtual MAC go; the one that the kernel would have made of
    /// the interface's own MAC comes in their place.
    fn replace_link_locals(&self, addresses: &[(Address, Option<String>)], batch: &mut Batch) {
        for (id, router) in &self.routers {
            let of_it = addresses
                .iter()
                .map(|(address, _)| address)
                .filter(|address| address.index == router.plan.parent);
            let made = of_it
                .clone()
                .filter(|address| address.address == link_local(virtual_mac(&router.plan)))
                .find(|address| self.is_of_virtual_mac(address));
            let Some(made) = made else { continue };
            let what = format!("own link-local address of {}", router.plan.parent_name);
            let request = netlink::delete_address(made.index, made.address, made.prefix);
            batch.push(*id, what.clone(), request);
            if let Some(IpAddr::V6(own)) = router.own_mac.map(link_local) {
                batch.push(*id, what, netlink::add_link_local(made.index, own));
            }
        }
    }

    /// Macvlans that are gone alone were deleted by somebody and are made again; those that went
    /// with their parent are made when the parent is back.
    fn replace_macvlans(&mut self, gone: &[RouterId], links: &[Link]) -> bool {
        let active: BTreeMap<RouterId, bool> = gone
            .iter()
            .filter(|id| self.routers.get(id).is_some_and(|router| router.active))
            .map(|id| (*id, true))
            .collect();
        // Routes and announcements end first, while it is known that there were some.
        self.elect(&gone.iter().map(|id| (*id, false)).collect());
        let mut plans = Vec::new();
        for id in gone {
            let Some(router) = self.routers.get_mut(id) else {
                continue;
            };
            router.prepared = false;
            let vif = router.vif.take();
            let plan = router.plan.clone();
            if let Some(vif) = vif
                && let Err(error) = self.gate.apply(&forgotten(&plan, vif), &mut self.journal)
            {
                tracing::warn!("gate: {error}");
            }
            if links.iter().any(|link| link.index == plan.parent) {
                plans.push(plan);
            } else {
                self.leave_parent(plan.parent, *id);
            }
        }
        if plans.is_empty() {
            return false;
        }
        let made: Vec<(RouterId, Carrier)> = plans
            .iter()
            .map(|plan| (plan.id, plan.carrier.clone()))
            .collect();
        self.prepare(plans);
        self.elect(&active);
        for (id, carrier) in made {
            let prepared = self.routers.get(&id).is_some_and(|router| router.prepared);
            if let (true, Carrier::Macvlan { name }) = (prepared, carrier) {
                self.report(Report::Repaired(id, format!("macvlan {name}")));
            }
        }
        true
    }

    fn look_at_addresses(&mut self) -> bool {
        let Ok(addresses) = self.netlink.addresses() else {
            self.doubt.addresses = true;
            return false;
        };
        let there: HashSet<(u32, IpAddr)> = addresses
            .iter()
            .map(|(address, _)| (address.index, address.address))
            .collect();
        let mut batch = Batch::default();
        self.replace_link_locals(&addresses, &mut batch);
        let mut by_ioctl = Vec::new();
        for (id, router) in self.routers.iter().filter(|(_, router)| router.active) {
            let Some(index) = router.carrier() else {
                continue;
            };
            for (at, (address, _)) in router.plan.addresses.iter().enumerate() {
                let is_put = router.dataplane().puts(&router.plan, *address);
                if !is_put || there.contains(&(index, *address)) {
                    continue;
                }
                let before = batch.requests.len();
                let added =
                    router
                        .dataplane()
                        .address(router, at, Step::Add, &self.ioctl, &mut batch);
                if batch.requests.len() == before {
                    by_ioctl.push((*id, *address, added));
                }
            }
        }
        let mut repaired = self.put_back(batch);
        for (id, address, added) in by_ioctl {
            repaired = true;
            match added {
                Ok(()) => self.report(Report::Repaired(id, format!("address {address}"))),
                Err(error) => self.refused_again(id, error),
            }
        }
        repaired
    }

    /// Carries out requests and tells what was not there; whether anything was not.
    fn put_back(&mut self, batch: Batch) -> bool {
        let mut repaired = false;
        for (id, purpose, outcome) in self.outcomes(batch) {
            match outcome {
                Ok(Done::Already) => {}
                Ok(Done::Changed) => {
                    repaired = true;
                    self.report(Report::Repaired(id, purpose.to_string()));
                }
                Err(error) => {
                    repaired = true;
                    self.refused_again(id, Error::new(purpose.to_string(), error.into_error()));
                }
            }
        }
        repaired
    }

    /// Tells that something was refused, unless the last look told the same, and lets the next round try
    /// again: a Master without its address is a black hole for as long.
    fn refused_again(&mut self, id: RouterId, error: Error) {
        let refusal = (id, error.to_string());
        if !self.refused_before.contains(&refusal) {
            self.report(Report::ActivationFailed(id, error));
        }
        self.refused.insert(refusal);
    }
}

/// What the gate knows of a carrier that is gone.
fn forgotten(plan: &Plan, carrier: u32) -> Vec<Change> {
    let mut changes = vec![Change::Unsilence(carrier)];
    for (address, _) in &plan.addresses {
        if let IpAddr::V6(address) = *address {
            changes.push(Change::AcceptLinkLocal(carrier, address));
            changes.extend(voices(carrier, address).map(Change::opposite));
        }
    }
    changes
}
