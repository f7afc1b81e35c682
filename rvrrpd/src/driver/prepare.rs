//! Preparation: everything that takes long is made before the first election, in few batches.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Instant;

use super::announce;
use super::duties::is_precaution;
use super::gate::Hooks;
use super::journal::Entry;
use super::kernel::{Batch, Kernel, Known};
use super::netlink::{self, Ipv4Silence};
use super::parent::{Parent, of_all, of_parent};
use super::{Carrier, Error, Link, Plan, Report, RouterId, group, sysctl};
use crate::config::model::{NetworkDriver, Route};
use crate::driver::dataplane::{Step, uses_virtual_mac, virtual_mac};
use crate::log::Limiter;
use crate::net::sys::clock;
use crate::wire::{Family, Mac};

static CARELESS: Limiter = Limiter::new();

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
                    attached.map_err(|why| self.cannot_carry(*id, why))
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

    /// Closes the gate for whoever is not Master, and settles what is accepted, before the macvlan
    /// comes up.
    fn set_gate(&mut self, ids: &[RouterId], failures: &mut Failures) {
        let mut changes = Vec::new();
        let mut precautions = Vec::new();
        for router in ids.iter().filter_map(|id| self.routers.get(id)) {
            let plan = &router.plan;
            if failures.contains_key(&plan.id) {
                continue;
            }
            let (open, close) = router.dataplane().gate(router);
            let mut own = if router.active { open } else { close };
            let duties = self.duties(router, router.active).into_iter();
            let (careful, needed): (Vec<_>, Vec<_>) =
                duties.partition(|duty| is_precaution(plan, *duty));
            own.extend(needed);
            changes.push((plan.id, own));
            precautions.push((plan.id, careful));
        }
        failures.extend(self.change_gate(&changes));
        precautions.retain(|(id, _)| !failures.contains_key(id));
        let precautions: Vec<_> = precautions.into_iter().flat_map(|(_, own)| own).collect();
        if let Err(error) = self.gate.apply(&precautions, &mut self.journal)
            && let Some(suppressed) = CARELESS.allow(clock::monotonic().as_micros())
        {
            tracing::warn!(
                "should this process be killed as Master, the host will go on answering for virtual \
                 addresses of iftype = \"ebpf\" with its own Ethernet address: {error}{suppressed}"
            );
        }
    }

    /// Creates, silences and sets up the macvlans, all in three batches.
    fn make_macvlans(&mut self, fresh: &[RouterId], failures: &mut Failures) {
        // Anew, for a rename may have freed a name.
        let Ok(links) = self.netlink.links() else {
            return;
        };
        let mut batch = Batch::default();
        let mut wanted = Vec::new();
        for id in fresh {
            if failures.contains_key(id) {
                continue;
            }
            let Some(plan) = self.routers.get(id).map(|router| router.plan.clone()) else {
                continue;
            };
            let Carrier::Macvlan { name } = &plan.carrier else {
                continue;
            };
            if let Some(parent) = links
                .iter()
                .find(|link| link.index == plan.parent && link.macvlan)
            {
                let beside = io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "{} is a macvlan itself: the kernel would put this one beside it, not on \
                         it; allowed: its lower interface, or `iftype = \"ether\"`",
                        parent.name
                    ),
                );
                failures.insert(*id, Error::new(format!("macvlan {name}"), beside));
                continue;
            }
            let mac = virtual_mac(&plan);
            match links.iter().find(|link| link.name == *name) {
                Some(link) if link.mac != Some(mac) || link.lower != Some(plan.parent) => {
                    let taken = io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "there is an interface of this name that is not ours; allowed: another \
                         `vifname`",
                    );
                    failures.insert(*id, Error::new(format!("macvlan {name}"), taken));
                    continue;
                }
                // Left by a predecessor that is dead and whose journal was lost.
                Some(link) => {
                    let request = netlink::set_group(link.index, self.group.number);
                    batch.push(*id, format!("macvlan {name}"), request);
                }
                None => {
                    let request =
                        netlink::create_macvlan(name, mac, plan.parent, self.group.number);
                    batch.push(*id, format!("macvlan {name}"), request);
                }
            }
            wanted.push((*id, name.clone(), plan.family));
        }
        if wanted.is_empty() {
            return;
        }
        self.run(batch, failures);
        let Ok(links) = self.netlink.links() else {
            return;
        };
        let indexes: BTreeMap<&str, u32> = links
            .iter()
            .map(|link| (link.name.as_str(), link.index))
            .collect();
        wanted.retain(|(id, _, _)| !failures.contains_key(id));
        let (mut silence, mut up) = (Batch::default(), Batch::default());
        for (id, name, family) in &wanted {
            let Some(&index) = indexes.get(name.as_str()) else {
                continue;
            };
            if let Some(router) = self.routers.get_mut(id) {
                router.vif = Some(index);
            }
            let parent = self
                .routers
                .get(id)
                .map(|router| router.plan.parent_name.clone());
            let ipv4 = silent_ipv4(&parent.unwrap_or_default());
            let request = netlink::silence_macvlan(index, ipv4, *family == Family::V6);
            silence.push(*id, format!("settings of macvlan {name}"), request);
            up.push(*id, format!("macvlan {name} up"), netlink::set_up(index));
        }
        self.run(silence, failures);
        for (id, name, family) in &wanted {
            if let Err(error) = silence_ipv6(name, *family) {
                failures.insert(
                    *id,
                    Error::new(format!("settings of macvlan {name}"), error),
                );
            }
        }
        // Before they are up: what the kernel says of itself then must not leave.
        let ids: Vec<RouterId> = wanted.iter().map(|(id, _, _)| *id).collect();
        self.set_gate(&ids, failures);
        self.run(up, failures);
    }

    fn run(&mut self, batch: Batch, failures: &mut Failures) {
        for (id, error) in self.execute(batch) {
            failures.entry(id).or_insert(error);
        }
    }

    /// A macvlan that was made and is not there, because somebody deleted or renamed it at once or
    /// the list of links failed: a Master would have nothing to put its addresses on.
    fn find_unmade(&self, fresh: &[RouterId], failures: &mut Failures) {
        for router in fresh.iter().filter_map(|id| self.routers.get(id)) {
            let Carrier::Macvlan { name } = &router.plan.carrier else {
                continue;
            };
            if router.vif.is_none() {
                let missing = io::Error::from(io::ErrorKind::NotFound);
                let missing = Error::new(format!("macvlan {name}"), missing);
                failures.entry(router.plan.id).or_insert(missing);
            }
        }
    }

    /// Renames macvlans, in two steps where one takes the name that another one leaves, and tells
    /// for each that had to be renamed whether it was. An active one lays down its addresses for
    /// that moment: the kernel would make aliases of them.
    fn rename(&mut self, changed: &[(Plan, RouterId)], links: &[Link]) -> BTreeMap<RouterId, bool> {
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

    /// What else differs between the plan before and the one that is there now. `renamed` tells of
    /// a macvlan that had to be renamed whether it was.
    fn follow(&mut self, old: &Plan, id: RouterId, renamed: Option<bool>) {
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

    /// The addresses on an interface that rVRRPd has put there.
    fn addresses_of_ours(&mut self, index: u32) -> Vec<(IpAddr, u8)> {
        let addresses = self.netlink.addresses().unwrap_or_default().into_iter();
        addresses
            .map(|(address, _)| address)
            .filter(|address| address.index == index && address.ours)
            .map(|address| (address.address, address.prefix))
            .collect()
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

/// IPv4 settings of a macvlan on this parent. It forwards where the parent does. The way back of
/// what comes in is the parent, so only loose filtering lets it in; the kernel uses the greater
/// `rp_filter` of interface and `all`, so that 0 would not do where `all` is 1.
fn silent_ipv4(parent: &str) -> Ipv4Silence {
    let forwarding = sysctl::read(&format!("net/ipv4/conf/{parent}/forwarding"));
    Ipv4Silence {
        arp_ignore: 1,
        arp_announce: 2,
        send_redirects: 0,
        rp_filter: 2,
        promote_secondaries: 1,
        forwarding: u32::from(forwarding.is_ok_and(|value| value == "1")),
    }
}

/// A macvlan must not say anything by itself: no link-local address of its own, no MLD, no router
/// solicitation. An IPv4 one has no IPv6 at all.
fn silence_ipv6(name: &str, family: Family) -> io::Result<()> {
    let settings: &[(&str, &str)] = match family {
        Family::V4 => &[("disable_ipv6", "1")],
        Family::V6 => &[
            ("accept_ra", "0"),
            ("autoconf", "0"),
            ("router_solicitations", "0"),
            ("dad_transmits", "0"),
            ("forwarding", "1"),
        ],
    };
    for (setting, value) in settings {
        match sysctl::write(&format!("net/ipv6/conf/{name}/{setting}"), value) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && family == Family::V4 => {}
            result => result?,
        }
    }
    Ok(())
}
