//! A parent interface: what has to be different there while virtual routers are on it.

use std::collections::BTreeMap;
use std::io;

use super::journal::{Entry, Journal};
use super::{Carrier, Plan, Plane, RouterId, sysctl};
use crate::net::station::Station;
use crate::wire::Family;

/// A parent, or all interfaces together, with the routers that use it.
#[derive(Debug)]
pub(super) struct Parent {
    name: String,
    /// What each router needs here.
    users: BTreeMap<RouterId, Vec<Setting>>,
    /// A gate is at its ingress.
    pub(super) attached: bool,
    /// The eBPF gate is, for virtual MACs without an interface.
    pub(super) carries: bool,
    /// What `iftype = "auto"` is here, as the log told last.
    pub(super) chosen: Option<Plane>,
    /// Other programs that see its frames before the eBPF gate does, as they were told last.
    pub(super) before: Vec<String>,
    /// What makes it take frames to such virtual MACs; none while there are none.
    pub(super) station: Option<Station>,
    /// What is wanted, and by how many routers.
    wanted: Vec<(Setting, usize)>,
    /// Path, value before, our value.
    changed: Vec<(String, String, String)>,
    /// What the journal has of it.
    recorded: Vec<Entry>,
}

/// A setting, with the value that it has to have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Setting {
    /// Path below `/proc/sys`; `{}` in it is the name of the interface.
    path: &'static str,
    wanted: Wanted,
    /// What the router does without it.
    without: Without,
}

/// A value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    /// A greater one will do, too.
    AtLeast(u32),
    /// No other.
    Exactly(u32),
}

/// What a router does where a setting cannot be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Without {
    /// It does not run.
    Stops,
    /// It runs; what that means is logged.
    Runs(&'static str),
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

const fn vital(path: &'static str, least: u32) -> Setting {
    Setting {
        path,
        wanted: Wanted::AtLeast(least),
        without: Without::Stops,
    }
}

/// With macvlans. Without it every ARP request gets two answers, one of them with the physical MAC.
const ARP_IGNORE: Setting = vital("net/ipv4/conf/{}/arp_ignore", 1);
/// Where virtual addresses are on the parent or on macvlans: without it the Master's own ARP
/// requests tell hosts that a virtual address is at the physical MAC.
const ARP_ANNOUNCE: Setting = vital("net/ipv4/conf/{}/arp_announce", 2);
/// With virtual addresses of the subnet on the interface itself: without it the kernel takes other
/// addresses of the subnet out together with the one that was first.
const PROMOTE_SECONDARIES: Setting = vital("net/ipv4/conf/{}/promote_secondaries", 1);
/// ICMP-1: the kernel would send redirects from its primary address, hosts expect them from the
/// virtual one. It sends them where the interface or `all` permits, so that both have to be off;
/// other interfaces keep their own value.
const SEND_REDIRECTS: Setting = Setting {
    path: "net/ipv4/conf/{}/send_redirects",
    wanted: Wanted::Exactly(0),
    without: Without::Runs("ICMP redirects are not switched off"),
};
/// `nonlocal_bind`, of a whole network namespace.
const NONLOCAL_BIND: Without = Without::Runs("nobody can bind to virtual addresses as Backup");

/// What a router needs of its parent. One that answers by the eBPF gate and accepts nothing has no
/// address here, and needs nothing: hosts ignore redirects that do not come from their gateway's
/// address (RFC 1122 §3.2.2.2).
pub(super) fn of_parent(plan: &Plan) -> &'static [Setting] {
    match plan.carrier {
        Carrier::Macvlan { .. } | Carrier::Best { .. } => {
            &[SEND_REDIRECTS, ARP_IGNORE, ARP_ANNOUNCE]
        }
        Carrier::Ether { .. } => &[SEND_REDIRECTS, PROMOTE_SECONDARIES],
        Carrier::Ebpf if plan.accept && plan.family == Family::V4 => {
            &[SEND_REDIRECTS, ARP_ANNOUNCE]
        }
        Carrier::Ebpf => &[],
    }
}

/// What a router needs of all interfaces of the network namespace.
pub(super) fn of_all(plan: &Plan) -> Vec<Setting> {
    let of_parent = of_parent(plan).iter().copied();
    let mut all: Vec<Setting> = of_parent
        .filter(|setting| *setting == SEND_REDIRECTS)
        .collect();
    if plan.nonlocal_bind {
        all.push(Setting {
            path: match plan.family {
                Family::V4 => "net/ipv4/ip_nonlocal_bind",
                Family::V6 => "net/ipv6/ip_nonlocal_bind",
            },
            wanted: Wanted::Exactly(1),
            without: NONLOCAL_BIND,
        });
    }
    all
}

