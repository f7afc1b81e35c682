//! The thread of the API.

use core::time::Duration;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::listen::Listeners;
use super::routes::{self, App};
use super::session::Key;
use super::settings::Settings;
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
    thread: JoinHandle<()>,
}

impl Handle {
    /// Starts the thread. It shows what is in `registry` and what `happening` tells, and sends
    /// `orders`. The Unix socket is in `run_dir` unless the configuration names another place.
    ///
    /// # Errors
    /// The thread or its event loop cannot be made, or the kernel has no random bits.
    pub fn start(
        registry: Arc<Registry>,
        orders: crossbeam_channel::Sender<Request>,
        happening: events::Receiver,
        run_dir: &RunDir,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let random = Key::random().map_err(io::Error::other)?;
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(1)
            .thread_name("login")
            .thread_stack_size(STACK)
            .build()?;
        let run_dir = run_dir.path().to_owned();
        let thread = std::thread::Builder::new()
            .name("api".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let served = serve(registry, orders, happening, random, run_dir);
                runtime.block_on(async {
                    tokio::select! {
                        () = served => {}
                        _ = stopped => {}
                    }
                });
                // A password that is being hashed is nobody's concern any more.
                runtime.shutdown_background();
            })?;
        Ok(Self { stop, thread })
    }

    /// Closes all connections and ends the thread.
    pub fn stop(self) {
        let Self { stop, thread } = self;
        // A thread that has ended needs no word.
        let _ended = stop.send(());
        let _panicked = thread.join();
    }
}

async fn serve(
    registry: Arc<Registry>,
    orders: crossbeam_channel::Sender<Request>,
    mut happening: events::Receiver,
    random: Key,
    run_dir: PathBuf,
) {
    let snapshot = registry.snapshot();
    let settings = Settings::new(snapshot.config.api.as_ref(), &random);
    let app = Arc::new(App::new(Arc::clone(&registry), orders, settings));
    let mut listeners = Listeners::new(routes::router(Arc::clone(&app)), &run_dir);
    listeners.load_certificates(&snapshot);
    let mut complete = listeners.apply(&snapshot);
    let mut known = snapshot;
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
                    complete = listeners.apply(&snapshot);
                }
                known = snapshot;
            }
            () = sleep(RETRY), if !complete => {
                listeners.load_certificates(&known);
                complete = listeners.apply(&known);
            }
        }
    }
}
