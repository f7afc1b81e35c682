//! The driver: everything that rVRRPd changes in the kernel, and everything it watches there.
//!
//! One thread owns it. Commands come over a channel and are coalesced into batches, reports go
//! back over another; a slow kernel therefore never delays an advertisement. What belongs to one
//! network namespace is a `kernel::Kernel` of its own; the thread goes from one to the next.
//!
//! ```text
//!  commands ─▶ thread ─┬─▶ prepare   macvlans, silence, closed gate     ─┐
//!                      ├─▶ election  gate, addresses, routes, announce   ├─▶ netlink, gate,
//!                      ├─▶ remove    everything of a router              │   sysctl, ioctl
//!                      └─▶ repair    what others took away              ─┘
//!  kernel ─▶ monitor ─▶ thread, supervisor           journal ─▶ undo (at the next start)
//! ```

mod announce;
mod choice;
mod conflict;
mod dataplane;
mod duties;
mod early;
mod election;
mod follow;
pub mod gate;
mod group;
mod herald;
pub mod ioctl;
pub mod journal;
mod kernel;
mod macvlan;
mod monitor;
mod neighbour;
mod netlink;
mod parent;
mod place;
mod prepare;
mod remove;
mod repair;
mod ripening;
mod routes;
pub mod sysctl;
mod thread;
mod undo;
pub mod view;

pub use gate::{Absence, Guard};
pub use monitor::{Monitor, snapshot};
pub use place::has_leftovers;
pub use thread::{Driver, DriverHandle};

use core::time::Duration;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::model::{NetworkDriver, Route};
use crate::net::kernel::StoppedFrames;
use crate::net::namespace::{Namespace, NamespaceId};
use crate::net::sender::Sender;
use crate::wire::{Family, Mac, Vrid};

/// Handle of a virtual router inside the process; never used again for another one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RouterId(pub u32);

/// What one virtual router needs in the kernel.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose plan it is.
    pub id: RouterId,
    /// Name of the virtual router, for messages.
    pub name: String,
    /// VRID.
    pub vrid: Vrid,
    /// Address family.
    pub family: Family,
    /// Network namespace of the parent; none: that of the daemon.
    pub namespace: Option<Arc<Namespace>>,
    /// Interface index of the parent.
    pub parent: u32,
    /// Name of the parent.
    pub parent_name: String,
    /// What carries the addresses and the virtual MAC.
    pub carrier: Carrier,
    /// Virtual addresses with the prefix length they get on the carrier.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Whether a virtual address belongs to the parent already (owner).
    pub owner: bool,
    /// The virtual addresses that do: they are never added to the parent and never removed from
    /// it.
    pub own: Vec<IpAddr>,
    /// Primary address: what the advertisements come from.
    pub source: IpAddr,
    /// How long it is Backup at least before it can be Master, unless a Master that it hears meanwhile
    /// resigns, or falls silent after shorter intervals; zero: it is Master at once.
    pub patience: Duration,
    /// Whether packets to the virtual addresses are accepted.
    pub accept: bool,
    /// Whether applications can be bound to the virtual addresses while it is not Master.
    pub nonlocal_bind: bool,
    /// Routes that are there while the router is Master.
    pub routes: Vec<Route>,
    /// Unicast peers; their neighbour entries are kept, whatever the state of the router.
    pub peers: Arc<[IpAddr]>,
    /// Whole frames that announce the virtual addresses (gratuitous ARP or unsolicited NA), one
    /// per address, in the order of the addresses.
    pub announcements: Arc<[Vec<u8>]>,
    /// Where the announcements leave.
    pub sender: Arc<Sender>,
    /// Whether somebody waits for [`Report::Activated`]. Of a thousand that a dead Master left it would
    /// disturb those that are still to be taken over.
    pub awaited: bool,
}

/// What carries the virtual addresses and the virtual MAC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Carrier {
    /// A macvlan in bridge mode on the parent, made at start and silent until Master.
    Macvlan {
        /// Its name.
        name: String,
    },
    /// The parent itself.
    Ether {
        /// Whether the parent carries the virtual MAC while Master.
        virtual_mac: bool,
        /// How the kernel is told.
        netdrv: NetworkDriver,
    },
    /// The eBPF gate of the parent. There is no interface; packets to the virtual addresses are
    /// accepted by these on the parent, or not at all.
    Ebpf,
    /// The eBPF gate where it runs, else a macvlan: the driver chooses when it prepares the router.
    Best {
        /// Name of the macvlan.
        name: String,
    },
}

impl Carrier {
    /// Whether the parent itself has the virtual addresses, while Master.
    #[must_use]
    pub const fn is_parent(&self) -> bool {
        matches!(self, Self::Ether { .. } | Self::Ebpf)
    }
}

/// A data plane, as users name it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plane {
    /// The interface itself.
    Ether,
    /// A macvlan.
    Macvlan,
    /// The eBPF gate.
    Ebpf,
}

impl Plane {
    /// Its name, which is that of `iftype`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ether => "ether",
            Self::Macvlan => "macvlan",
            Self::Ebpf => "ebpf",
        }
    }
}

/// What carries a virtual router, where that is not only for the configuration to say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choice {
    /// The data plane; none: the wanted one does not run here, or nothing was chosen yet.
    pub plane: Option<Plane>,
    /// Why no better one.
    pub why: Option<String>,
}

