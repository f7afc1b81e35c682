//! Unicast peers: what is accepted, and that nothing falls back to multicast in silence.

use std::net::IpAddr;

use rvrrpd::config::model::{Config, Unicast};
use rvrrpd::config::{Format, diff};

use crate::rules::warnings;
use crate::text::{FORMATS, accepted, one_table, only_error, router};

fn config(changes: &[(&str, &str)]) -> Config {
    let [a, b] = FORMATS
        .map(|format| accepted(&one_table(format, "vrouter", &router(changes)), format).config);
    assert_eq!(a, b);
    a
}

fn unicast(changes: &[(&str, &str)]) -> Option<Unicast> {
    config(changes).vrouters[0].unicast.clone()
}

/// Asserts one error about `key`, in the line of that key, with `word`.
fn refused(changes: &[(&str, &str)], key: &str, word: &str) {
    let pairs = router(changes);
    let line = pairs.iter().position(|(name, _)| name == key).unwrap() + 2;
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

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn without_the_keys_there_are_no_peers() {
    assert_eq!(unicast(&[]), None);
}

#[test]
fn peers_alone_have_defaults_beside_them() {
    for (list, peers) in [
        (r#"["192.0.2.8"]"#, addresses(&["192.0.2.8"])),
        (r#""192.0.2.8""#, addresses(&["192.0.2.8"])),
        (
            r#"["192.0.2.9", "198.51.100.1"]"#,
            addresses(&["192.0.2.9", "198.51.100.1"]),
        ),
    ] {
        let unicast = unicast(&[("unicast_peers", list)]).unwrap();
        assert_eq!(unicast.peers, peers);
        assert_eq!((unicast.source, unicast.min_ttl), (None, 255));
    }
}

#[test]
fn all_three_keys() {
    let unicast = unicast(&[
        ("unicast_peers", r#"["192.0.2.8"]"#),
        ("unicast_src", r#""192.0.2.7""#),
        ("unicast_min_ttl", "64"),
    ]);
    let unicast = unicast.unwrap();
    assert_eq!(unicast.source, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(unicast.min_ttl, 64);
}

/// An empty list is a mistake, not the wish for multicast.
#[test]
fn an_empty_list_is_an_error() {
    refused(&[("unicast_peers", "[]")], "unicast_peers", "is empty");
    // Neither is it one when another key of unicast stands beside it.
    refused(
        &[("unicast_src", r#""192.0.2.7""#), ("unicast_peers", "[]")],
        "unicast_peers",
        "is empty",
    );
}

#[test]
fn the_other_keys_need_peers() {
    for (key, value) in [
        ("unicast_src", r#""192.0.2.7""#),
        ("unicast_min_ttl", "255"),
    ] {
        refused(&[(key, value)], key, "only together with unicast_peers");
    }
}

#[test]
fn peers_are_other_hosts_of_the_same_family() {
    for (list, word) in [
        (r#"["192.0.2.8", "192.0.2.8"]"#, "twice"),
        (r#"["2001:db8::8"]"#, "allowed: IPv4"),
        (r#"["192.0.2.8", "2001:db8::8"]"#, "allowed: IPv4"),
        (r#"["192.0.2.1"]"#, "is a virtual address"),
        (r#"["224.0.0.18"]"#, "is a multicast address"),
        (r#"["255.255.255.255"]"#, "is the broadcast address"),
        (r#"["127.0.0.1"]"#, "is a loopback address"),
        (r#"["0.0.0.0"]"#, "is unspecified"),
        (r#"["peer.example"]"#, "is no IP address"),
        (r#"["192.0.2.8/24"]"#, "is no IP address"),
        (r#"[""]"#, "is no IP address"),
    ] {
        refused(&[("unicast_peers", list)], "unicast_peers", word);
    }
    for key in ["unicast_src", "primary"] {
        refused(
            &[
                (key, r#""192.0.2.8""#),
                ("unicast_peers", r#"["192.0.2.8"]"#),
            ],
            "unicast_peers",
            "is our own source",
        );
    }
    // `primary` is not the source when `unicast_src` is.
    config(&[
        ("primary", r#""192.0.2.8""#),
        ("unicast_src", r#""192.0.2.7""#),
        ("unicast_peers", r#"["192.0.2.8"]"#),
    ]);
}

#[test]
fn at_most_64_peers() {
    let list = |count: usize| {
        let texts: Vec<String> = (1..=count).map(|n| format!("\"198.51.100.{n}\"")).collect();
        format!("[{}]", texts.join(", "))
    };
    assert_eq!(
        unicast(&[("unicast_peers", &list(64))])
            .unwrap()
            .peers
            .len(),
        64
    );
    refused(
        &[("unicast_peers", &list(65))],
        "unicast_peers",
        "65 addresses, allowed: at most 64",
    );
}

#[test]
fn the_source_is_a_host_address_of_the_family() {
    for (source, word) in [
        (r#""2001:db8::7""#, "allowed: IPv4"),
        (r#""224.0.0.18""#, "is a multicast address"),
        (r#""""#, "is no IP address"),
    ] {
        refused(
            &[
                ("unicast_peers", r#"["192.0.2.8"]"#),
                ("unicast_src", source),
            ],
            "unicast_src",
            word,
        );
    }
}

#[test]
fn the_limit_of_the_ttl_has_a_range() {
    let with = |value| {
        [
            ("unicast_peers", r#"["192.0.2.8"]"#),
            ("unicast_min_ttl", value),
        ]
    };
    for (value, least) in [("1", 1), ("255", 255)] {
        assert_eq!(unicast(&with(value)).unwrap().min_ttl, least);
    }
    for value in ["0", "256", "-1"] {
        refused(&with(value), "unicast_min_ttl", "allowed: 1..255");
    }
}

/// From multicast to unicast and back, or to other peers, is a change of the same virtual router.
#[test]
fn a_reload_changes_the_router_in_place() {
    let texts = [
        "",
        "unicast_peers = [\"192.0.2.8\"]\n",
        "unicast_peers = [\"192.0.2.9\"]\n",
        "unicast_peers = [\"192.0.2.9\"]\nunicast_src = \"192.0.2.7\"\n",
        "unicast_peers = [\"192.0.2.9\"]\nunicast_min_ttl = 254\n",
    ];
    let configs = texts.map(|text| {
        let text =
            format!("[[vrouter]]\ngroup = 1\ninterface = \"e\"\nvip = \"192.0.2.1\"\n{text}");
        accepted(&text, Format::Toml).config
    });
    for (place, old) in configs.iter().enumerate() {
        for new in &configs[place + 1..] {
            let diff = diff(old, new);
            assert_eq!((diff.changed.len(), diff.unchanged), (1, 0));
            assert!(diff.added.is_empty() && diff.removed.is_empty());
        }
    }
}

#[test]
fn peers_and_a_virtual_mac_on_the_interface_itself_are_warned_of() {
    let peers = ("unicast_peers", r#"["192.0.2.8"]"#);
    let (_, texts) = warnings(&[peers]);
    assert_eq!(texts.len(), 1, "{texts:#?}");
    assert!(texts[0].contains("unicast_peers") && texts[0].contains("virtual_mac = false"));
    for other in [
        ("virtual_mac", "false"),
        ("iftype", "\"macvlan\""),
        ("iftype", "\"ebpf\""),
    ] {
        assert_eq!(warnings(&[peers, other]).1, [""; 0], "{other:?}");
    }
    assert_eq!(warnings(&[]).1, [""; 0]);
}
