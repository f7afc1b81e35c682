//! The data planes: what carries the virtual addresses and the virtual MAC.

use std::net::{IpAddr, Ipv6Addr};

use super::gate::Change;
use super::ioctl::Ioctl;
use super::journal::Entry;
use super::kernel::{Batch, Known};
use super::netlink::{self, Flavour};
use super::{Carrier, Error, Plan};
use crate::config::model::NetworkDriver;
use crate::wire::Mac;

/// How a virtual router is carried. Everything that takes long is made before the first election;
/// these are the few steps that an election takes.
pub(super) trait Dataplane {
    /// Interface index of what carries the addresses; none while there is no such interface.
    fn carrier(&self, router: &Known) -> Option<u32>;

    /// The changes of the gate that let the router's frames in, and those that keep them out.
    fn gate(&self, router: &Known) -> (Vec<Change>, Vec<Change>);

    /// The changes of the gate when nothing of the router is left behind it.
    fn released(&self, router: &Known) -> Vec<Change> {
        self.gate(router).0
    }

    /// Whether it puts this virtual address of a Master on the carrier.
    fn puts(&self, plan: &Plan, address: IpAddr) -> bool;

    /// What there may be in the kernel for this plan, for the journal. `own` is the Ethernet
    /// address of the parent, `group` the link group of our macvlans.
    fn entries(&self, plan: &Plan, own: Option<Mac>, group: u32) -> Vec<Entry>;

    /// Takes up the duties of the Master, or lays them down: its addresses, and what else there is.
    fn duties(
        &self,
        router: &Known,
        step: Step,
        ioctl: &Ioctl,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        self.addresses(router, step, ioctl, batch)
    }

    /// Adds all addresses of an active router, or takes them out.
    fn addresses(
        &self,
        router: &Known,
        step: Step,
        ioctl: &Ioctl,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        (0..router.plan.addresses.len())
            .try_for_each(|at| self.address(router, at, step, ioctl, batch))
    }

    /// Adds one address of an active router, or takes it out.
    fn address(
        &self,
        router: &Known,
        at: usize,
        step: Step,
        ioctl: &Ioctl,
        batch: &mut Batch,
    ) -> Result<(), Error>;
}

/// Which way something changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// It comes.
    Add,
    /// It goes.
    Take,
}

/// The data plane of a carrier.
pub(super) fn of(carrier: &Carrier) -> &'static dyn Dataplane {
    match carrier {
        // Until it is known better: a macvlan is what there is everywhere.
        Carrier::Macvlan { .. } | Carrier::Best { .. } => &Macvlan,
        Carrier::Ether { .. } => &Ether,
        Carrier::Ebpf => &Ebpf,
    }
}

struct Macvlan;

impl Dataplane for Macvlan {
    fn carrier(&self, router: &Known) -> Option<u32> {
        router.vif
    }

    fn gate(&self, router: &Known) -> (Vec<Change>, Vec<Change>) {
        let (parent, mac) = (router.plan.parent, virtual_mac(&router.plan));
        (
            vec![Change::Open(parent, mac)],
            vec![Change::Close(parent, mac)],
        )
    }

    fn puts(&self, _: &Plan, _: IpAddr) -> bool {
        true
    }

    fn entries(&self, plan: &Plan, _: Option<Mac>, group: u32) -> Vec<Entry> {
        let Carrier::Macvlan { name } = &plan.carrier else {
            return Vec::new();
        };
        vec![Entry::Macvlan {
            name: name.clone(),
            mac: virtual_mac(plan).0,
            parent: plan.parent_name.clone(),
            group,
        }]
    }

