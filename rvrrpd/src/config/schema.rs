//! Every key of the configuration as data: what unknown keys are compared with, what is refused as
//! not supported yet, and what `docs/configuration.md` must describe.
//!
//! When a function arrives, its entry changes from [`Support::NotYet`] to [`Support::Full`]; the
//! reader of the value stands in `router.rs`, `global.rs`, `route.rs` or `api.rs`.

/// Whether a key works in this version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Support {
    /// It does.
    Full,
    /// The key is known and is refused by name.
    NotYet,
}

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name in the file.
    pub name: &'static str,
    /// Type and range, as in `docs/configuration.md`.
    pub kind: &'static str,
    /// Default, as in `docs/configuration.md`; `required` where there is none.
    pub default: &'static str,
    /// Meaning in one line.
    pub meaning: &'static str,
    /// Whether the key works in this version.
    pub support: Support,
}

/// One table of the file.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Name as it stands in the file, without brackets; empty for the top level.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

impl Table {
    /// The key of this name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The known key that is most like `name`, if any is like it at all.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        self.keys
            .iter()
            .map(|key| (strsim::jaro_winkler(name, key.name), key.name))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness >= LIKE)
            .map(|(_, name)| name)
    }
}

impl Table {
    /// Where a key belongs that this table has not: what stands after `[api]` is no key of the top
    /// level any more, and what stands before `[[vrouter]]` is none of a virtual router. None where no
    /// such key is known there.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<&'static str> {
        let others: &[(&Self, &'static str)] = match self.name {
            "" => &[
                (&VROUTER, "in a virtual router, below its [[vrouter]]"),
                (&API, "below [api]"),
            ],
            "vrouter" | "api" | "protocols" => {
                &[(&TOP, "at the top level, above the first [table]")]
            }
            _ => &[],
        };
        let found = others.iter().find(|(table, _)| table.key(name).is_some());
        found.map(|(_, place)| *place)
    }
}

/// Jaro-Winkler likeness from which two names are taken for the same word with a slip; below it a
/// list of all keys helps more than a guess.
const LIKE: f64 = 0.7;

const fn key(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        meaning,
        support: Support::Full,
    }
}

const fn not_yet(name: &'static str, kind: &'static str, meaning: &'static str) -> Key {
    Key {
        support: Support::NotYet,
        ..key(name, kind, "none", meaning)
    }
}

/// The top level.
pub const TOP: Table = Table {
    name: "",
    keys: &[
        key("debug", "0..5", "0", "debug level"),
        key(
            "time_zone",
            "`local`, `utc`",
            "`local`",
            "time zone of time stamps",
        ),
        key(
            "time_format",
            "`disabled`, `short`, `rfc2822`, `rfc3339`",
            "`disabled`",
            "form of time stamps",
        ),
        key(
            "log_format",
            "`text`, `json`",
            "`text`",
            "form of a log line",
        ),
        key(
            "log_target",
            "`file`, `journald`, `syslog`",
            "`file`",
            "where the log goes",
        ),
        key("pid", "path", "`/var/run/rvrrpd.pid`", "PID file of mode 2"),
        key(
            "working_dir",
            "path",
            "`/tmp`",
            "working directory of mode 2",
        ),
        key(
            "run_dir",
            "path",
            "`/run/rvrrpd`",
            "runtime directory: what is ours in the kernel, admin socket",
        ),
        key(
            "main_log",
            "path",
            "`/var/log/rvrrpd.log`",
            "log file of mode 2",
        ),
        key(
            "error_log",
            "path",
            "off",
            "file of warnings and errors of mode 2",
        ),
        key(
            "client_api",
            "`http`",
            "off unless `[api]` is there",
            "interface of the Client API",
        ),
        key(
            "workers",
            "1..64",
            "number of cores, at most 4",
            "worker threads",
        ),
        key(
            "realtime",
            "bool",
            "`true`",
            "real-time scheduling and locked memory",
        ),
        key("vrouter", "array of tables", "none", "virtual routers"),
        key("protocols", "table", "none", "static routes"),
        key("api", "table", "none", "Client API"),
        not_yet(
            "sync_group",
            "array of tables",
            "virtual routers that change state together",
        ),
        not_yet("track", "array of tables", "named trackers"),
    ],
};

