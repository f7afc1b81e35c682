//! Every key of the schema: type, range, required, twice, unknown, not supported yet.

use rvrrpd::config::schema::{self, Support, Table};
use rvrrpd::config::{Format, parse};
use serde_json::{Value, json};

use crate::text::{FORMATS, Pairs, accepted, one_table, only_error, pairs, router, value_of};

/// A table of the schema as it is tested: where it stands, and what it needs beside the key.
struct Place {
    schema: &'static Table,
    /// Table with a header that it stands in.
    header: &'static str,
    /// Key of that table that holds it, and the key of that one behind a dot; empty when it has a
    /// header itself.
    inside: &'static str,
    /// Whether `inside` is an array.
    array: bool,
    /// What the virtual router around it needs.
    beside: &'static [(&'static str, &'static str)],
    /// What makes the table complete.
    base: &'static [(&'static str, &'static str)],
    /// Prefix of its keys in diagnostics.
    prefix: &'static str,
}

const VROUTER_BASE: &[(&str, &str)] = &[
    ("group", "1"),
    ("interface", "\"eth0\""),
    ("vip", "\"192.0.2.1\""),
];
const ROUTE_BASE: &[(&str, &str)] = &[("route", "\"198.51.100.0/24\""), ("nh", "\"192.0.2.9\"")];

const PLACES: &[Place] = &[
    Place {
        schema: &schema::TOP,
        header: "",
        inside: "",
        array: false,
        beside: &[],
        base: &[],
        prefix: "",
    },
    Place {
        schema: &schema::VROUTER,
        header: "vrouter",
        inside: "",
        array: false,
        beside: &[],
        base: VROUTER_BASE,
        prefix: "",
    },
    Place {
        schema: &schema::TIMERS,
        header: "vrouter",
        inside: "timers",
        array: false,
        beside: &[],
        base: &[],
        prefix: "timers.",
    },
    Place {
        schema: &schema::AUTH_KEYS,
        header: "vrouter",
        inside: "auth_keys",
        array: true,
        beside: &[("auth_type", "\"hmac-sha256\"")],
        base: &[
            ("id", "1"),
            ("secret", "\"0123456789abcdef0123456789abcdef\""),
        ],
        prefix: "auth_keys.",
    },
    Place {
        schema: &schema::ROUTER_ADVERTISEMENT,
        header: "vrouter",
        inside: "router_advertisement",
        array: false,
        beside: &[("vip", "\"fe80::1\"")],
        base: &[("rdnss", "\"2001:db8::53\"")],
        prefix: "router_advertisement.",
    },
    Place {
        schema: &schema::PREFIXES,
        header: "vrouter",
        inside: "router_advertisement.prefixes",
        array: true,
        beside: &[("vip", "\"fe80::1\"")],
        base: &[("prefix", "\"2001:db8::/64\"")],
        prefix: "router_advertisement.prefixes.",
    },
    Place {
        schema: &schema::ROUTES,
        header: "vrouter",
        inside: "routes",
        array: true,
        beside: &[],
        base: ROUTE_BASE,
        prefix: "routes.",
    },
    Place {
        schema: &schema::PROTOCOLS,
        header: "protocols",
        inside: "",
        array: false,
        beside: &[],
        base: &[],
        prefix: "",
    },
    Place {
        schema: &schema::STATIC,
        header: "protocols.static",
        inside: "",
        array: false,
        beside: &[],
        base: ROUTE_BASE,
        prefix: "",
    },
    Place {
        schema: &schema::API,
        header: "api",
        inside: "",
        array: false,
        beside: &[],
        base: &[],
        prefix: "",
    },
];

