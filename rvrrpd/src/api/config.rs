//! `/config`: the configuration that runs, with its defaults filled in and without its secrets.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Number, Value};
use utoipa::ToSchema;

use super::Snapshot;
use super::advertising::ConfigRouterAdvertisement;
use super::hidden::HIDDEN;
use super::keys;
use super::listen::Listeners;
use super::problem::Problem;
use super::routes::App;
use super::run::{mask, time_format_name, time_zone_name};
use super::view::{authentication, seconds};
use crate::config::model::{
    self, Auth, ChecksumPolicy, FilterType, InterfaceType, LogFormat, LogTarget, NetworkDriver,
    Protocol, Route, Secret, Vip, VirtualRouter,
};
use crate::wire::auth::{HmacKey, HmacKeys};

/// Keys of the top level
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigGlobal {
    debug: u8,
    time_zone: &'static str,
    time_format: &'static str,
    log_format: &'static str,
    log_target: &'static str,
    #[schema(value_type = String)]
    pid: PathBuf,
    #[schema(value_type = String)]
    working_dir: PathBuf,
    #[schema(value_type = String)]
    run_dir: PathBuf,
    #[schema(value_type = String)]
    main_log: PathBuf,
    #[schema(value_type = Option<String>)]
    error_log: Option<PathBuf>,
    client_api: Option<&'static str>,
    /// Worker threads that run.
    workers: usize,
    realtime: bool,
    api: Option<ConfigApi>,
}

/// `[api]`
#[derive(Debug, Serialize, ToSchema)]
struct ConfigApi {
    /// `{{ALG}}USER:LEVEL:***`
    users: Vec<String>,
    secret: Option<&'static str>,
    host: Vec<String>,
    tls: bool,
    #[schema(value_type = String)]
    tls_key: PathBuf,
    #[schema(value_type = String)]
    tls_cert: PathBuf,
    session_lifetime: u64,
    #[schema(value_type = String)]
    socket: PathBuf,
}

/// The top level
#[utoipa::path(
    get, path = "/config/global", tag = "config",
    responses(
        (status = 200, description = "Secrets are `***`", body = ConfigGlobal),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn global(State(app): State<Arc<App>>) -> Json<ConfigGlobal> {
    let snapshot = app.snapshot();
    let global = &snapshot.config.global;
    let api = snapshot.config.api.as_ref();
    Json(ConfigGlobal {
        debug: global.debug,
        time_zone: time_zone_name(global.time_zone),
        time_format: time_format_name(global.time_format),
        log_format: match global.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        },
        log_target: match global.log_target {
            LogTarget::File => "file",
            LogTarget::Journald => "journald",
            LogTarget::Syslog => "syslog",
        },
        pid: global.pid.clone(),
        working_dir: global.working_dir.clone(),
        run_dir: snapshot.gauges.run_dir.clone(),
        main_log: global.main_log.clone(),
        error_log: global.error_log.clone(),
        client_api: api.map(|_| "http"),
        workers: snapshot.gauges.workers.len(),
        realtime: global.realtime,
        api: api.map(|api| ConfigApi::of(api, &snapshot)),
    })
}

impl ConfigApi {
    fn of(api: &model::Api, snapshot: &Snapshot) -> Self {
        Self {
            users: api.users.iter().map(user).collect(),
            secret: api.secret.as_ref().map(|_| HIDDEN),
            host: api.host.iter().map(ToString::to_string).collect(),
            tls: api.tls,
            tls_key: api.tls_key.clone(),
            tls_cert: api.tls_cert.clone(),
            session_lifetime: api.session_lifetime.as_secs(),
            socket: Listeners::socket(snapshot, &snapshot.gauges.run_dir),
        }
    }
}

/// A credential line without its salt and hash.
fn user(line: &Secret) -> String {
    let text = String::from_utf8_lossy(&line.0);
    let mut fields = text.splitn(3, ':');
    match (fields.next(), fields.next()) {
        (Some(user), Some(level)) => format!("{user}:{level}:{HIDDEN}"),
        _ => HIDDEN.to_owned(),
    }
}

/// `[[vrouter]]` after a change
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangedVrouter {
    #[serde(flatten)]
    vrouter: ConfigVrouter,
    /// What the operator should know that was not so before; absent where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl ChangedVrouter {
    /// The virtual router as it is configured now.
    pub(super) fn of(router: &VirtualRouter, warnings: Vec<String>) -> Self {
        Self {
            vrouter: ConfigVrouter::of(router),
            warnings,
        }
    }
}

