//! What the driver knows: the routers with their plans, and the means to change the kernel.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::announce::Announcer;
use super::dataplane::{self, Dataplane};
use super::gate::Gate;
use super::ioctl::Ioctl;
use super::journal::Journal;
use super::neighbour::Resolver;
use super::netlink::{Netlink, Request};
use super::parent::Parent;
use super::{Error, Plan, Report, RouterId};
use crate::config::model::Route;
use crate::wire::Mac;

/// The thread's state.
pub(super) struct Kernel {
    pub(super) netlink: Netlink,
    pub(super) gate: Gate,
    pub(super) ioctl: Ioctl,
    pub(super) journal: Journal,
    pub(super) announcer: Announcer,
    pub(super) resolver: Resolver,
    pub(super) routers: BTreeMap<RouterId, Known>,
    pub(super) parents: BTreeMap<u32, Parent>,
    pub(super) static_routes: Vec<Route>,
    /// The static routes are in, because a router is active.
    pub(super) static_routes_in: bool,
    /// Routes that the kernel refused; they are tried again when something changes.
    pub(super) refused_routes: bool,
    /// Link group of our macvlans.
    pub(super) group: u32,
    reports: Sender<Report>,
}

/// A router as the driver knows it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) plan: Plan,
    /// What a Backup needs is there.
    pub(super) prepared: bool,
    /// Addresses and routes are in.
    pub(super) active: bool,
    /// Interface index of its macvlan.
    pub(super) vif: Option<u32>,
    /// Ethernet address of the parent while it does not carry the virtual one.
    pub(super) own_mac: Option<Mac>,
    pub(super) repairs: Repairs,
}

/// How often something was put back lately: two programs that undo each other must not keep the
/// host busy.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    window: Option<Instant>,
    count: u32,
}

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(10);
/// Repairs in one window.
const MOST_REPAIRS: u32 = 50;

impl Repairs {
    /// Counts one; false where there were too many lately.
    pub(super) fn allow(&mut self) -> bool {
        if self.window.is_none_or(|start| start.elapsed() > WINDOW) {
            self.window = Some(Instant::now());
            self.count = 0;
        }
        self.count += 1;
        self.count <= MOST_REPAIRS
    }
}

/// Requests of a batch, each with whose it is and what it is for.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) requests: Vec<Request>,
    purposes: Vec<(RouterId, Purpose)>,
}

/// What a request is for, for the message if it is refused.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Anything about a link or an address.
    Object(String),
    /// A route; it is tried again when links or addresses change.
    Route(Route),
}

impl Batch {
    /// Adds a request.
    pub(super) fn push(&mut self, id: RouterId, what: String, request: Request) {
        self.requests.push(request);
        self.purposes.push((id, Purpose::Object(what)));
    }

    /// Adds a request about a route.
    pub(super) fn push_route(&mut self, id: RouterId, route: &Route, request: Request) {
        self.requests.push(request);
        self.purposes.push((id, Purpose::Route(route.clone())));
    }
}

impl Kernel {
    pub(super) fn new(
        netlink: Netlink,
        gate: Gate,
        journal: Journal,
        group: u32,
        reports: Sender<Report>,
    ) -> io::Result<Self> {
        Ok(Self {
            netlink,
            gate,
            ioctl: Ioctl::new()?,
            journal,
            announcer: Announcer::default(),
            resolver: Resolver::default(),
            routers: BTreeMap::new(),
            parents: BTreeMap::new(),
            static_routes: Vec::new(),
            static_routes_in: false,
            refused_routes: false,
            group,
            reports,
        })
    }

    /// Carries out a batch and returns what was refused.
    pub(super) fn execute(&mut self, batch: Batch) -> Vec<(RouterId, Purpose, Error)> {
        if batch.requests.is_empty() {
            return Vec::new();
        }
        let answers = self.netlink.batch(&batch.requests);
        answers
            .into_iter()
            .zip(batch.purposes)
            .filter_map(|(answer, (id, purpose))| {
                let error = answer.err()?.into_error();
                let what = match &purpose {
                    Purpose::Object(what) => what.clone(),
                    Purpose::Route(route) => name(route),
                };
                Some((id, purpose, Error::new(what, error)))
            })
            .collect()
    }

    /// Tells the supervisor, as long as there is one.
    pub(super) fn report(&self, report: Report) {
        let _ended = self.reports.send(report);
    }

    /// Whether some router is active.
    pub(super) fn any_active(&self) -> bool {
        self.routers.values().any(|router| router.active)
    }
}

impl Known {
    /// The same router with another plan.
    pub(super) fn with_plan(&self, plan: Plan) -> Self {
        Self {
            plan,
            prepared: self.prepared,
            active: self.active,
            vif: self.vif,
            own_mac: self.own_mac,
            repairs: Repairs::default(),
        }
    }

    pub(super) fn dataplane(&self) -> &'static dyn Dataplane {
        dataplane::of(&self.plan.carrier)
    }

    /// Interface index of what carries the addresses; none while there is no such interface.
    pub(super) fn carrier(&self) -> Option<u32> {
        self.dataplane().carrier(self)
    }
}

/// How a route is called in messages.
pub(super) fn name(route: &Route) -> String {
    format!(
        "route {}/{} via {}",
        route.destination, route.prefix, route.next_hop
    )
}
