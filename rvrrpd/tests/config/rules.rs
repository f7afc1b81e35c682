//! Rules between the keys of a virtual router.

use std::time::Duration;

use rvrrpd::config::model::{Auth, InterfaceType, NetworkDriver, Protocol, VirtualRouter};
use rvrrpd::config::{Format, Loaded, parse};

use crate::text::{FORMATS, accepted, one_table, only_error, router};

/// The router of a file with one, the same in both languages.
pub(crate) fn one(changes: &[(&str, &str)]) -> VirtualRouter {
    let [a, b] = FORMATS
        .map(|format| accepted(&one_table(format, "vrouter", &router(changes)), format).config);
    assert_eq!(a, b);
    VirtualRouter::clone(&a.vrouters[0])
}

/// Asserts one error about `key`, in the line of that key, with `word`.
pub(crate) fn refused(changes: &[(&str, &str)], key: &str, word: &str) {
    let pairs = router(changes);
    let held = key.split('.').next().unwrap();
    let line = pairs.iter().position(|(name, _)| name == held).unwrap() + 2;
    for format in FORMATS {
        let error = only_error(&one_table(format, "vrouter", &pairs), format);
        let place = format!("f:{line}: {key}: ");
        assert!(
            error.to_string().starts_with(&place),
            "{error}, not {place}"
        );
        assert!(error.message.contains(word), "{error}, without {word}");
    }
}

pub(crate) fn warnings(changes: &[(&str, &str)]) -> (Loaded, Vec<String>) {
    let format = Format::Toml;
    let loaded = accepted(&one_table(format, "vrouter", &router(changes)), format);
    let texts = loaded.warnings.iter().map(ToString::to_string).collect();
    (loaded, texts)
}

#[test]
fn defaults_are_those_of_the_contract() {
    let router = one(&[]);
    assert_eq!(router.name, "eth0-1");
    assert_eq!(router.protocol, Protocol::V2);
    assert_eq!((router.priority, router.preemption), (100, false));
    assert_eq!(router.interval, Duration::from_secs(1));
    assert_eq!(router.auth, Auth::None);
    assert_eq!(router.netdrv, NetworkDriver::Netlink);
    assert_eq!(router.iftype, InterfaceType::Ether);
    assert_eq!(router.vifname, "standby1");
    assert_eq!(router.preempt_delay + router.startup_delay, Duration::ZERO);
    assert!(router.accept_mode && router.rfc3768 && router.address_list_check);
    assert!(router.virtual_mac && router.socket_filter && router.enabled);
    assert!(router.primary.is_none() && router.routes.is_empty());

    let loaded = accepted("", Format::Toml);
    assert!(loaded.config.vrouters.is_empty() && loaded.warnings.is_empty());
    assert_eq!(loaded, accepted("{}", Format::Json));
    assert_eq!(loaded, accepted("vrouter = []", Format::Toml));
    assert!(loaded.config.api.is_none() && loaded.config.global.realtime);
}

/// V3-TX-6: what 12 bits of centiseconds do not hold is refused, never truncated.
#[test]
fn v3_tx_6_intervals_of_version_3_are_centiseconds() {
    for step in 1..=4095_u32 {
        let text = format!("{{\"advert\": {}.{:02}}}", step / 100, step % 100);
        let pairs = router(&[("version", "3"), ("timers", &text)]);
        let text = one_table(Format::Toml, "vrouter", &pairs);
        let loaded = accepted(&text, Format::Toml);
        let expected = Duration::from_millis(u64::from(step) * 10);
        assert_eq!(loaded.config.vrouters[0].interval, expected);
    }
    assert_eq!(
        one(&[("version", "3"), ("timers", "{\"advert\": 40}")]).interval,
        Duration::from_secs(40)
    );
    for text in [
        "0",
        "0.0",
        "0.009",
        "0.015",
        "40.96",
        "40.951",
        "41",
        "0.0100001",
        "-0.01",
        "1e9",
    ] {
        let timers = format!("{{\"advert\": {text}}}");
        refused(
            &[("version", "3"), ("timers", &timers)],
            "timers.advert",
            "0.01..40.95",
        );
    }
}

