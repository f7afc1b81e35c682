//! The eBPF gate of a network namespace, loaded when somebody needs it.

use std::io;
use std::time::{Duration, Instant};

use crate::net::kernel::{self, Refusal};

/// Time between two attempts to load what the kernel has refused: each takes some 30 ms and 25 MB.
const AGAIN: Duration = Duration::from_mins(1);

/// Why there is no eBPF gate.
#[derive(Debug)]
pub enum Absence {
    /// Nobody needed it so far, and why the tables do its work.
    Unneeded(String),
    /// The kernel did not load it.
    Refused(Refusal),
}

impl Absence {
    /// One line for the log that says why the tables do its work.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Unneeded(why) => why.clone(),
            Self::Refused(refusal) => refusal.to_string(),
        }
    }
}

/// The eBPF gate, or why there is none.
#[derive(Debug)]
pub(super) struct Program {
    gate: Result<kernel::Gate, Absence>,
    /// When loading it may be tried again.
    next: Instant,
}

impl Program {
    pub(super) fn new(gate: Result<kernel::Gate, Absence>) -> Self {
        let refused = matches!(gate, Err(Absence::Refused(_)));
        let pause = if refused { AGAIN } else { Duration::ZERO };
        Self {
            gate,
            next: Instant::now() + pause,
        }
    }

    /// As far as it is loaded.
    pub(super) fn gate(&mut self) -> Option<&mut kernel::Gate> {
        self.gate.as_mut().ok()
    }

    /// As far as it is loaded, or a line that says why the tables do its work.
    pub(super) fn loaded(&mut self) -> Result<&mut kernel::Gate, String> {
        self.gate.as_mut().map_err(|absence| absence.line())
    }

    /// Loads it, unless it is or was refused a moment ago.
    ///
    /// # Errors
    /// Why it does not run here.
    pub(super) fn load(&mut self) -> Result<&mut kernel::Gate, String> {
        if self.gate.is_err() && self.next <= Instant::now() {
            self.gate = kernel::load_gate().map_err(Absence::Refused);
            self.next = Instant::now() + AGAIN;
        }
        self.gate.as_mut().map_err(|absence| match absence {
            Absence::Unneeded(why) => why.clone(),
            Absence::Refused(refusal) => refusal.cause(),
        })
    }

    /// What is loaded, if it is at the ingress of this interface.
    pub(super) fn at(&mut self, index: u32) -> Option<&mut kernel::Gate> {
        self.gate().filter(|gate| gate.hook(index).is_some())
    }

    /// The same for who cannot do without.
    ///
    /// # Errors
    /// `NotFound`: it is not there.
    pub(super) fn attached(&mut self, index: u32) -> io::Result<&mut kernel::Gate> {
        self.at(index).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("the eBPF gate is not at the interface with index {index}"),
            )
        })
    }
}
