//! What the driver reports: it is taken down, then its consequences are drawn.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Guarded, Supervisor};
use crate::config::model::{RouterKey, Site};
use crate::daemon::routers;
use crate::driver::{self, Choice, KernelEvent, Report, RouterId};
use crate::log::Limiter;
use crate::net::namespace::NamespaceId;
use crate::net::sys::clock;
use crate::pool::Control;
use crate::wire::{Family, Mac, Vrid};

static CONFLICT: Limiter = Limiter::new();

/// Reports that are taken before their consequences are drawn.
const REPORTS: usize = 4096;

impl Supervisor {
    /// Takes this report and those that wait behind it, then draws the consequences of all.
    pub(super) fn reported(&mut self, first: Report) {
        let mut sites = BTreeSet::new();
        let mut report = Some(first);
        for _ in 0..REPORTS {
            let Some(next) = report else { break };
            match next {
                Report::Kernel(id, event) => self.happened(id, &event, &mut sites),
                Report::Mounts => self.namespaces.look_soon(),
                Report::Prepared(id) => self.prepared(id, true, &mut sites),
                Report::Unprepared(id, error) => {
                    self.complain(id, &error);
                    self.prepared(id, false, &mut sites);
                }
                Report::Activated(id) => self.activated(id),
                Report::ActivationFailed(id, error) => {
                    tracing::error!("VR {} - Incomplete: {error}", self.title(id));
                }
                Report::Repaired(id, what) => {
                    tracing::warn!("VR {} - Put back: {what}", self.title(id));
                }
                Report::Chosen(id, choice) => self.chosen(id, choice, &mut sites),
                Report::Conflict(id, address, mac, count) => self.conflict(id, address, mac, count),
                Report::Loaded(id, stopped) => {
                    self.stopped.insert(id, stopped);
                    self.outdated = true;
                }
                Report::Guarded(id, index, name, guard, before) => {
                    let guarded = Guarded {
                        name,
                        guard,
                        before,
                    };
                    self.guards.insert((id, index), guarded);
                    self.outdated = true;
                }
                Report::Unguarded(id, index) => {
                    self.guards.remove(&(id, index));
                    self.outdated = true;
                }
            }
            report = self.reports.try_recv().ok();
        }
        if let Some(report) = report {
            self.reported(report);
        }
        self.update(&sites);
    }

    /// Tells why a router could not be prepared, once for each cause: it is tried again and again.
    fn complain(&mut self, id: RouterId, error: &driver::Error) {
        let managed = self.keys.get(&id).and_then(|key| self.routers.get_mut(key));
        let Some(managed) = managed else { return };
        let complaint = error.to_string();
        if managed.complaint != complaint {
            let title = routers::title(&managed.config);
            // Of an interface without eBPF all its routers complain.
            if self.complaint == complaint {
                tracing::debug!("VR {title} - Not prepared: {complaint}");
            } else {
                tracing::error!("VR {title} - Not prepared: {complaint}");
            }
            self.complaint.clone_from(&complaint);
            managed.complaint = complaint;
        }
    }

    /// Takes note of what carries a router.
    fn chosen(&mut self, id: RouterId, choice: Choice, sites: &mut BTreeSet<Site>) {
        let Some(key) = self.keys.get(&id) else {
            return;
        };
        if let Some(managed) = self.routers.get_mut(key)
            && managed.choice != choice
        {
            managed.choice = choice;
            managed.published = None;
            self.outdated = true;
            sites.insert(key.site());
        }
    }

    /// Somebody else says that he has a virtual address of an active router.
    fn conflict(&self, id: RouterId, address: IpAddr, mac: Mac, count: u64) {
        let managed = self.keys.get(&id).and_then(|key| self.routers.get(key));
        let Some(managed) = managed else { return };
        managed.status.address_conflicts.add(count);
        if let Some(suppressed) = CONFLICT.allow(clock::monotonic().as_micros()) {
            tracing::warn!(
                "VR {} - Somebody else says that he has {address}: {mac} on interface {}, in {count} \
                 packets{suppressed}",
                routers::title(&managed.config),
                managed.config.site()
            );
        }
    }

    fn activated(&mut self, id: RouterId) {
        tracing::debug!("VR {} - Addresses are in", self.title(id));
        let key = self.keys.get(&id);
        if let Some(managed) = key.and_then(|key| self.routers.get(key)) {
            self.orders[managed.worker].push(Control::Activated(id));
        }
    }

    fn prepared(&mut self, id: RouterId, prepared: bool, sites: &mut BTreeSet<Site>) {
        let Some(key) = self.keys.get(&id) else {
            return;
        };
        if let Some(managed) = self.routers.get_mut(key) {
            managed.prepared = prepared;
            managed.failed = !prepared;
            if prepared {
                managed.complaint.clear();
            }
            sites.insert(key.site());
        }
    }

    /// Follows what has happened in a network namespace.
    fn happened(&mut self, id: NamespaceId, event: &KernelEvent, sites: &mut BTreeSet<Site>) {
        // One that has been let go of meanwhile.
        let Some(netns) = self.namespaces.name_of(id) else {
            return;
        };
        let netns = netns.as_deref();
        self.affected(netns, event, sites);
        if let KernelEvent::LinkGone { index, .. } = event {
            self.close(netns, *index);
        }
        if let Some(view) = self.namespaces.view_mut(netns) {
            view.apply(event);
        }
        self.affected(netns, event, sites);
        if !sites.is_empty() {
            self.calm = 0;
        }
    }

    /// Adds the interfaces with routers that an event is about.
    fn affected(&self, netns: Option<&str>, event: &KernelEvent, sites: &mut BTreeSet<Site>) {
        let index = match event {
            KernelEvent::Link(link) => link.index,
            KernelEvent::LinkGone { index, .. } => *index,
            KernelEvent::Address(address) | KernelEvent::AddressGone(address) => address.index,
            KernelEvent::RouteGone(_) => return,
            KernelEvent::Resync(..) => {
                let of_it = self.routers.keys();
                let of_it = of_it.filter(|key| key.netns.as_deref() == netns);
                sites.extend(of_it.map(RouterKey::site));
                return;
            }
        };
        let view = self.namespaces.view(netns);
        if let Some(link) = view.and_then(|view| view.link(index)) {
            let site = Site {
                netns: netns.map(str::to_owned),
                interface: link.name.clone(),
            };
            if self.is_used(&site) {
                sites.insert(site);
            }
        }
    }

    /// Whether a virtual router is configured on this interface. It is asked for each event of a
    /// thousand macvlans, so it looks at one router.
    fn is_used(&self, site: &Site) -> bool {
        let lowest = RouterKey {
            netns: site.netns.clone(),
            interface: site.interface.clone(),
            family: Family::V4,
            vrid: Vrid::MIN,
        };
        let mut from = self.routers.range(lowest..);
        from.next().is_some_and(|(key, _)| key.site() == *site)
    }
}
