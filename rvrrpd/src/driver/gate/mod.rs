//! The gate: what of the traffic to a virtual router reaches this host.
//!
//! Macvlans stay up in Backup, because setting one down takes 15 ms under the rtnl lock. What a
//! Backup must not accept (RFC 9568 §6.4.2, 345) is therefore stopped before it gets to them. Two
//! do that, by the place where the traffic is:
//!
//! | what | who | when it changes |
//! |---|---|---|
//! | frames to a virtual MAC that arrive at a parent | the eBPF gate ([`crate::net::kernel::Gate`]), else [`Tables`] | with each election |
//! | packets to addresses of `accept_mode = false` that arrive at a parent | the same | never: the program looks whether the virtual MAC is open |
//! | all that is to a virtual MAC without an interface (`iftype = "ebpf"`): frames, ARP requests, neighbour solicitations | the eBPF gate alone | with each election, one store |
//! | the same packets, by another interface | [`Tables`] | never |
//! | what leaves by the macvlan of an IPv6 router | [`Tables`] | never |
//! | what an owner's interface answers and asks | [`Tables`] | with its own elections |
//! | what an interface answers and asks that has accepted addresses of `iftype = "ebpf"`, should the program be gone | [`Tables`] | never |
//!
//! "Never" means: with the configuration, not with an election. So with the eBPF gate an election is
//! a store to memory that is shared with the kernel, and the tables are asked for owners alone. The tables are there
//! while something needs them; for IPv4 routers on macvlans that accept, nothing does.

mod change;
mod program;
pub mod tables;

pub use change::Change;
pub(super) use change::voices;
pub use program::Absence;
pub use tables::Tables;

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use rvrrpd_ebpf::GateState;

use super::journal::{Entry, Journal};
use crate::net::kernel::{self, Conflict, Hook, StoppedFrames};
use crate::wire::{Family, Mac, Vrid};
use program::Program;

/// Name of the nftables tables.
const TABLE: &str = "rvrrpd";

/// Who decides about the frames that arrive at a parent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Guard {
    /// The eBPF gate.
    Ebpf(Hook),
    /// The tables, and why not the eBPF gate.
    Nftables(String),
}

impl Guard {
    /// What it is called where the place it hangs at does not matter.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ebpf(_) => "ebpf",
            Self::Nftables(_) => "nftables",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ebpf(Hook::Tcx) => f.write_str("ebpf hook=tcx"),
            Self::Ebpf(Hook::Clsact) => f.write_str("ebpf hook=clsact"),
            Self::Nftables(why) => write!(f, "nftables why={why:?}"),
        }
    }
}

/// The gate of this process.
#[derive(Debug)]
pub(super) struct Gate {
    program: Program,
    tables: Option<Tables>,
    guards: BTreeMap<u32, Guard>,
    /// What the journal has of filters that outlive this process.
    filters: BTreeMap<u32, Vec<Entry>>,
    /// What was last told of why the eBPF gate is not used.
    told: String,
}

