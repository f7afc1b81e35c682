//! What users ask the supervisor to do, and what comes of it.

use tokio::sync::oneshot;

use crate::config::Errors;

/// Orders that may wait for the supervisor; more are refused.
pub const QUEUE: usize = 64;

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// Read the configuration file again and apply what differs.
    Reload,
    /// Let a virtual router run, or keep it in Init (sub-state `shutdown`).
    Enable {
        /// Its name.
        name: String,
        /// Whether it is to run.
        enabled: bool,
    },
}

/// An order with the way back.
#[derive(Debug)]
pub struct Request {
    /// What is to be done.
    pub order: Order,
    /// Where the result goes. Nobody may be waiting for it any more.
    pub reply: oneshot::Sender<Result<Done, Refusal>>,
}

/// What was done; everything that follows from it has been told to the workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Done {
    /// The configuration was reloaded: so many virtual routers were
    Reloaded {
        /// added,
        added: usize,
        /// removed,
        removed: usize,
        /// replaced, because what carries their addresses is another thing,
        replaced: usize,
        /// changed in place,
        changed: usize,
        /// left alone.
        untouched: usize,
    },
    /// The virtual router runs or does not, as asked; it may have been so before.
    Enabled,
}

/// Why an order was not carried out. Everything is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such virtual router.
    #[error("there is no virtual router with this name")]
    Unknown,
    /// The configuration file has errors.
    #[error("the configuration file has errors")]
    Invalid(Errors),
}
