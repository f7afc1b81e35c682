//! `/yang/ietf-vrrp`: the state in the model of RFC 8347, as JSON by RFC 7951.
//!
//! The model knows one network namespace: interfaces of others are called `NAMESPACE/INTERFACE`. Of
//! a virtual router that speaks both versions it can name one, which is 3.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::routes::App;
use super::run::used_interfaces;
use super::{Published, Snapshot};
use crate::config::model::{Protocol, Site};
use crate::fsm::{Reason, State as VrrpState};
use crate::stats::Status;
use crate::wire::verdict::Reject;
use crate::wire::{Family, PRIORITY_OWNER};

/// Priority that the model has for the owner, which is none by its priority (Y-2).
const LARGEST_PRIORITY: u8 = 254;
/// Longest interval in seconds that the model has; on the wire there is one more.
const LONGEST_INTERVAL: u64 = 254;

/// The state in the model of RFC 8347
#[utoipa::path(
    get, path = "/yang/ietf-vrrp", tag = "run",
    responses(
        (status = 200, description = "JSON by RFC 7951", body = Object),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn vrrp(State(app): State<Arc<App>>) -> Json<Value> {
    Json(model(&app.snapshot()))
}

/// All of it.
fn model(snapshot: &Snapshot) -> Value {
    let mut interfaces: BTreeMap<Site, [Vec<&Published>; 2]> = BTreeMap::new();
    for router in &snapshot.routers {
        let [v4, v6] = interfaces.entry(router.config.site()).or_default();
        match router.config.family {
            Family::V4 => v4.push(router),
            Family::V6 => v6.push(router),
        }
    }
    let used = used_interfaces(snapshot);
    let started = snapshot.gauges.started;
    let interfaces: Vec<Value> = interfaces
        .iter()
        .map(|(site, families)| interface(site, families, started))
        .collect();
    let refused = snapshot.refused();
    let errors = |reject| counter64(refused.of(reject).value());
    json!({
        "ietf-interfaces:interfaces": { "interface": interfaces },
        "ietf-vrrp:vrrp": {
            "virtual-routers": snapshot.routers.len(),
            "interfaces": used,
            "statistics": {
                "discontinuity-datetime": datetime(snapshot.global.discontinuity),
                "checksum-errors": errors(Reject::Checksum),
                "version-errors": errors(Reject::Version),
                "vrid-errors": errors(Reject::Vrid),
                "ip-ttl-errors": errors(Reject::Ttl),
            },
        },
    })
}

fn interface(site: &Site, [v4, v6]: &[Vec<&Published>; 2], started: SystemTime) -> Value {
    let name = match &site.netns {
        Some(netns) => format!("{netns}/{}", site.interface),
        None => site.interface.clone(),
    };
    let mut all = Map::new();
    all.insert("name".to_owned(), name.into());
    // Virtual routers run on Ethernet alone.
    let kind = "iana-if-type:ethernetCsmacd";
    all.insert("type".to_owned(), kind.into());
    let status = oper_status(v4.iter().chain(v6));
    all.insert("oper-status".to_owned(), status.into());
    // The counters of the interface itself are not ours, and are left out.
    let statistics = json!({ "discontinuity-time": datetime(started) });
    all.insert("statistics".to_owned(), statistics);
    for (family, routers) in [("ietf-ip:ipv4", v4), ("ietf-ip:ipv6", v6)] {
        if !routers.is_empty() {
            let instances: Vec<Value> = routers.iter().map(|router| instance(router)).collect();
            let vrrp = json!({ "ietf-vrrp:vrrp": { "vrrp-instance": instances } });
            all.insert(family.to_owned(), vrrp);
        }
    }
    Value::Object(all)
}

/// `oper-status` (RFC 8343), which is mandatory, as far as the virtual routers know it.
fn oper_status<'a>(mut routers: impl Iterator<Item = &'a &'a Published> + Clone) -> &'static str {
    let any = |reason| {
        let mut routers = routers.clone();
        routers.any(|router| router.status.reasons().contains(reason))
    };
    if any(Reason::NoNamespace) || any(Reason::NoInterface) {
        "not-present"
    } else if any(Reason::InterfaceDown) || any(Reason::NoCarrier) {
        "down"
    } else if routers.any(|router| router.status.state() != VrrpState::Init) {
        "up"
    } else {
        "unknown"
    }
}

fn instance(router: &Published) -> Value {
    let (config, status) = (&router.config, &*router.status);
    let is_v2 = config.protocol == Protocol::V2;
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("vrid", config.vrid.number().into());
    let version = if is_v2 { "vrrp-v2" } else { "vrrp-v3" };
    put("version", identity(version));
    put(
        "preempt",
        json!({ "enabled": config.preemption, "hold-time": config.preempt_delay.as_secs() }),
    );
    put("priority", config.priority.min(LARGEST_PRIORITY).into());
    if is_v2 {
        let seconds = config.interval.as_secs().min(LONGEST_INTERVAL);
        put("advertise-interval-sec", seconds.into());
    } else {
        put("accept-mode", config.accept_mode.into());
        put(
            "advertise-interval-centi-sec",
            whole(config.interval.as_millis() / 10),
        );
    }
    let (list, item, key) = match config.family {
        Family::V4 => (
            "virtual-ipv4-addresses",
            "virtual-ipv4-address",
            "ipv4-address",
        ),
        Family::V6 => (
            "virtual-ipv6-addresses",
            "virtual-ipv6-address",
            "ipv6-address",
        ),
    };
    let addresses = config.vips.iter();
    let addresses: Vec<Value> = addresses.map(|vip| json!({ key: vip.address })).collect();
    put(list, json!({ item: addresses }));
    put(
        "state",
        identity(match status.state() {
            VrrpState::Init => "initialize",
            VrrpState::Backup => "backup",
            VrrpState::Master => "master",
        }),
    );
    put("is-owner", (status.priority() == PRIORITY_OWNER).into());
    if let Some(source) = status.last_adv_source() {
        put("last-adv-source", source.to_string().into());
    }
    if let Some(up) = status.up() {
        put("up-datetime", datetime(up).into());
    }
    put(
        "master-down-interval",
        whole(status.master_down_interval().as_millis() / 10),
    );
    put("skew-time", whole(status.skew_time().as_micros()));
    let event = format!("vrrp-event-{}", status.last_event());
    put("last-event", identity(&event));
    put(
        "new-master-reason",
        status.new_master_reason().name().into(),
    );
    put("statistics", statistics(status));
    Value::Object(all)
}

fn statistics(status: &Status) -> Value {
    let refused = status.refused();
    json!({
        "discontinuity-datetime": datetime(status.discontinuity),
        // A counter32: it begins anew at 2^32.
        "master-transitions": status.master_transitions.value() & u64::from(u32::MAX),
        "advertisement-rcvd": counter64(status.advertisements_received()),
        "advertisement-sent": counter64(status.advertisement_sent.value()),
        "interval-errors": counter64(status.interval_errors()),
        "priority-zero-pkts-rcvd": counter64(status.priority_zero_pkts_rcvd.value()),
        "priority-zero-pkts-sent": counter64(status.priority_zero_pkts_sent.value()),
        "invalid-type-pkts-rcvd": counter64(refused.of(Reject::Type).value()),
        "address-list-errors": counter64(status.address_list_errors()),
        "packet-length-errors": counter64(refused.sum(&Reject::PACKET_LENGTH)),
    })
}

/// RFC 7951 §6.8: the module stands before the name.
fn identity(name: &str) -> Value {
    format!("ietf-vrrp:{name}").into()
}

/// RFC 7951 §6.1: 64 bits are a string.
fn counter64(value: u64) -> Value {
    value.to_string().into()
}

/// RFC 7951 §6.1: up to 32 bits are a number.
fn whole(value: u128) -> Value {
    u32::try_from(value).unwrap_or(u32::MAX).into()
}

/// `date-and-time` of RFC 6991.
fn datetime(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::IpAddr;
    use std::path::PathBuf;

    use super::*;
    use crate::api::{AtWork, Bound, Gauges};
    use crate::config::{Format, parse};
    use crate::driver::Choice;
    use crate::fsm::{Advert, Cause, NewMasterReason, Reasons, Time, Transition};
    use crate::wire::Mac;

    /// Types of leaves.
    #[derive(Clone, Copy, Debug)]
    enum Leaf {
        /// Up to 32 bits, with the range.
        Number(u64, u64),
        Counter64,
        Boolean,
        Text,
        DateTime,
        Address,
        /// Identities of ietf-vrrp.
        Identity(&'static [&'static str]),
        Enumeration(&'static [&'static str]),
    }
    use Leaf::{Address, Boolean, Counter64, DateTime, Enumeration, Identity, Number, Text};

    const UINT32: Leaf = Number(0, u32::MAX as u64);

    /// The leaves of an instance (RFC 8347 §3), both families.
    const INSTANCE: &[(&str, Leaf)] = &[
        ("vrid", Number(1, 255)),
        ("version", Identity(&["vrrp-v2", "vrrp-v3"])),
        ("log-state-change", Boolean),
        ("preempt/enabled", Boolean),
        ("preempt/hold-time", Number(0, 65_535)),
        ("priority", Number(1, 254)),
        ("accept-mode", Boolean),
        ("advertise-interval-sec", Number(1, 254)),
        ("advertise-interval-centi-sec", Number(1, 4095)),
        ("state", Identity(&["initialize", "backup", "master"])),
        ("is-owner", Boolean),
        ("last-adv-source", Address),
        ("up-datetime", DateTime),
        ("master-down-interval", UINT32),
        ("skew-time", UINT32),
        ("last-event", Identity(EVENTS)),
        (
            "new-master-reason",
            Enumeration(&["not-master", "priority", "preempted", "no-response"]),
        ),
        ("statistics/discontinuity-datetime", DateTime),
        ("statistics/master-transitions", UINT32),
        ("statistics/advertisement-rcvd", Counter64),
        ("statistics/advertisement-sent", Counter64),
        ("statistics/interval-errors", Counter64),
        ("statistics/priority-zero-pkts-rcvd", Counter64),
        ("statistics/priority-zero-pkts-sent", Counter64),
        ("statistics/invalid-type-pkts-rcvd", Counter64),
        ("statistics/address-list-errors", Counter64),
        ("statistics/packet-length-errors", Counter64),
    ];
    const EVENTS: &[&str] = &[
        "vrrp-event-none",
        "vrrp-event-startup",
        "vrrp-event-shutdown",
        "vrrp-event-higher-priority-backup",
        "vrrp-event-master-timeout",
        "vrrp-event-interface-up",
        "vrrp-event-interface-down",
        "vrrp-event-no-primary-ip-address",
        "vrrp-event-primary-ip-address",
        "vrrp-event-no-virtual-ip-addresses",
        "vrrp-event-virtual-ip-addresses",
        "vrrp-event-preempt-hold-timeout",
        "vrrp-event-lower-priority-master",
        "vrrp-event-owner-preempt",
    ];
    const GLOBAL: &[(&str, Leaf)] = &[
        ("virtual-routers", UINT32),
        ("interfaces", UINT32),
        ("statistics/discontinuity-datetime", DateTime),
        ("statistics/checksum-errors", Counter64),
        ("statistics/version-errors", Counter64),
        ("statistics/vrid-errors", Counter64),
        ("statistics/ip-ttl-errors", Counter64),
    ];

    /// All leaves of the module, by path; `#` is any entry of a list.
    fn module() -> Vec<(String, Leaf)> {
        let interface = "ietf-interfaces:interfaces/interface/#";
        let mut all = vec![
            (format!("{interface}/name"), Text),
            (format!("{interface}/type"), Text),
            (
                format!("{interface}/oper-status"),
                Enumeration(&["up", "down", "unknown", "not-present"]),
            ),
            (
                format!("{interface}/statistics/discontinuity-time"),
                DateTime,
            ),
        ];
        for number in ["4", "6"] {
            let instance =
                format!("{interface}/ietf-ip:ipv{number}/ietf-vrrp:vrrp/vrrp-instance/#");
            let leaves = INSTANCE.iter();
            all.extend(leaves.map(|(name, leaf)| (format!("{instance}/{name}"), *leaf)));
            let address = format!(
                "virtual-ipv{number}-addresses/virtual-ipv{number}-address/#/ipv{number}-address"
            );
            all.push((format!("{instance}/{address}"), Address));
        }
        let global = GLOBAL.iter();
        all.extend(global.map(|(name, leaf)| (format!("ietf-vrrp:vrrp/{name}"), *leaf)));
        all
    }

    fn leaves(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        let below = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}/{name}")
            }
        };
        match value {
            Value::Object(all) => {
                for (name, value) in all {
                    leaves(value, &below(name), found);
                }
            }
            Value::Array(all) => {
                for value in all {
                    leaves(value, &below("#"), found);
                }
            }
            leaf => found.push((path.to_owned(), leaf.clone())),
        }
    }

    fn is(value: &Value, leaf: Leaf) -> bool {
        let text = value.as_str();
        match leaf {
            Number(least, most) => value
                .as_u64()
                .is_some_and(|number| (least..=most).contains(&number)),
            Counter64 => text.is_some_and(|text| text.parse::<u64>().is_ok()),
            Boolean => value.is_boolean(),
            Text => text.is_some_and(|text| !text.is_empty()),
            DateTime => text.is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
            Address => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            Identity(names) => text
                .and_then(|text| text.strip_prefix("ietf-vrrp:"))
                .is_some_and(|text| names.contains(&text)),
            Enumeration(names) => text.is_some_and(|text| names.contains(&text)),
        }
    }

    const TEXT: &str = "
