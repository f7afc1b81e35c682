//! The network namespaces that virtual routers are in: their names are looked after, because a
//! namespace may be deleted and made again while the daemon runs.
//!
//! The kernel keeps a deleted namespace as long as somebody has a socket or a thread in it. So the
//! routers of one whose name is gone let go of it at once, and wait in Init until the name is back.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::supervisor::Supervisor;
use crate::config::model::{RouterKey, Site};
use crate::driver::view::View;
use crate::driver::{Command, KernelEvent, Monitor};
use crate::net::listener::SharedListener;
use crate::net::namespace::{self, Identity, Namespace, NamespaceId};

/// Least time between two looks at names: on a host with many containers mounts come and go all
/// the time.
const GAP: Duration = Duration::from_millis(100);

/// The namespaces that there are.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// That of the daemon itself.
    own: View,
    own_identity: Option<Identity>,
    named: BTreeMap<String, Named>,
    /// What was told last of a name that cannot be used.
    complaints: BTreeMap<String, String>,
    next: u32,
    /// What reads the sockets in all of them but the own one.
    listener: Option<Arc<SharedListener>>,
    last_look: Option<Instant>,
    /// A look is due.
    due: bool,
}

/// A namespace that is open.
#[derive(Debug)]
struct Named {
    namespace: Arc<Namespace>,
    view: View,
}

impl Namespaces {
    /// That of the daemon, with what the kernel says of it.
    pub(super) fn new(own: View) -> Self {
        Self {
            own,
            own_identity: namespace::own_identity().ok(),
            named: BTreeMap::new(),
            complaints: BTreeMap::new(),
            next: NamespaceId::OWN.0 + 1,
            listener: None,
            last_look: None,
            due: false,
        }
    }

    /// What the kernel says of a namespace; none while it is not there.
    pub(super) fn view(&self, netns: Option<&str>) -> Option<&View> {
        match netns {
            None => Some(&self.own),
            Some(name) => self.named.get(name).map(|named| &named.view),
        }
    }

    /// The same, to be changed.
    pub(super) fn view_mut(&mut self, netns: Option<&str>) -> Option<&mut View> {
        match netns {
            None => Some(&mut self.own),
            Some(name) => self.named.get_mut(name).map(|named| &mut named.view),
        }
    }

    /// The namespace itself; none for that of the daemon, and while it is not there.
    pub(super) fn handle(&self, netns: Option<&str>) -> Option<Arc<Namespace>> {
        let named = self.named.get(netns?)?;
        Some(Arc::clone(&named.namespace))
    }

    /// The name of a namespace, which the daemon's own one has not; none where nobody is there any
    /// more.
    #[allow(
        clippy::option_option,
        reason = "a namespace without a name is one, too"
    )]
    pub(super) fn name_of(&self, id: NamespaceId) -> Option<Option<String>> {
        if id == NamespaceId::OWN {
            return Some(None);
        }
        let mut all = self.named.iter();
        let named = all.find(|(_, named)| named.namespace.id == id);
        named.map(|(name, _)| Some(name.clone()))
    }

    /// Does something in a namespace.
    ///
    /// # Errors
    /// It is not there, or cannot be entered.
    pub(super) fn enter<T>(&self, netns: Option<&str>, work: impl FnOnce() -> T) -> io::Result<T> {
        let Some(name) = netns else {
            return Ok(work());
        };
        let named = self.named.get(name).ok_or(io::ErrorKind::NotFound)?;
        named.namespace.enter(work)
    }

    /// The thread that reads for all interfaces that are not in the daemon's own namespace.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn listener(
        &mut self,
        prepare: impl FnOnce() + Send + 'static,
    ) -> io::Result<Arc<SharedListener>> {
        if let Some(listener) = &self.listener {
            return Ok(Arc::clone(listener));
        }
        let listener = Arc::new(SharedListener::start("rx-netns", prepare)?);
        self.listener = Some(Arc::clone(&listener));
        Ok(listener)
    }

    /// Names may have come or gone.
    pub(super) const fn look_soon(&mut self) {
        self.due = true;
    }

    /// Tells when it is time for [`Supervisor::look_at_namespaces`].
    pub(super) fn next_look(&self) -> Receiver<Instant> {
        if !self.due {
            return crossbeam_channel::never();
        }
        let now = Instant::now();
        crossbeam_channel::at(self.last_look.map_or(now, |last| last + GAP))
    }

    /// Opens a namespace that is not open.
    fn open(&mut self, name: &str, monitor: &Monitor) -> Result<(), String> {
        let explain = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => format!(
                "{error}; it needs CAP_SYS_ADMIN, which the daemon keeps only if a virtual router \
                 has netns when it starts: restart it"
            ),
            _ => error.to_string(),
        };
        let namespace = match Namespace::open(NamespaceId(self.next), name) {
            Ok(namespace) => Arc::new(namespace),
            // Its routers say that they wait for it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(String::new()),
            Err(error) => return Err(explain(error)),
        };
        if Some(namespace.identity) == self.own_identity {
            return Err("it is that of the daemon itself: leave netns out".to_owned());
        }
        let mut others = self.named.iter();
        if let Some((other, _)) =
            others.find(|(_, other)| other.namespace.identity == namespace.identity)
        {
            return Err(format!("it is the same as {other}: use one name"));
        }
        let (links, addresses) = monitor.watch(&namespace).map_err(explain)?;
        self.next += 1;
        let mut view = View::default();
        view.apply(&KernelEvent::Resync(links, addresses));
        self.named
            .insert(name.to_owned(), Named { namespace, view });
        Ok(())
    }
}

