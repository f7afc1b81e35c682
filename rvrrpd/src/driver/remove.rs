//! Removal: everything of a router leaves the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::gate::Change;
use super::journal::Entry;
use super::kernel::{Kernel, Known};
use super::netlink::{self, Request};
use super::{Error, RouterId};
use crate::hands::{all_at_once, beside};
use crate::net::station::Station;

/// Single links up to this number are deleted one by one, 15 ms each; more of them by group, 40 ms
/// for all.
const FEW: usize = 2;

impl Kernel {
    /// Removes everything of these routers.
    pub(super) fn remove(&mut self, ids: &[RouterId]) -> Result<(), Error> {
        self.elect(
            &ids.iter()
                .map(|id| (*id, false))
                .collect::<BTreeMap<_, _>>(),
        );
        let mut gone: Vec<Entry> = ids.iter().flat_map(|id| self.entries(*id)).collect();
        let leaving: Vec<Known> = ids
            .iter()
            .filter_map(|id| self.routers.remove(id))
            .collect();
        // Before the macvlans go: another daemon on the interface sees these go, and makes at once
        // the settings again that it needs.
        self.restore_settings(&leaving);
        let vifs: BTreeSet<u32> = leaving.iter().filter_map(|router| router.vif).collect();
        let mut result = self
            .delete_links(&vifs)
            .map_err(|error| Error::new("macvlans", error));
        for router in &leaving {
            self.withdraw_duties(router);
        }
        // What was behind the closed gate is gone, so it may open.
        let opened: Vec<Change> = leaving
            .iter()
            .flat_map(|router| router.dataplane().released(router))
            .collect();
        let moved = self.gate.apply(&opened, &mut self.journal);
        let moved = moved.map_err(|error| Error::new("gate", error));
        result = result.and(moved);
        for router in &leaving {
            self.leave_station(&router.plan, None);
            self.leave_parent(router.plan.parent, router.plan.id);
        }
        let kept: Vec<Entry> = self
            .routers
            .keys()
            .flat_map(|id| self.entries(*id))
            .collect();
        gone.retain(|entry| !kept.contains(entry));
        let forgotten = self.journal.forget(|entry| gone.contains(entry));
        let forgotten = forgotten.map_err(|error| Error::new("journal", error));
        result.and(forgotten)
    }

    /// Removes everything that is ours.
    pub(super) fn remove_all(mut self) -> Result<(), Error> {
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        // Closed as a whole, while the gates are detached: both wait for the kernel.
        let parents = self.parents.values_mut();
        let stations: Vec<Station> = parents.filter_map(|one| one.station.take()).collect();
        let removed = beside(
            || drop(all_at_once(stations, &|| {}, drop)),
            || self.remove(&ids),
        );
        let gate = self
            .gate
            .remove()
            .map_err(|error| Error::new("gate", error));
        removed.and(gate)?;
        self.journal
            .clear()
            .map_err(|error| Error::new("journal", error))
    }

    /// Takes back the settings that nobody but these routers needs.
    fn restore_settings(&mut self, leaving: &[Known]) {
        for Known { plan, .. } in leaving {
            let all = self.all.need_only(plan.id, &[], &mut self.journal);
            let parent = self.parents.get_mut(&plan.parent);
            let restored = parent.map_or(Ok(()), |parent| {
                parent.need_only(plan.id, &[], &mut self.journal)
            });
            if let Err(error) = all.and(restored) {
                tracing::error!("settings of an interface are not as they were: {error}");
            }
        }
    }

    fn delete_links(&mut self, vifs: &BTreeSet<u32>) -> io::Result<()> {
        if vifs.is_empty() {
            return Ok(());
        }
        let links = self.netlink.links()?;
        let members = |group| links.iter().filter(move |link| link.group == group);
        let requests: Vec<Request> =
            if members(self.group.number).all(|link| vifs.contains(&link.index)) {
                vec![netlink::delete_group(self.group.number)]
            } else if vifs.len() <= FEW || members(self.group.number + 1).next().is_some() {
                vifs.iter()
                    .map(|index| netlink::delete_link(*index))
                    .collect()
            } else {
                // Those that leave get a group of their own for the moment.
                let moved = vifs
                    .iter()
                    .map(|index| netlink::set_group(*index, self.group.number + 1));
                moved
                    .chain([netlink::delete_group(self.group.number + 1)])
                    .collect()
            };
        let refused = self
            .netlink
            .batch(&requests)
            .into_iter()
            .find_map(Result::err);
        refused.map_or(Ok(()), |refusal| Err(refusal.into_error()))
    }
}
