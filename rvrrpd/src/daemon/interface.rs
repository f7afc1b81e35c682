//! An interface that carries virtual routers: its sockets, its listener, its table of VRIDs.

use core::sync::atomic::{AtomicU32, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::model::{Site, VirtualRouter};
use crate::driver::Link;
use crate::net::filter::{Channel, VridSet};
use crate::net::kernel::{Demands, Filter};
use crate::net::listener::{Listener, SharedListener};
use crate::net::membership::Members;
use crate::net::sender;
use crate::net::socket::Receiver;
use crate::net::solicitation;
use crate::net::unicast;
use crate::pool::{Dispatcher, Entry, Mailbox, Port, PortSlots, Table};
use crate::stats::Global;
use crate::wire::auth::Key;
use crate::wire::{Family, GROUP_V4, GROUP_V6, Vrid};

/// Number of the next interface that is opened.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Who reads what an interface receives.
#[derive(Debug)]
pub(super) enum Reader<'a, F> {
    /// A thread of its own, in which this runs once.
    Alone(F),
    /// The one that reads for many.
    Shared(&'a SharedListener),
}

/// A parent interface that is open.
#[derive(Debug)]
pub(super) struct Interface {
    /// What the workers see of it.
    pub(super) port: Arc<Port>,
    table: Arc<Table>,
    listener: Listener,
    entries: BTreeMap<(Family, Vrid), Arc<Entry>>,
    filters: Vec<(Channel, Attached)>,
    /// Families whose group the interface has forgotten and could not be made to join again.
    deaf: BTreeSet<Family>,
    global: Arc<Global>,
    /// What the eBPF filter was told to let pass, by the socket that it passes.
    admitted: BTreeMap<(u64, Vrid), Demands>,
}

/// Which filter a socket is to have.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Wanted {
    /// None: a router wants all packets.
    None,
    /// Classic BPF.
    Classic,
    /// eBPF, where it is loaded.
    Ebpf,
}

impl Wanted {
    /// What can be had on this link. In a VRF the eBPF filter would take its packets for those of
    /// another interface and pass none, and a Backup that hears nothing becomes a second Master.
    pub(super) fn on(self, link: Option<&Link>) -> Self {
        if link.is_some_and(|link| link.vrf) {
            self.min(Self::Classic)
        } else {
            self
        }
    }
}

/// The filter that a socket has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Attached {
    Classic(Option<VridSet>),
    Ebpf,
}

impl Interface {
    /// Opens the sockets of an interface, in the network namespace of the calling thread, and has
    /// them read into the two queues of each worker. A family that the interface does
    /// not have is told in the log and left out: the routers of the other one go on.
    ///
    /// # Errors
    /// A socket cannot be opened, for no family.
    pub(super) fn open(
        site: &Site,
        index: u32,
        families: &[Family],
        workers: Vec<Mailbox>,
        global: Arc<Global>,
        filter: Option<&Arc<Filter>>,
        reader: Reader<'_, impl FnOnce() + Send + 'static>,
    ) -> io::Result<Self> {
        let sender = Arc::new(sender::Sender::open(index)?);
        let (mut receivers, mut unicast, mut failure) = (Vec::new(), Vec::new(), None);
        for family in families {
            match Receiver::open(index, Channel::Vrrp(*family)) {
                Ok(receiver) => {
                    receivers.push(receiver);
                    unicast.push(unicast::Sender::open(index, *family)?);
                }
                Err(error) => {
                    tracing::warn!(
                        "no socket on interface {site} for {}: {error}",
                        group(*family)
                    );
                    failure = Some(error);
                }
            }
        }
        if let Some(error) = failure.filter(|_| receivers.is_empty()) {
            return Err(error);
        }
        let table = Arc::new(Table::default());
        let name = site.to_string();
        let dispatcher = Dispatcher::new(&name, Arc::clone(&table), workers, Arc::clone(&global));
        let listener = match reader {
            Reader::Alone(prepare) => {
                Listener::start(&site.interface, receivers, prepare, dispatcher)?
            }
            Reader::Shared(listener) => listener.add(receivers, dispatcher)?,
        };
        let progress = Arc::clone(listener.progress());
        Ok(Self {
            port: Arc::new(Port {
                number: NEXT.fetch_add(1, Ordering::Relaxed),
                index,
                name,
                sender,
                unicast,
                progress,
                slots: filter.map(PortSlots::new),
            }),
            table,
            listener,
            entries: BTreeMap::new(),
            filters: Vec::new(),
            global,
            admitted: BTreeMap::new(),
            deaf: BTreeSet::new(),
        })
    }