impl Place {
    fn of(table: &str) -> &'static Self {
        PLACES
            .iter()
            .find(|place| place.schema.name == table)
            .unwrap_or_else(|| panic!("no table {table}"))
    }

    /// The keys of the table with a header, and the line of `key`, after `change` of the base of
    /// this table.
    fn with(&self, key: &str, change: impl Fn(&mut Pairs)) -> (Pairs, u32) {
        let mut own = pairs(self.base);
        change(&mut own);
        let key = if self.inside.is_empty() {
            key
        } else {
            let table = Value::Object(own.into_iter().collect());
            let held = if self.array {
                Value::Array(vec![table])
            } else {
                table
            };
            let (outer, held) = match self.inside.split_once('.') {
                Some((outer, inner)) => (outer, json!({ inner: held })),
                None => (self.inside, held),
            };
            own = router(self.beside);
            own.push((outer.to_owned(), held));
            outer
        };
        let line = own
            .iter()
            .position(|(name, _)| name == key)
            .map_or(1, |at| u32::try_from(at).unwrap() + 2);
        (own, line)
    }

    /// The same with `key` set to `value` behind everything else.
    fn set(&self, key: &str, value: &Value) -> (Pairs, u32) {
        self.with(key, |own| {
            own.retain(|(name, _)| name != key);
            own.push((key.to_owned(), value.clone()));
        })
    }

    /// Asserts that `key = value` gives one error at the right place.
    fn refuses(&self, key: &str, value: &str, word: &str) {
        let (pairs, line) = self.set(key, &value_of(value));
        for format in FORMATS {
            let text = one_table(format, self.header, &pairs);
            let error = only_error(&text, format);
            let place = format!("f:{line}: {}{key}: ", self.prefix);
            assert!(
                error.to_string().starts_with(&place),
                "{error}, not {place}\n{text}"
            );
            assert!(error.message.contains(word), "{error}, without {word}");
        }
    }

    fn accepts(&self, key: &str, value: &str) {
        let (pairs, _) = self.set(key, &value_of(value));
        for format in FORMATS {
            accepted(&one_table(format, self.header, &pairs), format);
        }
    }
}

#[test]
fn every_key_refuses_a_wrong_type() {
    for place in PLACES {
        for key in place.schema.keys {
            if key.support == Support::NotYet {
                continue;
            }
            let table = key.kind == "table" || key.kind.starts_with("array");
            place.refuses(
                key.name,
                if table { "7" } else { "{\"x\": 1}" },
                "allowed: ",
            );
            place.refuses(key.name, if table { "\"x\"" } else { "[[]]" }, "allowed: ");
        }
    }
}

/// Keys with a range: least and most, and the values next to them.
const RANGES: &[(&str, &str, [&str; 2], &[&str])] = &[
    (
        "",
        "debug",
        ["0", "5"],
        &["-1", "6", "99999999999999999999"],
    ),
    ("", "workers", ["1", "64"], &["0", "65"]),
    ("vrouter", "group", ["1", "255"], &["0", "256", "-1"]),
    (
        "vrouter",
        "priority",
        ["1", "254"],
        &["0", "255", "256", "-1"],
    ),
    (
        "vrouter",
        "preempt_delay",
        ["0", "3600"],
        &["-1", "-0.001", "3601", "3600.001", "1e300"],
    ),
    (
        "vrouter",
        "startup_delay",
        ["0", "3600"],
        &["-1", "-0.001", "3601", "3600.001"],
    ),
    (
        "vrouter",
        "auth_active_key",
        ["1", "255"],
        &["0", "256", "-1"],
    ),
    (
        "vrouter",
        "auth_clock_skew",
        ["1", "300"],
        &["0", "301", "0.5"],
    ),
    ("vrouter.auth_keys", "id", ["1", "255"], &["0", "256"]),
    (
        "vrouter.timers",
        "advert",
        ["1", "255"],
        &["0", "256", "-1", "1.5", "99999999999999999999"],
    ),
    (
        "vrouter.router_advertisement",
        "lifetime",
        ["0", "9000"],
        &["-1", "9001", "1", "599"],
    ),
    (
        "vrouter.router_advertisement",
        "max_interval",
        ["4", "1800"],
        &["-1", "0", "3", "1801", "4.5"],
    ),
    (
        "vrouter.router_advertisement",
        "min_interval",
        ["3", "450"],
        &["0", "2", "451", "1350", "1351"],
    ),
    (
        "vrouter.router_advertisement",
        "hop_limit",
        ["0", "255"],
        &["-1", "256"],
    ),
    (
        "vrouter.router_advertisement",
        "reachable_time",
        ["0", "3600000"],
        &["-1", "3600001"],
    ),
    (
        "vrouter.router_advertisement",
        "retrans_timer",
        ["0", "4294967295"],
        &["-1", "4294967296"],
    ),
    (
        "vrouter.router_advertisement",
        "mtu",
        ["1280", "65535"],
        &["0", "1279", "65536"],
    ),
    (
        "vrouter.router_advertisement",
        "dns_lifetime",
        ["0", "4294967295"],
        &["-1", "4294967296"],
    ),
    (
        "vrouter.router_advertisement.prefixes",
        "valid_lifetime",
        ["0", "4294967295"],
        &["-1", "4294967296"],
    ),
    (
        "vrouter.router_advertisement.prefixes",
        "preferred_lifetime",
        ["0", "2592000"],
        &["-1", "2592001", "4294967296"],
    ),
    (
        "vrouter.routes",
        "metric",
        ["0", "4294967295"],
        &["-1", "4294967296"],
    ),
    (
        "vrouter.routes",
        "mtu",
        ["68", "65535"],
        &["-1", "1", "67", "65536"],
    ),
    (
        "vrouter.routes",
        "table",
        ["1", "4294967295"],
        &["0", "4294967296"],
    ),
    (
        "protocols.static",
        "metric",
        ["0", "4294967295"],
        &["-1", "4294967296"],
    ),
    (
        "protocols.static",
        "mtu",
        ["68", "65535"],
        &["-1", "1", "67", "65536"],
    ),
    (
        "api",
        "session_lifetime",
        ["1", "2592000"],
        &["0", "2592001"],
    ),
];

