//! The keys of a virtual router as JSON Schema, made of the tables that the configuration itself is
//! judged by. What depends on several keys is not in it: that is refused with 422.

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Schema, SchemaType};

use crate::config::schema::{Key, Support, TABLES, Table, VROUTER};

/// What the kernel takes as the name of an interface; bytes are counted there.
const INTERFACE: &str = r"^[^/:\s\u0000-\u001f\u007f-\u009f]{1,15}$";

/// Whether keys may be absent that have no default.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    New,
    Patch,
}

/// The schemas of a new virtual router and of a change (RFC 7396), by their names.
pub(super) fn schemas() -> [(&'static str, Value); 2] {
    [
        ("VrouterKeys", table(&VROUTER, Form::New)),
        ("VrouterPatch", table(&VROUTER, Form::Patch)),
    ]
}

/// What answers show as `version`.
pub(super) fn version() -> RefOr<Schema> {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .enum_values(Some([json!(2), json!(3), json!("2+3")]))
        .into()
}

fn table(table: &Table, form: Form) -> Value {
    let keys = table.keys.iter();
    let keys = keys.filter(|key| key.support == Support::Full);
    let required: Vec<&str> = keys
        .clone()
        .filter(|key| key.default == "required" && form == Form::New)
        .map(|key| key.name)
        .collect();
    let properties: Map<String, Value> = keys
        .map(|key| (key.name.to_owned(), property(table, key, form)))
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(within: &Table, key: &Key, form: Form) -> Value {
    let below = format!("{}.{}", within.name, key.name);
    let below = TABLES.iter().find(|table| table.name == below);
    let value = match below {
        Some(below) if key.kind == "table" => table(below, form),
        // Lists are replaced as wholes: what is in them is new.
        Some(below) => json!({ "type": "array", "items": table(below, Form::New) }),
        None => kind(key),
    };
    // In a new one it is as if the key were absent.
    let value = if form == Form::New && key.default == "required" {
        value
    } else {
        json!({ "oneOf": [{ "type": "null" }, value] })
    };
    described(value, key)
}

fn described(mut value: Value, key: &Key) -> Value {
    if let Some(value) = value.as_object_mut() {
        let text = format!("{}: {}; default: {}", key.meaning, key.kind, key.default);
        value.insert("description".to_owned(), text.into());
    }
    value
}

/// The schema of a kind that no other table describes.
fn kind(key: &Key) -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    match key.kind {
        "bool" => json!({ "type": "boolean" }),
        "1 to 31 of `A-Z a-z 0-9 _ . -`" => {
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,31}$" })
        }
        "interface name" => json!({ "type": "string", "pattern": INTERFACE }),
        "address" => address(false),
        "2, 3, `2+3`" => json!({ "enum": [2, 3, "2", "3", "2+3"] }),
        "address or list of addresses" => {
            let one = address(key.name == "vip");
            let list = json!({ "type": "array", "items": one, "minItems": 1, "uniqueItems": true });
            json!({ "oneOf": [one, list] })
        }
        "list of 1 to 64 addresses" => json!({
            "type": "array", "items": address(false), "minItems": 1, "maxItems": 64,
            "uniqueItems": true,
        }),
        other => number(other).or_else(|| choice(other)).unwrap_or(text),
    }
}

/// An address, or one that a prefix length may follow.
fn address(with_prefix: bool) -> Value {
    let mut forms = vec![json!({ "format": "ipv4" }), json!({ "format": "ipv6" })];
    if with_prefix {
        forms.push(json!({ "pattern": "^[0-9A-Fa-f:.]+/[0-9]{1,3}$" }));
    }
    json!({ "type": "string", "anyOf": forms })
}

/// `LEAST..MOST`, or `seconds, LEAST..MOST` where fractions are allowed.
fn number(kind: &str) -> Option<Value> {
    let (kind, range) = match kind.strip_prefix("seconds") {
        // Of several ranges the schema has what they have in common; the version decides.
        Some(rest) => ("number", rest.trim_start_matches([',', ':', ' '])),
        None => ("integer", kind),
    };
    let range = range.split(' ').next()?;
    let (least, most) = range.split_once("..")?;
    let bound = |text: &str| text.parse::<u64>().ok();
    Some(json!({ "type": kind, "minimum": bound(least)?, "maximum": bound(most)? }))
}

/// A list of values, each between backticks.
fn choice(kind: &str) -> Option<Value> {
    let values = kind.split(", ").map(|value| {
        let value = value.strip_prefix('`')?.strip_suffix('`')?;
        (!value.contains(' ')).then_some(value)
    });
    let values = values.collect::<Option<Vec<&str>>>()?;
    Some(json!({ "type": "string", "enum": values }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_what_the_tables_say() {
        let new = table(&VROUTER, Form::New);
        assert_eq!(new["required"], json!(["group", "interface", "vip"]));
        let of = |name: &str| {
            let mut property = new["properties"][name].clone();
            property.as_object_mut().unwrap().remove("description");
            let is_optional = property["oneOf"][0] == json!({ "type": "null" });
            if is_optional {
                property["oneOf"][1].clone()
            } else {
                property
            }
        };
        let group = json!({ "type": "integer", "minimum": 1, "maximum": 255 });
        assert_eq!(of("group"), group);
        assert_eq!(of("preempt_delay")["maximum"], 3600);
        assert_eq!(of("preempt_delay")["type"], "number");
        assert_eq!(
            of("iftype")["enum"],
            json!(["ether", "macvlan", "ebpf", "auto"])
        );
        assert_eq!(of("nonlocal_bind"), json!({ "type": "boolean" }));
        let advert = &of("timers")["properties"]["advert"]["oneOf"];
        assert_eq!(advert[1]["type"], "number");
        assert_eq!(of("routes")["items"]["required"], json!(["route", "nh"]));
        assert!(new["properties"].get("sync_group").is_none());
        let patch = table(&VROUTER, Form::Patch);
        assert_eq!(patch["required"], json!([]));
        assert_eq!(patch["properties"]["group"]["oneOf"][1], group);
    }
}
