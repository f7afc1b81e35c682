//! Others at the same interface: who says that he has one of our virtual addresses, and programs
//! that see frames before the eBPF gate does. Looked at in each round.

use super::Report;
use super::dataplane::virtual_mac;
use super::kernel::Kernel;

impl Kernel {
    /// Tells who said since the last round that he has an address of an active router.
    pub(super) fn tell_conflicts(&mut self) {
        for conflict in self.gate.conflicts() {
            let mut active = self.routers.values().filter(|router| router.active);
            let whose = active.find(|router| {
                let plan = &router.plan;
                plan.parent == conflict.ifindex
                    && plan
                        .addresses
                        .iter()
                        .any(|(vip, _)| *vip == conflict.address)
                    && virtual_mac(plan) != conflict.mac
            });
            if let Some(router) = whose {
                self.report(Report::Conflict(
                    router.plan.id,
                    conflict.address,
                    conflict.mac,
                    conflict.count,
                ));
            }
        }
    }

    /// Tells of programs that have come before ours, or have gone.
    pub(super) fn look_at_neighbours(&mut self) {
        let indexes: Vec<u32> = self.parents.keys().copied().collect();
        for index in indexes {
            let Some(guard) = self.gate.guard(index) else {
                continue;
            };
            let before = self.gate.before(index);
            let known = self.parents.get(&index);
            if let Some(parent) = known.filter(|parent| parent.before != before) {
                let name = parent.name().to_owned();
                self.tell_guard(index, &name, guard);
            }
        }
    }
}