/// `[[vrouter]]`.
pub const VROUTER: Table = Table {
    name: "vrouter",
    keys: &[
        key("group", "1..255", "required", "VRID"),
        key(
            "interface",
            "interface name",
            "required",
            "parent interface",
        ),
        key(
            "netns",
            "name of a network namespace",
            "that of the daemon",
            "network namespace of the parent interface",
        ),
        key(
            "name",
            "1 to 31 of `A-Z a-z 0-9 _ . -`",
            "`<interface>-<group>`",
            "unique name of the virtual router",
        ),
        key("version", "2, 3, `2+3`", "2", "VRRP versions spoken"),
        key(
            "vip",
            "address or list of addresses",
            "required",
            "virtual addresses",
        ),
        key(
            "primary",
            "address",
            "first address of the interface",
            "source of the advertisements",
        ),
        key(
            "unicast_peers",
            "list of 1 to 64 addresses",
            "none",
            "peers that are addressed one by one, instead of the multicast group",
        ),
        key(
            "unicast_src",
            "address",
            "`primary`",
            "source of unicast advertisements",
        ),
        key(
            "unicast_min_ttl",
            "1..255",
            "255",
            "least TTL or hop limit of what peers send",
        ),
        key("priority", "1..254", "100", "priority in the election"),
        key(
            "preemption",
            "bool",
            "`false`",
            "whether a higher priority takes over from a lower one",
        ),
        key(
            "preempt_delay",
            "seconds, 0..3600",
            "0",
            "how long a lower-priority Master is tolerated",
        ),
        key(
            "startup_delay",
            "seconds, 0..3600",
            "0",
            "how long the router waits in Init after it became ready for the first time",
        ),
        key(
            "accept_mode",
            "bool",
            "`true`",
            "whether packets to the virtual addresses are accepted",
        ),
        key(
            "auth_type",
            "`hmac-sha256`, `rfc2338-ah`, `rfc2338-simple`, `p0-t8-sha256`, `p1-t8-shake256`",
            "none",
            "authentication",
        ),
        key("auth_secret", "string", "none", "secret of the group"),
        key(
            "auth_secret_file",
            "absolute path",
            "none",
            "file that holds the secret of the group",
        ),
        key(
            "auth_keys",
            "array of tables",
            "none",
            "secrets of the group with their numbers",
        ),
        key(
            "auth_active_key",
            "1..255",
            "the only key",
            "number of the key that is sent with",
        ),
        key(
            "auth_clock_skew",
            "1..300",
            "30",
            "how many seconds the clocks of two routers may be apart",
        ),
        key("timers", "table", "none", "timers of the virtual router"),
        key(
            "rfc3768",
            "bool",
            "`true`",
            "whether the address list is exactly the virtual addresses",
        ),
        key(
            "v3_checksum",
            "`auto`, `rfc9568`, `pseudo-header`",
            "`auto`",
            "form of the version 3 checksum over IPv4",
        ),
        key(
            "address_list_check",
            "`rfc`, `off`",
            "`rfc`",
            "whether address lists of peers are compared with ours",
        ),
        key(
            "netdrv",
            "`libnl`, `netlink`, `ioctl`",
            "`libnl`",
            "kernel interface that changes addresses and routes",
        ),
        key(
            "iftype",
            "`ether`, `macvlan`, `ebpf`, `auto`",
            "`ether`",
            "what carries the virtual addresses and the virtual MAC",
        ),
        key(
            "virtual_mac",
            "bool",
            "`true`",
            "whether the virtual MAC is used",
        ),
        key(
            "vifname",
            "interface name",
            "`standby<group>`",
            "name of the macvlan",
        ),
        key(
            "socket_filter",
            "bool",
            "`true`",
            "whether the kernel filters what reaches the listener",
        ),
        key(
            "socket_filter_absorb",
            "bool",
            "`true`",
            "whether the kernel may absorb repeated advertisements",
        ),
        key(
            "socket_filter_type",
            "`auto`, `ebpf`, `classic`",
            "`auto`",
            "which socket filter",
        ),
        key(
            "nonlocal_bind",
            "bool",
            "`false`",
            "whether applications can bind to the virtual addresses while Backup",
        ),
        key(
            "enabled",
            "bool",
            "`true`",
            "false: the router stays in Init, sub-state shutdown",
        ),
        not_yet(
            "sync_group",
            "name",
            "group of virtual routers that change state together",
        ),
        not_yet("track", "array of tables", "trackers"),
        not_yet("notify", "table", "commands run at a change of state"),
        not_yet("protects", "list of units", "services behind this router"),
        key(
            "routes",
            "array of tables",
            "none",
            "routes that are there while Master",
        ),
        key(
            "router_advertisement",
            "table",
            "none",
            "router advertisements that are sent while Master",
        ),
    ],
};