impl Parent {
    /// A parent that nothing has been changed on yet.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            users: BTreeMap::new(),
            attached: false,
            carries: false,
            chosen: None,
            before: Vec::new(),
            station: None,
            wanted: Vec::new(),
            changed: Vec::new(),
            recorded: Vec::new(),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether no router uses it.
    pub(super) fn is_unused(&self) -> bool {
        self.users.is_empty()
    }

    /// One of the routers that use it.
    pub(super) fn any_user(&self) -> Option<RouterId> {
        self.users.keys().next().copied()
    }

    /// A router needs these settings, beside what it needs already; they are made, after the
    /// journal has them.
    pub(super) fn need(
        &mut self,
        id: RouterId,
        settings: &[Setting],
        journal: &mut Journal,
    ) -> io::Result<()> {
        let known = self.users.entry(id).or_default();
        for setting in settings {
            if known.contains(setting) {
                continue;
            }
            if let Some((_, count)) = self.wanted.iter_mut().find(|(one, _)| one == setting) {
                *count += 1;
            } else {
                let made = enforce(
                    &self.name,
                    *setting,
                    &mut self.changed,
                    &mut self.recorded,
                    journal,
                );
                match (made, setting.without) {
                    (Ok(_), _) => {}
                    (Err(error), Without::Stops) => return Err(error),
                    (Err(error), Without::Runs(what)) => {
                        tracing::warn!("interface {}: {what}: {error}", self.name);
                    }
                }
                self.wanted.push((*setting, 1));
            }
            known.push(*setting);
        }
        Ok(())
    }

    /// A router needs these settings and no other; what nobody needs any more is taken back, where
    /// nobody has changed it meanwhile.
    pub(super) fn need_only(
        &mut self,
        id: RouterId,
        settings: &[Setting],
        journal: &mut Journal,
    ) -> io::Result<()> {
        let Some(known) = self.users.get_mut(&id) else {
            return Ok(());
        };
        let (kept, ended): (Vec<Setting>, Vec<Setting>) =
            known.iter().partition(|one| settings.contains(one));
        *known = kept;
        for (_, count) in self
            .wanted
            .iter_mut()
            .filter(|(setting, _)| ended.contains(setting))
        {
            *count -= 1;
        }
        let gone: Vec<String> = self
            .wanted
            .extract_if(.., |(_, count)| *count == 0)
            .map(|(setting, _)| setting.path.replace("{}", &self.name))
            .collect();
        self.restore(|path| gone.iter().any(|gone| gone == path), journal)
    }

    /// A router leaves.
    pub(super) fn leave(&mut self, id: RouterId, journal: &mut Journal) -> io::Result<()> {
        let restored = self.need_only(id, &[], journal);
        self.users.remove(&id);
        restored
    }

    /// Makes the settings again that somebody has changed, and says which.
    pub(super) fn examine(&mut self, journal: &mut Journal) -> io::Result<Vec<String>> {
        let mut made = Vec::new();
        for (setting, _) in &self.wanted {
            made.extend(enforce(
                &self.name,
                *setting,
                &mut self.changed,
                &mut self.recorded,
                journal,
            )?);
        }
        Ok(made)
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

    /// Takes back the settings whose paths are `gone`.
    fn restore(&mut self, gone: impl Fn(&str) -> bool, journal: &mut Journal) -> io::Result<()> {
        let mut result = Ok(());
        let ended: Vec<_> = self
            .changed
            .extract_if(.., |(path, ..)| gone(path))
            .collect();
        for (path, before, ours) in &ended {
            let restored = restore(path, before, ours);
            result = result.and(restored);
        }
        if ended.is_empty() {
            return result;
        }
        let entries: Vec<Entry> = ended.iter().map(entry).collect();
        self.recorded.retain(|known| !entries.contains(known));
        let forgotten = journal.forget(|known| entries.contains(known));
        result.and(forgotten)
    }
}

/// Makes one setting where its value would not do, and says what was made.
fn enforce(
    interface: &str,
    Setting { path, wanted, .. }: Setting,
    changed: &mut Vec<(String, String, String)>,
    recorded: &mut Vec<Entry>,
    journal: &mut Journal,
) -> io::Result<Option<String>> {
    let path = path.replace("{}", interface);
    let before = match sysctl::read(&path) {
        Ok(before) => before,
        // The interface is gone or has another name by now, or the kernel lacks the family.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if before.parse().is_ok_and(|value| wanted.fits(value)) {
        return Ok(None);
    }
    if !changed.iter().any(|(known, ..)| *known == path) {
        let change = (path.clone(), before, wanted.value().to_string());
        let entry = entry(&change);
        journal.record([entry.clone()])?;
        recorded.push(entry);
        changed.push(change);
    }
    sysctl::write(&path, &wanted.value().to_string())?;
    Ok(Some(format!("{path} = {}", wanted.value())))
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
