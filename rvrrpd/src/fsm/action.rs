//! What a virtual router wants to be done.

use super::State;

/// Output of the state machine, to be carried out in the order in which it comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Send an advertisement with the effective priority.
    SendAdvert,
    /// Send an advertisement with priority 0.
    SendResign,
    /// Take up the duties of the Master: virtual MAC, addresses, routes, then ARP or ND
    /// announcements.
    Activate,
    /// Announce the addresses once more: a host or switch may have learned somebody else's port.
    Announce,
    /// Lay down the duties of the Master.
    Deactivate,
    /// The state has changed.
    Transition(Transition),
}

/// A change of state and what caused it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transition {
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Cause of a change of state: the `vrrp-event-type` identities of RFC 8347 that lead to one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The router is ready and not the owner.
    Startup,
    /// The router is ready and owns the addresses.
    OwnerPreempt,
    /// The router was disabled, removed or the daemon is stopping.
    Shutdown,
    /// The interface is missing, down or without carrier.
    InterfaceDown,
    /// The interface has no usable primary address.
    NoPrimaryIpAddress,
    /// No Master was heard for the down interval.
    MasterTimeout,
    /// The Master resigned with priority 0.
    MasterResigned,
    /// A lower-priority Master was tolerated for the preempt delay.
    PreemptHoldTimeout,
    /// A Master with a higher priority, or an equal one and a higher address, was heard.
    HigherPriorityMaster,
}

impl Cause {
    /// Name that users see; that of RFC 8347 where it has one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::OwnerPreempt => "owner-preempt",
            Self::Shutdown => "shutdown",
            Self::InterfaceDown => "interface-down",
            Self::NoPrimaryIpAddress => "no-primary-ip-address",
            Self::MasterTimeout => "master-timeout",
            Self::MasterResigned => "master-resigned",
            Self::PreemptHoldTimeout => "preempt-hold-timeout",
            Self::HigherPriorityMaster => "higher-priority-master",
        }
    }
}