/// `timers` of a virtual router.
pub const TIMERS: Table = Table {
    name: "vrouter.timers",
    keys: &[key(
        "advert",
        "seconds: 1..255 (version 2), 0.01..40.95 (version 3)",
        "1",
        "advertisement interval",
    )],
};

/// `auth_keys` of a virtual router.
pub const AUTH_KEYS: Table = Table {
    name: "vrouter.auth_keys",
    keys: &[
        key("id", "1..255", "required", "number of the key on the wire"),
        key("secret", "string", "none", "the secret"),
        key(
            "secret_file",
            "absolute path",
            "none",
            "file that holds the secret",
        ),
        key(
            "hex",
            "hexadecimal digits",
            "none",
            "the secret, two digits a byte",
        ),
    ],
};

/// `router_advertisement` of a virtual router.
pub const ROUTER_ADVERTISEMENT: Table = Table {
    name: "vrouter.router_advertisement",
    keys: &[
        key(
            "prefixes",
            "network address `ADDR/PREFIX`, or list of such and of tables",
            "none",
            "prefixes of the link",
        ),
        key(
            "lifetime",
            "0, or `max_interval`..9000",
            "3 times `max_interval`",
            "how many seconds the router is a default router",
        ),
        key(
            "max_interval",
            "4..1800",
            "600",
            "most seconds between two router advertisements",
        ),
        key(
            "min_interval",
            "3..1350",
            "0.33 times `max_interval`",
            "least seconds between two router advertisements",
        ),
        key(
            "managed",
            "bool",
            "`false`",
            "whether addresses are to be had by DHCPv6",
        ),
        key(
            "other",
            "bool",
            "`false`",
            "whether other information is to be had by DHCPv6",
        ),
        key(
            "preference",
            "`low`, `medium`, `high`",
            "`medium`",
            "preference over other default routers",
        ),
        key("hop_limit", "0..255", "64", "hop limit of the hosts"),
        key(
            "reachable_time",
            "0..3600000",
            "0",
            "milliseconds that a confirmed neighbour counts as reachable",
        ),
        key(
            "retrans_timer",
            "0..4294967295",
            "0",
            "milliseconds between neighbour solicitations",
        ),
        key("mtu", "1280..65535", "none", "MTU of the link in bytes"),
        key(
            "rdnss",
            "address or list of addresses",
            "none",
            "recursive DNS servers",
        ),
        key(
            "dnssl",
            "domain name or list of them",
            "none",
            "DNS search domains",
        ),
        key(
            "dns_lifetime",
            "0..4294967295",
            "3 times `max_interval`",
            "how many seconds DNS servers and domains may be used",
        ),
    ],
};

