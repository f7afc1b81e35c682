//! The supervisor: it alone knows the configuration, what the kernel says and which routers there
//! are, and tells the others what follows from it. It runs in the main thread.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crossbeam_channel::{Receiver, select, tick};

use super::documents::Documents;
use super::interface::{Interface, Reader, Wanted};
use super::namespaces::Namespaces;
use super::readiness::{self, Binding};
use super::signals::Signal;
use super::{realtime, reload, routers, status, threads};
use crate::api::{AtWork, Bound, Gauges, Published, Registry, Request, Snapshot};
use crate::config::model::{Config, RouterKey, Site, VirtualRouter};
use crate::driver::view::View;
use crate::driver::{
    self, Choice, Command, DriverHandle, Guard, KernelEvent, Plan, Report, RouterId,
};
use crate::events::{self, Change, Event};
use crate::fsm::{Beat, Reason, Reasons};
use crate::log::Limiter;
use crate::net::kernel::{Filter, StoppedFrames};
use crate::net::membership::Members;
use crate::net::namespace::NamespaceId;
use crate::net::sys::clock;
use crate::pool::{self, Control, Entry, Setup};
use crate::stats::{Global, Rejects, Status};
use crate::wire::verdict::Reject;
use crate::wire::{Family, Mac, Vrid};

static CONFLICT: Limiter = Limiter::new();

/// How often something that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Reports that are taken before their consequences are drawn.
const REPORTS: usize = 4096;

/// The running daemon.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) config: Arc<Config>,
    /// The texts that it comes from.
    pub(super) documents: Documents,
    pub(super) routers: BTreeMap<RouterKey, Managed>,
    pub(super) global: Arc<Global>,
    /// The network namespaces, and what the kernel says of each.
    pub(super) namespaces: Namespaces,
    pub(super) driver: DriverHandle,
    reports: Receiver<Report>,
    pub(super) workers: Vec<pool::Handle>,
    /// What they are to be told, each all at once: it is woken once for a thousand routers.
    orders: Vec<Vec<Control>>,
    pub(super) interfaces: BTreeMap<Site, Interface>,
    /// The eBPF filter; none where the kernel does not permit it.
    pub(super) filter: Option<Arc<Filter>>,
    /// What the eBPF gates have dropped, by namespace.
    pub(super) stopped: BTreeMap<NamespaceId, StoppedFrames>,
    /// The interfaces that have a gate, by namespace and index.
    pub(super) guards: BTreeMap<(NamespaceId, u32), Guarded>,
    generation: u64,
    keys: HashMap<RouterId, RouterKey>,
    /// What was told last of a router that could not be prepared.
    complaint: String,
    next_id: u32,
    /// Memory is locked, after what the start needed was given back.
    settled: bool,
    /// Much code was used once: for the start or for a reload.
    untidy: bool,
    api: Link,
    /// What is published has to be published anew.
    outdated: bool,
    /// How often the configuration was reloaded.
    pub(super) reloads: u64,
}

/// How the supervisor and the API reach each other.
#[derive(Debug)]
pub(super) struct Link {
    /// Where the supervisor publishes; none before its first word.
    pub(super) registry: Option<Arc<Registry>>,
    /// What users order.
    pub(super) requests: Receiver<Request>,
    /// What happens, to who watches.
    pub(super) events: events::Sender,
    /// What is measured.
    pub(super) gauges: Arc<Gauges>,
}

/// The gate of an interface.
#[derive(Debug)]
pub(super) struct Guarded {
    /// Name of the interface.
    pub(super) name: String,
    /// Whose the gate is.
    pub(super) guard: Guard,
    /// Programs of others that see frames before it does.
    pub(super) before: Vec<String>,
}