impl Gate {
    /// A gate that is attached nowhere, and takes the place of tables that a dead predecessor left
    /// without a journal.
    pub(super) fn new(program: Result<kernel::Gate, Absence>) -> Self {
        match Tables::remove_leftover(TABLE) {
            // They are another daemon's.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                tracing::warn!("tables of a predecessor: {error}");
            }
            _ => {}
        }
        Self {
            program: Program::new(program),
            tables: None,
            guards: BTreeMap::new(),
            filters: BTreeMap::new(),
            told: String::new(),
        }
    }

    /// The tables alone until a virtual router cannot do without the eBPF gate, and why; that is
    /// nothing to warn of.
    pub(super) fn of_tables(why: &str) -> Self {
        Self {
            told: why.to_owned(),
            ..Self::new(Err(Absence::Unneeded(why.to_owned())))
        }
    }

    /// Makes the gate of a parent, and says whose it is; nothing is closed there yet. Where the
    /// parent has one already, that is made anew if it is gone or bound to another name; what was
    /// closed stays closed. Some 10 ms, so never in an election.
    ///
    /// # Errors
    /// Neither the eBPF gate nor the tables can be had there: what was said about the tables.
    pub(super) fn attach(
        &mut self,
        parent: &str,
        index: u32,
        journal: &mut Journal,
    ) -> io::Result<Guard> {
        if let Some(known @ Guard::Nftables(_)) = self.guards.get(&index).cloned() {
            self.tables(journal)?.attach(parent, index)?;
            return Ok(known);
        }
        let guard = match self.attach_program(parent, index, journal) {
            Ok(hook) => Guard::Ebpf(hook),
            Err(why) => {
                let attached = self.tables(journal)?.attach(parent, index);
                let tidied = self.tidy(journal);
                attached.and(tidied)?;
                if self.told != why {
                    tracing::warn!("{why}");
                    self.told.clone_from(&why);
                }
                Guard::Nftables(why)
            }
        };
        self.guards.insert(index, guard.clone());
        Ok(guard)
    }

    fn attach_program(
        &mut self,
        parent: &str,
        index: u32,
        journal: &mut Journal,
    ) -> Result<Hook, String> {
        let program = self.program.loaded()?;
        link(
            program,
            parent,
            index,
            Hooks::Any,
            journal,
            &mut self.filters,
        )
        .map_err(|why| format!("{why}; nftables is used"))
    }

    /// Makes sure that the eBPF gate is at a parent, for virtual routers that it carries itself,
    /// and says whose the gate of the parent is. Loads it where it is not; some 10 ms, and what loading
    /// takes, so never in an election.
    ///
    /// # Errors
    /// Why it does not run here.
    pub(super) fn attach_carrier(
        &mut self,
        parent: &str,
        index: u32,
        hooks: Hooks,
        journal: &mut Journal,
    ) -> Result<Guard, String> {
        let program = self.program.load()?;
        let hook = link(program, parent, index, hooks, journal, &mut self.filters)?;
        let guard = self.guards.entry(index);
        Ok(guard.or_insert(Guard::Ebpf(hook)).clone())
    }

    /// Whose the gate of a parent is; none where there is none.
    pub(super) fn guard(&self, index: u32) -> Option<Guard> {
        self.guards.get(&index).cloned()
    }

    /// What the eBPF gate has stopped; none where there is none.
    pub(super) fn stopped(&mut self) -> Option<StoppedFrames> {
        self.program.gate().map(|gate| gate.stopped().clone())
    }

    /// The programs of others that see the frames of a parent before the eBPF gate does, as far as
    /// the kernel tells.
    pub(super) fn before(&mut self, index: u32) -> Vec<String> {
        let gate = self.program.at(index);
        gate.and_then(|gate| gate.before(index).ok())
            .unwrap_or_default()
    }

    /// Who else has said since the last call that one of our addresses is his.
    pub(super) fn conflicts(&mut self) -> Vec<Conflict> {
        let gate = self.program.gate();
        gate.map_or_else(Vec::new, kernel::Gate::conflicts)
    }

    /// Whether the eBPF gate is that of a parent.
    pub(super) fn is_ebpf(&self, parent: u32) -> bool {
        matches!(self.guards.get(&parent), Some(Guard::Ebpf(_)))
    }

    /// Removes the gate of a parent, and what was closed, refused and owned there. The interface
    /// itself may be gone already. Nothing happens if the parent is not attached.
    ///
    /// # Errors
    /// What the kernel says about the tables, which have not changed then, or the file system.
    pub(super) fn detach(&mut self, index: u32, journal: &mut Journal) -> io::Result<()> {
        self.guards.remove(&index);
        if let Some(program) = self.program.gate() {
            program.detach(index);
        }
        let filters = self.filters.remove(&index).unwrap_or_default();
        let forgotten = journal.forget(|entry| filters.contains(entry));
        let detached = self
            .tables
            .as_mut()
            .map_or(Ok(()), |tables| tables.detach(index));
        let tidied = self.tidy(journal);
        forgotten.and(detached).and(tidied)
    }

    /// Makes all changes: those of the eBPF gate, then those of the tables in one transaction. Of
    /// several changes about one thing the last counts; what is as it should be already is not
    /// touched, and tables that nothing needs are not made.
    ///
    /// # Errors
    /// As [`Tables::apply`], and the eBPF gate has no room for more addresses. What comes after in
    /// the tables has not changed then, the rest has.
    pub(super) fn apply(&mut self, changes: &[Change], journal: &mut Journal) -> io::Result<()> {
        let mut result = Ok(());
        let mut rest = Vec::new();
        for change in changes {
            match self.by_program(*change) {
                Some(done) => result = result.and(done),
                None => rest.push(*change),
            }
        }
        if self.tables.is_some() || rest.iter().any(|change| change.needs_tables()) {
            let applied = self.tables(journal).and_then(|tables| tables.apply(&rest));
            let tidied = self.tidy(journal);
            result = result.and(applied).and(tidied);
        }
        result
    }

    /// Makes a change by the eBPF gate; none where it is none of its.
    fn by_program(&mut self, change: Change) -> Option<io::Result<()>> {
        if let Some(carried) = self.by_carrier(change) {
            return Some(carried);
        }
        let (Change::Close(parent, _)
        | Change::Open(parent, _)
        | Change::RefuseAt(parent, ..)
        | Change::AcceptAt(parent, ..)) = change
        else {
            return None;
        };
        if !self.is_ebpf(parent) {
            return None;
        }
        let program = self.program.gate()?;
        Some(match change {
            Change::Close(_, mac) => {
                router(mac).and_then(|router| program.set(parent, router, GateState::Closed))
            }
            Change::Open(_, mac) => {
                router(mac).and_then(|router| program.set(parent, router, GateState::Open))
            }
            Change::RefuseAt(_, mac, address) => {
                router(mac).and_then(|router| program.refuse(parent, router, address))
            }
            Change::AcceptAt(_, _, address) => {
                program.accept(parent, address);
                Ok(())
            }
            _ => return None,
        })
    }

    /// Makes a change about a virtual MAC that the eBPF gate carries itself; none where it is about
    /// something else. What ends where the gate is not at all has ended.
    fn by_carrier(&mut self, change: Change) -> Option<io::Result<()>> {
        Some(match change {
            Change::Carry(parent, mac) => self.program.attached(parent).and_then(|program| {
                router(mac).and_then(|router| program.set(parent, router, GateState::Carried))
            }),
            Change::Answer(parent, mac, address, accepts) => {
                self.program.attached(parent).and_then(|program| {
                    router(mac).and_then(|router| program.answer(parent, router, address, accepts))
                })
            }
            Change::Shut(parent, mac) | Change::Release(parent, mac) => {
                let state = match change {
                    Change::Shut(..) => GateState::Closed,
                    _ => GateState::Foreign,
                };
                self.program.at(parent).map_or(Ok(()), |program| {
                    router(mac).and_then(|router| program.set(parent, router, state))
                })
            }
            Change::Forget(parent, _, address) => {
                if let Some(program) = self.program.at(parent) {
                    program.forget(parent, address);
                }
                Ok(())
            }
            _ => return None,
        })
    }

    /// Makes again what others took away without an event, and returns the parents where that was
    /// so as far as they are known.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn restore(&mut self) -> io::Result<Vec<u32>> {
        let mut result = match &mut self.tables {
            Some(tables) if !tables.protected() => tables.restore(),
            _ => Ok(()),
        };
        let mut restored = Vec::new();
        if let Some(program) = self.program.gate() {
            for index in self.guards.keys() {
                match program.examine(*index) {
                    Ok(true) => restored.push(*index),
                    Ok(false) => {}
                    Err(error) => result = result.and(Err(error)),
                }
            }
        }
        result.map(|()| restored)
    }

    /// Removes everything: all is open and accepted.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn remove(self) -> io::Result<()> {
        drop(self.program);
        self.tables.map_or(Ok(()), Tables::remove)
    }

    /// Removes the tables where nothing is in them any more.
    fn tidy(&mut self, journal: &mut Journal) -> io::Result<()> {
        let Some(tables) = self.tables.take_if(|tables| tables.is_empty()) else {
            return Ok(());
        };
        let name = tables.name().to_owned();
        tables.remove()?;
        journal.forget(|entry| matches!(entry, Entry::Table { name: of } if *of == name))
    }

    /// The tables, made where there are none yet; under another name where another daemon with
    /// another runtime directory has them.
    fn tables(&mut self, journal: &mut Journal) -> io::Result<&mut Tables> {
        let tables = match self.tables.take() {
            Some(tables) => tables,
            None => {
                let mut open = |name: &str| {
                    journal.record([Entry::Table {
                        name: name.to_owned(),
                    }])?;
                    Tables::new(name)
                };
                open(TABLE).or_else(|error| match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        open(&format!("{TABLE}_{}", std::process::id()))
                    }
                    _ => Err(error),
                })?
            }
        };
        Ok(self.tables.insert(tables))
    }
}

