//! `/metrics`: OpenMetrics. Everything is counted elsewhere; here it gets names.

use core::fmt::{Debug, Error, Write as _};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::problem::Problem;
use super::routes::App;
use super::view::{family, state_name};
use super::{Published, Snapshot};
use crate::driver::Plane;
use crate::fsm::State as VrrpState;
use crate::net::kernel::StoppedFrames;
use crate::stats::{Durations, Status};
use crate::wire::PRIORITY_OWNER;

/// Media type of OpenMetrics 1.0.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted or measured
#[utoipa::path(
    get, path = "/metrics", tag = "run",
    responses(
        (status = 200, description = "OpenMetrics 1.0", body = String, content_type = "application/openmetrics-text"),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    let mut registry = Registry::with_prefix("rvrrpd");
    registry.register_collector(Box::new(Seen(app.snapshot())));
    let mut text = String::new();
    text::encode(&mut text, &registry)
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text))
}

/// A snapshot with names.
#[derive(Debug)]
struct Seen(Arc<Snapshot>);

type Labels<'a> = [(&'static str, &'a str); 4];

/// A counter of a virtual router: its name, what it counts, and where it stands.
type RouterCounter = (&'static str, &'static str, fn(&Status) -> u64);

const COUNTERS: [RouterCounter; 17] = [
    (
        "master_transitions",
        "Transitions to Master (RFC 8347 master-transitions)",
        |status| status.master_transitions.value(),
    ),
    (
        "advertisement_rcvd",
        "Accepted advertisements (RFC 8347 advertisement-rcvd)",
        |status| status.advertisements_received(),
    ),
    (
        "advertisement_sent",
        "Sent advertisements (RFC 8347 advertisement-sent)",
        |status| status.advertisement_sent.value(),
    ),
    (
        "interval_errors",
        "Advertisements with another interval (RFC 8347 interval-errors)",
        |status| status.interval_errors(),
    ),
    (
        "priority_zero_pkts_rcvd",
        "Accepted advertisements with priority 0 (RFC 8347 priority-zero-pkts-rcvd)",
        |status| status.priority_zero_pkts_rcvd.value(),
    ),
    (
        "priority_zero_pkts_sent",
        "Sent advertisements with priority 0 (RFC 8347 priority-zero-pkts-sent)",
        |status| status.priority_zero_pkts_sent.value(),
    ),
    (
        "invalid_type_pkts_rcvd",
        "Packets with another type (RFC 8347 invalid-type-pkts-rcvd)",
        |status| {
            status
                .refused()
                .of(crate::wire::verdict::Reject::Type)
                .value()
        },
    ),
    (
        "address_list_errors",
        "Advertisements with another address list (RFC 8347 address-list-errors)",
        |status| status.address_list_errors(),
    ),
    (
        "packet_length_errors",
        "Packets that are too short (RFC 8347 packet-length-errors)",
        |status| {
            status
                .refused()
                .sum(&crate::wire::verdict::Reject::PACKET_LENGTH)
        },
    ),
    (
        "advertisement_absorbed",
        "Accepted advertisements that the kernel kept to itself",
        Status::absorbed,
    ),
    (
        "takeovers_postponed",
        "Times when the Master was due to be taken for dead and the host was too slow to tell",
        |status| status.takeovers_postponed.value(),
    ),
    ("send_errors", "Packets that could not be sent", |status| {
        status.send_errors.value()
    }),
    (
        "router_advertisement_sent",
        "Sent router advertisements",
        |status| status.router_advertisement_sent.value(),
    ),
    (
        "router_solicitation_rcvd",
        "Router solicitations that were heard",
        |status| status.router_solicitation_rcvd.value(),
    ),
    (
        "v2_ignored",
        "Advertisements of version 2 whose sender speaks version 3, too",
        |status| status.v2_ignored.value(),
    ),
    (
        "v3_alone",
        "Senders found to speak version 3 alone",
        |status| status.v3_alone.value(),
    ),
    (
        "address_conflicts",
        "Packets in which somebody else said that he has a virtual address (iftype ebpf)",
        |status| status.address_conflicts.value(),
    ),
];

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        let Self(snapshot) = self;
        self.routers(encoder)?;
        self.refused(encoder)?;
        let gauges = &*snapshot.gauges;
        let performance = &gauges.performance;
        durations(
            encoder,
            "worker_lateness",
            "How late workers got to a deadline that had come",
            &performance.worker_lateness,
        )?;
        durations(
            encoder,
            "driver_latency",
            "How long the driver took for what was in its queue, the kernel included",
            &performance.driver_latency,
        )?;
        let mut depths = encoder.encode_descriptor(
            "queue_depth",
            "Messages that wait",
            None,
            MetricType::Gauge,
        )?;
        for (number, worker) in gauges.workers.iter().enumerate() {
            let name = format!("worker-{number}");
            gauge(&mut depths, &[("queue", &*name)], count(worker.waiting()))?;
        }
        gauge(
            &mut depths,
            &[("queue", "driver")],
            count(gauges.driver.len()),
        )?;
        counter(
            encoder,
            "queue_overflows",
            "Accepted advertisements that were lost because their worker was behind",
            snapshot.global.queue_overflows.value(),
        )?;
        counter(
            encoder,
            "receive_overflows",
            "Packets that found a receive buffer full; no filter has seen them",
            snapshot.global.receive_overflows.value(),
        )?;
        counter(
            encoder,
            "router_solicitations_refused",
            "Packets that claim to be router solicitations and are none",
            snapshot.global.solicitations_refused.value(),
        )?;
        counter(
            encoder,
            "reloads",
            "Reloads of the configuration",
            snapshot.reloads,
        )?;
        let mut routers = encoder.encode_descriptor(
            "virtual_routers",
            "Virtual routers (RFC 8347 virtual-routers)",
            None,
            MetricType::Gauge,
        )?;
        for state in [VrrpState::Init, VrrpState::Backup, VrrpState::Master] {
            let all = snapshot.routers.iter();
            let number = all.filter(|router| router.status.state() == state).count();
            gauge(&mut routers, &[("state", state_name(state))], count(number))?;
        }
        let started = encoder.encode_descriptor(
            "start_time_seconds",
            "When the daemon was started",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(since_1970(gauges.started)).encode(started)?;
        let mut build =
            encoder.encode_descriptor("build_info", "Version", None, MetricType::Gauge)?;
        gauge(&mut build, &[("version", env!("CARGO_PKG_VERSION"))], 1)
    }
}

