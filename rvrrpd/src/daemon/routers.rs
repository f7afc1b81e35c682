//! From the configuration of a virtual router and its interface to what pool, listener and driver
//! need.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::readiness::Binding;
use crate::config::model::{Auth, ChecksumPolicy, InterfaceType, Protocol, Vip, VirtualRouter};
use crate::driver::{Carrier, Choice, Plan, Plane, RouterId};
use crate::fsm::{Beat, Params};
use crate::net::namespace::Namespace;
use crate::net::sender::Sender;
use crate::pool::{Message, RouterAdvertisements};
use crate::stats::Identity;
use crate::wire::advert::{ChecksumForm, Expect, Peers};
use crate::wire::auth::Key;
use crate::wire::{Family, Mac, PRIORITY_OWNER, Versions, arp, ndp};

/// Parameters of the state machine.
pub(super) fn params(router: &VirtualRouter, binding: &Binding) -> Params {
    Params {
        version: versions(router).timers(),
        priority: if binding.owner {
            PRIORITY_OWNER
        } else {
            router.priority
        },
        interval: router.interval,
        preempt: router.preemption,
        preempt_delay: router.preempt_delay,
        startup_delay: router.startup_delay,
        source: binding.source,
        beat: Beat::of(binding.source, router.vrid),
    }
}

/// [`Plan::patience`].
fn patience(params: &Params) -> Duration {
    if params.is_owner() {
        return Duration::ZERO;
    }
    let silence = params.down_interval(params.interval);
    if params.preempt && !params.preempt_delay.is_zero() {
        silence.min(params.preempt_delay)
    } else {
        silence
    }
}

/// What the router sends.
pub(super) fn message(router: &VirtualRouter, binding: &Binding) -> Message {
    Message {
        vrid: router.vrid,
        family: router.family,
        versions: versions(router),
        addresses: advertised(router, binding),
        auth: key(&router.auth),
        peers: peers(router),
        source_mac: mac(router, binding),
        checksum_form: match (router.v3_checksum, router.family, router.protocol) {
            (_, Family::V6, _) => Some(ChecksumForm::PseudoHeader),
            (_, _, Protocol::V2) | (ChecksumPolicy::Rfc9568, ..) => Some(ChecksumForm::Message),
            (ChecksumPolicy::PseudoHeader, ..) => Some(ChecksumForm::PseudoHeader),
            (ChecksumPolicy::Auto, ..) => None,
        },
    }
}

/// The router advertisements that the router sends while Master, if it is to send any. Their
/// source is the first virtual address, which is link-local (RA-1, ND-9).
pub(super) fn router_advertisements(
    router: &VirtualRouter,
    binding: &Binding,
) -> Option<RouterAdvertisements> {
    let ra = router.router_advertisement.as_ref()?;
    let source = router.vips.iter().find_map(|vip| match vip.address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    })?;
    let mac = mac(router, binding);
    Some(RouterAdvertisements {
        frame: ra.content.frame(mac, source),
        farewell: ra.content.farewell().frame(mac, source),
        source,
        min_interval: ra.min_interval,
        max_interval: ra.max_interval,
        doorbell: Arc::default(),
    })
}

/// What the router demands of an advertisement.
pub(super) fn expect(router: &VirtualRouter, binding: &Binding) -> Expect {
    Expect {
        versions: versions(router),
        vrid: router.vrid,
        source: binding.source,
        peers: peers(router),
        interval: router.interval,
        addresses: advertised(router, binding),
        // The list of a peer with `rfc3768 = false` ends with addresses of its own interface.
        address_list_check: router.address_list_check && router.rfc3768,
        owner: binding.owner,
        auth: key(&router.auth),
    }
}

/// What the router needs in the kernel.
pub(super) fn plan(
    id: RouterId,
    router: &VirtualRouter,
    binding: &Binding,
    namespace: Option<Arc<Namespace>>,
    sender: Arc<Sender>,
) -> Plan {
    let announced = mac(router, binding);
    Plan {
        id,
        name: router.name.clone(),
        vrid: router.vrid,
        family: router.family,
        namespace,
        parent: binding.index,
        parent_name: router.interface.clone(),
        carrier: match router.iftype {
            InterfaceType::Macvlan => Carrier::Macvlan {
                name: router.vifname.clone(),
            },
            InterfaceType::Ether => Carrier::Ether {
                virtual_mac: router.virtual_mac,
                netdrv: router.netdrv,
            },
            InterfaceType::Ebpf => Carrier::Ebpf,
            InterfaceType::Auto => Carrier::Best {
                name: router.vifname.clone(),
            },
        },
        addresses: router
            .vips
            .iter()
            .map(|vip| (vip.address, prefix(router, binding, *vip)))
            .collect(),
        owner: binding.owner,
        own: router
            .vips
            .iter()
            .map(|vip| vip.address)
            .filter(|address| binding.own_addresses.contains(address))
            .collect(),
        source: binding.source,
        patience: patience(&params(router, binding)),
        accept: router.accept_mode || binding.owner,
        nonlocal_bind: router.nonlocal_bind,
        routes: router.routes.clone(),
        peers: match peers(router) {
            Peers::Group => Arc::default(),
            Peers::Listed { addresses, .. } => addresses,
        },
        announcements: router
            .vips
            .iter()
            .map(|vip| match vip.address {
                IpAddr::V4(address) => arp::gratuitous(announced, address),
                IpAddr::V6(address) => ndp::unsolicited_advertisement(announced, address, true),
            })
            .collect(),
        sender,
        awaited: router.router_advertisement.is_some(),
    }
}

