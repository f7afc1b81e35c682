//! `/run`: what is, now.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Access;
use super::problem::Problem;
use super::routes::App;
use super::view::{Router, RouterDetail, datetime, family};
use super::{Published, Snapshot};
use crate::config::model::{Global, Route, Site, TimeFormat, TimeZone};
use crate::fsm::State as VrrpState;
use crate::wire::verdict::Reject;

/// Name of the host.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// All virtual routers
#[utoipa::path(
    get, path = "/run/vrrp", tag = "run",
    responses(
        (status = 200, description = "In the order of the configuration", body = Vec<Router>),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn routers(State(app): State<Arc<App>>) -> Json<Vec<Router>> {
    let snapshot = app.snapshot();
    let routers = snapshot.routers.iter().map(|router| Router::of(router));
    Json(routers.collect())
}

/// The virtual routers with one VRID
#[utoipa::path(
    get, path = "/run/vrrp/{group}", tag = "run",
    params(("group" = u8, Path, minimum = 1, maximum = 255, description = "VRID")),
    responses(
        (status = 200, description = "Maybe none", body = Vec<Router>),
        (status = 400, description = "No VRID", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn routers_of_group(
    State(app): State<Arc<App>>,
    Path(group): Path<String>,
) -> Result<Json<Vec<Router>>, Problem> {
    let group = vrid(&group)?;
    let snapshot = app.snapshot();
    let routers = snapshot.routers.iter();
    let routers = routers.filter(|router| router.config.vrid.number() == group);
    Ok(Json(routers.map(|router| Router::of(router)).collect()))
}

/// One virtual router in detail
#[utoipa::path(
    get, path = "/run/vrrp/{group}/{interface}", tag = "run",
    params(
        ("group" = u8, Path, minimum = 1, maximum = 255, description = "VRID"),
        ("interface" = String, Path, description = "The interface that it runs on, or its macvlan"),
        ("name" = Option<String>, Query, description = "Name of the virtual router, where several have this VRID"),
        ("family" = Option<Family>, Query, description = "`ipv4` or `ipv6`, where both have this VRID; IPv4 goes first"),
        ("netns" = Option<String>, Query, description = "Name of the network namespace of the interface, empty for that of the daemon, which goes first"),
    ),
    responses(
        (status = 200, description = "The virtual router", body = RouterDetail),
        (status = 400, description = "No VRID, no family, or another parameter", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Several network namespaces have one: which ones", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn router(
    State(app): State<Arc<App>>,
    Path((group, interface)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<RouterDetail>, Problem> {
    let group = vrid(&group)?;
    let query = query.as_deref().unwrap_or_default();
    let wanted = wanted_family(query)?;
    let name = parameter(query, "name");
    let netns = parameter(query, "netns");
    let snapshot = app.snapshot();
    let here = |router: &&Arc<Published>| {
        router.config.vrid.number() == group
            && (router.config.interface == interface || router.vif() == Some(&interface))
            && wanted.is_none_or(|wanted| family(router.config.family) == wanted)
            && name
                .as_ref()
                .is_none_or(|name| router.config.name == **name)
            && netns
                .as_ref()
                .is_none_or(|wanted| namespace(router) == wanted)
    };
    let found: Vec<_> = snapshot.routers.iter().filter(here).collect();
    // That of the daemon is less than the others, and IPv4 than IPv6.
    let first = found
        .iter()
        .min_by_key(|router| (&router.config.netns, router.config.family));
    let first = first.ok_or_else(|| {
        Problem::not_found("there is no virtual router with this group on this interface")
    })?;
    let namespaces: BTreeSet<&str> = found.iter().map(|router| namespace(router)).collect();
    if first.config.netns.is_some() && namespaces.len() > 1 {
        let names: Vec<String> = namespaces
            .into_iter()
            .map(|name| format!("netns={name}"))
            .collect();
        return Err(Problem::new(StatusCode::CONFLICT).detail(format!(
            "{} network namespaces have a virtual router with this group on an interface of this \
             name, allowed: name=NAME, {}",
            names.len(),
            names.join(", ")
        )));
    }
    Ok(Json(RouterDetail::of(first)))
}

/// Name of the network namespace; empty for that of the daemon.
fn namespace(router: &Published) -> &str {
    router.config.netns.as_deref().unwrap_or_default()
}

/// Values of `family` in a query.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "for the document")]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

fn vrid(text: &str) -> Result<u8, Problem> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Problem::bad_request("the group is no VRID, allowed: 1 to 255"))
}

/// A parameter of a query.
fn parameter<'q>(query: &'q str, wanted: &str) -> Option<Cow<'q, str>> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(name, value)| (name == wanted).then_some(value))
}

fn wanted_family(query: &str) -> Result<Option<&'static str>, Problem> {
    let Some(value) = parameter(query, "family") else {
        return Ok(None);
    };
    match &*value {
        "ipv4" => Ok(Some("ipv4")),
        "ipv6" => Ok(Some("ipv6")),
        _ => Err(Problem::bad_request("family is none, allowed: ipv4, ipv6")),
    }
}

/// The daemon
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunningGlobal {
    /// Debug level.
    debug: u8,
    /// The time of the daemon, RFC 3339.
    timestamp: String,
    /// `local` or `utc`.
    timezone: &'static str,
    /// `disabled`, `short`, `rfc2822` or `rfc3339`.
    timeformat: &'static str,
    /// PID file of mode 2.
    #[schema(value_type = String)]
    pid: PathBuf,
    /// Working directory of mode 2.
    #[schema(value_type = String)]
    working_dir: PathBuf,
    /// Log file of mode 2.
    #[schema(value_type = String)]
    main_log: PathBuf,
    /// File of warnings and errors of mode 2.
    #[schema(value_type = Option<String>)]
    error_log: Option<PathBuf>,
    /// Version of the daemon.
    version: &'static str,
    /// Process id.
    process: u32,
    /// When it was started, RFC 3339.
    started: String,
    /// Configuration file.
    #[schema(value_type = String)]
    config: PathBuf,
    /// Number of virtual routers (RFC 8347 `virtual-routers`).
    virtual_routers: usize,
    /// Number of interfaces with virtual routers (RFC 8347 `interfaces`).
    interfaces: usize,
    /// Name of the host.
    hostname: String,
    /// What who asks may do: 0 reads, 1 changes, too.
    level: u8,
    /// Counters.
    statistics: GlobalStatistics,
}

/// Counters of the daemon (RFC 8347).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct GlobalStatistics {
    /// Since when they count, RFC 3339.
    discontinuity_datetime: String,
    /// Packets with a wrong checksum.
    checksum_errors: u64,
    /// Packets of another version.
    version_errors: u64,
    /// Packets for a VRID that nobody here has.
    vrid_errors: u64,
    /// Packets with another TTL or hop limit than 255.
    ip_ttl_errors: u64,
    /// Accepted advertisements that were lost because the worker was behind.
    queue_overflows: u64,
    /// Refused packets by reason; reasons without any are left out.
    refused: std::collections::BTreeMap<&'static str, u64>,
}

