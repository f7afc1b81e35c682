//! Scheduling, memory and privileges of this process and of the calling thread.

use std::io;
use std::mem::MaybeUninit;

/// Runs the calling thread under `SCHED_FIFO` (sched(7)). Threads and processes that it starts are
/// not real-time (`SCHED_RESET_ON_FORK`).
///
/// # Errors
/// `EPERM` without CAP_SYS_NICE and above RLIMIT_RTPRIO, `EINVAL` for a priority outside 1..=99.
pub(crate) fn schedule_fifo(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: i32::from(priority),
    };
    // SAFETY: the pointer is to a whole sched_param that outlives the call; 0 is this thread.
    let result = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
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

/// Takes the machine code that was used so far out of this process's memory, if not out of the page
/// cache: what is used again is mapped again by a fault, without the disk (madvise(2)). `mappings` is
/// the text of /proc/self/maps. Only what is executable is touched: it is read from the file as it is,
/// where data may have been changed by the loader.
pub(crate) fn unmap_code(mappings: &str) {
    for line in mappings.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Addresses, mode, offset, device, inode, path; proc_pid_maps(5).
        let [range, "r-xp", _, _, inode, ..] = words[..] else {
            continue;
        };
        let bounds = range.split_once('-').and_then(|(start, end)| {
            let number = |text| usize::from_str_radix(text, 16).ok();
            Some((number(start)?, number(end)?))
        });
        if let Some((start, end)) = bounds.filter(|_| inode != "0") {
            // SAFETY: a private mapping of a file that nobody has written to, because it is not
            // writable: its pages come back from the file as they were.
            unsafe {
                libc::madvise(
                    core::ptr::without_provenance_mut(start),
                    end.saturating_sub(start),
                    libc::MADV_DONTNEED,
                )
            };
        }
    }
}

/// Large buffers are mapped each for itself for ever, so that they are returned when they are freed
/// and take no memory before they are used (mallopt(3)): glibc would stop doing so after the first
/// one is freed. And few heaps for many threads: each has its own waste.
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
