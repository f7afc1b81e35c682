//! The daemon: start order, signals, reload, orderly stop.
//!
//! ```text
//!  signals ─┐                       ┌─▶ workers (control)
//!           ├─▶ supervisor (main) ──┤
//!  driver ──┘   configuration,      ├─▶ driver (plans)
//!  (reports)    view, readiness     └─▶ interfaces (tables, filters)
//! ```

mod at_work;
mod documents;
mod interface;
mod namespaces;
mod orders;
pub mod privilege;
mod readiness;
pub mod realtime;
mod reload;
mod routers;
pub mod run_dir;
mod signals;
mod status;
mod supervisor;
mod threads;
pub mod unix;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::api::{self, Gauges};
use crate::config::Format;
use crate::config::edit::Document;
use crate::config::model::{Config, FilterType, InterfaceType, VirtualRouter};
use crate::driver::view::View;
use crate::driver::{Absence, Driver, KernelEvent};
use crate::net::kernel::{Filter, Gate, Kernel, Loader, Part};
use crate::net::sys::process;
use crate::stats::Performance;
use crate::{driver, events, log, pool};
use documents::Documents;
use signals::Signal;
use supervisor::{End, Link, Supervisor};

/// Worker threads where the configuration names no number.
const MOST_DEFAULT_WORKERS: usize = 4;

/// What the daemon needs beyond its configuration.
#[derive(Debug)]
pub struct Context {
    /// Configuration file, an absolute path.
    pub conf: PathBuf,
    /// Its format.
    pub format: Format,
    /// Debug level of the command line.
    pub debug: Option<u8>,
    /// Directory that the daemon was started in.
    pub base: PathBuf,
    /// Runtime directory, held by this process.
    pub run_dir: run_dir::RunDir,
    /// The log.
    pub log: log::Handle,
    /// What is to load the eBPF programs, where somebody had time to begin.
    pub loader: Option<Loader>,
    postponed: Vec<Signal>,
}

impl Context {
    /// A context.
    #[must_use]
    pub const fn new(
        conf: PathBuf,
        format: Format,
        debug: Option<u8>,
        base: PathBuf,
        run_dir: run_dir::RunDir,
        log: log::Handle,
    ) -> Self {
        Self {
            conf,
            format,
            debug,
            base,
            run_dir,
            log,
            loader: None,
            postponed: Vec::new(),
        }
    }
}

