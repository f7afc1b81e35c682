//! What users ask the supervisor to do, and what comes of it.

use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::config::Errors;
use crate::config::edit::{Change, EditError};

/// Orders that may wait for the supervisor; more are refused.
pub const QUEUE: usize = 64;

/// What is to be done. May hold secrets.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration file again and apply what differs.
    Reload,
    /// Change the virtual routers.
    Change {
        /// How.
        change: Change,
        /// Whether the configuration file is to say so, too; otherwise until the next reload.
        persist: bool,
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
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Done {
    /// The configuration was reloaded.
    Reloaded(Applied),
    /// The virtual routers are as asked, and may have been so before.
    Changed {
        /// The name of the one that was made or changed.
        subject: Option<String>,
        /// What the operator should know that was not so before.
        warnings: Vec<String>,
    },
}

/// What a reload did
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub struct Applied {
    /// Virtual routers that are new.
    pub added: usize,
    /// Virtual routers that left.
    pub removed: usize,
    /// Virtual routers that left and came back on another kind of interface.
    pub replaced: usize,
    /// Virtual routers that got new values.
    pub changed: usize,
    /// Virtual routers that did not notice.
    pub untouched: usize,
    /// What the operator should know: about the file, values that take effect at the next start, a
    /// certificate that cannot be used, an address that cannot be listened on.
    pub warnings: Vec<String>,
}

/// Why an order was not carried out. Everything is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The configuration file has errors.
    #[error("the configuration file has errors")]
    Invalid(Errors),
    /// The change is refused.
    #[error(transparent)]
    Change(#[from] EditError),
}
