//! Rules between virtual routers.

use std::sync::Arc;

use rvrrpd::config::model::VirtualRouter;

use crate::text::{FORMATS, Pairs, accepted, only_error, pairs, router, vrouters};

/// Asserts one error in a file of several virtual routers.
fn refused_together(routers: &[Pairs], line: u32, key: &str, words: &[&str]) {
    for format in FORMATS {
        let error = only_error(&vrouters(format, routers), format);
        assert_eq!((error.line, error.key.as_str()), (line, key), "{error}");
        for word in words {
            assert!(error.message.contains(word), "{error}, without {word}");
        }
    }
}

fn together(routers: &[Pairs]) -> Vec<Arc<VirtualRouter>> {
    let [a, b] = FORMATS.map(|format| accepted(&vrouters(format, routers), format).config);
    assert_eq!(a, b);
    a.vrouters
}

fn macvlan(group: &str, interface: &str, vip: &str) -> Pairs {
    router(&[
        ("group", group),
        ("interface", interface),
        ("vip", vip),
        ("iftype", "\"macvlan\""),
    ])
}

fn and(mut all: Pairs, key: &str, value: &str) -> Pairs {
    all.extend(pairs(&[(key, value)]));
    all
}

#[test]
fn a_virtual_router_stands_once() {
    let first = macvlan("7", "\"eth0\"", "\"192.0.2.1\"");
    let second = macvlan("7", "\"eth0\"", "\"192.0.2.1\"");
    refused_together(
        &[first.clone(), second],
        7,
        "group",
        &["group 7 of eth0 (IPv4)", "line 2 already"],
    );
    together(&[first, macvlan("7", "\"eth1\"", "\"192.0.2.1\"")]);
}

/// Of a carrier that there is none of, nothing else is said.
#[test]
fn a_wrong_iftype_is_the_only_error() {
    let wrong = router(&[
        ("group", "2"),
        ("vip", "\"192.0.2.2\""),
        ("iftype", "\"epbf\""),
    ]);
    let first = macvlan("1", "\"eth0\"", "\"192.0.2.1\"");
    refused_together(&[first, wrong], 10, "iftype", &["epbf", "ebpf, auto"]);
}

#[test]
fn names_and_vifnames_stand_once() {
    let first = macvlan("1", "\"eth0\"", "\"192.0.2.1\"");
    let second = macvlan("2", "\"eth0\"", "\"192.0.2.2\"");
    refused_together(
        &[
            and(first.clone(), "name", "\"a\""),
            and(second.clone(), "name", "\"a\""),
        ],
        12,
        "name",
        &["line 6 already"],
    );
    // A given name may be the default of another one.
    refused_together(
        &[first.clone(), and(second.clone(), "name", "\"eth0-1\"")],
        11,
        "name",
        &["line 1 already"],
    );
    refused_together(
        &[
            and(first.clone(), "vifname", "\"v\""),
            and(second.clone(), "vifname", "\"v\""),
        ],
        12,
        "vifname",
        &["line 6 already"],
    );
    refused_together(
        &[
            and(first, "vifname", "\"eth1\""),
            macvlan("2", "\"eth1\"", "\"192.0.2.2\""),
        ],
        6,
        "vifname",
        &["is the interface"],
    );
}

#[test]
fn default_vifnames_are_unique_and_in_the_order_of_the_interfaces() {
    let names = |routers: &[Pairs]| -> Vec<String> {
        together(routers)
            .into_iter()
            .map(|router| router.vifname.clone())
            .collect()
    };
    let vip = "\"192.0.2.1\"";
    let routers = [
        macvlan("1", "\"eth2\"", vip),
        macvlan("1", "\"eth0\"", vip),
        macvlan("1", "\"eth1\"", vip),
        macvlan("2", "\"eth2\"", "\"192.0.2.2\""),
    ];
    assert_eq!(
        names(&routers),
        ["standby1-3", "standby1", "standby1-2", "standby2"]
    );
    // Given names stay, and are skipped; so are the names of interfaces.
    let routers = [
        and(macvlan("2", "\"eth9\"", vip), "vifname", "\"standby1\""),
        macvlan("1", "\"standby1-2\"", vip),
        macvlan("1", "\"eth0\"", vip),
    ];
    assert_eq!(names(&routers), ["standby1", "standby1-4", "standby1-3"]);
}

#[test]
fn default_vifnames_are_names_of_interfaces() {
    // The name of the last one would be standby255-10000.
    let mut routers: Vec<Pairs> = (0..10_000)
        .map(|at| macvlan("255", &format!("\"e{at:05}\""), "\"192.0.2.1\""))
        .collect();
    refused_together(&routers, 5 * 9999 + 1, "vifname", &["at most 15 bytes"]);
    routers.pop();
    assert_eq!(together(&routers)[9998].vifname, "standby255-9999");
}

#[test]
fn an_address_stands_once_on_an_interface() {
    refused_together(
        &[
            macvlan("1", "\"eth0\"", "[\"192.0.2.1\", \"192.0.2.2/24\"]"),
            macvlan("2", "\"eth0\"", "[\"192.0.2.3\", \"192.0.2.2\"]"),
        ],
        9,
        "vip",
        &["192.0.2.2 of eth0", "line 4 already"],
    );
}

