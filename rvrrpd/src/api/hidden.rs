//! What stands in answers in the place of a secret. A request cannot mean it: the daemon would take
//! three asterisks for the secret.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::problem::Problem;

/// What stands in the place of a secret.
pub(super) const HIDDEN: &str = "***";

/// Keys whose values are secrets, wherever they stand.
const KEYS: [&str; 3] = ["auth_secret", "secret", "hex"];

/// Whether `keys` give secrets themselves.
///
/// # Errors
/// One of them is what answers show instead (422).
pub(super) fn check(keys: &Map<String, Value>) -> Result<(), Problem> {
    let mut errors = Vec::new();
    collect(keys, "", &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
        .detail("nothing was changed")
        .errors(errors))
}

fn collect(keys: &Map<String, Value>, within: &str, errors: &mut Vec<String>) {
    for (key, value) in keys {
        match value {
            Value::String(text) if text == HIDDEN && KEYS.contains(&key.as_str()) => {
                errors.push(format!(
                    "{within}{key}: *** stands for a secret, which is not shown; allowed: the \
                     secret itself, or in a change the key left out, which keeps the secret"
                ));
            }
            Value::Array(values) => {
                for keys in values.iter().filter_map(Value::as_object) {
                    collect(keys, &format!("{key}."), errors);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn three_asterisks_are_no_secret() {
        let of = |keys: Value| check(keys.as_object().unwrap());
        let refused = of(json!({"auth_secret": "***", "auth_keys": [{"id": 1, "secret": "***"}]}));
        let text = format!("{:?}", refused.unwrap_err());
        assert!(text.contains("\"auth_secret: ***"), "{text}");
        assert!(text.contains("\"auth_keys.secret: ***"), "{text}");
        assert!(of(json!({"auth_secret": "****", "name": "***", "auth_keys": null})).is_ok());
    }
}
