//! The supervisor: it alone knows the configuration, what the kernel says and which routers there
//! are, and tells the others what follows from it. It runs in the main thread.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crossbeam_channel::{Receiver, select, tick};

use super::interface::{Interface, Wanted};
use super::readiness::{self, Binding};
use super::signals::Signal;
use super::{reload, routers, status, threads};
use crate::config::model::{Config, FilterType, RouterKey, VirtualRouter};
use crate::driver::view::View;
use crate::driver::{self, Command, DriverHandle, KernelEvent, Plan, Report, RouterId};
use crate::fsm::{Reason, Reasons};
use crate::net::kernel::Filter;
use crate::pool::{self, Control, Entry, Setup};
use crate::stats::{Global, Rejects, Status};
use crate::wire::Family;
use crate::wire::verdict::Reject;

/// How often something that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Reports that are taken before their consequences are drawn.
const REPORTS: usize = 4096;

/// The running daemon.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) config: Config,
    pub(super) routers: BTreeMap<RouterKey, Managed>,
    pub(super) global: Arc<Global>,
    view: View,
    driver: DriverHandle,
    reports: Receiver<Report>,
    workers: Vec<pool::Handle>,
    interfaces: BTreeMap<String, Interface>,
    /// The eBPF filter; none where the kernel does not permit it.
    filter: Option<Arc<Filter>>,
    generation: u64,
    keys: HashMap<RouterId, RouterKey>,
    next_id: u32,
}

/// A virtual router as the supervisor sees it.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) config: VirtualRouter,
    pub(super) status: Arc<Status>,
    id: RouterId,
    worker: usize,
    /// What worker, listener and driver were told last; none: nothing yet.
    bound: Option<Binding>,
    /// The reasons that were told last.
    reasons: Option<Reasons>,
    /// What a Backup needs is in the kernel.
    prepared: bool,
    /// It is not, and has to be tried again.
    failed: bool,
    /// Why not, as it was told last.
    complaint: String,
}

/// Why the daemon stops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// It was asked to.
    Requested,
    /// The driver is gone: nothing can be changed in the kernel any more.
    DriverLost,
}

impl Supervisor {
    /// A supervisor over a started driver and started workers; no router runs yet.
    pub(super) fn new(
        config: Config,
        view: View,
        driver: DriverHandle,
        reports: Receiver<Report>,
        workers: Vec<pool::Handle>,
        filter: Option<Arc<Filter>>,
    ) -> Self {
        Self {
            config,
            routers: BTreeMap::new(),
            global: Arc::default(),
            view,
            driver,
            reports,
            workers,
            interfaces: BTreeMap::new(),
            filter,
            generation: 0,
            keys: HashMap::new(),
            next_id: 0,
        }
    }

    /// Starts the configured routers.
    pub(super) fn start(&mut self) {
        self.tell_driver(Command::StaticRoutes(self.config.static_routes.clone()));
        for router in self.config.vrouters.clone() {
            self.add(router);
        }
        self.update_all();
    }

    /// Works until a signal ends it. `ready` is called once all that was reported at the start
    /// has been dealt with.
    pub(super) fn run(&mut self, signals: &Receiver<Signal>, context: &mut super::Context) -> End {
        let retries = tick(RETRY);
        loop {
            select! {
                recv(signals) -> signal => match signal {
                    Ok(Signal::Terminate) | Err(_) => return End::Requested,
                    Ok(Signal::Reload) => {
                        // One reload serves for all requests that came until now.
                        while signals.try_recv().is_ok_and(|signal| match signal {
                            Signal::Reload => true,
                            other => { context.postponed.push(other); false }
                        }) {}
                        reload::reload(self, context);
                    }
                    Ok(other) => context.postponed.push(other),
                },
                recv(self.reports) -> report => match report {
                    Ok(report) => self.reported(report),
                    Err(_) => return End::DriverLost,
                },
                recv(retries) -> _ => {
                    if self.driver.is_finished() {
                        return End::DriverLost;
                    }
                    self.retry();
                }
            }
            for signal in context.postponed.drain(..) {
                match signal {
                    Signal::Terminate => return End::Requested,
                    Signal::Reload => {}
                    Signal::ReopenLogs => context.log.reopen(),
                    Signal::Status => status::log(self),
                }
            }
        }
    }

