//! Writes one configuration in both languages, one key a line, so that a test knows the line.

use rvrrpd::config::{Diagnostic, Format, Loaded, parse};
use serde_json::Value;

pub(crate) const FORMATS: [Format; 2] = [Format::Toml, Format::Json];

/// Keys and values of one table, in order.
pub(crate) type Pairs = Vec<(String, Value)>;

/// `pairs` of JSON text: `[("group", "1"), ..]`.
pub(crate) fn pairs(of: &[(&str, &str)]) -> Pairs {
    of.iter()
        .map(|(key, value)| ((*key).to_owned(), value_of(value)))
        .collect()
}

/// A value of JSON text.
pub(crate) fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The keys of a virtual router that is complete, with some of them changed or added.
pub(crate) fn router(changes: &[(&str, &str)]) -> Pairs {
    let mut all = pairs(&[
        ("group", "1"),
        ("interface", "\"eth0\""),
        ("vip", "\"192.0.2.1\""),
    ]);
    for (key, value) in pairs(changes) {
        match all.iter_mut().find(|(name, _)| *name == key) {
            Some(pair) => pair.1 = value,
            None => all.push((key, value)),
        }
    }
    all
}

/// The text of a file with one table. Its header is line 1 in both languages, its first key is
/// line 2. `table` is empty for the top level.
pub(crate) fn one_table(format: Format, table: &str, pairs: &Pairs) -> String {
    match format {
        Format::Toml => {
            let header = match table {
                "" => "# top level".to_owned(),
                "vrouter" | "protocols.static" => format!("[[{table}]]"),
                _ => format!("[{table}]"),
            };
            header + "\n" + &toml_lines(pairs)
        }
        Format::Json => {
            let (open, close) = match table {
                "" => ("{", "}"),
                "vrouter" => ("{\"vrouter\": [{", "}]}"),
                "protocols.static" => ("{\"protocols\": {\"static\": [{", "}]}}"),
                "protocols" => ("{\"protocols\": {", "}}"),
                "api" => ("{\"api\": {", "}}"),
                _ => panic!("{table} has no header"),
            };
            format!("{open}\n{}{close}\n", json_lines(pairs))
        }
    }
}

/// The text of a file with several virtual routers; the header of each stands one line before its
/// first key.
pub(crate) fn vrouters(format: Format, routers: &[Pairs]) -> String {
    match format {
        Format::Toml => routers
            .iter()
            .map(|pairs| format!("[[vrouter]]\n{}", toml_lines(pairs)))
            .collect(),
        Format::Json => {
            let mut text = String::from("{\"vrouter\": [{\n");
            for (at, pairs) in routers.iter().enumerate() {
                if at > 0 {
                    text += "}, {\n";
                }
                text += &json_lines(pairs);
            }
            text + "}]}\n"
        }
    }
}

fn toml_lines(pairs: &Pairs) -> String {
    pairs
        .iter()
        .map(|(key, value)| format!("{} = {}\n", toml_key(key), toml_value(value)))
        .collect()
}

fn json_lines(pairs: &Pairs) -> String {
    let lines: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{}: {value}\n", Value::from(key.as_str())))
        .collect();
    lines.join(",").replace("\n,", ",\n")
}

fn toml_key(key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    }
}

/// A value on one line; strings, numbers and arrays look the same in both languages.
pub(crate) fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(toml_value).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{} = {}", toml_key(key), toml_value(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// The model of a text that must be accepted.
pub(crate) fn accepted(text: &str, format: Format) -> Loaded {
    parse(text, "f", format).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// The only error of a text that must be refused.
pub(crate) fn only_error(text: &str, format: Format) -> Diagnostic {
    let errors = match parse(text, "f", format) {
        Ok(_) => panic!("accepted in {format:?}:\n{text}"),
        Err(errors) => errors.errors,
    };
    assert_eq!(errors.len(), 1, "{format:?}: {errors:#?}\n{text}");
    let error = errors.into_iter().next().unwrap();
    assert!(
        error.message.contains("allowed") || error.message == "not supported yet",
        "does not say what is allowed: {error}"
    );
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}
