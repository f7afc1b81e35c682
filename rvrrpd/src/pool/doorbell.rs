//! Router solicitations on their way to a virtual router.

use core::sync::atomic::{AtomicBool, Ordering};

/// Tells a worker at most once between two router advertisements that somebody waits for one:
/// however many hosts ask, and however fast, its queue takes one message.
#[derive(Debug, Default)]
pub struct Doorbell(AtomicBool);

impl Doorbell {
    /// Somebody asks. True if nobody did since the last answer, so that the worker is to be told.
    pub fn ring(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// An advertisement leaves, which answers everybody.
    pub(super) fn answer(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
