//! SIGUSR2: state and counters of the daemon and of every virtual router, one log line each.

use core::fmt::Write as _;

use super::supervisor::{Managed, Supervisor};
use crate::config::model::Protocol;
use crate::fsm::Time;
use crate::net::sys::clock;
use crate::stats::{Rejects, Status};
use crate::wire::verdict::Reject;

/// Logs the lines. Names of counters are those of RFC 8347; those that it lacks are called after
/// the receive rule.
pub(super) fn log(supervisor: &Supervisor) {
    let rejects = &supervisor.global.rejects;
    let mut line = format!(
        "stats global virtual-routers={} checksum-errors={} version-errors={} vrid-errors={} \
         ip-ttl-errors={} queue-overflows={}",
        supervisor.routers.len(),
        rejects.of(Reject::Checksum).value(),
        rejects.of(Reject::Version).value(),
        rejects.of(Reject::Vrid).value(),
        rejects.of(Reject::Ttl).value(),
        supervisor.global.queue_overflows.value(),
    );
    append(&mut line, rejects);
    tracing::info!("{line}");
    for managed in supervisor.routers.values() {
        tracing::info!("{}", router(managed));
    }
}

fn router(managed: &Managed) -> String {
    let (router, status) = (&managed.config, &*managed.status);
    let reasons = status.reasons();
    let age = match status.since() {
        Time::START => "-".to_owned(),
        since => format!("{:.3}", clock::monotonic().since(since).as_secs_f64()),
    };
    let mut line = format!(
        "stats router={} group={} interface={} state={} not-ready={} priority={} \
         last-transition-seconds-ago={age} master-transitions={} advertisement-rcvd={} \
         advertisement-sent={} priority-zero-pkts-rcvd={} priority-zero-pkts-sent={} \
         interval-errors={} invalid-type-pkts-rcvd={} address-list-errors={} \
         packet-length-errors={} send-errors={}",
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
        status.master_transitions.value(),
        status.advertisement_rcvd.value(),
        status.advertisement_sent.value(),
        status.priority_zero_pkts_rcvd.value(),
        status.priority_zero_pkts_sent.value(),
        interval_errors(status),
        status.rejects.of(Reject::Type).value(),
        address_list_errors(status),
        status
            .rejects
            .sum(&[Reject::Truncated, Reject::Length, Reject::CountZero]),
        status.send_errors.value(),
    );
    if router.protocol == Protocol::Both {
        let (ignored, alone) = (status.v2_ignored.value(), status.v3_alone.value());
        // Writing to a string cannot fail.
        let _infallible = write!(line, " v2-ignored={ignored} v3-alone={alone}");
    }
    append(&mut line, &status.rejects);
    line
}

fn interval_errors(status: &Status) -> u64 {
    status
        .rejects
        .sum(&[Reject::Interval, Reject::IntervalZero])
        + status.interval_mismatches.value()
}

fn address_list_errors(status: &Status) -> u64 {
    status.rejects.of(Reject::AddressList).value() + status.address_list_mismatches.value()
}

fn append(line: &mut String, rejects: &Rejects) {
    for (reject, count) in rejects.broken() {
        // Writing to a string cannot fail.
        let _infallible = write!(line, " refused-{}={count}", reject.name());
    }
}
