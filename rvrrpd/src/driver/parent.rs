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
    /// The gate is at its ingress.
    pub(super) attached: bool,
    /// Path, value before, our value.
    changed: Vec<(String, String, String)>,
    /// What the journal has of it.
    recorded: Vec<Entry>,
}

/// A setting of a parent, with the least value that will do.
pub(super) type Setting = (&'static str, u32);

/// With macvlans. Without the first every ARP request gets two answers, one of them with the
/// physical MAC; without the second the Master's own ARP requests tell hosts that the virtual
/// address is at the physical MAC.
pub(super) const UNDER_MACVLANS: &[Setting] = &[("arp_ignore", 1), ("arp_announce", 2)];
/// With virtual addresses on the interface itself: without it the kernel takes other addresses of
/// the subnet out together with the one that was first.
pub(super) const WITH_ADDRESSES: &[Setting] = &[("promote_secondaries", 1)];

impl Parent {
    /// A parent that nothing has been changed on yet.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            users: BTreeSet::new(),
            attached: false,
            changed: Vec::new(),
            recorded: Vec::new(),
        }
    }

    /// Makes the settings, after the journal has them.
    pub(super) fn set(&mut self, settings: &[Setting], journal: &mut Journal) -> io::Result<()> {
        let mut changes = Vec::new();
        for (setting, least) in settings {
            let path = format!("net/ipv4/conf/{}/{setting}", self.name);
            if self.changed.iter().any(|(known, ..)| *known == path) {
                continue;
            }
            let before = sysctl::read(&path)?;
            if before.parse::<u32>().is_ok_and(|value| value < *least) {
                changes.push((path, before, least.to_string()));
            }
        }
        let entries: Vec<Entry> = changes.iter().map(entry).collect();
        journal.record(entries.clone())?;
        self.recorded.extend(entries);
        for (path, _, ours) in &changes {
            sysctl::write(path, ours)?;
        }
        self.changed.extend(changes);
        Ok(())
    }

    /// Makes the settings again that somebody has changed back, and says which.
    pub(super) fn examine(&self) -> Vec<String> {
        let changed_back = self.changed.iter().filter(|(path, before, ours)| {
            sysctl::read(path).is_ok_and(|now| now == *before) && sysctl::write(path, ours).is_ok()
        });
        changed_back
            .map(|(path, _, ours)| format!("{path} = {ours}"))
            .collect()
    }

    /// The interface has this name now; false where it had it before.
    pub(super) fn rename(&mut self, name: &str) -> bool {
        if self.name == name {
            return false;
        }
        let (old, new) = (format!("/{}/", self.name), format!("/{name}/"));
        for (path, ..) in &mut self.changed {
            *path = path.replace(&old, &new);
        }
        name.clone_into(&mut self.name);
        true
    }

    /// Takes the settings back, where nobody has changed them meanwhile.
    pub(super) fn restore(self, journal: &mut Journal) -> io::Result<()> {
        let mut result = Ok(());
        for (path, before, ours) in &self.changed {
            let restored = restore(path, before, ours);
            result = result.and(restored);
        }
        let forgotten = journal.forget(|known| self.recorded.contains(known));
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