    fn address(
        &self,
        router: &Known,
        at: usize,
        step: Step,
        _: &Ioctl,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let (Some(index), Some(&(address, prefix))) = (router.vif, router.plan.addresses.get(at))
        else {
            return Ok(());
        };
        // Link-local neighbours are reached by the interface that they speak to, whatever other
        // interface has the same subnet: without its route no answer would leave.
        let is_link_local =
            matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        // An owner's address is on the parent too: alone, it takes no route from it.
        let (prefix, flavour) = if is_link_local {
            (prefix, Flavour::Connected)
        } else if router.plan.owner {
            (host_prefix(address), Flavour::Alone)
        } else {
            (prefix, Flavour::Alone)
        };
        let request = match step {
            Step::Add => netlink::add_address(index, address, prefix, flavour),
            Step::Take => netlink::delete_address(index, address, prefix),
        };
        batch.push(
            router.plan.id,
            format!("address {address}/{prefix}"),
            request,
        );
        Ok(())
    }
}

struct Ether;

impl Ether {
    fn netdrv(plan: &Plan) -> NetworkDriver {
        match plan.carrier {
            Carrier::Ether { netdrv, .. } => netdrv,
            _ => NetworkDriver::Netlink,
        }
    }

    /// By ioctl only where it is set: the interface may have been renamed when it is put back.
    fn set_mac(
        router: &Known,
        ioctl: &Ioctl,
        step: Step,
        mac: Mac,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let plan = &router.plan;
        if !uses_virtual_mac(plan) {
            return Ok(());
        }
        let what = format!("Ethernet address {mac} of {}", plan.parent_name);
        if (Self::netdrv(plan), step) == (NetworkDriver::Ioctl, Step::Add) {
            let set = ioctl.set_mac(&plan.parent_name, mac);
            return set.map_err(|error| Error::new(what, error));
        }
        batch.push(plan.id, what, netlink::set_mac(plan.parent, mac));
        Ok(())
    }
}

impl Dataplane for Ether {
    fn carrier(&self, router: &Known) -> Option<u32> {
        Some(router.plan.parent)
    }

    fn gate(&self, _: &Known) -> (Vec<Change>, Vec<Change>) {
        (Vec::new(), Vec::new())
    }

    fn puts(&self, plan: &Plan, address: IpAddr) -> bool {
        !plan.own.contains(&address)
    }

    fn entries(&self, plan: &Plan, own: Option<Mac>, _: u32) -> Vec<Entry> {
        let mac = own
            .filter(|_| uses_virtual_mac(plan))
            .map(|own| Entry::EtherMac {
                interface: plan.parent_name.clone(),
                before: own.0,
                ours: virtual_mac(plan).0,
            });
        let addresses = plan
            .addresses
            .iter()
            .enumerate()
            .filter(|(_, (address, _))| self.puts(plan, *address));
        mac.into_iter()
            .chain(
                addresses.map(|(at, &(address, prefix))| match Self::netdrv(plan) {
                    NetworkDriver::Netlink => Entry::Address {
                        interface: plan.parent_name.clone(),
                        address,
                        prefix,
                    },
                    NetworkDriver::Ioctl => Entry::Alias {
                        label: label(plan, at),
                    },
                }),
            )
            .collect()
    }

    fn duties(
        &self,
        router: &Known,
        step: Step,
        ioctl: &Ioctl,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let mac = match step {
            Step::Add => Some(virtual_mac(&router.plan)),
            Step::Take => router.own_mac,
        };
        let set_mac = |batch: &mut Batch| {
            mac.map_or(Ok(()), |mac| Self::set_mac(router, ioctl, step, mac, batch))
        };
        let before = if step == Step::Add {
            set_mac(batch)
        } else {
            Ok(())
        };
        let addresses = self.addresses(router, step, ioctl, batch);
        let after = if step == Step::Take {
            set_mac(batch)
        } else {
            Ok(())
        };
        before.and(addresses).and(after)
    }

