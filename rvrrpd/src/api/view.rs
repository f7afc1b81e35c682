//! Virtual routers as clients see them.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::Published;
use crate::config::model::{Auth, Protocol, VirtualRouter};
use crate::driver::Plane;
use crate::fsm::{Reason, Reasons, State, Transition};
use crate::net::sys::clock;
use crate::stats::{Peer, Status};
use crate::wire::verdict::Reject;
use crate::wire::{Family, Mac, PRIORITY_OWNER};

/// A virtual router in a list: first the fields of rVRRPd in their order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Router {
    /// First virtual address.
    #[schema(value_type = String, example = "10.100.100.1")]
    virtual_ip: IpAddr,
    /// VRID.
    group: u8,
    /// The interface that carries the virtual addresses.
    interface: String,
    /// Effective priority, 255 for the owner of the addresses.
    priority: u8,
    /// Whether it takes over from a Master of lower priority.
    preempt: bool,
    /// `Init`, `Backup` or `Master`.
    state: &'static str,
    /// What kind of Init it is in: `shutdown` when it is disabled.
    substate: Option<&'static str>,
    /// Why it cannot run; empty when it can.
    not_ready: Vec<&'static str>,
    /// Name in the configuration.
    name: String,
    /// `ipv4` or `ipv6`.
    family: &'static str,
    /// VRRP version: `2`, `3` or `2+3`.
    version: &'static str,
    /// The interface that it runs on.
    parent: String,
    /// Network namespace; null for that of the daemon.
    netns: Option<String>,
    /// All virtual addresses, in the order in which they are advertised.
    #[schema(value_type = Vec<String>)]
    virtual_ips: Vec<IpAddr>,
    /// What carries the virtual addresses: `ether`, `macvlan` or `ebpf`; null where what is wanted
    /// does not run, or was not found yet.
    data_plane: Option<&'static str>,
    /// Why no better one.
    data_plane_why: Option<String>,
    /// Virtual MAC; null where there is none.
    virtual_mac: Option<String>,
    /// Whether it is configured to run.
    enabled: bool,
    /// Whether a virtual address is one of the interface.
    is_owner: bool,
    /// Address of the Master; null where none is known.
    #[schema(value_type = Option<String>)]
    master: Option<IpAddr>,
    /// The last change of state; null if there was none.
    last_transition: Option<LastTransition>,
    /// What changed it last (RFC 8347).
    last_event: &'static str,
    /// Why it became Master the last time (RFC 8347).
    new_master_reason: &'static str,
    /// Where the last accepted advertisement came from (RFC 8347).
    #[schema(value_type = Option<String>)]
    last_adv_source: Option<IpAddr>,
}

