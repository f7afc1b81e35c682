//! `router_advertisement`: defaults, and what RFC 4861 §6.2.1, RFC 4191 and RFC 8106 forbid.

use std::time::Duration;

use rvrrpd::config::model::{Config, RouterAdvertisement};
use rvrrpd::config::{Format, Loaded, diff};
use rvrrpd::wire::ra::{DomainName, Preference};

use crate::text::{FORMATS, accepted, one_table, only_error, router};

/// A router with this value of the key, in JSON.
fn loaded(value: &str) -> Loaded {
    let pairs = router(&[("vip", "\"fe80::1\""), ("router_advertisement", value)]);
    let [a, b] = FORMATS.map(|format| accepted(&one_table(format, "vrouter", &pairs), format));
    assert_eq!(a.config, b.config);
    a
}

fn read(value: &str) -> RouterAdvertisement {
    let loaded = loaded(value);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let router = loaded.config.vrouters.into_iter().next().unwrap();
    *router.router_advertisement.clone().unwrap()
}

/// Asserts one error about `key` of the table, with `word`.
fn refused(value: &str, key: &str, word: &str) {
    let pairs = router(&[("vip", "\"fe80::1\""), ("router_advertisement", value)]);
    for format in FORMATS {
        let error = only_error(&one_table(format, "vrouter", &pairs), format);
        assert_eq!((error.line, error.key.as_str()), (5, key), "{error}");
        assert!(error.message.contains(word), "{error}, without {word}");
    }
}

#[test]
fn off_unless_it_is_there() {
    let pairs = router(&[("vip", "\"fe80::1\"")]);
    let loaded = accepted(&one_table(Format::Toml, "vrouter", &pairs), Format::Toml);
    assert_eq!(loaded.config.vrouters[0].router_advertisement, None);
}

/// RFC 4861 §6.2.1: the defaults.
#[test]
fn defaults() {
    let ra = read("{}");
    let content = &ra.content;
    assert_eq!(
        (ra.min_interval, ra.max_interval),
        (Duration::from_secs(198), Duration::from_secs(600))
    );
    assert_eq!((content.lifetime, content.dns_lifetime), (1800, 1800));
    assert_eq!((content.managed, content.other), (false, false));
    assert_eq!(content.preference, Preference::Medium);
    assert_eq!((content.hop_limit, content.mtu), (64, None));
    assert_eq!((content.reachable_time, content.retrans_timer), (0, 0));
    assert!(content.prefixes.is_empty() && content.rdnss.is_empty() && content.dnssl.is_empty());
}

/// They follow from the longest interval; three quarters of a short one, never less than 3 s.
#[test]
fn intervals_that_follow_from_the_longest() {
    for (max, min, lifetime) in [
        (4, 3000, 12),
        (8, 6000, 24),
        (9, 3000, 27),
        (10, 3300, 30),
        (1800, 594_000, 5400),
    ] {
        let ra = read(&format!("{{\"max_interval\": {max}}}"));
        assert_eq!(ra.min_interval, Duration::from_millis(min), "{max}");
        assert_eq!(ra.content.lifetime, lifetime);
        assert_eq!(ra.content.dns_lifetime, u32::from(lifetime));
    }
    let ra = read("{\"max_interval\": 4, \"min_interval\": 3, \"lifetime\": 4}");
    assert_eq!(ra.content.lifetime, 4);
}

#[test]
fn intervals_and_lifetime_fit_each_other() {
    let (min, life) = (
        "router_advertisement.min_interval",
        "router_advertisement.lifetime",
    );
    refused(
        "{\"max_interval\": 5, \"min_interval\": 4}",
        min,
        "more than three quarters of max_interval (5), allowed: 3..3",
    );
    refused(
        "{\"max_interval\": 100, \"lifetime\": 99}",
        life,
        "allowed: 0, or 100..9000",
    );
}

