//! What works for the virtual routers in the kernel: the filter of the receive socket, the gate.

use std::collections::{BTreeMap, HashMap};

use super::interface::Wanted;
use super::supervisor::Supervisor;
use crate::api::AtWork;
use crate::config::model::{FilterType, Site, VirtualRouter};
use crate::driver::{Plane, RouterId};
use crate::net::namespace::NamespaceId;
use crate::wire::Family;

impl Supervisor {
    /// What works for each virtual router. All at once: one by one each would ask all others what
    /// they want.
    pub(super) fn at_work(&self) -> HashMap<RouterId, AtWork> {
        let mut wanted: BTreeMap<(Site, Family), Wanted> = BTreeMap::new();
        for (key, managed) in &self.routers {
            let own = filter_of(&managed.config);
            let all = wanted.entry((key.site(), key.family)).or_insert(own);
            *all = (*all).min(own);
        }
        let routers = self.routers.iter().map(|(key, managed)| {
            let site = key.site();
            let wanted = wanted.get(&(site.clone(), key.family));
            let wanted = self.possible(&site, wanted.copied().unwrap_or(Wanted::Ebpf));
            let at_work = AtWork {
                socket_filter: self.filter_name(wanted),
                gate: match managed.choice.plane {
                    // It is the data plane itself.
                    Some(plane @ Plane::Ebpf) => Some(plane.name()),
                    Some(Plane::Macvlan) => self.gate_at(&site),
                    Some(Plane::Ether) | None => None,
                },
            };
            (managed.id, at_work)
        });
        routers.collect()
    }

    /// Name of the filter that the socket of an interface and family has.
    pub(super) fn filter_in_use(&self, site: &Site, family: Family) -> &'static str {
        self.filter_name(self.wanted_filter(site, family))
    }

    fn filter_name(&self, wanted: Wanted) -> &'static str {
        match wanted {
            Wanted::None => "none",
            Wanted::Ebpf if self.filter.is_some() => "ebpf",
            Wanted::Ebpf | Wanted::Classic => "classic",
        }
    }

    /// Which filter the socket of an interface and family is to have: what one of its routers does
    /// not want, none gets.
    pub(super) fn wanted_filter(&self, site: &Site, family: Family) -> Wanted {
        let routers = self.routers.iter();
        let here = routers.filter(|(key, _)| key.is_at(site) && key.family == family);
        let wanted = here.map(|(_, managed)| filter_of(&managed.config)).min();
        self.possible(site, wanted.unwrap_or(Wanted::Ebpf))
    }

    /// What can be had of it on this interface.
    fn possible(&self, site: &Site, wanted: Wanted) -> Wanted {
        let view = self.namespaces.view(site.netns.as_deref());
        wanted.on(view.and_then(|view| view.link_by_name(&site.interface)))
    }

    fn gate_at(&self, site: &Site) -> Option<&'static str> {
        let namespace = match site.netns.as_deref() {
            None => NamespaceId::OWN,
            netns => self.namespaces.handle(netns)?.id,
        };
        let view = self.namespaces.view(site.netns.as_deref())?;
        let index = view.link_by_name(&site.interface)?.index;
        let guarded = self.guards.get(&(namespace, index))?;
        Some(guarded.guard.name())
    }
}

const fn filter_of(router: &VirtualRouter) -> Wanted {
    match (router.socket_filter, router.socket_filter_type) {
        (false, _) => Wanted::None,
        (true, FilterType::Classic) => Wanted::Classic,
        (true, FilterType::Auto | FilterType::Ebpf) => Wanted::Ebpf,
    }
}
