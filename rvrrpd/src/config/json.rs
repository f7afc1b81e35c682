//! JSON text to the tree.

use std::collections::HashSet;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::diagnostic::Findings;
use super::tree::{DEEPEST, Entry, Lines, Node, Value, too_deep};

/// RFC 8259 and nothing else.
pub(super) const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The tree of `text`; none, with an error in `findings`, when the text is not JSON.
///
/// A key that stands twice is reported and the first one is kept, so that the rest of the file is
/// judged too.
pub(super) fn tree<'t>(text: &'t str, findings: &mut Findings) -> Option<Node<'t>> {
    let lines = Lines::of(text);
    let parsed = match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
        Ok(parsed) => parsed,
        Err(error) => {
            let message = match error.kind() {
                // Its own words repeat a part of the string, which may be a secret.
                ParseErrorKind::String(_) => {
                    "a string that is not closed, or an unknown escape in it".to_owned()
                }
                other => other.to_string().to_lowercase(),
            };
            let line = lines.at(error.range().start);
            findings.error(line, "", format!("not JSON: {message}"));
            return None;
        }
    };
    // The parser that keeps the places is lenient about control characters and white space.
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let line = u32::try_from(error.line()).unwrap_or(u32::MAX).max(1);
        findings.error(line, "", format!("not JSON: {message}"));
        return None;
    }
    node(parsed.value?, &lines, 0, findings)
}

fn node<'t>(
    value: ast::Value<'t>,
    lines: &Lines,
    depth: usize,
    findings: &mut Findings,
) -> Option<Node<'t>> {
    let line = lines.at(value.start());
    if depth > DEEPEST {
        too_deep(findings, line);
        return None;
    }
    let value = match value {
        ast::Value::StringLit(text) => Value::String(text.value),
        ast::Value::NumberLit(number) => number_value(number.value),
        ast::Value::BooleanLit(truth) => Value::Boolean(truth.value),
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::Array(array) => Value::Array(
            array
                .elements
                .into_iter()
                .map(|element| node(element, lines, depth + 1, findings))
                .collect::<Option<_>>()?,
        ),
        ast::Value::Object(object) => Value::Table(entries(object, lines, depth, findings)?),
    };
    Some(Node { line, value })
}

fn entries<'t>(
    object: ast::Object<'t>,
    lines: &Lines,
    depth: usize,
    findings: &mut Findings,
) -> Option<Vec<Entry<'t>>> {
    let mut seen = HashSet::new();
    let mut entries = Vec::with_capacity(object.properties.len());
    for property in object.properties {
        let line = lines.at(property.start());
        let key = match property.name {
            ast::ObjectPropName::String(text) => text.value,
            ast::ObjectPropName::Word(word) => word.value.into(),
        };
        let node = node(property.value, lines, depth + 1, findings)?;
        if !seen.insert(key.clone()) {
            findings.error(line, &key, "duplicate key, allowed once in a table");
        } else if !matches!(node.value, Value::Null) {
            entries.push(Entry { key, line, node });
        }
    }
    Some(entries)
}

fn number_value(text: &str) -> Value<'static> {
    if text.contains(['.', 'e', 'E']) {
        Value::Float(text.parse().unwrap_or(f64::NAN))
    } else {
        Value::Integer(text.parse().ok())
    }
}
