//! What the driver knows: the routers with their plans, and the means to change the kernel.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::announce::Announcer;
use super::dataplane::{self, Dataplane};
use super::gate::Gate;
use super::group::Group;
use super::ioctl::Ioctl;
use super::journal::Journal;
use super::neighbour::Resolver;
use super::netlink::{Done, Netlink, Refusal, Request};
use super::parent::Parent;
use super::repair::Doubt;
use super::routes::Hidden;
use super::{Error, Link, Plan, Report, RouterId};
use crate::config::model::Route;
use crate::net::namespace::NamespaceId;
use crate::wire::Mac;

/// The thread's state.
pub(super) struct Kernel {
    /// The network namespace that it is about.
    pub(super) namespace: NamespaceId,
    pub(super) netlink: Netlink,
    pub(super) gate: Gate,
    pub(super) ioctl: Ioctl,
    pub(super) journal: Journal,
    pub(super) announcer: Announcer,
    pub(super) resolver: Resolver,
    pub(super) routers: BTreeMap<RouterId, Known>,
    pub(super) parents: BTreeMap<u32, Parent>,
    /// The settings of `all` interfaces.
    pub(super) all: Parent,
    pub(super) static_routes: Vec<Route>,
    /// The static routes are in, because a router is active.
    pub(super) static_routes_in: bool,
    pub(super) doubt: Doubt,
    /// What the kernel refused of links and addresses, and what it had refused before the last look.
    pub(super) refused: BTreeSet<(RouterId, String)>,
    pub(super) refused_before: BTreeSet<(RouterId, String)>,
    /// What the kernel last told of links, as hashes: a thousand names would take memory.
    pub(super) told: HashMap<u32, u64>,
    hasher: RandomState,
    pub(super) hidden: Hidden,
    /// Link group of our macvlans.
    pub(super) group: Group,
    pub(super) reports: Sender<Report>,
}

/// A router as the driver knows it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) plan: Plan,
    /// What a Backup needs is there.
    pub(super) prepared: bool,
    /// Addresses and routes are in.
    pub(super) active: bool,
    /// When they came.
    pub(super) since: Option<Instant>,
    /// Interface index of its macvlan.
    pub(super) vif: Option<u32>,
    /// Ethernet address of the parent while it does not carry the virtual one.
    pub(super) own_mac: Option<Mac>,
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
        namespace: NamespaceId,
        netlink: Netlink,
        gate: Gate,
        journal: Journal,
        group: Group,
        reports: Sender<Report>,
    ) -> io::Result<Self> {
        Ok(Self {
            namespace,
            netlink,
            gate,
            ioctl: Ioctl::new()?,
            journal,
            announcer: Announcer::default(),
            resolver: Resolver::default(),
            routers: BTreeMap::new(),
            parents: BTreeMap::new(),
            all: Parent::new("all"),
            static_routes: Vec::new(),
            static_routes_in: false,
            doubt: Doubt::default(),
            refused: BTreeSet::new(),
            refused_before: BTreeSet::new(),
            told: HashMap::new(),
            hasher: RandomState::new(),
            hidden: Hidden::default(),
            group,
            reports,
        })
    }

    /// Whether a link is not as it was told before. For a thousand macvlans the kernel tells for
    /// seconds of changes that are none of ours, and each look costs as much as all of them.
    pub(super) fn is_news(&mut self, link: &Link) -> bool {
        let now = self.hasher.hash_one(link);
        self.told.insert(link.index, now) != Some(now)
    }

    /// Carries out a batch and returns what was refused.
    pub(super) fn execute(&mut self, batch: Batch) -> Vec<(RouterId, Error)> {
        let mut refused = Vec::new();
        for (id, purpose, outcome) in self.outcomes(batch) {
            // One that was there already may be somebody else's.
            self.doubt.routes |=
                matches!((&purpose, &outcome), (Purpose::Route(_), Ok(Done::Already)));
            if let Err(refusal) = outcome {
                let error = Error::new(purpose.to_string(), refusal.into_error());
                match purpose {
                    Purpose::Route(_) => self.doubt.refused_routes = true,
                    Purpose::Object(_) => {
                        self.refused.insert((id, error.to_string()));
                    }
                }
                refused.push((id, error));
            }
        }
        refused
    }

    /// Carries out a batch and returns what became of each request.
    pub(super) fn outcomes(
        &mut self,
        batch: Batch,
    ) -> impl Iterator<Item = (RouterId, Purpose, Result<Done, Refusal>)> + use<> {
        let answers = if batch.requests.is_empty() {
            Vec::new()
        } else {
            self.netlink.batch(&batch.requests)
        };
        let purposes = batch.purposes.into_iter();
        purposes
            .zip(answers)
            .map(|((id, purpose), answer)| (id, purpose, answer))
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
            since: self.since,
            vif: self.vif,
            own_mac: self.own_mac,
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

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(what) => f.write_str(what),
            Self::Route(route) => write!(
                f,
                "route {}/{} via {}",
                route.destination, route.prefix, route.next_hop
            ),
        }
    }
}
