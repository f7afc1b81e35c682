//! Reload: the new file is read apart, and only the difference is applied.

use std::collections::BTreeSet;

use super::supervisor::Supervisor;
use super::{Context, routers};
use crate::api::Done;
use crate::config::model::{RouterKey, VirtualRouter};
use crate::config::{self, Errors, GLOBAL_NEEDS_RESTART};
use crate::driver::Command;
use crate::log;

/// Reads the configuration file again and applies what differs. A file with an error changes
/// nothing. A router that did not change is not touched.
///
/// # Errors
/// What is wrong with the file; it was logged.
pub(super) fn reload(supervisor: &mut Supervisor, context: &Context) -> Result<Done, Errors> {
    let loaded = config::load(&context.conf, context.format).inspect_err(|errors| {
        for error in &errors.errors {
            tracing::error!("{error}");
        }
        tracing::error!("configuration not reloaded: everything goes on as before");
    })?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let new = loaded.config;
    let diff = config::diff(&supervisor.config, &new);
    for key in diff
        .global_changed
        .iter()
        .filter(|key| GLOBAL_NEEDS_RESTART.contains(key))
    {
        tracing::warn!("{key}: the new value takes effect at the next start");
    }
    context.log.apply(log::Settings::new(
        &new.global,
        context.debug,
        &context.base,
    ));

    let (replaced, changed): (Vec<_>, Vec<_>) = diff
        .changed
        .into_iter()
        .partition(|(old, new)| needs_replacement(old, new));
    let mut names = BTreeSet::new();
    let mut leaving: Vec<RouterKey> = diff.removed;
    leaving.extend(replaced.iter().map(|(old, _)| old.key()));
    let (added, removed) = (diff.added.len(), leaving.len() - replaced.len());
    let done = Done::Reloaded {
        added,
        removed,
        replaced: replaced.len(),
        changed: changed.len(),
        untouched: diff.unchanged,
    };
    tracing::info!(
        "configuration reloaded: {added} virtual routers added, {removed} removed, {} replaced, {} \
         changed, {} untouched",
        replaced.len(),
        changed.len(),
        diff.unchanged,
    );
    names.extend(leaving.iter().map(|key| key.interface.clone()));
    supervisor.remove(&leaving);
    for (_, router) in changed {
        names.insert(router.interface.clone());
        supervisor.change(router);
    }
    for router in replaced.into_iter().map(|(_, new)| new).chain(diff.added) {
        tracing::debug!("VR {} - Added", routers::title(&router));
        names.insert(router.interface.clone());
        supervisor.add(router);
    }
    supervisor.reloads += 1;
    supervisor.configured(new);
    if diff.static_routes_changed {
        let routes = supervisor.config.static_routes.clone();
        supervisor.tell_driver(Command::StaticRoutes(routes));
    }
    supervisor.update(&names);
    Ok(done)
}

/// Whether a router has to leave and come back: what carries its addresses is another thing.
fn needs_replacement(old: &VirtualRouter, new: &VirtualRouter) -> bool {
    old.iftype != new.iftype || old.virtual_mac != new.virtual_mac || old.netdrv != new.netdrv
}
