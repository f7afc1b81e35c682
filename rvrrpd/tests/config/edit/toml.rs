//! The new text of a TOML file.

use rvrrpd::config::Format;
use rvrrpd::config::edit::Change;
use serde_json::json;

use super::{after, create, delete, document, modify};

const FILE: &str = r#"# the routers of the lab
debug = 0   # quiet

# the first one
[[vrouter]]
group = 1            # VRID
interface = "eth0"
# agreed with the other site
vip = [
  "192.0.2.1", # gateway
  # for the old printers
  "192.0.2.2"  # printers
]
priority = 0xC8      # hexadecimal
timers.advert = 2    # seconds
iftype = "macvlan"
#accept_mode = false

# about the second one

# Bob's
[[vrouter]]
group = 2
interface = "eth0"
vip = "192.0.2.9"
iftype = "macvlan"
[[vrouter.routes]]
route = "198.51.100.0/24"   # test net
nh = "192.0.2.254"

[api]
users = []
# the end
"#;

#[track_caller]
fn becomes(change: &Change, pairs: &[(&str, &str)]) {
    let mut expected = FILE.to_owned();
    for (old, new) in pairs {
        assert!(expected.contains(old), "{old}");
        expected = expected.replacen(old, new, 1);
    }
    let now = after(FILE, Format::Toml, std::slice::from_ref(change));
    assert_eq!(now.text(), expected);
}

#[test]
fn a_value_keeps_its_line_and_its_comment() {
    becomes(
        &modify("eth0-1", json!({"priority": 50, "timers": {"advert": 3}})),
        &[("0xC8 ", "50 "), ("advert = 2 ", "advert = 3 ")],
    );
}

#[test]
fn what_says_the_same_already_is_not_written_anew() {
    let same = json!({
        "priority": 200, "vip": ["192.0.2.1", "192.0.2.2"], "preemption": null,
        "routes": null,
    });
    becomes(&modify("eth0-1", same), &[]);
    let routes = json!({"routes": [{"route": "198.51.100.0/24", "nh": "192.0.2.254"}]});
    becomes(&modify("eth0-2", routes), &[]);
}

#[test]
fn a_new_key_stands_behind_the_others() {
    becomes(
        &modify("eth0-1", json!({"preemption": true, "name": "lab"})),
        &[(
            "iftype = \"macvlan\"\n#",
            "iftype = \"macvlan\"\nname = \"lab\"\npreemption = true\n#",
        )],
    );
}

#[test]
fn a_key_takes_the_comment_on_its_line_with_it_and_leaves_the_one_above() {
    let with = FILE.replace("priority = 0xC8", "# above\npriority = 0xC8");
    let now = after(
        &with,
        Format::Toml,
        &[modify("eth0-1", json!({"priority": null}))],
    );
    assert_eq!(
        now.text(),
        with.replace("priority = 0xC8      # hexadecimal\n", "")
    );
}

#[test]
fn a_comment_above_the_last_key_stays_in_front_of_what_follows() {
    let with = FILE.replacen("iftype", "# above\niftype", 1);
    let name = [modify(
        "eth0-1",
        json!({"iftype": null, "virtual_mac": false}),
    )];
    let with = with.replacen("interface = \"eth0\"", "interface = \"eth1\"", 1);
    let change = [modify("eth1-1", json!({"iftype": null}))];
    assert!(document(&with, Format::Toml).apply(&name[0]).is_err());
    let now = after(&with, Format::Toml, &change);
    assert_eq!(now.text(), with.replacen("iftype = \"macvlan\"\n", "", 1));
}

