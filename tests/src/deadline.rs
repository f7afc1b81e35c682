//! Waiting: for a predicate, with a deadline, and never for a time alone.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A point in time after which waiting is a failure.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: Instant,
    limit: Duration,
}

/// The deadline in `seconds`, multiplied by the environment variable `RVRRPD_TESTS_SLOW` (a
/// factor for slow machines).
#[must_use]
pub fn within(seconds: f64) -> Deadline {
    let limit = Duration::from_secs_f64(seconds * slowness());
    Deadline {
        end: Instant::now() + limit,
        limit,
    }
}

/// Factor by which this machine may be slower than the limits assume; at least 1.
#[must_use]
pub fn slowness() -> f64 {
    std::env::var("RVRRPD_TESTS_SLOW")
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .map_or(1.0, |factor| factor.max(1.0))
}

impl Deadline {
    /// Time that is left.
    #[must_use]
    pub fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }

    /// How long was waited in all, for messages.
    #[must_use]
    pub fn limit(self) -> Duration {
        self.limit
    }
}

/// Asks `predicate` every few milliseconds until it has a value.
///
/// # Panics
/// When the deadline passes; the message says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, deadline: Deadline, mut predicate: impl FnMut() -> Option<T>) -> T {
    let _pending = Pending::new(what);
    loop {
        if let Some(value) = predicate() {
            return value;
        }
        assert!(
            !deadline.passed(),
            "not within {:?}: {what}",
            deadline.limit()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the threads of this process wait for just now, for the watchdog.
pub(crate) static PENDING: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A note of what is waited for, taken back when dropped.
pub(crate) struct Pending(String);

impl Pending {
    pub(crate) fn new(what: &str) -> Self {
        let thread = std::thread::current();
        let note = format!("{}: {what}", thread.name().unwrap_or("a thread"));
        PENDING
            .lock()
            .unwrap_or_else(|error| error.into_inner())
            .push(note.clone());
        Self(note)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut pending = PENDING.lock().unwrap_or_else(|error| error.into_inner());
        if let Some(position) = pending.iter().position(|note| *note == self.0) {
            pending.swap_remove(position);
        }
    }
}