/// `[[vrouter]]`: what may be sent back, with other values, to make another virtual router
///
/// Null stands for a key that is absent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigVrouter {
    group: u8,
    interface: String,
    /// Network namespace; null for that of the daemon.
    netns: Option<String>,
    name: String,
    /// 2, 3 or `2+3`.
    #[schema(schema_with = keys::version)]
    version: Value,
    /// Each `ADDR` or `ADDR/PREFIX`.
    vip: Vec<String>,
    #[schema(value_type = Option<String>)]
    primary: Option<IpAddr>,
    priority: u8,
    preemption: bool,
    #[schema(value_type = f64)]
    preempt_delay: Number,
    #[schema(value_type = f64)]
    startup_delay: Number,
    accept_mode: bool,
    auth_type: Option<&'static str>,
    /// `***` where there is one.
    auth_secret: Option<&'static str>,
    /// With `hmac-sha256`, also where the configuration has one secret, which is that of key 1.
    auth_keys: Option<Vec<ConfigKey>>,
    /// With `hmac-sha256`.
    auth_active_key: Option<u8>,
    /// Seconds, with `hmac-sha256`.
    auth_clock_skew: Option<u64>,
    timers: ConfigTimers,
    rfc3768: bool,
    v3_checksum: &'static str,
    address_list_check: &'static str,
    netdrv: &'static str,
    iftype: &'static str,
    virtual_mac: bool,
    vifname: String,
    socket_filter: bool,
    socket_filter_type: &'static str,
    socket_filter_absorb: bool,
    nonlocal_bind: bool,
    enabled: bool,
    /// Null with multicast.
    #[schema(value_type = Option<Vec<String>>)]
    unicast_peers: Option<Vec<IpAddr>>,
    #[schema(value_type = Option<String>)]
    unicast_src: Option<IpAddr>,
    /// With `unicast_peers`.
    unicast_min_ttl: Option<u8>,
    routes: Vec<ConfigRoute>,
    /// Null where none are sent.
    router_advertisement: Option<ConfigRouterAdvertisement>,
}

/// A key of `auth_keys`
#[derive(Debug, Serialize, ToSchema)]
struct ConfigKey {
    id: u8,
    /// `***`
    secret: &'static str,
}

/// `timers`
#[derive(Debug, Serialize, ToSchema)]
struct ConfigTimers {
    /// Seconds.
    #[schema(value_type = f64)]
    advert: Number,
}

/// A route of the configuration
#[derive(Debug, Serialize, ToSchema)]
struct ConfigRoute {
    #[schema(value_type = String)]
    route: IpAddr,
    #[schema(value_type = Option<String>)]
    mask: Option<IpAddr>,
    #[schema(value_type = String)]
    nh: IpAddr,
    metric: u32,
    mtu: u32,
    prefix: u8,
    table: u32,
}

/// `[protocols]`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigProtocols {
    r#static: Vec<ConfigRoute>,
}

