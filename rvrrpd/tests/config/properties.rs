//! Properties: no text makes the parser panic, and what a configuration says is what comes out.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use rvrrpd::config::model::{
    Auth, ChecksumPolicy, Config, FilterType, Global, InterfaceType, LogFormat, LogTarget,
    NetworkDriver, Protocol, Route, Secret, TimeFormat, TimeZone, Unicast, Vip, VirtualRouter,
};
use rvrrpd::config::{Format, load, parse};
use rvrrpd::wire::auth::{HmacKey, HmacKeys};
use rvrrpd::wire::{Family, Vrid};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::files::Directory;
use crate::text::{FORMATS, Pairs, accepted, one_table, vrouters};

const INTERFACES: [&str; 4] = ["eth0", "eth1", "br-lan", "ens192.900"];

/// A valid configuration of macvlans, every key of it given.
pub(crate) fn config() -> impl Strategy<Value = Config> {
    let routers = btree_map((0..INTERFACES.len(), 1..=255_u8), router(), 0..12);
    (global(), routers, routes(false)).prop_map(|(global, routers, static_routes)| {
        let vrouters = routers
            .into_iter()
            .map(|((interface, group), mut router)| {
                router.interface = INTERFACES[interface].to_owned();
                router.vrid = Vrid::new(group).unwrap();
                router.name = format!("{}_{group}", router.interface);
                router.vifname = format!("v{interface}x{group}");
                for (at, vip) in router.vips.iter_mut().enumerate() {
                    let at = u8::try_from(at).unwrap();
                    vip.address = Ipv4Addr::new(10, 0, group, at).into();
                }
                Arc::new(router)
            })
            .collect();
        Config {
            global,
            vrouters,
            static_routes,
            api: None,
        }
    })
}

fn global() -> impl Strategy<Value = Global> {
    (
        0..=5_u8,
        prop_oneof![Just(TimeZone::Local), Just(TimeZone::Utc)],
        prop_oneof![
            Just(TimeFormat::Disabled),
            Just(TimeFormat::Short),
            Just(TimeFormat::Rfc2822),
            Just(TimeFormat::Rfc3339)
        ],
        prop_oneof![Just(LogFormat::Text), Just(LogFormat::Json)],
        prop_oneof![
            Just(LogTarget::File),
            Just(LogTarget::Journald),
            Just(LogTarget::Syslog)
        ],
        "/[ -~]{1,20}",
        option::of("/[a-zü\"\\\\]{1,20}"),
        option::of(1..=64_u8),
        any::<bool>(),
    )
        .prop_map(
            |(
                debug,
                time_zone,
                time_format,
                log_format,
                log_target,
                path,
                other,
                workers,
                realtime,
            )| {
                Global {
                    debug,
                    time_zone,
                    time_format,
                    log_format,
                    log_target,
                    pid: path.clone().into(),
                    working_dir: path.clone().into(),
                    run_dir: other.clone().map(Into::into),
                    main_log: path.into(),
                    error_log: other.map(Into::into),
                    workers,
                    realtime,
                }
            },
        )
}

/// A router; what must be unique is filled in by [`config`].
fn router() -> impl Strategy<Value = VirtualRouter> {
    let identity = (vec(option::of(1..=32_u8), 1..5), protocol_and_auth());
    let election = (
        option::of(any::<[u8; 3]>()),
        1..=254_u8,
        any::<[bool; 8]>(),
        0..=3_600_000_u64,
        0..=3_600_000_u64,
    );
    let form = (
        prop_oneof![
            Just(ChecksumPolicy::Auto),
            Just(ChecksumPolicy::Rfc9568),
            Just(ChecksumPolicy::PseudoHeader)
        ],
        prop_oneof![
            Just(FilterType::Auto),
            Just(FilterType::Ebpf),
            Just(FilterType::Classic)
        ],
        routes(true),
        unicast(),
        option::of("[a-z][a-zA-Z0-9+._-]{0,44}"),
    );
    (identity, election, form).prop_map(
        |(
            (prefixes, (protocol, interval, auth)),
            (primary, priority, flags, preempt_delay, startup_delay),
            (v3_checksum, socket_filter_type, routes, unicast, netns),
        )| {
            let [
                preemption,
                accept_mode,
                rfc3768,
                check,
                socket_filter,
                enabled,
                socket_filter_absorb,
                nonlocal_bind,
            ] = flags;
            let proprietary = matches!(auth, Auth::P0Sha256(_) | Auth::P1Shake256(_));
            VirtualRouter {
                name: String::new(),
                vrid: Vrid::new(1).unwrap(),
                netns,
                interface: String::new(),
                family: Family::V4,
                protocol,
                vips: prefixes
                    .into_iter()
                    .map(|prefix| Vip {
                        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                        prefix,
                    })
                    .collect(),
                primary: primary.map(|[a, b, c]| Ipv4Addr::new(172, a, b, c).into()),
                unicast,
                priority,
                preemption,
                preempt_delay: Duration::from_millis(preempt_delay),
                startup_delay: Duration::from_millis(startup_delay),
                accept_mode,
                auth,
                interval,
                rfc3768: rfc3768 || proprietary,
                v3_checksum,
                address_list_check: check,
                netdrv: NetworkDriver::Netlink,
                iftype: InterfaceType::Macvlan,
                virtual_mac: true,
                vifname: String::new(),
                socket_filter,
                socket_filter_type,
                socket_filter_absorb,
                nonlocal_bind,
                enabled,
                routes,
                router_advertisement: None,
            }
        },
    )
}

