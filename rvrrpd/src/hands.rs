//! Work on many things that mostly waits for the kernel, which waits until no processor can see any
//! more what goes: 4 to 10 ms for each change of a gate and for each packet socket that is closed.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use parking_lot::Mutex;

/// Threads that work at once.
const HANDS: usize = 16;

/// Does the same with each, some at the same time; other threads than the calling one run `prepare`
/// (scheduling) first. Of one alone no other thread hears, and where no more threads can be made those
/// that there are do all.
pub(crate) fn all_at_once<T: Send, R: Send>(
    all: Vec<T>,
    prepare: &(dyn Fn() + Sync),
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    if all.len() < 2 {
        return all.into_iter().map(work).collect();
    }
    let hands = HANDS.min(all.len());
    let next = AtomicUsize::new(0);
    let all: Vec<_> = all.into_iter().map(|one| Mutex::new(Some(one))).collect();
    thread::scope(|scope| {
        let hand = || {
            let mut done = Vec::new();
            while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                let one = one.lock().take();
                done.extend(one.map(&work));
            }
            done
        };
        let more = move || {
            prepare();
            hand()
        };
        let hands = (1..hands).map_while(|_| Builder::new().spawn_scoped(scope, more).ok());
        let hands: Vec<_> = hands.collect();
        let mut done = hand();
        for hand in hands {
            match hand.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    })
}

/// Does `other` while it does `work`; after it where no thread can be made.
pub(crate) fn beside<R>(other: impl FnOnce() + Send, work: impl FnOnce() -> R) -> R {
    let other = Mutex::new(Some(other));
    // Not within the lock.
    let do_other = || {
        let other = other.lock().take();
        if let Some(other) = other {
            other();
        }
    };
    thread::scope(|scope| {
        let _none_made = Builder::new().spawn_scoped(scope, do_other);
        let done = work();
        do_other();
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_done_once() {
        for count in [0, 1, 2, 100] {
            let begun = AtomicUsize::new(0);
            let prepare = || {
                begun.fetch_add(1, Ordering::Relaxed);
            };
            let mut done = all_at_once((0..count).collect(), &prepare, |number| number + 1);
            done.sort_unstable();
            assert_eq!(done, (1..=count).collect::<Vec<usize>>());
            assert!(begun.into_inner() < HANDS);
        }
        let count = AtomicUsize::new(0);
        let other = || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        assert_eq!(beside(other, || 7), 7);
        assert_eq!(count.into_inner(), 1);
    }
}