/// A virtual router with all details: first the fields of rVRRPd in their order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RouterDetail {
    /// First virtual address.
    #[schema(value_type = String)]
    virtual_ip: IpAddr,
    /// VRID.
    group: u8,
    /// The interface that carries the virtual addresses.
    interface: String,
    /// The macvlan, null where there is none.
    vif: Option<String>,
    /// Effective priority, 255 for the owner of the addresses.
    priority: u8,
    /// Whether it takes over from a Master of lower priority.
    preempt: bool,
    /// `Init`, `Backup` or `Master`.
    state: &'static str,
    /// Number of the authentication type of VRRPv2; null for one that has none.
    auth_type: Option<u8>,
    /// Ethernet address of the parent.
    interface_hwaddress: Option<String>,
    /// Own advertisement interval in seconds.
    #[schema(value_type = f64)]
    advert_interval: Number,
    /// Master_Down_Interval in seconds, by the interval of the Master as it is known now.
    #[schema(value_type = f64)]
    masterdown_interval: Number,
    /// Skew_Time in seconds, by the same.
    #[schema(value_type = f64)]
    skew_time: Number,
    /// What kind of Init it is in: `shutdown` when it is disabled.
    substate: Option<&'static str>,
    /// Why it cannot run; empty when it can.
    not_ready: Vec<&'static str>,
    /// Name in the configuration.
    name: String,
    /// `ipv4` or `ipv6`.
    family: &'static str,
    /// VRRP version: `2`, `3` or `2+3`.
    version: &'static str,
    /// The interface that it runs on.
    parent: String,
    /// Network namespace; null for that of the daemon.
    netns: Option<String>,
    /// All virtual addresses, in the order in which they are advertised.
    #[schema(value_type = Vec<String>)]
    virtual_ips: Vec<IpAddr>,
    /// Whether it is configured to run.
    enabled: bool,
    /// Whether a virtual address is one of the interface.
    is_owner: bool,
    /// Priority of the configuration.
    configured_priority: u8,
    /// Whether packets to the virtual addresses are accepted.
    accept_mode: bool,
    /// Name of the authentication type, null for none.
    authentication: Option<&'static str>,
    /// What carries the virtual addresses: `ether`, `macvlan` or `ebpf`; null where what is wanted
    /// does not run, or was not found yet.
    data_plane: Option<&'static str>,
    /// Why no better one.
    data_plane_why: Option<String>,
    /// Virtual MAC; null where there is none.
    virtual_mac: Option<String>,
    /// Source of the advertisements; null while there is none.
    #[schema(value_type = Option<String>)]
    primary: Option<IpAddr>,
    /// Unicast peers; empty with multicast.
    #[schema(value_type = Vec<String>)]
    unicast_peers: Vec<IpAddr>,
    /// Timers.
    timers: Timers,
    /// Who was heard last; null before the first.
    peer: Option<PeerSeen>,
    /// Address of the Master; null where none is known.
    #[schema(value_type = Option<String>)]
    master: Option<IpAddr>,
    /// The last change of state; null if there was none.
    last_transition: Option<LastTransition>,
    /// What changed it last (RFC 8347).
    last_event: &'static str,
    /// Why it became Master the last time (RFC 8347).
    new_master_reason: &'static str,
    /// Where the last accepted advertisement came from (RFC 8347).
    #[schema(value_type = Option<String>)]
    last_adv_source: Option<IpAddr>,
    /// Since when it is not in Init, RFC 3339 (RFC 8347 `up-datetime`).
    up_datetime: Option<String>,
    /// The filter of its receive socket: `none`, `classic` or `ebpf`.
    socket_filter: &'static str,
    /// The gate in front of its virtual MAC: `ebpf` or `nftables`; null where there is none.
    gate: Option<&'static str>,
    /// Counters.
    statistics: Statistics,
}

/// Timers in seconds
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Timers {
    /// Own advertisement interval.
    #[schema(value_type = f64)]
    advert: Number,
    /// Skew_Time, by the interval of the Master as it is known now.
    #[schema(value_type = f64)]
    skew: Number,
    /// Master_Down_Interval, by the same.
    #[schema(value_type = f64)]
    master_down: Number,
    /// What is left of it in Backup; null in the other states.
    #[schema(value_type = Option<f64>)]
    master_down_left: Option<Number>,
}

/// Who was heard last
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PeerSeen {
    /// Source of its advertisements.
    #[schema(value_type = String)]
    address: IpAddr,
    /// Its priority.
    priority: u8,
    /// Its advertisement interval in seconds.
    #[schema(value_type = f64)]
    advert_interval: Number,
    /// When its last advertisement came, RFC 3339.
    last_advert: String,
    /// How many seconds ago that was.
    #[schema(value_type = f64)]
    last_advert_ago: Number,
}

/// The last change of state
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LastTransition {
    /// State before.
    from: &'static str,
    /// State after.
    to: &'static str,
    /// Sub-state before: `shutdown` where an operator had disabled it.
    from_substate: Option<&'static str>,
    /// Why.
    reason: &'static str,
    /// When, RFC 3339.
    at: Option<String>,
    /// How many seconds ago that was.
    #[schema(value_type = f64)]
    ago: Number,
}

/// Counters of a virtual router (RFC 8347), and those that RFC 8347 lacks.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Statistics {
    /// Since when they count, RFC 3339.
    discontinuity_datetime: String,
    /// Transitions to Master.
    master_transitions: u64,
    /// Accepted advertisements.
    advertisement_rcvd: u64,
    /// Sent advertisements.
    advertisement_sent: u64,
    /// Advertisements with another interval than ours.
    interval_errors: u64,
    /// Accepted advertisements with priority 0.
    priority_zero_pkts_rcvd: u64,
    /// Sent advertisements with priority 0.
    priority_zero_pkts_sent: u64,
    /// Packets with another type than 1.
    invalid_type_pkts_rcvd: u64,
    /// Advertisements with another address list than ours.
    address_list_errors: u64,
    /// Packets that are too short.
    packet_length_errors: u64,
    /// Packets that could not be sent.
    send_errors: u64,
    /// Sent router advertisements.
    router_advertisement_sent: u64,
    /// Router solicitations that were heard.
    router_solicitation_rcvd: u64,
    /// Advertisements of version 2 that were ignored because their sender speaks version 3, too.
    v2_ignored: u64,
    /// Packets in which somebody else said that he has a virtual address (`ebpf` only).
    address_conflicts: u64,
    /// Refused packets by reason; reasons without any are left out.
    refused: BTreeMap<&'static str, u64>,
}

