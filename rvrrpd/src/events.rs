//! What happens to virtual routers, on its way to whoever watches.
//!
//! Workers and the supervisor push into one bounded queue and never wait: a watcher that is slower
//! than a network that flaps loses events, is told how many, and delays nobody. Before there is a
//! watcher nothing is kept.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;

use crate::fsm::Cause;
use crate::stats::{Condition, Status};

/// Events that may wait for the watcher: several for each of a thousand virtual routers.
const QUEUE: usize = 8192;

/// Something that happened to a virtual router.
#[derive(Clone, Debug)]
pub struct Event {
    /// The router; [`Status::identity`] tells its name.
    pub router: Arc<Status>,
    /// What happened.
    pub change: Change,
    /// Its condition before.
    pub before: Condition,
    /// Its condition after.
    pub after: Condition,
    /// When.
    pub at: SystemTime,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// State, reasons or priority changed; the cause is that of a change of state.
    Condition(Option<Cause>),
    /// The router is new.
    Added,
    /// It has got another configuration.
    Configured,
    /// It is gone.
    Removed,
    /// It refused this many packets for this reason, or did not send them.
    Error(&'static str, u64),
}

/// The end of the queue that events are pushed into.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: mpsc::Sender<Event>,
    watch: Arc<Watch>,
}

/// The end of the queue that the watcher reads.
#[derive(Debug)]
pub struct Receiver {
    queue: mpsc::Receiver<Event>,
    watch: Arc<Watch>,
}

/// What both ends know of the watcher.
#[derive(Debug, Default)]
struct Watch {
    /// There is one.
    begun: AtomicBool,
    /// How many events it has lost.
    lost: AtomicU64,
}

/// A queue of events.
#[must_use]
pub fn queue() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let watch = Arc::default();
    (
        Sender {
            queue: sender,
            watch: Arc::clone(&watch),
        },
        Receiver {
            queue: receiver,
            watch,
        },
    )
}

impl Event {
    /// What happens now to a router whose condition was `before`.
    #[must_use]
    pub fn since(router: &Arc<Status>, change: Change, before: Condition) -> Self {
        Self {
            router: Arc::clone(router),
            change,
            before,
            after: router.condition(),
            at: SystemTime::now(),
        }
    }
}

impl Sender {
    /// Tells the watcher, if it keeps up. Never waits.
    pub fn push(&self, router: &Arc<Status>, change: Change) {
        self.send(Event::since(router, change, router.condition()));
    }

    /// Whether anybody wants to know.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watch.begun.load(Ordering::Relaxed)
    }

    /// Tells the watcher of an event, if it keeps up. Never waits.
    pub fn send(&self, event: Event) {
        if self.is_watched() && self.queue.try_send(event).is_err() {
            self.watch.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Receiver {
    /// The next event, and how many were lost before it; none when nobody can push any more.
    pub async fn next(&mut self) -> Option<(u64, Event)> {
        let event = self.queue.recv().await?;
        Some((self.watch.lost.swap(0, Ordering::Relaxed), event))
    }

    /// Wants to know what happens from now on.
    pub fn watch(&self) {
        self.watch.begun.store(true, Ordering::Relaxed);
    }

    /// Whether that was said already.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watch.begun.load(Ordering::Relaxed)
    }

    /// How many events wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_sleeps_loses_events_and_is_told_how_many() {
        let (sender, mut receiver) = queue();
        let router = Arc::default();
        sender.push(&router, Change::Added);
        assert_eq!(receiver.waiting(), 0, "nobody watches");
        receiver.watch();
        for _ in 0..QUEUE + 3 {
            sender.push(&router, Change::Added);
        }
        assert_eq!(receiver.waiting(), QUEUE);
        let mut next = || {
            receiver
                .queue
                .try_recv()
                .map(|_| receiver.watch.lost.swap(0, Ordering::Relaxed))
        };
        assert_eq!(next(), Ok(3));
        assert_eq!(next(), Ok(0));
        sender.push(&router, Change::Removed);
        assert_eq!(next(), Ok(0));
    }
}
