//! Preparation: everything that takes long is made before the first election, in few batches.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use super::announce;
use super::gate::Change;
use super::journal::Entry;
use super::kernel::{Batch, Kernel, Known, Purpose};
use super::netlink::{self, Ipv4Silence};
use super::parent::Parent;
use super::{Carrier, Error, Link, Plan, Report, RouterId, sysctl};
use crate::config::model::{NetworkDriver, Route};
use crate::driver::dataplane::{Step, virtual_mac};
use crate::wire::Family;

/// What went wrong, by router.
type Failures = BTreeMap<RouterId, Error>;

impl Kernel {
    /// Makes what a Backup needs for each plan, or changes what differs from the plan before.
    pub(super) fn prepare(&mut self, plans: Vec<Plan>) {
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
        if plans.iter().any(|plan| !plan.peers.is_empty()) {
            self.resolver.hurry();
        }
        let ids: Vec<RouterId> = plans.iter().map(|plan| plan.id).collect();
        let mut failures = Failures::new();
        let changed = self.take_over(plans, &links);
        if let Err(error) = self.journal_plans(&ids) {
            for id in &ids {
                failures.insert(*id, Error::new("journal", io::Error::from(error.kind())));
            }
        }
        let fresh: Vec<RouterId> = ids
            .iter()
            .copied()
            .filter(|id| self.routers.get(id).is_some_and(|router| !router.prepared))
            .collect();
        self.rename(&changed, &links, &mut failures);
        self.prepare_parents(&fresh, &mut failures);
        self.set_gate(&ids, &mut failures);
        self.make_macvlans(&fresh, &links, &mut failures);
        for (old, id) in changed {
            self.follow(&old, id, &mut failures);
        }
        for id in ids {
            match failures.remove(&id) {
                Some(error) => self.report(Report::Unprepared(id, error)),
                None => {
                    if let Some(router) = self.routers.get_mut(&id) {
                        router.prepared = true;
                    }
                    self.report(Report::Prepared(id));
                }
            }
        }
    }

    /// Puts the plans in place; returns the plans before of the routers that go on.
    fn take_over(&mut self, plans: Vec<Plan>, links: &[Link]) -> Vec<(Plan, RouterId)> {
        let mut changed = Vec::new();
        for plan in plans {
            let id = plan.id;
            let own_mac = links
                .iter()
                .find(|link| link.index == plan.parent)
                .and_then(|link| link.mac);
            match self.routers.get_mut(&id) {
                Some(router) if router.prepared && router.plan.parent == plan.parent => {
                    if !router.active {
                        router.own_mac = own_mac;
                    }
                    changed.push((core::mem::replace(&mut router.plan, plan), id));
                }
                known => {
                    if let Some(router) = known {
                        // The parent is another one of the same name; the macvlan went with it.
                        let before = router.plan.parent;
                        self.leave_parent(before, id);
                    }
                    self.routers.insert(
                        id,
                        Known {
                            plan,
                            prepared: false,
                            active: false,
                            vif: None,
                            own_mac,
                            repairs: Default::default(),
                        },
                    );
                }
            }
        }
        changed
    }

    fn journal_plans(&mut self, ids: &[RouterId]) -> io::Result<()> {
        let entries: Vec<Entry> = ids.iter().flat_map(|id| self.entries(*id)).collect();
        self.journal.record(entries)
    }

    /// What of a router may be in the kernel.
    pub(super) fn entries(&self, id: RouterId) -> Vec<Entry> {
        let Some(router) = self.routers.get(&id) else {
            return Vec::new();
        };
        let mut entries = router
            .dataplane()
            .entries(&router.plan, router.own_mac, self.group);
        entries.extend(router.plan.routes.iter().map(entry));
        entries
    }

    fn prepare_parents(&mut self, fresh: &[RouterId], failures: &mut Failures) {
        for id in fresh {
            let Some(plan) = self.routers.get(id).map(|router| &router.plan) else {
                continue;
            };
            if !matches!(plan.carrier, Carrier::Macvlan { .. }) {
                continue;
            }
            let (index, name) = (plan.parent, plan.parent_name.clone());
            let parent = self
                .parents
                .entry(index)
                .or_insert_with(|| Parent::new(&name));
            let known = !parent.users.is_empty();
            let mut result = parent.set(&mut self.journal);
            if !known {
                result = result.and_then(|()| self.gate.attach(&name, index));
            }
            match result {
                Ok(()) => {
                    parent.users.insert(*id);
                }
                Err(error) => {
                    failures.insert(*id, Error::new(format!("interface {name}"), error));
                }
            }
        }
    }

