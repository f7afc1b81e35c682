//! Differences of two configurations.

use proptest::prelude::*;
use rvrrpd::config::model::{Config, RouterKey, VirtualRouter};
use rvrrpd::config::{Format, GLOBAL_NEEDS_RESTART, diff, schema};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::properties::config;
use crate::text::accepted;

fn by_key(config: &Config) -> BTreeMap<RouterKey, Arc<VirtualRouter>> {
    config
        .vrouters
        .iter()
        .map(|router| (router.key(), router.clone()))
        .collect()
}

fn routers(text: &str) -> Config {
    accepted(text, Format::Toml).config
}

fn router(group: u8, interface: &str, more: &str) -> String {
    format!(
        "[[vrouter]]\ngroup = {group}\ninterface = \"{interface}\"\nvip = \"192.0.2.{group}\"\n\
         iftype = \"macvlan\"\n{more}\n"
    )
}

#[test]
fn a_configuration_does_not_differ_from_itself() {
    let config = routers(&(router(1, "a", "") + &router(2, "a", "")));
    let same = diff(&config, &config);
    assert_eq!(same.unchanged, 2);
    assert!(same.added.is_empty() && same.removed.is_empty() && same.changed.is_empty());
    assert!(!same.static_routes_changed && same.global_changed.is_empty());
}

#[test]
fn routers_are_told_apart_by_interface_family_and_group() {
    let old = routers(&(router(1, "a", "") + &router(2, "a", "") + &router(3, "a", "")));
    let new = routers(
        &(router(3, "a", "")
            + &router(2, "a", "priority = 7\nname = \"other\"")
            + &router(1, "b", "")),
    );
    let diff = diff(&old, &new);
    assert_eq!(diff.added, [new.vrouters[2].clone()]);
    assert_eq!(diff.removed, [old.vrouters[0].key()]);
    assert_eq!(
        diff.changed,
        [(old.vrouters[1].clone(), new.vrouters[1].clone())]
    );
    assert_eq!(diff.unchanged, 1);
}

#[test]
fn every_key_of_the_top_level_is_compared() {
    let old = routers("");
    let mut named = Vec::new();
    for (key, text) in [
        ("debug", "debug = 1"),
        ("time_zone", "time_zone = \"utc\""),
        ("time_format", "time_format = \"short\""),
        ("log_format", "log_format = \"json\""),
        ("log_target", "log_target = \"syslog\""),
        ("pid", "pid = \"/x\""),
        ("working_dir", "working_dir = \"/x\""),
        ("run_dir", "run_dir = \"/x\""),
        ("main_log", "main_log = \"/x\""),
        ("error_log", "error_log = \"/x\""),
        ("workers", "workers = 1"),
        ("realtime", "realtime = false"),
        ("api", "[api]"),
    ] {
        let difference = diff(&old, &routers(text));
        assert_eq!(difference.global_changed, [key]);
        assert!(!difference.static_routes_changed);
        named.push(key);
    }
    for key in schema::TOP.keys {
        let elsewhere = ["vrouter", "protocols", "client_api", "sync_group", "track"];
        assert!(
            named.contains(&key.name) || elsewhere.contains(&key.name),
            "{}",
            key.name
        );
    }
    assert!(GLOBAL_NEEDS_RESTART.iter().all(|key| named.contains(key)));

    let routes = "[[protocols.static]]\nroute = \"0.0.0.0/0\"\nnh = \"192.0.2.1\"\n";
    let difference = diff(&old, &routers(routes));
    assert!(difference.static_routes_changed && difference.global_changed.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_difference_makes_the_new_one_out_of_the_old_one(old in config(), new in config()) {
        let difference = diff(&old, &new);
        let mut routers = by_key(&old);
        for key in &difference.removed {
            prop_assert!(routers.remove(key).is_some());
        }
        for (before, after) in &difference.changed {
            prop_assert_ne!(before, after);
            prop_assert_eq!(before.key(), after.key());
            prop_assert_eq!(routers.insert(after.key(), after.clone()), Some(before.clone()));
        }
        for router in &difference.added {
            prop_assert!(routers.insert(router.key(), router.clone()).is_none());
        }
        let new_routers = by_key(&new);
        let touched = difference.added.len() + difference.changed.len();
        prop_assert_eq!(difference.unchanged + touched, new_routers.len());
        prop_assert_eq!(routers, new_routers);
        prop_assert_eq!(difference.static_routes_changed, old.static_routes != new.static_routes);
        prop_assert_eq!(difference.global_changed.is_empty(), old.global == new.global && old.api == new.api);
    }
}
