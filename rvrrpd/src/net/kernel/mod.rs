//! What the kernel does for this process: the eBPF programs, loaded once at start.
//!
//! | part | program | what it does |
//! |---|---|---|
//! | [`Filter`] | socket filter, attached to raw sockets | passes what a virtual router may want, counts the rest by reason, and keeps repetitions of a Master's advertisement to itself ([`Slots`]) |
//! | [`Gate`] | classifier at the ingress of a parent | drops frames to a virtual MAC that is closed and packets to addresses that are refused; takes frames to a virtual MAC that is carried, and answers ARP and ND for its addresses ([`States`]) |
//!
//! The source of both is rvrrpd-ebpf/program, the object is in the repository, and docs/ebpf.md
//! says how it is made. Loading needs CAP_BPF, for the gate CAP_NET_ADMIN as well; after it
//! everything works without capabilities, except where a function says otherwise.

mod addresses;
mod conflicts;
mod counters;
mod filter;
mod gate;
mod interfaces;
mod refusal;
mod slots;
mod states;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::thread::{Builder, JoinHandle};

use aya::maps::Map;
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use parking_lot::Mutex;
use rvrrpd_ebpf::GATED_ADDRESSES;

use crate::hands::all_at_once;

pub use conflicts::Conflict;
pub use counters::StoppedFrames;
pub use filter::{Demands, Filter};
pub use gate::{Gate, Hook, Neighbour};
pub use refusal::{Cause, Part, Refusal};
pub use slots::{Slot, Slots};
pub use states::{Place, States};

/// The object that `make ebpf` builds; `make test` compares where the tools for that are.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../rvrrpd-ebpf/rvrrpd.bpf.o"
));

/// The loaded programs.
#[derive(Debug)]
pub struct Kernel {
    /// The socket filter.
    pub filter: Filter,
    /// The gate, which needs more than the filter does.
    pub gate: Result<Gate, Refusal>,
}

/// What is to load the programs, in the making. It reads the description of the kernel's types, which
/// nothing here needs, but takes some 15 ms and, for a moment, some 25 MB: time for something else.
#[derive(Debug)]
pub struct Loader(Option<JoinHandle<EbpfLoader<'static>>>);

impl Loader {
    /// Begins to make it.
    #[must_use]
    pub fn begin() -> Self {
        let thread = Builder::new().name("loader".to_owned());
        Self(thread.spawn(loader).ok())
    }

    /// It, or another one where it cannot be made by a thread.
    fn wait(self) -> EbpfLoader<'static> {
        let made = self.0.and_then(|thread| thread.join().ok());
        made.unwrap_or_else(loader)
    }
}