#[test]
fn ipv6_only() {
    let pairs = router(&[("router_advertisement", "{}")]);
    for format in FORMATS {
        let error = only_error(&one_table(format, "vrouter", &pairs), format);
        assert_eq!(
            (error.line, error.key.as_str()),
            (5, "router_advertisement")
        );
        assert!(error.message.contains("is for IPv6"), "{error}");
    }
}

/// Strings and tables say the same, alone and in a list.
#[test]
fn prefixes() {
    let all = [
        r#"{"prefixes": "2001:db8:1::/64"}"#,
        r#"{"prefixes": ["2001:db8:1::/64"]}"#,
        r#"{"prefixes": [{"prefix": "2001:db8:1::/64"}]}"#,
        r#"{"prefixes": [{"prefix": "2001:db8:1::/64", "on_link": true, "autonomous": true,
            "valid_lifetime": 2592000, "preferred_lifetime": 604800}]}"#,
    ];
    let [first, others @ ..] = all.map(read);
    let prefix = first.content.prefixes[0];
    assert_eq!(prefix.prefix.to_string(), "2001:db8:1::");
    assert_eq!(
        (prefix.length, prefix.on_link, prefix.autonomous),
        (64, true, true)
    );
    assert_eq!(
        (prefix.valid_lifetime, prefix.preferred_lifetime),
        (2_592_000, 604_800)
    );
    for other in others {
        assert_eq!(other, first);
    }
    let ra = read(
        r#"{"prefixes": ["2001:db8:2::/64", {"prefix": "2001:db8::/32", "autonomous": false,
            "on_link": false, "valid_lifetime": 7}]}"#,
    );
    let prefix = ra.content.prefixes[1];
    assert_eq!(
        (prefix.length, prefix.on_link, prefix.autonomous),
        (32, false, false)
    );
    assert_eq!((prefix.valid_lifetime, prefix.preferred_lifetime), (7, 7));
}

#[test]
fn prefixes_that_are_none() {
    let key = "router_advertisement.prefixes";
    for (text, word) in [
        ("2001:db8::", "has no prefix length"),
        ("2001:db8::1/64", "allowed: 2001:db8::/64"),
        ("2001:db8::/0", "allowed: 1..128"),
        ("2001:db8::/129", "allowed: 1..128"),
        ("fe80::/64", "is link-local"),
        ("ff00::/8", "is a multicast address"),
        ("192.0.2.0/24", "allowed: IPv6"),
        ("x/64", "is no IP address"),
    ] {
        refused(&format!("{{\"prefixes\": [\"{text}\"]}}"), key, word);
        let table = format!("{{\"prefixes\": [{{\"prefix\": \"{text}\"}}]}}");
        refused(&table, "router_advertisement.prefixes.prefix", word);
    }
    let twice = r#"{"prefixes": ["2001:db8::/64", {"prefix": "2001:db8:0::/64"}]}"#;
    refused(twice, key, "twice");
    refused(r#"{"prefixes": [7]}"#, key, "is a whole number, allowed: ");
    refused(
        r#"{"prefixes": [{"prefix": "2001:db8::/64", "valid_lifetime": 9}], "lifetime": 9001}"#,
        "router_advertisement.lifetime",
        "allowed: ",
    );
    refused(
        r#"{"prefixes": [{"prefix": "2001:db8::/64", "valid_lifetime": 9, "preferred_lifetime": 10}]}"#,
        "router_advertisement.prefixes.preferred_lifetime",
        "10 is more than valid_lifetime, allowed: 0..9",
    );
}

/// Hosts make no addresses of another length; that may be meant, so it is a warning.
#[test]
fn a_prefix_that_hosts_ignore() {
    for value in [
        r#"{"prefixes": "2001:db8::/48"}"#,
        r#"{"prefixes": [{"prefix": "2001:db8::/65"}]}"#,
    ] {
        let warnings = loaded(value).warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].message.contains("autonomous = false"));
    }
}