    /// Adds or replaces a virtual router; it is heard after [`Self::publish`].
    pub(super) fn set(&mut self, router: &VirtualRouter, entry: Arc<Entry>) {
        self.entries.insert((router.family, router.vrid), entry);
    }

    /// Takes a virtual router out; it is not heard any more after [`Self::publish`].
    pub(super) fn remove(&mut self, family: Family, vrid: Vrid) {
        if let Some(entry) = self.entries.remove(&(family, vrid)) {
            entry.status.count_in_kernel(None, &self.global);
        }
    }

    /// Whether there is a socket for this family, and it is a member of the group.
    pub(super) fn hears(&self, family: Family) -> bool {
        self.has_socket(family) && !self.deaf.contains(&family)
    }

    /// The families that it hears.
    pub(super) fn families(&self) -> BTreeSet<Family> {
        let receivers = self.listener.progress().receivers();
        let families = receivers.map(Receiver::family);
        families.filter(|family| self.hears(*family)).collect()
    }

    /// Whether there is no socket for this family, although one can be opened by now.
    pub(super) fn could_hear(&self, family: Family) -> bool {
        let open = || Receiver::open(self.port.index, Channel::Vrrp(family));
        !self.has_socket(family) && open().is_ok()
    }

    /// Whether there is a socket for this family.
    pub(super) fn has_socket(&self, family: Family) -> bool {
        let mut receivers = self.listener.progress().receivers();
        receivers.any(|receiver| receiver.channel() == Channel::Vrrp(family))
    }

    /// Joins the VRRP groups again that the interface has forgotten; `members` are those of its
    /// network namespace.
    pub(super) fn join_again(&mut self, members: &Members) {
        let name = &self.port.name;
        for receiver in self.listener.progress().receivers() {
            let family = receiver.family();
            match receiver.join_again(members) {
                Ok(anew) => {
                    if anew {
                        tracing::info!("interface {name}: joined {} again", group(family));
                    }
                    self.deaf.remove(&family);
                }
                // As long as the interface does not have this family at all, which the readiness
                // of its routers says, too.
                Err(error) => {
                    tracing::debug!("interface {name}: {}: {error}", group(family));
                    self.deaf.insert(family);
                }
            }
        }
    }

