//! The configuration file, and what it says about the host.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Finding;
use super::Verdict::{Bad, Good, Warning};
use super::host::Host;

/// Mode bits of everybody but the owner.
const OTHERS_READ: u32 = 0o004;

/// Keys whose values nobody else should read.
const SECRETS: &[&str] = &["auth_keys", "auth_secret", "secret", "users"];

/// Keys of a virtual router that say where it is.
const PLACE: &[&str] = &["interface", "netns", "vip"];

/// What is said about the socket and about the virtual routers.
#[derive(Debug, Default)]
pub(super) struct Configured {
    /// Where the socket is to be, if it is said.
    pub(super) socket: Option<PathBuf>,
    /// Where virtual routers are: network namespace, none for that of the daemon, then interface.
    pub(super) places: BTreeMap<Option<String>, BTreeMap<String, Families>>,
}

/// Which virtual routers an interface has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Families {
    /// One of them is IPv4.
    pub(super) v4: bool,
    /// One of them is IPv6.
    pub(super) v6: bool,
}

/// The file, and what it says. Of one that is not TOML the lines that name interfaces still count.
pub(super) fn read(host: &Host, conf: &Path) -> (Vec<Finding>, Configured) {
    let subject = conf.display().to_string();
    let path = host.path(conf);
    let (text, metadata) =
        match fs::read_to_string(&path).and_then(|it| Ok((it, fs::metadata(&path)?))) {
            Ok(both) => both,
            Err(error) => {
                let finding = Finding::new(Bad, subject, error.to_string());
                return (vec![finding], Configured::default());
            }
        };
    let mut findings = Vec::new();
    // No TOML begins with a brace.
    let root = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml_edit::de::from_str(&text).map_err(|error| error.message().to_owned())
    };
    let (root, can_be_read) = match root {
        Ok(root) => (root, true),
        Err(error) => {
            let message = format!("cannot be read: {error}; `rvrrpd -t` says where");
            findings.push(Finding::new(Bad, subject.clone(), message));
            (by_lines(&text), false)
        }
    };
    if has_secret(&root) && metadata.mode() & OTHERS_READ != 0 {
        let message = format!(
            "holds a secret and everybody may read it (mode {:04o}): chmod o-r",
            metadata.mode() & 0o7777
        );
        findings.push(Finding::new(Warning, subject.clone(), message));
    }
    let configured = Configured {
        socket: socket(&root),
        places: places(&root),
    };
    if can_be_read {
        let message = if configured.places.is_empty() {
            "has no virtual routers"
        } else {
            "can be read; `rvrrpd -t` says what is wrong with it"
        };
        findings.push(Finding::new(Good, subject, message));
    }
    (findings, configured)
}

/// What a text that is not TOML says line by line about where its virtual routers are.
fn by_lines(text: &str) -> Value {
    let mut routers: Vec<Value> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("[[vrouter") {
            routers.push(Value::Object(Map::new()));
            continue;
        }
        let known = line.split_once('=').and_then(|(key, value)| {
            let key = PLACE.iter().find(|known| **known == key.trim())?;
            let value = value.trim().trim_start_matches(['[', ' ']);
            let quote = value.chars().next().filter(|it| matches!(it, '"' | '\''))?;
            let value = value.strip_prefix(quote)?.split_once(quote)?.0;
            Some((*key, value))
        });
        if let (Some((key, value)), Some(Value::Object(router))) = (known, routers.last_mut()) {
            router.insert(key.to_owned(), value.into());
        }
    }
    serde_json::json!({ "vrouter": routers })
}

/// Whether there are passwords, keys or hashes of passwords in it.
fn has_secret(value: &Value) -> bool {
    match value {
        Value::Object(keys) => keys
            .iter()
            .any(|(key, value)| SECRETS.contains(&key.as_str()) || has_secret(value)),
        Value::Array(values) => values.iter().any(has_secret),
        _ => false,
    }
}

/// `api.socket`, else the one in `run_dir`.
fn socket(root: &Value) -> Option<PathBuf> {
    let named = root.pointer("/api/socket").and_then(Value::as_str);
    let run_dir = root.get("run_dir").and_then(Value::as_str);
    named
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(run_dir?).join("rvrrpd.sock")))
}

fn places(root: &Value) -> BTreeMap<Option<String>, BTreeMap<String, Families>> {
    let routers = root.get("vrouter").and_then(Value::as_array);
    let mut places: BTreeMap<_, BTreeMap<_, Families>> = BTreeMap::new();
    for router in routers.map(Vec::as_slice).unwrap_or_default() {
        let text = |key: &str| router.get(key).and_then(Value::as_str).map(str::to_owned);
        let Some(interface) = text("interface") else {
            continue;
        };
        let interfaces = places.entry(text("netns")).or_default();
        let families = interfaces.entry(interface).or_default();
        let vips = router.get("vip").map(Value::to_string).unwrap_or_default();
        if vips.contains(':') {
            families.v6 = true;
        } else {
            families.v4 = true;
        }
    }
    places
}