#[test]
fn every_range_ends_where_it_says() {
    for (table, key, ends, beyond) in RANGES {
        let place = Place::of(table);
        for end in ends {
            place.accepts(key, end);
        }
        for value in *beyond {
            place.refuses(key, value, "allowed: ");
        }
    }
    for table in schema::TABLES {
        for key in table.keys {
            // `prefix` needs a route without one, see `rules`; the other one peers, see `unicast`.
            if key.kind.contains("..") && !["prefix", "unicast_min_ttl"].contains(&key.name) {
                assert!(
                    RANGES
                        .iter()
                        .any(|(name, range, ..)| *name == table.name && *range == key.name),
                    "{}.{} is not tested",
                    table.name,
                    key.name
                );
            }
        }
    }
}

#[test]
fn the_reserved_priorities_are_explained() {
    let place = Place::of("vrouter");
    place.refuses("priority", "255", "255 comes by itself");
    place.refuses("priority", "0", "allowed: 1..254");
}

#[test]
fn every_named_value_is_accepted_and_others_list_them() {
    for place in PLACES {
        for key in place.schema.keys {
            if !key.kind.starts_with('`') || key.name == "host" || key.support == Support::NotYet {
                continue;
            }
            let names: Vec<&str> = key
                .kind
                .split(", ")
                .map(|name| name.trim_matches('`'))
                .collect();
            for name in &names {
                let value = format!("\"{name}\"");
                if key.name == "auth_type" {
                    place.refuses(key.name, &value, "there is no secret");
                } else {
                    place.accepts(key.name, &value);
                }
            }
            for name in &names {
                place.refuses(key.name, "\"nonsense\"", name);
            }
            place.refuses(key.name, "\"\"", "unknown value");
        }
    }
}

#[test]
fn every_key_that_comes_later_is_refused_by_name() {
    let mut names = Vec::new();
    for place in PLACES {
        for key in place.schema.keys {
            if key.support == Support::NotYet {
                // Whatever the value is.
                place.refuses(key.name, "1", "not supported yet");
                place.refuses(key.name, "[{\"a\": {\"b\": [1]}}]", "not supported yet");
                names.push(key.name);
            }
        }
    }
    assert_eq!(
        names,
        [
            "sync_group",
            "track",
            "sync_group",
            "track",
            "notify",
            "protects"
        ]
    );
}

#[test]
fn every_value_of_the_data_plane_is_taken() {
    let vrouter = Place::of("vrouter");
    for value in ["\"ebpf\"", "\"auto\""] {
        vrouter.accepts("iftype", value);
    }
    vrouter.accepts("socket_filter_type", "\"ebpf\"");
    vrouter.refuses("vip", "\"2001:db8::1\"", "not link-local");
    vrouter.accepts("vip", "[\"fe80::1\", \"2001:db8::1\"]");
    for value in ["true", "false"] {
        vrouter.accepts("nonlocal_bind", value);
        vrouter.accepts("socket_filter_absorb", value);
    }
}

#[test]
fn every_required_key_is_missed() {
    let mut found = 0;
    for place in PLACES {
        for key in place
            .schema
            .keys
            .iter()
            .filter(|key| key.default == "required")
        {
            found += 1;
            let (pairs, line) = place.with(place.inside, |own| {
                own.retain(|(name, _)| name != key.name);
            });
            for format in FORMATS {
                let error = only_error(&one_table(format, place.header, &pairs), format);
                assert_eq!(error.key, format!("{}{}", place.prefix, key.name));
                assert!(error.message.contains("missing"), "{error}");
                // Arrays inside a table have their own lines.
                if place.inside.is_empty() {
                    assert_eq!(error.line, 1, "{error}");
                } else {
                    assert_eq!(error.line, line, "{error}");
                }
            }
        }
    }
    assert_eq!(found, 9);
}

