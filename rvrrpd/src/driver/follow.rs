//! A plan in the place of another one: what differs is changed, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use super::announce;
use super::journal::Entry;
use super::kernel::{Batch, Kernel};
use super::netlink;
use super::prepare::entry;
use super::{Carrier, Error, Link, Plan, Report, RouterId};
use crate::config::model::NetworkDriver;
use crate::driver::dataplane::Step;

impl Kernel {
    /// What else differs between the plan before and the one that is there now. `renamed` tells of
    /// a macvlan that had to be renamed whether it was.
    pub(super) fn follow(&mut self, old: &Plan, id: RouterId, renamed: Option<bool>) {
        if let Some(known) = self.routers.get(&id) {
            let before = known.with_plan(old.clone());
            self.withdraw_duties(&before);
        }
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let plan = router.plan.clone();
        if router.active {
            self.change_active(old, &plan, renamed == Some(true));
            if plan.awaited && !old.awaited {
                self.report(Report::Activated(id));
            }
        }
        if renamed == Some(false) {
            return;
        }
        let own_mac = self.routers.get(&id).and_then(|router| router.own_mac);
        let now = self.entries(id);
        let mut gone: Vec<Entry> = super::dataplane::of(&old.carrier)
            .entries(old, own_mac, self.group.number)
            .into_iter()
            .chain(old.routes.iter().map(entry))
            .filter(|entry| !now.contains(entry))
            .collect();
        // Two routers may have the same route, and one may be static too.
        gone.retain(|gone| {
            !self.static_routes.iter().any(|route| entry(route) == *gone)
                && !self
                    .routers
                    .keys()
                    .any(|id| self.entries(*id).contains(gone))
        });
        if !gone.is_empty()
            && let Err(error) = self.journal.forget(|entry| gone.contains(entry))
        {
            tracing::warn!("journal: {error}");
        }
    }

    /// Addresses and routes of an active router that are new come, those that are old go. Those of
    /// a macvlan that was renamed are all out.
    fn change_active(&mut self, old: &Plan, plan: &Plan, renamed: bool) {
        let id = plan.id;
        let mut batch = Batch::default();
        let mut results = Vec::new();
        if plan.carrier.is_parent() {
            self.examine_settings(Some(plan.parent));
        }
        let ours = if old.own == plan.own {
            Vec::new()
        } else {
            self.addresses_of_ours(plan.parent)
        };
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let before = router.with_plan(old.clone());
        let dataplane = router.dataplane();
        // Aliases are known by their place in the list.
        let by_place = matches!(
            plan.carrier,
            Carrier::Ether {
                netdrv: NetworkDriver::Ioctl,
                ..
            }
        );
        let on_parent = plan.carrier.is_parent();
        let accepts_otherwise = plan.carrier == Carrier::Ebpf && old.accept != plan.accept;
        let anew = accepts_otherwise
            || !on_parent && old.owner != plan.owner
            || by_place && (&old.addresses, &old.own) != (&plan.addresses, &plan.own);
        let became_own =
            |address| on_parent && plan.own.contains(address) && !old.own.contains(address);
        let was_own =
            |address| on_parent && old.own.contains(address) && !plan.own.contains(address);
        for (at, address) in old.addresses.iter().enumerate() {
            // What the host has there now may be the very address that was ours.
            if became_own(&address.0) && !ours.contains(address) {
                continue;
            }
            if !renamed && (anew || became_own(&address.0) || !plan.addresses.contains(address)) {
                results.push(dataplane.address(&before, at, Step::Take, &self.ioctl, &mut batch));
            }
        }
        if by_place {
            // Aliases come at once, so what goes has to be gone.
            let refused = self.execute(core::mem::take(&mut batch));
            self.tell_incomplete(refused);
        }
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        for (at, address) in plan.addresses.iter().enumerate() {
            if renamed || anew || was_own(&address.0) || !old.addresses.contains(address) {
                results.push(dataplane.address(router, at, Step::Add, &self.ioctl, &mut batch));
            }
        }
        for route in old
            .routes
            .iter()
            .filter(|route| !plan.routes.contains(route))
        {
            self.change_route(id, route, Step::Take, &mut batch);
        }
        for route in plan
            .routes
            .iter()
            .filter(|route| !old.routes.contains(route))
        {
            self.change_route(id, route, Step::Add, &mut batch);
        }
        self.tell_incomplete(
            results
                .into_iter()
                .filter_map(Result::err)
                .map(|error| (id, error)),
        );
        let refused = self.execute(batch);
        self.tell_incomplete(refused);
        // An address that is new, or at another Ethernet address.
        let new = plan.addresses.iter().zip(plan.announcements.iter());
        let new = new.filter(|(_, frame)| !old.announcements.contains(frame));
        announce::send_frames(&plan.sender, new.map(|(_, frame)| frame.as_slice()));
    }