    fn address(
        &self,
        router: &Known,
        at: usize,
        step: Step,
        ioctl: &Ioctl,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let plan = &router.plan;
        let Some(&(address, prefix)) = plan.addresses.get(at) else {
            return Ok(());
        };
        if !self.puts(plan, address) {
            return Ok(());
        }
        let what = format!("address {address}/{prefix} on {}", plan.parent_name);
        let label = label(plan, at);
        let done = match (Self::netdrv(plan), address, step) {
            (NetworkDriver::Ioctl, IpAddr::V4(address), Step::Add) => {
                ioctl.add_alias(&plan.parent_name, &label, address, prefix)
            }
            (_, _, Step::Add) => {
                let request =
                    netlink::add_address(plan.parent, address, prefix, Flavour::Connected);
                batch.push(plan.id, what.clone(), request);
                Ok(())
            }
            // By index, for the interface may have been renamed since.
            (_, _, Step::Take) => {
                let request = netlink::delete_address(plan.parent, address, prefix);
                batch.push(plan.id, what.clone(), request);
                Ok(())
            }
        };
        done.map_err(|error| Error::new(what, error))
    }
}

/// The eBPF gate of the parent: one store to memory that is shared with the kernel makes a Master.
/// Where packets to the virtual addresses are to be accepted the parent has them, too, alone and as
/// the last choice for a source of what the host itself sends.
struct Ebpf;

impl Dataplane for Ebpf {
    fn carrier(&self, router: &Known) -> Option<u32> {
        Some(router.plan.parent)
    }

    fn gate(&self, router: &Known) -> (Vec<Change>, Vec<Change>) {
        let (parent, mac) = (router.plan.parent, virtual_mac(&router.plan));
        (
            vec![Change::Carry(parent, mac)],
            vec![Change::Shut(parent, mac)],
        )
    }

    fn released(&self, router: &Known) -> Vec<Change> {
        vec![Change::Release(
            router.plan.parent,
            virtual_mac(&router.plan),
        )]
    }

    fn puts(&self, plan: &Plan, address: IpAddr) -> bool {
        plan.accept && !plan.own.contains(&address)
    }

    fn entries(&self, plan: &Plan, _: Option<Mac>, _: u32) -> Vec<Entry> {
        let addresses = plan.addresses.iter().map(|(address, _)| *address);
        addresses
            .filter(|address| self.puts(plan, *address))
            .map(|address| Entry::Address {
                interface: plan.parent_name.clone(),
                address,
                prefix: host_prefix(address),
            })
            .collect()
    }

    fn address(
        &self,
        router: &Known,
        at: usize,
        step: Step,
        _: &Ioctl,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let plan = &router.plan;
        let Some(&(address, _)) = plan.addresses.get(at) else {
            return Ok(());
        };
        if !self.puts(plan, address) {
            return Ok(());
        }
        let prefix = host_prefix(address);
        let request = match step {
            Step::Add => netlink::add_address(plan.parent, address, prefix, Flavour::Guest),
            Step::Take => netlink::delete_address(plan.parent, address, prefix),
        };
        let what = format!("address {address}/{prefix} on {}", plan.parent_name);
        batch.push(plan.id, what, request);
        Ok(())
    }
}

/// The virtual MAC of a plan.
pub(super) const fn virtual_mac(plan: &Plan) -> Mac {
    Mac::of_virtual_router(plan.family, plan.vrid)
}

/// The link-local address that the kernel makes of an Ethernet address (RFC 4291 App. A).
pub(super) fn link_local(mac: Mac) -> IpAddr {
    let [a, b, c, d, e, f] = mac.0;
    let identifier = [a ^ 0x02, b, c, 0xff, 0xfe, d, e, f];
    let mut address = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    address[8..].copy_from_slice(&identifier);
    Ipv6Addr::from(address).into()
}

/// Whether the parent itself carries the virtual MAC while Master.
pub(super) const fn uses_virtual_mac(plan: &Plan) -> bool {
    matches!(
        plan.carrier,
        Carrier::Ether {
            virtual_mac: true,
            ..
        }
    )
}

/// Label of the alias that carries the address at this place: `eth0:v1`, `eth0:v1.2`, …
pub(super) fn label(plan: &Plan, at: usize) -> String {
    let label = format!("{}:v{}", plan.parent_name, plan.vrid);
    if at == 0 {
        label
    } else {
        format!("{label}.{}", at + 1)
    }
}

/// Prefix length of an address that is alone.
pub(super) const fn host_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
