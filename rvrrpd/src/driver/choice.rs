//! Virtual MACs without an interface: whether the eBPF gate carries them here, and what it takes
//! beside a store (`iftype = "ebpf"` and `"auto"`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use super::dataplane::{host_prefix, virtual_mac};
use super::gate::{Guard, Hooks};
use super::kernel::Kernel;
use super::parent::Parent;
use super::{Carrier, Choice, Error, Link, Plan, Plane, Report, RouterId};
use crate::net::kernel::Hook;
use crate::net::membership::GroupsIpv6;
use crate::net::station::Station;
use crate::wire::Mac;

/// Why the eBPF gate carries no virtual MAC at an interface.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Uncarried {
    /// No gate helps: no frame to another Ethernet address gets there.
    #[error("{0} takes frames to its own Ethernet address alone")]
    Secluded(String),
    /// The gate itself does not run here.
    #[error("{0}")]
    Refused(String),
}

impl Kernel {
    /// Decides for the routers that take the best what runs here. What one that is prepared has
    /// been given it keeps, so that nothing flaps.
    pub(super) fn choose(&mut self, plans: &mut [Plan], links: &[Link]) {
        let mut tried: BTreeMap<u32, Result<(), Uncarried>> = BTreeMap::new();
        for plan in plans {
            let Carrier::Best { name } = &plan.carrier else {
                continue;
            };
            let macvlan = Carrier::Macvlan { name: name.clone() };
            let known = self.routers.get(&plan.id);
            let known = known.filter(|known| known.prepared && known.plan.parent == plan.parent);
            let is_ebpf = match known.map(|known| &known.plan.carrier) {
                Some(known) => *known == Carrier::Ebpf,
                None => {
                    let carried = match tried.get(&plan.parent) {
                        Some(tried) => tried.clone(),
                        None => {
                            let (index, name) = (plan.parent, &plan.parent_name);
                            self.attach_carrier(index, name, Hooks::Tcx, links)
                        }
                    };
                    tried.insert(plan.parent, carried.clone());
                    let is_ebpf = carried.is_ok();
                    self.tell_choice(plan, carried.err().map(|why| why.to_string()));
                    is_ebpf
                }
            };
            if is_ebpf {
                for (address, prefix) in &mut plan.addresses {
                    *prefix = host_prefix(*address);
                }
            }
            plan.carrier = if is_ebpf { Carrier::Ebpf } else { macvlan };
        }
    }

    /// Tells the supervisor what was chosen for a router, and the log once for all of an interface.
    fn tell_choice(&mut self, plan: &Plan, why: Option<String>) {
        let plane = match why {
            None => Plane::Ebpf,
            Some(_) => Plane::Macvlan,
        };
        let parent = self.parents.get_mut(&plan.parent);
        if parent.is_none_or(|parent| parent.chosen.replace(plane) != Some(plane)) {
            let (interface, plane) = (&plan.parent_name, plane.name());
            match &why {
                None => {
                    tracing::info!("interface {interface}: iftype = \"auto\" takes {plane}");
                }
                Some(why) => tracing::warn!(
                    "interface {interface}: iftype = \"auto\" takes {plane}, because {why}"
                ),
            }
        }
        let choice = Choice {
            plane: Some(plane),
            why,
        };
        self.report(Report::Chosen(plan.id, choice));
    }

    /// Makes sure that the eBPF gate is at a parent and carries virtual MACs there.
    ///
    /// # Errors
    /// Why it does not run here.
    pub(super) fn attach_carrier(
        &mut self,
        index: u32,
        name: &str,
        hooks: Hooks,
        links: &[Link],
    ) -> Result<(), Uncarried> {
        let parent = self.parents.entry(index);
        let parent = parent.or_insert_with(|| Parent::new(name));
        let is_tcx = self.gate.guard(index) == Some(Guard::Ebpf(Hook::Tcx));
        if parent.carries && (hooks == Hooks::Any || is_tcx) {
            return Ok(());
        }
        if links
            .iter()
            .any(|link| link.index == index && link.secluded)
        {
            return Err(Uncarried::Secluded(name.to_owned()));
        }
        let was_loaded = self.gate.stopped().is_some();
        let guard = self
            .gate
            .attach_carrier(name, index, hooks, &mut self.journal);
        if let (false, Some(stopped)) = (was_loaded, self.gate.stopped()) {
            self.report(Report::Loaded(self.namespace, stopped));
        }
        let guard = guard.map_err(Uncarried::Refused)?;
        if let Some(parent) = self.parents.get_mut(&index) {
            parent.carries = true;
        }
        self.tell_guard(index, name, guard);
        Ok(())
    }

