//! The table behind a receive socket: which virtual router of this interface has a VRID.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Doorbell;
use crate::driver::RouterId;
use crate::net::filter::VridSet;
use crate::stats::Status;
use crate::wire::advert::Expect;
use crate::wire::{Family, Vrid};

/// A virtual router as its listener sees it.
#[derive(Debug)]
pub struct Entry {
    /// Its handle.
    pub id: RouterId,
    /// Number of the worker that owns it.
    pub worker: usize,
    /// What it demands of an advertisement.
    pub expect: Expect,
    /// Its counters.
    pub status: Arc<Status>,
    /// Where hosts ring that ask for a router advertisement; none: it sends none.
    pub doorbell: Option<Arc<Doorbell>>,
}

/// The virtual routers of one interface, by family and VRID. Replaced as a whole, read without a
/// lock.
#[derive(Debug)]
pub struct Table {
    v4: ArcSwap<Entries>,
    v6: ArcSwap<Entries>,
}

type Entries = [Option<Arc<Entry>>; 256];

impl Default for Table {
    fn default() -> Self {
        let empty = || ArcSwap::from_pointee([const { None }; 256]);
        Self {
            v4: empty(),
            v6: empty(),
        }
    }
}

impl Table {
    /// Calls `found` with the router of this VRID.
    pub fn with<T>(
        &self,
        family: Family,
        vrid: Vrid,
        found: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        let entries = self.of(family).load();
        entries[usize::from(vrid.number())].as_deref().map(found)
    }

    /// Calls `found` with every router that sends router advertisements, and its doorbell.
    pub fn advertising(&self, mut found: impl FnMut(&Entry, &Doorbell)) {
        let entries = self.v6.load();
        for entry in entries.iter().flatten() {
            if let Some(doorbell) = &entry.doorbell {
                found(entry, doorbell);
            }
        }
    }

    /// Replaces all routers of a family.
    pub fn replace(&self, family: Family, routers: impl IntoIterator<Item = (Vrid, Arc<Entry>)>) {
        let mut entries = [const { None }; 256];
        for (vrid, entry) in routers {
            entries[usize::from(vrid.number())] = Some(entry);
        }
        self.of(family).store(Arc::new(entries));
    }

    /// The VRIDs of a family.
    #[must_use]
    pub fn vrids(&self, family: Family) -> VridSet {
        self.of(family)
            .load()
            .iter()
            .zip(0_u8..=255)
            .filter_map(|(entry, number)| entry.as_ref().and_then(|_| Vrid::new(number)))
            .collect()
    }

    const fn of(&self, family: Family) -> &ArcSwap<Entries> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;
    use crate::driver::RouterId;
    use crate::stats::Status;
    use crate::wire::advert::{Expect, Peers};
    use crate::wire::auth::Key;
    use crate::wire::{Mac, Versions};

    /// ND-8: the same VRID over both families is two virtual routers: each is found by its own
    /// family, goes without the other, and has its own MAC.
    #[test]
    fn families_are_apart() {
        let vrid = Vrid::new(7).unwrap();
        let entry = |number, source| {
            Arc::new(Entry {
                id: RouterId(number),
                worker: 0,
                expect: Expect {
                    versions: Versions::V3,
                    vrid,
                    source,
                    peers: Peers::Group,
                    interval: Duration::from_secs(1),
                    addresses: Vec::new(),
                    address_list_check: true,
                    owner: false,
                    auth: Key::None,
                },
                status: Arc::new(Status::default()),
                doorbell: None,
            })
        };
        let table = Table::default();
        let found = |family| table.with(family, vrid, |entry| entry.id);
        let v4 = entry(4, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let v6 = entry(6, IpAddr::V6(Ipv6Addr::LOCALHOST));
        table.replace(Family::V4, [(vrid, v4)]);
        assert_eq!(
            (found(Family::V4), found(Family::V6)),
            (Some(RouterId(4)), None)
        );
        table.replace(Family::V6, [(vrid, v6)]);
        table.replace(Family::V4, []);
        assert_eq!(
            (found(Family::V4), found(Family::V6)),
            (None, Some(RouterId(6)))
        );
        assert_ne!(
            Mac::of_virtual_router(Family::V4, vrid),
            Mac::of_virtual_router(Family::V6, vrid)
        );
    }
}
