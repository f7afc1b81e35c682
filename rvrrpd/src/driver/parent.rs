//! A parent interface: what has to be different there while macvlans are on it.

use std::collections::BTreeSet;
use std::io;

use super::journal::{Entry, Journal};
use super::{RouterId, sysctl};

/// A parent with the routers that use it.
#[derive(Debug)]
pub(super) struct Parent {
    name: String,
    pub(super) users: BTreeSet<RouterId>,
    /// Path, value before, our value.
    changed: Vec<(String, String, String)>,
}

/// Settings of a parent, with the least value that will do. Without the first every ARP request
/// gets two answers, one of them with the physical MAC; without the second the Master's own ARP
/// requests tell hosts that the virtual address is at the physical MAC.
const SETTINGS: [(&str, u32); 2] = [("arp_ignore", 1), ("arp_announce", 2)];

impl Parent {
    /// A parent that nothing has been changed on yet.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            users: BTreeSet::new(),
            changed: Vec::new(),
        }
    }

    /// Makes the settings, after the journal has them.
    pub(super) fn set(&mut self, journal: &mut Journal) -> io::Result<()> {
        if !self.changed.is_empty() {
            return Ok(());
        }
        let mut changed = Vec::new();
        for (setting, least) in SETTINGS {
            let path = format!("net/ipv4/conf/{}/{setting}", self.name);
            let before = sysctl::read(&path)?;
            if before.parse::<u32>().is_ok_and(|value| value < least) {
                changed.push((path, before, least.to_string()));
            }
        }
        journal.record(changed.iter().map(entry))?;
        for (path, _, ours) in &changed {
            sysctl::write(path, ours)?;
        }
        self.changed = changed;
        Ok(())
    }

    /// Takes the settings back, where nobody has changed them meanwhile.
    pub(super) fn restore(self, journal: &mut Journal) -> io::Result<()> {
        let mut result = Ok(());
        for (path, before, ours) in &self.changed {
            let restored = restore(path, before, ours);
            result = result.and(restored);
        }
        let entries: Vec<Entry> = self.changed.iter().map(entry).collect();
        let forgotten = journal.forget(|known| entries.contains(known));
        result.and(forgotten)
    }
}

/// Writes `before` where `ours` is still there; a setting that is gone needs nothing.
pub(super) fn restore(path: &str, before: &str, ours: &str) -> io::Result<()> {
    match sysctl::read(path) {
        Ok(now) if now == ours => sysctl::write(path, before),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn entry((path, before, ours): &(String, String, String)) -> Entry {
    Entry::Sysctl {
        path: path.clone(),
        before: before.clone(),
        ours: ours.clone(),
    }
}
