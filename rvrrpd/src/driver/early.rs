//! Backups that do not wait for their gate: who is told to be prepared while the kernel still attaches
//! it.

use core::time::Duration;
use std::collections::BTreeSet;

use super::kernel::Kernel;
use super::prepare::Failures;
use super::{Carrier, Link, Plan, Report, RouterId};

/// What the kernel may take to attach a gate, beyond what it has taken before.
const ATTACHMENT: Duration = Duration::from_millis(10);

impl Kernel {
    /// Where the gate carries virtual MACs at one parent it does so at the others, too, but each takes
    /// the kernel 8 to 16 ms; the first one took `took`. A Backup is silent without it as with it. So
    /// whoever cannot be Master before all of them are done does not wait for that, if nothing else is to
    /// be made. Should it fail there all the same, that is told.
    pub(super) fn tell_early(
        &self,
        took: Duration,
        ids: &[RouterId],
        links: &[Link],
        failures: &Failures,
    ) -> BTreeSet<RouterId> {
        let secluded = links.iter().filter(|link| link.secluded);
        let secluded: BTreeSet<u32> = secluded.map(|link| link.index).collect();
        let routers = ids.iter().filter_map(|id| self.routers.get(id));
        let fresh = routers.filter(|router| !router.prepared);
        let fresh: Vec<&Plan> = fresh.map(|router| &router.plan).collect();
        if fresh.iter().any(|plan| plan.carrier != Carrier::Ebpf) {
            return BTreeSet::new();
        }
        let waiting: Vec<&Plan> = fresh
            .into_iter()
            .filter(|plan| !failures.contains_key(&plan.id) && !secluded.contains(&plan.parent))
            .collect();
        let parents: BTreeSet<u32> = waiting.iter().map(|plan| plan.parent).collect();
        let told: BTreeSet<RouterId> = waiting
            .iter()
            .filter(|plan| is_done_before(plan.patience, parents.len(), took))
            .map(|plan| plan.id)
            .collect();
        for id in &told {
            self.report(Report::Prepared(*id));
        }
        told
    }
}

/// Whether the gates of so many parents are attached before a router with this patience can be Master.
/// One of them `took` so long.
fn is_done_before(patience: Duration, parents: usize, took: Duration) -> bool {
    let parents = u32::try_from(parents).unwrap_or(u32::MAX);
    let all = (2 * took + ATTACHMENT).saturating_mul(parents);
    all < patience
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever can be Master earlier waits until its gate is there: nobody would get an answer.
    #[test]
    fn nobody_is_master_before_its_gate_is_there() {
        let took = Duration::from_millis(15);
        let seconds = Duration::from_secs_f64;
        assert!(is_done_before(seconds(0.3), 4, took));
        assert!(is_done_before(seconds(3.0), 60, took));
        assert!(!is_done_before(seconds(0.3), 60, took), "a long row");
        assert!(!is_done_before(seconds(0.03), 1, took), "a short interval");
        assert!(
            !is_done_before(seconds(0.3), 4, seconds(0.04)),
            "a busy kernel"
        );
        assert!(
            !is_done_before(Duration::ZERO, 0, Duration::ZERO),
            "an owner"
        );
    }
}