    /// Renames macvlans, in two steps where one takes the name that another one leaves, and tells
    /// for each that had to be renamed whether it was. An active one lays down its addresses for
    /// that moment: the kernel would make aliases of them.
    pub(super) fn rename(
        &mut self,
        changed: &[(Plan, RouterId)],
        links: &[Link],
    ) -> BTreeMap<RouterId, bool> {
        let mut renames = BTreeMap::new();
        for (_, id) in changed {
            let Some(router) = self.routers.get(id) else {
                continue;
            };
            let (Carrier::Macvlan { name }, Some(index)) = (&router.plan.carrier, router.vif)
            else {
                continue;
            };
            if links
                .iter()
                .any(|link| link.index == index && link.name != *name)
            {
                renames.insert(*id, (index, name.clone()));
            }
        }
        let moving: BTreeSet<u32> = renames.values().map(|(index, _)| *index).collect();
        let mut renamed: BTreeMap<RouterId, bool> = renames.keys().map(|id| (*id, true)).collect();
        renames.retain(|id, (_, name)| {
            let taken = links
                .iter()
                .any(|link| link.name == *name && !moving.contains(&link.index));
            if taken {
                let error = io::Error::from(io::ErrorKind::AlreadyExists);
                let error = Error::new(format!("new name {name} of a macvlan"), error);
                self.report(Report::ActivationFailed(*id, error));
                renamed.insert(*id, false);
            }
            !taken
        });
        let mut aside = Batch::default();
        for (old, id) in changed.iter().filter(|(_, id)| renames.contains_key(id)) {
            if let Some(router) = self.routers.get(id).filter(|router| router.active) {
                let before = router.with_plan(old.clone());
                let laid_down =
                    before
                        .dataplane()
                        .duties(&before, Step::Take, &self.ioctl, &mut aside);
                self.tell_incomplete(laid_down.err().map(|error| (*id, error)));
            }
        }
        let crossing = renames
            .values()
            .any(|(_, name)| links.iter().any(|link| link.name == *name));
        if crossing {
            for (id, (index, name)) in &renames {
                let request = netlink::rename(*index, &format!("vrrp{index}"));
                aside.push(*id, format!("new name of {name}"), request);
            }
        }
        let mut batch = Batch::default();
        for (id, (index, name)) in renames {
            batch.push(id, format!("macvlan {name}"), netlink::rename(index, &name));
        }
        for batch in [aside, batch] {
            let refused = self.execute(batch);
            self.tell_incomplete(refused);
        }
        renamed
    }

    fn tell_incomplete(&self, failures: impl IntoIterator<Item = (RouterId, Error)>) {
        for (id, error) in failures {
            self.report(Report::ActivationFailed(id, error));
        }
    }

    /// The addresses on an interface that rVRRPd has put there.
    fn addresses_of_ours(&mut self, index: u32) -> Vec<(IpAddr, u8)> {
        let addresses = self.netlink.addresses().unwrap_or_default().into_iter();
        addresses
            .map(|(address, _)| address)
            .filter(|address| address.index == index && address.ours)
            .map(|address| (address.address, address.prefix))
            .collect()
    }
}
