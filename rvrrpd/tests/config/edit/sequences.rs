//! Properties: after any sequence of changes the text says what was asked, to the daemon that
//! reads it, and every comment that is not about something removed is still there.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rvrrpd::config::edit::{Change, Document, EditError};
use rvrrpd::config::model::{Config, VirtualRouter};
use rvrrpd::config::{Format, parse};
use serde_json::{Map, Value, json};

use super::document;

/// Files with the same routers in all forms that TOML has. A comment `kN` stays whatever happens,
/// `rN` as long as the router of group N is there.
const TOML: [&str; 3] = [
    r#"# k1
debug = 0 # k2

# k3

# r1 attached
[[vrouter]] # r1
group = 1 # r1
interface = "eth0"
# r1 above
vip = [ # r1 open
    "10.1.0.1", # first
    # r1 above the second
    "10.1.0.2",
    # r1 last
]
iftype = "macvlan"
# r1 above timers
timers.advert = 2
# k4 behind

# k5

[[vrouter]]
# r2 a
group = 2
interface = "eth0"
vip = '10.2.0.1'
"iftype" = "macvlan"
# r2 b
priority = 1_0_0
# r2 c
[vrouter.timers] # r2 timers
# r2 d
advert = 1
# k6

[api] # k7
# k8
users = [] # k9

[[vrouter]]
group = 3
interface = "eth1"
vip = """10.3.0.1"""
iftype = "macvlan"
# r3 above routes
[[vrouter.routes]]
# r3 in routes
route = "198.51.100.0/24"
nh = "10.0.0.1"
# k10"#,
    r#"# k1
vrouter = [ # r1 open
    # r1 above
    { group = 1, interface = "eth0", vip = ["10.1.0.1", "10.1.0.2"], iftype = "macvlan", timers = { advert = 2 } },
    # k2
    { group = 2, interface = "eth0", vip = "10.2.0.1", iftype = "macvlan", priority = 100, timers.advert = 1 },
    # k3
    { group = 3, interface = "eth1", vip = "10.3.0.1", iftype = "macvlan", routes = [{ route = "198.51.100.0/24", nh = "10.0.0.1" }] }
    # k4
]
# k5
[api]
users = [] # k6
# k7
"#,
    r#"vrouter = [{ group = 1, interface = "eth0", vip = ["10.1.0.1", "10.1.0.2"], iftype = "macvlan", timers = { advert = 2 } },
{ group = 2, interface = "eth0", vip = "10.2.0.1", iftype = "macvlan", priority = 100, timers = { advert = 1 } }, { group = 3, interface = "eth1", vip = "10.3.0.1", iftype = "macvlan", routes = [
  { route = "198.51.100.0/24", # route
    nh = "10.0.0.1" }] }] # k1
api = { users = [] }"#,
];

const JSON: &str = r#"{"api": {"users": []},
 "vrouter": [
  { "group": 1, "interface": "eth0", "vip": ["10.1.0.1",
    "10.1.0.2"], "iftype": "macvlan", "timers": {"advert": 2} },
  {"group": 2, "interface": "eth0", "vip": "10.2.0.1", "iftype": "macvlan", "priority": 100, "timers": { "advert": 1 }},
  {"group": 3, "interface": "eth1", "vip": "10.3.0.1", "iftype": "macvlan",
   "routes": [{"route": "198.51.100.0/24", "nh": "10.0.0.1"}]}
]}"#;

/// A request, before it is known what routers there are.
#[derive(Clone, Debug)]
enum Wish {
    Create(Map<String, Value>),
    Modify(Index, Map<String, Value>),
    Delete(Index),
    SetEnabled(Index, bool),
}

