//! The queues of a worker, as the others see them.

use std::thread::Thread;

use crossbeam_channel::{Sender, TrySendError};

use super::{Control, Delivery};

/// Where a worker is told things. Whoever tells it something wakes it: it sleeps by itself and not in
/// its queues, which before each sleep would look again and again whether there is something, for a
/// tenth of the time that it takes to advertise for a thousand virtual routers.
#[derive(Clone, Debug)]
pub struct Mailbox {
    adverts: Sender<Delivery>,
    control: Sender<Control>,
    worker: Thread,
}

impl Mailbox {
    /// The queues that `worker` looks into whenever it is unparked.
    #[must_use]
    pub const fn new(adverts: Sender<Delivery>, control: Sender<Control>, worker: Thread) -> Self {
        Self {
            adverts,
            control,
            worker,
        }
    }

    /// Hands in an advertisement. False if there is no room; a worker that has ended, as at a stop,
    /// misses nothing.
    #[must_use]
    pub fn deliver(&self, delivery: Delivery) -> bool {
        let full = matches!(self.adverts.try_send(delivery), Err(TrySendError::Full(_)));
        self.worker.unpark();
        !full
    }

    /// Gives an order. One that has ended needs none.
    pub fn tell(&self, control: Control) {
        let _ended = self.control.send(control);
        self.worker.unpark();
    }

    /// How many advertisements wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.adverts.len()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::net::IpAddr;
    use std::thread;

    use super::*;
    use crate::driver::RouterId;
    use crate::fsm::{Advert, Time};

    fn delivery() -> Delivery {
        Delivery {
            id: RouterId(1),
            advert: Advert {
                priority: 100,
                source: IpAddr::from([192, 0, 2, 1]),
                interval: Duration::from_secs(1),
                received: Time::START,
            },
            checksum_form: None,
            stamp: None,
            sample: None,
        }
    }

    /// At a stop the workers end before the listeners.
    #[test]
    fn what_nobody_waits_for_is_not_lost() {
        let (adverts, incoming) = crossbeam_channel::bounded(1);
        let (control, orders) = crossbeam_channel::unbounded();
        let mailbox = Mailbox::new(adverts, control, thread::current());
        assert!(mailbox.deliver(delivery()));
        assert!(!mailbox.deliver(delivery()));
        assert_eq!(mailbox.waiting(), 1);
        drop((incoming, orders));
        assert!(mailbox.deliver(delivery()));
        mailbox.tell(Control::Stop);
    }

    /// However short the moment between its last look and its sleep.
    fn each_wakes(tell: impl Fn(&Mailbox)) {
        let (adverts, incoming) = crossbeam_channel::bounded(1);
        let (control, orders) = crossbeam_channel::unbounded();
        let (answer, answers) = crossbeam_channel::bounded(1);
        let sleeper = thread::spawn(move || {
            let mut taken = 0;
            while taken < 1000 {
                while incoming.is_empty() && orders.is_empty() {
                    thread::park_timeout(Duration::from_secs(60));
                }
                taken += incoming.try_iter().count() + orders.try_iter().count();
                answer.send(()).unwrap();
            }
        });
        let mailbox = Mailbox::new(adverts, control, sleeper.thread().clone());
        for _ in 0..1000 {
            tell(&mailbox);
            let answer = answers.recv_timeout(Duration::from_secs(20));
            answer.expect("nobody woke");
        }
        sleeper.join().unwrap();
    }

    #[test]
    fn an_advertisement_wakes() {
        each_wakes(|mailbox| assert!(mailbox.deliver(delivery())));
    }

    #[test]
    fn an_order_wakes() {
        each_wakes(|mailbox| mailbox.tell(Control::Activated(RouterId(1))));
    }
}
