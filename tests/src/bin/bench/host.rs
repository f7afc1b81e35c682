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

/// Resident memory in MB.
pub(crate) fn resident(pids: &[u32]) -> f64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let kib: u64 = pids.iter().filter_map(of).sum();
    kib as f64 * 1024.0 / 1e6
}

/// Open descriptors.
pub(crate) fn descriptors(pids: &[u32]) -> usize {
    let of = |pid: &u32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    pids.iter().map(of).sum()
}

/// What all processors did so far, in ticks (proc(5), /proc/stat).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    at: Instant,
    idle: u64,
    softirq: u64,
    steal: u64,
    all: u64,
}

impl Machine {
    /// Now.
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").expect("/proc/stat");
        Self::parse(&stat, Instant::now()).expect("the first line of /proc/stat")
    }

    fn parse(stat: &str, at: Instant) -> Option<Self> {
        let words = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = words
            .split_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
        let [_, _, _, idle, waiting, _, softirq, steal, ..] = ticks[..] else {
            return None;
        };
        Some(Self {
            at,
            idle: idle + waiting,
            softirq,
            steal,
            all: ticks[..8].iter().sum(),
        })
    }

    /// Percent of the processors' time since `earlier` that the hypervisor took away.
    pub(crate) fn steal_since(self, earlier: Self) -> f64 {
        percent(self.steal - earlier.steal, self.all - earlier.all)
    }

    /// Percent of the processors' time since `earlier` that they were not idle.
    pub(crate) fn busy_since(self, earlier: Self) -> f64 {
        // The kernel may count waiting for a disk back a little.
        let idle = self.idle.saturating_sub(earlier.idle);
        100.0 - percent(idle, self.all - earlier.all)
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

/// What this machine is, in a line.
pub(crate) fn description() -> String {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(key));
        value.map_or_else(String::new, |value| {
            value.trim_start_matches([' ', '\t', ':']).to_owned()
        })
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = first("/proc/meminfo", "MemTotal");
    let memory: u64 = memory
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or_default();
    format!(
        "{processors} × {}, {} GiB, Linux {}",
        first("/proc/cpuinfo", "model name"),
        (memory + (1 << 19)) >> 20,
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn noise_is_what_proc_stat_says() {
        let begin = Instant::now();
        let read = |text: &str, at| Machine::parse(text, at).expect("eight numbers");
        let before = read("cpu  100 0 50 800 10 5 20 15 0 0\ncpu0 ...", begin);
        let later = begin + Duration::from_secs(2);
        let after = read("cpu  150 0 60 900 10 5 40 35 0 0\n", later);
        assert!((after.steal_since(before) - 10.0).abs() < 1e-9);
        assert!((after.busy_since(before) - 50.0).abs() < 1e-9);
        assert!((after.softirq_since(before) - 10.0).abs() < 1e-9);
        assert!(Machine::parse("cpu 1 2 3\n", begin).is_none());
    }

    #[test]
    fn a_process_costs_something_and_a_missing_one_nothing() {
        let own = family(std::process::id());
        assert!(resident(&own) > 0.0 && descriptors(&own) > 2 && !cpu(&own).is_zero());
        let none = [u32::MAX];
        assert!(resident(&none) == 0.0 && descriptors(&none) == 0 && cpu(&none).is_zero());
    }
}