fn pair() -> impl Strategy<Value = (String, Value)> {
    let vip = |(group, host): (u8, u8)| json!(format!("10.{group}.0.{host}"));
    let address = (1..=4_u8, 1..=6_u8).prop_map(vip);
    let route = (0..=3_u8, 0..=2_u32).prop_map(|(net, metric)| {
        json!({"route": format!("203.0.{net}.0/24"), "nh": "10.0.0.1", "metric": metric})
    });
    prop_oneof![
        ("priority", (0..=255_u8).prop_map(Value::from)),
        (
            "timers",
            select(vec![
                json!({"advert": 1}),
                json!({"advert": 0.5}),
                json!({"advert": null}),
                json!({"x": 1}),
                json!({})
            ])
        ),
        ("vip", address.clone()),
        ("vip", vec(address, 0..5).prop_map(Value::from)),
        ("routes", vec(route, 0..4).prop_map(Value::from)),
        ("preemption", any::<bool>().prop_map(Value::from)),
        (
            "preempt_delay",
            select(vec![json!(0), json!(1.5), json!(1e300), json!("1")])
        ),
        (
            "name",
            select(vec![json!("a"), json!("b"), json!("eth0-1"), json!("ü#\n")])
        ),
        (
            "version",
            select(vec![json!(2), json!(3), json!("2+3"), json!(null)])
        ),
        ("interface", select(vec![json!("eth0"), json!("eth1")])),
        ("group", select(vec![json!(1), json!(2), json!(u64::MAX)])),
        ("vifname", select(vec![json!("standby2"), json!("v")])),
        ("primary", Just(json!("10.9.0.1"))),
        ("auth_type", Just(json!("rfc2338-simple"))),
        ("auth_secret", "[ -~]{1,6}".prop_map(Value::from)),
        ("unknown", Just(json!([null]))),
        (
            select(vec![
                "priority",
                "timers",
                "vip",
                "routes",
                "name",
                "version",
                "iftype",
                "preemption",
                "auth_type",
                "auth_secret",
                "vifname"
            ])
            .prop_map(str::to_owned),
            Just(Value::Null)
        ),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let keys = || vec(pair(), 0..4).prop_map(|pairs| pairs.into_iter().collect());
    let new = (keys(), 1..=5_u8, select(vec!["eth0", "eth1", "eth2"]));
    prop_oneof![
        2 => new.prop_map(|(more, group, interface): (Map<String, Value>, _, _)| {
            let mut keys = super::keys(json!({
                "group": group, "interface": interface, "vip": format!("10.{group}.1.1"),
                "iftype": "macvlan",
            }));
            keys.extend(more);
            Wish::Create(keys)
        }),
        6 => (any::<Index>(), keys()).prop_map(|(at, keys)| Wish::Modify(at, keys)),
        1 => any::<Index>().prop_map(Wish::Delete),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(at, enabled)| Wish::SetEnabled(at, enabled)),
    ]
}

/// RFC 7396, as its section 2 says it.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        let Value::Object(target) = &mut *target else {
            panic!();
        };
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// A configuration without the names that the daemon makes itself.
fn without_vifnames(config: &Config) -> Config {
    let mut config = config.clone();
    for router in &mut config.vrouters {
        Arc::make_mut(router).vifname.clear();
    }
    config
}

fn by_name(config: &Config) -> BTreeMap<String, Arc<VirtualRouter>> {
    let routers = config.vrouters.iter();
    routers.map(|it| (it.name.clone(), it.clone())).collect()
}

/// The model of the routers as JSON, and the change of it that a wish means.
fn asked(routers: &[Value], at: Option<usize>, change: &Change) -> Vec<Value> {
    let mut routers = routers.to_vec();
    match (change, at) {
        (Change::Create(keys), _) => {
            let mut router = json!({});
            merge(&mut router, &Value::Object(keys.clone()));
            routers.push(router);
        }
        (Change::Modify { keys, .. }, Some(at)) => {
            merge(&mut routers[at], &Value::Object(keys.clone()));
        }
        (Change::SetEnabled { enabled, .. }, Some(at)) => {
            merge(&mut routers[at], &json!({"enabled": enabled}));
        }
        (Change::Delete { .. }, Some(at)) => {
            routers.remove(at);
        }
        _ => panic!(),
    }
    routers
}

/// Comments that have to be there: all that stay, and those of the routers that are still there.
fn comments(text: &str, groups: &[u64]) -> Vec<String> {
    let tags = text.lines().filter_map(|line| line.split_once("# "));
    tags.map(|(_, tag)| tag.to_owned())
        .filter(|tag| {
            let owner = tag.split(' ').next().unwrap_or_default();
            owner.starts_with('k') || groups.iter().any(|group| owner == format!("r{group}"))
        })
        .collect()
}

