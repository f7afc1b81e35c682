//! A parent interface: what has to be different there while virtual routers are on it.

use std::collections::BTreeSet;
use std::io;

use super::journal::{Entry, Journal};
use super::{RouterId, sysctl};

/// Some settings of a parent, or of `all` interfaces, with the routers that need them.
#[derive(Debug)]
pub(super) struct Parent {
    name: String,
    settings: &'static [Setting],
    pub(super) users: BTreeSet<RouterId>,
    /// Path, value before, our value.
    changed: Vec<(String, String, String)>,
}

/// A setting below `net/ipv4/conf`.
#[derive(Debug)]
pub(super) struct Setting {
    name: &'static str,
    /// The value that we write.
    value: u32,
    /// Whether a greater value will do, too.
    or_more: bool,
}

impl Setting {
    fn fits(&self, value: u32) -> bool {
        value == self.value || self.or_more && value > self.value
    }
}

/// What macvlans need. Without the first every ARP request gets two answers, one of them with the
/// physical MAC; without the second the Master's own ARP requests tell hosts that the virtual
/// address is at the physical MAC.
pub(super) const UNDER_MACVLANS: [Setting; 2] = [
    Setting {
        name: "arp_ignore",
        value: 1,
        or_more: true,
    },
    Setting {
        name: "arp_announce",
        value: 2,
        or_more: true,
    },
];

/// ICMP-1: the kernel would send redirects from its primary address, hosts expect them from the
/// virtual one. It sends them where the interface or `all` permits, so that both have to be off;
/// other interfaces keep their own value.
pub(super) const WITHOUT_REDIRECTS: [Setting; 1] = [Setting {
    name: "send_redirects",
    value: 0,
    or_more: false,
}];

impl Parent {
    /// A parent that nothing has been changed on yet.
    pub(super) fn new(name: &str, settings: &'static [Setting]) -> Self {
        Self {
            name: name.to_owned(),
            settings,
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
        for setting in self.settings {
            let path = format!("net/ipv4/conf/{}/{}", self.name, setting.name);
            let before = sysctl::read(&path)?;
            if before.parse().is_ok_and(|value| !setting.fits(value)) {
                changed.push((path, before, setting.value.to_string()));
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
