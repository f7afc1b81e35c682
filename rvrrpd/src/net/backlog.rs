//! How far a socket has been read: what a listener tells whoever wants to conclude something from
//! silence.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::fsm::Time;

/// The way between one receive socket and the queues of the workers. The listener alone writes it.
#[derive(Debug, Default)]
pub struct Backlog {
    busy: AtomicBool,
    /// Receive time of the last packet that was passed on, in microseconds.
    passed_on: AtomicU64,
}

impl Backlog {
    /// The listener is about to take packets out of the socket.
    pub fn begin(&self) {
        self.busy.store(true, Ordering::SeqCst);
    }

    /// It has passed on everything up to the packet that was received at this time.
    pub fn passed_on(&self, received: Time) {
        self.passed_on
            .fetch_max(received.as_micros(), Ordering::SeqCst);
    }

    /// It has passed on everything that it took.
    pub fn end(&self) {
        self.busy.store(false, Ordering::SeqCst);
    }

    /// Every packet that the kernel received before this time has been passed on: `now` where
    /// nothing is waiting, else when the last one was received that was passed on, so that a flood
    /// of packets cannot hold back for ever whoever waits for silence.
    #[must_use]
    pub fn until(&self, now: Time, is_readable: impl FnOnce() -> bool) -> Time {
        // The order matters: a packet that is in the socket no more was taken by a listener that
        // had declared itself busy before, and is busy until it has passed the packet on.
        if is_readable() || self.busy.load(Ordering::SeqCst) {
            Time::from_micros(self.passed_on.load(Ordering::SeqCst))
        } else {
            now
        }
    }
}