/// Whether a key that comments of the file are about was removed or made another kind of value:
/// the comments inside go with it.
fn touches_commented(change: &Change) -> bool {
    let Change::Modify { keys, .. } = change else {
        return false;
    };
    keys.iter().any(|(key, value)| match key.as_str() {
        "vip" => !value.is_array(),
        "routes" | "timers" => true,
        _ => false,
    })
}

fn follow(text: &str, format: Format, wishes: &[Wish]) -> Result<(), TestCaseError> {
    let mut now: Document = document(text, format);
    let mut routers = document(JSON, Format::Json)
        .config()
        .vrouters
        .iter()
        .map(|_| json!({}))
        .collect::<Vec<_>>();
    let whole: Value = serde_json::from_str(JSON).unwrap();
    routers.clone_from_slice(whole["vrouter"].as_array().unwrap());
    let api = &whole["api"];
    prop_assert_eq!(&without_vifnames(now.config()).vrouters.len(), &3);
    let mut living = vec![1, 2, 3];
    let mut origin = vec![Some(1_u64), Some(2), Some(3)];
    for wish in wishes {
        let names: Vec<String> = now
            .config()
            .vrouters
            .iter()
            .map(|it| it.name.clone())
            .collect();
        let (at, change) = match wish {
            Wish::Create(keys) => (None, Change::Create(keys.clone())),
            _ if names.is_empty() => continue,
            Wish::Modify(index, keys) => {
                let at = index.index(names.len());
                let name = names[at].clone();
                (
                    Some(at),
                    Change::Modify {
                        name,
                        keys: keys.clone(),
                    },
                )
            }
            Wish::Delete(index) => {
                let at = index.index(names.len());
                (
                    Some(at),
                    Change::Delete {
                        name: names[at].clone(),
                    },
                )
            }
            Wish::SetEnabled(index, enabled) => {
                let at = index.index(names.len());
                let name = names[at].clone();
                (
                    Some(at),
                    Change::SetEnabled {
                        name,
                        enabled: *enabled,
                    },
                )
            }
        };
        let wanted = asked(&routers, at, &change);
        let wanted_text = json!({"vrouter": wanted, "api": api}).to_string();
        let judged = parse(&wanted_text, "model", Format::Json);
        match (now.apply(&change), judged) {
            (Ok(next), Ok(judged)) => {
                let read = parse(next.text(), "new", format)
                    .map_err(|errors| TestCaseError::fail(format!("{errors}\n{}", next.text())))?;
                prop_assert_eq!(&read.config, next.config());
                prop_assert_eq!(
                    without_vifnames(&read.config),
                    without_vifnames(&judged.config)
                );
                let (before, after) = (by_name(now.config()), by_name(next.config()));
                for (name, router) in &after {
                    if next.subject() != Some(name) {
                        prop_assert_eq!(before.get(name), Some(router), "{}", name);
                    }
                }
                if let (Change::Delete { .. }, Some(at)) = (&change, at) {
                    if let Some(group) = origin.remove(at) {
                        living.retain(|it| *it != group);
                    }
                } else if at.is_none() {
                    origin.push(None);
                } else if let Some(at) = at
                    && touches_commented(&change)
                    && let Some(group) = origin[at]
                {
                    living.retain(|it| *it != group);
                }
                for comment in comments(text, &living) {
                    prop_assert!(
                        next.text().contains(&format!("# {comment}")),
                        "{} is gone after {:?}:\n{}",
                        comment,
                        change,
                        next.text()
                    );
                }
                routers = wanted;
                now = next;
            }
            (Err(EditError::Invalid(_) | EditError::Conflict(_)), Err(_)) => {}
            // The daemon gave this name to another router already.
            (Err(EditError::Conflict(problem)), Ok(_)) if problem.key == "vifname" => {}
            (now, judged) => prop_assert!(
                false,
                "{change:?}\nedited: {now:?}\njudged: {judged:?}\n{wanted_text}"
            ),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_changes_says_what_was_asked(
        file in 0..=TOML.len(),
        wishes in vec(wish(), 1..12),
    ) {
        match TOML.get(file) {
            Some(text) => follow(text, Format::Toml, &wishes)?,
            None => follow(JSON, Format::Json, &wishes)?,
        }
    }
}