[[vrouter]]
group = 1
interface = \"eth0\"
iftype = \"macvlan\"
vip = [\"10.0.0.1\", \"10.0.0.2\"]
timers = { advert = 3 }
[[vrouter]]
group = 1
interface = \"eth0\"
iftype = \"macvlan\"
vip = \"fe80::1\"
timers = { advert = 0.25 }
accept_mode = false
[[vrouter]]
group = 2
interface = \"eth1\"
netns = \"blue\"
version = \"2+3\"
vip = \"10.0.1.1\"
";

    pub(in crate::api) fn snapshot() -> Snapshot {
        let config = parse(TEXT, "test", Format::Toml).unwrap().config;
        let routers = config.vrouters.iter().map(|router| {
            Arc::new(Published {
                config: Arc::clone(router),
                status: Arc::default(),
                bound: Some(Bound {
                    source: "10.0.0.9".parse().unwrap(),
                    mac: Mac::of_virtual_router(router.family, router.vrid),
                }),
                choice: Choice::default(),
                at_work: AtWork::default(),
            })
        });
        Snapshot {
            routers: routers.collect(),
            config: Arc::new(config),
            global: Arc::default(),
            filter: None,
            gates: Vec::new(),
            gauges: Arc::new(Gauges {
                started: SystemTime::now(),
                performance: Arc::default(),
                workers: Vec::new(),
                driver: crossbeam_channel::unbounded().0,
                conf: PathBuf::new(),
                run_dir: PathBuf::new(),
            }),
            reloads: 0,
        }
    }

    #[track_caller]
    fn validate(model: &Value) {
        let (module, mut found) = (module(), Vec::new());
        leaves(model, "", &mut found);
        assert!(!found.is_empty());
        for (path, value) in found {
            let known = module.iter().find(|(name, _)| *name == path);
            let Some((_, leaf)) = known else {
                panic!("{path} is not in the module");
            };
            assert!(is(&value, *leaf), "{path}: {value} is no {leaf:?}");
        }
    }

    #[test]
    fn all_is_in_the_module_and_of_its_type() {
        let snapshot = snapshot();
        validate(&model(&snapshot));
        let status = &snapshot.routers[0].status;
        status.heard(&Advert {
            priority: 120,
            source: "10.0.0.8".parse().unwrap(),
            interval: core::time::Duration::from_secs(3),
            received: Time::from_micros(7),
        });
        for (to, cause) in [
            (VrrpState::Backup, Cause::InterfaceUp),
            (VrrpState::Master, Cause::MasterResigned),
            (VrrpState::Backup, Cause::HigherPriorityMaster),
            (VrrpState::Master, Cause::PreemptHoldTimeout),
        ] {
            let from = status.state();
            status.transition(
                Transition { from, to, cause },
                Reasons::NONE,
                Time::from_micros(8),
            );
            validate(&model(&snapshot));
        }
        status.publish(Reasons::from(Reason::NoCarrier), PRIORITY_OWNER);
        let model = model(&snapshot);
        validate(&model);
        let interfaces = &model["ietf-interfaces:interfaces"]["interface"];
        let v4 = &interfaces[0]["ietf-ip:ipv4"]["ietf-vrrp:vrrp"]["vrrp-instance"][0];
        assert_eq!(v4["vrid"], 1);
        assert_eq!(v4["advertise-interval-sec"], 3);
        assert_eq!(v4["accept-mode"], Value::Null);
        assert_eq!(v4["is-owner"], true);
        assert_eq!(
            v4["last-event"],
            "ietf-vrrp:vrrp-event-preempt-hold-timeout"
        );
        assert_eq!(v4["new-master-reason"], NewMasterReason::Preempted.name());
        assert_eq!(v4["statistics"]["master-transitions"], 2);
        assert_eq!(v4["last-adv-source"], "10.0.0.8");
        let addresses = &v4["virtual-ipv4-addresses"]["virtual-ipv4-address"];
        assert_eq!(addresses[1], json!({"ipv4-address": "10.0.0.2"}));
        let v6 = &interfaces[0]["ietf-ip:ipv6"]["ietf-vrrp:vrrp"]["vrrp-instance"][0];
        assert_eq!(v6["advertise-interval-centi-sec"], 25);
        assert_eq!(v6["accept-mode"], false);
        assert_eq!(v6["version"], "ietf-vrrp:vrrp-v3");
        assert_eq!(interfaces[1]["name"], "blue/eth1");
        assert_eq!(model["ietf-vrrp:vrrp"]["interfaces"], 2);
    }

    /// Each key of a list is there (RFC 7950 §7.8.2).
    #[test]
    fn keys_are_there() {
        let model = model(&snapshot());
        let mut found = Vec::new();
        leaves(&model, "", &mut found);
        let count = |end: &str| found.iter().filter(|(path, _)| path.ends_with(end)).count();
        assert_eq!(count("vrrp-instance/#/vrid"), 3);
        assert_eq!(count("interface/#/name"), 2);
        assert_eq!(count("interface/#/type"), 2);
        assert_eq!(count("-address"), 4);
    }
}
