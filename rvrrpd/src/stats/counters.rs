//! What is counted, and how the daemon performs.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::time::SystemTime;

use crate::wire::verdict::Reject;

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts several.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations, counted by their magnitude.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [Counter; Self::BOUNDS.len() + 1],
    /// Microseconds.
    sum: Counter,
}

impl Durations {
    /// Upper bounds of the classes in microseconds; the last class has none.
    pub const BOUNDS: [u64; 14] = [
        10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000,
        10_000_000,
    ];

    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let class = Self::BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get(class) {
            count.count();
        }
        self.sum.add(micros);
    }

    /// Each upper bound, none for the last class, with the number of durations in its class.
    pub fn classes(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = Self::BOUNDS.map(|bound| Some(Duration::from_micros(bound)));
        let bounds = bounds.into_iter().chain([None]);
        bounds.zip(self.counts.iter().map(Counter::value))
    }

    /// All durations together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum.value())
    }
}

/// How the daemon performs.
#[derive(Debug, Default)]
pub struct Performance {
    /// How late a worker got to a deadline that had come: that of its scheduling and that of its
    /// own work together.
    pub worker_lateness: Durations,
    /// How long the driver took for what was in its queue, the answers of the kernel included.
    pub driver_latency: Durations,
}

/// One counter for each receive rule.
#[derive(Debug)]
pub struct Rejects([Counter; Reject::ALL.len()]);

impl Default for Rejects {
    fn default() -> Self {
        Self(core::array::from_fn(|_| Counter::default()))
    }
}

impl Rejects {
    /// The counter of one rule.
    #[must_use]
    pub fn of(&self, reject: Reject) -> &Counter {
        &self.0[reject.index()]
    }

    /// The rules that were broken at least once, and how often.
    pub fn broken(&self) -> impl Iterator<Item = (Reject, u64)> {
        Reject::ALL
            .into_iter()
            .map(|reject| (reject, self.of(reject).value()))
            .filter(|(_, value)| *value > 0)
    }

    /// Sum of the counters of these rules.
    #[must_use]
    pub fn sum(&self, rules: &[Reject]) -> u64 {
        rules.iter().map(|reject| self.of(*reject).value()).sum()
    }
}

/// Counters of the whole daemon (RFC 8347 `/vrrp/statistics`), and of packets that belong to no
/// virtual router of ours.
#[derive(Debug)]
pub struct Global {
    /// `discontinuity-datetime`: since when the counters count. Nothing resets them, so that it
    /// stands still (Y-1).
    pub discontinuity: SystemTime,
    /// Every refused packet, by rule.
    pub rejects: Rejects,
    /// Packets that claim to be router solicitations and are none (RFC 4861 §6.1.1).
    pub solicitations_refused: Counter,
    /// Advertisements that were accepted but found the queue of their worker full.
    pub queue_overflows: Counter,
    /// Packets that found a receive buffer full. No filter has seen them.
    pub receive_overflows: Counter,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            discontinuity: SystemTime::now(),
            rejects: Rejects::default(),
            solicitations_refused: Counter::default(),
            queue_overflows: Counter::default(),
            receive_overflows: Counter::default(),
        }
    }
}
