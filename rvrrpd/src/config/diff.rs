//! The difference of two configurations: what a reload has to do.

use std::collections::HashMap;
use std::sync::Arc;

use super::model::{Config, RouterKey, VirtualRouter};

/// Top-level keys whose change takes effect at the next start only.
pub const GLOBAL_NEEDS_RESTART: &[&str] = &["pid", "working_dir", "run_dir", "workers", "realtime"];

/// What differs between two configurations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Virtual routers that are only in the new one, in its order.
    pub added: Vec<Arc<VirtualRouter>>,
    /// Virtual routers that are only in the old one, in its order.
    pub removed: Vec<RouterKey>,
    /// Virtual routers that are in both and differ, old and new, in the order of the new one.
    pub changed: Vec<(Arc<VirtualRouter>, Arc<VirtualRouter>)>,
    /// How many virtual routers are in both and are the same.
    pub unchanged: usize,
    /// Whether the static routes differ.
    pub static_routes_changed: bool,
    /// Names of the top-level keys that differ; see [`GLOBAL_NEEDS_RESTART`].
    pub global_changed: Vec<&'static str>,
}

/// What makes `new` out of `old`. Virtual routers are compared by [`VirtualRouter::key`]; their
/// order in the file means nothing.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut gone: HashMap<RouterKey, &Arc<VirtualRouter>> = old
        .vrouters
        .iter()
        .map(|router| (router.key(), router))
        .collect();
    let mut diff = Diff {
        static_routes_changed: old.static_routes != new.static_routes,
        global_changed: global(old, new),
        ..Diff::default()
    };
    for router in &new.vrouters {
        match gone.remove(&router.key()) {
            None => diff.added.push(Arc::clone(router)),
            Some(before) if before == router => diff.unchanged += 1,
            Some(before) => diff.changed.push((Arc::clone(before), Arc::clone(router))),
        }
    }
    diff.removed = old
        .vrouters
        .iter()
        .map(|router| router.key())
        .filter(|key| gone.contains_key(key))
        .collect();
    diff
}

fn global(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.global, &new.global);
    [
        ("debug", a.debug != b.debug),
        ("time_zone", a.time_zone != b.time_zone),
        ("time_format", a.time_format != b.time_format),
        ("log_format", a.log_format != b.log_format),
        ("log_target", a.log_target != b.log_target),
        ("pid", a.pid != b.pid),
        ("working_dir", a.working_dir != b.working_dir),
        ("run_dir", a.run_dir != b.run_dir),
        ("main_log", a.main_log != b.main_log),
        ("error_log", a.error_log != b.error_log),
        ("workers", a.workers != b.workers),
        ("realtime", a.realtime != b.realtime),
        ("api", old.api != new.api),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}