/// The virtual routers
#[utoipa::path(
    get, path = "/config/vrouter", tag = "config",
    responses(
        (status = 200, description = "Secrets are `***`", body = Vec<ConfigVrouter>),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn vrouters(State(app): State<Arc<App>>) -> Json<Vec<ConfigVrouter>> {
    let snapshot = app.snapshot();
    let vrouters = snapshot.config.vrouters.iter();
    Json(vrouters.map(|router| ConfigVrouter::of(router)).collect())
}

/// One of the virtual routers
#[utoipa::path(
    get, path = "/config/vrouter/{name}", tag = "config",
    params(("name" = String, Path, description = "Name of the virtual router")),
    responses(
        (status = 200, description = "Secrets are `***`", body = ConfigVrouter),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none of this name", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn vrouter(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<ConfigVrouter>, Problem> {
    let snapshot = app.snapshot();
    let mut routers = snapshot.config.vrouters.iter();
    let found = routers.find(|router| router.name == name);
    let found =
        found.ok_or_else(|| Problem::not_found("there is no virtual router of this name"))?;
    Ok(Json(ConfigVrouter::of(found)))
}

/// The static routes
#[utoipa::path(
    get, path = "/config/protocols", tag = "config",
    responses(
        (status = 200, description = "Maybe none", body = ConfigProtocols),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn protocols(State(app): State<Arc<App>>) -> Json<ConfigProtocols> {
    let snapshot = app.snapshot();
    let routes = snapshot.config.static_routes.iter();
    Json(ConfigProtocols {
        r#static: routes.map(ConfigRoute::of).collect(),
    })
}

impl ConfigVrouter {
    /// The virtual router without its secrets.
    pub(super) fn of(router: &VirtualRouter) -> Self {
        let unicast = router.unicast.as_ref();
        let advertisement = router.router_advertisement.as_deref();
        let keys = match &router.auth {
            Auth::HmacSha256(keys) => Some(keys),
            _ => None,
        };
        Self {
            group: router.vrid.number(),
            interface: router.interface.clone(),
            netns: router.netns.clone(),
            name: router.name.clone(),
            version: match router.protocol {
                Protocol::V2 => 2.into(),
                Protocol::V3 => 3.into(),
                Protocol::Both => "2+3".into(),
            },
            vip: router.vips.iter().map(vip).collect(),
            primary: router.primary,
            priority: router.priority,
            preemption: router.preemption,
            preempt_delay: seconds(router.preempt_delay),
            startup_delay: seconds(router.startup_delay),
            accept_mode: router.accept_mode,
            auth_type: authentication(&router.auth).1,
            auth_secret: match router.auth {
                Auth::None | Auth::HmacSha256(_) => None,
                Auth::Ah(_) | Auth::Simple(_) | Auth::P0Sha256(_) | Auth::P1Shake256(_) => {
                    Some(HIDDEN)
                }
            },
            auth_keys: keys.map(ConfigKey::all),
            auth_active_key: keys.map(|keys| keys.active.id.get()),
            auth_clock_skew: keys.map(|keys| keys.clock_skew.as_secs()),
            timers: ConfigTimers {
                advert: seconds(router.interval),
            },
            rfc3768: router.rfc3768,
            v3_checksum: match router.v3_checksum {
                ChecksumPolicy::Auto => "auto",
                ChecksumPolicy::Rfc9568 => "rfc9568",
                ChecksumPolicy::PseudoHeader => "pseudo-header",
            },
            address_list_check: if router.address_list_check {
                "rfc"
            } else {
                "off"
            },
            netdrv: match router.netdrv {
                NetworkDriver::Netlink => "libnl",
                NetworkDriver::Ioctl => "ioctl",
            },
            iftype: match router.iftype {
                InterfaceType::Ether => "ether",
                InterfaceType::Macvlan => "macvlan",
                InterfaceType::Ebpf => "ebpf",
                InterfaceType::Auto => "auto",
            },
            virtual_mac: router.virtual_mac,
            vifname: router.vifname.clone(),
            socket_filter: router.socket_filter,
            socket_filter_type: match router.socket_filter_type {
                FilterType::Auto => "auto",
                FilterType::Ebpf => "ebpf",
                FilterType::Classic => "classic",
            },
            socket_filter_absorb: router.socket_filter_absorb,
            nonlocal_bind: router.nonlocal_bind,
            enabled: router.enabled,
            unicast_peers: unicast.map(|unicast| unicast.peers.clone()),
            unicast_src: unicast.and_then(|unicast| unicast.source),
            unicast_min_ttl: unicast.map(|unicast| unicast.min_ttl),
            routes: router.routes.iter().map(ConfigRoute::of).collect(),
            router_advertisement: advertisement.map(ConfigRouterAdvertisement::of),
        }
    }
}

impl ConfigKey {
    /// In the order of their numbers.
    fn all(keys: &HmacKeys) -> Vec<Self> {
        let all = keys.others.iter().chain([&keys.active]);
        let mut all: Vec<Self> = all.map(Self::of).collect();
        all.sort_by_key(|key| key.id);
        all
    }

    const fn of(key: &HmacKey) -> Self {
        Self {
            id: key.id.get(),
            secret: HIDDEN,
        }
    }
}

impl ConfigRoute {
    fn of(route: &Route) -> Self {
        Self {
            route: route.destination,
            mask: mask(route),
            nh: route.next_hop,
            metric: route.metric,
            mtu: route.mtu,
            prefix: route.prefix,
            table: route.table,
        }
    }
}

fn vip(vip: &Vip) -> String {
    match vip.prefix {
        Some(prefix) => format!("{}/{prefix}", vip.address),
        None => vip.address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn nothing_secret_is_left_of_a_credential() {
        let of = |line: &str| user(&Secret(Zeroizing::new(line.as_bytes().to_vec())));
        assert_eq!(
            of("{{SHA256}}admin:1:salt:hash:more"),
            "{{SHA256}}admin:1:***"
        );
        assert_eq!(of("secret"), "***");
    }
}
