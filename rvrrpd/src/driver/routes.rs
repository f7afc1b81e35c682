//! Routes: those that should be there come back, and what is in the place of one is told.
//!
//! The kernel has one route for a destination, a metric and a table (IPv6: adds no second one when
//! asked to make a new one). One of somebody else hides ours, and the kernel says no more than
//! that there is one. So what is there is listed: of protocol 112, which the kernel picks out.

use core::time::Duration;
use std::collections::HashSet;
use std::io;
use std::time::Instant;

use super::kernel::{Batch, Kernel, Purpose};
use super::netlink::{self, Done};
use super::{Error, Report, RouterId};
use crate::config::model::Route;

/// To pick out ours the kernel goes through its whole table; on a router with a full one that is
/// done, without a cause, at most for this part of the time.
const LISTING_SHARE: u32 = 100;

/// What is known about routes that are hidden.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// They have been told.
    routes: HashSet<Route>,
    list_after: Option<Instant>,
}

impl Kernel {
    /// Makes the routes that are missing.
    pub(super) fn look_at_routes(&mut self) -> bool {
        self.doubt.refused_routes = false;
        let wanted = self.wanted_routes();
        let there = match self.list_routes(&wanted) {
            Ok(there) => there,
            Err(error) => {
                tracing::debug!("list of routes: {error}");
                self.doubt.refused_routes = true;
                Vec::new()
            }
        };
        self.hidden.routes.retain(|route| {
            wanted.iter().any(|(_, wanted)| wanted == route) && !contains(&there, route)
        });
        let mut batch = Batch::default();
        for (id, route) in wanted.iter().filter(|(_, route)| !contains(&there, route)) {
            batch.push_route(*id, route, netlink::add_route(route));
        }
        let mut repaired = false;
        for (id, purpose, outcome) in self.outcomes(batch) {
            match (outcome, &purpose) {
                (Ok(Done::Changed), Purpose::Route(route)) => {
                    repaired = true;
                    self.hidden.routes.remove(route);
                    self.report(Report::Repaired(id, purpose.to_string()));
                }
                (Ok(Done::Already), Purpose::Route(route)) => self.tell_hidden(id, &purpose, route),
                // Told when it was refused first.
                _ => self.doubt.refused_routes = true,
            }
        }
        repaired
    }

    /// A route of somebody else is in the place of ours: told once, and tried again.
    fn tell_hidden(&mut self, id: RouterId, purpose: &Purpose, route: &Route) {
        self.doubt.refused_routes = true;
        if !self.hidden.routes.insert(route.clone()) {
            return;
        }
        let other = self.netlink.in_place_of(route);
        let other = other.map_or_else(String::new, |other| format!(" ({other})"));
        let error = io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!(
                "another route to the same destination with the same metric is in the way{other}; \
                 ours comes when it goes; allowed: another `metric`"
            ),
        );
        self.report(Report::ActivationFailed(
            id,
            Error::new(purpose.to_string(), error),
        ));
    }

    fn list_routes(&mut self, wanted: &[(RouterId, Route)]) -> io::Result<Vec<Route>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let began = Instant::now();
        let there = self.netlink.routes();
        let took = began.elapsed().max(Duration::from_millis(1));
        self.hidden.list_after = Some(Instant::now() + took * LISTING_SHARE);
        there
    }

    /// Whether routes may be listed although nothing has happened: one that somebody replaced is
    /// told by no event that is heard here.
    pub(super) fn routes_may_be_listed(&self) -> bool {
        let after = self.hidden.list_after;
        after.is_none_or(|after| after <= Instant::now())
    }

    /// The routes that should be there now, each once, with a router to tell of them.
    fn wanted_routes(&self) -> Vec<(RouterId, Route)> {
        let mut seen = HashSet::new();
        let active = || self.routers.iter().filter(|(_, router)| router.active);
        let of_routers =
            active().flat_map(|(id, router)| router.plan.routes.iter().map(|route| (*id, route)));
        let of_all = active()
            .next()
            .filter(|_| self.static_routes_in)
            .into_iter();
        let of_all = of_all.flat_map(|(id, _)| self.static_routes.iter().map(|route| (*id, route)));
        of_routers
            .chain(of_all)
            .filter(|(_, route)| seen.insert(*route))
            .map(|(id, route)| (id, route.clone()))
            .collect()
    }

    pub(super) fn has_routes(&self) -> bool {
        self.static_routes_in && !self.static_routes.is_empty()
            || self
                .routers
                .values()
                .any(|router| router.active && !router.plan.routes.is_empty())
    }

    /// Whether a route stays although `id` does not want it any more.
    pub(super) fn is_wanted(&self, route: &Route, id: RouterId) -> bool {
        self.static_routes_in && self.static_routes.contains(route)
            || self.routers.iter().any(|(other, router)| {
                *other != id && router.active && router.plan.routes.contains(route)
            })
    }
}

/// Whether the kernel's list has a route; it may have given it an MTU of its own.
fn contains(there: &[Route], route: &Route) -> bool {
    there.iter().any(|found| {
        (found.destination, found.prefix, found.next_hop)
            == (route.destination, route.prefix, route.next_hop)
            && (found.metric, found.table) == (route.metric, route.table)
    })
}
