//! Places: the network namespaces that the driver works in, each with a [`Kernel`] of its own. The
//! thread enters one to work in it, because settings (`/proc/sys/net`) are those of the namespace of
//! the thread that asks, and is in its own otherwise, so that it holds none that is to go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::gate::{Absence, Gate};
use super::group::Group;
use super::herald::Herald;
use super::journal::{Entry, Journal};
use super::kernel::Kernel;
use super::netlink::Netlink;
use super::repair::ROUND;
use super::{Error, Report, undo};
use crate::hands::all_at_once;
use crate::net::kernel;
use crate::net::namespace::{Namespace, NamespaceId};

/// Why there is no eBPF gate in a namespace with a name where nobody needs one.
const ELSEWHERE: &str = "in other network namespaces than the daemon's own the eBPF gate is for \
                         iftype = \"ebpf\"; nftables is used";
/// Directory in the runtime directory that has a directory for each namespace with a name, where
/// the journal of that namespace is.
const DIRECTORY: &str = "netns";

/// What a thread does first that works beside that of the driver (scheduling).
pub(super) type Prepare = Arc<dyn Fn() + Send + Sync>;

/// A namespace with what the driver has there.
pub(super) struct Place {
    namespace: Option<Arc<Namespace>>,
    kernel: Kernel,
    /// When what tells of no change is looked at.
    pub(super) round: Instant,
    directory: PathBuf,
}

impl Place {
    /// The namespace of the daemon itself, which the calling thread is in. What a predecessor left
    /// there has been taken back.
    pub(super) fn own(
        run_dir: &Path,
        program: Result<kernel::Gate, Absence>,
        reports: Sender<Report>,
    ) -> Result<Self, Error> {
        Ok(Self {
            namespace: None,
            kernel: open(NamespaceId::OWN, run_dir, || Gate::new(program), reports)?,
            round: Instant::now() + ROUND,
            directory: run_dir.to_owned(),
        })
    }

    /// From now on this one announces what is many.
    pub(super) fn employ(&mut self, herald: Herald) {
        self.kernel.announcer.employ(herald);
    }

    /// A namespace with a name.
    pub(super) fn named(
        namespace: &Arc<Namespace>,
        run_dir: &Path,
        reports: Sender<Report>,
    ) -> Result<Self, Error> {
        let directory = directory(run_dir, &namespace.name);
        let text = || format!("directory {}", directory.display());
        fs::create_dir_all(&directory).map_err(|error| Error::new(text(), error))?;
        // The state of the eBPF gate is known by the index of an interface, which is another one's
        // in another namespace; and 256 kB of it for each of hundreds would be too much. So one is
        // loaded where a virtual router cannot do without.
        let opened = namespace.enter(|| {
            let gate = || Gate::of_tables(ELSEWHERE);
            open(namespace.id, &directory, gate, reports)
        });
        let kernel = opened.map_err(|error| entering(namespace, error))??;
        Ok(Self {
            namespace: Some(Arc::clone(namespace)),
            kernel,
            round: Instant::now() + ROUND,
            directory,
        })
    }

    /// When something there wants to be done, the round excepted.
    pub(super) fn next(&self) -> Option<Instant> {
        let next = [
            self.kernel.announcer.next(),
            self.kernel.resolver.next(),
            self.kernel.next_look(),
        ];
        next.into_iter().flatten().min()
    }

    /// Works there.
    pub(super) fn work<T>(&mut self, work: impl FnOnce(&mut Kernel) -> T) -> Result<T, Error> {
        let Self {
            namespace, kernel, ..
        } = self;
        match namespace {
            None => Ok(work(kernel)),
            Some(namespace) => namespace
                .enter(|| work(kernel))
                .map_err(|error| entering(namespace, error)),
        }
    }

