//! Scheduling of the threads that time depends on.

use core::sync::atomic::{AtomicBool, Ordering};

use super::privilege::{self, Keep};
use super::realtime;

/// Priority of who stops all of these.
pub(super) const STOP: u8 = 13;
/// Priority of listeners, SCHED_FIFO: above the workers, so that what was received is always
/// known before a timer is believed.
pub(super) const LISTENER: u8 = 12;
/// Priority of workers.
pub(super) const WORKER: u8 = 11;
/// Priority of the driver: an advertisement comes before its addresses.
pub(super) const DRIVER: u8 = 10;

/// One warning serves for all threads.
static WARNED: AtomicBool = AtomicBool::new(false);

/// What a new thread runs first: it makes the thread a real-time one, where that is wanted, and
/// warns once where it is not permitted. Listeners and workers, who have to do with what strangers
/// send, lose what it takes to enter network namespaces.
pub(super) fn prepare(wanted: bool, priority: u8) -> impl Fn() + Send + Sync + 'static {
    move || {
        if priority != DRIVER
            && let Err(error) = privilege::drop(Keep::Network)
        {
            tracing::warn!("privileges not dropped: {error}");
        }
        if !wanted {
            return;
        }
        if let Err(error) = realtime::thread(priority)
            && !WARNED.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("not real-time, so that a busy host can delay advertisements: {error}");
        }
    }
}