impl Supervisor {
    /// Looks which namespaces are still there, and draws the consequences.
    pub(super) fn look_at_namespaces(&mut self) {
        let sites = self.follow_namespaces();
        if !sites.is_empty() {
            self.update(&sites);
        }
    }

    /// Opens the namespaces of virtual routers that are there, and lets go of those that are not, or
    /// are not needed any more. Returns the interfaces whose routers have to be told.
    pub(super) fn follow_namespaces(&mut self) -> BTreeSet<Site> {
        self.namespaces.due = false;
        self.namespaces.last_look = Some(Instant::now());
        let wanted = self.routers.keys().filter_map(|key| key.netns.clone());
        let wanted: BTreeSet<String> = wanted.collect();
        if !wanted.is_empty()
            && let Err(error) = self.driver.monitor.watch_mounts()
        {
            tracing::warn!("network namespaces are looked for every few seconds only: {error}");
        }
        let named = self.namespaces.named.iter();
        let leaving = named
            .filter(|(name, named)| !wanted.contains(*name) || !named.namespace.has_its_name());
        let leaving: Vec<String> = leaving.map(|(name, _)| name.clone()).collect();
        let mut changed: BTreeSet<&str> = BTreeSet::new();
        for name in &leaving {
            self.leave(name);
            changed.insert(name);
        }
        for name in &wanted {
            if self.namespaces.named.contains_key(name) {
                continue;
            }
            match self.namespaces.open(name, &self.driver.monitor) {
                Ok(()) => {
                    self.namespaces.complaints.remove(name);
                    tracing::info!("network namespace {name} is there");
                    changed.insert(name);
                }
                Err(complaint) => {
                    let complaints = &mut self.namespaces.complaints;
                    let before = complaints.insert(name.clone(), complaint.clone());
                    if !complaint.is_empty() && before.as_ref() != Some(&complaint) {
                        tracing::error!("network namespace {name}: {complaint}");
                    }
                }
            }
        }
        self.namespaces
            .complaints
            .retain(|name, _| wanted.contains(name));
        if self.namespaces.named.is_empty() {
            self.namespaces.listener = None;
        }
        let keys = self.routers.keys();
        let keys = keys.filter(|key| {
            key.netns
                .as_deref()
                .is_some_and(|name| changed.contains(name))
        });
        keys.map(RouterKey::site).collect()
    }

    /// Lets go of a namespace: Masters there resign, and everything of ours leaves it.
    fn leave(&mut self, name: &str) {
        let is_there = |key: &RouterKey| key.netns.as_deref() == Some(name);
        let mut leaving = vec![Vec::new(); self.workers.len()];
        for (_, managed) in self.routers.iter_mut().filter(|(key, _)| is_there(key)) {
            leaving[managed.worker].push(managed.id);
            managed.bound = None;
            managed.published = None;
            managed.reasons = None;
            managed.prepared = false;
        }
        self.let_go(leaving);
        self.interfaces
            .retain(|site, _| site.netns.as_deref() != Some(name));
        let Some(Named { namespace, .. }) = self.namespaces.named.remove(name) else {
            return;
        };
        self.guards.retain(|(id, _), _| *id != namespace.id);
        self.stopped.remove(&namespace.id);
        self.outdated = true;
        self.driver.monitor.forget(namespace.id);
        self.tell_driver(Command::Leave(namespace.id));
        tracing::info!("network namespace {name} is left");
    }
}