    /// Closes the gate for whoever is not Master, and settles what is accepted, before the macvlan
    /// comes up.
    fn set_gate(&mut self, ids: &[RouterId], failures: &mut Failures) {
        let mut changes = Vec::new();
        for router in ids.iter().filter_map(|id| self.routers.get(id)) {
            let plan = &router.plan;
            if failures.contains_key(&plan.id) {
                continue;
            }
            let (open, close) = router.dataplane().gate(router);
            changes.extend(if router.active { open } else { close });
            changes.extend(duties(plan));
        }
        if let Err(error) = self.gate.apply(&changes) {
            let error = Error::new("gate", error);
            for id in ids {
                failures.insert(*id, error.clone());
            }
        }
    }

    /// Creates, silences and sets up the macvlans, all in three batches.
    fn make_macvlans(&mut self, fresh: &[RouterId], links: &[Link], failures: &mut Failures) {
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
                Some(_) => {}
                None => {
                    let request = netlink::create_macvlan(name, mac, plan.parent, self.group);
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
            let request = netlink::silence_macvlan(index, silent_ipv4(), *family == Family::V6);
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
        for (id, _, error) in self.execute(batch) {
            failures.entry(id).or_insert(error);
        }
    }

    /// Renames macvlans in two steps where one takes the name that another one leaves. An active
    /// one lays down its addresses for that moment: the kernel would make aliases of them.
    fn rename(&mut self, changed: &[(Plan, RouterId)], links: &[Link], failures: &mut Failures) {
        let mut renames = Vec::new();
        let mut aside = Batch::default();
        for (old, id) in changed {
            let Some(router) = self
                .routers
                .get(id)
                .filter(|router| is_renamed(old, &router.plan))
            else {
                continue;
            };
            let (Carrier::Macvlan { name }, Some(index)) = (&router.plan.carrier, router.vif)
            else {
                continue;
            };
            renames.push((*id, index, name.clone()));
            if router.active {
                let before = router.with_plan(old.clone());
                let laid_down =
                    before
                        .dataplane()
                        .duties(&before, Step::Take, &self.ioctl, &mut aside);
                failures.extend(laid_down.err().map(|error| (*id, error)));
            }
        }
        let names: BTreeSet<&str> = links.iter().map(|link| link.name.as_str()).collect();
        if renames
            .iter()
            .any(|(_, _, name)| names.contains(name.as_str()))
        {
            for (id, index, name) in &renames {
                let request = netlink::rename(*index, &format!("vrrp{index}"));
                aside.push(*id, format!("new name of {name}"), request);
            }
        }
        self.run(aside, failures);
        let mut batch = Batch::default();
        for (id, index, name) in renames {
            batch.push(id, format!("macvlan {name}"), netlink::rename(index, &name));
        }
        self.run(batch, failures);
    }

    /// What else differs between the plan before and the one that is there now.
    fn follow(&mut self, old: &Plan, id: RouterId, failures: &mut Failures) {
        self.withdraw_duties(old, id);
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let plan = router.plan.clone();
        if router.active {
            self.change_active(old, &plan, failures);
        }
        let own_mac = self.routers.get(&id).and_then(|router| router.own_mac);
        let now = self.entries(id);
        let mut gone: Vec<Entry> = super::dataplane::of(&old.carrier)
            .entries(old, own_mac, self.group)
            .into_iter()
            .chain(old.routes.iter().map(entry))
            .filter(|entry| !now.contains(entry))
            .collect();
        // Two routers may have the same route.
        gone.retain(|entry| {
            !self
                .routers
                .keys()
                .any(|id| self.entries(*id).contains(entry))
        });
        if !gone.is_empty()
            && let Err(error) = self.journal.forget(|entry| gone.contains(entry))
        {
            tracing::warn!("journal: {error}");
        }
    }

    /// Addresses and routes of an active router that are new come, those that are old go.
    fn change_active(&mut self, old: &Plan, plan: &Plan, failures: &mut Failures) {
        let id = plan.id;
        let mut batch = Batch::default();
        let mut results = Vec::new();
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let before = router.with_plan(old.clone());
        let dataplane = router.dataplane();
        let renamed = is_renamed(old, plan);
        // Aliases are known by their place in the list.
        let by_place = matches!(
            plan.carrier,
            Carrier::Ether {
                netdrv: NetworkDriver::Ioctl,
                ..
            }
        );
        let anew = old.owner != plan.owner || by_place && old.addresses != plan.addresses;
        for (at, address) in old.addresses.iter().enumerate() {
            if !renamed && (anew || !plan.addresses.contains(address)) {
                results.push(dataplane.address(&before, at, Step::Take, &self.ioctl, &mut batch));
            }
        }
        for (at, address) in plan.addresses.iter().enumerate() {
            if renamed || anew || !old.addresses.contains(address) {
                results.push(dataplane.address(router, at, Step::Add, &self.ioctl, &mut batch));
            }
        }
        for route in old
            .routes
            .iter()
            .filter(|route| !plan.routes.contains(route))
        {
            results.push(self.change_route(old, route, Step::Take, &mut batch));
        }
        for route in plan
            .routes
            .iter()
            .filter(|route| !old.routes.contains(route))
        {
            results.push(self.change_route(plan, route, Step::Add, &mut batch));
        }
        for error in results.into_iter().filter_map(Result::err) {
            failures.insert(id, error);
        }
        for (id, purpose, error) in self.execute(batch) {
            self.refused_routes |= matches!(purpose, Purpose::Route(_));
            self.report(Report::ActivationFailed(id, error));
        }
        let new = plan.addresses.iter().zip(plan.announcements.iter());
        let new = new
            .filter(|((address, _), _)| old.addresses.iter().all(|(before, _)| before != address));
        announce::send_frames(&plan.sender, new.map(|(_, frame)| frame.as_slice()));
    }

    /// Takes out of the gate what the plan before wanted and no plan wants now.
    pub(super) fn withdraw_duties(&mut self, old: &Plan, id: RouterId) {
        let wanted: Vec<Change> = self
            .routers
            .values()
            .flat_map(|router| duties(&router.plan))
            .collect();
        let changes: Vec<Change> = duties(old)
            .filter(|duty| !wanted.contains(duty))
            .map(|duty| match duty {
                Change::Refuse(address) => Change::Accept(address),
                Change::Own(parent, address) => Change::Disown(parent, address),
                other => other,
            })
            .collect();
        if let Err(error) = self.gate.apply(&changes) {
            self.report(Report::ActivationFailed(id, Error::new("gate", error)));
        }
    }

    /// A router leaves its parent; the last one takes the changes of the parent along.
    pub(super) fn leave_parent(&mut self, index: u32, id: RouterId) {
        let Some(parent) = self.parents.get_mut(&index) else {
            return;
        };
        parent.users.remove(&id);
        if !parent.users.is_empty() {
            return;
        }
        let detached = self.gate.detach(index);
        if let Some(parent) = self.parents.remove(&index) {
            let restored = parent.restore(&mut self.journal);
            if let Err(error) = detached.and(restored) {
                tracing::error!("interface with index {index} not as it was: {error}");
            }
        }
    }
}

/// Whether the macvlan gets another name.
fn is_renamed(old: &Plan, plan: &Plan) -> bool {
    matches!(
        (&old.carrier, &plan.carrier),
        (Carrier::Macvlan { name: old }, Carrier::Macvlan { name: new }) if old != new
    )
}

/// What the gate does for a router in every state.
fn duties(plan: &Plan) -> impl Iterator<Item = Change> + '_ {
    let owned = plan.owner && matches!(plan.carrier, Carrier::Macvlan { .. });
    plan.addresses
        .iter()
        .filter_map(move |(address, _)| match address {
            _ if !plan.accept => Some(Change::Refuse(*address)),
            IpAddr::V4(address) if owned => Some(Change::Own(plan.parent, *address)),
            _ => None,
        })
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

/// IPv4 settings of a macvlan. The kernel uses the greater `rp_filter` of interface and `all`:
/// where `all` filters strictly, only loose mode lets packets in whose way back is the parent.
fn silent_ipv4() -> Ipv4Silence {
    let strict = sysctl::read("net/ipv4/conf/all/rp_filter").is_ok_and(|value| value != "0");
    Ipv4Silence {
        arp_ignore: 1,
        arp_announce: 2,
        rp_filter: if strict { 2 } else { 0 },
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
