//! What the supervisor publishes: the configuration that runs and the virtual routers, each with
//! the [`Status`] that its worker keeps up to date. Replaced as a whole when routers or
//! configuration change, read without a lock.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use tokio::sync::Notify;

use super::idle::Bell;
use crate::config::model::{Config, VirtualRouter};
use crate::driver::{self, Choice, Plane};
use crate::net::kernel::{Filter, StoppedFrames};
use crate::pool::Mailbox;
use crate::stats::{Global, Performance, Rejects, Status};
use crate::wire::Mac;
use crate::wire::verdict::Reject;

/// A virtual router as others see it.
#[derive(Debug)]
pub struct Published {
    /// Its configuration as it runs.
    pub config: Arc<VirtualRouter>,
    /// What its worker publishes.
    pub status: Arc<Status>,
    /// What it takes from its interface; none while there is nothing to take.
    pub bound: Option<Bound>,
    /// What carries it.
    pub choice: Choice,
    /// What works for it in the kernel.
    pub at_work: AtWork,
}

/// What works for a virtual router in the kernel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AtWork {
    /// The filter of its receive socket: `none`, `classic` or `ebpf`.
    pub socket_filter: &'static str,
    /// The gate in front of its virtual MAC: `ebpf` or `nftables`; none where there is no such gate,
    /// or not yet.
    pub gate: Option<&'static str>,
}

/// What a virtual router takes from its interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bound {
    /// Source of its advertisements.
    pub source: IpAddr,
    /// Ethernet address of the parent.
    pub mac: Mac,
}

impl Published {
    /// Name of the interface that carries the virtual addresses.
    #[must_use]
    pub fn carrier(&self) -> &str {
        self.config.carrier()
    }

    /// Name of the virtual interface, where the router has one.
    #[must_use]
    pub fn vif(&self) -> Option<&str> {
        (self.choice.plane == Some(Plane::Macvlan)).then_some(self.config.vifname.as_str())
    }
}

/// Everything there is to see.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration; its virtual routers are those of the file, in its order.
    pub config: Arc<Config>,
    /// The virtual routers, in the order of the configuration.
    pub routers: Vec<Arc<Published>>,
    /// Counters of the whole daemon.
    pub global: Arc<Global>,
    /// Where the kernel counts what it drops; none without eBPF.
    pub filter: Option<Arc<Filter>>,
    /// Where the eBPF gates count, of each network namespace.
    pub gates: Vec<StoppedFrames>,
    /// What there is to measure.
    pub gauges: Arc<Gauges>,
    /// Another number after each reload.
    pub reloads: u64,
}

/// What is measured, beside what is counted.
#[derive(Debug)]
pub struct Gauges {
    /// When the daemon was started.
    pub started: SystemTime,
    /// How late workers are and how long the kernel takes.
    pub performance: Arc<Performance>,
    /// The queues of the workers.
    pub workers: Vec<Mailbox>,
    /// The queue of the driver.
    pub driver: Sender<driver::Command>,
    /// Configuration file.
    pub conf: PathBuf,
    /// Runtime directory.
    pub run_dir: PathBuf,
}

impl Snapshot {
    /// Every refused packet by rule, also those that the kernel refused.
    #[must_use]
    pub fn refused(&self) -> Rejects {
        let all = Rejects::default();
        let delivered = self.global.rejects.broken();
        let foreign = self.filter.as_ref().map_or(0, |filter| filter.foreign());
        let in_kernel = self
            .routers
            .iter()
            .flat_map(|router| router.status.refused_in_kernel());
        for (reject, count) in delivered.chain([(Reject::Vrid, foreign)]).chain(in_kernel) {
            all.of(reject).add(count);
        }
        all
    }
}

/// Where the snapshot lies.
#[derive(Debug)]
pub struct Registry {
    snapshot: ArcSwap<Snapshot>,
    changed: Notify,
    bell: Bell,
}

impl Registry {
    /// A registry that begins with `snapshot`.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            changed: Notify::new(),
            bell: Bell::default(),
        }
    }

    /// What rings with every snapshot.
    pub(super) const fn bell(&self) -> &Bell {
        &self.bell
    }

    /// The present snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Replaces the snapshot.
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.changed.notify_one();
        self.bell.ring();
    }

    /// Ends when another snapshot was published since this was called last.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
