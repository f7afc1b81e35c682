//! What there is to see of the daemon.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Supervisor;
use crate::api::{Registry, Snapshot};
use crate::config::model::{RouterKey, Site};
use crate::stats::Rejects;
use crate::wire::verdict::Reject;

impl Supervisor {
    /// Where the supervisor publishes what there is to see.
    pub(in crate::daemon) fn registry(&mut self) -> Arc<Registry> {
        if let Some(registry) = &self.api.registry {
            return Arc::clone(registry);
        }
        let registry = Arc::new(Registry::new(self.snapshot()));
        self.api.registry = Some(Arc::clone(&registry));
        registry
    }

    /// Shows the API what has changed since it was shown last.
    pub(super) fn publish_snapshot(&mut self) {
        if let Some(registry) = self.api.registry.clone()
            && self.outdated
        {
            registry.publish(self.snapshot());
        }
    }

    pub(super) fn snapshot(&mut self) -> Snapshot {
        self.outdated = false;
        let at_work = self.at_work();
        let keys = self.config.vrouters.iter().map(|router| router.key());
        let routers = keys.filter_map(|key| {
            let managed = self.routers.get_mut(&key)?;
            let at_work = at_work.get(&managed.id).copied().unwrap_or_default();
            Some(managed.published(at_work))
        });
        Snapshot {
            routers: routers.collect(),
            config: Arc::clone(&self.config),
            global: Arc::clone(&self.global),
            filter: self.filter.clone(),
            gates: self.stopped.values().cloned().collect(),
            gauges: Arc::clone(&self.api.gauges),
            reloads: self.reloads,
        }
    }

    /// Number of interfaces that virtual routers are configured on (RFC 8347 `interfaces`).
    pub(in crate::daemon) fn used_interfaces(&self) -> usize {
        let sites: BTreeSet<Site> = self.routers.keys().map(RouterKey::site).collect();
        sites.len()
    }

    /// Every refused packet by rule, also those that the kernel refused.
    pub(in crate::daemon) fn refused(&self) -> Rejects {
        let all = Rejects::default();
        let delivered = self.global.rejects.broken();
        let foreign = self.filter.as_ref().map_or(0, |filter| filter.foreign());
        let of_routers = self.routers.values();
        let in_kernel = of_routers.flat_map(|managed| managed.status.refused_in_kernel());
        for (reject, count) in delivered.chain([(Reject::Vrid, foreign)]).chain(in_kernel) {
            all.of(reject).add(count);
        }
        all
    }
}