impl Router {
    /// The router as it is now.
    pub(super) fn of(router: &Published) -> Self {
        let (config, status) = (&router.config, &*router.status);
        let (state, reasons) = (status.state(), status.reasons());
        Self {
            virtual_ip: first_address(router),
            group: config.vrid.number(),
            interface: router.carrier().to_owned(),
            priority: priority(router),
            preempt: config.preemption,
            state: state_name(state),
            substate: substate(state, reasons),
            not_ready: names(reasons),
            name: config.name.clone(),
            family: family(config.family),
            version: version(config.protocol),
            parent: config.interface.clone(),
            netns: config.netns.clone(),
            virtual_ips: config.vips.iter().map(|vip| vip.address).collect(),
            data_plane: router.choice.plane.map(Plane::name),
            data_plane_why: router.choice.why.clone(),
            virtual_mac: virtual_mac(config),
            enabled: config.enabled,
            is_owner: status.priority() == PRIORITY_OWNER,
            master: master(router),
            last_transition: LastTransition::of(status),
            last_event: status.last_event(),
            new_master_reason: status.new_master_reason().name(),
            last_adv_source: status.last_adv_source(),
        }
    }
}

impl RouterDetail {
    /// The router as it is now.
    pub(super) fn of(router: &Published) -> Self {
        let (config, status) = (&router.config, &*router.status);
        let (state, reasons) = (status.state(), status.reasons());
        let (auth_type, authentication) = authentication(&config.auth);
        let hardware = router.bound.map(|bound| bound.mac);
        let peers = config.unicast.as_ref();
        Self {
            virtual_ip: first_address(router),
            group: config.vrid.number(),
            interface: router.carrier().to_owned(),
            vif: router.vif().map(str::to_owned),
            priority: priority(router),
            preempt: config.preemption,
            state: state_name(state),
            auth_type,
            interface_hwaddress: hardware.map(|mac| mac.to_string().to_uppercase()),
            advert_interval: seconds(config.interval),
            masterdown_interval: seconds(status.master_down_interval()),
            skew_time: seconds(status.skew_time()),
            substate: substate(state, reasons),
            not_ready: names(reasons),
            name: config.name.clone(),
            family: family(config.family),
            version: version(config.protocol),
            parent: config.interface.clone(),
            netns: config.netns.clone(),
            virtual_ips: config.vips.iter().map(|vip| vip.address).collect(),
            enabled: config.enabled,
            is_owner: status.priority() == PRIORITY_OWNER,
            configured_priority: config.priority,
            accept_mode: config.accept_mode,
            authentication,
            data_plane: router.choice.plane.map(Plane::name),
            data_plane_why: router.choice.why.clone(),
            virtual_mac: virtual_mac(config),
            primary: router.bound.map(|bound| bound.source),
            unicast_peers: peers.map_or_else(Vec::new, |unicast| unicast.peers.clone()),
            timers: Timers::of(config, status),
            peer: status.peer().as_ref().map(PeerSeen::of),
            master: master(router),
            last_transition: LastTransition::of(status),
            last_event: status.last_event(),
            new_master_reason: status.new_master_reason().name(),
            last_adv_source: status.last_adv_source(),
            up_datetime: status.up().map(datetime),
            socket_filter: router.at_work.socket_filter,
            gate: router.at_work.gate,
            statistics: Statistics::of(status),
        }
    }
}

fn virtual_mac(config: &VirtualRouter) -> Option<String> {
    let mac = Mac::of_virtual_router(config.family, config.vrid);
    config.virtual_mac.then(|| mac.to_string().to_uppercase())
}

impl Timers {
    fn of(config: &VirtualRouter, status: &Status) -> Self {
        let now = clock::monotonic();
        let end = status.master_down_at();
        Self {
            advert: seconds(config.interval),
            skew: seconds(status.skew_time()),
            master_down: seconds(status.master_down_interval()),
            master_down_left: end.map(|end| seconds(end.since(now))),
        }
    }
}

