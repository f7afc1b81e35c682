//! Undo: what a predecessor that was killed left in the kernel is taken back, exactly that and
//! nothing else.

use std::collections::BTreeSet;
use std::io;

use super::gate::Tables;
use super::ioctl::Ioctl;
use super::journal::Entry;
use super::netlink::{self, Netlink, Request};
use super::{Link, group, parent};
use crate::config::model::Route;
use crate::net::kernel;
use crate::wire::Mac;

/// Takes back what the entries say. What cannot be taken back is logged, the rest goes on.
pub(super) fn undo(netlink: &mut Netlink, entries: &[Entry]) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let links = netlink.links()?;
    // Settings first: another daemon on the interface sees the macvlans go, and makes at once the
    // settings again that it needs.
    let (settings, others): (Vec<&Entry>, Vec<&Entry>) = entries
        .iter()
        .partition(|entry| matches!(entry, Entry::Sysctl { .. }));
    let mut requests = Vec::new();
    for entry in &settings {
        if let Err(error) = undo_entry(entry, &links, &mut requests) {
            tracing::warn!("left by a predecessor and not taken back: {entry:?}: {error}");
        }
    }
    undo_macvlans(netlink, entries, &links);
    for entry in others {
        if let Err(error) = undo_entry(entry, &links, &mut requests) {
            tracing::warn!("left by a predecessor and not taken back: {entry:?}: {error}");
        }
    }
    for refusal in netlink.batch(&requests).into_iter().filter_map(Result::err) {
        tracing::warn!(
            "left by a predecessor and not taken back: {}",
            refusal.into_error()
        );
    }
    tracing::info!(
        "{} objects that a predecessor left were taken back",
        entries.len()
    );
    Ok(())
}

fn undo_macvlans(netlink: &mut Netlink, entries: &[Entry], links: &[Link]) {
    let ours: Vec<&Link> = links
        .iter()
        .filter(|link| entries.iter().any(|entry| is_of(link, entry, links)))
        .collect();
    let groups: BTreeSet<u32> = ours.iter().map(|link| link.group).collect();
    let mut requests = Vec::new();
    for group in groups.into_iter().filter(|group| *group != 0) {
        let members = || links.iter().filter(move |link| link.group == group);
        if members().all(|link| ours.iter().any(|own| own.index == link.index)) {
            requests.push(netlink::delete_group(group));
        }
    }
    // Those that went with their group are no error.
    requests.extend(ours.iter().map(|link| netlink::delete_link(link.index)));
    for refusal in netlink.batch(&requests).into_iter().filter_map(Result::err) {
        tracing::warn!(
            "macvlan of a predecessor not removed: {}",
            refusal.into_error()
        );
    }
}

/// Whether a link is the macvlan of an entry: name or group, Ethernet address and parent are those.
fn is_of(link: &Link, entry: &Entry, links: &[Link]) -> bool {
    let Entry::Macvlan {
        name,
        mac,
        parent,
        group: own,
    } = entry
    else {
        return false;
    };
    let lower = links.iter().find(|lower| Some(lower.index) == link.lower);
    // A rename may have been on its way; our group is nobody else's. What another daemon has made
    // since is that one's.
    let is_of_group = link.group == *own && *own != 0;
    (link.name == *name || is_of_group)
        && link.mac == Some(Mac(*mac))
        && (is_of_group
            || lower.is_none_or(|lower| lower.name == *parent) && !group::is_held(link.group))
}

fn undo_entry(entry: &Entry, links: &[Link], requests: &mut Vec<Request>) -> io::Result<()> {
    let link = |name: &str| links.iter().find(|link| link.name == name);
    match entry {
        Entry::Macvlan { .. } => {}
        Entry::Address {
            interface,
            address,
            prefix,
        } => {
            requests.extend(
                link(interface).map(|link| netlink::delete_address(link.index, *address, *prefix)),
            );
        }
        Entry::Alias { label } => Ioctl::new()?.remove_alias(label)?,
        Entry::Route {
            destination,
            prefix,
            next_hop,
            metric,
            mtu,
            table,
        } => {
            requests.push(netlink::delete_route(&Route {
                destination: *destination,
                prefix: *prefix,
                next_hop: *next_hop,
                metric: *metric,
                mtu: *mtu,
                table: *table,
            }));
        }
        Entry::Sysctl { path, before, ours } => parent::restore(path, before, ours)?,
        Entry::EtherMac {
            interface,
            before,
            ours,
        } => {
            let changed = link(interface).filter(|link| link.mac == Some(Mac(*ours)));
            requests.extend(changed.map(|link| netlink::set_mac(link.index, Mac(*before))));
        }
        Entry::Filter { interface } => {
            if let Some(link) = link(interface) {
                kernel::Gate::remove_leftover(link.index)?;
            }
        }
        Entry::Table { name } => Tables::remove_leftover(name)?,
    }
    Ok(())
}
