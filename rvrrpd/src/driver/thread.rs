//! The thread that owns the driver.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::herald::Herald;
use super::journal::Entry;
use super::kernel::{Batch, Kernel};
use super::monitor::Monitor;
use super::place::{self, Place, Prepare};
use super::repair::ROUND;
use super::{Absence, Command, Error, Plan, Report, RouterId, netlink};
use crate::config::model::Route;
use crate::hands::all_at_once;
use crate::net::kernel;
use crate::net::namespace::NamespaceId;
use crate::net::sys::process;
use crate::pool::LEAD;
use crate::stats::{Durations, Performance};

/// How long the driver is awake for a takeover that is near: as long as workers are before it
/// ([`pool::LEAD`](crate::pool::LEAD)), and as one takes.
const MOMENT: Duration = LEAD.saturating_add(Duration::from_micros(300));
/// Commands that are taken together at the most.
const MOST_COMMANDS: usize = 16_384;

/// The driver.
#[derive(Debug)]
pub struct Driver;

/// A running driver.
#[derive(Debug)]
pub struct DriverHandle {
    /// Its queue.
    pub commands: Sender<Command>,
    /// What hears the kernel.
    pub monitor: Monitor,
    thread: JoinHandle<Result<(), Error>>,
}

impl Driver {
    /// Takes back what a predecessor left, then starts the thread, which calls `prepare` once
    /// (scheduling), as those do that help it in many namespaces, and tells through `reports` what
    /// happens and in `performance` how long it took. `program` is the eBPF gate, or why there is
    /// none.
    ///
    /// # Errors
    /// The kernel or the journal in `run_dir` cannot be used.
    pub fn start(
        run_dir: &Path,
        reports: Sender<Report>,
        program: Result<kernel::Gate, Absence>,
        performance: Arc<Performance>,
        prepare: impl Fn() + Send + Sync + 'static,
    ) -> Result<DriverHandle, Error> {
        let prepare: Prepare = Arc::new(prepare);
        place::undo_leftovers(run_dir, &prepare);
        let mut own = Place::own(run_dir, program, reports.clone())?;
        let (commands, queue) = crossbeam_channel::unbounded();
        let monitor = Monitor::start(commands.clone(), reports.clone())
            .map_err(|error| Error::new("netlink monitor", error))?;
        let herald = Herald::start(Arc::clone(&prepare))
            .map_err(|error| Error::new("herald thread", error))?;
        own.employ(herald);
        let mut places = Places {
            run_dir: run_dir.to_owned(),
            reports,
            all: BTreeMap::from([(NamespaceId::OWN, own)]),
            homes: HashMap::new(),
            leaving: Vec::new(),
            prepare,
        };
        let thread = std::thread::Builder::new()
            .name("driver".to_owned())
            .spawn(move || {
                (places.prepare)();
                places.run(&queue, &performance.driver_latency);
                places.leave_all()
            })
            .map_err(|error| Error::new("driver thread", error))?;
        Ok(DriverHandle {
            commands,
            monitor,
            thread,
        })
    }
}

impl DriverHandle {
    /// Whether the thread has ended, which it does only when told to.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Takes everything of ours out of the kernel and ends the thread.
    ///
    /// # Errors
    /// What could not be taken out; the journal keeps it for the next start.
    pub fn shutdown(self) -> Result<(), Error> {
        let _ended = self.commands.send(Command::Shutdown);
        let panicked = |_| {
            Err(Error::new(
                "driver",
                io::Error::other("its thread panicked"),
            ))
        };
        self.thread.join().unwrap_or_else(panicked)
    }
}

/// The state of the thread.
struct Places {
    run_dir: PathBuf,
    reports: Sender<Report>,
    all: BTreeMap<NamespaceId, Place>,
    /// Which namespace each router is in.
    homes: HashMap<RouterId, NamespaceId>,
    /// Those that are to be left, before one of the same name is opened.
    leaving: Vec<Place>,
    prepare: Prepare,
}

/// What is about elections, gathered into one batch for each namespace.
#[derive(Debug, Default)]
struct Elections {
    states: BTreeMap<RouterId, bool>,
    announce: Vec<RouterId>,
}

