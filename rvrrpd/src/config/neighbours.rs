//! Rules between virtual routers: what must be unique, and who may share an interface.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::address::{self, LONGEST_INTERFACE};
use super::diagnostic::Findings;
use super::model::{InterfaceType, Protocol, RouterKey, Site, VirtualRouter};
use super::router::Draft;
use crate::wire::Vrid;

/// Virtual addresses that the eBPF gate of a network namespace knows; it has room for twice as many,
/// because in a change the new ones come before the old ones go.
const MOST_GATED: usize = rvrrpd_ebpf::GATED_ADDRESSES as usize;
/// Most virtual routers that a message names.
const MOST_NAMED: usize = 3;

/// Compares the virtual routers with each other, reports what collides and gives a `vifname` to
/// those without one.
pub(super) fn settle(drafts: Vec<Draft>, findings: &mut Findings) -> Vec<Arc<VirtualRouter>> {
    let drafts = without_duplicates(drafts, findings);
    names(&drafts, findings);
    virtual_macs(&drafts, findings);
    addresses(&drafts, findings);
    gated_addresses(&drafts, findings);
    migration(&drafts, findings);
    vifnames(drafts, findings)
}

/// MIX-1: said once, however many are under way.
fn migration(drafts: &[Draft], findings: &mut Findings) {
    let mut mixed = drafts
        .iter()
        .filter(|draft| draft.router.protocol == Protocol::Both);
    let Some(first) = mixed.next() else {
        return;
    };
    let others = match mixed.count() {
        0 => String::new(),
        others => format!(" ({others} more virtual routers have it)"),
    };
    findings.warn(
        first.lines.version,
        "version",
        format!(
            "\"2+3\" is for the time of a migration, permanent use is NOT RECOMMENDED (RFC 9568 \
             section 8.4){others}; set 3 when all routers of the group speak it"
        ),
    );
}

/// Reports virtual routers that have the key of an earlier one, and leaves them out: nearly all
/// that they are would collide.
fn without_duplicates(drafts: Vec<Draft>, findings: &mut Findings) -> Vec<Draft> {
    let mut first: HashMap<RouterKey, u32> = HashMap::new();
    let mut kept = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let key = draft.router.key();
        if let Some(line) = first.get(&key) {
            let place = findings.place(*line);
            findings.error(
                draft.lines.group,
                "group",
                format!(
                    "group {} of {} ({}) stands in {place} already, allowed: once for each \
                     interface and family",
                    key.vrid,
                    key.site(),
                    address::family_name(key.family)
                ),
            );
        } else {
            first.insert(key, draft.lines.group);
            kept.push(draft);
        }
    }
    kept
}

fn names(drafts: &[Draft], findings: &mut Findings) {
    let mut first: HashMap<&str, u32> = HashMap::new();
    for Draft { router, lines } in drafts {
        if let Some(line) = first.get(router.name.as_str()) {
            let place = findings.place(*line);
            findings.error(
                lines.name,
                "name",
                format!(
                    "the name {} stands in {place} already, allowed: a unique one",
                    router.name
                ),
            );
        } else {
            first.insert(&router.name, lines.name);
        }
    }
}

/// An interface that carries a virtual MAC itself has room for one virtual router. Told of one that
/// would put its own there, the last of them.
fn virtual_macs(drafts: &[Draft], findings: &mut Findings) {
    let mut of_interface: BTreeMap<Site, Vec<&Draft>> = BTreeMap::new();
    for draft in drafts {
        let site = draft.router.site();
        of_interface.entry(site).or_default().push(draft);
    }
    for (interface, drafts) in of_interface {
        let (carried, mut others): (Vec<&Draft>, Vec<&Draft>) = drafts
            .into_iter()
            .partition(|it| it.router.iftype == InterfaceType::Ether && it.router.virtual_mac);
        let Some((last, carried)) = carried.split_last() else {
            continue;
        };
        others.extend(carried);
        if others.is_empty() {
            continue;
        }
        others.sort_by_key(|other| other.lines.table);
        let too = match carried {
            [] => String::new(),
            carried => format!(" and in {}", places(carried, findings)),
        };
        findings.error(
            last.lines.iftype,
            "iftype",
            format!(
                "\"ether\" lets {interface} carry the virtual MAC itself, which is for one virtual \
                 router, and there are others ({}); allowed: iftype = \"macvlan\", \"ebpf\" or \
                 \"auto\", or virtual_mac = false here{too}",
                places(&others, findings),
            ),
        );
    }
}

/// The first of some virtual routers, and how many more there are.
fn places(drafts: &[&Draft], findings: &Findings) -> String {
    let (named, rest) = drafts.split_at(drafts.len().min(MOST_NAMED));
    let named = named.iter().map(|draft| findings.place(draft.lines.table));
    let mut names: Vec<String> = named.collect();
    if !rest.is_empty() {
        names.push(format!("{} more", rest.len()));
    }
    names.join(", ")
}