/// A prefix in `router_advertisement`, written as a table.
pub const PREFIXES: Table = Table {
    name: "vrouter.router_advertisement.prefixes",
    keys: &[
        key(
            "prefix",
            "network address `ADDR/PREFIX`",
            "required",
            "the prefix",
        ),
        key(
            "on_link",
            "bool",
            "`true`",
            "whether hosts reach its addresses without a router",
        ),
        key(
            "autonomous",
            "bool",
            "`true`",
            "whether hosts make addresses of it by themselves",
        ),
        key(
            "valid_lifetime",
            "0..4294967295",
            "2592000",
            "how many seconds it is on the link",
        ),
        key(
            "preferred_lifetime",
            "0..4294967295, at most `valid_lifetime`",
            "604800, or `valid_lifetime` if that is less",
            "how many seconds addresses made of it are preferred",
        ),
    ],
};

const ROUTE: Key = key(
    "route",
    "network address, or `ADDR/PREFIX`",
    "required",
    "destination",
);
const MASK: Key = key("mask", "dotted quad", "none", "mask of the destination");
const PREFIX: Key = key(
    "prefix",
    "0..32, for IPv6 0..128",
    "none",
    "prefix length of the destination",
);
const NH: Key = key("nh", "address", "required", "next hop");
const METRIC: Key = key("metric", "0..4294967295", "0", "metric");
const MTU: Key = key("mtu", "0 or 68..65535", "0", "MTU in bytes, 0: none");

/// `routes` of a virtual router.
pub const ROUTES: Table = Table {
    name: "vrouter.routes",
    keys: &[
        ROUTE,
        MASK,
        PREFIX,
        NH,
        METRIC,
        MTU,
        key("table", "1..4294967295", "254", "routing table"),
    ],
};

/// `[protocols]`.
pub const PROTOCOLS: Table = Table {
    name: "protocols",
    keys: &[key("static", "array of tables", "none", "static routes")],
};

/// `[[protocols.static]]`.
pub const STATIC: Table = Table {
    name: "protocols.static",
    keys: &[ROUTE, MASK, PREFIX, NH, METRIC, MTU],
};

/// `[api]`.
pub const API: Table = Table {
    name: "api",
    keys: &[
        key(
            "users",
            "list of strings",
            "none",
            "lines made by rvrrpd-pw",
        ),
        key(
            "secret",
            "string",
            "128 random bits at each start",
            "key that signs sessions",
        ),
        key(
            "host",
            "`ADDR:PORT` or a list of them",
            "`127.0.0.1:7080`",
            "addresses that are listened on",
        ),
        key("tls", "bool", "`false`", "HTTPS instead of HTTP"),
        key(
            "tls_key",
            "path",
            "`/etc/rvrrpd/ssl/key.pem`",
            "private key, PEM",
        ),
        key(
            "tls_cert",
            "path",
            "`/etc/rvrrpd/ssl/cert.pem`",
            "certificate chain, PEM",
        ),
        key(
            "session_lifetime",
            "seconds, 1..2592000",
            "3600",
            "life of a session",
        ),
        key(
            "socket",
            "path",
            "`rvrrpd.sock` in `run_dir`",
            "Unix socket of rvrrpadm",
        ),
    ],
};

/// All tables.
pub const TABLES: &[&Table] = &[
    &TOP,
    &VROUTER,
    &TIMERS,
    &AUTH_KEYS,
    &ROUTER_ADVERTISEMENT,
    &PREFIXES,
    &ROUTES,
    &PROTOCOLS,
    &STATIC,
    &API,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key_finds_slips_and_not_strangers() {
        assert_eq!(VROUTER.nearest("priorty"), Some("priority"));
        assert_eq!(VROUTER.nearest("preempt"), Some("preemption"));
        assert_eq!(VROUTER.nearest("Group"), Some("group"));
        assert_eq!(TIMERS.nearest("interval"), None);
    }

    #[test]
    fn no_key_stands_twice_in_a_table() {
        for table in TABLES {
            for (at, key) in table.keys.iter().enumerate() {
                assert!(
                    table
                        .keys
                        .iter()
                        .skip(at + 1)
                        .all(|other| other.name != key.name),
                    "{}.{}",
                    table.name,
                    key.name
                );
            }
        }
    }
}