    /// Ends everything: all Masters resign, then everything of ours leaves the kernel.
    pub(super) fn stop(self) -> Result<(), driver::Error> {
        for worker in &self.workers {
            let _ended = worker.control.send(Control::Stop);
        }
        for worker in self.workers {
            worker.join();
        }
        let result = self.driver.shutdown();
        drop(self.interfaces);
        result
    }

    /// Takes a new router under supervision. It is told to nobody before [`Self::update`].
    pub(super) fn add(&mut self, router: VirtualRouter) {
        let id = RouterId(self.next_id);
        self.next_id += 1;
        let key = router.key();
        self.keys.insert(id, key.clone());
        let worker = id.0 as usize % self.workers.len().max(1);
        self.routers.insert(
            key,
            Managed {
                config: router,
                status: Arc::default(),
                id,
                worker,
                bound: None,
                reasons: None,
                prepared: false,
                failed: false,
                complaint: String::new(),
            },
        );
    }

    /// Gives a router a new configuration; it keeps its state.
    pub(super) fn change(&mut self, router: VirtualRouter) {
        if let Some(managed) = self.routers.get_mut(&router.key()) {
            managed.config = router;
            managed.bound = None;
        }
    }

    /// Lets routers leave. When this returns their last advertisements have left.
    pub(super) fn remove(&mut self, keys: &[RouterKey]) {
        let mut leaving = vec![Vec::new(); self.workers.len()];
        for key in keys {
            let Some(managed) = self.routers.remove(key) else {
                continue;
            };
            self.keys.remove(&managed.id);
            leaving[managed.worker].push(managed.id);
            if let Some(interface) = self.interfaces.get_mut(&key.interface) {
                interface.remove(key.family, key.vrid);
            }
        }
        let (left, all_left) = crossbeam_channel::unbounded();
        for (worker, ids) in self.workers.iter().zip(leaving) {
            if !ids.is_empty() {
                let _ended = worker.control.send(Control::Remove(ids, left.clone()));
            }
        }
        drop(left);
        // Ends when every worker has dropped its end.
        for () in all_left {}
        let names: BTreeSet<String> = keys.iter().map(|key| key.interface.clone()).collect();
        for name in names {
            self.publish(&name);
        }
    }

    /// Draws the consequences for every router.
    pub(super) fn update_all(&mut self) {
        let names = self
            .routers
            .keys()
            .map(|key| key.interface.clone())
            .collect();
        self.update(&names);
    }

    /// Draws the consequences for the routers on these interfaces.
    pub(super) fn update(&mut self, names: &BTreeSet<String>) {
        let (mut plans, mut setups) = (Vec::new(), Vec::new());
        for name in names {
            self.open(name);
            let keys: Vec<RouterKey> = self
                .routers
                .keys()
                .filter(|key| key.interface == *name)
                .cloned()
                .collect();
            for key in keys {
                if let Some((plan, worker, setup)) = self.bind(&key) {
                    plans.push(plan);
                    setups.push((worker, setup));
                }
            }
            self.publish(name);
        }
        if !plans.is_empty() {
            self.tell_driver(Command::Prepare(plans));
        }
        // After the driver: what a worker does at once, as an owner that becomes Master, it has to
        // do by the new plan.
        for (worker, setup) in setups {
            let _ended = self.workers[worker].control.send(Control::Set(setup));
        }
        // Only now: a router starts when all that it needs has been told.
        let keys: Vec<RouterKey> = self
            .routers
            .keys()
            .filter(|key| names.contains(&key.interface))
            .cloned()
            .collect();
        for key in keys {
            self.tell_readiness(&key);
        }
    }

    /// Number of interfaces that virtual routers are configured on (RFC 8347 `interfaces`).
    pub(super) fn used_interfaces(&self) -> usize {
        let names: BTreeSet<&str> = self
            .routers
            .keys()
            .map(|key| key.interface.as_str())
            .collect();
        names.len()
    }