/// How the eBPF gate may be attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hooks {
    /// As the kernel can.
    Any,
    /// By tcx alone, which ends with the process: a filter that stays behind goes on answering for a
    /// Master that is dead.
    Tcx,
}

/// Whose virtual MAC it is.
fn router(mac: Mac) -> io::Result<(Family, Vrid)> {
    mac.virtual_router().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{mac} is no virtual MAC (00:00:5e:00:01:… or 00:00:5e:00:02:…)"),
        )
    })
}

/// Attaches the eBPF gate to a parent, by tcx or, where the kernel has none, by clsact.
///
/// # Errors
/// Why it cannot be.
fn link(
    program: &mut kernel::Gate,
    parent: &str,
    index: u32,
    hooks: Hooks,
    journal: &mut Journal,
    filters: &mut BTreeMap<u32, Vec<Entry>>,
) -> Result<Hook, String> {
    let explain = |error| format!("the eBPF gate cannot be attached to {parent}: {error}");
    // It is there already where the kernel has no tcx.
    if program.hook(index) != Some(Hook::Clsact) {
        match program.attach_by(index, Hook::Tcx) {
            // A kernel before 6.6.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            result => return result.map(|_| Hook::Tcx).map_err(explain),
        }
    }
    if hooks == Hooks::Tcx {
        return Err(format!(
            "this kernel has no tcx (Linux 6.6), without which the eBPF gate of {parent} would outlive \
             the daemon"
        ));
    }
    // Before it is there, for it outlives this process.
    let entry = Entry::Filter {
        interface: parent.to_owned(),
    };
    journal.record([entry.clone()]).map_err(explain)?;
    filters.entry(index).or_default().push(entry);
    if program.hook(index).is_none() {
        program.attach_by(index, Hook::Clsact).map_err(explain)?;
    }
    Ok(Hook::Clsact)
}