/// Peers in a network of their own.
fn unicast() -> impl Strategy<Value = Option<Unicast>> {
    let address = |[a, b, c]: [u8; 3]| IpAddr::from(Ipv4Addr::new(11, a, b, c));
    let peers = btree_set(any::<[u8; 3]>(), 1..=64);
    let source = option::of(any::<[u8; 3]>());
    option::of(
        (peers, source, 1..=255_u8).prop_map(move |(peers, source, min_ttl)| Unicast {
            peers: peers.into_iter().map(address).collect(),
            source: source.map(|[a, b, c]| Ipv4Addr::new(12, a, b, c).into()),
            min_ttl,
        }),
    )
}

fn protocol_and_auth() -> impl Strategy<Value = (Protocol, Duration, Auth)> {
    let secret = |text: String| Secret(Zeroizing::new(text.into_bytes()));
    let auth = prop_oneof![
        Just(Auth::None),
        "[ -~]{1,8}".prop_map(move |text| Auth::Simple(secret(text))),
        "\\PC{1,40}".prop_map(move |text| Auth::P0Sha256(secret(text))),
        "\\PC{1,40}".prop_map(move |text| Auth::P1Shake256(secret(text))),
        "[ -~]{1,8}".prop_map(move |text| Auth::Ah(secret(text))),
        hmac(),
    ];
    prop_oneof![
        (1..=255_u64, auth).prop_map(|(seconds, auth)| (
            Protocol::V2,
            Duration::from_secs(seconds),
            auth
        )),
        (1..=4095_u64, prop_oneof![Just(Auth::None), hmac()]).prop_map(|(step, auth)| (
            Protocol::V3,
            Duration::from_millis(step * 10),
            auth
        )),
        (1..=40_u64, prop_oneof![Just(Auth::None), hmac()]).prop_map(|(seconds, auth)| (
            Protocol::Both,
            Duration::from_secs(seconds),
            auth
        )),
    ]
}

/// Keys of the lengths that cause no warning; the others in the order of their ids.
fn hmac() -> impl Strategy<Value = Auth> {
    let keys = btree_map(1..=255_u8, vec(any::<u8>(), 32..=64), 1..5);
    (keys, any::<prop::sample::Index>(), 1..=300_u64).prop_map(|(keys, active, skew)| {
        let mut keys: Vec<HmacKey> = keys
            .into_iter()
            .filter_map(|(id, secret)| {
                let id = NonZeroU8::new(id)?;
                let secret = Zeroizing::new(secret);
                Some(HmacKey { id, secret })
            })
            .collect();
        Auth::HmacSha256(HmacKeys {
            active: keys.remove(active.index(keys.len())),
            others: keys,
            clock_skew: Duration::from_secs(skew),
        })
    })
}

fn routes(with_table: bool) -> impl Strategy<Value = Vec<Route>> {
    let mtu = prop_oneof![Just(0), 68..=65_535_u32];
    let route = (
        any::<u32>(),
        0..=32_u8,
        any::<[u8; 3]>(),
        any::<u32>(),
        mtu,
        1..=u32::MAX,
    );
    vec(route, 0..4).prop_map(move |routes| {
        let mut seen = BTreeSet::new();
        routes
            .into_iter()
            .map(|(bits, prefix, [a, b, c], metric, mtu, table)| {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Route {
                    destination: Ipv4Addr::from_bits(bits & mask).into(),
                    prefix,
                    next_hop: Ipv4Addr::new(10, a, b, c).into(),
                    metric,
                    mtu,
                    table: if with_table { table } else { 254 },
                }
            })
            .filter(|route| {
                seen.insert((route.destination, route.prefix, route.metric, route.table))
            })
            .collect()
    })
}

/// The name of a value in the file, from its name in the model.
fn word(value: &impl std::fmt::Debug) -> Value {
    format!("{value:?}").to_lowercase().into()
}

/// A time as an operator writes it: the number nearest to its decimal digits.
fn seconds(time: Duration) -> Value {
    let thousandths = u32::try_from(time.as_millis()).unwrap();
    json!(f64::from(thousandths) / 1000.0)
}

