//! Real-time scheduling and locked memory: what keeps an advertisement on time on a busy host.

use std::io;

use caps::{CapSet, Capability};

use crate::net::sys::process;

/// Slack of timers in nanoseconds; the default of the kernel is 50 µs.
const TIMER_SLACK_NANOS: libc::c_ulong = 1;

/// What is not real-time, and what would have to be permitted.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}; it needs {needs}")]
pub struct Error {
    /// What was tried.
    what: String,
    /// What is missing.
    needs: &'static str,
    #[source]
    source: io::Error,
}

/// Keeps every page that the process uses in memory, so that no advertisement waits for a disk.
///
/// Nothing is locked under a finite RLIMIT_MEMLOCK: memory could not grow beyond it any more.
///
/// # Errors
/// Not permitted. The process runs on as before.
pub fn lock_memory() -> Result<(), Error> {
    let capable = caps::has_cap(None, CapSet::Effective, Capability::CAP_IPC_LOCK).unwrap_or(false);
    let limit = process::memory_lock_limit().unwrap_or(0);
    let result = if can_lock_all(capable, limit) {
        process::lock_memory()
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    };
    result.map_err(|source| Error {
        what: "cannot lock the memory".to_owned(),
        needs: "CAP_IPC_LOCK, or RLIMIT_MEMLOCK (LimitMEMLOCK=) unlimited",
        source,
    })
}

/// Lets the process give back the memory of large buffers when it frees them. To be called first of
/// all.
pub fn keep_memory_small() {
    process::map_large_buffers();
}

/// Gives back what was freed so far. Locked pages cannot be given back, so this comes before
/// [`lock_memory`].
pub fn give_back_memory() {
    process::trim_heap();
}

/// Gives back the code and constants that were used so far: a start and a reload need much that an
/// advertisement and an election do not. What is used again comes from the page cache and is locked
/// again where memory is.
pub fn give_back_code() {
    process::unmap_files(&std::fs::read_to_string("/proc/self/smaps").unwrap_or_default());
}

/// Whether all memory can be locked, however much it becomes. `limit` is RLIMIT_MEMLOCK in bytes,
/// which counts only without CAP_IPC_LOCK.
fn can_lock_all(capable: bool, limit: u64) -> bool {
    capable || limit == libc::RLIM_INFINITY
}