/// A key that stands in the wrong table is known, and where it belongs is told.
#[test]
fn a_key_of_another_table_is_told_where_it_belongs() {
    for (text, key, place) in [
        ("priority = 9\n", "priority", "below its [[vrouter]]"),
        ("interface = \"e\"\n", "interface", "below its [[vrouter]]"),
        ("tls = true\n", "tls", "below [api]"),
        ("[api]\nworkers = 2\n", "workers", "at the top level"),
    ] {
        let error = parse(text, "f", Format::Toml).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(place), "{error}");
    }
}

#[test]
fn every_table_names_the_key_nearest_to_an_unknown_one() {
    for (table, key, nearest) in [
        ("", "working_directory", "working_dir"),
        ("", "vrouters", "vrouter"),
        ("vrouter", "priorty", "priority"),
        ("vrouter", "preempt", "preemption"),
        ("vrouter.timers", "adver", "advert"),
        ("vrouter.routes", "metrics", "metric"),
        ("vrouter.router_advertisement", "life_time", "lifetime"),
        (
            "vrouter.router_advertisement.prefixes",
            "autonom",
            "autonomous",
        ),
        ("protocols", "statics", "static"),
        ("protocols.static", "rout", "route"),
        ("api", "user", "users"),
    ] {
        Place::of(table).refuses(key, "1", nearest);
        Place::of(table).refuses(key, "1", "unknown key");
    }
    // Nothing is like it: the keys are listed.
    Place::of("vrouter.timers").refuses("zzz", "1", "allowed: advert");
    Place::of("protocols.static").refuses("table", "254", "unknown key");
    // A name cannot break the line.
    let error = only_error("\"a\\nb\" = 1\n", Format::Toml);
    assert!(error.to_string().starts_with("f:1: a\\nb: unknown key"));
}

#[test]
fn every_table_refuses_a_key_that_stands_twice() {
    for (table, key, value) in [
        ("", "debug", "1"),
        ("vrouter", "priority", "7"),
        ("vrouter", "group", "1"),
        ("protocols.static", "metric", "7"),
        ("api", "tls", "false"),
    ] {
        let place = Place::of(table);
        let (mut pairs, line) = place.set(key, &value_of(value));
        pairs.push((key.to_owned(), value_of(value)));
        for format in FORMATS {
            let error = only_error(&one_table(format, place.header, &pairs), format);
            assert_eq!((error.line, error.key.as_str()), (line + 1, key));
            assert!(error.message.contains("duplicate"), "{error}");
        }
    }
}

#[test]
fn paths_are_judged_without_looking_at_the_host() {
    for place in PLACES {
        for key in place.schema.keys.iter().filter(|key| key.kind == "path") {
            place.accepts(key.name, "\"not/there\"");
            place.refuses(key.name, "\"\"", "allowed: 1 to 4095 bytes");
            place.refuses(key.name, "\"a\\u0000b\"", "without NUL");
            place.refuses(key.name, &format!("\"{}\"", "a".repeat(4096)), "4095");
        }
    }
}

#[test]
fn arrays_of_tables_hold_tables() {
    for (table, key) in [
        ("", "vrouter"),
        ("vrouter", "routes"),
        ("protocols", "static"),
    ] {
        Place::of(table).refuses(
            key,
            "[7]",
            "is a whole number in an array, allowed: a table",
        );
        Place::of(table).refuses(key, "{}", "is a table, allowed: array of tables");
        Place::of(table).accepts(key, "[]");
    }
}

#[test]
fn a_network_namespace_is_a_name_below_run_netns() {
    let vrouter = Place::of("vrouter");
    let longest = format!("\"{}\"", "n".repeat(255));
    let too_long = format!("\"{}\"", "n".repeat(256));
    for right in ["\"blue\"", "\"qrouter-5f3c\"", "\"a.b_c+d\"", &longest] {
        vrouter.accepts("netns", right);
    }
    for wrong in [
        "\"\"",
        "\".\"",
        "\"..\"",
        "\"../blue\"",
        "\"/run/netns/blue\"",
        "\"a/b\"",
        "\"a b\"",
        "\"a\\tb\"",
        &too_long,
    ] {
        vrouter.refuses("netns", wrong, "allowed: 1 to 255 bytes without /");
    }
    vrouter.refuses("netns", "7", "allowed: ");
}