#[test]
fn elements_of_a_list_keep_their_comments() {
    becomes(
        &modify("eth0-1", json!({"vip": ["192.0.2.2"]})),
        &[
            ("\n  \"192.0.2.1\", # gateway", ""),
            ("\"192.0.2.2\"  #", "\"192.0.2.2\",  #"),
        ],
    );
    becomes(
        &modify("eth0-1", json!({"vip": ["192.0.2.1"]})),
        &[("  \"192.0.2.2\"  # printers\n", "")],
    );
    becomes(
        &modify(
            "eth0-1",
            json!({"vip": ["192.0.2.1", "192.0.2.3", "192.0.2.2", "192.0.2.4"]}),
        ),
        &[
            ("# gateway", "# gateway\n  \"192.0.2.3\","),
            (
                "\"192.0.2.2\"  # printers",
                "\"192.0.2.2\",  # printers\n  \"192.0.2.4\",",
            ),
        ],
    );
    becomes(
        &modify("eth0-1", json!({"vip": ["192.0.2.2", "192.0.2.1"]})),
        &[
            ("\"192.0.2.1\"", "?"),
            ("\"192.0.2.2\"", "\"192.0.2.1\""),
            ("?", "\"192.0.2.2\""),
        ],
    );
}

#[test]
fn an_address_becomes_a_list_and_a_list_an_address() {
    becomes(
        &modify("eth0-2", json!({"vip": ["192.0.2.9", "192.0.2.10"]})),
        &[("\"192.0.2.9\"", "[\"192.0.2.9\", \"192.0.2.10\"]")],
    );
}

#[test]
fn tables_of_a_list_keep_their_comments() {
    becomes(
        &modify(
            "eth0-2",
            json!({"routes": [
                {"route": "198.51.100.0/24", "nh": "192.0.2.253", "mtu": 1400},
                {"route": "203.0.113.0/24", "nh": "192.0.2.254"},
            ]}),
        ),
        &[(
            "nh = \"192.0.2.254\"\n",
            "nh = \"192.0.2.253\"\nmtu = 1400\n\n[[vrouter.routes]]\nnh = \"192.0.2.254\"\n\
             route = \"203.0.113.0/24\"\n",
        )],
    );
    becomes(
        &modify("eth0-2", json!({"routes": null})),
        &[(
            "[[vrouter.routes]]\nroute = \"198.51.100.0/24\"   # test net\nnh = \"192.0.2.254\"\n",
            "",
        )],
    );
}

#[test]
fn a_new_router_stands_at_the_end_in_the_order_of_the_documentation() {
    let now = after(
        FILE,
        Format::Toml,
        &[create(json!({
            "vip": ["192.0.2.7/24"], "timers": {"advert": 1}, "interface": "eth1", "group": 7,
            "name": null, "routes": [{"route": "0.0.0.0/0", "nh": "192.0.2.254"}],
        }))],
    );
    let table = "\n[[vrouter]]\ngroup = 7\ninterface = \"eth1\"\nvip = [\"192.0.2.7/24\"]\n\
                 timers = { advert = 1 }\nroutes = [{ nh = \"192.0.2.254\", route = \"0.0.0.0/0\" }]\n";
    assert_eq!(now.text(), format!("{FILE}{table}"));
    assert_eq!(now.subject(), Some("eth1-7"));
}

#[test]
fn the_first_router_of_a_file_without_any() {
    let router = || create(json!({"group": 1, "interface": "eth0", "vip": "192.0.2.1"}));
    let table = "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"192.0.2.1\"\n";
    for (before, expected) in [
        ("", table.to_owned()),
        ("debug = 1", format!("debug = 1\n\n{table}")),
        ("vrouter = []\n", table.to_owned()),
        (
            "# none\nvrouter = []\n[api]\n# end",
            format!("# none\n[api]\n# end\n\n{table}"),
        ),
        ("# only this\n", format!("# only this\n\n{table}")),
    ] {
        let now = after(before, Format::Toml, &[router()]);
        assert_eq!(now.text(), expected, "{before:?}");
    }
}

#[test]
fn a_router_leaves_with_what_is_about_it() {
    becomes(
        &delete("eth0-2"),
        &[(
            "# Bob's\n[[vrouter]]\ngroup = 2\ninterface = \"eth0\"\nvip = \"192.0.2.9\"\n\
             iftype = \"macvlan\"\n[[vrouter.routes]]\nroute = \"198.51.100.0/24\"   # test net\n\
             nh = \"192.0.2.254\"\n",
            "",
        )],
    );
    let all = after(FILE, Format::Toml, &[delete("eth0-1"), delete("eth0-2")]);
    assert_eq!(
        all.text(),
        "# the routers of the lab\ndebug = 0   # quiet\n#accept_mode = false\n\n\
         # about the second one\n\n\n[api]\nusers = []\n# the end\n"
    );
    assert!(all.config().vrouters.is_empty());
}