#[test]
fn dns() {
    let ra = read(
        r#"{"rdnss": ["2001:db8::53", "fe80::53"], "dnssl": "example.org", "dns_lifetime": 0}"#,
    );
    assert_eq!(ra.content.rdnss.len(), 2);
    assert_eq!(ra.content.dnssl, [DomainName::new("example.org").unwrap()]);
    assert_eq!(ra.content.dns_lifetime, 0);
    for (value, key, word) in [
        (r#"{"rdnss": ["192.0.2.53"]}"#, "rdnss", "allowed: IPv6"),
        (r#"{"rdnss": ["ff02::fb"]}"#, "rdnss", "multicast"),
        (r#"{"rdnss": ["::1", "2001:db8::53"]}"#, "rdnss", "loopback"),
        (
            r#"{"rdnss": ["2001:db8::1", "2001:db8:0::1"]}"#,
            "rdnss",
            "twice",
        ),
        (
            r#"{"dnssl": ["exa mple.org"]}"#,
            "dnssl",
            "is no domain name",
        ),
        (r#"{"dnssl": [""]}"#, "dnssl", "is no domain name"),
        (
            r#"{"dns_lifetime": 7}"#,
            "dns_lifetime",
            "only together with rdnss or dnssl",
        ),
    ] {
        refused(value, &format!("router_advertisement.{key}"), word);
    }
    let short = loaded(r#"{"rdnss": "2001:db8::53", "dns_lifetime": 599}"#).warnings;
    assert_eq!(short.len(), 1, "{short:?}");
}

/// RFC 4191 §2.2.
#[test]
fn who_is_no_default_router_has_no_preference() {
    read(r#"{"lifetime": 0, "preference": "medium"}"#);
    refused(
        r#"{"lifetime": 0, "preference": "high"}"#,
        "router_advertisement.preference",
        "allowed: medium",
    );
    let ra = read(r#"{"preference": "low", "managed": true, "other": true, "mtu": 1280}"#);
    assert_eq!(ra.content.preference, Preference::Low);
    assert_eq!((ra.content.managed, ra.content.other), (true, true));
    assert_eq!(ra.content.mtu, Some(1280));
}

/// All of it is one packet that every link carries.
#[test]
fn too_much_for_a_packet() {
    let list = |count: usize| {
        let texts: Vec<String> = (0..count)
            .map(|n| format!("\"2001:db8:{n:x}::/64\""))
            .collect();
        format!("{{\"prefixes\": [{}]}}", texts.join(", "))
    };
    assert_eq!(read(&list(38)).content.packet_len(), 1280);
    refused(&list(39), "router_advertisement", "has 1312 bytes");
    refused(
        &list(65),
        "router_advertisement.prefixes",
        "65 elements, allowed: at most 64",
    );
    let names: Vec<String> = (0..65).map(|n| format!("\"a{n}\"")).collect();
    let names = format!("{{\"dnssl\": [{}]}}", names.join(", "));
    refused(&names, "router_advertisement.dnssl", "allowed: at most 64");
}

/// Only the options are others: the virtual router is changed in place.
#[test]
fn a_reload_changes_the_router_in_place() {
    let config = |text: &str| -> Config {
        let text = format!("[[vrouter]]\ngroup = 1\ninterface = \"e\"\nvip = \"fe80::1\"\n{text}");
        accepted(&text, Format::Toml).config
    };
    let configs = [
        "",
        "router_advertisement = {}\n",
        "router_advertisement = { lifetime = 900 }\n",
        "router_advertisement = { max_interval = 500, lifetime = 1800 }\n",
        "[vrouter.router_advertisement]\nprefixes = [\"2001:db8::/64\"]\n",
    ]
    .map(config);
    for (place, old) in configs.iter().enumerate() {
        for new in &configs[place + 1..] {
            let diff = diff(old, new);
            assert_eq!((diff.changed.len(), diff.unchanged), (1, 0));
            assert!(diff.added.is_empty() && diff.removed.is_empty());
        }
    }
}
