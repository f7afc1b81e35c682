//! Signals become messages.

use std::io;

use crossbeam_channel::{Receiver, Sender};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signal {
    /// SIGTERM, SIGINT: orderly stop.
    Terminate,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: open the log files again.
    ReopenLogs,
    /// SIGUSR2: log state and counters of every virtual router.
    Status,
}

/// Starts the thread that receives signals.
///
/// # Errors
/// A handler or the thread cannot be made.
pub(super) fn receive() -> io::Result<Receiver<Signal>> {
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])?;
    let (sender, receiver) = crossbeam_channel::unbounded();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || forward(signals, &sender))?;
    Ok(receiver)
}

fn forward(mut signals: Signals, sender: &Sender<Signal>) {
    for signal in signals.forever() {
        let message = match signal {
            SIGHUP => Signal::Reload,
            SIGUSR1 => Signal::ReopenLogs,
            SIGUSR2 => Signal::Status,
            _ => Signal::Terminate,
        };
        if sender.send(message).is_err() {
            return;
        }
    }
}
