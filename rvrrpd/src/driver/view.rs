//! What the kernel says now about links and addresses, kept by its events.

use std::collections::BTreeMap;

use super::{Address, KernelEvent, Link};

/// Links and their addresses, without the macvlans of rvrrpd, of which there may be thousands.
#[derive(Clone, Debug, Default)]
pub struct View {
    links: BTreeMap<u32, Link>,
    /// By interface index, in the order in which the kernel added them.
    addresses: BTreeMap<u32, Vec<Address>>,
}

impl View {
    /// Follows an event.
    pub fn apply(&mut self, event: &KernelEvent) {
        match event {
            KernelEvent::Link(link) if link.is_of_rvrrpd() => self.forget(link.index),
            KernelEvent::Link(link) => {
                self.links.insert(link.index, link.clone());
            }
            KernelEvent::LinkGone { index, .. } => self.forget(*index),
            KernelEvent::Address(address) if !self.links.contains_key(&address.index) => {}
            KernelEvent::Address(address) => {
                let addresses = self.addresses.entry(address.index).or_default();
                match addresses.iter_mut().find(|known| is_same(known, address)) {
                    Some(known) => known.clone_from(address),
                    None => addresses.push(address.clone()),
                }
            }
            KernelEvent::AddressGone(address) => {
                if let Some(addresses) = self.addresses.get_mut(&address.index) {
                    addresses.retain(|known| !is_same(known, address));
                }
            }
            KernelEvent::RouteGone(_) => {}
            KernelEvent::Resync(links, addresses) => {
                self.links = links
                    .iter()
                    .filter(|link| !link.is_of_rvrrpd())
                    .map(|link| (link.index, link.clone()))
                    .collect();
                self.addresses.clear();
                let links = &self.links;
                for address in addresses
                    .iter()
                    .filter(|address| links.contains_key(&address.index))
                {
                    self.addresses
                        .entry(address.index)
                        .or_default()
                        .push(address.clone());
                }
            }
        }
    }

    fn forget(&mut self, index: u32) {
        self.links.remove(&index);
        self.addresses.remove(&index);
    }

    /// The link with this interface index.
    #[must_use]
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// The link with this name.
    #[must_use]
    pub fn link_by_name(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// All links, by interface index.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The addresses of the link with this interface index, in the order in which the kernel
    /// lists them.
    #[must_use]
    pub fn addresses(&self, index: u32) -> &[Address] {
        self.addresses.get(&index).map_or(&[], Vec::as_slice)
    }
}

/// The kernel tells addresses of an interface apart by address and prefix length.
fn is_same(one: &Address, other: &Address) -> bool {
    one.address == other.address && one.prefix == other.prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            mac: None,
            kind: 1,
            mtu: 1500,
            up: true,
            carrier: true,
            lower: None,
            group: 0,
            macvlan: false,
            secluded: false,
            enslaved: false,
            vrf: false,
        }
    }

    fn address(index: u32, address: &str, tentative: bool) -> Address {
        Address {
            index,
            address: address.parse().unwrap(),
            prefix: 24,
            tentative,
            duplicate: false,
            secondary: false,
            ours: false,
        }
    }

    #[test]
    fn events_are_followed() {
        let mut view = View::default();
        view.apply(&KernelEvent::Link(link(2, "eth0")));
        view.apply(&KernelEvent::Address(address(2, "192.0.2.1", true)));
        view.apply(&KernelEvent::Address(address(2, "192.0.2.2", false)));
        view.apply(&KernelEvent::Address(address(2, "192.0.2.1", false)));
        assert_eq!(
            view.addresses(2),
            [
                address(2, "192.0.2.1", false),
                address(2, "192.0.2.2", false)
            ]
        );
        view.apply(&KernelEvent::Link(link(2, "lan0")));
        assert!(view.link_by_name("eth0").is_none());
        assert_eq!(view.link_by_name("lan0").map(|link| link.index), Some(2));
        view.apply(&KernelEvent::AddressGone(address(2, "192.0.2.1", false)));
        assert_eq!(view.addresses(2).len(), 1);
        view.apply(&KernelEvent::LinkGone {
            index: 2,
            lower: None,
        });
        assert!(view.link(2).is_none() && view.addresses(2).is_empty());
        view.apply(&KernelEvent::Resync(
            vec![link(3, "eth1")],
            vec![address(3, "192.0.2.9", false)],
        ));
        assert_eq!((view.links().count(), view.addresses(3).len()), (1, 1));
    }
}
