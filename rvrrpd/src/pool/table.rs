//! The table behind a receive socket: which virtual router of this interface has a VRID.

use std::sync::Arc;

use arc_swap::ArcSwap;

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