fn global_pairs(global: &Global) -> Pairs {
    let mut pairs = vec![
        ("debug", json!(global.debug)),
        ("time_zone", word(&global.time_zone)),
        ("time_format", word(&global.time_format)),
        ("log_format", word(&global.log_format)),
        ("log_target", word(&global.log_target)),
        ("pid", json!(global.pid)),
        ("working_dir", json!(global.working_dir)),
        ("main_log", json!(global.main_log)),
        ("realtime", json!(global.realtime)),
    ];
    for (key, path) in [
        ("run_dir", &global.run_dir),
        ("error_log", &global.error_log),
    ] {
        if let Some(path) = path {
            pairs.push((key, json!(path)));
        }
    }
    if let Some(workers) = global.workers {
        pairs.push(("workers", json!(workers)));
    }
    named(pairs)
}

fn router_pairs(router: &VirtualRouter) -> Pairs {
    let vips: Vec<String> = router
        .vips
        .iter()
        .map(|vip| match vip.prefix {
            Some(prefix) => format!("{}/{prefix}", vip.address),
            None => vip.address.to_string(),
        })
        .collect();
    let version = match router.protocol {
        Protocol::V2 => json!(2),
        Protocol::V3 => json!(3),
        Protocol::Both => json!("2+3"),
    };
    let checksum = match router.v3_checksum {
        ChecksumPolicy::PseudoHeader => json!("pseudo-header"),
        other => word(&other),
    };
    let mut pairs = vec![
        ("group", json!(router.vrid.number())),
        ("interface", json!(router.interface)),
        ("name", json!(router.name)),
        (
            "vip",
            if vips.len() == 1 {
                json!(vips[0])
            } else {
                json!(vips)
            },
        ),
        ("version", json!(version)),
        ("priority", json!(router.priority)),
        ("preemption", json!(router.preemption)),
        ("preempt_delay", seconds(router.preempt_delay)),
        ("startup_delay", seconds(router.startup_delay)),
        ("accept_mode", json!(router.accept_mode)),
        ("timers", json!({"advert": seconds(router.interval)})),
        ("rfc3768", json!(router.rfc3768)),
        ("v3_checksum", checksum),
        (
            "address_list_check",
            json!(if router.address_list_check {
                "rfc"
            } else {
                "off"
            }),
        ),
        ("netdrv", json!("libnl")),
        ("iftype", word(&router.iftype)),
        ("virtual_mac", json!(true)),
        ("vifname", json!(router.vifname)),
        ("socket_filter", json!(router.socket_filter)),
        ("socket_filter_absorb", json!(router.socket_filter_absorb)),
        ("socket_filter_type", word(&router.socket_filter_type)),
        ("nonlocal_bind", json!(router.nonlocal_bind)),
        ("enabled", json!(router.enabled)),
        (
            "routes",
            router
                .routes
                .iter()
                .map(|route| route_value(route, true))
                .collect(),
        ),
    ];
    if let Some(netns) = &router.netns {
        pairs.push(("netns", json!(netns)));
    }
    if let Some(unicast) = &router.unicast {
        pairs.push(("unicast_peers", json!(unicast.peers)));
        pairs.push(("unicast_min_ttl", json!(unicast.min_ttl)));
        if let Some(source) = unicast.source {
            pairs.push(("unicast_src", json!(source)));
        }
    }
    if let Some(primary) = router.primary {
        pairs.push(("primary", json!(primary)));
    }
    let auth = match &router.auth {
        Auth::None | Auth::HmacSha256(_) => None,
        Auth::Ah(secret) => Some(("rfc2338-ah", secret)),
        Auth::Simple(secret) => Some(("rfc2338-simple", secret)),
        Auth::P0Sha256(secret) => Some(("p0-t8-sha256", secret)),
        Auth::P1Shake256(secret) => Some(("p1-t8-shake256", secret)),
    };
    if let Auth::HmacSha256(keys) = &router.auth {
        let key = |key: &HmacKey| {
            let digits: String = key
                .secret
                .iter()
                .map(|byte| format!("{byte:02X}"))
                .collect();
            json!({"id": key.id, "hex": digits})
        };
        let all: Vec<Value> = core::iter::once(&keys.active)
            .chain(&keys.others)
            .map(key)
            .collect();
        pairs.push(("auth_type", json!("hmac-sha256")));
        pairs.push(("auth_keys", json!(all)));
        pairs.push(("auth_active_key", json!(keys.active.id)));
        pairs.push(("auth_clock_skew", json!(keys.clock_skew.as_secs())));
    }
    if let Some((kind, secret)) = auth {
        pairs.push(("auth_type", json!(kind)));
        pairs.push(("auth_secret", json!(str::from_utf8(&secret.0).unwrap())));
    }
    named(pairs)
}

