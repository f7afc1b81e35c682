//! JSON: the text after a change, with the order and formatting of what stays. There are no
//! comments in JSON.

use jsonc_parser::cst::{CstArray, CstInputValue, CstObject, CstRootNode};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::super::json::STRICT;
use super::{Edit, Problem, keys};

/// The key of the virtual routers.
const VROUTER: &str = "vrouter";

/// `text` after `edit`.
///
/// # Errors
/// Only for a text that is no object.
pub(super) fn edited(text: &str, edit: &Edit<'_>) -> Result<Zeroizing<String>, Problem> {
    let not_json = || keys::problem("", "the configuration is not a JSON object");
    let root = CstRootNode::parse(text, &STRICT).map_err(|_| not_json())?;
    let top = root.object_value().ok_or_else(not_json)?;
    match edit {
        Edit::Append(keys) => {
            // `null` is absent.
            let routers = top.array_value_or_set(VROUTER);
            routers.append(object(keys::in_order(keys)));
            routers.ensure_multiline();
        }
        Edit::Merge(at, keys) => {
            if let Some(router) = router(&top, *at) {
                merge(&router, keys);
            }
        }
        Edit::Remove(at) => {
            let element = routers(&top).and_then(|array| array.elements().into_iter().nth(*at));
            if let Some(element) = element {
                element.remove();
            }
        }
    }
    Ok(Zeroizing::new(root.to_string()))
}

fn routers(top: &CstObject) -> Option<CstArray> {
    top.get(VROUTER)?.array_value()
}

fn router(top: &CstObject, at: usize) -> Option<CstObject> {
    routers(top)?.elements().get(at)?.as_object()
}

/// Sets and removes keys by RFC 7396.
fn merge(object: &CstObject, keys: &Map<String, Value>) {
    for (key, value) in keys::in_order(keys) {
        let Some(property) = object.get(key) else {
            if !value.is_null() {
                object.append(key, input(value));
            }
            continue;
        };
        match (value, property.object_value()) {
            (Value::Null, _) => property.remove(),
            (Value::Object(given), Some(inner)) => merge(&inner, given),
            _ if property.to_serde_value().as_ref() == Some(value) => {}
            _ => property.set_value(input(value)),
        }
    }
}

fn object<'k>(keys: impl IntoIterator<Item = (&'k String, &'k Value)>) -> CstInputValue {
    let keys = keys.into_iter().filter(|(_, value)| !value.is_null());
    CstInputValue::Object(
        keys.map(|(key, value)| (key.clone(), input(value)))
            .collect(),
    )
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(truth) => CstInputValue::Bool(*truth),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(elements) => CstInputValue::Array(elements.iter().map(input).collect()),
        Value::Object(keys) => object(keys),
    }
}