/// The daemon
#[utoipa::path(
    get, path = "/run/global", tag = "run",
    responses(
        (status = 200, description = "The daemon", body = RunningGlobal),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn global(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
) -> Json<RunningGlobal> {
    let snapshot = app.snapshot();
    let Global {
        debug,
        time_zone,
        time_format,
        pid,
        working_dir,
        main_log,
        error_log,
        ..
    } = snapshot.config.global.clone();
    let refused = snapshot.refused();
    Json(RunningGlobal {
        debug,
        timestamp: datetime(SystemTime::now()),
        timezone: time_zone_name(time_zone),
        timeformat: time_format_name(time_format),
        pid,
        working_dir,
        main_log,
        error_log,
        version: env!("CARGO_PKG_VERSION"),
        process: std::process::id(),
        started: datetime(snapshot.gauges.started),
        config: snapshot.gauges.conf.clone(),
        virtual_routers: snapshot.routers.len(),
        interfaces: used_interfaces(&snapshot),
        hostname: std::fs::read_to_string(HOSTNAME)
            .map_or_else(|_| String::new(), |name| name.trim_end().to_owned()),
        level: access.level.number(),
        statistics: GlobalStatistics {
            discontinuity_datetime: datetime(snapshot.global.discontinuity),
            checksum_errors: refused.of(Reject::Checksum).value(),
            version_errors: refused.of(Reject::Version).value(),
            vrid_errors: refused.of(Reject::Vrid).value(),
            ip_ttl_errors: refused.of(Reject::Ttl).value(),
            queue_overflows: snapshot.global.queue_overflows.value(),
            refused: refused
                .broken()
                .map(|(reject, count)| (reject.name(), count))
                .collect(),
        },
    })
}

/// Number of interfaces that virtual routers are configured on.
pub(super) fn used_interfaces(snapshot: &Snapshot) -> usize {
    let names = snapshot.routers.iter();
    let names: BTreeSet<Site> = names.map(|router| router.config.site()).collect();
    names.len()
}

/// The value of `time_zone`.
pub(super) const fn time_zone_name(zone: TimeZone) -> &'static str {
    match zone {
        TimeZone::Local => "local",
        TimeZone::Utc => "utc",
    }
}