impl Kernel {
    /// Loads the programs. It takes some 30 ms, and what the loader needs, so it belongs to the start,
    /// before memory is locked.
    ///
    /// # Errors
    /// What the kernel lacks or does not permit, also if that concerns the filter alone: without
    /// it there is no gate either.
    pub fn load(loader: Loader) -> Result<Self, Refusal> {
        let refused = |error: &(dyn Error + 'static)| Refusal::new(Part::Filter, error);
        if cfg!(target_endian = "big") {
            return Err(Refusal::of_this_machine(Part::Filter));
        }
        let mut loader = loader.wait();
        let mut ebpf = loader.load(OBJECT).map_err(|error| refused(&error))?;
        let mut refusals = verify(&mut ebpf);
        if let Some(error) = refusals.remove(filter::PROGRAM) {
            return Err(refused(&error));
        }
        let filter = Filter::new(&mut ebpf).map_err(|error| refused(&*error))?;
        let gate = match refusals.remove(gate::PROGRAM) {
            Some(error) => Err(error.into()),
            None => Gate::new(ebpf),
        };
        let gate = gate.map_err(|error| Refusal::new(Part::Gate, &*error));
        *GATES.lock() = Some(without_filter(loader));
        Ok(Self { filter, gate })
    }
}

/// How often a program is loaded whose verification is interrupted each time.
const LOADS: usize = 10;

/// What loads further gates: a new one would take what [`Loader`] says.
static GATES: Mutex<Option<EbpfLoader<'static>>> = Mutex::new(None);

/// Loads a gate of its own for a network namespace, as interface indexes are those of one. It needs
/// CAP_BPF and CAP_NET_ADMIN, and some 20 ms after [`Kernel::load`], most of them for the verifier,
/// else those of a [`Loader`] as well; 870 KiB in the kernel.
///
/// # Errors
/// What the kernel lacks or does not permit.
pub fn load_gate() -> Result<Gate, Refusal> {
    if cfg!(target_endian = "big") {
        return Err(Refusal::of_this_machine(Part::Gate));
    }
    let mut loader = GATES.lock();
    let loader = loader.get_or_insert_with(|| without_filter(self::loader()));
    let refused = |error: &(dyn Error + 'static)| Refusal::new(Part::Gate, error);
    let ebpf = loader.load(OBJECT).map_err(|error| refused(&error))?;
    gate::load(ebpf).map_err(|error| refused(&*error))
}

/// Without the description of the kernel's types. In a change the new addresses come before the old
/// ones go, so that there is room for twice as many.
fn loader() -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    // After a refusal aya asks once more, for the reason. Each step of the verifier would be megabytes.
    loader.verifier_log_level(VerifierLogLevel::STATS);
    loader.map_max_entries("ADDRESSES", 2 * GATED_ADDRESSES);
    loader
}

/// Leaves the maps of the filter no room.
fn without_filter(mut loader: EbpfLoader<'static>) -> EbpfLoader<'static> {
    loader.map_max_entries("SLOTS", 1);
    loader.map_max_entries("DEMANDS", 1);
    loader
}

/// Lets the kernel verify all programs at the same time; which it refuses, and why.
fn verify(ebpf: &mut Ebpf) -> BTreeMap<String, ProgramError> {
    let programs = ebpf.programs_mut();
    let programs = programs.map(|(name, program)| (name.to_owned(), program));
    let refused = all_at_once(programs.collect(), &|| {}, |(name, program)| {
        let loaded = match program {
            Program::SocketFilter(filter) => persistently(|| filter.load()),
            Program::SchedClassifier(gate) => persistently(|| gate.load()),
            _ => Ok(()),
        };
        loaded.err().map(|error| (name, error))
    });
    refused.into_iter().flatten().collect()
}

/// Loads a program, also where the process is stopped or frozen meanwhile: the verifier gives up
/// then with EAGAIN (`do_check` of kernel/bpf/verifier.c), which says nothing about the program.
fn persistently<E: Error + 'static>(mut load: impl FnMut() -> Result<(), E>) -> Result<(), E> {
    for _ in 1..LOADS {
        match load() {
            Err(error) if os_error(&error) == Some(libc::EAGAIN) => {}
            done => return done,
        }
    }
    load()
}

fn take(ebpf: &mut Ebpf, name: &str) -> io::Result<Map> {
    ebpf.take_map(name)
        .ok_or_else(|| io::Error::other(format!("the object has no map {name}")))
}

/// What the kernel said, with the words of whoever asked it. The first line alone: the verifier's
/// reasons are hundreds.
fn io_error(error: &(dyn Error + 'static)) -> io::Error {
    let cause = os_error(error).map_or(io::ErrorKind::Other, |code| {
        io::Error::from_raw_os_error(code).kind()
    });
    io::Error::new(cause, text(error))
}

/// The error code among the causes of an error.
fn os_error(error: &(dyn Error + 'static)) -> Option<i32> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}

fn text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let line = cause.to_string();
        let line = line.lines().next().unwrap_or_default();
        // Some name their cause themselves.
        if !text.contains(line) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(line);
        }
    }
    text
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    core::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verification_that_was_interrupted_is_repeated() {
        let again = || Err(io::Error::from_raw_os_error(libc::EAGAIN));
        let mut left = LOADS;
        let loaded = persistently(|| {
            left -= 1;
            if left == 0 { Ok(()) } else { again() }
        });
        assert!(loaded.is_ok());
        assert!(persistently(again).is_err(), "not for ever");
        let mut loads = 0;
        let refused = persistently(|| {
            loads += 1;
            Err(io::Error::from_raw_os_error(libc::EPERM))
        });
        assert!(refused.is_err());
        assert_eq!(loads, 1, "what is refused for a reason");
    }
}
