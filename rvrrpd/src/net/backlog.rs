//! How far a socket has been read, and what it lost: what a listener tells whoever wants to conclude
//! something from silence.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::fsm::Time;

/// The way between one receive socket and the queues of the workers. The listener alone writes it.
#[derive(Debug, Default)]
pub struct Backlog {
    busy: AtomicBool,
    /// Receive time of the last packet that was passed on, in microseconds.
    passed_on: AtomicU64,
    /// The socket's count of packets that found it full, when it was read last.
    overflows: AtomicU32,
    /// When the last loss was noticed, in microseconds; 0: never.
    lost: AtomicU64,
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

    /// So many packets have found the socket full, modulo 2^32, at the time `now`. How many of them
    /// since this was called last. To be called when what was waiting has been read: a socket that
    /// was full is read soon.
    pub fn overflows(&self, count: u32, now: Time) -> u32 {
        let new = count.wrapping_sub(self.overflows.swap(count, Ordering::SeqCst));
        if new > 0 {
            self.lost(now);
        }
        new
    }

    /// A packet was lost that the kernel received at this time or before.
    pub fn lost(&self, latest: Time) {
        self.lost.fetch_max(latest.as_micros(), Ordering::SeqCst);
    }

    /// No packet was lost that the kernel received later than this; `overflows` is the socket's
    /// count now.
    #[must_use]
    pub fn lost_until(&self, now: Time, overflows: u32) -> Time {
        if overflows == self.overflows.load(Ordering::SeqCst) {
            Time::from_micros(self.lost.load(Ordering::SeqCst))
        } else {
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    #[test]
    fn each_overflow_is_counted_once_and_is_a_loss() {
        let backlog = Backlog::default();
        assert_eq!(backlog.overflows(0, at(1)), 0);
        assert_eq!(backlog.lost_until(at(9), 0), Time::START);
        assert_eq!(backlog.overflows(7, at(2)), 7);
        assert_eq!(backlog.overflows(7, at(3)), 0);
        assert_eq!(backlog.lost_until(at(9), 7), at(2));
        // The kernel counts modulo 2^32.
        assert_eq!(backlog.overflows(u32::MAX, at(4)), u32::MAX - 7);
        assert_eq!(backlog.overflows(1, at(5)), 2);
        assert_eq!(backlog.lost_until(at(9), 1), at(5));
    }

    #[test]
    fn a_loss_that_the_listener_has_not_seen_is_as_young_as_can_be() {
        let backlog = Backlog::default();
        backlog.overflows(3, at(1));
        assert_eq!(backlog.lost_until(at(9), 4), at(9));
        assert_eq!(backlog.lost_until(at(10), 3), at(1));
    }

    #[test]
    fn the_latest_loss_counts() {
        let backlog = Backlog::default();
        backlog.lost(at(9));
        backlog.lost(at(4));
        assert_eq!(backlog.lost_until(at(20), 0), at(9));
    }
}
