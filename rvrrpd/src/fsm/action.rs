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

/// Cause of a change of state: the `vrrp-event-type` identities of RFC 8347 that lead to one, and
/// those that it does not tell apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Cause {
    /// The router is ready for the first time, or was enabled, and is not the owner.
    Startup,
    /// The interface is there and up again.
    InterfaceUp,
    /// The interface has a usable primary address again.
    PrimaryIpAddress,
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
    /// The Masters that were heard for the down interval had a lower priority, so that they were
    /// not listened to.
    LowerPriorityMaster,
    /// A lower-priority Master was tolerated for the preempt delay.
    PreemptHoldTimeout,
    /// A Master with a higher priority, or an equal one and a higher address, was heard.
    HigherPriorityMaster,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Startup,
        Self::InterfaceUp,
        Self::PrimaryIpAddress,
        Self::OwnerPreempt,
        Self::Shutdown,
        Self::InterfaceDown,
        Self::NoPrimaryIpAddress,
        Self::MasterTimeout,
        Self::MasterResigned,
        Self::LowerPriorityMaster,
        Self::PreemptHoldTimeout,
        Self::HigherPriorityMaster,
    ];

    /// Name that users see; that of RFC 8347 where it has one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::InterfaceUp => "interface-up",
            Self::PrimaryIpAddress => "primary-ip-address",
            Self::OwnerPreempt => "owner-preempt",
            Self::Shutdown => "shutdown",
            Self::InterfaceDown => "interface-down",
            Self::NoPrimaryIpAddress => "no-primary-ip-address",
            Self::MasterTimeout => "master-timeout",
            Self::MasterResigned => "master-resigned",
            Self::LowerPriorityMaster => "lower-priority-master",
            Self::PreemptHoldTimeout => "preempt-hold-timeout",
            Self::HigherPriorityMaster => "higher-priority-master",
        }
    }

    /// The identity of RFC 8347 for it (`last-event`). A Master that resigned is one whose timer
    /// ran out: the skew time is what was left of it.
    #[must_use]
    pub const fn last_event(self) -> &'static str {
        match self {
            Self::HigherPriorityMaster => "higher-priority-backup",
            Self::MasterResigned => "master-timeout",
            other => other.name(),
        }
    }

    /// Why somebody whom this cause makes Master is it (RFC 8347 `new-master-reason`, RFC 6527
    /// `vrrpv3StatisticsNewMasterReason`).
    #[must_use]
    pub const fn new_master_reason(self) -> NewMasterReason {
        match self {
            Self::OwnerPreempt | Self::MasterResigned => NewMasterReason::Priority,
            Self::LowerPriorityMaster | Self::PreemptHoldTimeout => NewMasterReason::Preempted,
            Self::MasterTimeout => NewMasterReason::NoResponse,
            Self::Startup
            | Self::InterfaceUp
            | Self::PrimaryIpAddress
            | Self::Shutdown
            | Self::InterfaceDown
            | Self::NoPrimaryIpAddress
            | Self::HigherPriorityMaster => NewMasterReason::NotMaster,
        }
    }

    /// What ends a time in Init that this cause began.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::InterfaceDown => Self::InterfaceUp,
            Self::NoPrimaryIpAddress => Self::PrimaryIpAddress,
            _ => Self::Startup,
        }
    }
}

/// Reason of the last transition to Master, with the names of RFC 8347 and the numbers of
/// RFC 6527.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum NewMasterReason {
    /// Never was Master.
    #[default]
    NotMaster = 0,
    /// Had the highest priority when there was no Master: as owner, or after one that resigned.
    Priority = 1,
    /// Took over from a Master of lower priority.
    Preempted = 2,
    /// The Master was not heard any more.
    NoResponse = 3,
}

impl NewMasterReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [
        Self::NotMaster,
        Self::Priority,
        Self::Preempted,
        Self::NoResponse,
    ];

    /// Name of RFC 8347.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotMaster => "not-master",
            Self::Priority => "priority",
            Self::Preempted => "preempted",
            Self::NoResponse => "no-response",
        }
    }
}
