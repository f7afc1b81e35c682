//! The data planes as modes of a test: [`in_modes!`](crate::in_modes) makes a test of its own of a
//! function for each of them.

use crate::lab::in_user_namespace;
use crate::rvrrpd::without_bpf;

/// What carries a virtual router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// `iftype = "macvlan"`.
    Macvlan,
    /// `iftype = "ether"`: one virtual router with a virtual MAC per interface.
    Ether,
    /// `iftype = "ebpf"`, the virtual addresses on the interface itself.
    Ebpf,
    /// `iftype = "ebpf"` and `accept_mode = false`: the virtual addresses are nowhere.
    EbpfNoAccept,
}

impl Mode {
    /// Its `iftype`.
    #[must_use]
    pub const fn iftype(self) -> &'static str {
        match self {
            Self::Macvlan => "macvlan",
            Self::Ether => "ether",
            Self::Ebpf | Self::EbpfNoAccept => "ebpf",
        }
    }

    /// Whether a Master takes packets for a virtual address, unless the test says otherwise.
    #[must_use]
    pub const fn accepts(self) -> bool {
        !matches!(self, Self::EbpfNoAccept)
    }

    /// Whether it is a program on the interface, with or without addresses.
    #[must_use]
    pub const fn is_ebpf(self) -> bool {
        matches!(self, Self::Ebpf | Self::EbpfNoAccept)
    }

    /// The interfaces that have the virtual addresses of router `vrid` on `parent` while it is
    /// Master.
    #[must_use]
    pub fn carriers(self, parent: &str, vrid: u8) -> Vec<String> {
        match self {
            Self::Macvlan => vec![format!("standby{vrid}")],
            Self::Ether | Self::Ebpf => vec![parent.to_owned()],
            Self::EbpfNoAccept => Vec::new(),
        }
    }
}

/// Runs `test` in `mode`, or says that it is skipped.
pub fn run(name: &str, mode: Mode, test: fn(Mode)) {
    if !(mode.is_ebpf() && lacks_ebpf(name)) {
        test(mode);
    }
}

/// Whether the daemons can load eBPF programs: nobody but the initial user namespace can.
#[must_use]
pub fn has_ebpf() -> bool {
    !in_user_namespace() && !without_bpf()
}

/// Says that `test`, which needs eBPF, is skipped where there is none.
#[must_use]
pub fn lacks_ebpf(test: &str) -> bool {
    if !has_ebpf() {
        println!("skipped: {test} (no eBPF here)");
    }
    !has_ebpf()
}

/// Makes tests of functions that take a [`Mode`]: `name: macvlan, ether;` makes `name::macvlan` and
/// `name::ether`. The modes are `macvlan`, `ether`, `ebpf` and `ebpf_no_accept`.
#[macro_export]
macro_rules! in_modes {
    (@macvlan) => { $crate::mode::Mode::Macvlan };
    (@ether) => { $crate::mode::Mode::Ether };
    (@ebpf) => { $crate::mode::Mode::Ebpf };
    (@ebpf_no_accept) => { $crate::mode::Mode::EbpfNoAccept };
    ($($name:ident: $($mode:ident),+;)+) => {$(
        mod $name {
            $(
                #[test]
                fn $mode() {
                    const NAME: &str = concat!(stringify!($name), "::", stringify!($mode));
                    $crate::mode::run(NAME, $crate::in_modes!(@$mode), super::$name);
                }
            )+
        }
    )+};
}
