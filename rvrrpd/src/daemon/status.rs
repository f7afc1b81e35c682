//! SIGUSR2: state and counters of the daemon and of every virtual router and the gate of every
//! interface, one log line each.

use core::fmt::{self, Write as _};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use super::supervisor::{Guarded, Managed, Supervisor};
use crate::config::model::Protocol;
use crate::driver::Plane;
use crate::fsm::Time;
use crate::net::kernel::StoppedFrames;
use crate::net::sys::clock;
use crate::stats::Rejects;
use crate::wire::verdict::Reject;
use crate::wire::{Mac, PRIORITY_OWNER};

/// Logs the lines. Names and units are those of RFC 8347 (`master-down-interval` in centiseconds,
/// `skew-time` in microseconds), those of authentication those of RFC 2787; counters that both lack
/// are called after the receive rule.
pub(super) fn log(supervisor: &Supervisor) {
    let rejects = &supervisor.refused();
    let mut line = format!(
        "stats global virtual-routers={} interfaces={} discontinuity-datetime={} \
         checksum-errors={} version-errors={} vrid-errors={} ip-ttl-errors={} queue-overflows={} \
         receive-overflows={} router-solicitations-refused={}",
        supervisor.routers.len(),
        supervisor.used_interfaces(),
        datetime(supervisor.global.discontinuity),
        rejects.of(Reject::Checksum).value(),
        rejects.of(Reject::Version).value(),
        rejects.of(Reject::Vrid).value(),
        rejects.of(Reject::Ttl).value(),
        supervisor.global.queue_overflows.value(),
        supervisor.global.receive_overflows.value(),
        supervisor.global.solicitations_refused.value(),
    );
    append(&mut line, rejects);
    for (name, count) in StoppedFrames::told(supervisor.stopped.values()) {
        // Writing to a string cannot fail.
        let _infallible = write!(line, " gate-{name}={count}");
    }
    tracing::info!("{line}");
    for (
        (id, _),
        Guarded {
            name,
            guard,
            before,
        },
    ) in &supervisor.guards
    {
        let namespace = supervisor.namespaces.name_of(*id).flatten();
        let netns = namespace.map_or_else(String::new, |name| format!(" netns={name}"));
        let before = match before.as_slice() {
            [] => String::new(),
            before => format!(" before={:?}", before.join(", ")),
        };
        tracing::info!("gate interface={name}{netns} kind={guard}{before}");
    }
    for managed in supervisor.routers.values() {
        let router = &managed.config;
        let filter = supervisor.filter_in_use(&router.site(), router.family);
        tracing::info!("{}", self::router(managed, filter));
    }
}

fn router(managed: &Managed, filter: &str) -> String {
    let (router, status) = (&managed.config, &*managed.status);
    let rejects = status.refused();
    let reasons = status.reasons();
    let age = match status.since() {
        Time::START => "-".to_owned(),
        since => format!("{:.3}", clock::monotonic().since(since).as_secs_f64()),
    };
    let mut line = format!(
        "stats router={} group={} interface={} state={} not-ready={} priority={} is-owner={} \
         last-adv-source={} up-datetime={} master-down-interval={} skew-time={} last-event={} \
         new-master-reason={} last-transition-seconds-ago={age} discontinuity-datetime={} \
         master-transitions={} advertisement-rcvd={} advertisement-sent={} \
         priority-zero-pkts-rcvd={} priority-zero-pkts-sent={} interval-errors={} \
         invalid-type-pkts-rcvd={} address-list-errors={} packet-length-errors={} \
         auth-failures={} auth-type-mismatch={} send-errors={} takeovers-postponed={} \
         socket-filter={filter} absorbed={}",
        router.name,
        router.vrid,
        router.interface,
        status.state(),
        if reasons.is_ready() {
            "-".to_owned()
        } else {
            reasons.to_string().replace(", ", ",")
        },
        status.priority(),
        status.priority() == PRIORITY_OWNER,
        or_dash(status.last_adv_source()),
        or_dash(status.up().map(datetime)),
        status.master_down_interval().as_millis() / 10,
        status.skew_time().as_micros(),
        status.last_event(),
        status.new_master_reason().name(),
        datetime(status.discontinuity),
        status.master_transitions.value(),
        status.advertisements_received(),
        status.advertisement_sent.value(),
        status.priority_zero_pkts_rcvd.value(),
        status.priority_zero_pkts_sent.value(),
        status.interval_errors(),
        rejects.of(Reject::Type).value(),
        status.address_list_errors(),
        rejects.sum(&Reject::PACKET_LENGTH),
        rejects.of(Reject::AuthData).value(),
        rejects.of(Reject::AuthType).value(),
        status.send_errors.value(),
        status.takeovers_postponed.value(),
        status.absorbed(),
    );
    line.push_str(&carried(managed));
    if router.protocol == Protocol::Both {
        let (ignored, alone) = (status.v2_ignored.value(), status.v3_alone.value());
        // Writing to a string cannot fail.
        let _infallible = write!(line, " v2-ignored={ignored} v3-alone={alone}");
    }
    if router.router_advertisement.is_some() {
        let sent = status.router_advertisement_sent.value();
        let asked = status.router_solicitation_rcvd.value();
        // Writing to a string cannot fail.
        let _infallible = write!(
            line,
            " router-advertisement-sent={sent} router-solicitation-rcvd={asked}"
        );
    }
    if let Some(netns) = &router.netns {
        // Writing to a string cannot fail.
        let _infallible = write!(line, " netns={netns}");
    }
    append(&mut line, &rejects);
    line
}

/// What carries the router, and what `ip` may not show: its virtual MAC and addresses.
fn carried(managed: &Managed) -> String {
    let (router, choice) = (&managed.config, &managed.choice);
    let plane = choice.plane.map_or("-", Plane::name);
    let why = choice.why.as_ref();
    let why = why.map_or_else(String::new, |why| format!(" data-plane-why={why:?}"));
    let mac = match router.virtual_mac {
        true => Mac::of_virtual_router(router.family, router.vrid).to_string(),
        false => "-".to_owned(),
    };
    let addresses = router.vips.iter().map(|vip| vip.address.to_string());
    let addresses = addresses.collect::<Vec<_>>().join(",");
    format!(
        " data-plane={plane}{why} virtual-mac={mac} virtual-addresses={addresses} \
         address-conflicts={}",
        managed.status.address_conflicts.value()
    )
}

/// A value that RFC 8347 leaves out while there is none.
fn or_dash(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `date-and-time` of RFC 6991.
fn datetime(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn append(line: &mut String, rejects: &Rejects) {
    for (reject, count) in rejects.broken() {
        // Writing to a string cannot fail.
        let _infallible = write!(line, " refused-{}={count}", reject.name());
    }
}
