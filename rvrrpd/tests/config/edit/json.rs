//! The new text of a JSON file.

use rvrrpd::config::Format;
use serde_json::json;

use super::{after, create, delete, modify};

const FILE: &str = r#"{
    "debug": 0,
    "vrouter": [
        {
            "group": 1, "interface": "eth0",
            "vip": ["192.0.2.1",
                    "192.0.2.2"],
            "timers": {"advert": 2e0},
            "priority": null
        }
    ],

    "api": {"users": []}
}
"#;

#[test]
fn what_does_not_change_keeps_its_form() {
    let change = json!({"timers": {"advert": 3}, "vip": ["192.0.2.1", "192.0.2.2"]});
    let now = after(FILE, Format::Json, &[modify("eth0-1", change)]);
    assert_eq!(now.text(), FILE.replace("2e0", "3"));
    let now = after(
        FILE,
        Format::Json,
        &[modify("eth0-1", json!({"priority": 9}))],
    );
    assert_eq!(now.text(), FILE.replace("null", "9"));
}

#[test]
fn routers_come_and_go() {
    let router = json!({"vip": "192.0.2.3", "group": 3, "interface": "eth1"});
    let both = after(FILE, Format::Json, &[create(router)]);
    assert_eq!(
        both.text(),
        FILE.replace(
            "        }\n    ]",
            "        },\n        {\n            \"group\": 3,\n            \"interface\": \
             \"eth1\",\n            \"vip\": \"192.0.2.3\"\n        }\n    ]"
        )
    );
    let one = after(both.text(), Format::Json, &[delete("eth0-1")]);
    assert_eq!(one.config().vrouters[0].name, "eth1-3");
    assert!(one.text().contains("\n\n    \"api\": {\"users\": []}\n}\n"));
}

#[test]
fn the_first_router_of_a_file_without_any() {
    for before in [
        "{}",
        "{\"vrouter\": null}",
        "{\"vrouter\": []}\n",
        "{ \"debug\": 1 }",
    ] {
        let router = json!({"group": 3, "interface": "eth1", "vip": "192.0.2.3"});
        let now = after(before, Format::Json, &[create(router), delete("eth1-3")]);
        assert!(now.config().vrouters.is_empty(), "{before}");
    }
}

#[test]
fn a_key_leaves_with_its_comma() {
    let now = after(
        FILE,
        Format::Json,
        &[modify("eth0-1", json!({"timers": null}))],
    );
    assert_eq!(
        now.text(),
        FILE.replace("            \"timers\": {\"advert\": 2e0},\n", "")
    );
}
