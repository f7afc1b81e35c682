//! TOML text to the tree.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::diagnostic::Findings;
use super::tree::{DEEPEST, Entry, Lines, Node, Value, too_deep};

/// Message of the TOML parser for a key that stands twice; such a text still makes a tree.
const DUPLICATE: &str = "duplicate key";

/// Largest text, in bytes, whose syntax errors are all looked for: the parser keeps each of them,
/// and a large file that is not TOML at all has millions.
const LARGEST_RECOVERABLE: usize = 1 << 20;

/// The tree of `text`; none, with errors in `findings`, when the text is not TOML.
///
/// A key that stands twice is reported and the first one is kept, so that the rest of the file is
/// judged too. Of a text of more than 1 MiB the first error is reported alone.
pub(super) fn tree<'t>(text: &'t str, findings: &mut Findings) -> Option<Node<'t>> {
    let lines = Lines::of(text);
    // No TOML begins with a brace, and each line of JSON would be an error of its own.
    if text.trim_start().starts_with('{') {
        let message = "not TOML but JSON, allowed: -g json, or a name that ends in .json";
        findings.error(1, "", message);
        return None;
    }
    let (document, errors) = if text.len() > LARGEST_RECOVERABLE {
        match DeTable::parse(text) {
            Ok(document) => (document, Vec::new()),
            Err(error) => (Spanned::new(0..0, DeTable::new()), vec![error]),
        }
    } else {
        DeTable::parse_recoverable(text)
    };
    let mut syntax = false;
    let mut last_line = 0;
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or_default();
            (lines.at(span.start), span, error.message())
        })
        .collect();
    errors.sort_by_key(|(line, ..)| *line);
    for (line, span, message) in errors {
        if message == DUPLICATE {
            let key = text.get(span).unwrap_or_default().trim_matches(['"', '\'']);
            findings.error(line, key, "duplicate key, allowed once in a table");
        } else {
            syntax = true;
            // What follows an error on its line is mostly its echo.
            if line != last_line {
                findings.error(line, "", format!("not TOML: {message}"));
            }
            last_line = line;
        }
    }
    if syntax {
        return None;
    }
    table(document.into_inner(), &lines, 0, findings).map(|value| Node { line: 1, value })
}

fn table<'t>(
    table: DeTable<'t>,
    lines: &Lines,
    depth: usize,
    findings: &mut Findings,
) -> Option<Value<'t>> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let line = lines.at(key.span().start);
        entries.push(Entry {
            key: key.into_inner(),
            line,
            node: node(value, lines, depth + 1, findings)?,
        });
    }
    entries.sort_by_key(|entry| entry.line);
    Some(Value::Table(entries))
}

fn node<'t>(
    value: Spanned<DeValue<'t>>,
    lines: &Lines,
    depth: usize,
    findings: &mut Findings,
) -> Option<Node<'t>> {
    let line = lines.at(value.span().start);
    if depth > DEEPEST {
        too_deep(findings, line);
        return None;
    }
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(text),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Boolean(truth),
        DeValue::Datetime(_) => Value::Time,
        DeValue::Array(array) => Value::Array(
            array
                .into_iter()
                .map(|element| node(element, lines, depth + 1, findings))
                .collect::<Option<_>>()?,
        ),
        DeValue::Table(inner) => table(inner, lines, depth, findings)?,
    };
    Some(Node { line, value })
}