impl PeerSeen {
    fn of(peer: &Peer) -> Self {
        let ago = clock::monotonic().since(peer.at);
        Self {
            address: peer.address,
            priority: peer.priority,
            advert_interval: seconds(peer.interval),
            last_advert: datetime(SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH)),
            last_advert_ago: seconds(ago),
        }
    }
}

impl LastTransition {
    fn of(status: &Status) -> Option<Self> {
        let (Transition { from, to, cause }, reasons) = status.last_transition()?;
        Some(Self {
            from: state_name(from),
            to: state_name(to),
            from_substate: substate(from, reasons),
            reason: cause.name(),
            at: status.changed().map(datetime),
            ago: seconds(clock::monotonic().since(status.since())),
        })
    }
}

impl Statistics {
    fn of(status: &Status) -> Self {
        let refused = status.refused();
        Self {
            discontinuity_datetime: datetime(status.discontinuity),
            master_transitions: status.master_transitions.value(),
            advertisement_rcvd: status.advertisements_received(),
            advertisement_sent: status.advertisement_sent.value(),
            interval_errors: status.interval_errors(),
            priority_zero_pkts_rcvd: status.priority_zero_pkts_rcvd.value(),
            priority_zero_pkts_sent: status.priority_zero_pkts_sent.value(),
            invalid_type_pkts_rcvd: refused.of(Reject::Type).value(),
            address_list_errors: status.address_list_errors(),
            packet_length_errors: refused.sum(&Reject::PACKET_LENGTH),
            send_errors: status.send_errors.value(),
            router_advertisement_sent: status.router_advertisement_sent.value(),
            router_solicitation_rcvd: status.router_solicitation_rcvd.value(),
            v2_ignored: status.v2_ignored.value(),
            address_conflicts: status.address_conflicts.value(),
            refused: refused
                .broken()
                .map(|(reject, count)| (reject.name(), count))
                .collect(),
        }
    }
}

/// The Master, as far as it is known.
fn master(router: &Published) -> Option<IpAddr> {
    match router.status.state() {
        State::Master => router.bound.map(|bound| bound.source),
        State::Backup => router.status.last_adv_source(),
        State::Init => None,
    }
}

/// Before an interface is there nobody has an effective priority.
fn priority(router: &Published) -> u8 {
    match router.status.priority() {
        0 => router.config.priority,
        priority => priority,
    }
}

fn first_address(router: &Published) -> IpAddr {
    let first = router.config.vips.first();
    // A virtual router has one address at least.
    first.map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |vip| {
        vip.address
    })
}

/// Name of a state.
pub(super) const fn state_name(state: State) -> &'static str {
    match state {
        State::Init => "Init",
        State::Backup => "Backup",
        State::Master => "Master",
    }
}

/// What kind of Init it is.
pub(super) const fn substate(state: State, reasons: Reasons) -> Option<&'static str> {
    match state {
        State::Init if reasons.contains(Reason::Disabled) => Some("shutdown"),
        _ => None,
    }
}

/// Names of reasons.
pub(super) fn names(reasons: Reasons) -> Vec<&'static str> {
    reasons.iter().map(Reason::name).collect()
}

/// Name of an address family.
pub(super) const fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// Versions as the configuration has them.
pub(super) const fn version(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::V2 => "2",
        Protocol::V3 => "3",
        Protocol::Both => "2+3",
    }
}

/// Number (VRRPv2 header) and name (configuration) of a kind of authentication.
pub(super) const fn authentication(auth: &Auth) -> (Option<u8>, Option<&'static str>) {
    match auth {
        Auth::None => (Some(0), None),
        Auth::Simple(_) => (Some(1), Some("rfc2338-simple")),
        Auth::Ah(_) => (Some(2), Some("rfc2338-ah")),
        Auth::P0Sha256(_) => (Some(250), Some("p0-t8-sha256")),
        Auth::P1Shake256(_) => (Some(251), Some("p1-t8-shake256")),
        Auth::HmacSha256(_) => (None, Some("hmac-sha256")),
    }
}

/// Seconds, whole ones without a fraction.
pub(super) fn seconds(duration: Duration) -> Number {
    if duration.subsec_nanos() == 0 {
        return duration.as_secs().into();
    }
    Number::from_f64(duration.as_secs_f64()).unwrap_or_else(|| duration.as_secs().into())
}

/// RFC 3339, to the microsecond.
pub(super) fn datetime(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Micros, true)
}
