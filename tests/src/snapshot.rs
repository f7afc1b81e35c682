//! The state of a host's kernel as comparable text.
//!
//! One line per fact, `key = value`. What changes by itself is left out: counters, ages, handles,
//! neighbours that were learned.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::deadline::{until, within};
use crate::host::Host;

/// Keys of JSON objects that change by themselves.
const VOLATILE: [&str; 9] = [
    "stats",
    "stats64",
    "handle",
    "packets",
    "bytes",
    "used",
    "age",
    "cacheinfo",
    "metainfo",
];
/// Sysctl files that change by themselves or cannot be read before they are set.
const VOLATILE_SYSCTLS: [&str; 2] = ["stable_secret", "tcp_fastopen_key"];

/// The state of a host's kernel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot(BTreeMap<String, String>);

/// Takes the snapshot of `host`, when the kernel is done with its IPv6 addresses.
#[must_use]
pub fn snapshot(host: &Host) -> Snapshot {
    // What has no carrier never gets them.
    let long_enough = within(2.0);
    until("the routes of addresses", within(8.0), || {
        (has_routes_of_addresses(host) || long_enough.passed()).then_some(())
    });
    let mut facts = BTreeMap::new();
    for link in list(&host.ip_json("-d link show")) {
        flatten(&mut facts, &format!("link {}", name(&link)), &link);
    }
    for link in list(&host.ip_json("address show")) {
        for address in list(&link["addr_info"]) {
            let key = format!(
                "address {} {}",
                name(&link),
                address["local"].as_str().unwrap_or("?")
            );
            flatten(&mut facts, &key, &address);
        }
    }
    for family in ["-4", "-6"] {
        for kind in ["route show table all", "rule show"] {
            for item in list(&host.ip_json(&format!("{family} {kind}"))) {
                facts.insert(format!("{family} {kind}: {}", stable(&item)), String::new());
            }
        }
        for kind in ["neigh show nud permanent", "neigh show proxy"] {
            for item in list(&host.ip_json(&format!("{family} {kind}"))) {
                facts.insert(format!("{family} {kind}: {}", stable(&item)), String::new());
            }
        }
    }
    let rules = host.run("nft", &["-j", "list", "ruleset"]);
    let rules: Value = serde_json::from_str(&rules).unwrap_or_default();
    for item in list(&rules["nftables"]) {
        facts.insert(format!("nft {}", stable(&item)), String::new());
    }
    let disciplines = host.run("tc", &["-j", "qdisc", "show"]);
    for item in list(&serde_json::from_str(&disciplines).unwrap_or_default()) {
        facts.insert(format!("qdisc {}", stable(&item)), String::new());
    }
    facts.extend(host.inside(|| {
        let mut sysctls = BTreeMap::new();
        for directory in ["ipv4", "ipv6"] {
            read_sysctls(&mut sysctls, &Path::new("/proc/sys/net").join(directory));
        }
        sysctls
    }));
    Snapshot(facts)
}

/// Whether each IPv6 address has its route: a thread of the kernel puts it in, a while after the
/// address.
fn has_routes_of_addresses(host: &Host) -> bool {
    let routes = list(&host.ip_json("-6 route show table local type local"));
    let links = list(&host.ip_json("-6 address show up"));
    let mut addresses = links.iter().flat_map(|link| list(&link["addr_info"]));
    addresses.all(|address| routes.iter().any(|route| route["dst"] == address["local"]))
}

impl Snapshot {
    /// What differs, one line each: `-` was there and is not, `+` is there and was not.
    #[must_use]
    pub fn diff(&self, after: &Self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            if after.0.get(key) != Some(value) {
                let _ = writeln!(text, "- {key} = {value}");
            }
        }
        for (key, value) in &after.0 {
            if self.0.get(key) != Some(value) {
                let _ = writeln!(text, "+ {key} = {value}");
            }
        }
        text
    }

    /// Without the facts whose key contains one of `parts`.
    #[must_use]
    pub fn without(mut self, parts: &[&str]) -> Self {
        self.0
            .retain(|key, _| !parts.iter().any(|part| key.contains(part)));
        self
    }

    /// Only the facts whose key begins with one of `beginnings`.
    #[must_use]
    pub fn only(mut self, beginnings: &[&str]) -> Self {
        self.0
            .retain(|key, _| beginnings.iter().any(|start| key.starts_with(start)));
        self
    }

    /// Number of facts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no fact.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asserts that `after` is the same.
    ///
    /// # Panics
    /// With the difference where it is not.
    #[track_caller]
    pub fn assert_same(&self, after: &Self, what: &str) {
        let diff = self.diff(after);
        assert!(
            diff.is_empty(),
            "{what}: the kernel is not as before (- before, + now):\n{diff}"
        );
    }
}

/// The elements of an array.
fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Name of a link.
fn name(link: &Value) -> &str {
    link["ifname"].as_str().unwrap_or("?")
}

/// `value` without what changes by itself, as text with sorted keys.
fn stable(value: &Value) -> String {
    fn strip(value: &Value) -> Value {
        match value {
            Value::Object(map) => map
                .iter()
                .filter(|(key, _)| !VOLATILE.contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), strip(value)))
                .collect(),
            // The order of elements (of an nft set, of flags) is the kernel's affair.
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(strip).collect();
                items.sort_by_key(Value::to_string);
                Value::Array(items)
            }
            other => other.clone(),
        }
    }
    strip(value).to_string()
}

/// One fact per leaf of an object.
fn flatten(facts: &mut BTreeMap<String, String>, prefix: &str, value: &Value) {
    let Value::Object(map) = value else {
        facts.insert(prefix.to_owned(), stable(value));
        return;
    };
    for (key, value) in map {
        if !VOLATILE.contains(&key.as_str()) {
            flatten(facts, &format!("{prefix} {key}"), value);
        }
    }
}

/// Every readable file below `directory`.
fn read_sysctls(facts: &mut BTreeMap<String, String>, directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_sysctls(facts, &path);
            continue;
        }
        if VOLATILE_SYSCTLS.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if let Ok(text) = fs::read_to_string(&path) {
            let key = path
                .strip_prefix("/proc/sys/net")
                .unwrap_or(&path)
                .display()
                .to_string();
            facts.insert(format!("sysctl {key}"), text.trim().to_owned());
        }
    }
}