impl Seen {
    fn routers(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let routers = &self.0.routers;
        let mut states = encoder.encode_descriptor(
            "state",
            "0 Init, 1 Backup, 2 Master",
            None,
            MetricType::Gauge,
        )?;
        each(routers, |router, labels| {
            gauge(&mut states, labels, router.status.state() as i64)
        })?;
        let mut priorities =
            encoder.encode_descriptor("priority", "Effective priority", None, MetricType::Gauge)?;
        each(routers, |router, labels| {
            gauge(&mut priorities, labels, router.status.priority().into())
        })?;
        let mut owners = encoder.encode_descriptor(
            "is_owner",
            "Whether it owns the virtual addresses",
            None,
            MetricType::Gauge,
        )?;
        each(routers, |router, labels| {
            let is_owner = router.status.priority() == PRIORITY_OWNER;
            gauge(&mut owners, labels, is_owner.into())
        })?;
        let mut enabled = encoder.encode_descriptor(
            "enabled",
            "Whether it is configured to run",
            None,
            MetricType::Gauge,
        )?;
        each(routers, |router, labels| {
            gauge(&mut enabled, labels, router.config.enabled.into())
        })?;
        let mut info = encoder.encode_descriptor(
            "router_info",
            "What works for it in the kernel",
            None,
            MetricType::Gauge,
        )?;
        each(routers, |router, labels| {
            let [name, group, interface, family] = *labels;
            let filter = ("socket_filter", router.at_work.socket_filter);
            let gate = ("gate", router.at_work.gate.unwrap_or("none"));
            let plane = router.choice.plane.map_or("none", Plane::name);
            let plane = ("data_plane", plane);
            let netns = router.config.netns.as_deref().unwrap_or_default();
            let netns = ("netns", netns);
            let labels = [name, group, interface, family, filter, gate, plane, netns];
            gauge(&mut info, &labels, 1)
        })?;
        let mut reasons =
            encoder.encode_descriptor("not_ready", "Why it cannot run", None, MetricType::Gauge)?;
        each(routers, |router, labels| {
            let [name, group, interface, family] = *labels;
            for reason in router.status.reasons().iter() {
                let labels = [name, group, interface, family, ("reason", reason.name())];
                gauge(&mut reasons, &labels, 1)?;
            }
            Ok(())
        })?;
        for (name, help, value) in COUNTERS {
            let mut counters = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            each(routers, |router, labels| {
                ConstCounter::new(value(&router.status)).encode(counters.encode_family(labels)?)
            })?;
        }
        let mut refused = encoder.encode_descriptor(
            "refused",
            "Packets with the VRID of a virtual router that were refused, by rule",
            None,
            MetricType::Counter,
        )?;
        each(routers, |router, labels| {
            let [name, group, interface, family] = *labels;
            for (reject, number) in router.status.refused().broken() {
                let labels = [name, group, interface, family, ("reason", reject.name())];
                ConstCounter::new(number).encode(refused.encode_family(&labels)?)?;
            }
            Ok(())
        })
    }