#[test]
fn intervals_of_version_2_are_whole_seconds() {
    for text in ["3", "3.0", "3e0"] {
        let timers = format!("{{\"advert\": {text}}}");
        assert_eq!(one(&[("timers", &timers)]).interval, Duration::from_secs(3));
    }
    assert_eq!(one(&[("timers", "{}")]).interval, Duration::from_secs(1));
    for text in ["0.5", "1.01", "255.5"] {
        let timers = format!("{{\"advert\": {text}}}");
        refused(
            &[("timers", &timers)],
            "timers.advert",
            "whole seconds, 1..255",
        );
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    for number in ["nan", "inf", "-inf", "+nan"] {
        for key in ["preempt_delay", "startup_delay", "timers.advert"] {
            let text = format!(
                "[[vrouter]]\n{key} = {number}\ngroup = 1\ninterface = \"e\"\nvip = \"192.0.2.1\"\n"
            );
            let error = only_error(&text, Format::Toml);
            assert_eq!((error.line, error.key.as_str()), (2, key), "{error}");
        }
    }
    let text =
        "[[vrouter]]\npriority = 2026-01-01\ngroup = 1\ninterface = \"e\"\nvip = \"192.0.2.1\"\n";
    assert!(
        only_error(text, Format::Toml)
            .message
            .contains("is a date or time")
    );
}

#[test]
fn delays_have_fractions() {
    assert_eq!(
        one(&[("preempt_delay", "0.25")]).preempt_delay,
        Duration::from_millis(250)
    );
    assert_eq!(
        one(&[("startup_delay", "0.000001")]).startup_delay,
        Duration::from_micros(1)
    );
}

#[test]
fn virtual_addresses_are_unicast_of_one_family_and_unique() {
    let both = one(&[("vip", "[\"192.0.2.1/24\", \"192.0.2.2\"]")]);
    assert_eq!(both.vips[0].prefix, Some(24));
    assert_eq!(both.vips[1].address.to_string(), "192.0.2.2");
    for (vip, word) in [
        ("\"0.0.0.0\"", "unicast"),
        ("\"224.0.0.18\"", "multicast"),
        ("\"255.255.255.255\"", "broadcast"),
        ("\"127.0.0.1\"", "loopback"),
        ("\"ff02::12\"", "multicast"),
        ("\"::1\"", "loopback"),
        ("\"192.0.2.1/33\"", "1..32"),
        ("\"192.0.2.1/0\"", "1..32"),
        ("\"eth0\"", "no IP address"),
        ("[]", "is empty"),
        ("[\"192.0.2.1\", \"192.0.2.1\"]", "twice"),
        ("[\"192.0.2.1\", \"192.0.2.1/24\"]", "twice"),
        ("[\"192.0.2.1\", \"2001:db8::1\"]", "another family"),
        ("[\"192.0.2.1\", 7]", "is a whole number"),
        ("[\"192.0.2.1\", null]", "null"),
    ] {
        if vip.contains("null") {
            let text = one_table(Format::Json, "vrouter", &router(&[("vip", vip)]));
            assert!(only_error(&text, Format::Json).message.contains(word));
        } else {
            refused(&[("vip", vip)], "vip", word);
        }
    }
}

/// The line of an address in a list is its own, not that of the key.
#[test]
fn an_address_of_a_list_is_named_by_its_own_line() {
    let toml =
        "[[vrouter]]\ngroup = 1\ninterface = \"e\"\nvip = [\n\"192.0.2.1\",\n\"x\",\n\"y\"]\n";
    let errors = parse(toml, "f", Format::Toml).unwrap_err().errors;
    assert_eq!(
        errors.iter().map(|error| error.line).collect::<Vec<_>>(),
        [6, 7]
    );
    let json = "{\"vrouter\": [{\n\"group\": 1,\n\"interface\": \"e\",\n\"vip\": [\n\"192.0.2.1\",\n\"x\",\n\"y\"]}]}\n";
    assert_eq!(parse(json, "f", Format::Json).unwrap_err().errors, errors);
}

/// TX-10.
#[test]
fn tx_10_an_advertisement_holds_255_ipv4_or_90_ipv6_addresses() {
    let list = |count: usize, of: &dyn Fn(usize) -> String| {
        let addresses: Vec<String> = (0..count).map(|at| format!("\"{}\"", of(at))).collect();
        format!("[{}]", addresses.join(","))
    };
    let v4 = |at: usize| format!("10.0.0.{at}");
    let v6 = |at: usize| format!("fe80::{:x}", at + 1);
    assert_eq!(one(&[("vip", &list(255, &v4))]).vips.len(), 255);
    refused(&[("vip", &list(256, &v4))], "vip", "256");
    refused(
        &[("vip", &list(255, &v4).replace(']', ",\"10.0.1.1\"]"))],
        "vip",
        "at most 255",
    );
    refused(&[("vip", &list(91, &v6))], "vip", "at most 90");
    assert_eq!(one(&[("vip", &list(90, &v6))]).vips.len(), 90);
}

#[test]
fn the_primary_address_is_of_the_family_of_the_vips() {
    assert_eq!(
        one(&[("primary", "\"192.0.2.7\"")]).primary,
        Some("192.0.2.7".parse().unwrap())
    );
    // An owner's primary address may be one of its virtual addresses.
    one(&[("primary", "\"192.0.2.1\"")]);
    refused(
        &[("primary", "\"2001:db8::7\"")],
        "primary",
        "allowed: IPv4",
    );
    // V3-TX-2: adverts to the group come from a link-local address.
    let ipv6 = |primary| [("vip", "\"fe80::1\""), ("primary", primary)];
    one(&ipv6("\"fe80::7\""));
    refused(&ipv6("\"2001:db8::7\""), "primary", "is not link-local");
    refused(&[("primary", "\"224.0.0.1\"")], "primary", "multicast");
    refused(
        &[("primary", "\"192.0.2.7/24\"")],
        "primary",
        "no IP address",
    );
}

#[test]
fn ipv6_needs_version_3_and_netlink() {
    for (key, value) in [("version", "2"), ("netdrv", "\"ioctl\"")] {
        let text = one_table(
            Format::Toml,
            "vrouter",
            &router(&[("vip", "\"2001:db8::1\""), (key, value)]),
        );
        let errors = parse(&text, "f", Format::Toml).unwrap_err().errors;
        assert_eq!(errors[0].key, "vip");
        assert_eq!(errors[1].key, key);
        assert!(errors[1].message.contains("IPv4 alone"));
        assert_eq!(errors.len(), 2);
    }
}

/// A wrong address does not hide what is wrong with keys that hang on the family.
#[test]
fn the_first_address_tells_the_family_even_if_another_one_is_wrong() {
    let changes = [
        ("vip", "[\"192.0.2.1\", \"x\"]"),
        ("timers", "{\"advert\": 0.5}"),
        ("primary", "\"2001:db8::1\""),
    ];
    let text = one_table(Format::Toml, "vrouter", &router(&changes));
    let errors = parse(&text, "f", Format::Toml).unwrap_err().errors;
    let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["vip", "timers.advert", "primary"]);
}

