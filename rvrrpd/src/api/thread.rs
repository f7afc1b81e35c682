//! The thread of the API.

use core::time::Duration;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::errors::{self, Errors};
use super::idle::Ear;
use super::listen::Listeners;
use super::routes::{self, App};
use super::session::Key;
use super::settings::Settings;
use super::unix::{self, Named};
use super::{Registry, Request};
use crate::daemon::run_dir::RunDir;
use crate::events;

/// How often a socket that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Stack of the thread and of the one that hashes passwords, in bytes.
const STACK: usize = 512 * 1024;

/// The running API.
#[derive(Debug)]
pub struct Handle {
    stop: oneshot::Sender<()>,
    registry: Arc<Registry>,
    thread: JoinHandle<()>,
}

/// What the thread works with.
struct Work {
    registry: Arc<Registry>,
    orders: crossbeam_channel::Sender<Request>,
    happening: events::Receiver,
    /// Key of who configures none.
    random: Key,
    /// Key of what is kept of passwords.
    remembering: Key,
    run_dir: PathBuf,
    /// The Unix socket, where it could be opened.
    socket: Option<(UnixListener, Named)>,
}

impl Handle {
    /// Starts the thread. It shows what is in `registry` and what `happening` tells, and sends
    /// `orders`. The Unix socket is in `run_dir` unless the configuration names another place.
    ///
    /// # Errors
    /// The thread or what wakes it cannot be made, or the kernel has no random bits.
    pub fn start(
        registry: Arc<Registry>,
        orders: crossbeam_channel::Sender<Request>,
        happening: events::Receiver,
        run_dir: &RunDir,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let ear = registry.bell().ear()?;
        // Here, so that it is there when the daemon is said to be ready. The event loop tries again
        // and tells why not.
        let socket = unix::bind(&Listeners::socket(&registry.snapshot(), run_dir.path())).ok();
        let work = Work {
            registry: Arc::clone(&registry),
            orders,
            happening,
            random: Key::random().map_err(io::Error::other)?,
            remembering: Key::random().map_err(io::Error::other)?,
            run_dir: run_dir.path().to_owned(),
            socket,
        };
        let thread = std::thread::Builder::new()
            .name("api".to_owned())
            .stack_size(STACK)
            .spawn(move || run(work, &ear, stopped))?;
        Ok(Self {
            stop,
            registry,
            thread,
        })
    }

    /// Closes all connections and ends the thread.
    pub fn stop(self) {
        let Self {
            stop,
            registry,
            thread,
        } = self;
        // A thread that has ended needs no word.
        let _ended = stop.send(());
        registry.bell().ring();
        let _panicked = thread.join();
    }
}

/// Waits until somebody wants something, then serves.
fn run(work: Work, ear: &Ear, mut stopped: oneshot::Receiver<()>) {
    let registry = Arc::clone(&work.registry);
    if let Some((listener, _)) = &work.socket {
        let is_over = || {
            work.happening.is_watched()
                || registry.snapshot().config.api.is_some()
                || !matches!(stopped.try_recv(), Err(TryRecvError::Empty))
        };
        if let Err(error) = ear.wait(listener, is_over) {
            tracing::debug!("the API does not wait: {error}");
        }
    }
    // Told to stop meanwhile, or the other end is gone.
    if !matches!(stopped.try_recv(), Err(TryRecvError::Empty)) {
        return;
    }
    let errors = if work.happening.is_watched() {
        Errors::default()
    } else {
        work.happening.watch();
        Errors::from_now(&registry.snapshot())
    };
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(1)
        .thread_name("login")
        .thread_stack_size(STACK)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("no Client API and no rvrrpadm: {error}");
            return;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = serve(work, errors) => {}
            _ = stopped => {}
        }
    });
    // A password that is being hashed is nobody's concern any more.
    runtime.shutdown_background();
}

async fn serve(work: Work, mut errors: Errors) {
    let Work {
        registry,
        orders,
        mut happening,
        random,
        remembering,
        run_dir,
        socket,
    } = work;
    let snapshot = registry.snapshot();
    let settings = Settings::new(snapshot.config.api.as_ref(), &random);
    let app = Arc::new(App::new(
        Arc::clone(&registry),
        orders,
        settings,
        remembering,
    ));
    let mut listeners = Listeners::new(routes::router(Arc::clone(&app)), &run_dir);
    if let Some(Err(error)) = socket.map(|socket| listeners.adopt(socket)) {
        tracing::warn!("the Unix socket is opened once more: {error}");
    }
    listeners.load_certificates(&snapshot);
    let mut complete = listeners.apply(&snapshot).await;
    let mut known = snapshot;
    let mut look = interval_at(Instant::now() + errors::LOOK, errors::LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Goes on whatever else happens meanwhile.
    let mut retry = interval(RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            next = happening.next() => match next {
                Some((lost, event)) => app.history.push(lost, event),
                // The workers and the supervisor are gone.
                None => return,
            },
            () = registry.changed() => {
                let snapshot = registry.snapshot();
                if snapshot.config.api != known.config.api {
                    let settings = Settings::new(snapshot.config.api.as_ref(), &random);
                    app.settings.store(Arc::new(settings));
                    // Sessions of users that are gone end at once.
                    app.session_ended.notify_waiters();
                }
                if snapshot.reloads != known.reloads {
                    listeners.load_certificates(&snapshot);
                    complete = listeners.apply(&snapshot).await;
                    let complaints = listeners.complaints();
                    app.listening.store(Arc::new((snapshot.reloads, complaints)));
                }
                known = snapshot;
            }
            at = look.tick() => {
                for event in errors.look(&known, at.into_std()) {
                    app.history.push(0, event);
                }
            }
            _ = retry.tick(), if !complete => {
                listeners.load_certificates(&known);
                complete = listeners.apply(&known).await;
            }
        }
    }
}