/// The value of `time_format`.
pub(super) const fn time_format_name(format: TimeFormat) -> &'static str {
    match format {
        TimeFormat::Disabled => "disabled",
        TimeFormat::Short => "short",
        TimeFormat::Rfc2822 => "rfc2822",
        TimeFormat::Rfc3339 => "rfc3339",
    }
}

/// A static route
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StaticRoute {
    /// Network address.
    #[schema(value_type = String)]
    destination: IpAddr,
    /// Network mask; null for IPv6.
    #[schema(value_type = Option<String>)]
    mask: Option<IpAddr>,
    /// Next hop.
    #[schema(value_type = String)]
    next_hop: IpAddr,
    /// Metric, 0 for the default of the kernel.
    metric: u32,
    /// MTU in bytes, 0 for none.
    mtu: u32,
    /// Prefix length.
    prefix: u8,
    /// Routing table, 254 is `main`.
    table: u32,
    /// Whether it is to be in the kernel now: while a virtual router is Master.
    active: bool,
}

/// What is done for other protocols
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Protocols {
    /// Routes that are there while a virtual router is Master.
    r#static: Vec<StaticRoute>,
}

/// Static routes, under the name of what keeps them
#[utoipa::path(
    get, path = "/run/protocols", tag = "run",
    responses(
        (status = 200, description = "Maybe none", body = Protocols),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn protocols(State(app): State<Arc<App>>) -> Json<Protocols> {
    Json(Protocols {
        r#static: routes(&app.snapshot()),
    })
}

/// Static routes
#[utoipa::path(
    get, path = "/run/protocols/static", tag = "run",
    responses(
        (status = 200, description = "Maybe none", body = Vec<StaticRoute>),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn static_routes(State(app): State<Arc<App>>) -> Json<Vec<StaticRoute>> {
    Json(routes(&app.snapshot()))
}

fn routes(snapshot: &Snapshot) -> Vec<StaticRoute> {
    let mut routers = snapshot.routers.iter();
    let active = routers.any(|router| router.status.state() == VrrpState::Master);
    let route = |route: &Route| StaticRoute {
        destination: route.destination,
        mask: mask(route),
        next_hop: route.next_hop,
        metric: route.metric,
        mtu: route.mtu,
        prefix: route.prefix,
        table: route.table,
        active,
    };
    snapshot.config.static_routes.iter().map(route).collect()
}

/// The network mask of an IPv4 route.
pub(super) fn mask(route: &Route) -> Option<IpAddr> {
    let bits = u32::MAX.checked_shl(32_u32.saturating_sub(route.prefix.into()));
    route
        .destination
        .is_ipv4()
        .then(|| IpAddr::from(bits.unwrap_or(0).to_be_bytes()))
}