#[test]
fn versions_are_2_and_3() {
    assert_eq!(one(&[("version", "2")]).protocol, Protocol::V2);
    assert_eq!(one(&[("version", "3")]).protocol, Protocol::V3);
    assert_eq!(one(&[("version", "\"2\"")]).protocol, Protocol::V2);
    assert_eq!(one(&[("version", "\"3\"")]).protocol, Protocol::V3);
    for value in [
        "1", "4", "\"4\"", "\"\"", "3.0", "\"3+2\"", "[2, 3]", "true",
    ] {
        let allowed = "allowed: 2, 3, \"2+3\"";
        refused(&[("version", value)], "version", allowed);
    }
}

/// MIX-1: both versions at once, over IPv4, with a note that it is not for ever.
#[test]
fn mix_1_both_versions_at_once() {
    let both = ("version", "\"2+3\"");
    let (loaded, texts) = warnings(&[both]);
    assert_eq!(loaded.config.vrouters[0].protocol, Protocol::Both);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains(": version: ") && texts[0].contains("NOT RECOMMENDED"));

    let v6 = ("vip", "\"fe80::1\"");
    refused(&[v6, both], "version", "is for IPv4 alone");
    refused(&[v6, both], "version", "allowed: 3");
    refused(&[v6, ("version", "4")], "version", "allowed: 3");
    refused(
        &[v6, ("version", "\"2\"")],
        "version",
        "2 is for IPv4 alone",
    );

    let format = Format::Toml;
    let several: String = (1..4)
        .map(|group| {
            format!(
                "[[vrouter]]\ngroup = {group}\ninterface = \"a\"\nvip = \"192.0.2.{group}\"\n\
                 iftype = \"macvlan\"\nversion = \"2+3\"\n"
            )
        })
        .collect();
    let warnings = accepted(&several, format).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].to_string().contains("2 more virtual routers"));
}