#[test]
fn routers_in_braces_are_changed_in_braces() {
    let file = "vrouter = [\n  # one\n  { group = 1, interface = \"eth0\", vip = \"192.0.2.1\" },\n\
                \x20 { group = 2, interface = \"eth1\", vip = \"192.0.2.2\" }, # two\n]\n";
    let now = after(
        file,
        Format::Toml,
        &[
            modify("eth0-1", json!({"priority": 7})),
            create(json!({"group": 3, "interface": "eth2", "vip": "192.0.2.3"})),
            delete("eth1-2"),
        ],
    );
    assert_eq!(
        now.text(),
        "vrouter = [\n  # one\n  { group = 1, interface = \"eth0\", vip = \"192.0.2.1\", \
         priority = 7 },\n  { group = 3, interface = \"eth2\", vip = \"192.0.2.3\" },\n]\n"
    );
}

#[test]
fn enabling_and_disabling() {
    let set = |enabled| Change::SetEnabled {
        name: "eth0-1".to_owned(),
        enabled,
    };
    becomes(&set(true), &[]);
    becomes(
        &set(false),
        &[(
            "iftype = \"macvlan\"\n#",
            "iftype = \"macvlan\"\nenabled = false\n#",
        )],
    );
    let both = after(FILE, Format::Toml, &[set(false), set(false), set(true)]);
    assert!(both.text().contains("\nenabled = true\n"));
    assert!(both.config().vrouters[0].enabled);
}

#[test]
fn line_ends_and_byte_order_mark_stay() {
    let file = format!("\u{feff}{}", FILE.replace('\n', "\r\n"));
    let now = after(
        &file,
        Format::Toml,
        &[
            modify("eth0-1", json!({"priority": 50})),
            create(json!({"group": 3, "interface": "eth2", "vip": "192.0.2.3"})),
        ],
    );
    let text = now.text();
    assert!(text.starts_with(&file[..20]));
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert_eq!(text.matches('\u{feff}').count(), 1);
}

#[test]
fn other_routers_keep_the_names_of_their_macvlans() {
    let file = "[[vrouter]]\ngroup = 1\ninterface = \"eth1\"\nvip = \"192.0.2.1\"\n\
                iftype = \"macvlan\"\n";
    let router = json!({
        "group": 1, "interface": "eth0", "vip": "192.0.2.2", "iftype": "macvlan"
    });
    let both = after(file, Format::Toml, &[create(router)]);
    let names: Vec<_> = both
        .config()
        .vrouters
        .iter()
        .map(|it| &it.vifname)
        .collect();
    assert_eq!(names, ["standby1", "standby1-2"]);
    let one = after(both.text(), Format::Toml, &[delete("eth1-1")]);
    assert_eq!(one.config().vrouters[0].vifname, "standby1-2");
}

#[test]
fn names_follow_from_other_keys_and_address_a_router() {
    let file = "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"192.0.2.1\"\n\
                iftype = \"macvlan\"\n\n[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\n\
                vip = \"fe80::1\"\niftype = \"macvlan\"\n";
    let v6 = after(
        file,
        Format::Toml,
        &[modify("eth0-1-v6", json!({"priority": 9}))],
    );
    let priorities: Vec<_> = v6.config().vrouters.iter().map(|it| it.priority).collect();
    assert_eq!(priorities, [100, 9]);
    let moved = after(file, Format::Toml, &[modify("eth0-1", json!({"group": 4}))]);
    assert_eq!(moved.subject(), Some("eth0-4"));
    let named = after(
        file,
        Format::Toml,
        &[modify("eth0-1", json!({"name": "gate"}))],
    );
    assert_eq!(named.subject(), Some("gate"));
    assert!(named.apply(&delete("eth0-1")).is_err());
    assert!(named.apply(&delete("gate")).is_ok());
}