    /// Tells the supervisor whose the gate of a parent is, and the log who is before it.
    pub(super) fn tell_guard(&mut self, index: u32, name: &str, guard: Guard) {
        let before = self.gate.before(index);
        if let Some(parent) = self.parents.get_mut(&index) {
            parent.before.clone_from(&before);
        }
        // Whoever reads the line may ask what is shown.
        let guarded = Report::Guarded(
            self.namespace,
            index,
            name.to_owned(),
            guard,
            before.clone(),
        );
        self.report(guarded);
        for program in &before {
            tracing::warn!(
                "interface {name}: the eBPF program {program} of somebody else sees frames before \
                 rVRRPd does: what it redirects or drops does not reach virtual routers"
            );
        }
    }

    /// Tells why a router that wants the eBPF gate cannot run.
    pub(super) fn cannot_carry(&self, id: RouterId, why: &Uncarried) -> io::Error {
        let allowed = match why {
            Uncarried::Secluded(_) => "; allowed: its lower interface, or iftype = \"ether\"",
            Uncarried::Refused(_) => {
                "; without eBPF iftype = \"ebpf\" does not run, allowed: \"macvlan\", or \
                 \"auto\", which takes the best that runs"
            }
        };
        let (why, message) = (why.to_string(), format!("{why}{allowed}"));
        let choice = Choice {
            plane: None,
            why: Some(why),
        };
        self.report(Report::Chosen(id, choice));
        io::Error::new(io::ErrorKind::Unsupported, message)
    }

    /// Makes the parents take frames to the virtual MACs and solicitations for the addresses of
    /// these routers.
    pub(super) fn enter_stations(
        &mut self,
        ids: &[RouterId],
        failures: &mut BTreeMap<RouterId, Error>,
    ) {
        for id in ids {
            let Some(router) = self.routers.get(id) else {
                continue;
            };
            if failures.contains_key(id) || router.plan.carrier != Carrier::Ebpf {
                continue;
            }
            let (mac, addresses) = attends(&router.plan);
            let what = format!("virtual MAC {mac} at {}", router.plan.parent_name);
            let index = router.plan.parent;
            let Some(parent) = self.parents.get_mut(&index) else {
                continue;
            };
            let entered = match parent.station.take() {
                Some(station) => Ok(station),
                None => Station::open(index),
            };
            let entered = entered.and_then(|mut station| {
                let entered = station
                    .add(mac)
                    .and_then(|()| addresses.iter().try_for_each(|one| station.join(*one)));
                parent.station = Some(station);
                entered
            });
            if let Err(error) = entered {
                failures.insert(*id, Error::new(what, error));
            } else {
                self.report(Report::Chosen(*id, Choice::of(Plane::Ebpf)));
            }
        }
    }

    /// What a plan made the parent take and nobody does any more, it takes no longer. `now` is the
    /// router that has another plan by now; none: it has left.
    pub(super) fn leave_station(&mut self, old: &Plan, now: Option<RouterId>) {
        if old.carrier != Carrier::Ebpf {
            return;
        }
        let (mac, mut addresses) = attends(old);
        let others = self.routers.values().map(|router| &router.plan);
        let others = others.filter(|plan| plan.carrier == Carrier::Ebpf && !plan.accept);
        let others = others.filter(|plan| plan.parent == old.parent);
        addresses.retain(|address| {
            let mut others = others.clone();
            !others.any(|plan| plan.addresses.iter().any(|(vip, _)| *vip == *address))
        });
        let parent = self.parents.get_mut(&old.parent);
        let Some(station) = parent.and_then(|parent| parent.station.as_mut()) else {
            return;
        };
        for address in addresses {
            if let Err(error) = station.leave(address) {
                tracing::warn!("group of {address} on {}: {error}", old.parent_name);
            }
        }
        if now.is_none()
            && let Err(error) = station.remove(mac)
        {
            tracing::warn!("virtual MAC {mac} at {}: {error}", old.parent_name);
        }
    }

    /// Joins the groups again that the kernel has forgotten.
    pub(super) fn look_at_groups(&mut self) {
        let mut stations = self.parents.values().filter_map(|one| one.station.as_ref());
        if !stations.any(Station::has_groups) {
            return;
        }
        // An error: the kernel has no IPv6 now.
        let Ok(there) = GroupsIpv6::read() else {
            return;
        };
        let mut joined = Vec::new();
        for parent in self.parents.values_mut() {
            let Some(station) = &mut parent.station else {
                continue;
            };
            // An error: the interface is about to go, or has no IPv6 now.
            if let Ok(true) = station.join_again(&there) {
                joined.extend(parent.any_user());
            }
        }
        for user in joined {
            self.report(Report::Repaired(user, "IPv6 groups".to_owned()));
        }
    }
}

impl Choice {
    /// What is as it was wanted.
    #[must_use]
    pub const fn of(plane: Plane) -> Self {
        Self {
            plane: Some(plane),
            why: None,
        }
    }
}

/// The virtual MAC, and the virtual addresses whose solicitations nobody else makes the interface
/// hear: those that are on none.
fn attends(plan: &Plan) -> (Mac, BTreeSet<Ipv6Addr>) {
    let addresses = plan.addresses.iter().filter(|_| !plan.accept);
    let addresses = addresses.filter_map(|(address, _)| match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    });
    (virtual_mac(plan), addresses.collect())
}