/// Runs the calling thread under SCHED_FIFO with `priority`, 1..=99, and with exact timers. What
/// it starts later is not real-time. Priorities of 10 to 20 leave those of the kernel's interrupt
/// threads (50) alone.
///
/// # Errors
/// Not permitted, or `priority` out of range. The thread runs on as before, with exact timers.
pub fn thread(priority: u8) -> Result<(), Error> {
    process::set_timer_slack(TIMER_SLACK_NANOS).map_err(|source| Error {
        what: "cannot set the timer slack".to_owned(),
        needs: "Linux 2.6.28",
        source,
    })?;
    process::schedule_fifo(priority).map_err(|source| Error {
        what: format!("cannot run under SCHED_FIFO with priority {priority}"),
        needs: "CAP_SYS_NICE, or RLIMIT_RTPRIO (LimitRTPRIO=) of that priority, and real-time \
                bandwidth in its cgroup where the kernel groups real-time tasks",
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use caps::{CapSet, Capability};

    use super::{Error, can_lock_all, lock_memory, thread};
    use crate::net::sys::process::schedule_other;
    use crate::reexec::{is_process_of, process};

    /// Real-time priority and scheduling policy of this thread: fields 40 and 41 of proc_pid_stat(5).
    fn scheduling() -> (String, String) {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        // Field 2, the name, may hold blanks; field 3 follows the last parenthesis.
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        (fields[40 - 3].to_owned(), fields[41 - 3].to_owned())
    }

    fn without(capability: Capability, what: impl FnOnce() -> Result<(), Error> + Send) -> String {
        // In a thread of its own, since capabilities are those of a thread.
        std::thread::scope(|scope| {
            let dropped = scope.spawn(move || {
                caps::drop(None, CapSet::Effective, capability).unwrap();
                what().unwrap_err().to_string()
            });
            dropped.join().unwrap()
        })
    }

    #[test]
    fn a_thread_is_real_time_and_what_it_starts_is_not() {
        std::thread::spawn(|| {
            thread(10).unwrap();
            assert_eq!(scheduling(), ("10".to_owned(), "1".to_owned()));
            let started = std::thread::spawn(scheduling).join().unwrap();
            assert_eq!(started, ("0".to_owned(), "0".to_owned()));
        })
        .join()
        .unwrap();
    }

    /// Without the capability that it took.
    #[test]
    fn a_real_time_thread_becomes_an_ordinary_one() {
        std::thread::spawn(|| {
            thread(10).unwrap();
            caps::drop(None, CapSet::Effective, Capability::CAP_SYS_NICE).unwrap();
            schedule_other().unwrap();
            assert_eq!(scheduling(), ("0".to_owned(), "0".to_owned()));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_priority_out_of_range_is_an_error() {
        std::thread::spawn(|| {
            for priority in [0, 100] {
                let error = thread(priority).unwrap_err().to_string();
                assert!(error.contains(&format!("priority {priority}")), "{error}");
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = without(Capability::CAP_SYS_NICE, || thread(10));
        assert!(error.contains("CAP_SYS_NICE"), "{error}");
    }

    #[test]
    fn memory_that_could_not_grow_is_not_locked() {
        assert!(can_lock_all(true, 0));
        assert!(can_lock_all(false, libc::RLIM_INFINITY));
        assert!(!can_lock_all(false, 1 << 40));
    }

    /// Pages of executable files that are in the memory of this process, in KiB.
    fn code() -> u64 {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_code = false;
        let mut sum = 0;
        for line in maps.lines() {
            if let Some((_, rest)) = line
                .split_once(' ')
                .filter(|(range, _)| range.contains('-'))
            {
                is_code = rest.starts_with("r-xp") && rest.contains('/');
            } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| is_code) {
                sum += size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
        }
        sum
    }

    #[test]
    fn code_that_is_not_used_any_more_is_given_back_and_comes_again() {
        // What was tried before used much of it.
        a_priority_out_of_range_is_an_error();
        let before = code();
        super::give_back_code();
        let after = code();
        assert!(after < before, "{before} KiB, then {after} KiB");
        a_priority_out_of_range_is_an_error();
    }

    const LOCKED: &str = "daemon::realtime::tests::process_with_locked_memory";

    #[test]
    fn memory_is_locked() {
        assert!(process(LOCKED).status().unwrap().success());
    }

    #[test]
    #[ignore = "run in a process of its own by memory_is_locked"]
    fn process_with_locked_memory() {
        if !is_process_of(LOCKED) {
            return;
        }
        lock_memory().unwrap();
        // Also what is locked.
        code_that_is_not_used_any_more_is_given_back_and_comes_again();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let locked = status.lines().find(|line| line.starts_with("VmLck:"));
        assert!(!locked.unwrap().contains("\t       0 kB"), "{locked:?}");
    }

    const LIMITED: &str = "daemon::realtime::tests::process_with_limited_memory";

    #[test]
    fn memory_is_not_locked_under_a_limit() {
        let inner = process(LIMITED);
        let mut limited = std::process::Command::new("prlimit");
        limited
            .arg("--memlock=65536:65536")
            .arg(inner.get_program())
            .args(inner.get_args())
            .envs(
                inner
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        assert!(limited.status().unwrap().success());
    }

    #[test]
    #[ignore = "run in a process of its own by memory_is_not_locked_under_a_limit"]
    fn process_with_limited_memory() {
        if !is_process_of(LIMITED) {
            return;
        }
        let error = without(Capability::CAP_IPC_LOCK, lock_memory);
        assert!(error.contains("CAP_IPC_LOCK"), "{error}");
    }
}
