//! A parent interface: what has to be different there while virtual routers are on it.

use std::collections::BTreeSet;
use std::io;

use super::journal::{Entry, Journal};
use super::{RouterId, sysctl};

/// A parent, or `all` interfaces, with the routers that use it.
#[derive(Debug)]
pub(super) struct Parent {
    name: String,
    pub(super) users: BTreeSet<RouterId>,
    /// The gate is at its ingress.
    pub(super) attached: bool,
    wanted: Vec<Setting>,
    /// Path, value before, our value.
    changed: Vec<(String, String, String)>,
    /// What the journal has of it.
    recorded: Vec<Entry>,
}

/// A setting of a parent, with the value that it has to have.
pub(super) type Setting = (&'static str, Wanted);

/// A value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wanted {
    /// A greater one will do, too.
    AtLeast(u32),
    /// No other.
    Exactly(u32),
}

impl Wanted {
    const fn fits(self, value: u32) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::Exactly(wanted) => value == wanted,
        }
    }

    /// The value that we write.
    const fn value(self) -> u32 {
        match self {
            Self::AtLeast(value) | Self::Exactly(value) => value,
        }
    }
}

/// With macvlans. Without the first every ARP request gets two answers, one of them with the
/// physical MAC; without the second the Master's own ARP requests tell hosts that the virtual
/// address is at the physical MAC.
pub(super) const UNDER_MACVLANS: &[Setting] = &[
    ("arp_ignore", Wanted::AtLeast(1)),
    ("arp_announce", Wanted::AtLeast(2)),
];
/// With virtual addresses on the interface itself: without it the kernel takes other addresses of
/// the subnet out together with the one that was first.
pub(super) const WITH_ADDRESSES: &[Setting] = &[("promote_secondaries", Wanted::AtLeast(1))];
/// ICMP-1: the kernel would send redirects from its primary address, hosts expect them from the
/// virtual one. It sends them where the interface or `all` permits, so that both have to be off;
/// other interfaces keep their own value.
pub(super) const WITHOUT_REDIRECTS: &[Setting] = &[("send_redirects", Wanted::Exactly(0))];

impl Parent {
    /// A parent that nothing has been changed on yet.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            users: BTreeSet::new(),
            attached: false,
            wanted: Vec::new(),
            changed: Vec::new(),
            recorded: Vec::new(),
        }
    }

    /// Makes the settings, after the journal has them.
    pub(super) fn set(&mut self, settings: &[Setting], journal: &mut Journal) -> io::Result<()> {
        for setting in settings {
            if !self.wanted.contains(setting) {
                self.wanted.push(*setting);
                self.enforce(*setting, journal)?;
            }
        }
        Ok(())
    }

    /// Makes the settings again that somebody has changed, and says which.
    pub(super) fn examine(&mut self, journal: &mut Journal) -> io::Result<Vec<String>> {
        let wanted = self.wanted.clone();
        let made = wanted
            .into_iter()
            .map(|setting| self.enforce(setting, journal));
        made.filter_map(Result::transpose).collect()
    }

    /// Makes one setting where its value would not do, and says what was made.
    fn enforce(
        &mut self,
        (setting, wanted): Setting,
        journal: &mut Journal,
    ) -> io::Result<Option<String>> {
        let path = format!("net/ipv4/conf/{}/{setting}", self.name);
        let before = match sysctl::read(&path) {
            Ok(before) => before,
            // The interface is gone or has another name by now.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.wanted.is_empty() => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if before.parse().is_ok_and(|value| wanted.fits(value)) {
            return Ok(None);
        }
        if !self.changed.iter().any(|(known, ..)| *known == path) {
            let change = (path.clone(), before, wanted.value().to_string());
            let entry = entry(&change);
            journal.record([entry.clone()])?;
            self.recorded.push(entry);
            self.changed.push(change);
        }
        sysctl::write(&path, &wanted.value().to_string())?;
        Ok(Some(format!("{path} = {}", wanted.value())))
    }

    /// The interface has this name now; false where it had it before. The journal follows: what is
    /// under the old name may be another interface by the next start.
    pub(super) fn rename(&mut self, name: &str, journal: &mut Journal) -> io::Result<bool> {
        if self.name == name {
            return Ok(false);
        }
        let (old, new) = (format!("/{}/", self.name), format!("/{name}/"));
        for (path, ..) in &mut self.changed {
            *path = path.replace(&old, &new);
        }
        name.clone_into(&mut self.name);
        let entries: Vec<Entry> = self.changed.iter().map(entry).collect();
        let before = core::mem::replace(&mut self.recorded, entries.clone());
        journal.record(entries)?;
        journal.forget(|known| before.contains(known))?;
        Ok(true)
    }

    /// Takes the settings back, where nobody has changed them meanwhile.
    pub(super) fn restore(&mut self, journal: &mut Journal) -> io::Result<()> {
        let mut result = Ok(());
        for (path, before, ours) in core::mem::take(&mut self.changed) {
            let restored = restore(&path, &before, &ours);
            result = result.and(restored);
        }
        self.wanted.clear();
        let recorded = core::mem::take(&mut self.recorded);
        let forgotten = journal.forget(|known| recorded.contains(known));
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
