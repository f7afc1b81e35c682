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

use super::dataplane::{Step, uses_virtual_mac, virtual_mac};
use super::gate::Change;
use super::kernel::{Batch, Kernel, Purpose};
use super::netlink::{self, Done};
use super::{Carrier, Error, KernelEvent, Link, Plan, Report, RouterId};
use crate::config::model::Route;

/// Least time between two looks.
const SHORTEST_GAP: Duration = Duration::from_millis(20);
/// Time between two looks where each finds something to put back.
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// How often what tells of no change is looked at: settings, a ruleset without an owner, routes
/// that were refused.
pub(super) const ROUND: Duration = Duration::from_secs(5);

/// What events have made doubtful.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    links: bool,
    addresses: bool,
    pub(super) routes: bool,
    /// A route was refused, as for want of a way to its next hop.
    pub(super) refused_routes: bool,
    not_before: Option<Instant>,
    gap: Duration,
}

impl Kernel {
    /// Notes what an event makes doubtful.
    pub(super) fn notice(&mut self, event: &KernelEvent) {
        if let KernelEvent::Link(link) = event {
            self.follow_parent(link);
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
                });
                self.doubt.routes |= routes;
            }
            KernelEvent::Link(Link { index, .. }) | KernelEvent::LinkGone { index } => {
                self.doubt.links |= self
                    .routers
                    .values()
                    .any(|router| router.vif == Some(*index) || router.plan.parent == *index);
                self.doubt.routes |= routes;
            }
            KernelEvent::Address(_) => self.doubt.routes |= self.doubt.refused_routes,
            KernelEvent::RouteGone(_) => self.doubt.routes |= routes,
            KernelEvent::Resync(..) => {
                self.doubt.links = true;
                self.doubt.addresses = true;
                self.doubt.routes |= routes;
            }
        }
    }

    /// A parent that was renamed: its settings have other paths, and the gate's hook is bound by
    /// name.
    fn follow_parent(&mut self, link: &Link) {
        let Some(parent) = self.parents.get_mut(&link.index) else {
            return;
        };
        if !parent.rename(&link.name) || !parent.attached {
            return;
        }
        if let Err(error) = self.gate.attach(&link.name, link.index) {
            tracing::error!("gate of {}: {error}", link.name);
        }
    }

    /// When [`Self::look`] wants to be called.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let doubt = &self.doubt;
        (doubt.links || doubt.addresses || doubt.routes)
            .then(|| doubt.not_before.unwrap_or_else(Instant::now))
    }

    /// Looks at what is doubtful, once it is time, and makes what is missing.
    pub(super) fn look(&mut self) {
        if self.next_look().is_none_or(|next| next > Instant::now()) {
            return;
        }
        let doubt = core::mem::take(&mut self.doubt);
        self.doubt.refused_routes = doubt.refused_routes;
        let links = doubt.links && self.look_at_links();
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
        if !self.gate.protected()
            && let Err(error) = self.gate.restore()
        {
            tracing::error!("gate: {error}");
        }
        let mut put_back = Vec::new();
        for parent in self.parents.values_mut().chain([&mut self.all]) {
            let made = parent.examine(&mut self.journal).unwrap_or_else(|error| {
                tracing::error!("settings of an interface: {error}");
                Vec::new()
            });
            let user = parent.users.first().copied();
            put_back.extend(made.into_iter().filter_map(|what| Some((user?, what))));
        }
        for (id, what) in put_back {
            self.report(Report::Repaired(id, what));
        }
    }

    /// Macvlans that are gone or down, and an interface that has lost the virtual MAC.
    fn look_at_links(&mut self) -> bool {
        let Ok(links) = self.netlink.links() else {
            self.doubt.links = true;
            return false;
        };
        let mut batch = Batch::default();
        let mut gone = Vec::new();
        for (id, router) in &self.routers {
            let Some(index) = router.carrier() else {
                continue;
            };
            let link = links.iter().find(|link| link.index == index);
            match (&router.plan.carrier, link) {
                (Carrier::Macvlan { .. }, None) => gone.push(*id),
                (Carrier::Macvlan { name }, Some(link)) => {
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
                }
                (Carrier::Ether { .. }, _) => {}
            }
        }
        let repaired = self.put_back(batch);
        self.replace_macvlans(&gone, &links) || repaired
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
                && let Err(error) = self.gate.apply(&forgotten(&plan, vif))
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
        let mut by_ioctl = Vec::new();
        for (id, router) in self.routers.iter().filter(|(_, router)| router.active) {
            let Some(index) = router.carrier() else {
                continue;
            };
            // An owner's addresses on the interface itself are the host's own affair.
            if router.plan.owner && matches!(router.plan.carrier, Carrier::Ether { .. }) {
                continue;
            }
            for (at, (address, _)) in router.plan.addresses.iter().enumerate() {
                if there.contains(&(index, *address)) {
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
            self.report(match added {
                Ok(()) => Report::Repaired(id, format!("address {address}")),
                Err(error) => Report::ActivationFailed(id, error),
            });
        }
        repaired
    }

    fn look_at_routes(&mut self) -> bool {
        self.doubt.refused_routes = false;
        let mut batch = Batch::default();
        for (id, route) in self.wanted_routes() {
            batch.push_route(id, &route, netlink::add_route(&route));
        }
        self.put_back(batch)
    }

    /// Carries out requests and tells what was not there; whether anything was not.
    fn put_back(&mut self, batch: Batch) -> bool {
        let mut repaired = false;
        for (id, purpose, outcome) in self.outcomes(batch) {
            let route = matches!(purpose, Purpose::Route(_));
            match outcome {
                Ok(Done::Already) => {}
                Ok(Done::Changed) => {
                    repaired = true;
                    self.report(Report::Repaired(id, purpose.to_string()));
                }
                // Told when it was refused first.
                Err(_) if route => self.doubt.refused_routes = true,
                Err(error) => {
                    repaired = true;
                    self.report(Report::ActivationFailed(
                        id,
                        Error::new(purpose.to_string(), error.into_error()),
                    ));
                }
            }
        }
        repaired
    }

    /// The routes that should be there now, each once, with a router to tell of them.
    fn wanted_routes(&self) -> Vec<(RouterId, Route)> {
        let mut seen = HashSet::new();
        let active = || self.routers.iter().filter(|(_, router)| router.active);
        let of_routers =
            active().flat_map(|(id, router)| router.plan.routes.iter().map(|route| (*id, route)));
        let of_all = active()
            .next()
            .filter(|_| self.static_routes_in)
            .into_iter();
        let of_all = of_all.flat_map(|(id, _)| self.static_routes.iter().map(|route| (*id, route)));
        of_routers
            .chain(of_all)
            .filter(|(_, route)| seen.insert(*route))
            .map(|(id, route)| (id, route.clone()))
            .collect()
    }

    fn has_routes(&self) -> bool {
        self.static_routes_in && !self.static_routes.is_empty()
            || self
                .routers
                .values()
                .any(|router| router.active && !router.plan.routes.is_empty())
    }

    /// Whether a route stays although `id` does not want it any more.
    pub(super) fn is_wanted(&self, route: &Route, id: RouterId) -> bool {
        self.static_routes_in && self.static_routes.contains(route)
            || self.routers.iter().any(|(other, router)| {
                *other != id && router.active && router.plan.routes.contains(route)
            })
    }
}

/// What the gate knows of a macvlan that is gone.
fn forgotten(plan: &Plan, vif: u32) -> Vec<Change> {
    let local = plan
        .addresses
        .iter()
        .filter_map(|(address, _)| match address {
            IpAddr::V6(local) => Some(Change::AcceptLinkLocal(vif, *local)),
            IpAddr::V4(_) => None,
        });
    local.chain([Change::Speak(vif)]).collect()
}
