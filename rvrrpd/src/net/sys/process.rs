//! Scheduling, memory and privileges of this process and of the calling thread.

use std::io;
use std::mem::MaybeUninit;

/// Nice value of [`prefer`]: nine times the weight of a thread that nobody has set one for.
const PREFERRED: libc::c_int = -10;

/// Runs the calling thread under `SCHED_FIFO` (sched(7)). Threads and processes that it starts are
/// not real-time (`SCHED_RESET_ON_FORK`).
///
/// # Errors
/// `EPERM` without CAP_SYS_NICE and above RLIMIT_RTPRIO, `EINVAL` for a priority outside 1..=99.
pub(crate) fn schedule_fifo(priority: u8) -> io::Result<()> {
    schedule(libc::SCHED_FIFO, priority)
}

/// Runs a thread again as any other (`SCHED_OTHER`) that became a real-time one by [`schedule_fifo`].
/// That needs no privilege, as long as what it starts is not real-time either.
///
/// # Errors
/// None is known.
pub(crate) fn schedule_other() -> io::Result<()> {
    schedule(libc::SCHED_OTHER, 0)
}

/// Gives the calling thread, an ordinary one, most of a processor that others want, too, and leaves
/// them a tenth of it (setpriority(2): per thread on Linux).
///
/// # Errors
/// `EACCES` without CAP_SYS_NICE and above RLIMIT_NICE.
pub(crate) fn prefer() -> io::Result<()> {
    // SAFETY: takes no pointer; 0 is this thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, PREFERRED) })
}

fn schedule(policy: libc::c_int, priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: i32::from(priority),
    };
    // SAFETY: the pointer is to a whole sched_param that outlives the call; 0 is this thread.
    let result = unsafe {
        libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    };
    check(result)
}

/// Keeps every page in memory from its first use on, those of later mappings too (mlockall(2)).
///
/// # Errors
/// `EPERM` or `ENOMEM` without CAP_IPC_LOCK and above RLIMIT_MEMLOCK.
pub(crate) fn lock_memory() -> io::Result<()> {
    // SAFETY: takes no pointer, and locked pages behave as before.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) })
}

/// Returns what was freed to the kernel (malloc_trim(3)). Pages that are locked cannot be returned,
/// so this comes before [`lock_memory`]. Only glibc has to be asked.
pub(crate) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and the allocator locks what it works on.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Takes the code and the constants that were used so far out of this process's memory, if not out
/// of the page cache: what is used again is mapped again by a fault, without the disk (madvise(2)).
/// `mappings` is the text of /proc/self/smaps. Data that the loader has changed stays.
pub(crate) fn unmap_files(mappings: &str) {
    for (start, end) in unchanged_files(mappings) {
        let unmap = |advice| {
            let (start, length) = (core::ptr::without_provenance_mut(start), end - start);
            // SAFETY: a private mapping of a file without any page that differs from the file,
            // and nobody writes to it, because it is not writable: its pages come back as they
            // were.
            unsafe { libc::madvise(start, length, advice) }
        };
        // Also where it is locked; before Linux 5.18 only where it is not.
        if unmap(libc::MADV_DONTNEED_LOCKED) != 0 {
            unmap(libc::MADV_DONTNEED);
        }
    }
}

/// The mappings of files that are not writable and have no page of their own (proc_pid_smaps(5)).
fn unchanged_files(mappings: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in mappings.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            // Pages that differ from the file and are in memory, then those that are swapped out.
            ["Anonymous:" | "Swap:", amount, "kB"] if amount != "0" => candidate = None,
            ["Swap:", ..] => found.extend(candidate.take()),
            // Addresses, mode, offset, device, inode, path.
            [range, mode, _, _, inode, ..] if range.contains('-') => {
                let is_of_file = matches!(mode, "r-xp" | "r--p") && inode != "0";
                candidate = bounds(range).filter(|_| is_of_file);
            }
            _ => {}
        }
    }
    found
}

fn bounds(range: &str) -> Option<(usize, usize)> {
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    (start < end).then_some((start, end))
}

/// Large buffers are mapped each for itself for ever, so that they are returned when they are freed
/// and take no memory before they are used (mallopt(3)): glibc would stop doing so after the first
/// one is freed. And few heaps for many threads: each has its own waste, which is returned from the end
/// of a heap only when what was freed is joined at once, even though whoever frees little takes the lock
/// of the heap then.
pub(crate) fn map_large_buffers() {
    /// The default of glibc at the start, in bytes.
    #[cfg(target_env = "gnu")]
    const LARGE: libc::c_int = 128 * 1024;
    /// Heaps; the default is eight for each processor. Nothing on the way of an advertisement
    /// allocates, so that none waits for another thread there; elections do.
    #[cfg(target_env = "gnu")]
    const ARENAS: libc::c_int = 4;
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers; it is called before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_MXFAST, 0);
    }
}

/// RLIMIT_MEMLOCK in bytes, `RLIM_INFINITY` for none.
///
/// # Errors
/// None that a kernel of today gives.
pub(crate) fn memory_lock_limit() -> io::Result<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the pointer is to room for one rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, limit.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled the structure.
    Ok(unsafe { limit.assume_init() }.rlim_cur)
}

/// Permits as many descriptors as may be permitted: raises the soft RLIMIT_NOFILE to the hard one.
///
/// # Errors
/// None that a kernel of today gives.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the pointer is to room for one rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled the structure.
    let mut limit = unsafe { limit.assume_init() };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a whole rlimit that outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
}

/// Lets timers of the calling thread expire at most so many nanoseconds late
/// (PR_SET_TIMERSLACK(2const)). Real-time threads have no slack at all.
///
/// # Errors
/// None that a kernel of today gives.
pub(crate) fn set_timer_slack(nanoseconds: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the option takes one number.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) })
}

/// No program that the calling thread executes can gain privileges (PR_SET_NO_NEW_PRIVS(2const)).
///
/// # Errors
/// None that a kernel of today gives.
pub(crate) fn set_no_new_privileges() -> io::Result<()> {
    let (on, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: the option takes four numbers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, unused, unused, unused) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_its_file_is_not_unmapped() {
        let of = |range: &str, mode: &str, inode: &str, anonymous: &str, swapped: &str| {
            format!(
                "{range} {mode} 00001000 fe:00 {inode}    /usr/sbin/rvrrpd\nSize:  8 kB\n\
                 Rss:  8 kB\nAnonymous:    {anonymous} kB\nSwap:   {swapped} kB\nVmFlags: rd mr mw me sd\n"
            )
        };
        let mappings = [
            of("1000-3000", "r--p", "77", "0", "0"),
            of("3000-5000", "r-xp", "77", "0", "0"),
            of("5000-7000", "r--p", "77", "4", "0"),
            of("7000-9000", "rw-p", "77", "0", "0"),
            of("9000-b000", "r--p", "0", "0", "0"),
            of("b000-d000", "r-xp", "77", "8", "0"),
            of("d000-f000", "r--p", "77", "0", "4"),
        ];
        assert_eq!(
            unchanged_files(&mappings.concat()),
            [(0x1000, 0x3000), (0x3000, 0x5000)]
        );
    }
}
