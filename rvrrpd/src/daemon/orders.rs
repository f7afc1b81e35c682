//! What users order through the API.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::supervisor::Supervisor;
use super::{Context, reload};
use crate::api::{Done, Order, Refusal, Request};
use crate::config::edit::Change;

impl Supervisor {
    /// Carries out an order and answers it; one that nobody waits for any more is left out: whoever
    /// gave it was told that the daemon is busy, or has hung up, and may have given another one.
    pub(super) fn obey(&mut self, request: Request, context: &Context) {
        let Request { order, reply } = request;
        if reply.is_closed() {
            tracing::info!("an order that came too late is left out");
            return;
        }
        let result = match order {
            Order::Reload => reload::reload(self, context)
                .map(Done::Reloaded)
                .map_err(Refusal::Invalid),
            Order::Change { change, persist } => self.change_config(&change, persist, context),
        };
        // Whoever asked may have hung up meanwhile.
        let _gone = reply.send(result);
    }

    /// Changes what runs and, if it is to `persist`, what the file says: both or neither. The file
    /// is written first, because that may fail and the rest cannot.
    fn change_config(
        &mut self,
        change: &Change,
        persist: bool,
        context: &Context,
    ) -> Result<Done, Refusal> {
        let after = if persist {
            let after = self.documents.changed_for_good(change)?;
            after.save(&context.conf, &self.documents)?;
            if change.holds_secret() {
                warn_of_readers(&context.conf);
            }
            after
        } else {
            self.documents.changed(change)?
        };
        let subject = after.subject().map(str::to_owned);
        let warnings = after.warnings_since(&self.documents);
        reload::apply(self, after);
        Ok(Done::Changed { subject, warnings })
    }
}

/// Mode bits that let others than the owner read.
const READABLE: u32 = 0o044;

/// Says so where others may read the file that a secret was written into.
fn warn_of_readers(conf: &Path) {
    // It has just been written.
    let mode = fs::metadata(conf).map_or(0, |file| file.permissions().mode());
    if mode & READABLE != 0 {
        tracing::warn!(
            "a secret was written into {}, which others than its owner may read (mode {:04o}); \
             allowed: mode 0600, or auth_secret_file",
            conf.display(),
            mode & 0o7777,
        );
    }
}