impl Places {
    fn run(&mut self, queue: &Receiver<Command>, latency: &Durations) {
        loop {
            let next = self.all.values().flat_map(|place| {
                let round = Some(place.round);
                [place.next(), round].into_iter().flatten()
            });
            let wait = next
                .min()
                .map_or(ROUND, |next| next.saturating_duration_since(Instant::now()));
            match queue.recv_timeout(wait) {
                Ok(command) => {
                    let Some(command) = stand_by(command, queue) else {
                        continue;
                    };
                    let waiting = queue.try_iter().take(MOST_COMMANDS);
                    let begin = Instant::now();
                    if !self.carry_out([command].into_iter().chain(waiting)) {
                        return;
                    }
                    latency.observe(begin.elapsed());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_after();
        }
    }

    /// Does what is due without a command. Of what is looked at regularly only that of one
    /// namespace: elections do not wait for hundreds of them.
    fn look_after(&mut self) {
        let now = Instant::now();
        let mut round = false;
        for place in self.all.values_mut() {
            // What is doubtful wants to be looked at now, whenever it is asked.
            let is_due = place.next().is_some_and(|next| next <= Instant::now());
            let is_round = !round && place.round <= now;
            if !is_due && !is_round {
                continue;
            }
            round |= is_round;
            let worked = place.work(|kernel| {
                kernel.repeat_announcements();
                kernel.resolve_neighbours();
                kernel.look();
                if is_round {
                    kernel.look_round();
                }
            });
            if is_round {
                place.round = now + ROUND;
            }
            if let Err(error) = worked {
                tracing::error!("{error}");
            }
        }
    }

    /// Carries out commands: what is about elections is gathered into one batch for each namespace,
    /// until something else comes. False: the thread has to end.
    fn carry_out(&mut self, commands: impl Iterator<Item = Command>) -> bool {
        let mut elections: BTreeMap<NamespaceId, Elections> = BTreeMap::new();
        for command in commands {
            match command {
                Command::Activate(id) => {
                    let states = &mut elections.entry(self.home(id)).or_default().states;
                    states.insert(id, true);
                }
                Command::Deactivate(id) => {
                    let states = &mut elections.entry(self.home(id)).or_default().states;
                    states.insert(id, false);
                }
                Command::Announce(id) => {
                    let announce = &mut elections.entry(self.home(id)).or_default().announce;
                    announce.push(id);
                }
                Command::Prepare(plans) => {
                    self.settle_all(&mut elections);
                    self.prepare_all(plans);
                }
                Command::Remove(ids) => {
                    self.settle_all(&mut elections);
                    let mut leaving: BTreeMap<NamespaceId, Vec<RouterId>> = BTreeMap::new();
                    for id in ids {
                        leaving.entry(self.home(id)).or_default().push(id);
                        self.homes.remove(&id);
                    }
                    for (home, ids) in leaving {
                        self.work(home, |kernel| kernel.remove_some(&ids));
                    }
                }
                Command::StaticRoutes(routes) => {
                    self.settle_all(&mut elections);
                    self.work(NamespaceId::OWN, |kernel| {
                        kernel.replace_static_routes(routes);
                    });
                }
                Command::Kernel(home, event) => {
                    if let Some(elections) = elections.remove(&home) {
                        self.settle(home, &elections);
                    }
                    self.work(home, |kernel| kernel.notice(&event));
                }
                Command::Leave(home) => self.leaving.extend(self.all.remove(&home)),
                Command::StandBy => {}
                Command::Resign => {
                    // The first is always permitted; without the second it is as any other.
                    let _ordinary = process::schedule_other().and_then(|()| process::prefer());
                    self.prepare = Arc::new(|| {});
                }
                Command::Shutdown => return false,
            }
        }
        self.settle_all(&mut elections);
        true
    }

    /// The namespace of a router; one that is not known any more was somewhere, and is nowhere.
    fn home(&self, id: RouterId) -> NamespaceId {
        self.homes.get(&id).copied().unwrap_or(NamespaceId::OWN)
    }

    fn settle(&mut self, home: NamespaceId, elections: &Elections) {
        self.work(home, |kernel| kernel.settle(elections));
    }

    /// Carries out what has been gathered.
    fn settle_all(&mut self, elections: &mut BTreeMap<NamespaceId, Elections>) {
        if !elections.is_empty() {
            self.elect(elections);
        }
        if !self.leaving.is_empty() {
            let leaving = core::mem::take(&mut self.leaving);
            if let Err(error) = place::leave_all(leaving, &self.prepare) {
                tracing::error!("not everything was taken out of the kernel: {error}");
            }
        }
    }

    fn elect(&mut self, elections: &mut BTreeMap<NamespaceId, Elections>) {
        let places = self.all.iter_mut();
        let due = places.filter_map(|(home, place)| Some((place, elections.remove(home)?)));
        let settled = all_at_once(due.collect(), &*self.prepare, |(place, elections)| {
            place.work(|kernel| kernel.settle(&elections))
        });
        for error in settled.into_iter().filter_map(Result::err) {
            tracing::error!("{error}");
        }
        elections.clear();
    }

    fn work(&mut self, home: NamespaceId, work: impl FnOnce(&mut Kernel)) {
        let place = self.all.get_mut(&home);
        if let Some(Err(error)) = place.map(|place| place.work(work)) {
            tracing::error!("{error}");
        }
    }

    /// Makes what Backups need, and what is needed to do that in a namespace that is new.
    fn prepare_all(&mut self, plans: Vec<Plan>) {
        let jobs: Vec<_> = by_namespace(plans)
            .into_iter()
            .map(|(home, plans)| (home, self.all.remove(&home), plans))
            .collect();
        for (home, _, plans) in &jobs {
            self.homes.extend(plans.iter().map(|plan| (plan.id, *home)));
        }
        let (run_dir, reports) = (&self.run_dir, &self.reports);
        let prepared = all_at_once(jobs, &*self.prepare, |(home, place, plans)| {
            let ids: Vec<RouterId> = plans.iter().map(|plan| plan.id).collect();
            let mut place = place;
            let result = match &mut place {
                Some(place) => place.work(|kernel| kernel.prepare(plans)),
                None => open(run_dir, &plans, reports).and_then(|opened| {
                    let place = place.insert(opened);
                    place.work(|kernel| kernel.prepare(plans))
                }),
            };
            if let Err(error) = result {
                for id in ids {
                    let _ended = reports.send(Report::Unprepared(id, error.clone()));
                }
            }
            (home, place)
        });
        let places = prepared.into_iter();
        let places = places.filter_map(|(home, place)| Some((home, place?)));
        self.all.extend(places);
    }

    /// Takes back everything.
    fn leave_all(&mut self) -> Result<(), Error> {
        let mut places = core::mem::take(&mut self.leaving);
        places.extend(core::mem::take(&mut self.all).into_values());
        place::leave_all(places, &self.prepare)
    }
}

/// A command that is to be carried out. After [`Command::StandBy`] it is waited for without sleeping, for
/// a moment: to be woken takes longer than to make a router Master. The processor is left to whoever else
/// wants it.
fn stand_by(command: Command, queue: &Receiver<Command>) -> Option<Command> {
    if !matches!(command, Command::StandBy) {
        return Some(command);
    }
    let begin = Instant::now();
    while begin.elapsed() < MOMENT {
        match queue.try_recv() {
            Ok(Command::StandBy) | Err(_) => std::thread::yield_now(),
            Ok(command) => return Some(command),
        }
    }
    None
}

/// Opens the namespace that these plans are of.
fn open(run_dir: &Path, plans: &[Plan], reports: &Sender<Report>) -> Result<Place, Error> {
    let namespace = plans.iter().find_map(|plan| plan.namespace.as_ref());
    let unknown = || Error::new("network namespace", io::ErrorKind::NotFound.into());
    Place::named(namespace.ok_or_else(unknown)?, run_dir, reports.clone())
}

/// Plans by their namespaces, in their order.
fn by_namespace(plans: Vec<Plan>) -> BTreeMap<NamespaceId, Vec<Plan>> {
    let mut all: BTreeMap<NamespaceId, Vec<Plan>> = BTreeMap::new();
    for plan in plans {
        let namespace = plan.namespace.as_ref();
        let home = namespace.map_or(NamespaceId::OWN, |namespace| namespace.id);
        all.entry(home).or_default().push(plan);
    }
    all
}

impl Kernel {
    fn settle(&mut self, elections: &Elections) {
        self.elect(&elections.states);
        for id in &elections.announce {
            if let Some(router) = self.routers.get(id).filter(|router| router.active) {
                self.announcer.again(&router.plan);
            }
        }
    }

    fn remove_some(&mut self, ids: &[RouterId]) {
        if let Err(error) = self.remove(ids) {
            tracing::error!("not everything was taken out of the kernel: {error}");
        }
    }

    fn replace_static_routes(&mut self, routes: Vec<Route>) {
        let entries = routes.iter().map(super::prepare::entry);
        if let Err(error) = self.journal.record(entries) {
            tracing::error!("static routes not changed: journal: {error}");
            return;
        }
        let old = core::mem::replace(&mut self.static_routes, routes);
        let gone = old.iter().filter(|old| !self.static_routes.contains(old));
        let gone: Vec<Route> = gone.cloned().collect();
        if let Some(id) = self.routers.keys().next().copied() {
            let mut batch = Batch::default();
            if self.static_routes_in {
                for route in gone.iter().filter(|route| !self.is_active_route(route)) {
                    batch.push_route(id, route, netlink::delete_route(route));
                }
                for route in &self.static_routes {
                    batch.push_route(id, route, netlink::add_route(route));
                }
            }
            self.change_static_routes(id, &mut batch);
            for (id, error) in self.execute(batch) {
                self.report(Report::ActivationFailed(id, error));
            }
        }
        let gone = gone.iter().filter(|route| {
            self.routers
                .values()
                .all(|router| !router.plan.routes.contains(route))
        });
        let gone: Vec<Entry> = gone.map(super::prepare::entry).collect();
        if let Err(error) = self.journal.forget(|entry| gone.contains(entry)) {
            tracing::warn!("journal: {error}");
        }
    }

    fn is_active_route(&self, route: &Route) -> bool {
        self.routers
            .values()
            .any(|router| router.active && router.plan.routes.contains(route))
    }

    fn repeat_announcements(&mut self) {
        let routers = &self.routers;
        self.announcer.repeat(|id| {
            routers
                .get(&id)
                .filter(|router| router.active)
                .map(|router| &router.plan)
        });
    }
}