    /// Every refused packet by rule, also those that the kernel refused.
    pub(super) fn refused(&self) -> Rejects {
        let all = Rejects::default();
        let delivered = self.global.rejects.broken();
        let foreign = self.filter.as_ref().map_or(0, |filter| filter.foreign());
        let of_routers = self.routers.values();
        let in_kernel = of_routers.flat_map(|managed| managed.status.refused_in_kernel());
        for (reject, count) in delivered.chain([(Reject::Vrid, foreign)]).chain(in_kernel) {
            all.of(reject).add(count);
        }
        all
    }

    pub(super) fn tell_driver(&self, command: Command) {
        // A driver that is gone is noticed by its reports.
        let _ended = self.driver.commands.send(command);
    }

    /// Makes the sockets of an interface fit the interface: opens them when it appears, closes
    /// them when it is gone, and does both when it is another one of the same name. Where a family
    /// is new, the old sockets close when the new ones are open, so that no membership ends.
    fn open(&mut self, name: &str) {
        let index = self.view.link_by_name(name).map(|link| link.index);
        let families: BTreeSet<Family> = self
            .routers
            .keys()
            .filter(|key| key.interface == name)
            .map(|key| key.family)
            .collect();
        let known = self.interfaces.get_mut(name);
        let is_same = known.as_ref().map(|interface| interface.port.index) == index;
        if is_same {
            let Some(known) = known else { return };
            known.join_again(name);
            // A family that the interface lacks is no reason to disturb the other one.
            if !families.iter().any(|family| known.could_hear(*family)) {
                return;
            }
        }
        if !is_same {
            self.interfaces.remove(name);
        }
        for managed in self
            .routers
            .values_mut()
            .filter(|managed| managed.config.interface == name)
        {
            managed.bound = None;
            managed.prepared &= is_same;
        }
        let Some(index) = index else { return };
        if families.is_empty() {
            return;
        }
        let families: Vec<Family> = families.into_iter().collect();
        let workers = self
            .workers
            .iter()
            .map(|worker| (worker.adverts.clone(), worker.control.clone()))
            .unzip();
        let prepare = threads::prepare(self.config.global.realtime, threads::LISTENER);
        let opened = Interface::open(
            name,
            index,
            &families,
            workers,
            Arc::clone(&self.global),
            self.filter.as_ref(),
            prepare,
        );
        match opened {
            Ok(interface) => {
                self.interfaces.insert(name.to_owned(), interface);
            }
            Err(error) => tracing::error!("sockets on interface {name}: {error}"),
        }
    }

    /// Closes the sockets of an interface that is gone, also where another one with the same name
    /// and index has come before anybody looked.
    fn close(&mut self, index: u32) {
        let gone = self
            .interfaces
            .iter()
            .find(|(_, interface)| interface.port.index == index);
        let Some(name) = gone.map(|(name, _)| name.clone()) else {
            return;
        };
        self.interfaces.remove(&name);
        for managed in self
            .routers
            .values_mut()
            .filter(|managed| managed.config.interface == name)
        {
            managed.bound = None;
            managed.prepared = false;
        }
    }

    /// Tells the listener what a router takes from its interface, where that has changed, and
    /// returns what the driver and the worker of this number have to be told.
    fn bind(&mut self, key: &RouterKey) -> Option<(Plan, usize, Box<Setup>)> {
        let is_filtered = self.wanted_filter(&key.interface, key.family) == Wanted::Ebpf;
        let managed = self.routers.get_mut(key)?;
        let interface = self.interfaces.get_mut(&key.interface)?;
        if !interface.hears(key.family) {
            managed.bound = None;
            return None;
        }
        let (_, binding) = readiness::assess(&managed.config, &self.view);
        let binding = binding?;
        if managed.bound.as_ref() == Some(&binding) {
            return None;
        }
        let router = &managed.config;
        self.generation += 1;
        let can_absorb = self.filter.as_ref().is_some_and(|one| one.can_absorb());
        let absorbs = is_filtered && can_absorb && router.socket_filter_absorb;
        let advertising = routers::router_advertisements(router, &binding);
        let doorbell = advertising.as_ref().map(|ra| Arc::clone(&ra.doorbell));
        let setup = Setup {
            id: managed.id,
            generation: self.generation,
            title: routers::title(router),
            params: routers::params(router, &binding),
            message: routers::message(router, &binding),
            router_advertisements: advertising,
            port: Some(Arc::clone(&interface.port)),
            status: Arc::clone(&managed.status),
        };
        let entry = Entry {
            id: managed.id,
            worker: managed.worker,
            expect: routers::expect(router, &binding),
            status: Arc::clone(&managed.status),
            absorb: absorbs.then_some(self.generation),
            doorbell,
        };
        interface.set(router, Arc::new(entry));
        let sender = Arc::clone(&interface.port.sender);
        let plan = routers::plan(managed.id, router, &binding, sender);
        managed.bound = Some(binding);
        Some((plan, managed.worker, Box::new(setup)))
    }

