//! Reload: the new file is read apart, and only the difference is applied.

use std::collections::BTreeSet;

use super::documents::Documents;
use super::supervisor::Supervisor;
use super::{Context, routers};
use crate::api::Applied;
use crate::config::edit::Document;
use crate::config::model::{InterfaceType, RouterKey, VirtualRouter};
use crate::config::{self, Errors, GLOBAL_NEEDS_RESTART};
use crate::driver::{Command, Plane};
use crate::log;

/// Reads the configuration file again and applies what differs. A file with an error changes
/// nothing. A router that did not change is not touched.
///
/// # Errors
/// What is wrong with the file; it was logged.
pub(super) fn reload(supervisor: &mut Supervisor, context: &Context) -> Result<Applied, Errors> {
    let file = Document::load(&context.conf, context.format).inspect_err(|errors| {
        for error in &errors.errors {
            tracing::error!("{error}");
        }
        tracing::error!("configuration not reloaded: everything goes on as before");
    })?;
    let new = file.config();
    let diff = config::diff(&supervisor.config, new);
    let late = diff.global_changed.iter();
    let late = late.filter(|key| GLOBAL_NEEDS_RESTART.contains(key));
    let late = late.map(|key| format!("{key}: the new value takes effect at the next start"));
    let warnings: Vec<String> = file.warnings().iter().map(ToString::to_string).collect();
    let warnings: Vec<String> = warnings.into_iter().chain(late).collect();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    context.log.apply(log::Settings::new(
        &new.global,
        context.debug,
        &context.base,
    ));
    supervisor.reloads += 1;
    let done = Applied {
        warnings,
        ..apply(supervisor, Documents::new(file))
    };
    tracing::info!(
        "configuration reloaded: {} virtual routers added, {} removed, {} replaced, {} changed, {} \
         untouched",
        done.added,
        done.removed,
        done.replaced,
        done.changed,
        done.untouched,
    );
    Ok(done)
}

/// Lets what these texts say run: only the difference is applied.
pub(super) fn apply(supervisor: &mut Supervisor, documents: Documents) -> Applied {
    let diff = config::diff(&supervisor.config, &documents.config());
    let (replaced, changed): (Vec<_>, Vec<_>) = diff
        .changed
        .into_iter()
        .partition(|(old, new)| needs_replacement(supervisor, old, new));
    let mut sites = BTreeSet::new();
    let mut leaving: Vec<RouterKey> = diff.removed;
    leaving.extend(replaced.iter().map(|(old, _)| old.key()));
    let (added, removed) = (diff.added.len(), leaving.len() - replaced.len());
    let done = Applied {
        added,
        removed,
        replaced: replaced.len(),
        changed: changed.len(),
        untouched: diff.unchanged,
        warnings: Vec::new(),
    };
    sites.extend(leaving.iter().map(RouterKey::site));
    supervisor.remove(&leaving);
    for (_, router) in changed {
        sites.insert(router.site());
        supervisor.change(router);
    }
    for router in replaced.into_iter().map(|(_, new)| new).chain(diff.added) {
        tracing::debug!("VR {} - Added", routers::title(&router));
        sites.insert(router.site());
        supervisor.add(router);
    }
    supervisor.configured(documents);
    if diff.static_routes_changed {
        let routes = supervisor.config.static_routes.clone();
        supervisor.tell_driver(Command::StaticRoutes(routes));
    }
    sites.extend(supervisor.follow_namespaces());
    supervisor.update(&sites);
    // Whoever asked for it sees what follows from it.
    supervisor.wait_for_workers();
    done
}

/// Whether a router has to leave and come back: what carries its addresses is another thing. What
/// `auto` has chosen may be asked for by its name, and the other way round.
fn needs_replacement(supervisor: &Supervisor, old: &VirtualRouter, new: &VirtualRouter) -> bool {
    let runs = supervisor
        .routers
        .get(&old.key())
        .and_then(|managed| managed.choice.plane);
    let wanted = routers::choice(new.iftype).plane;
    let is_same = match (old.iftype, new.iftype) {
        (InterfaceType::Auto, _) => runs.is_some() && wanted == runs,
        (_, InterfaceType::Auto) => runs == Some(Plane::Ebpf),
        (old, new) => old == new,
    };
    !is_same && old.iftype != new.iftype
        || old.virtual_mac != new.virtual_mac
        || old.netdrv != new.netdrv
}