fn route_value(route: &Route, with_table: bool) -> Value {
    let mut map = Map::new();
    map.insert(
        "route".into(),
        json!(format!("{}/{}", route.destination, route.prefix)),
    );
    map.insert("nh".into(), json!(route.next_hop));
    map.insert("metric".into(), json!(route.metric));
    map.insert("mtu".into(), json!(route.mtu));
    if with_table {
        map.insert("table".into(), json!(route.table));
    }
    map.into()
}

fn named(pairs: Vec<(&str, Value)>) -> Pairs {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// The whole configuration as text.
fn written(config: &Config, format: Format) -> String {
    let routers: Vec<Pairs> = config
        .vrouters
        .iter()
        .map(|one| router_pairs(one))
        .collect();
    let routes: Value = config
        .static_routes
        .iter()
        .map(|route| route_value(route, false))
        .collect();
    let protocols = named(vec![("static", routes)]);
    match format {
        Format::Toml => {
            one_table(format, "", &global_pairs(&config.global))
                + &vrouters(format, &routers)
                + &one_table(format, "protocols", &protocols)
        }
        Format::Json => {
            let map = |pairs: Pairs| pairs.into_iter().collect::<Map<_, _>>();
            let mut top = map(global_pairs(&config.global));
            top.insert("vrouter".into(), routers.into_iter().map(map).collect());
            top.insert("protocols".into(), map(protocols).into());
            format!("{:#}", Value::Object(top))
        }
    }
}

/// Text that looks a little like a configuration, so that more than its first byte is read.
fn configuration_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "[[vrouter]]\n", "[api]\n", "[protocols]\n", "[[protocols.static]]\n", "group = ",
            "interface = ", "vip = ", "timers = ", "timers.advert = ", "advert", "routes = ", "route = ",
            "prefix = ", "mask = ", "nh = ", "priority = ", "host = ", "users = ", "auth_type = ",
            "auth_secret = ", "auth_keys = ", "router_advertisement = ", "prefixes = ", "\"fe80::1\"", "\"2001:db8::/64\"", "hex = ", "\"hmac-sha256\"", "\"eth0\"", "\"192.0.2.1\"", "\"192.0.2.1/24\"", "\"::1/129\"",
            "\"255.0.255.0\"", "\n", " ", ",", "=", ":", "{", "}", "[", "]", "\"", "1", "-1", "0.5",
            "1e999", "nan", "inf", "true", "null", "99999999999999999999999999999999999999999",
            "\"vrouter\"", "\"group\"", "\"static\"", "\"protocols\"", "\\u0000", "\u{feff}", "#",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_a_configuration_says_comes_out(config in config()) {
        for format in FORMATS {
            let loaded = accepted(&written(&config, format), format);
            prop_assert_eq!(&loaded.config, &config);
            // MIX-1: one, however many there are.
            let is_mixed = |router: &Arc<VirtualRouter>| router.protocol == Protocol::Both;
            let mixed = usize::from(config.vrouters.iter().any(is_mixed));
            let is_deaf = |router: &&Arc<VirtualRouter>| router.nonlocal_bind && !router.accept_mode;
            let deaf = config.vrouters.iter().filter(is_deaf).count();
            prop_assert_eq!(loaded.warnings.len(), mixed + deaf);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_the_parser_panic(text in configuration_like()) {
        for format in FORMATS {
            if let Err(errors) = parse(&text, "f", format) {
                prop_assert!(!errors.errors.is_empty());
                for error in &errors.errors {
                    prop_assert!(!error.to_string().contains('\n'), "{:?}", error);
                }
            }
        }
    }

    #[test]
    fn no_value_makes_the_parser_panic(
        key in prop::sample::select(rvrrpd::config::schema::VROUTER.keys.iter().map(|key| key.name).collect::<Vec<_>>()),
        value in prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|n| format!("{n:?}").to_lowercase().replace("inf", "1e999").replace("nan", "0.1")),
            "\\PC{0,20}".prop_map(|text| Value::from(text).to_string()),
            "[0-9a-f:./]{0,20}".prop_map(|text| Value::from(text).to_string()),
        ],
    ) {
        let json = format!("{{\"vrouter\": [{{\"group\": 1, \"interface\": \"e\", \"{key}\": {value}}}]}}");
        for error in parse(&json, "f", Format::Json).err().into_iter().flat_map(|errors| errors.errors) {
            prop_assert!(!error.to_string().contains('\n'), "{:?}", error);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in vec(any::<u8>(), 0..400)) {
        let directory = Directory::new();
        let path = directory.file("f", &bytes, 0o600);
        for format in FORMATS {
            if let Err(errors) = load(&path, format) {
                prop_assert!(!errors.errors.is_empty());
            }
        }
    }
}
