//! What the supervisor knows of a virtual router and of a gate.

use std::sync::Arc;

use crate::api::{AtWork, Bound, Published};
use crate::config::model::VirtualRouter;
use crate::daemon::readiness::Binding;
use crate::driver::{Choice, Guard, RouterId};
use crate::fsm::Reasons;
use crate::stats::Status;

/// The gate of an interface.
#[derive(Debug)]
pub(in crate::daemon) struct Guarded {
    /// Name of the interface.
    pub(in crate::daemon) name: String,
    /// Whose the gate is.
    pub(in crate::daemon) guard: Guard,
    /// Programs of others that see frames before it does.
    pub(in crate::daemon) before: Vec<String>,
}

/// A virtual router as the supervisor sees it.
#[derive(Debug)]
pub(in crate::daemon) struct Managed {
    pub(in crate::daemon) config: Arc<VirtualRouter>,
    pub(in crate::daemon) status: Arc<Status>,
    /// What was published; none: it has changed since.
    pub(in crate::daemon) published: Option<Arc<Published>>,
    pub(in crate::daemon) id: RouterId,
    pub(in crate::daemon) worker: usize,
    /// What worker, listener and driver were told last; none: nothing yet.
    pub(in crate::daemon) bound: Option<Binding>,
    /// The reasons that were told last.
    pub(in crate::daemon) reasons: Option<Reasons>,
    /// What carries it.
    pub(in crate::daemon) choice: Choice,
    /// What a Backup needs is in the kernel.
    pub(in crate::daemon) prepared: bool,
    /// It is not, and has to be tried again.
    pub(super) failed: bool,
    /// Why not, as it was told last.
    pub(super) complaint: String,
}

impl Managed {
    /// The router as others are to see it.
    pub(super) fn published(&mut self, at_work: AtWork) -> Arc<Published> {
        self.published.take_if(|known| known.at_work != at_work);
        let (config, status, bound) = (&self.config, &self.status, &self.bound);
        let choice = &self.choice;
        let published = self.published.get_or_insert_with(|| {
            Arc::new(Published {
                config: Arc::clone(config),
                status: Arc::clone(status),
                bound: bound.as_ref().map(|binding| Bound {
                    source: binding.source,
                    mac: binding.mac,
                }),
                choice: choice.clone(),
                at_work,
            })
        });
        Arc::clone(published)
    }
}