    /// Whether no virtual router is left.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes table and socket filters those of the present set of routers. A socket whose routers
    /// want no filter hears everything. The socket of protocol 51 is opened for the first router
    /// that needs it.
    ///
    /// # Errors
    /// A socket cannot be opened, or a filter cannot be attached; the one before it stays.
    pub(super) fn publish(&mut self, wanted: impl Fn(Family) -> Wanted) -> io::Result<()> {
        let progress = self.listener.progress();
        let families: BTreeSet<Family> = progress.receivers().map(Receiver::family).collect();
        for family in families {
            let routers = self
                .entries
                .iter()
                .filter(|((of, _), _)| *of == family)
                .map(|((_, vrid), entry)| (*vrid, Arc::clone(entry)));
            self.table.replace(family, routers);
        }
        let behind_ah: VridSet = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.expect.auth, Key::Ah(_)))
            .map(|((_, vrid), _)| *vrid)
            .collect();
        let hears_ah = progress.receivers().any(|one| one.channel() == Channel::Ah);
        if !behind_ah.is_empty() && !hears_ah {
            let receiver = Receiver::open(self.port.index, Channel::Ah)?;
            self.listener.add(receiver)?;
        }
        self.publish_solicitations();
        for receiver in self.listener.progress().receivers() {
            let channel = receiver.channel();
            let filter = match channel {
                Channel::Vrrp(family) => match (wanted(family), &self.port.slots) {
                    (Wanted::None, _) => Attached::Classic(None),
                    (Wanted::Ebpf, Some(_)) => Attached::Ebpf,
                    (Wanted::Ebpf | Wanted::Classic, _) => {
                        Attached::Classic(Some(self.table.vrids(family)))
                    }
                },
                Channel::Ah => {
                    let all = wanted(Family::V4) == Wanted::None && !behind_ah.is_empty();
                    Attached::Classic((!all).then_some(behind_ah))
                }
            };
            if let (Channel::Vrrp(family), Some(slots)) = (channel, &self.port.slots) {
                // Before the filter asks, and after it has asked for the last time.
                admit(
                    slots,
                    (receiver.cookie(), family),
                    &self.entries,
                    &mut self.admitted,
                    &self.global,
                )?;
            }
            if !self.filters.contains(&(channel, filter)) {
                match (&filter, &self.port.slots) {
                    (Attached::Ebpf, Some(slots)) => receiver.filter_by(slots.filter())?,
                    (Attached::Classic(Some(vrids)), _) => receiver.filter(Some(vrids))?,
                    _ => receiver.filter(None)?,
                }
                self.filters.retain(|(of, _)| *of != channel);
                self.filters.push((channel, filter));
            }
        }
        Ok(())
    }

    /// Hears router solicitations while there is a router that answers them. Where that fails the
    /// advertisements that nobody asks for still leave, and the next publication tries again.
    fn publish_solicitations(&self) {
        let mut entries = self.entries.values();
        let wanted = entries.any(|entry| entry.doorbell.is_some());
        if wanted == self.listener.hears_solicitations() {
            return;
        }
        let receiver = wanted.then(|| solicitation::Receiver::open(self.port.index));
        let published = receiver
            .transpose()
            .and_then(|receiver| self.listener.solicitations(receiver));
        if let Err(error) = published {
            tracing::warn!(
                "router solicitations on interface {} are not heard: {error}",
                self.port.name
            );
        }
    }
}

const fn group(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(GROUP_V4),
        Family::V6 => IpAddr::V6(GROUP_V6),
    }
}

/// Makes the eBPF filter let pass what the virtual routers of a family want, whose socket has this
/// cookie, and nothing else.
fn admit(
    slots: &PortSlots,
    (socket, family): (u64, Family),
    entries: &BTreeMap<(Family, Vrid), Arc<Entry>>,
    admitted: &mut BTreeMap<(u64, Vrid), Demands>,
    global: &Global,
) -> io::Result<()> {
    let filter = slots.filter();
    admitted.retain(|(of, vrid), _| {
        let stays = *of != socket || entries.contains_key(&(family, *vrid));
        if !stays {
            filter.refuse((socket, *vrid));
        }
        stays
    });
    for ((_, vrid), entry) in entries.iter().filter(|((of, _), _)| *of == family) {
        let router = (socket, *vrid);
        let demands = Demands {
            least_ttl: entry.expect.peers.least_ttl(),
            versions: entry.expect.versions,
        };
        let slot = slots
            .take((family, *vrid))
            .ok_or_else(|| io::Error::other("the filter has no room for another virtual router"))?;
        entry.status.count_in_kernel(Some((filter, slot)), global);
        if admitted.get(&router) != Some(&demands) {
            filter.admit(router, demands, slot)?;
            admitted.insert(router, demands);
        }
    }
    Ok(())
}

impl Drop for Interface {
    fn drop(&mut self) {
        let Some(slots) = &self.port.slots else {
            return;
        };
        for router in self.admitted.keys() {
            slots.filter().refuse(*router);
        }
        // The slots may go to others when the last worker has forgotten this interface.
        for entry in self.entries.values() {
            entry.status.count_in_kernel(None, &self.global);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ebpf_filter_in_a_vrf() {
        let link = |vrf| Link {
            index: 3,
            name: "eth0".to_owned(),
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
            vrf,
        };
        for (wanted, in_vrf) in [
            (Wanted::None, Wanted::None),
            (Wanted::Classic, Wanted::Classic),
            (Wanted::Ebpf, Wanted::Classic),
        ] {
            assert_eq!(wanted.on(Some(&link(true))), in_vrf);
            assert_eq!(wanted.on(Some(&link(false))), wanted);
            assert_eq!(wanted.on(None), wanted);
        }
    }
}