    /// Takes everything of ours out, and lets go of the namespace.
    pub(super) fn leave(self) -> Result<(), Error> {
        let Self {
            namespace,
            kernel,
            directory,
            ..
        } = self;
        let Some(namespace) = namespace else {
            return kernel.remove_all();
        };
        let left = namespace.enter(|| kernel.remove_all());
        left.map_err(|error| entering(&namespace, error))?
            .map_err(|error| {
                let source = io::Error::new(error.source.kind(), error.source.to_string());
                Error::new(
                    format!("network namespace {}: {}", namespace.name, error.what),
                    source,
                )
            })?;
        // The last one out takes the directory of all along.
        let _not_empty = fs::remove_dir(&directory);
        let _not_empty = directory.parent().map(fs::remove_dir);
        Ok(())
    }
}

fn entering(namespace: &Namespace, error: io::Error) -> Error {
    Error::new(format!("network namespace {}", namespace.name), error)
}

fn directory(run_dir: &Path, name: &str) -> PathBuf {
    run_dir.join(DIRECTORY).join(name)
}

/// What is needed to work in the namespace of the calling thread, after what a predecessor left
/// there has been taken back.
fn open(
    id: NamespaceId,
    directory: &Path,
    gate: impl FnOnce() -> Gate,
    reports: Sender<Report>,
) -> Result<Kernel, Error> {
    let (mut journal, left) = open_journal(directory)?;
    let mut netlink = Netlink::open().map_err(|error| Error::new("netlink", error))?;
    undo::undo(&mut netlink, &left)
        .and_then(|()| journal.forget(|_| true))
        .map_err(|error| Error::new("clean-up after a predecessor", error))?;
    let links = netlink.links();
    let links = links.map_err(|error| Error::new("list of links", error))?;
    let group = Group::free(&links);
    Kernel::new(id, netlink, gate(), journal, group, reports)
        .map_err(|error| Error::new("ioctl socket", error))
}

fn open_journal(directory: &Path) -> Result<(Journal, Vec<Entry>), Error> {
    let opened = Journal::open(directory).or_else(|error| {
        if error.kind() != io::ErrorKind::InvalidData {
            return Err(error);
        }
        tracing::error!("what a predecessor left cannot be known: {error}");
        Journal::open(directory)
    });
    opened.map_err(|error| Error::new(format!("journal in {}", directory.display()), error))
}

/// Whether a predecessor that was killed has left a journal of a namespace with a name.
#[must_use]
pub fn has_leftovers(run_dir: &Path) -> bool {
    fs::read_dir(run_dir.join(DIRECTORY)).is_ok_and(|mut entries| entries.next().is_some())
}

/// Takes back what a predecessor left in namespaces with names, whoever uses these now. With a
/// namespace went all that was in it. What cannot be taken back is logged.
pub(super) fn undo_leftovers(run_dir: &Path, prepare: &Prepare) {
    let Ok(entries) = fs::read_dir(run_dir.join(DIRECTORY)) else {
        return;
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    all_at_once(names, &**prepare, |name| {
        let directory = directory(run_dir, &name);
        let undone = Namespace::open(NamespaceId::OWN, &name).and_then(|namespace| {
            namespace.enter(|| {
                let (journal, left) = open_journal(&directory)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                if !left.is_empty() {
                    undo::undo(&mut Netlink::open()?, &left)?;
                }
                journal.clear()
            })?
        });
        match undone {
            Ok(()) => {
                let _not_empty = fs::remove_dir(&directory);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _gone = fs::remove_dir_all(&directory);
            }
            Err(error) => tracing::warn!(
                "what a predecessor left in network namespace {name} is still there: {error}"
            ),
        }
    });
    let _not_empty = fs::remove_dir(run_dir.join(DIRECTORY));
}

/// Takes everything of ours out of all of them.
///
/// # Errors
/// The first of what could not be taken out; each is logged.
pub(super) fn leave_all(places: Vec<Place>, prepare: &Prepare) -> Result<(), Error> {
    let results = all_at_once(places, &**prepare, Place::leave);
    let mut refused = results.into_iter().filter_map(Result::err);
    let first = refused.next();
    for error in refused {
        tracing::error!("not everything was taken out of the kernel: {error}");
    }
    first.map_or(Ok(()), Err)
}