/// MIX-2: the intervals of version 3, with a warning where version 2 cannot tell them.
#[test]
fn mix_2_intervals_of_both_versions() {
    let both = ("version", "\"2+3\"");
    for (text, millis, announced) in [
        ("1", 1000, None),
        ("40", 40_000, None),
        ("3.0", 3000, None),
        ("0.01", 10, Some(1)),
        ("0.5", 500, Some(1)),
        ("1.01", 1010, Some(2)),
        ("40.95", 40_950, Some(41)),
    ] {
        let timers = format!("{{\"advert\": {text}}}");
        let (loaded, texts) = warnings(&[both, ("timers", &timers)]);
        let interval = loaded.config.vrouters[0].interval;
        assert_eq!(interval, Duration::from_millis(millis));
        let told: Vec<&String> = texts
            .iter()
            .filter(|text| text.contains(": timers.advert: "))
            .collect();
        match (announced, &told[..]) {
            (None, []) => {}
            (Some(seconds), [text]) => {
                assert!(text.contains(&format!("announces {seconds};")), "{text}");
            }
            _ => panic!("{text}: {texts:?}"),
        }
    }
    for text in ["0.005", "40.96", "41", "0", "255"] {
        let timers = format!("{{\"advert\": {text}}}");
        refused(
            &[both, ("timers", &timers)],
            "timers.advert",
            "allowed: 0.01..40.95",
        );
    }
}

/// MIX-1: a type that version 3 does not have would leave the virtual router open.
#[test]
fn mix_1_authentication_covers_both_versions() {
    let both = ("version", "\"2+3\"");
    let secret = ("auth_secret", "\"0123456789abcdef0123456789abcdef\"");
    let hmac = one(&[both, ("auth_type", "\"hmac-sha256\""), secret]).auth;
    assert!(matches!(hmac, Auth::HmacSha256(_)));
    for kind in [
        "rfc2338-simple",
        "rfc2338-ah",
        "p0-t8-sha256",
        "p1-t8-shake256",
        "p1-b8-shake256",
    ] {
        let kind = format!("\"{kind}\"");
        for allowed in ["leaves version 3 open", "allowed: hmac-sha256"] {
            refused(&[both, ("auth_type", &kind), secret], "auth_type", allowed);
        }
    }
}