    fn publish(&mut self, name: &str) {
        let Some(interface) = self.interfaces.get_mut(name) else {
            return;
        };
        if interface.is_empty() {
            // The last router has left, or none was ever bound.
            let waiting = self.routers.keys().any(|key| key.interface == name);
            if !waiting {
                self.interfaces.remove(name);
                return;
            }
        }
        let wanted = [Family::V4, Family::V6].map(|family| self.wanted_filter(name, family));
        let wanted = |family| match family {
            Family::V4 => wanted[0],
            Family::V6 => wanted[1],
        };
        let Some(interface) = self.interfaces.get_mut(name) else {
            return;
        };
        if let Err(error) = interface.publish(wanted) {
            tracing::error!("receive socket on interface {name}: {error}");
            // Deaf it would become a second Master; `retry` opens it anew.
            self.interfaces.remove(name);
            for managed in self
                .routers
                .values_mut()
                .filter(|managed| managed.config.interface == name)
            {
                managed.bound = None;
            }
        }
    }

    /// Which filter the socket of an interface and family is to have: what one of its routers does
    /// not want, none gets.
    fn wanted_filter(&self, name: &str, family: Family) -> Wanted {
        let routers = self.routers.iter();
        let here = routers.filter(|(key, _)| key.interface == name && key.family == family);
        let wanted = here.map(|(_, managed)| {
            match (
                managed.config.socket_filter,
                managed.config.socket_filter_type,
            ) {
                (false, _) => Wanted::None,
                (true, FilterType::Classic) => Wanted::Classic,
                (true, FilterType::Auto | FilterType::Ebpf) => Wanted::Ebpf,
            }
        });
        let wanted = wanted.min().unwrap_or(Wanted::Ebpf);
        wanted.on(self.view.link_by_name(name))
    }

