//! Repair: what others took away comes back.
//!
//! systemd-networkd, NetworkManager and careless scripts remove addresses and routes that they do
//! not know. A Master without its address is a black hole, so it gets the address back at once.

use super::dataplane::Step;
use super::gate::Change;
use super::kernel::{Batch, Kernel};
use super::netlink;
use super::{Address, Carrier, KernelEvent, Link, Report, RouterId};
use crate::config::model::Route;

impl Kernel {
    /// Follows an event of the kernel.
    pub(super) fn repair(&mut self, event: &KernelEvent) {
        match event {
            KernelEvent::AddressGone(address) => self.repair_address(address),
            KernelEvent::RouteGone(route) => self.repair_route(route),
            KernelEvent::LinkGone { index } => self.repair_link(*index),
            KernelEvent::Resync(links, addresses) => self.repair_all(links, addresses),
            KernelEvent::Link(_) | KernelEvent::Address(_) => self.retry_routes(),
        }
    }

    fn repair_address(&mut self, gone: &Address) {
        let found = self.routers.iter().find_map(|(id, router)| {
            let at = router
                .plan
                .addresses
                .iter()
                .position(|(address, _)| *address == gone.address)?;
            (router.active && router.carrier() == Some(gone.index)).then_some((*id, at))
        });
        if let Some((id, at)) = found {
            self.put_back(id, at);
        }
    }

    fn put_back(&mut self, id: RouterId, at: usize) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        if !router.repairs.allow() {
            return;
        }
        let mut batch = Batch::default();
        let result = router
            .dataplane()
            .address(router, at, Step::Add, &self.ioctl, &mut batch);
        if let Err(error) = result {
            self.report(Report::ActivationFailed(id, error));
            return;
        }
        let Some((address, _)) = router.plan.addresses.get(at).copied() else {
            return;
        };
        let nothing_to_do = batch.requests.is_empty();
        let answers = self.netlink.batch(&batch.requests);
        let changed = answers
            .iter()
            .any(|answer| matches!(answer, Ok(netlink::Done::Changed)));
        if changed || nothing_to_do {
            self.report(Report::Repaired(id, format!("address {address}")));
        }
        for refusal in answers.into_iter().filter_map(Result::err) {
            let error = super::Error::new(format!("address {address}"), refusal.into_error());
            self.report(Report::ActivationFailed(id, error));
        }
    }

    fn repair_route(&mut self, gone: &Route) {
        let owner = self
            .routers
            .iter()
            .find(|(_, router)| router.active && router.plan.routes.contains(gone))
            .map(|(id, _)| *id);
        let of_all = self.static_routes_in && self.static_routes.contains(gone);
        let first_active = || {
            self.routers
                .iter()
                .find(|(_, router)| router.active)
                .map(|(id, _)| *id)
        };
        let Some(id) = owner.or_else(|| of_all.then(first_active).flatten()) else {
            return;
        };
        let allowed = self
            .routers
            .get_mut(&id)
            .is_some_and(|router| router.repairs.allow());
        if !allowed {
            return;
        }
        match self.netlink.batch(&[netlink::add_route(gone)]).pop() {
            Some(Ok(netlink::Done::Changed)) => {
                self.report(Report::Repaired(id, super::kernel::name(gone)));
            }
            Some(Err(_)) => self.refused_routes = true,
            Some(Ok(netlink::Done::Already)) | None => {}
        }
    }

    /// A macvlan that is gone alone was deleted by somebody; one that went with its parent is made
    /// anew when the parent is back.
    fn repair_link(&mut self, index: u32) {
        let found = self
            .routers
            .iter_mut()
            .find(|(_, router)| router.vif == Some(index));
        let Some((id, router)) = found else { return };
        let id = *id;
        let spoken = self.gate.apply(&[Change::Speak(index)]);
        if let Err(error) = spoken {
            tracing::warn!("gate: {error}");
        }
        router.vif = None;
        router.prepared = false;
        let plan = router.plan.clone();
        let was_active = core::mem::take(&mut router.active);
        let allowed = router.repairs.allow();
        let has_parent = self
            .netlink
            .links()
            .is_ok_and(|links| links.iter().any(|link| link.index == plan.parent));
        if !has_parent {
            self.leave_parent(plan.parent, id);
            return;
        }
        if !allowed {
            return;
        }
        let Carrier::Macvlan { name } = plan.carrier.clone() else {
            return;
        };
        self.prepare(vec![plan]);
        if was_active {
            self.elect(&[(id, true)].into());
        }
        self.report(Report::Repaired(id, format!("macvlan {name}")));
    }

    /// Events were lost: everything that should be there is looked at.
    fn repair_all(&mut self, links: &[Link], addresses: &[Address]) {
        let missing_links: Vec<u32> = self
            .routers
            .values()
            .filter_map(|router| router.vif)
            .filter(|index| links.iter().all(|link| link.index != *index))
            .collect();
        for index in missing_links {
            self.repair_link(index);
        }
        let mut missing = Vec::new();
        for (id, router) in self.routers.iter().filter(|(_, router)| router.active) {
            let Some(index) = router.carrier() else {
                continue;
            };
            for (at, (address, _)) in router.plan.addresses.iter().enumerate() {
                let there = addresses
                    .iter()
                    .any(|known| known.index == index && known.address == *address);
                if !there {
                    missing.push((*id, at));
                }
            }
        }
        for (id, at) in missing {
            self.put_back(id, at);
        }
        self.refused_routes = true;
        self.retry_routes();
    }

    /// Tries the routes again that were refused, as for want of a way to their next hop.
    fn retry_routes(&mut self) {
        if !core::mem::take(&mut self.refused_routes) {
            return;
        }
        let of_routers = self
            .routers
            .values()
            .filter(|router| router.active)
            .flat_map(|router| router.plan.routes.clone());
        let of_all = self
            .static_routes
            .iter()
            .filter(|_| self.static_routes_in)
            .cloned();
        let routes: Vec<Route> = of_routers.chain(of_all).collect();
        let requests: Vec<_> = routes.iter().map(netlink::add_route).collect();
        self.refused_routes = self.netlink.batch(&requests).iter().any(Result::is_err);
    }
}
