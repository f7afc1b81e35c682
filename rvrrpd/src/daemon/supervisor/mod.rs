//! The supervisor: it alone knows the configuration, what the kernel says and which routers there
//! are, and tells the others what follows from it. It runs in the main thread.

mod managed;
mod published;
mod reports;
mod sockets;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crossbeam_channel::{Receiver, select, tick};

use super::documents::Documents;
use super::interface::Interface;
use super::namespaces::Namespaces;
use super::signals::Signal;
use super::{readiness, realtime, reload, routers, status, threads};
use crate::api::{Gauges, Registry, Request};
use crate::config::model::{Config, RouterKey, Site, VirtualRouter};
use crate::driver::view::View;
use crate::driver::{self, Command, DriverHandle, Report, RouterId};
use crate::events::{self, Change, Event};
use crate::fsm::{Beat, Reason};
use crate::hands::all_at_once;
use crate::net::kernel::{Filter, StoppedFrames};
use crate::net::membership::Members;
use crate::net::namespace::NamespaceId;
use crate::pool::{self, Control};
use crate::stats::{Global, Status};

pub(super) use managed::{Guarded, Managed};

/// How often something that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How often group memberships are looked at after a change of an interface: what the kernel forgets
/// with it may be gone a moment later.
const DOUBT: u32 = 2;
/// Every which round group memberships are looked at in any case, a minute: others who join the same
/// groups on the same interface can take ours along, and nothing tells of that.
const DOUBT_AT_LEAST: u32 = 12;

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
    /// Rounds since something of an interface has changed, for its group memberships.
    calm: u32,
    api: Link,
    /// What is published has to be published anew.
    pub(super) outdated: bool,
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
            calm: 0,
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
                    self.retry();
                    self.settle();
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
        if self.config.global.realtime {
            // The first worker that is woken would keep this thread from waking the others, and their
            // Masters from resigning. Not permitted, it stays as it is.
            let _told_before = realtime::thread(threads::STOP);
        }
        self.tell_driver(Command::Resign);
        for worker in &self.workers {
            worker.mailbox.tell(Control::Stop);
        }
        for worker in self.workers {
            worker.join();
        }
        let result = self.driver.shutdown();
        all_at_once(self.interfaces.into_values().collect(), &|| {}, drop);
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
        let mut left = Vec::new();
        for (worker, ids) in self.workers.iter().zip(leaving) {
            if !ids.is_empty() {
                worker.mailbox.tell(Control::Remove(ids));
                left.push(worker);
            }
        }
        wait_for(left);
    }

    /// Returns when the workers have done what they were told, and have told what followed.
    pub(super) fn wait_for_workers(&self) {
        wait_for(&self.workers);
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
        let is_new = |site: &&Site| !self.interfaces.contains_key(*site);
        let new: BTreeSet<Site> = keys.keys().filter(is_new).cloned().collect();
        for (site, keys) in &keys {
            self.open(site);
            for key in keys {
                if let Some((plan, worker, setup)) = self.bind(key) {
                    plans.push(plan);
                    setups.push((worker, setup));
                }
            }
            // Routers that run are deaf until then, should their sockets have been opened anew.
            if !new.contains(site) {
                self.publish(site);
            }
        }
        // After the sockets, which the kernel would let wait for the gates; while it attaches these,
        // the rest is done here.
        if !plans.is_empty() {
            self.tell_driver(Command::Prepare(plans));
        }
        for site in &new {
            self.publish(site);
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
                worker.mailbox.tell(several);
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

    pub(super) fn tell_driver(&self, command: Command) {
        // A driver that is gone is noticed by its reports.
        let _ended = self.driver.commands.send(command);
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
        self.join_again(&mut sites);
        if !sites.is_empty() {
            self.update(&sites);
        }
    }

    /// Joins the groups again that the kernel has forgotten with a change of an interface, and adds
    /// the interfaces that hear another family now. With a thousand macvlans the lists of groups are
    /// long, and while nothing changes they are seldom read.
    fn join_again(&mut self, sites: &mut BTreeSet<Site>) {
        let calm = self.calm;
        self.calm = calm.wrapping_add(1);
        if calm >= DOUBT && !calm.is_multiple_of(DOUBT_AT_LEAST) {
            return;
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
    }

    fn title(&self, id: RouterId) -> String {
        self.keys
            .get(&id)
            .and_then(|key| self.routers.get(key))
            .map(|managed| routers::title(&managed.config))
            .unwrap_or_default()
    }
}

/// Returns when these have done what they were told, and have told what followed.
fn wait_for<'a>(workers: impl IntoIterator<Item = &'a pool::Handle>) {
    let (done, all_done) = crossbeam_channel::unbounded();
    for worker in workers {
        worker.mailbox.tell(Control::Fence(done.clone()));
    }
    drop(done);
    // Ends when every worker has dropped its end.
    for () in all_done {}
}