/// A virtual router as the supervisor sees it.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) config: Arc<VirtualRouter>,
    pub(super) status: Arc<Status>,
    /// What was published; none: it has changed since.
    pub(super) published: Option<Arc<Published>>,
    pub(super) id: RouterId,
    pub(super) worker: usize,
    /// What worker, listener and driver were told last; none: nothing yet.
    pub(super) bound: Option<Binding>,
    /// The reasons that were told last.
    pub(super) reasons: Option<Reasons>,
    /// What carries it.
    pub(super) choice: Choice,
    /// What a Backup needs is in the kernel.
    pub(super) prepared: bool,
    /// It is not, and has to be tried again.
    failed: bool,
    /// Why not, as it was told last.
    complaint: String,
}

impl Managed {
    /// The router as others are to see it.
    fn published(&mut self, at_work: AtWork) -> Arc<Published> {
        self.published.take_if(|known| known.at_work != at_work);
        let (config, status, bound) = (&self.config, &self.status, &self.bound);
        let choice = &self.choice;
        let published = self.published.get_or_insert_with(|| {
            Arc::new(Published {
                config: Arc::clone(config),
                status: Arc::clone(status),
                bound: bound.as_ref().map(|binding| Bound {
                    source: binding.source,
                    mac: binding.mac,
                }),
                choice: choice.clone(),
                at_work,
            })
        });
        Arc::clone(published)
    }
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
        documents: Documents,
        view: View,
        driver: DriverHandle,
        reports: Receiver<Report>,
        workers: Vec<pool::Handle>,
        (filter, stopped): (Option<Arc<Filter>>, Option<StoppedFrames>),
        api: Link,
    ) -> Self {
        Self {
            config: documents.config(),
            documents,
            routers: BTreeMap::new(),
            global: Arc::default(),
            namespaces: Namespaces::new(view),
            driver,
            reports,
            orders: workers.iter().map(|_| Vec::new()).collect(),
            workers,
            interfaces: BTreeMap::new(),
            filter,
            stopped: stopped
                .map(|own| (NamespaceId::OWN, own))
                .into_iter()
                .collect(),
            guards: BTreeMap::new(),
            generation: 0,
            keys: HashMap::new(),
            complaint: String::new(),
            next_id: 0,
            api,
            outdated: true,
            reloads: 0,
            settled: false,
            untidy: true,
        }
    }

    /// Starts the configured routers.
    pub(super) fn start(&mut self) {
        self.tell_driver(Command::StaticRoutes(self.config.static_routes.clone()));
        for router in self.config.vrouters.clone() {
            self.add(router);
        }
        self.follow_namespaces();
        self.update_all();
    }

    /// Where the supervisor publishes what there is to see.
    pub(super) fn registry(&mut self) -> Arc<Registry> {
        if let Some(registry) = &self.api.registry {
            return Arc::clone(registry);
        }
        let registry = Arc::new(Registry::new(self.snapshot()));
        self.api.registry = Some(Arc::clone(&registry));
        registry
    }

    /// Works until a signal ends it. `ready` is called once all that was reported at the start
    /// has been dealt with.
    pub(super) fn run(&mut self, signals: &Receiver<Signal>, context: &mut super::Context) -> End {
        let retries = tick(RETRY);
        loop {
            let look = self.namespaces.next_look();
            select! {
                recv(look) -> _ => self.look_at_namespaces(),
                recv(signals) -> signal => match signal {
                    Ok(Signal::Terminate) | Err(_) => return End::Requested,
                    Ok(Signal::Reload) => {
                        // One reload serves for all requests that came until now.
                        while signals.try_recv().is_ok_and(|signal| match signal {
                            Signal::Reload => true,
                            other => { context.postponed.push(other); false }
                        }) {}
                        // What is wrong was logged: nobody else asked.
                        let _logged = reload::reload(self, context);
                    }
                    Ok(other) => context.postponed.push(other),
                },
                recv(self.reports) -> report => match report {
                    Ok(report) => self.reported(report),
                    Err(_) => return End::DriverLost,
                },
                recv(self.api.requests) -> request => match request {
                    Ok(request) => self.obey(request, context),
                    // The API is gone, and with it who could order.
                    Err(_) => self.api.requests = crossbeam_channel::never(),
                },
                recv(retries) -> _ => {
                    if self.driver.is_finished() {
                        return End::DriverLost;
                    }
                    self.settle();
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
        drop(self.namespaces);
        result
    }

    /// Takes a new router under supervision. It is told to nobody before [`Self::update`].
    pub(super) fn add(&mut self, router: Arc<VirtualRouter>) {
        let id = RouterId(self.next_id);
        self.next_id += 1;
        let key = router.key();
        self.keys.insert(id, key.clone());
        let worker = self.worker_of(&router);
        let status = Arc::<Status>::default();
        status.identify(routers::identity(&router));
        self.api.events.push(&status, Change::Added);
        self.outdated = true;
        self.routers.insert(
            key,
            Managed {
                choice: routers::choice(router.iftype),
                config: router,
                status,
                published: None,
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

    /// The worker of a virtual router: those of one interface that advertise at the same moment have the
    /// same one, so that one of them is woken for it (`fsm::Beat`).
    fn worker_of(&self, router: &VirtualRouter) -> usize {
        let names = router.netns.iter().chain([&router.interface]);
        let interface: usize = names.flat_map(|name| name.bytes().map(usize::from)).sum();
        let group = usize::from(router.vrid.number()) % Beat::OF_INTERFACE;
        (interface + group) % self.workers.len().max(1)
    }

    /// Gives a router a new configuration; it keeps its state.
    pub(super) fn change(&mut self, router: Arc<VirtualRouter>) {
        if let Some(managed) = self.routers.get_mut(&router.key()) {
            managed.status.identify(routers::identity(&router));
            managed.config = router;
            managed.bound = None;
            managed.published = None;
            self.outdated = true;
            self.api.events.push(&managed.status, Change::Configured);
        }
    }

    /// Lets routers leave. When this returns their last advertisements have left.
    pub(super) fn remove(&mut self, keys: &[RouterKey]) {
        let mut leaving = vec![Vec::new(); self.workers.len()];
        let mut gone = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(managed) = self.routers.remove(key) else {
                continue;
            };
            self.keys.remove(&managed.id);
            leaving[managed.worker].push(managed.id);
            gone.push(managed.status);
            if let Some(interface) = self.interfaces.get_mut(&key.site()) {
                interface.remove(key.family, key.vrid);
            }
        }
        self.let_go(leaving);
        self.outdated |= !gone.is_empty();
        for status in gone {
            self.api.events.push(&status, Change::Removed);
        }
        let sites: BTreeSet<Site> = keys.iter().map(RouterKey::site).collect();
        for site in sites {
            self.publish(&site);
        }
    }

    /// Lets the routers of each worker leave it. When this returns their last advertisements have
    /// left.
    pub(super) fn let_go(&mut self, leaving: Vec<Vec<RouterId>>) {
        self.tell_workers();
        let (left, all_left) = crossbeam_channel::unbounded();
        for (worker, ids) in self.workers.iter().zip(leaving) {
            if !ids.is_empty() {
                let _ended = worker.control.send(Control::Remove(ids, left.clone()));
            }
        }
        drop(left);
        // Ends when every worker has dropped its end.
        for () in all_left {}
    }

    /// Draws the consequences for every router.
    pub(super) fn update_all(&mut self) {
        let sites = self.routers.keys().map(RouterKey::site).collect();
        self.update(&sites);
    }

    /// Draws the consequences for the routers on these interfaces.
    pub(super) fn update(&mut self, sites: &BTreeSet<Site>) {
        let (mut plans, mut setups) = (Vec::new(), Vec::new());
        let keys = self.keys_at(sites);
        for (site, keys) in &keys {
            self.open(site);
            for key in keys {
                if let Some((plan, worker, setup)) = self.bind(key) {
                    plans.push(plan);
                    setups.push((worker, setup));
                }
            }
            self.publish(site);
        }
        if !plans.is_empty() {
            self.tell_driver(Command::Prepare(plans));
        }
        // After the driver: what a worker does at once, as an owner that becomes Master, it has to
        // do by the new plan.
        for (worker, setup) in setups {
            self.orders[worker].push(Control::Set(setup));
        }
        // Only now: a router starts when all that it needs has been told.
        for key in keys.values().flatten() {
            self.tell_readiness(key);
        }
        self.tell_workers();
        self.publish_snapshot();
    }

    /// Passes on what the workers are to be told, in its order.
    fn tell_workers(&mut self) {
        for (worker, orders) in self.workers.iter().zip(&mut self.orders) {
            if !orders.is_empty() {
                let several = Control::Several(core::mem::take(orders));
                let _ended = worker.control.send(several);
            }
        }
    }

    /// From now on what these texts say runs; [`Self::update`] is to follow.
    pub(super) fn configured(&mut self, documents: Documents) {
        self.config = documents.config();
        self.documents = documents;
        self.outdated = true;
        self.untidy = true;
    }

    /// Shows the API what has changed since it was shown last.
    fn publish_snapshot(&mut self) {
        if let Some(registry) = self.api.registry.clone()
            && self.outdated
        {
            registry.publish(self.snapshot());
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        self.outdated = false;
        let at_work = self.at_work();
        let keys = self.config.vrouters.iter().map(|router| router.key());
        let routers = keys.filter_map(|key| {
            let managed = self.routers.get_mut(&key)?;
            let at_work = at_work.get(&managed.id).copied().unwrap_or_default();
            Some(managed.published(at_work))
        });
        Snapshot {
            routers: routers.collect(),
            config: Arc::clone(&self.config),
            global: Arc::clone(&self.global),
            filter: self.filter.clone(),
            gauges: Arc::clone(&self.api.gauges),
            reloads: self.reloads,
        }
    }

    /// The routers on these interfaces.
    fn keys_at(&self, sites: &BTreeSet<Site>) -> BTreeMap<Site, Vec<RouterKey>> {
        let mut all: BTreeMap<Site, Vec<RouterKey>> = sites
            .iter()
            .map(|site| (site.clone(), Vec::new()))
            .collect();
        for key in self.routers.keys() {
            if let Some(keys) = all.get_mut(&key.site()) {
                keys.push(key.clone());
            }
        }
        all
    }

    /// Number of interfaces that virtual routers are configured on (RFC 8347 `interfaces`).
    pub(super) fn used_interfaces(&self) -> usize {
        let sites: BTreeSet<Site> = self.routers.keys().map(RouterKey::site).collect();
        sites.len()
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
    fn open(&mut self, site: &Site) {
        let view = self.namespaces.view(site.netns.as_deref());
        let link = view.and_then(|view| view.link_by_name(&site.interface));
        let index = link.map(|link| link.index);
        let families: BTreeSet<Family> = self
            .routers
            .keys()
            .filter(|key| key.is_at(site))
            .map(|key| key.family)
            .collect();
        let known = self.interfaces.get_mut(site);
        let is_same = known.as_ref().map(|interface| interface.port.index) == index;
        if is_same {
            let Some(known) = known else { return };
            let could_hear = self.namespaces.enter(site.netns.as_deref(), || {
                known.join_again(&Members::read());
                families.iter().any(|family| known.could_hear(*family))
            });
            // A family that the interface lacks is no reason to disturb the other one.
            if !matches!(could_hear, Ok(true)) {
                return;
            }
        }
        if !is_same {
            self.interfaces.remove(site);
        }
        self.unbind(site, is_same);
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
        let (global, filter) = (&self.global, self.filter.as_ref());
        let opened = match &site.netns {
            None => {
                let (global, reader) = (Arc::clone(global), Reader::Alone(prepare));
                Interface::open(site, index, &families, workers, global, filter, reader)
            }
            // Before the namespace is entered: the thread belongs to no one namespace.
            Some(_) => self.namespaces.listener(prepare).and_then(|listener| {
                self.namespaces.enter(site.netns.as_deref(), || {
                    let reader: Reader<'_, fn()> = Reader::Shared(&listener);
                    let global = Arc::clone(global);
                    Interface::open(site, index, &families, workers, global, filter, reader)
                })?
            }),
        };
        match opened {
            Ok(interface) => {
                self.interfaces.insert(site.clone(), interface);
            }
            Err(error) => tracing::error!("sockets on interface {site}: {error}"),
        }
    }

    /// Closes the sockets of an interface that is gone, also where another one with the same name
    /// and index has come before anybody looked.
    fn close(&mut self, netns: Option<&str>, index: u32) {
        let gone = self.interfaces.iter().find(|(site, interface)| {
            interface.port.index == index && site.netns.as_deref() == netns
        });
        let Some(site) = gone.map(|(site, _)| site.clone()) else {
            return;
        };
        self.interfaces.remove(&site);
        self.unbind(&site, false);
    }

    /// What the routers of an interface took from it is not to be used any more.
    fn unbind(&mut self, site: &Site, stays_prepared: bool) {
        for (key, managed) in &mut self.routers {
            if key.is_at(site) {
                managed.bound = None;
                managed.published = None;
                self.outdated = true;
                managed.prepared &= stays_prepared;
            }
        }
    }

    /// Tells the listener what a router takes from its interface, where that has changed, and
    /// returns what the driver and the worker of this number have to be told.
    fn bind(&mut self, key: &RouterKey) -> Option<(Plan, usize, Box<Setup>)> {
        let site = key.site();
        let is_filtered = self.wanted_filter(&site, key.family) == Wanted::Ebpf;
        let managed = self.routers.get_mut(key)?;
        let interface = self.interfaces.get_mut(&site)?;
        if !interface.hears(key.family) {
            managed.bound = None;
            return None;
        }
        let view = self.namespaces.view(key.netns.as_deref());
        let (_, binding) = readiness::assess(&managed.config, view);
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
            router_advertisements: advertising.map(Box::new),
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
        let namespace = self.namespaces.handle(key.netns.as_deref());
        let plan = routers::plan(managed.id, router, &binding, namespace, sender);
        managed.bound = Some(binding);
        managed.published = None;
        self.outdated = true;
        Some((plan, managed.worker, Box::new(setup)))
    }

    fn publish(&mut self, site: &Site) {
        let Some(interface) = self.interfaces.get_mut(site) else {
            return;
        };
        if interface.is_empty() {
            // The last router has left, or none was ever bound.
            let waiting = self.routers.keys().any(|key| key.is_at(site));
            if !waiting {
                self.interfaces.remove(site);
                return;
            }
        }
        let wanted = [Family::V4, Family::V6].map(|family| self.wanted_filter(site, family));
        let wanted = |family| match family {
            Family::V4 => wanted[0],
            Family::V6 => wanted[1],
        };
        let Some(interface) = self.interfaces.get_mut(site) else {
            return;
        };
        let netns = site.netns.as_deref();
        let published = self
            .namespaces
            .enter(netns, || interface.publish(wanted))
            .and_then(|published| published);
        if let Err(error) = published {
            tracing::error!("receive socket on interface {site}: {error}");
            // Deaf it would become a second Master; `retry` opens it anew.
            self.interfaces.remove(site);
            self.unbind(site, true);
        }
    }

    /// Tells a worker, and the log, why a router can or cannot run, where that has changed.
    pub(super) fn tell_readiness(&mut self, key: &RouterKey) {
        let Some(managed) = self.routers.get_mut(key) else {
            return;
        };
        let view = self.namespaces.view(key.netns.as_deref());
        let (reasons, binding) = readiness::assess(&managed.config, view);
        let reasons = reasons
            .with_if(
                binding.is_some() && managed.bound.is_none(),
                Reason::NoSocket,
            )
            .with_if(binding.is_some() && !managed.prepared, Reason::NotPrepared)
            .with_if(
                binding.is_some() && managed.choice.plane.is_none() && managed.choice.why.is_some(),
                Reason::NoEbpf,
            );
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
            let before = managed.status.condition();
            managed.status.publish(reasons, managed.config.priority);
            // What it took from its interface is gone.
            managed.published = None;
            self.outdated = true;
            let change = Change::Condition(None);
            let events = &self.api.events;
            events.send(Event::since(&managed.status, change, before));
        }
        let control = Control::Readiness(managed.id, reasons);
        self.orders[managed.worker].push(control);
    }

    /// Takes this report and those that wait behind it, then draws the consequences of all.
    fn reported(&mut self, first: Report) {
        let mut sites = BTreeSet::new();
        let mut report = Some(first);
        for _ in 0..REPORTS {
            let Some(next) = report else { break };
            match next {
                Report::Kernel(id, event) => self.happened(id, &event, &mut sites),
                Report::Mounts => self.namespaces.look_soon(),
                Report::Prepared(id) => self.prepared(id, true, &mut sites),
                Report::Unprepared(id, error) => {
                    self.complain(id, &error);
                    self.prepared(id, false, &mut sites);
                }
                Report::Activated(id) => self.activated(id),
                Report::ActivationFailed(id, error) => {
                    tracing::error!("VR {} - Incomplete: {error}", self.title(id));
                }
                Report::Repaired(id, what) => {
                    tracing::warn!("VR {} - Put back: {what}", self.title(id));
                }
                Report::Chosen(id, choice) => self.chosen(id, choice, &mut sites),
                Report::Conflict(id, address, mac, count) => self.conflict(id, address, mac, count),
                Report::Loaded(id, stopped) => {
                    self.stopped.insert(id, stopped);
                }
                Report::Guarded(id, index, name, guard, before) => {
                    let guarded = Guarded {
                        name,
                        guard,
                        before,
                    };
                    self.guards.insert((id, index), guarded);
                    self.outdated = true;
                }
                Report::Unguarded(id, index) => {
                    self.guards.remove(&(id, index));
                    self.outdated = true;
                }
            }
            report = self.reports.try_recv().ok();
        }
        if let Some(report) = report {
            self.reported(report);
        }
        self.update(&sites);
    }

    /// Tells why a router could not be prepared, once for each cause: it is tried again and again.
    fn complain(&mut self, id: RouterId, error: &driver::Error) {
        let managed = self.keys.get(&id).and_then(|key| self.routers.get_mut(key));
        let Some(managed) = managed else { return };
        let complaint = error.to_string();
        if managed.complaint != complaint {
            let title = routers::title(&managed.config);
            // Of an interface without eBPF all its routers complain.
            if self.complaint == complaint {
                tracing::debug!("VR {title} - Not prepared: {complaint}");
            } else {
                tracing::error!("VR {title} - Not prepared: {complaint}");
            }
            self.complaint.clone_from(&complaint);
            managed.complaint = complaint;
        }
    }

    /// Takes note of what carries a router.
    fn chosen(&mut self, id: RouterId, choice: Choice, sites: &mut BTreeSet<Site>) {
        let Some(key) = self.keys.get(&id) else {
            return;
        };
        if let Some(managed) = self.routers.get_mut(key)
            && managed.choice != choice
        {
            managed.choice = choice;
            managed.published = None;
            self.outdated = true;
            sites.insert(key.site());
        }
    }

    /// Somebody else says that he has a virtual address of an active router.
    fn conflict(&self, id: RouterId, address: IpAddr, mac: Mac, count: u64) {
        let managed = self.keys.get(&id).and_then(|key| self.routers.get(key));
        let Some(managed) = managed else { return };
        managed.status.address_conflicts.add(count);
        if let Some(suppressed) = CONFLICT.allow(clock::monotonic().as_micros()) {
            tracing::warn!(
                "VR {} - Somebody else says that he has {address}: {mac} on interface {}, in {count} \
                 packets{suppressed}",
                routers::title(&managed.config),
                managed.config.site()
            );
        }
    }

    fn activated(&mut self, id: RouterId) {
        tracing::debug!("VR {} - Addresses are in", self.title(id));
        let key = self.keys.get(&id);
        if let Some(managed) = key.and_then(|key| self.routers.get(key)) {
            self.orders[managed.worker].push(Control::Activated(id));
        }
    }

    fn prepared(&mut self, id: RouterId, prepared: bool, sites: &mut BTreeSet<Site>) {
        let Some(key) = self.keys.get(&id) else {
            return;
        };
        if let Some(managed) = self.routers.get_mut(key) {
            managed.prepared = prepared;
            managed.failed = !prepared;
            if prepared {
                managed.complaint.clear();
            }
            sites.insert(key.site());
        }
    }

    /// Follows what has happened in a network namespace.
    fn happened(&mut self, id: NamespaceId, event: &KernelEvent, sites: &mut BTreeSet<Site>) {
        // One that has been let go of meanwhile.
        let Some(netns) = self.namespaces.name_of(id) else {
            return;
        };
        let netns = netns.as_deref();
        self.affected(netns, event, sites);
        if let KernelEvent::LinkGone { index, .. } = event {
            self.close(netns, *index);
        }
        if let Some(view) = self.namespaces.view_mut(netns) {
            view.apply(event);
        }
        self.affected(netns, event, sites);
    }

    /// Adds the interfaces with routers that an event is about.
    fn affected(&self, netns: Option<&str>, event: &KernelEvent, sites: &mut BTreeSet<Site>) {
        let index = match event {
            KernelEvent::Link(link) => link.index,
            KernelEvent::LinkGone { index, .. } => *index,
            KernelEvent::Address(address) | KernelEvent::AddressGone(address) => address.index,
            KernelEvent::RouteGone(_) => return,
            KernelEvent::Resync(..) => {
                let of_it = self.routers.keys();
                let of_it = of_it.filter(|key| key.netns.as_deref() == netns);
                sites.extend(of_it.map(RouterKey::site));
                return;
            }
        };
        let view = self.namespaces.view(netns);
        if let Some(link) = view.and_then(|view| view.link(index)) {
            let site = Site {
                netns: netns.map(str::to_owned),
                interface: link.name.clone(),
            };
            if self.is_used(&site) {
                sites.insert(site);
            }
        }
    }

    /// The start, which reads the kernel's types and makes a thousand interfaces, needs more memory
    /// than anything later. Only when that is given back the rest is locked: locked pages stay.
    fn settle(&mut self) {
        if core::mem::take(&mut self.untidy) {
            realtime::give_back_code();
        }
        if core::mem::replace(&mut self.settled, true) {
            return;
        }
        realtime::give_back_memory();
        if self.config.global.realtime
            && let Err(error) = realtime::lock_memory()
        {
            tracing::warn!("memory not locked, so that swapping can delay advertisements: {error}");
        }
    }

    /// Whether a virtual router is configured on this interface. It is asked for each event of a
    /// thousand macvlans, so it looks at one router.
    fn is_used(&self, site: &Site) -> bool {
        let lowest = RouterKey {
            netns: site.netns.clone(),
            interface: site.interface.clone(),
            family: Family::V4,
            vrid: Vrid::MIN,
        };
        let mut from = self.routers.range(lowest..);
        from.next().is_some_and(|(key, _)| key.site() == *site)
    }

    /// Tries again what failed.
    fn retry(&mut self) {
        self.look_at_namespaces();
        let mut sites = BTreeSet::new();
        for (key, managed) in &mut self.routers {
            if managed.failed
                || managed
                    .reasons
                    .is_some_and(|reasons| reasons.contains(Reason::NoSocket))
            {
                managed.bound = None;
                sites.insert(key.site());
            }
        }
        let mut members = None;
        for (site, interface) in &mut self.interfaces {
            let netns = site.netns.as_deref();
            // The interfaces of a namespace follow each other.
            if members.as_ref().is_none_or(|(of, _)| *of != netns) {
                members = Some((netns, self.namespaces.enter(netns, Members::read)));
            }
            let heard = interface.families();
            let joined = match &members {
                Some((_, Ok(members))) => self
                    .namespaces
                    .enter(netns, || interface.join_again(members))
                    .is_ok(),
                _ => false,
            };
            if !joined || interface.families() != heard {
                sites.insert(site.clone());
            }
        }
        if !sites.is_empty() {
            self.update(&sites);
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
