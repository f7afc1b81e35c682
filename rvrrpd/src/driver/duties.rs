//! What the gate does for a router beside letting its frames in.

use std::net::IpAddr;

use super::gate::{Change, voices};
use super::kernel::{Kernel, Known};
use super::prepare::Failures;
use super::{Carrier, Error, Plan, Report, RouterId};
use crate::driver::dataplane::virtual_mac;
use crate::log::Limiter;
use crate::net::sys::clock;
use crate::wire::Family;

static CARELESS: Limiter = Limiter::new();

impl Kernel {
    /// Closes the gate for whoever is not Master, and settles what is accepted, before the macvlan
    /// comes up.
    pub(super) fn set_gate(&mut self, ids: &[RouterId], failures: &mut Failures) {
        let mut changes = Vec::new();
        let mut precautions = Vec::new();
        for router in ids.iter().filter_map(|id| self.routers.get(id)) {
            let plan = &router.plan;
            if failures.contains_key(&plan.id) {
                continue;
            }
            let (open, close) = router.dataplane().gate(router);
            let mut own = if router.active { open } else { close };
            let duties = self.duties(router, router.active).into_iter();
            let (careful, needed): (Vec<_>, Vec<_>) =
                duties.partition(|duty| is_precaution(plan, *duty));
            own.extend(needed);
            changes.push((plan.id, own));
            precautions.push((plan.id, careful));
        }
        failures.extend(self.change_gate(&changes));
        precautions.retain(|(id, _)| !failures.contains_key(id));
        let precautions: Vec<_> = precautions.into_iter().flat_map(|(_, own)| own).collect();
        if let Err(error) = self.gate.apply(&precautions, &mut self.journal)
            && let Some(suppressed) = CARELESS.allow(clock::monotonic().as_micros())
        {
            tracing::warn!(
                "should this process be killed as Master, the host will go on answering for virtual \
                 addresses of iftype = \"ebpf\" with its own Ethernet address: {error}{suppressed}"
            );
        }
    }

    /// What the gate does for a router, as Master or not.
    pub(super) fn duties(&self, router: &Known, active: bool) -> Vec<Change> {
        if router.plan.carrier == Carrier::Ebpf {
            return carried(&router.plan, active).collect();
        }
        let (plan, carrier) = (&router.plan, router.carrier());
        let on_macvlan = matches!(plan.carrier, Carrier::Macvlan { .. });
        // The parent is silent while the macvlan speaks, and no longer: an owner that cannot run
        // must not take from its host an address that the host has itself.
        let owned = active && plan.owner && on_macvlan;
        let by_ebpf = on_macvlan && self.gate.is_ebpf(plan.parent);
        let mut duties = Vec::new();
        if let (IpAddr::V6(source), true) = (plan.source, owned) {
            duties.push(Change::AskFrom(plan.parent, source));
        }
        let speaking = carrier.filter(|_| on_macvlan && plan.family == Family::V6);
        duties.extend(speaking.map(Change::Silence));
        for (address, _) in &plan.addresses {
            if let (IpAddr::V6(address), Some(macvlan)) = (*address, speaking) {
                duties.extend(voices(macvlan, address));
            }
            if !plan.accept {
                duties.extend(refusals(plan, carrier, *address, by_ebpf));
            } else if owned {
                duties.push(Change::Own(plan.parent, *address));
            }
        }
        duties
    }

    /// Takes out of the gate what the plan before wanted and no plan wants now.
    pub(super) fn withdraw_duties(&mut self, old: &Known) {
        let routers = self.routers.values();
        let wanted: Vec<Change> = routers
            .flat_map(|router| self.duties(router, router.active))
            .collect();
        // Whether it was Master does not matter: what was never there is not taken out.
        let changes: Vec<Change> = self
            .duties(old, true)
            .into_iter()
            .filter(|duty| !wanted.iter().any(|wanted| wanted.replaces(*duty)))
            .map(Change::opposite)
            .collect();
        if let Err(error) = self.gate.apply(&changes, &mut self.journal) {
            self.report(Report::ActivationFailed(
                old.plan.id,
                Error::new("gate", error),
            ));
        }
    }
}

/// Whether a duty of the gate is one that a router runs without: an IPv4 address of it is on the parent, and
/// as long as the program is there the kernel is not asked for it.
fn is_precaution(plan: &Plan, duty: Change) -> bool {
    let Change::Own(_, address) = duty else {
        return false;
    };
    plan.carrier == Carrier::Ebpf && address.is_ipv4() && !plan.own.contains(&address)
}

/// What the gate does for a router that the eBPF gate carries. It answers whoever asks for a virtual
/// address, as Master, and nobody as Backup; for an address that the host has itself only as
/// Master, for an owner that cannot run must not take it from its host.
///
/// The parent must not ask in the name of a virtual address that it has, with the physical MAC, nor answer
/// for it when the process has been killed, and the program with it, but not the address: the tables stay.
fn carried(plan: &Plan, active: bool) -> impl Iterator<Item = Change> {
    let (parent, mac) = (plan.parent, virtual_mac(plan));
    let asks = match plan.source {
        IpAddr::V6(source) if plan.accept && (active || !plan.owner) => {
            Some(Change::AskFrom(parent, source))
        }
        _ => None,
    };
    let addresses = plan.addresses.iter().map(|(address, _)| *address);
    let addresses = addresses.filter(move |address| active || !plan.own.contains(address));
    let of_each = addresses.flat_map(move |address| {
        let silence = plan.accept.then_some(Change::Own(parent, address));
        [Change::Answer(parent, mac, address, plan.accept)]
            .into_iter()
            .chain(silence)
    });
    asks.into_iter().chain(of_each)
}

/// What refuses packets to a virtual address (`accept_mode = false`): at the parent the eBPF gate
/// where there is one, and by whatever way else they come the tables. A link-local one may be in
/// use on another interface, and no packet comes to it from there.
fn refusals(
    plan: &Plan,
    carrier: Option<u32>,
    address: IpAddr,
    by_ebpf: bool,
) -> impl Iterator<Item = Change> {
    let local = match address {
        IpAddr::V6(local) if local.is_unicast_link_local() => Some(local),
        _ => None,
    };
    let at_parent = by_ebpf.then_some(Change::RefuseAt(plan.parent, virtual_mac(plan), address));
    let elsewhere = match (local, carrier) {
        (Some(_), _) if by_ebpf => None,
        (Some(local), Some(carrier)) => Some(Change::RefuseLinkLocal(carrier, local)),
        (Some(_), None) => None,
        (None, _) => Some(Change::Refuse(address)),
    };
    at_parent.into_iter().chain(elsewhere)
}