/// What the driver is asked to do. Commands about one router are carried out in their order.
#[derive(Debug)]
pub enum Command {
    /// Makes what a Backup needs (macvlan, silence, closed gate). A plan with the id of a known
    /// router replaces its plan: only what differs is changed, an active router stays active.
    Prepare(Vec<Plan>),
    /// Takes back everything of these routers.
    Remove(Vec<RouterId>),
    /// A router may become Master at once: who waits for that need not be woken then.
    StandBy,
    /// The router became Master: gate open, addresses and routes in, then its announcements.
    Activate(RouterId),
    /// The router is no longer Master: gate closed, addresses and routes out.
    Deactivate(RouterId),
    /// Sends the announcements of an active router once more.
    Announce(RouterId),
    /// Replaces the routes that are there while at least one router of the daemon's own network
    /// namespace is active.
    StaticRoutes(Vec<Route>),
    /// What the kernel says has happened.
    Kernel(NamespaceId, KernelEvent),
    /// Takes back everything in a network namespace and lets go of it.
    Leave(NamespaceId),
    /// All routers are about to resign. The driver is not real-time from here on, so that it keeps no
    /// processor from what takes the last advertisements out of the queue of an interface; it goes
    /// before what else a host does, for a successor may be Master before the gate is closed.
    Resign,
    /// Takes back everything and ends the thread.
    Shutdown,
}

/// What the driver tells the supervisor.
#[derive(Debug)]
pub enum Report {
    /// What a Backup needs is there.
    Prepared(RouterId),
    /// It cannot be made; `Prepare` may be tried again.
    Unprepared(RouterId, Error),
    /// Gate, addresses and routes are in and the first announcements have left.
    Activated(RouterId),
    /// Something is missing although the router is Master.
    ActivationFailed(RouterId, Error),
    /// Something of ours was removed by somebody else and put back.
    Repaired(RouterId, String),
    /// What carries a router, where the driver had to find out.
    Chosen(RouterId, Choice),
    /// Somebody else says that he has this virtual address of an active router; his Ethernet
    /// address, and in how many packets since it was told last.
    Conflict(RouterId, IpAddr, Mac, u64),
    /// The eBPF gate of a network namespace is loaded; what it stops is counted there.
    Loaded(NamespaceId, StoppedFrames),
    /// The interface with this index and name has a gate, and these programs of others see its
    /// frames before that does.
    Guarded(NamespaceId, u32, String, Guard, Vec<String>),
    /// It has none any more.
    Unguarded(NamespaceId, u32),
    /// What the kernel says has happened.
    Kernel(NamespaceId, KernelEvent),
    /// Names of network namespaces may have come or gone.
    Mounts,
}

/// A change of links and addresses, as the kernel reports it.
#[derive(Clone, Debug)]
pub enum KernelEvent {
    /// A link appeared or changed.
    Link(Link),
    /// A link is gone.
    LinkGone {
        /// Its interface index.
        index: u32,
        /// Interface index of the lower device that it had.
        lower: Option<u32>,
    },
    /// An address appeared or changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A route of ours is gone.
    RouteGone(Route),
    /// Events were lost: this is all that there is now.
    Resync(Vec<Link>, Vec<Address>),
}

/// A network interface.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Link {
    /// Interface index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Ethernet address; none where the link has none of six bytes.
    pub mac: Option<Mac>,
    /// `ARPHRD_*` of linux/if_arp.h; 1 is Ethernet.
    pub kind: u16,
    /// MTU in bytes.
    pub mtu: u32,
    /// IFF_UP: set up by the administrator.
    pub up: bool,
    /// IFF_LOWER_UP and operational state not down: frames can pass.
    pub carrier: bool,
    /// Interface index of the lower device (`IFLA_LINK`), none for a physical one.
    pub lower: Option<u32>,
    /// Link group (`IFLA_GROUP`).
    pub group: u32,
    /// It is a macvlan.
    pub macvlan: bool,
    /// It takes frames to its own Ethernet address alone, whatever it is asked for: a macvlan,
    /// macvtap, ipvlan or ipvtap.
    pub secluded: bool,
    /// It is a port of a bridge, bond or team: what it receives belongs to that.
    pub enslaved: bool,
    /// It is a port of a VRF: what is sent to it is still received there, but programs of eBPF are
    /// told that it came in by the VRF.
    pub vrf: bool,
}

impl Link {
    /// Whether it is a macvlan that rvrrpd made.
    #[must_use]
    pub const fn is_of_rvrrpd(&self) -> bool {
        self.macvlan && group::is_ours(self.group)
    }
}

/// An address on an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// Interface index.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// IPv6: not usable yet (IFA_F_TENTATIVE) or found twice (IFA_F_DADFAILED).
    pub tentative: bool,
    /// IPv6: somebody else on the link has it (IFA_F_DADFAILED); it is tentative then, too.
    pub duplicate: bool,
    /// IFA_F_SECONDARY (IPv4).
    pub secondary: bool,
    /// Put there by rVRRPd (IFA_PROTO, or the label of the ioctl driver).
    pub ours: bool,
}

/// Why the kernel could not be changed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct Error {
    /// What was tried, with the names of the objects.
    pub what: String,
    /// What the kernel said.
    #[source]
    pub source: Arc<io::Error>,
}

impl Error {
    /// `what` was tried and `source` is what came of it.
    #[must_use]
    pub fn new(what: impl Into<String>, source: io::Error) -> Self {
        Self {
            what: what.into(),
            source: Arc::new(source),
        }
    }
}
