//! The keys of a request: their order, and what no file could hold.

use serde_json::{Map, Value};

use super::super::schema::VROUTER;
use super::{EditError, Problem};

/// How deep the values of a request may be nested; the deepest place of the schema is 4.
const DEEPEST: usize = 8;

/// A request of one key.
pub(super) fn one(key: &str, value: Value) -> Map<String, Value> {
    std::iter::once((key.to_owned(), value)).collect()
}

/// Type and range of a key of a virtual router, for messages.
pub(super) fn allowed(key: &str) -> String {
    VROUTER.key(key).map_or_else(
        || "a key of a virtual router".to_owned(),
        |key| key.kind.replace('`', ""),
    )
}

/// The keys in the order in which the documentation lists them; unknown ones are the last.
pub(super) fn in_order(keys: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let rank = |name: &str| VROUTER.keys.iter().position(|key| key.name == name);
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort_by_key(|(name, _)| rank(name).unwrap_or(usize::MAX));
    keys
}

/// Refuses what is nested so deeply that no text is made of it.
pub(super) fn check(keys: &Map<String, Value>) -> Result<(), EditError> {
    let problems: Vec<Problem> = keys
        .iter()
        .filter(|(_, value)| deeper_than(value, DEEPEST))
        .map(|(key, _)| {
            problem(
                key,
                format!("is nested too deep, allowed: {}", allowed(key)),
            )
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(EditError::Invalid(problems))
    }
}

/// A problem of a key of the request.
pub(super) fn problem(key: &str, message: impl Into<String>) -> Problem {
    Problem {
        router: None,
        key: super::super::diagnostic::one_line(key),
        message: message.into(),
    }
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return true;
    };
    match value {
        Value::Array(elements) => elements.iter().any(|element| deeper_than(element, below)),
        Value::Object(keys) => keys.values().any(|value| deeper_than(value, below)),
        _ => false,
    }
}
