//! The thread that owns the driver.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::gate::Gate;
use super::journal::{Entry, Journal};
use super::kernel::{Batch, Kernel};
use super::netlink::{self, Netlink};
use super::repair::ROUND;
use super::{Command, Error, Report, RouterId, monitor, undo};
use crate::config::model::Route;
use crate::stats::{Durations, Performance};

/// Commands that are taken together at the most.
const MOST_COMMANDS: usize = 16_384;
/// Name of the nftables tables.
const TABLE: &str = "rvrrpd";

/// The driver of one network namespace.
#[derive(Debug)]
pub struct Driver;

/// A running driver.
#[derive(Debug)]
pub struct DriverHandle {
    /// Its queue.
    pub commands: Sender<Command>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Driver {
    /// Takes back what a predecessor left, then starts the thread, which calls `prepare` once
    /// (scheduling), tells through `reports` what happens and in `performance` how long it took.
    ///
    /// # Errors
    /// The kernel or the journal in `run_dir` cannot be used.
    pub fn start(
        run_dir: &Path,
        reports: Sender<Report>,
        performance: Arc<Performance>,
        prepare: impl FnOnce() + Send + 'static,
    ) -> Result<DriverHandle, Error> {
        let (mut journal, left) = open_journal(run_dir)?;
        let mut netlink = Netlink::open().map_err(|error| Error::new("netlink", error))?;
        undo::undo(&mut netlink, &left)
            .and_then(|()| journal.forget(|_| true))
            .map_err(|error| Error::new("clean-up after a predecessor", error))?;
        let group =
            undo::free_group(&mut netlink).map_err(|error| Error::new("list of links", error))?;
        let gate = open_gate(&mut journal)?;
        let (commands, queue) = crossbeam_channel::unbounded();
        monitor::start(commands.clone(), reports.clone())
            .map_err(|error| Error::new("netlink monitor", error))?;
        let kernel = Kernel::new(netlink, gate, journal, group, reports)
            .map_err(|error| Error::new("ioctl socket", error))?;
        let thread = std::thread::Builder::new()
            .name("driver".to_owned())
            .spawn(move || {
                prepare();
                run(kernel, &queue, &performance.driver_latency)
            })
            .map_err(|error| Error::new("driver thread", error))?;
        Ok(DriverHandle { commands, thread })
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

fn open_journal(run_dir: &Path) -> Result<(Journal, Vec<Entry>), Error> {
    let opened = Journal::open(run_dir).or_else(|error| {
        if error.kind() != io::ErrorKind::InvalidData {
            return Err(error);
        }
        tracing::error!("what a predecessor left cannot be known: {error}");
        Journal::open(run_dir)
    });
    opened.map_err(|error| Error::new(format!("journal in {}", run_dir.display()), error))
}

/// The gate; under another name where another daemon with another runtime directory has it.
fn open_gate(journal: &mut Journal) -> Result<Gate, Error> {
    let mut open = |name: &str| {
        journal.record([Entry::Table {
            name: name.to_owned(),
        }])?;
        Gate::new(name)
    };
    open(TABLE)
        .or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => open(&format!("{TABLE}_{}", std::process::id())),
            _ => Err(error),
        })
        .map_err(|error| Error::new("gate", error))
}

fn run(mut kernel: Kernel, queue: &Receiver<Command>, latency: &Durations) -> Result<(), Error> {
    let mut round = Instant::now() + ROUND;
    loop {
        let next = [
            kernel.announcer.next(),
            kernel.resolver.next(),
            kernel.next_look(),
            Some(round),
        ];
        let next = next.into_iter().flatten().min().unwrap_or(round);
        let wait = next.saturating_duration_since(Instant::now());
        match queue.recv_timeout(wait) {
            Ok(command) => {
                let waiting = queue.try_iter().take(MOST_COMMANDS);
                let begin = Instant::now();
                if !kernel.carry_out([command].into_iter().chain(waiting)) {
                    return kernel.remove_all();
                }
                latency.observe(begin.elapsed());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return kernel.remove_all(),
        }
        kernel.repeat_announcements();
        kernel.resolve_neighbours();
        kernel.look();
        if Instant::now() >= round {
            kernel.look_round();
            round = Instant::now() + ROUND;
        }
    }
}

impl Kernel {
    /// Carries out commands: what is about elections is gathered into one batch, everything else
    /// ends the batch. False: the thread has to end.
    fn carry_out(&mut self, commands: impl Iterator<Item = Command>) -> bool {
        let mut elections = BTreeMap::new();
        let mut announce = Vec::new();
        for command in commands {
            match command {
                Command::Activate(id) => {
                    elections.insert(id, true);
                    continue;
                }
                Command::Deactivate(id) => {
                    elections.insert(id, false);
                    continue;
                }
                Command::Announce(id) => {
                    announce.push(id);
                    continue;
                }
                _ => {}
            }
            self.settle(&mut elections, &mut announce);
            match command {
                Command::Prepare(plans) => self.prepare(plans),
                Command::Remove(ids) => self.remove_some(&ids),
                Command::StaticRoutes(routes) => self.replace_static_routes(routes),
                Command::Kernel(event) => self.notice(&event),
                Command::Shutdown => return false,
                Command::Activate(_) | Command::Deactivate(_) | Command::Announce(_) => {}
            }
        }
        self.settle(&mut elections, &mut announce);
        true
    }

    fn settle(&mut self, elections: &mut BTreeMap<RouterId, bool>, announce: &mut Vec<RouterId>) {
        self.elect(elections);
        elections.clear();
        for id in announce.drain(..) {
            if let Some(router) = self.routers.get(&id).filter(|router| router.active) {
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