#[test]
fn authentication_needs_type_secret_and_version_2() {
    let auth = |kind: &str| one(&[("auth_type", kind), ("auth_secret", "\"abc\"")]).auth;
    assert!(matches!(auth("\"rfc2338-simple\""), Auth::Simple(secret) if *secret.0 == b"abc"));
    assert!(matches!(auth("\"p0-t8-sha256\""), Auth::P0Sha256(secret) if *secret.0 == b"abc"));
    let p1 = auth("\"p1-t8-shake256\"");
    assert!(matches!(&p1, Auth::P1Shake256(secret) if *secret.0 == b"abc"));
    assert_eq!(auth("\"p1-b8-shake256\""), p1);

    let simple = ("auth_type", "\"rfc2338-simple\"");
    let secret = ("auth_secret", "\"abc\"");
    refused(&[simple], "auth_type", "there is no secret");
    refused(&[secret], "auth_secret", "there is no auth_type");
    refused(
        &[simple, ("auth_secret", "\"\"")],
        "auth_secret",
        "is empty",
    );
    refused(
        &[("version", "3"), simple, secret],
        "auth_type",
        "version = 2",
    );
    refused(
        &[simple, secret, ("auth_secret_file", "\"/x\"")],
        "auth_secret_file",
        "auth_secret stands in line 6",
    );
    refused(
        &[
            simple,
            ("auth_secret", &format!("\"{}\"", "s".repeat(1025))),
        ],
        "auth_secret",
        "is too long",
    );
}

#[test]
fn only_eight_bytes_of_a_simple_password_count() {
    let simple = ("auth_type", "\"rfc2338-simple\"");
    let (loaded, texts) = warnings(&[simple, ("auth_secret", "\"1234567ü9\"")]);
    assert!(
        matches!(&loaded.config.vrouters[0].auth, Auth::Simple(secret) if **secret.0 == *b"1234567\xc3")
    );
    assert_eq!(texts.len(), 1);
    assert!(
        texts[0].starts_with("f:5: auth_secret: ") && texts[0].contains("first 8 bytes"),
        "{texts:?}"
    );
    assert!(!texts[0].contains("1234567"));
    assert!(
        warnings(&[simple, ("auth_secret", "\"12345678\"")])
            .1
            .is_empty()
    );
    // The other types take the whole secret.
    let p0 = ("auth_type", "\"p0-t8-sha256\"");
    assert!(
        warnings(&[p0, ("auth_secret", "\"123456789\"")])
            .1
            .is_empty()
    );
}

#[test]
fn secrets_are_in_no_message_and_no_debug_output() {
    let key = "sesame-open-42";
    for (name, value) in [
        ("auth_secret", format!("\"{key}\"")),
        ("auth_secret", format!("[\"{key}\"]")),
        ("auth_secret", format!("{{\"{key}\": 1}}")),
        ("auth_secret_file", format!("\"{key}\"")),
        ("auth_secret_file", format!("\"/{key}\"")),
    ] {
        for kind in ["\"p0-t8-sha256\"", "\"rfc2338-simple\"", "7"] {
            for version in ["2", "3"] {
                let changes = [
                    ("auth_type", kind),
                    ("version", version),
                    (name, value.as_str()),
                ];
                for format in FORMATS {
                    let text = one_table(format, "vrouter", &router(&changes));
                    assert!(!format!("{:?}", parse(&text, "f", format)).contains("sesame"));
                }
            }
        }
    }
    for text in [
        format!("auth_secret = \"{key}\n"),
        format!("auth_secret = {key}\n"),
        format!("auth_secret = \"{key}\\q\"\n"),
        format!("auth_secret \"{key}\"\n"),
    ] {
        let errors = parse(&text, "f", Format::Toml).unwrap_err();
        assert!(!format!("{errors:?}").contains("sesame"), "{errors}");
    }
    for text in [
        format!("{{\"auth_secret\": \"{key}\n\"}}"),
        format!("{{\"auth_secret\": {key}}}"),
        format!("{{\"auth_secret\": \"{key}\\q\"}}"),
        format!("{{\"auth_secret\": \"{key}"),
    ] {
        let errors = parse(&text, "f", Format::Json).unwrap_err();
        assert!(!format!("{errors:?}").contains("sesame"), "{errors}");
    }
}

