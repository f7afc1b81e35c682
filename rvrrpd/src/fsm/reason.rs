//! Why a virtual router cannot run.

use core::fmt;

/// One reason that keeps a virtual router in Init. Computed from what the kernel says now, never
/// counted up and down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Reason {
    /// Disabled by the configuration or by an operator.
    Disabled,
    /// The daemon is stopping or the virtual router is being removed.
    Stopping,
    /// The network namespace of the parent interface does not exist or cannot be entered.
    NoNamespace,
    /// The parent interface does not exist.
    NoInterface,
    /// The parent interface is not Ethernet.
    NotEthernet,
    /// The parent interface is set down by the administrator.
    InterfaceDown,
    /// The parent interface has no carrier.
    NoCarrier,
    /// The parent interface has no address that advertisements can be sent from.
    NoPrimaryAddress,
    /// The address that is needed is tentative: duplicate address detection is not over.
    TentativeAddress,
    /// Somebody else on the link has the address that is needed (duplicate address detection).
    DuplicateAddress,
    /// The parent interface is a port of a bridge, bond or team, which takes all that it receives.
    Enslaved,
    /// A unicast peer is an address of the parent itself.
    OwnPeer,
    /// The advertisement is longer than the MTU of the parent interface.
    ExceedsMtu,
    /// The sockets of the parent interface could not be opened.
    NoSocket,
    /// The kernel objects of the virtual router (macvlan, gate) are not there yet.
    NotPrepared,
    /// `iftype = "ebpf"` is wanted, and eBPF does not run here.
    NoEbpf,
}

impl Reason {
    /// All reasons, in the order in which they are shown.
    pub const ALL: [Self; 16] = [
        Self::Disabled,
        Self::Stopping,
        Self::NoNamespace,
        Self::NoInterface,
        Self::NotEthernet,
        Self::InterfaceDown,
        Self::NoCarrier,
        Self::NoPrimaryAddress,
        Self::TentativeAddress,
        Self::DuplicateAddress,
        Self::Enslaved,
        Self::OwnPeer,
        Self::ExceedsMtu,
        Self::NoSocket,
        Self::NotPrepared,
        Self::NoEbpf,
    ];

    /// Name that users see in logs and in `not_ready`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Stopping => "stopping",
            Self::NoNamespace => "no-namespace",
            Self::NoInterface => "no-interface",
            Self::NotEthernet => "not-ethernet",
            Self::InterfaceDown => "interface-down",
            Self::NoCarrier => "no-carrier",
            Self::NoPrimaryAddress => "no-primary-address",
            Self::TentativeAddress => "tentative-address",
            Self::DuplicateAddress => "duplicate-address",
            Self::Enslaved => "enslaved",
            Self::OwnPeer => "own-address-among-peers",
            Self::ExceedsMtu => "exceeds-mtu",
            Self::NoSocket => "no-socket",
            Self::NotPrepared => "not-prepared",
            Self::NoEbpf => "no-ebpf",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// A set of reasons; the empty one means that the virtual router can run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reasons(u16);

impl Reasons {
    /// No reason: ready.
    pub const NONE: Self = Self(0);

    /// The set with `reason` in it, too.
    #[must_use]
    pub const fn with(self, reason: Reason) -> Self {
        Self(self.0 | reason.bit())
    }

    /// The set with `reason` in it if `holds`.
    #[must_use]
    pub const fn with_if(self, holds: bool, reason: Reason) -> Self {
        if holds { self.with(reason) } else { self }
    }

    /// Whether `reason` is in the set.
    #[must_use]
    pub const fn contains(self, reason: Reason) -> bool {
        self.0 & reason.bit() != 0
    }

    /// Whether the virtual router can run.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.0 == 0
    }

    /// The reasons of the set.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL
            .into_iter()
            .filter(move |reason| self.contains(*reason))
    }

    /// The set as a number, for atomics.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set that [`Self::bits`] was taken of.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

impl From<Reason> for Reasons {
    fn from(reason: Reason) -> Self {
        Self::NONE.with(reason)
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, reason) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            f.write_str(reason.name())?;
        }
        Ok(())
    }
}
