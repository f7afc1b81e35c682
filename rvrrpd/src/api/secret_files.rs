//! Files that requests name as those of secrets. The daemon reads as root; whoever may change virtual
//! routers is not root and may not have it read whatever there is, nor ask what there is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::problem::Problem;

/// Keys that name such a file, wherever they stand.
const KEYS: [&str; 2] = ["auth_secret_file", "secret_file"];
/// Mode bits of everybody but the owner.
const NOT_OWNER: u32 = 0o077;

/// Whether each file that `keys` name lies in the directory of the configuration file `conf` itself.
///
/// # Errors
/// One does not (422); what it is instead is not told.
pub(super) fn check(keys: &Map<String, Value>, conf: &Path) -> Result<(), Problem> {
    let mut errors = Vec::new();
    collect(keys, conf, &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
        .detail("nothing was changed")
        .errors(errors))
}

fn collect(keys: &Map<String, Value>, conf: &Path, errors: &mut Vec<String>) {
    for (key, value) in keys {
        match value {
            Value::String(path)
                if KEYS.contains(&key.as_str()) && !is_ours(Path::new(path), conf) =>
            {
                errors.push(format!(
                    "{key}: cannot be read, allowed in requests: the absolute path of a regular file \
                     with mode 0600 or stricter in the directory of the configuration file"
                ));
            }
            Value::Object(keys) => collect(keys, conf, errors),
            Value::Array(values) => {
                for keys in values.iter().filter_map(Value::as_object) {
                    collect(keys, conf, errors);
                }
            }
            _ => {}
        }
    }
}

fn is_ours(path: &Path, conf: &Path) -> bool {
    let is_plain = path.is_absolute()
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let directory = conf.parent().and_then(|it| it.canonicalize().ok());
    // Where symbolic links lead counts.
    let real = directory.and_then(|directory| {
        let real = path.canonicalize().ok()?;
        (real.parent() == Some(&*directory)).then_some(real)
    });
    let metadata = real.and_then(|real| fs::symlink_metadata(real).ok());
    is_plain && metadata.is_some_and(|it| it.is_file() && it.permissions().mode() & NOT_OWNER == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn only_files_beside_the_configuration_are_read() {
        let scratch = Scratch::new();
        for directory in ["conf", "conf/below", "other"] {
            fs::create_dir(scratch.path(directory)).unwrap();
        }
        let conf = scratch.path("conf/rvrrpd.conf");
        for (name, mode) in [
            ("conf/secret", 0o600),
            ("conf/open", 0o640),
            ("conf/below/secret", 0o600),
            ("other/secret", 0o600),
        ] {
            let path = scratch.path(name);
            fs::write(&path, "banana").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("../other/secret", scratch.path("conf/link")).unwrap();
        symlink("secret", scratch.path("conf/same")).unwrap();
        let of = |name: &str| {
            let path = scratch.path(name);
            let keys = json!({"auth_keys": [{"id": 1, "secret_file": path}], "priority": 3});
            check(keys.as_object().unwrap(), &conf)
        };
        assert!(of("conf/secret").is_ok());
        assert!(of("conf/same").is_ok());
        let refusals = [
            "conf/open",
            "conf/below",
            "conf/below/secret",
            "conf/below/../secret",
            "conf/link",
            "conf/missing",
            "other/secret",
            "other/missing",
        ];
        let refusals = refusals.map(|name| format!("{:?}", of(name).expect_err(name)));
        assert!(
            refusals.iter().all(|one| *one == refusals[0]),
            "{refusals:#?}"
        );
        let relative = json!({"auth_secret_file": "secret"});
        assert!(check(relative.as_object().unwrap(), &conf).is_err());
        let none = json!({"auth_secret_file": null, "name": "secret_file"});
        assert!(check(none.as_object().unwrap(), &conf).is_ok());
    }
}