fn addresses(drafts: &[Draft], findings: &mut Findings) {
    let mut first: HashMap<(Site, IpAddr), u32> = HashMap::new();
    for Draft { router, lines } in drafts {
        for (vip, line) in router.vips.iter().zip(&lines.vips) {
            let place = (router.site(), vip.address);
            if let Some(earlier) = first.get(&place) {
                let earlier = findings.place(*earlier);
                findings.error(
                    *line,
                    "vip",
                    format!(
                        "{} of {} stands in {earlier} already, allowed: once on an interface",
                        vip.address, place.0
                    ),
                );
            } else {
                first.insert(place, *line);
            }
        }
    }
}

/// What the eBPF gate of a network namespace has to know of has room in one table. Told of the first
/// virtual router that does not fit.
fn gated_addresses(drafts: &[Draft], findings: &mut Findings) {
    let answers =
        |router: &VirtualRouter| matches!(router.iftype, InterfaceType::Ebpf | InterfaceType::Auto);
    let answered = drafts.iter().map(|draft| &draft.router);
    let answered = answered.filter(|router| answers(router));
    // Beside the daemon's own these alone have such a gate.
    let gated: HashSet<&str> = answered.filter_map(|one| one.netns.as_deref()).collect();
    let mut counts: HashMap<Option<&str>, usize> = HashMap::new();
    for Draft { router, lines } in drafts {
        let netns = router.netns.as_deref();
        let refuses = router.iftype == InterfaceType::Macvlan
            && !router.accept_mode
            && netns.is_none_or(|netns| gated.contains(netns));
        if !answers(router) && !refuses {
            continue;
        }
        let count = counts.entry(netns).or_default();
        let before = *count;
        *count += router.vips.len();
        let most = before..*count;
        if let Some(line) = lines.vips.first().filter(|_| most.contains(&MOST_GATED)) {
            findings.error(
                *line,
                "vip",
                format!(
                    "{count} virtual addresses until here with iftype = \"ebpf\" or \"auto\" or \
                     accept_mode = false, allowed: at most {MOST_GATED} in one network namespace"
                ),
            );
        }
    }
}

/// Judges the given names, then makes the others, in each network namespace: `standby<group>` for
/// the first interface by name, `standby<group>-2` and so on for the next ones; names that are taken
/// are skipped.
fn vifnames(drafts: Vec<Draft>, findings: &mut Findings) -> Vec<Arc<VirtualRouter>> {
    let parents: HashSet<Site> = drafts.iter().map(|draft| draft.router.site()).collect();
    let mut taken: HashMap<Site, u32> = HashMap::new();
    for Draft { router, lines } in drafts.iter().filter(|draft| is_named(draft)) {
        let vif = beside(router, &router.vifname);
        if parents.contains(&vif) {
            findings.error(
                lines.vifname,
                "vifname",
                format!(
                    "{} is the interface of a virtual router, allowed: a name of its own",
                    router.vifname
                ),
            );
        } else if let Some(line) = taken.get(&vif) {
            let place = findings.place(*line);
            findings.error(
                lines.vifname,
                "vifname",
                format!(
                    "the name {} stands in {place} already, allowed: a unique one",
                    router.vifname
                ),
            );
        } else {
            taken.insert(vif, lines.vifname);
        }
    }

    let mut drafts = drafts;
    let mut nameless: Vec<&mut Draft> =
        drafts.iter_mut().filter(|draft| !is_named(draft)).collect();
    nameless.sort_by_cached_key(|draft| {
        let key = draft.router.key();
        (key.netns, key.vrid, key.interface, key.family)
    });
    let mut last: Option<(Option<String>, Vrid, u32)> = None;
    for draft in nameless {
        let vrid = draft.router.vrid;
        let mut number = match last {
            Some((netns, previous, number))
                if (&netns, previous) == (&draft.router.netns, vrid) =>
            {
                number + 1
            }
            _ => 1,
        };
        let mut name = numbered(vrid, number);
        let mut vif = beside(&draft.router, &name);
        while parents.contains(&vif) || taken.contains_key(&vif) {
            number += 1;
            name = numbered(vrid, number);
            vif = beside(&draft.router, &name);
        }
        last = Some((draft.router.netns.clone(), vrid, number));
        if name.len() > LONGEST_INTERFACE {
            findings.error(
                draft.lines.table,
                "vifname",
                format!(
                    "missing, and too many virtual routers of group {vrid} have none; allowed: \
                     a name of at most {LONGEST_INTERFACE} bytes"
                ),
            );
        }
        draft.router.vifname = name;
    }
    let routers = drafts.into_iter().map(|draft| draft.router);
    let mut routers: Vec<_> = routers.map(Arc::new).collect();
    // They may lie where the drafts lay.
    routers.shrink_to_fit();
    routers
}

/// The interface with this name where the parent of a virtual router is.
fn beside(router: &VirtualRouter, name: &str) -> Site {
    Site {
        netns: router.netns.clone(),
        interface: name.to_owned(),
    }
}

const fn is_named(draft: &Draft) -> bool {
    !draft.router.vifname.is_empty()
}

fn numbered(vrid: Vrid, number: u32) -> String {
    if number == 1 {
        format!("standby{vrid}")
    } else {
        format!("standby{vrid}-{number}")
    }
}
