//! The sockets of the interfaces: what listener, worker and driver get of a virtual router.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Supervisor;
use crate::config::model::{RouterKey, Site};
use crate::daemon::interface::{Interface, Reader, Wanted};
use crate::daemon::{readiness, routers, threads};
use crate::driver::Plan;
use crate::net::membership::Members;
use crate::pool::{Entry, Setup};
use crate::wire::Family;

impl Supervisor {
    /// Makes the sockets of an interface fit the interface: opens them when it appears, closes
    /// them when it is gone, and does both when it is another one of the same name. Where a family
    /// is new, the old sockets close when the new ones are open, so that no membership ends.
    pub(super) fn open(&mut self, site: &Site) {
        let view = self.namespaces.view(site.netns.as_deref());
        let link = view.and_then(|view| view.link_by_name(&site.interface));
        let index = link.map(|link| link.index);
        let families: BTreeSet<Family> = self
            .routers
            .keys()
            .filter(|key| key.is_at(site))
            .map(|key| key.family)
            .collect();
        let known = self.interfaces.get_mut(site);
        let is_same = known.as_ref().map(|interface| interface.port.index) == index;
        if is_same {
            let Some(known) = known else { return };
            let could_hear = self.namespaces.enter(site.netns.as_deref(), || {
                known.join_again(&Members::read());
                families.iter().any(|family| known.could_hear(*family))
            });
            // A family that the interface lacks is no reason to disturb the other one.
            if !matches!(could_hear, Ok(true)) {
                return;
            }
        }
        if !is_same {
            self.interfaces.remove(site);
        }
        self.unbind(site, is_same);
        let Some(index) = index else { return };
        if families.is_empty() {
            return;
        }
        let families: Vec<Family> = families.into_iter().collect();
        let workers = self
            .workers
            .iter()
            .map(|worker| worker.mailbox.clone())
            .collect();
        let prepare = threads::prepare(self.config.global.realtime, threads::LISTENER);
        let (global, filter) = (&self.global, self.filter.as_ref());
        let opened = match &site.netns {
            None => {
                let (global, reader) = (Arc::clone(global), Reader::Alone(prepare));
                Interface::open(site, index, &families, workers, global, filter, reader)
            }
            // Before the namespace is entered: the thread belongs to no one namespace.
            Some(_) => self.namespaces.listener(prepare).and_then(|listener| {
                self.namespaces.enter(site.netns.as_deref(), || {
                    let reader: Reader<'_, fn()> = Reader::Shared(&listener);
                    let global = Arc::clone(global);
                    Interface::open(site, index, &families, workers, global, filter, reader)
                })?
            }),
        };
        match opened {
            Ok(interface) => {
                self.interfaces.insert(site.clone(), interface);
            }
            Err(error) => tracing::error!("sockets on interface {site}: {error}"),
        }
    }

    /// Closes the sockets of an interface that is gone, also where another one with the same name
    /// and index has come before anybody looked.
    pub(super) fn close(&mut self, netns: Option<&str>, index: u32) {
        let gone = self.interfaces.iter().find(|(site, interface)| {
            interface.port.index == index && site.netns.as_deref() == netns
        });
        let Some(site) = gone.map(|(site, _)| site.clone()) else {
            return;
        };
        self.interfaces.remove(&site);
        self.unbind(&site, false);
    }

    /// What the routers of an interface took from it is not to be used any more.
    pub(super) fn unbind(&mut self, site: &Site, stays_prepared: bool) {
        for (key, managed) in &mut self.routers {
            if key.is_at(site) {
                managed.bound = None;
                managed.published = None;
                self.outdated = true;
                managed.prepared &= stays_prepared;
            }
        }
    }

    /// Tells the listener what a router takes from its interface, where that has changed, and
    /// returns what the driver and the worker of this number have to be told.
    pub(super) fn bind(&mut self, key: &RouterKey) -> Option<(Plan, usize, Box<Setup>)> {
        let site = key.site();
        let is_filtered = self.wanted_filter(&site, key.family) == Wanted::Ebpf;
        let managed = self.routers.get_mut(key)?;
        let interface = self.interfaces.get_mut(&site)?;
        if !interface.hears(key.family) {
            managed.bound = None;
            return None;
        }
        let view = self.namespaces.view(key.netns.as_deref());
        let (_, binding) = readiness::assess(&managed.config, view);
        let binding = binding?;
        if managed.bound.as_ref() == Some(&binding) {
            return None;
        }
        let router = &managed.config;
        self.generation += 1;
        let can_absorb = self.filter.as_ref().is_some_and(|one| one.can_absorb());
        let absorbs = is_filtered && can_absorb && router.socket_filter_absorb;
        let advertising = routers::router_advertisements(router, &binding);
        let doorbell = advertising.as_ref().map(|ra| Arc::clone(&ra.doorbell));
        let setup = Setup {
            id: managed.id,
            generation: self.generation,
            title: routers::title(router).into(),
            params: routers::params(router, &binding),
            message: routers::message(router, &binding),
            router_advertisements: advertising.map(Box::new),
            port: Some(Arc::clone(&interface.port)),
            status: Arc::clone(&managed.status),
        };
        let entry = Entry {
            id: managed.id,
            worker: managed.worker,
            expect: routers::expect(router, &binding),
            status: Arc::clone(&managed.status),
            absorb: absorbs.then_some(self.generation),
            doorbell,
        };
        interface.set(router, Arc::new(entry));
        let sender = Arc::clone(&interface.port.sender);
        let namespace = self.namespaces.handle(key.netns.as_deref());
        let plan = routers::plan(managed.id, router, &binding, namespace, sender);
        managed.bound = Some(binding);
        managed.published = None;
        self.outdated = true;
        Some((plan, managed.worker, Box::new(setup)))
    }

    pub(super) fn publish(&mut self, site: &Site) {
        let Some(interface) = self.interfaces.get_mut(site) else {
            return;
        };
        if interface.is_empty() {
            // The last router has left, or none was ever bound.
            let waiting = self.routers.keys().any(|key| key.is_at(site));
            if !waiting {
                self.interfaces.remove(site);
                return;
            }
        }
        let wanted = [Family::V4, Family::V6].map(|family| self.wanted_filter(site, family));
        let wanted = |family| match family {
            Family::V4 => wanted[0],
            Family::V6 => wanted[1],
        };
        let Some(interface) = self.interfaces.get_mut(site) else {
            return;
        };
        let netns = site.netns.as_deref();
        let published = self
            .namespaces
            .enter(netns, || interface.publish(wanted))
            .and_then(|published| published);
        if let Err(error) = published {
            tracing::error!("receive socket on interface {site}: {error}");
            // Deaf it would become a second Master; `retry` opens it anew.
            self.interfaces.remove(site);
            self.unbind(site, true);
        }
    }
}
