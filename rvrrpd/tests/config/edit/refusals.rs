//! Changes that are refused: what is wrong is said in the words of the request.

use rvrrpd::config::Format;
use rvrrpd::config::edit::{Change, EditError};
use serde_json::{Value, json};

use super::{create, delete, document, modify, problems};
use crate::text::{FORMATS, router, vrouters};

fn file(format: Format) -> String {
    vrouters(
        format,
        &[
            router(&[("iftype", "\"macvlan\"")]),
            router(&[
                ("group", "2"),
                ("vip", "\"192.0.2.2\""),
                ("iftype", "\"macvlan\""),
                ("vifname", "\"two\""),
            ]),
        ],
    )
}

/// All problems as text, in both languages alike.
#[track_caller]
fn refused(change: &Change) -> String {
    let [toml, json] = FORMATS.map(|format| {
        let problems = problems(&file(format), format, change);
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    });
    assert_eq!(toml, json);
    assert!(!toml.contains(" line "), "{toml}");
    toml
}

#[test]
fn a_wrong_value_names_the_key_and_what_is_allowed() {
    assert_eq!(
        refused(&modify(
            "eth0-2",
            json!({"priority": 255, "timers": {"advert": 0}})
        )),
        "priority: 255 comes by itself when a vip is an address of the interface, allowed: \
         1..254\ntimers.advert: 0 is out of range, allowed: whole seconds, 1..255, in version 2"
    );
    assert_eq!(
        refused(&modify("eth0-1", json!({"priorty": 1}))),
        "priorty: unknown key, the nearest one allowed is priority"
    );
    assert_eq!(
        refused(&modify("eth0-1", json!({"group": null}))),
        "group: missing, but required; allowed: 1..255"
    );
    assert!(refused(&create(json!({}))).contains("interface: missing, but required"));
    assert!(
        refused(&modify("eth0-1", json!({"sync_group": "a"})))
            .contains("sync_group: not supported yet")
    );
}

#[test]
fn what_no_file_can_hold_is_refused() {
    for value in [
        json!(u64::MAX),
        json!([null]),
        json!({"a": [null]}),
        json!([[[[[[[[1]]]]]]]]),
    ] {
        assert!(refused_key(&value).starts_with("priority: "), "{value}");
    }
}

fn refused_key(value: &Value) -> String {
    let change = modify("eth0-1", json!({"priority": value}));
    let format = Format::Toml;
    problems(&file(format), format, &change)[0].to_string()
}

#[test]
fn a_rule_between_routers_names_the_other_one() {
    let text = refused(&create(
        json!({"group": 3, "interface": "eth0", "vip": "192.0.2.3"}),
    ));
    let ours = "iftype: \"ether\" lets eth0 carry";
    let others = "others (virtual router eth0-1, virtual router eth0-2)";
    assert!(text.starts_with(ours) && text.contains(others), "{text}");
    // That of another one is told of as that.
    let theirs = refused(&modify("eth0-1", json!({"iftype": "ether"})));
    assert!(theirs.starts_with(ours), "{theirs}");
    let twice = json!({"vip": ["192.0.2.9", "192.0.2.9"]});
    assert!(refused(&modify("eth0-1", twice)).starts_with("vip: "));
}

#[track_caller]
fn conflict(change: &Change) -> String {
    let [toml, json] = FORMATS.map(
        |format| match document(&file(format), format).apply(change) {
            Err(EditError::Conflict(problem)) => problem.to_string(),
            other => panic!("{other:?}"),
        },
    );
    assert_eq!(toml, json);
    toml
}

#[test]
fn duplicates_are_conflicts() {
    let new = |more: Value| {
        let mut keys = super::keys(json!({
            "group": 3, "interface": "eth0", "vip": "192.0.2.3", "iftype": "macvlan"
        }));
        keys.extend(super::keys(more));
        Change::Create(keys)
    };
    assert_eq!(
        conflict(&new(json!({"group": 2}))),
        "group: group 2 of eth0 (IPv4) is virtual router eth0-2 already, allowed: once for each \
         interface and family"
    );
    assert_eq!(
        conflict(&new(json!({"name": "eth0-1"}))),
        "name: eth0-1 is taken, allowed: a unique one"
    );
    assert_eq!(
        conflict(&new(json!({"vip": ["192.0.2.3", "192.0.2.1/24"]}))),
        "vip: 192.0.2.1 of eth0 is one of virtual router eth0-1 already, allowed: once on an \
         interface"
    );
    assert_eq!(
        conflict(&new(json!({"vifname": "two"}))),
        "vifname: two is that of virtual router eth0-2, allowed: a unique one"
    );
    // Of two that collide it is always the request that is wrong, wherever it stands.
    assert!(conflict(&modify("eth0-1", json!({"group": 2}))).contains("router eth0-2 already"));
    assert!(conflict(&modify("eth0-1", json!({"vip": "192.0.2.2"}))).contains("router eth0-2"));
}

#[test]
fn an_unknown_router_is_not_found() {
    for change in [
        delete("nobody"),
        modify("nobody", json!({})),
        Change::SetEnabled {
            name: "nobody".to_owned(),
            enabled: true,
        },
    ] {
        let error = document(&file(Format::Toml), Format::Toml).apply(&change);
        let Err(EditError::NotFound { name }) = error else {
            panic!("{error:?}");
        };
        assert!(name.contains("nobody"));
    }
}

#[test]
fn secrets_are_in_no_error_and_no_debug_output() {
    let secret = "a very secret word";
    let change = modify(
        "eth0-1",
        json!({"auth_type": "rfc2338-simple", "auth_secret": secret, "version": 3,
               "auth_keys": [{"id": 1, "secret": secret}]}),
    );
    assert!(!refused(&change).contains(secret));
    let change = modify(
        "eth0-1",
        json!({"auth_type": "rfc2338-simple", "auth_secret": secret}),
    );
    let document = document(&file(Format::Toml), Format::Toml)
        .apply(&change)
        .unwrap();
    assert!(document.text().contains(secret));
    assert!(!format!("{document:?}").contains(secret));
}