/// What others call a virtual router.
pub(super) fn identity(router: &VirtualRouter) -> Identity {
    Identity {
        name: router.name.clone(),
        group: router.vrid.number(),
        interface: router.carrier().to_owned(),
        parent: router.interface.clone(),
        // A virtual router has one address at least.
        virtual_ip: router
            .vips
            .first()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |vip| vip.address),
    }
}

/// How a virtual router is called in the log; the form is that of rVRRPd.
pub(super) fn title(router: &VirtualRouter) -> String {
    let vip = router
        .vips
        .first()
        .map(|vip| vip.address.to_string())
        .unwrap_or_default();
    format!(
        "{vip} for group {} on interface {}",
        router.vrid,
        router.site()
    )
}

/// Prefix length that a virtual address gets on its carrier (contract of the key `vip`). Beside the
/// addresses of the interface itself it is alone, whatever is asked for: the interface has its
/// subnet already.
fn prefix(router: &VirtualRouter, binding: &Binding, vip: Vip) -> u8 {
    let alone = match vip.address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let of_macvlan = match vip.address {
        // With /128 a link-local address would have no on-link route to answer by.
        IpAddr::V6(address) if address.is_unicast_link_local() => 64,
        _ => alone,
    };
    match router.iftype {
        InterfaceType::Ebpf => alone,
        InterfaceType::Ether => vip.prefix.unwrap_or(binding.prefix),
        InterfaceType::Macvlan | InterfaceType::Auto => vip.prefix.unwrap_or(of_macvlan),
    }
}

/// What is known of what carries a router before the driver has prepared it.
pub(super) fn choice(iftype: InterfaceType) -> Choice {
    match iftype {
        InterfaceType::Ether => Choice::of(Plane::Ether),
        InterfaceType::Macvlan => Choice::of(Plane::Macvlan),
        InterfaceType::Ebpf => Choice::of(Plane::Ebpf),
        InterfaceType::Auto => Choice::default(),
    }
}

fn advertised(router: &VirtualRouter, binding: &Binding) -> Vec<IpAddr> {
    let vips = router.vips.iter().map(|vip| vip.address);
    if router.rfc3768 {
        return vips.collect();
    }
    let vips: Vec<IpAddr> = vips.collect();
    let others = binding
        .own_addresses
        .iter()
        .copied()
        .filter(|own| !vips.contains(own));
    vips.iter()
        .copied()
        .chain(others)
        .take(usize::from(u8::MAX))
        .collect()
}

fn mac(router: &VirtualRouter, binding: &Binding) -> Mac {
    if router.virtual_mac {
        Mac::of_virtual_router(router.family, router.vrid)
    } else {
        binding.mac
    }
}

fn peers(router: &VirtualRouter) -> Peers {
    match &router.unicast {
        None => Peers::Group,
        Some(unicast) => Peers::Listed {
            addresses: unicast.peers.as_slice().into(),
            least_ttl: unicast.min_ttl,
        },
    }
}

const fn versions(router: &VirtualRouter) -> Versions {
    match router.protocol {
        Protocol::V2 => Versions::V2,
        Protocol::V3 => Versions::V3,
        Protocol::Both => Versions::Both,
    }
}

fn key(auth: &Auth) -> Key {
    match auth {
        Auth::None => Key::None,
        Auth::HmacSha256(keys) => Key::HmacSha256(keys.clone()),
        Auth::Ah(secret) => Key::ah(&secret.0),
        Auth::Simple(secret) => Key::simple(&secret.0),
        Auth::P0Sha256(secret) => Key::P0Sha256(secret.0.clone()),
        Auth::P1Shake256(secret) => Key::P1Shake256(secret.0.clone()),
    }
}
