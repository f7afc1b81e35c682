//! Clocks.

use core::mem::MaybeUninit;
use core::time::Duration;

use crate::fsm::Time;

/// CLOCK_MONOTONIC in microseconds.
#[must_use]
pub fn monotonic() -> Time {
    let micros = read(libc::CLOCK_MONOTONIC).as_micros();
    Time::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// CLOCK_REALTIME since 1970: the clock of the kernel's receive time stamps.
#[must_use]
pub fn realtime() -> Duration {
    read(libc::CLOCK_REALTIME)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is to a timespec of our own; all-zero is a valid one, so it may be read
    // even if the call failed, which it cannot for these two clocks.
    let time = unsafe {
        libc::clock_gettime(clock, time.as_mut_ptr());
        time.assume_init()
    };
    duration(&time)
}

/// A time of the kernel as a duration; negative ones, which clocks never show, become zero.
pub(super) fn duration(time: &libc::timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