    /// All refused packets, those of nobody's VRID included.
    fn refused(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut refused = encoder.encode_descriptor(
            "packets_refused",
            "Refused packets, by rule",
            None,
            MetricType::Counter,
        )?;
        for (reject, number) in self.0.refused().broken() {
            let labels = [("reason", reject.name())];
            ConstCounter::new(number).encode(refused.encode_family(&labels)?)?;
        }
        let mut gate = encoder.encode_descriptor(
            "gate_frames",
            "Frames that the eBPF gates dropped and answered",
            None,
            MetricType::Counter,
        )?;
        for (reason, number) in StoppedFrames::told(self.0.gates.iter()) {
            let labels = [("reason", reason)];
            ConstCounter::new(number).encode(gate.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Calls `encode` with each router and its labels.
fn each(
    routers: &[Arc<Published>],
    mut encode: impl FnMut(&Published, &Labels<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut group = String::new();
    for router in routers {
        group.clear();
        write!(group, "{}", router.config.vrid)?;
        let labels = [
            ("name", router.config.name.as_str()),
            ("group", group.as_str()),
            ("interface", router.config.interface.as_str()),
            ("family", family(router.config.family)),
        ];
        encode(router, &labels)?;
    }
    Ok(())
}

fn gauge<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &[(&'static str, &str); N],
    value: i64,
) -> Result<(), Error> {
    ConstGauge::new(value).encode(family.encode_family(labels)?)
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), Error> {
    let metric = ConstCounter::new(value);
    let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}

/// A histogram in seconds.
fn durations(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    durations: &Durations,
) -> Result<(), Error> {
    let unit = prometheus_client::registry::Unit::Seconds;
    let mut encoder = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Histogram)?;
    let classes: Vec<(f64, u64)> = durations
        .classes()
        .map(|(bound, number)| {
            (
                bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64()),
                number,
            )
        })
        .collect();
    let number = classes.iter().map(|(_, number)| number).sum();
    encoder.encode_histogram::<NoLabelSet>(durations.sum().as_secs_f64(), number, &classes, None)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn since_1970(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
