//! A limit for messages about packets: a stranger on the LAN must not fill the log.

use core::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Time between two messages of one limiter, in microseconds.
const INTERVAL_MICROS: u64 = 10_000_000;

/// Lets the first message through at once, then at most one in ten seconds, and counts the rest.
///
/// Lock-free and `const`, so that it can be a `static` beside the message that it limits:
///
/// ```
/// # use rvrrpd::log::Limiter;
/// # let now_micros = 1;
/// static LIMITER: Limiter = Limiter::new();
/// if let Some(suppressed) = LIMITER.allow(now_micros) {
///     tracing::warn!("advertisement with a wrong checksum{suppressed}");
/// }
/// ```
#[derive(Debug)]
pub struct Limiter {
    /// Time from which on the next message is let through, in microseconds.
    next: AtomicU64,
    suppressed: AtomicU64,
}

/// How many messages were suppressed before one that is let through. It is shown as what stands
/// behind that one, nothing where it is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Suppressed(pub u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like it not logged)"),
        }
    }
}

impl Limiter {
    /// A limiter that has let nothing through yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Whether a message may be logged at `now_micros`, microseconds of any clock that does not
    /// run backwards. Some: it may, and so many were suppressed since the one before.
    #[must_use]
    pub fn allow(&self, now_micros: u64) -> Option<Suppressed> {
        let next = self.next.load(Ordering::Relaxed);
        let later = now_micros.saturating_add(INTERVAL_MICROS);
        // Of several threads that come at the same time exactly one wins the exchange.
        let won = now_micros >= next
            && self
                .next
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if won {
            Some(Suppressed(self.suppressed.swap(0, Ordering::Relaxed)))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{INTERVAL_MICROS, Limiter, Suppressed};

    #[test]
    fn first_at_once_then_one_per_interval_with_the_count() {
        let limiter = Limiter::new();
        assert_eq!(limiter.allow(5), Some(Suppressed(0)));
        assert_eq!(limiter.allow(5), None);
        assert_eq!(limiter.allow(4 + INTERVAL_MICROS), None);
        assert_eq!(limiter.allow(5 + INTERVAL_MICROS), Some(Suppressed(2)));
        assert_eq!(limiter.allow(6 + 3 * INTERVAL_MICROS), Some(Suppressed(0)));
    }

    #[test]
    fn only_what_was_suppressed_is_told() {
        assert_eq!(Suppressed(0).to_string(), "");
        assert_eq!(Suppressed(7).to_string(), " (7 more like it not logged)");
    }

    #[test]
    fn the_first_is_let_through_at_time_zero() {
        assert_eq!(Limiter::new().allow(0), Some(Suppressed(0)));
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        let limiter = Limiter::new();
        assert_eq!(limiter.allow(u64::MAX), Some(Suppressed(0)));
    }

    #[test]
    fn of_many_threads_one_wins_and_nothing_is_uncounted() {
        static LIMITER: Limiter = Limiter::new();
        let passed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if LIMITER.allow(1).is_some() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::Relaxed), 1);
        assert_eq!(LIMITER.allow(1 + INTERVAL_MICROS), Some(Suppressed(3999)));
    }
}