#[test]
fn an_interface_carries_one_virtual_mac() {
    let ether = |group, vip| router(&[("group", group), ("vip", vip), ("iftype", "\"ether\"")]);
    let words = ["macvlan", "virtual_mac = false here", "others (line 1)"];
    let first = ether("1", "\"192.0.2.1\"");
    let second = ether("2", "\"192.0.2.2\"");
    let third = ether("3", "\"192.0.2.3\"");
    let both = [first.clone(), second.clone()];
    refused_together(
        &both,
        10,
        "iftype",
        &[&words[..], &["here and in line 1"]].concat(),
    );
    // One error for an interface, however many there are.
    let fourth = and(ether("4", "\"192.0.2.4\""), "virtual_mac", "false");
    let fifth = macvlan("5", "\"eth0\"", "\"192.0.2.5\"");
    refused_together(
        &[first.clone(), second.clone(), third, fourth, fifth],
        15,
        "iftype",
        &[
            "others (line 1, line 6, line 16, 1 more)",
            "here and in line 1, line 6",
        ],
    );
    // The one that is in the way of the others is told of, wherever it stands.
    let words = ["macvlan", "virtual_mac = false here", "others (line 6)"];
    refused_together(
        &[first.clone(), macvlan("2", "\"eth0\"", "\"192.0.2.2\"")],
        5,
        "iftype",
        &words,
    );
    refused_together(
        &[first.clone(), and(second.clone(), "virtual_mac", "false")],
        5,
        "iftype",
        &words,
    );
    together(&[
        and(first, "virtual_mac", "false"),
        and(second, "virtual_mac", "false"),
        macvlan("3", "\"eth0\"", "\"192.0.2.3\""),
    ]);
    // Without `iftype` it is the line of the interface.
    refused_together(
        &[
            router(&[]),
            router(&[("group", "2"), ("vip", "\"192.0.2.2\"")]),
        ],
        7,
        "iftype",
        &["others (line 1)"],
    );
}

/// Interfaces, groups, addresses and names of macvlans are those of a network namespace.
#[test]
fn network_namespaces_have_interfaces_of_their_own() {
    let ether = |netns: &str| {
        let all = [
            ("group", "7"),
            ("interface", "\"eth0\""),
            ("vip", "\"192.0.2.1\""),
        ];
        let all = router(&all);
        if netns.is_empty() {
            all
        } else {
            and(all, "netns", netns)
        }
    };
    let three = together(&[ether(""), ether("\"red\""), ether("\"blue\"")]);
    let named = three.iter().map(|router| (&*router.name, &*router.vifname));
    let expected = ["eth0-7", "red-eth0-7", "blue-eth0-7"].map(|name| (name, "standby7"));
    assert_eq!(named.collect::<Vec<_>>(), expected);
    let names: Vec<_> = three
        .iter()
        .map(|router| router.site().to_string())
        .collect();
    assert_eq!(names[1], "eth0 in network namespace red");

    let twice = [ether("\"red\""), ether("\"red\"")];
    let words = ["group 7 of eth0 in network namespace red", "line 2 already"];
    refused_together(&twice, 7, "group", &words);
    let vif = |netns| and(ether(netns), "vifname", "\"v0\"");
    together(&[vif("\"red\""), vif("\"blue\"")]);
    let other = |group, vip: &str| {
        let changes = [("group", group), ("vip", vip), ("interface", "\"eth0\"")];
        and(router(&changes), "netns", "\"red\"")
    };
    let crowded = [ether("\"red\""), other("8", "\"192.0.2.2\"")];
    let words = [
        "lets eth0 in network namespace red carry",
        "others (line 1)",
    ];
    refused_together(&crowded, 8, "iftype", &words);
}

#[test]
fn the_gate_of_a_network_namespace_has_room_for_16384_addresses() {
    let of = |group: u32, addresses: u32, changes: &[(&str, &str)]| {
        let vips: Vec<String> = (1..=addresses)
            .map(|host| format!("10.0.{group}.{host}"))
            .collect();
        let vips = serde_json::to_string(&vips).unwrap();
        let number = group.to_string();
        let base = router(&[("group", &number), ("vip", &vips)]);
        changes
            .iter()
            .fold(base, |all, (key, value)| and(all, key, value))
    };
    let (auto, macvlan) = (("iftype", "\"auto\""), ("iftype", "\"macvlan\""));
    let most = |last: u32, changes: &[(&str, &str)]| -> Vec<Pairs> {
        let full = (1..=64).map(|group| of(group, 255, changes));
        full.chain([of(65, last, changes)]).collect()
    };
    together(&most(64, &[auto]));
    together(&most(65, &[macvlan]));
    let line = 64 * 5 + 4;
    for changes in [&[auto][..], &[("iftype", "\"ebpf\"")]] {
        let words = ["16385", "at most 16384 in one network namespace"];
        refused_together(&most(65, changes), line, "vip", &words);
    }
    let silent = [macvlan, ("accept_mode", "false")];
    refused_together(&most(65, &silent), 64 * 6 + 4, "vip", &["16385"]);
    let elsewhere = [auto, ("netns", "\"red\"")];
    let mut both = most(64, &[auto]);
    both.extend(most(64, &elsewhere));
    together(&both);
}
