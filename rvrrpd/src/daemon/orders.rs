//! What users order through the API.

use std::collections::BTreeSet;

use super::supervisor::Supervisor;
use super::{Context, reload, routers};
use crate::api::{Done, Order, Refusal, Request};

impl Supervisor {
    /// Carries out an order and answers it.
    pub(super) fn obey(&mut self, request: Request, context: &Context) {
        let Request { order, reply } = request;
        let result = match order {
            Order::Reload => reload::reload(self, context).map_err(Refusal::Invalid),
            Order::Enable { name, enabled } => self.enable(&name, enabled),
        };
        // Whoever asked may have hung up.
        let _gone = reply.send(result);
    }

    /// Lets a virtual router run, or not. The next reload goes by the file again.
    fn enable(&mut self, name: &str, enabled: bool) -> Result<Done, Refusal> {
        let mut config = (*self.config).clone();
        let router = config
            .vrouters
            .iter_mut()
            .find(|router| router.name == name)
            .ok_or(Refusal::Unknown)?;
        if router.enabled == enabled {
            return Ok(Done::Enabled);
        }
        router.enabled = enabled;
        let router = router.clone();
        let title = routers::title(&router);
        tracing::info!(
            "VR {title} - {}",
            if enabled { "Enabled" } else { "Disabled" }
        );
        let names = BTreeSet::from([router.interface.clone()]);
        self.change(router);
        self.configured(config);
        self.update(&names);
        Ok(Done::Enabled)
    }
}