#[test]
fn proprietary_authentication_forces_the_exact_address_list() {
    for kind in ["\"p0-t8-sha256\"", "\"p1-t8-shake256\""] {
        let keys = [
            ("auth_type", kind),
            ("auth_secret", "\"abc\""),
            ("rfc3768", "false"),
        ];
        let (loaded, texts) = warnings(&keys);
        assert!(loaded.config.vrouters[0].rfc3768);
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].starts_with("f:7: rfc3768: "), "{texts:?}");
        assert!(warnings(&keys[..2]).1.is_empty());
    }
    assert!(!one(&[("rfc3768", "false")]).rfc3768);
}

#[test]
fn drivers_and_interface_types_that_do_not_fit_are_refused() {
    for name in ["\"libnl\"", "\"netlink\""] {
        assert_eq!(one(&[("netdrv", name)]).netdrv, NetworkDriver::Netlink);
    }
    assert_eq!(one(&[("netdrv", "\"ioctl\"")]).netdrv, NetworkDriver::Ioctl);
    let macvlan = ("iftype", "\"macvlan\"");
    refused(
        &[macvlan, ("netdrv", "\"ioctl\"")],
        "netdrv",
        "allowed: libnl",
    );
    refused(&[macvlan, ("virtual_mac", "false")], "virtual_mac", "ether");
    assert!(!one(&[("virtual_mac", "false")]).virtual_mac);
}

#[test]
fn names_of_routers_and_interfaces_are_checked() {
    assert_eq!(one(&[("name", "\"A.b-c_9\"")]).name, "A.b-c_9");
    let long = format!("\"{}\"", "a".repeat(32));
    for name in ["\"\"", "\"a b\"", "\"ü\"", "\"a/b\"", long.as_str()] {
        refused(&[("name", name)], "name", "1 to 31");
    }
    for name in [
        "\"\"",
        "\"a b\"",
        "\"a/b\"",
        "\".\"",
        "\"..\"",
        "\"a234567890123456\"",
    ] {
        refused(&[("interface", name)], "interface", "1 to 15 bytes");
        refused(&[("vifname", name)], "vifname", "1 to 15 bytes");
    }
    refused(
        &[("vifname", "\"eth0\"")],
        "vifname",
        "is the interface of a virtual router",
    );
    // Interface names are case-sensitive.
    assert_eq!(one(&[("interface", "\"Eth0\"")]).interface, "Eth0");
    one(&[("vifname", "\"Eth0\"")]);
}

