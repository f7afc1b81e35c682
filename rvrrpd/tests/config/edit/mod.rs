//! Changes of a configuration: the new text, what is refused, and the file.

mod json;
mod refusals;
mod save;
mod sequences;
mod toml;

use rvrrpd::config::Format;
use rvrrpd::config::edit::{Change, Document, EditError, Problem};
use serde_json::{Map, Value};

/// The keys of a request.
fn keys(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(keys) => keys,
        other => panic!("{other} is no object"),
    }
}

fn create(value: Value) -> Change {
    Change::Create(keys(value))
}

fn modify(name: &str, value: Value) -> Change {
    Change::Modify {
        name: name.to_owned(),
        keys: keys(value),
    }
}

fn delete(name: &str) -> Change {
    Change::Delete {
        name: name.to_owned(),
    }
}

fn document(text: &str, format: Format) -> Document {
    Document::parse(text, format).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// The document after changes that must be accepted.
fn after(text: &str, format: Format, changes: &[Change]) -> Document {
    changes.iter().fold(document(text, format), |it, change| {
        it.apply(change)
            .unwrap_or_else(|error| panic!("{change:?}: {error}\n{}", it.text()))
    })
}

/// What is wrong with a change that must be refused.
fn problems(text: &str, format: Format, change: &Change) -> Vec<Problem> {
    match document(text, format).apply(change) {
        Err(EditError::Invalid(problems)) => problems,
        other => panic!("{other:?}"),
    }
}
