//! An interface that carries virtual routers: its sockets, its listener, its table of VRIDs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::config::model::VirtualRouter;
use crate::net::filter::{Channel, VridSet};
use crate::net::listener::Listener;
use crate::net::sender;
use crate::net::socket::Receiver;
use crate::net::solicitation;
use crate::net::unicast;
use crate::pool::{Control, Delivery, Dispatcher, Entry, Port, Table};
use crate::stats::Global;
use crate::wire::auth::Key;
use crate::wire::{Family, Vrid};

/// A parent interface that is open.
#[derive(Debug)]
pub(super) struct Interface {
    /// What the workers see of it.
    pub(super) port: Arc<Port>,
    table: Arc<Table>,
    listener: Listener,
    entries: BTreeMap<(Family, Vrid), Arc<Entry>>,
    filters: Vec<(Channel, Option<VridSet>)>,
}

impl Interface {
    /// Opens the sockets of an interface and starts its listener, which feeds the two queues of
    /// each worker; `prepare` runs once in the listener's thread.
    ///
    /// # Errors
    /// A socket cannot be opened.
    pub(super) fn open(
        name: &str,
        index: u32,
        families: &[Family],
        workers: (Vec<Sender<Delivery>>, Vec<Sender<Control>>),
        global: Arc<Global>,
        prepare: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let sender = Arc::new(sender::Sender::open(index)?);
        let receivers = families
            .iter()
            .map(|family| Receiver::open(name, index, Channel::Vrrp(*family)))
            .collect::<io::Result<Vec<_>>>()?;
        let unicast = families
            .iter()
            .map(|family| unicast::Sender::open(name, index, *family))
            .collect::<io::Result<Vec<_>>>()?;
        let table = Arc::new(Table::default());
        let (adverts, controls) = workers;
        let dispatcher = Dispatcher::new(name, Arc::clone(&table), adverts, global);
        let dispatcher = dispatcher.with_controls(controls);
        let listener = Listener::start(name, receivers, prepare, dispatcher)?;
        let progress = Arc::clone(listener.progress());
        Ok(Self {
            port: Arc::new(Port {
                index,
                sender,
                unicast,
                progress,
            }),
            table,
            listener,
            entries: BTreeMap::new(),
            filters: Vec::new(),
        })
    }

    /// Adds or replaces a virtual router; it is heard after [`Self::publish`].
    pub(super) fn set(&mut self, router: &VirtualRouter, entry: Arc<Entry>) {
        self.entries.insert((router.family, router.vrid), entry);
    }

    /// Takes a virtual router out; it is not heard any more after [`Self::publish`].
    pub(super) fn remove(&mut self, family: Family, vrid: Vrid) {
        self.entries.remove(&(family, vrid));
    }

    /// Whether there is a socket for this family.
    pub(super) fn hears(&self, family: Family) -> bool {
        let mut receivers = self.listener.progress().receivers();
        receivers.any(|receiver| receiver.channel() == Channel::Vrrp(family))
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
    pub(super) fn publish(
        &mut self,
        name: &str,
        unfiltered: impl Fn(Family) -> bool,
    ) -> io::Result<()> {
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
            let receiver = Receiver::open(name, self.port.index, Channel::Ah)?;
            self.listener.add(receiver)?;
        }
        self.publish_solicitations(name);
        for receiver in self.listener.progress().receivers() {
            let channel = receiver.channel();
            let filter = match channel {
                Channel::Vrrp(family) => (!unfiltered(family)).then(|| self.table.vrids(family)),
                Channel::Ah => {
                    (!unfiltered(Family::V4) || behind_ah.is_empty()).then_some(behind_ah)
                }
            };
            if !self.filters.contains(&(channel, filter)) {
                receiver.filter(filter.as_ref())?;
                self.filters.retain(|(of, _)| *of != channel);
                self.filters.push((channel, filter));
            }
        }
        Ok(())
    }

    /// Hears router solicitations while there is a router that answers them. Where that fails the
    /// advertisements that nobody asks for still leave, and the next publication tries again.
    fn publish_solicitations(&self, name: &str) {
        let mut entries = self.entries.values();
        let wanted = entries.any(|entry| entry.doorbell.is_some());
        if wanted == self.listener.hears_solicitations() {
            return;
        }
        let receiver = wanted.then(|| solicitation::Receiver::open(name, self.port.index));
        let published = receiver
            .transpose()
            .and_then(|receiver| self.listener.solicitations(receiver));
        if let Err(error) = published {
            tracing::warn!("router solicitations on interface {name} are not heard: {error}");
        }
    }
}