#[test]
fn routes_have_one_network_and_one_next_hop() {
    let route = |text: &str| one(&[("routes", &format!("[{text}]"))]).routes[0].clone();
    let short = route(r#"{"route": "198.51.100.0/24", "nh": "192.0.2.9"}"#);
    assert_eq!(
        (short.prefix, short.table, short.metric, short.mtu),
        (24, 254, 0, 0)
    );
    for text in [
        r#"{"route": "198.51.100.0", "mask": "255.255.255.0", "nh": "192.0.2.9"}"#,
        r#"{"route": "198.51.100.0", "prefix": 24, "nh": "192.0.2.9"}"#,
        r#"{"route": "198.51.100.0", "mask": "255.255.255.0", "prefix": 24, "nh": "192.0.2.9"}"#,
    ] {
        assert_eq!(route(text), short);
    }
    let default = route(
        r#"{"route": "0.0.0.0", "mask": "0.0.0.0", "nh": "192.0.2.9", "mtu": 0, "metric": 5, "table": 7}"#,
    );
    assert_eq!((default.prefix, default.metric, default.table), (0, 5, 7));

    let refuses = |text: &str, key: &str, word: &str| {
        refused(
            &[("routes", &format!("[{{{text}}}]"))],
            &format!("routes.{key}"),
            word,
        );
    };
    let nh = r#""nh": "192.0.2.9""#;
    refuses(
        &format!(r#""route": "198.51.100.1/24", {nh}"#),
        "route",
        "the network 198.51.100.0/24",
    );
    refuses(
        &format!(r#""route": "198.51.100.0", {nh}"#),
        "route",
        "no prefix length",
    );
    refuses(
        &format!(r#""route": "198.51.100.0/24", "prefix": 24, {nh}"#),
        "route",
        "more than one",
    );
    refuses(
        &format!(r#""route": "198.51.100.0", "mask": "255.255.0.0", "prefix": 24, {nh}"#),
        "route",
        "more than one",
    );
    refuses(
        &format!(r#""route": "198.51.100.0/24", "mask": "255.255.255.0", {nh}"#),
        "route",
        "more than one",
    );
    refuses(
        &format!(r#""route": "198.51.100.0/33", {nh}"#),
        "route",
        "0..32",
    );
    refuses(
        &format!(r#""route": "198.51.100.0", "prefix": 33, {nh}"#),
        "prefix",
        "0..32",
    );
    refuses(
        &format!(r#""route": "198.51.100.0", "prefix": -1, {nh}"#),
        "prefix",
        "0..32",
    );
    refuses(
        &format!(r#""route": "198.51.100.0", "prefix": 200, {nh}"#),
        "prefix",
        "0..32",
    );
    refuses(
        &format!(r#""route": "198.51.100.0", "mask": "255.0.255.0", {nh}"#),
        "mask",
        "gaps",
    );
    refuses(
        &format!(r#""route": "198.51.100.0", "mask": "24", {nh}"#),
        "mask",
        "dotted quad",
    );
    refuses(
        &format!(r#""route": "default", {nh}"#),
        "route",
        "no IP address",
    );
    refuses(
        r#""route": "198.51.100.0/24", "nh": "2001:db8::1""#,
        "nh",
        "allowed: IPv4",
    );
    refuses(
        r#""route": "198.51.100.0/24", "nh": "0.0.0.0""#,
        "nh",
        "unicast",
    );
    refuses(
        r#""route": "2001:db8::/32", "nh": "fe80::1""#,
        "nh",
        "no link-local",
    );
    let v6 = route(r#"{"route": "2001:db8::/32", "nh": "2001:db8:1::1"}"#);
    assert_eq!(v6.prefix, 32);
    let twice =
        r#"{"route": "0.0.0.0/0", "nh": "192.0.2.9"}, {"route": "0.0.0.0/0", "nh": "192.0.2.8"}"#;
    refused(
        &[("routes", &format!("[{twice}]"))],
        "routes.route",
        "line 5 already",
    );
}

#[test]
fn all_errors_of_a_file_are_reported_by_line() {
    let text = "debug = 9\ntypo = 1\n[[vrouter]]\ngroup = 0\ninterface = \"a b\"\nvip = \"x\"\n\
                priority = 255\n[[vrouter]]\n[protocols]\n[[protocols.static]]\nroute = \"1.2.3.4\"\n\
                debug = 1\n[api]\ntls = 1\ntls = 2\n";
    let errors = parse(text, "f", Format::Toml).unwrap_err();
    let places: Vec<(u32, &str)> = errors
        .errors
        .iter()
        .map(|error| (error.line, error.key.as_str()))
        .collect();
    assert_eq!(
        places,
        [
            (1, "debug"),
            (2, "typo"),
            (4, "group"),
            (5, "interface"),
            (6, "vip"),
            (7, "priority"),
            (8, "group"),
            (8, "interface"),
            (8, "vip"),
            (10, "nh"),
            (11, "route"),
            (12, "debug"),
            (14, "tls"),
            (15, "tls"),
        ]
    );
    assert_eq!(errors.to_string().lines().count(), places.len());
    assert_eq!(errors.warnings, []);
}

/// It may be meant, for an owner always accepts.
#[test]
fn who_binds_where_nothing_is_accepted_is_warned() {
    let (_, texts) = warnings(&[("nonlocal_bind", "true"), ("accept_mode", "false")]);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        texts[0].contains("nonlocal_bind: applications bind"),
        "{texts:?}"
    );
    for changes in [
        [("nonlocal_bind", "true"), ("accept_mode", "true")],
        [("nonlocal_bind", "false"), ("accept_mode", "false")],
    ] {
        assert_eq!(warnings(&changes).1, [""; 0]);
    }
}
