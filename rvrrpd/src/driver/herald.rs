//! The thread that sends announcements while the driver waits for the kernel: of a thousand
//! takeovers each half takes as long as the other.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::Plan;
use super::announce::{Announcements, send_all};
use super::place::Prepare;

/// The thread, as the driver sees it. It ends with this.
#[derive(Debug)]
pub(super) struct Herald {
    work: Sender<Vec<Announcements>>,
    done: Receiver<()>,
    /// What has not been waited for.
    open: usize,
}

impl Herald {
    /// Starts the thread, which calls `prepare` once (scheduling).
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn start(prepare: Prepare) -> io::Result<Self> {
        let (work, orders) = crossbeam_channel::unbounded();
        let (report, done) = crossbeam_channel::unbounded();
        std::thread::Builder::new()
            .name("herald".to_owned())
            .spawn(move || {
                prepare();
                for announcements in orders {
                    send_all(announcements);
                    if report.send(()).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            work,
            done,
            open: 0,
        })
    }

    /// Sends the announcements of these plans soon.
    pub(super) fn send(&mut self, plans: &[&Plan]) {
        let of = |plan: &&Plan| (Arc::clone(&plan.sender), Arc::clone(&plan.announcements));
        match self.work.send(plans.iter().map(of).collect()) {
            Ok(()) => self.open += 1,
            // The thread is gone.
            Err(unsent) => send_all(unsent.into_inner()),
        }
    }

    /// Waits until all of them have left: nothing may be announced any more when the next command
    /// ends what made it true.
    pub(super) fn wait(&mut self) {
        for _ in 0..core::mem::take(&mut self.open) {
            if self.done.recv().is_err() {
                return;
            }
        }
    }
}
