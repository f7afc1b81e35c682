//! The log.
//!
//! All modules log by the macros of `tracing`; [`init`] makes their events lines in the style of
//! rVRRPd. No thread but the log's own ever writes or waits: lines go through a bounded channel,
//! and when it is full they are counted instead and the loss is told afterwards.
//!
//! | macro | debug level | line |
//! |---|---|---|
//! | `error!` | always | `error(<src>): message` |
//! | `warn!` | always | `warning(<src>): message` |
//! | `info!` | 0, always | `message` |
//! | `debug!` | 1 low, with `v = 2` medium | `debug(<src>): message` |
//! | `trace!` | 3 high, with `v = 4` or `v = 5` extensive | `debug(<src>): message` |
//!
//! `<src>` is the last module of the target, or the field `src`. Any other field follows the
//! message as `name=value`; one that is called `said.name` is in the message in words already, and
//! follows it in JSON and in the journal alone, as `name`. So `debug!(v = 2, src = "vr", vrid = 7, "stale")` at level 2 and above
//! is `debug(vr): stale vrid=7`. Of other crates only errors and warnings are shown, and at level 5
//! their information; their debug messages never, since they may hold what is secret.

mod format;
mod layer;
pub mod limit;
mod record;
mod sink;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use tracing::Subscriber;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

pub use self::limit::{Limiter, Suppressed};

use self::format::Style;
use self::layer::LogLayer;
use self::writer::{Message, Writer};
use crate::config::model::{Global, LogFormat, LogTarget, TimeFormat, TimeZone};

/// Lines that wait for the writer at most, or few more: one of each of the virtual routers that
/// the kernel's filter has room for.
const CAPACITY: usize = 16384;
/// How long a panic waits for its line to be written.
const PANIC_PATIENCE: Duration = Duration::from_secs(1);

/// What of the configuration concerns the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Debug level, 0..=5.
    pub debug: u8,
    /// Time zone of time stamps.
    pub time_zone: TimeZone,
    /// Form of time stamps.
    pub time_format: TimeFormat,
    /// Form of a line. JSON lines have a time even where `time_format` is disabled (RFC 3339).
    pub log_format: LogFormat,
    /// Where lines go.
    pub target: LogTarget,
    /// Main log of mode 2.
    pub main_log: PathBuf,
    /// File that takes warnings and errors in mode 2; none: `main_log`.
    pub error_log: Option<PathBuf>,
}

impl Settings {
    /// The settings of a configuration; `debug` of the command line overrides its level. Relative
    /// paths start at `base`, the directory that the daemon was started in.
    #[must_use]
    pub fn new(global: &Global, debug: Option<u8>, base: &Path) -> Self {
        Self {
            debug: debug.unwrap_or(global.debug),
            time_zone: global.time_zone,
            time_format: global.time_format,
            log_format: global.log_format,
            target: global.log_target,
            main_log: base.join(&global.main_log),
            error_log: global.error_log.as_ref().map(|path| base.join(path)),
        }
    }

    fn style(&self) -> Style {
        Style {
            zone: self.time_zone,
            time: self.time_format,
            format: self.log_format,
        }
    }
}

/// What `log_target = "file"` means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// Mode 1: information to stdout, warnings and errors to stderr.
    Standard,
    /// Mode 2: `main_log` and `error_log`.
    Files,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A log file cannot be opened.
    #[error("cannot open the log file {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A log service cannot be reached.
    #[error("cannot reach the log service at {path}: {source}")]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The writer cannot be started.
    #[error("cannot start the thread of the log: {0}")]
    Thread(#[source] io::Error),
    /// [`init`] was called before.
    #[error("the log is initialised already")]
    Twice,
}

/// What the writer, the threads that log and the handle have in common.
#[derive(Debug)]
struct Shared {
    debug: AtomicU8,
    /// Lines that were not written and not told about yet.
    lost: AtomicU64,
    /// A new value makes the writer open the log anew, also when it is equal to the old one.
    settings: ArcSwap<Settings>,
    destination: Destination,
}

/// Controls the log while the daemon runs. No method waits for a file, except
/// [`flush`](Self::flush).
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    queue: Sender<Message>,
}

/// Opens the log, starts its thread and makes it the log of the process, panics included.
///
/// The thread inherits the capabilities of the caller. Not to be called before the last fork.
///
/// # Errors
/// The destination cannot be opened, the thread cannot be started, or it is the second call.
pub fn init(settings: Settings, destination: Destination) -> Result<Handle, Error> {
    let (subscriber, handle) = start(settings, destination)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Twice)?;
    log_panics(handle.clone());
    Ok(handle)
}

fn start(
    settings: Settings,
    destination: Destination,
) -> Result<(impl Subscriber + Send + Sync, Handle), Error> {
    // It is bounded by who puts lines in, so that room takes memory only while it is used.
    let (queue, inbox) = crossbeam_channel::unbounded();
    let shared = Arc::new(Shared {
        debug: AtomicU8::new(settings.debug),
        lost: AtomicU64::new(0),
        settings: ArcSwap::from_pointee(settings),
        destination,
    });
    let writer = Writer::open(inbox, Arc::clone(&shared))?;
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || writer.run())
        .map_err(Error::Thread)?;
    let layer = LogLayer::new(Arc::clone(&shared), queue.clone());
    Ok((Registry::default().with(layer), Handle { shared, queue }))
}

impl Handle {
    /// Changes the debug level, 0..=5.
    pub fn set_level(&self, debug: u8) {
        self.shared.debug.store(debug, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Follows a new configuration: level, form and place. The place is opened by the writer; if
    /// that fails the old one stays in use and takes an error.
    pub fn apply(&self, settings: Settings) {
        self.set_level(settings.debug);
        self.replace(settings);
    }

    /// Opens the log files anew, after somebody moved them away.
    pub fn reopen(&self) {
        let settings = Settings::clone(&self.shared.settings.load());
        self.replace(settings);
    }

    fn replace(&self, settings: Settings) {
        self.shared.settings.store(Arc::new(settings));
        // A full queue wakes the writer as well.
        let _full = self.queue.try_send(Message::Look);
    }

    /// Waits until everything that was logged so far is written, at most `patience`. False: it is
    /// not, the log does not take lines.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let (done, answer) = crossbeam_channel::bounded(1);
        self.queue
            .send_deadline(Message::Flush(done), deadline)
            .is_ok()
            && answer.recv_deadline(deadline).is_ok()
    }
}

/// Makes a panic a line of the log: the stderr of a daemon leads nowhere.
fn log_panics(handle: Handle) {
    let to_stderr = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        tracing::error!(
            src = thread.name().unwrap_or("thread"),
            "{}",
            panic.to_string()
        );
        if !handle.flush(PANIC_PATIENCE) {
            to_stderr(panic);
        }
    }));
}

#[cfg(test)]
mod tests;
