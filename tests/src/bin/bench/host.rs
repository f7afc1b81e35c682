//! What a daemon costs, as the kernel counts it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A process and its children.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let mut all = vec![pid];
    for child in children.unwrap_or_default().split_whitespace() {
        all.extend(child.parse().map(family).unwrap_or_default());
    }
    all
}

/// Processor time of all threads of these processes, to the nanosecond
/// (Documentation/scheduler/sched-stats.rst).
pub(crate) fn cpu(pids: &[u32]) -> Duration {
    let tasks = pids
        .iter()
        .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
    let schedstat = |path: PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let nanoseconds = tasks
        .flatten()
        .flatten()
        .filter_map(|task| schedstat(task.path()))
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// Resident memory in KiB.
pub(crate) fn resident(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum()
}

/// Open descriptors.
pub(crate) fn descriptors(pids: &[u32]) -> usize {
    let of = |pid: &u32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    pids.iter().map(of).sum()
}

/// What all processors did so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    at: Instant,
    steal: u64,
    softirq: u64,
    all: u64,
}

impl Machine {
    /// Now.
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").expect("/proc/stat");
        let numbers: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        Self {
            at: Instant::now(),
            steal: numbers[7],
            softirq: numbers[6],
            all: numbers[..8].iter().sum(),
        }
    }

    /// Percent of the processors' time since `earlier` that the hypervisor took away.
    pub(crate) fn steal_since(self, earlier: Self) -> f64 {
        percent(self.steal - earlier.steal, self.all - earlier.all)
    }

    /// Percent of one processor since `earlier` that went into soft interrupts.
    pub(crate) fn softirq_since(self, earlier: Self) -> f64 {
        let ticks = self.softirq - earlier.softirq;
        let span = self.at.duration_since(earlier.at).as_secs_f64();
        // USER_HZ is 100 on every architecture that we know.
        ticks as f64 / span
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
