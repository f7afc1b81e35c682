//! Readiness: whether a virtual router can run, as a pure function of what the kernel says now.
//!
//! Nothing is counted up and down, so no lost event can leave a router stuck.

use std::net::{IpAddr, Ipv6Addr};

use crate::config::model::{Auth, InterfaceType, Protocol, VirtualRouter};
use crate::driver::view::View;
use crate::driver::{Address, Link};
use crate::fsm::{Reason, Reasons};
use crate::wire::auth::{AH_LEN, TRAILER_LEN};
use crate::wire::{Family, Mac};

/// `ARPHRD_ETHER` of linux/if_arp.h.
const ETHERNET: u16 = 1;

/// What a virtual router takes from its interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Binding {
    /// Interface index of the parent.
    pub(super) index: u32,
    /// Ethernet address of the parent.
    pub(super) mac: Mac,
    /// Source of the advertisements.
    pub(super) source: IpAddr,
    /// Prefix length of the subnet that the source is in.
    pub(super) prefix: u8,
    /// A virtual address is an address of the interface: priority 255.
    pub(super) owner: bool,
    /// The interface's own addresses of the family, in the order of the kernel.
    pub(super) own_addresses: Vec<IpAddr>,
}

/// The reasons that the kernel gives why `router` cannot run and, if there is an interface with
/// an address, what the router takes from it. `view` is that of its network namespace, none while
/// there is no such one.
pub(super) fn assess(router: &VirtualRouter, view: Option<&View>) -> (Reasons, Option<Binding>) {
    let reasons = Reasons::NONE.with_if(!router.enabled, Reason::Disabled);
    let Some(view) = view else {
        return (reasons.with(Reason::NoNamespace), None);
    };
    let Some(link) = view.link_by_name(&router.interface) else {
        return (reasons.with(Reason::NoInterface), None);
    };
    let Some(mac) = link.mac.filter(|_| link.kind == ETHERNET) else {
        return (reasons.with(Reason::NotEthernet), None);
    };
    let reasons = reasons
        .with_if(!link.up, Reason::InterfaceDown)
        .with_if(link.up && !link.carrier, Reason::NoCarrier);
    if link.enslaved {
        return (reasons.with(Reason::Enslaved), None);
    }
    match source(router, link, view) {
        Ok(binding) => {
            let reasons = reasons.with_if(
                message_length(router, &binding) > link.mtu,
                Reason::ExceedsMtu,
            );
            (reasons, Some(Binding { mac, ..binding }))
        }
        Err(reason) => (reasons.with(reason), None),
    }
}

fn source(router: &VirtualRouter, link: &Link, view: &View) -> Result<Binding, Reason> {
    let own: Vec<&Address> = view
        .addresses(link.index)
        .iter()
        .filter(|address| !address.ours && is_of(router.family, address.address))
        .collect();
    let candidates = own.iter().filter(|address| match router.source() {
        Some(source) => address.address == source,
        None => is_source(router, address.address),
    });
    let (usable, tentative): (Vec<&Address>, Vec<&Address>) =
        candidates.partition(|address| !address.tentative);
    let is_own = |peer: &IpAddr| own.iter().any(|own| own.address == *peer);
    if let Some(unicast) = &router.unicast
        && unicast.peers.iter().any(is_own)
    {
        return Err(Reason::OwnPeer);
    }
    // The virtual link-local address of an owner is one of the interface, too, but no source as
    // long as there is another one: two routers would have the same (V3-TX-2).
    let is_virtual = |address: &&&Address| {
        address.address.is_ipv6() && router.vips.iter().any(|vip| vip.address == address.address)
    };
    let other = usable.iter().find(|address| !is_virtual(address));
    let Some(source) = other.or_else(|| usable.first()) else {
        return Err(if tentative.is_empty() {
            Reason::NoPrimaryAddress
        } else {
            unusable(&tentative)
        });
    };
    let owned: Vec<&Address> = own
        .iter()
        .copied()
        .filter(|own| router.vips.iter().any(|vip| vip.address == own.address))
        .collect();
    // On the interface itself an owner serves by the address that the host has there. On a macvlan
    // it has the address once more, and a Backup that answered for it does no harm (ND-6).
    if router.iftype != InterfaceType::Macvlan && owned.iter().any(|own| own.tentative) {
        return Err(unusable(&owned));
    }
    Ok(Binding {
        index: link.index,
        mac: Mac::BROADCAST,
        source: source.address,
        prefix: source.prefix,
        owner: !owned.is_empty(),
        own_addresses: own.iter().map(|own| own.address).collect(),
    })
}

/// Whether the kernel made this address of a virtual MAC that the interface carried when it was
/// set up: another router may have the same (ND-5).
fn is_of_virtual_mac(address: Ipv6Addr) -> bool {
    matches!(
        address.octets(),
        [
            0xfe,
            0x80,
            _,
            _,
            _,
            _,
            _,
            _,
            0x02,
            0x00,
            0x5e,
            0xff,
            0xfe,
            0x00,
            1 | 2,
            _
        ]
    )
}

/// Why an address that is needed cannot be used.
fn unusable(addresses: &[&Address]) -> Reason {
    let mut tentative = addresses.iter().filter(|address| address.tentative);
    if tentative.all(|address| address.duplicate) {
        Reason::DuplicateAddress
    } else {
        Reason::TentativeAddress
    }
}

fn is_of(family: Family, address: IpAddr) -> bool {
    match family {
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    }
}

/// Length of the advertisement in bytes, from the IP header on (TX-10).
fn message_length(router: &VirtualRouter, binding: &Binding) -> u32 {
    let others = if router.rfc3768 {
        0
    } else {
        binding.own_addresses.len()
    };
    let count = (router.vips.len() + others).min(usize::from(u8::MAX));
    let (header, trailer) = match (router.family, router.protocol) {
        (Family::V4, Protocol::V2 | Protocol::Both) => (20, 8),
        (Family::V4, Protocol::V3) => (20, 0),
        (Family::V6, _) => (40, 0),
    };
    let seal = match router.auth {
        Auth::HmacSha256(_) => TRAILER_LEN,
        Auth::Ah(_) => AH_LEN,
        Auth::None | Auth::Simple(_) | Auth::P0Sha256(_) | Auth::P1Shake256(_) => 0,
    };
    let length = header + 8 + count * router.family.address_len() + trailer + seal;
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Any IPv4 address of the interface will do; IPv6 advertisements come from a link-local one
/// (RFC 9568 §5.1.2.1), unless they go to unicast peers that such a one does not reach.
fn is_source(router: &VirtualRouter, address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else {
        return true;
    };
    let first_peer = router
        .unicast
        .as_ref()
        .and_then(|unicast| unicast.peers.first());
    let link_local = match first_peer {
        Some(IpAddr::V6(peer)) => peer.is_unicast_link_local(),
        _ => true,
    };
    address.is_unicast_link_local() == link_local && !is_of_virtual_mac(address)
}