    /// Name of the filter that the socket of an interface and family has.
    pub(super) fn filter_in_use(&self, name: &str, family: Family) -> &'static str {
        match self.wanted_filter(name, family) {
            Wanted::None => "none",
            Wanted::Ebpf if self.filter.is_some() => "ebpf",
            Wanted::Ebpf | Wanted::Classic => "classic",
        }
    }

    /// Tells a worker, and the log, why a router can or cannot run, where that has changed.
    fn tell_readiness(&mut self, key: &RouterKey) {
        let Some(managed) = self.routers.get_mut(key) else {
            return;
        };
        let (reasons, binding) = readiness::assess(&managed.config, &self.view);
        let reasons = reasons
            .with_if(
                binding.is_some() && managed.bound.is_none(),
                Reason::NoSocket,
            )
            .with_if(binding.is_some() && !managed.prepared, Reason::NotPrepared);
        if managed.reasons.replace(reasons) == Some(reasons) {
            return;
        }
        let waits_for_driver = reasons == Reason::NotPrepared.into() && !managed.failed;
        if !reasons.is_ready() && !waits_for_driver {
            tracing::info!(
                "VR {} - Waits in Init: {reasons}",
                routers::title(&managed.config)
            );
        }
        if managed.bound.is_none() {
            managed.status.publish(reasons, managed.config.priority);
        }
        let control = Control::Readiness(managed.id, reasons);
        let _ended = self.workers[managed.worker].control.send(control);
    }

    /// Takes this report and those that wait behind it, then draws the consequences of all.
    fn reported(&mut self, first: Report) {
        let mut names = BTreeSet::new();
        let mut report = Some(first);
        for _ in 0..REPORTS {
            let Some(next) = report else { break };
            match next {
                Report::Kernel(event) => {
                    self.affected(&event, &mut names);
                    if let KernelEvent::LinkGone { index, .. } = event {
                        self.close(index);
                    }
                    self.view.apply(&event);
                    self.affected(&event, &mut names);
                }
                Report::Prepared(id) => self.prepared(id, true, &mut names),
                Report::Unprepared(id, error) => {
                    self.complain(id, &error);
                    self.prepared(id, false, &mut names);
                }
                Report::Activated(id) => self.activated(id),
                Report::ActivationFailed(id, error) => {
                    tracing::error!("VR {} - Incomplete: {error}", self.title(id));
                }
                Report::Repaired(id, what) => {
                    tracing::warn!("VR {} - Put back: {what}", self.title(id));
                }
            }
            report = self.reports.try_recv().ok();
        }
        if let Some(report) = report {
            self.reported(report);
        }
        self.update(&names);
    }

    /// Tells why a router could not be prepared, once for each cause: it is tried again and again.
    fn complain(&mut self, id: RouterId, error: &driver::Error) {
        let managed = self.keys.get(&id).and_then(|key| self.routers.get_mut(key));
        let Some(managed) = managed else { return };
        let complaint = error.to_string();
        if managed.complaint != complaint {
            let title = routers::title(&managed.config);
            tracing::error!("VR {title} - Not prepared: {complaint}");
            managed.complaint = complaint;
        }
    }

    fn activated(&self, id: RouterId) {
        tracing::debug!("VR {} - Addresses are in", self.title(id));
        let key = self.keys.get(&id);
        if let Some(managed) = key.and_then(|key| self.routers.get(key)) {
            let control = &self.workers[managed.worker].control;
            let _ended = control.send(Control::Activated(id));
        }
    }

    fn prepared(&mut self, id: RouterId, prepared: bool, names: &mut BTreeSet<String>) {
        let Some(key) = self.keys.get(&id) else {
            return;
        };
        if let Some(managed) = self.routers.get_mut(key) {
            managed.prepared = prepared;
            managed.failed = !prepared;
            if prepared {
                managed.complaint.clear();
            }
            names.insert(key.interface.clone());
        }
    }

    /// Adds the interfaces with routers that an event is about.
    fn affected(&self, event: &KernelEvent, names: &mut BTreeSet<String>) {
        let index = match event {
            KernelEvent::Link(link) => link.index,
            KernelEvent::LinkGone { index, .. } => *index,
            KernelEvent::Address(address) | KernelEvent::AddressGone(address) => address.index,
            KernelEvent::RouteGone(_) => return,
            KernelEvent::Resync(..) => {
                names.extend(self.routers.keys().map(|key| key.interface.clone()));
                return;
            }
        };
        if let Some(link) = self.view.link(index)
            && self.routers.keys().any(|key| key.interface == link.name)
        {
            names.insert(link.name.clone());
        }
    }

    /// Tries again what failed.
    fn retry(&mut self) {
        let mut names = BTreeSet::new();
        for (key, managed) in &mut self.routers {
            if managed.failed
                || managed
                    .reasons
                    .is_some_and(|reasons| reasons.contains(Reason::NoSocket))
            {
                managed.bound = None;
                names.insert(key.interface.clone());
            }
        }
        for (name, interface) in &mut self.interfaces {
            let heard = interface.families();
            interface.join_again(name);
            if interface.families() != heard {
                names.insert(name.clone());
            }
        }
        if !names.is_empty() {
            self.update(&names);
        }
    }

    fn title(&self, id: RouterId) -> String {
        self.keys
            .get(&id)
            .and_then(|key| self.routers.get(key))
            .map(|managed| routers::title(&managed.config))
            .unwrap_or_default()
    }
}