/// Why the daemon could not run or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A thread or a signal handler cannot be made.
    #[error("{0}: {1}")]
    Start(&'static str, #[source] std::io::Error),
    /// The kernel cannot be changed or watched.
    #[error(transparent)]
    Driver(#[from] driver::Error),
    /// The thread of the driver ended.
    #[error("the driver ended unexpectedly")]
    DriverLost,
}

/// Runs the virtual routers of the configuration file `document` until a signal ends the daemon. `ready` is called once
/// everything has been started.
///
/// # Errors
/// The daemon cannot start, has lost its driver, or could not take back all that it had put into
/// the kernel.
pub fn run(document: Document, mut context: Context, ready: impl FnOnce()) -> Result<(), Error> {
    let documents = Documents::new(document);
    let config = documents.config();
    // First of all, so that from here on a signal ends the daemon in order.
    let signals = signals::receive().map_err(|error| Error::Start("signal handlers", error))?;
    let (filter, gate) = load_programs(&config, context.loader.take());
    let stopped = gate.as_ref().ok().map(|gate| gate.stopped().clone());
    let (reports, incoming) = crossbeam_channel::unbounded();
    let prepare = threads::prepare(config.global.realtime, threads::DRIVER);
    let performance = Arc::<Performance>::default();
    let driver = Driver::start(
        context.run_dir.path(),
        reports,
        gate,
        Arc::clone(&performance),
        prepare,
    )?;
    if let Err(error) = process::raise_descriptor_limit() {
        tracing::warn!("limit of descriptors: {error}");
    }
    let mut view = View::default();
    let (links, addresses) = driver::snapshot().map_err(|error| Error::Start("netlink", error))?;
    view.apply(&KernelEvent::Resync(links, addresses));
    let (events, happening) = events::queue();
    if config.api.is_some() {
        // From the first on: the thread that reads them may be late.
        happening.watch();
    }
    let workers = start_workers(&config, &driver, &events, &performance)?;
    let (orders, requests) = crossbeam_channel::bounded(api::QUEUE);
    let gauges = Gauges {
        started: SystemTime::now(),
        performance,
        workers: workers.iter().map(|one| one.mailbox.clone()).collect(),
        driver: driver.commands.clone(),
        conf: context.conf.clone(),
        run_dir: context.run_dir.path().to_owned(),
    };
    let link = Link {
        registry: None,
        requests,
        events,
        gauges: Arc::new(gauges),
    };
    let mut supervisor = Supervisor::new(
        documents,
        view,
        driver,
        incoming,
        workers,
        (filter, stopped),
        link,
    );
    supervisor.start();
    let api = api::Handle::start(supervisor.registry(), orders, happening, &context.run_dir)
        .inspect_err(|error| tracing::error!("no Client API and no rvrrpadm: {error}"))
        .ok();
    tracing::info!("rVRRPd (v{}) daemon started", env!("CARGO_PKG_VERSION"));
    ready();
    let end = supervisor.run(&signals, &mut context);
    if end == End::Requested {
        tracing::info!("Received termination signal");
    }
    let stopped = supervisor.stop();
    if let Some(api) = api {
        api.stop();
    }
    stopped?;
    context.run_dir.leave();
    tracing::info!("Exiting...");
    match end {
        End::Requested => Ok(()),
        End::DriverLost => Err(Error::DriverLost),
    }
}

/// The eBPF programs, unless nobody wants them: the filter, without which the classic one does, and
/// the gate, or what the log is to say when the tables do its work.
fn load_programs(
    config: &Config,
    loader: Option<Loader>,
) -> (Option<Arc<Filter>>, Result<Gate, Absence>) {
    let wants = |of: fn(&VirtualRouter) -> bool| {
        config.vrouters.is_empty() || config.vrouters.iter().any(|one| of(one))
    };
    let wants_filter =
        wants(|router| router.socket_filter && router.socket_filter_type != FilterType::Classic);
    let wants_gate =
        wants(|router| router.netns.is_none() && router.iftype != InterfaceType::Ether);
    if !wants_filter && !wants_gate {
        let unwanted = "the eBPF gate was not loaded, because nothing needed it at the start; \
                        nftables is used";
        return (None, Err(Absence::Unneeded(unwanted.to_owned())));
    }
    match Kernel::load(loader.unwrap_or_else(Loader::begin)) {
        Ok(kernel) => (
            Some(Arc::new(kernel.filter)),
            kernel.gate.map_err(Absence::Refused),
        ),
        Err(refusal) => {
            if wants_filter {
                tracing::warn!("{refusal}");
            }
            (None, Err(Absence::Refused(refusal.also(Part::Gate))))
        }
    }
}

fn start_workers(
    config: &Config,
    driver: &driver::DriverHandle,
    events: &events::Sender,
    performance: &Arc<Performance>,
) -> Result<Vec<pool::Handle>, Error> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let number = config
        .global
        .workers
        .map_or_else(|| cores.min(MOST_DEFAULT_WORKERS), usize::from);
    (0..number)
        .map(|number| {
            let prepare = threads::prepare(config.global.realtime, threads::WORKER);
            let world = pool::Surroundings {
                driver: driver.commands.clone(),
                events: events.clone(),
                performance: Arc::clone(performance),
            };
            pool::Handle::start(number, config.vrouters.len(), world, prepare)
        })
        .collect::<std::io::Result<_>>()
        .map_err(|error| Error::Start("worker thread", error))
}
