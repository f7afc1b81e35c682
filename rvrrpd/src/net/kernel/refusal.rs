//! Why the kernel does not do something, and who does it instead.

use std::error::Error;
use std::fmt;

use caps::{CapSet, Capability};

/// Oldest kernel that can do it all: compare-and-exchange (5.12), mapped arrays (5.5).
const OLDEST: (u32, u32) = (5, 12);
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// What was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The socket filter.
    Filter,
    /// The gate.
    Gate,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Filter => "the eBPF socket filter",
            Self::Gate => "the eBPF gate",
        }
    }

    const fn fallback(self) -> &'static str {
        match self {
            Self::Filter => "classic BPF is used, and every advertisement wakes this process",
            Self::Gate => "nftables is used",
        }
    }

    const fn needs(self) -> &'static [Capability] {
        match self {
            Self::Filter => &[Capability::CAP_BPF],
            Self::Gate => &[Capability::CAP_BPF, Capability::CAP_NET_ADMIN],
        }
    }
}

/// Why it was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The process lacks these capabilities (`CAP_SYS_ADMIN` would do in their place).
    Capabilities(Vec<Capability>),
    /// It has them, but not here: in a user namespace, under seccomp, or a locked-down kernel.
    Forbidden,
    /// The kernel is too old or was built without bpf(2). Its release.
    Kernel(String),
    /// The programs are built for little-endian machines, and this is none.
    Machine,
    /// Anything else.
    Other,
}

/// Something that the kernel does not do for us. Its text is one line for the log, which names
/// what is missing and what is used instead.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What was refused.
    pub part: Part,
    /// Why.
    pub cause: Cause,
    /// What the kernel said.
    said: String,
}

impl Refusal {
    pub(super) fn new(part: Part, error: &(dyn Error + 'static)) -> Self {
        let release = std::fs::read_to_string(RELEASE).unwrap_or_default();
        let cause = match super::os_error(error) {
            Some(libc::EPERM | libc::EACCES) => match missing(part) {
                missing if missing.is_empty() => Cause::Forbidden,
                missing => Cause::Capabilities(missing),
            },
            Some(libc::ENOSYS) => Cause::Kernel(release.trim().to_owned()),
            _ if version(&release).is_some_and(|version| version < OLDEST) => {
                Cause::Kernel(release.trim().to_owned())
            }
            _ => Cause::Other,
        };
        Self {
            part,
            cause,
            said: super::text(error),
        }
    }

    /// The same of another part, which the same program object has.
    #[must_use]
    pub fn also(&self, part: Part) -> Self {
        let cause = match &self.cause {
            Cause::Capabilities(_) => Cause::Capabilities(missing(part)),
            cause => cause.clone(),
        };
        Self {
            part,
            cause,
            said: self.said.clone(),
        }
    }

    pub(super) fn of_this_machine(part: Part) -> Self {
        Self {
            part,
            cause: Cause::Machine,
            said: String::new(),
        }
    }
}

impl Refusal {
    /// What is missing, without what is used instead.
    #[must_use]
    pub fn cause(&self) -> String {
        struct Missing<'a>(&'a Refusal);
        impl fmt::Display for Missing<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.say(f)
            }
        }
        Missing(self).to_string()
    }

    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.part.name();
        match &self.cause {
            Cause::Capabilities(missing) => {
                let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
                write!(f, "{name} needs {}", missing.join(" and "))
            }
            Cause::Forbidden => write!(
                f,
                "{name} is not permitted here (user namespace, seccomp or lockdown): {}",
                self.said
            ),
            Cause::Kernel(release) => {
                let (major, minor) = OLDEST;
                write!(
                    f,
                    "{name} needs bpf(2) of Linux {major}.{minor}, this is {release}: {}",
                    self.said
                )
            }
            Cause::Machine => write!(f, "{name} is built for little-endian machines only"),
            Cause::Other => write!(f, "{name} cannot be loaded: {}", self.said),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.say(f)?;
        write!(f, "; {}", self.part.fallback())
    }
}

impl Error for Refusal {}

/// Capabilities that the part needs and the calling thread does not have.
fn missing(part: Part) -> Vec<Capability> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(true);
    if has(Capability::CAP_SYS_ADMIN) {
        return Vec::new();
    }
    let needs = part.needs().iter().copied();
    needs.filter(|&capability| !has(capability)).collect()
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(version("6.18.44-fc-v669\n"), Some((6, 18)));
        assert_eq!(version("5.4-rc1"), Some((5, 4)));
        assert_eq!(version(""), None);
        assert!(version("5.9.1").unwrap() < OLDEST);
        assert!(version("5.12.0").unwrap() >= OLDEST);
    }

    #[test]
    fn the_text_names_what_is_missing_and_what_is_used_instead() {
        let refusal = |cause| Refusal {
            part: Part::Gate,
            cause,
            said: "Operation not permitted (os error 1)".to_owned(),
        };
        let missing = vec![Capability::CAP_BPF, Capability::CAP_NET_ADMIN];
        assert_eq!(
            refusal(Cause::Capabilities(missing)).to_string(),
            "the eBPF gate needs CAP_BPF and CAP_NET_ADMIN; nftables is used"
        );
        let old = refusal(Cause::Kernel("4.19.0".to_owned())).to_string();
        assert!(old.contains("Linux 5.12, this is 4.19.0"), "{old}");
        let forbidden = refusal(Cause::Forbidden).to_string();
        assert!(forbidden.contains("user namespace"), "{forbidden}");
    }

    #[test]
    fn a_kernel_without_bpf_is_recognised() {
        let error = io::Error::from_raw_os_error(libc::ENOSYS);
        let refusal = Refusal::new(Part::Filter, &error);
        assert!(matches!(refusal.cause, Cause::Kernel(_)), "{refusal}");
    }
}
