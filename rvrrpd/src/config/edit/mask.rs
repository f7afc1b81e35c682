//! A text of a configuration without its secrets, line by line.

use super::super::schema::{self, Key};
use super::super::tree::{Node, Value};
use super::super::{Findings, Format, tree};

/// What stands in the place of a secret.
const MASK: &str = "***";
/// Keys whose values are secrets, wherever they stand.
const SECRETS: &[&str] = &[
    "auth_secret",
    "auth_secret_file",
    "secret",
    "secret_file",
    "hex",
    "users",
];
/// Words that may come with a secret in a comment.
const SUSPECT: &[&str] = &["secret", "hex", "user", "pass", "key", "{{"];

/// The lines of a text, each as it may be shown; none when the text is not of this format, so that
/// nobody can tell what is a secret.
///
/// A line that holds a secret shows its key alone, and so does one of a key that there is not: its
/// value may be a secret under a mistyped name. Comments that seem to be about secrets are masked.
pub(super) fn lines(text: &str, format: Format) -> Option<Vec<String>> {
    let mut findings = Findings::new("");
    let root = tree(text, format, &mut findings)?;
    findings.judge(()).ok()?;
    let mut secret = Vec::new();
    collect(&root, &mut secret);
    secret.sort_unstable();
    let mut masked = Vec::new();
    let mut secrets = secret.into_iter().peekable();
    let mut until = 0;
    for (line, number) in text.lines().zip(1_u32..) {
        let mut begins = false;
        while let Some((first, last)) = secrets.next_if(|(first, _)| *first <= number) {
            begins |= first == number;
            until = until.max(last);
        }
        masked.push(if number <= until {
            hidden(line, begins)
        } else {
            comment(line)
        });
    }
    Some(masked)
}

/// Lines, first and last, of what must not be shown.
fn collect(node: &Node<'_>, secret: &mut Vec<(u32, u32)>) {
    match &node.value {
        Value::Array(elements) => {
            for element in elements {
                collect(element, secret);
            }
        }
        Value::Table(entries) => {
            for entry in entries {
                if SECRETS.contains(&entry.key.as_ref()) || !is_known(&entry.key) {
                    secret.push((entry.line, last_line(&entry.node)));
                } else {
                    collect(&entry.node, secret);
                }
            }
        }
        _ => {}
    }
}

fn is_known(name: &str) -> bool {
    let is_it = |key: &Key| key.name == name;
    schema::TABLES
        .iter()
        .any(|table| table.keys.iter().any(is_it))
}

/// The last line on which a part of a value may stand.
fn last_line(node: &Node<'_>) -> u32 {
    match &node.value {
        // A string of several lines ends after at least as many as it has line ends.
        Value::String(text) => {
            let more = text.matches('\n').count() + 1;
            node.line
                .saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
        }
        Value::Array(elements) => elements.iter().map(last_line).max().unwrap_or(node.line),
        Value::Table(entries) => {
            let lines = entries.iter().map(|entry| last_line(&entry.node));
            lines.max().unwrap_or(node.line)
        }
        _ => node.line,
    }
}

/// A line that holds a secret, or a part of one: what comes before the first value, if it begins
/// here.
fn hidden(line: &str, begins: bool) -> String {
    let end = if begins { line.find(['=', ':']) } else { None };
    let shown = end.and_then(|end| line.get(..=end)).unwrap_or_default();
    if shown.is_empty() {
        MASK.to_owned()
    } else {
        format!("{shown} {MASK}")
    }
}

/// A line with its comment masked, if that seems to be about a secret.
fn comment(line: &str) -> String {
    let Some((before, comment)) = line.split_once('#') else {
        return line.to_owned();
    };
    let comment = comment.to_lowercase();
    if SUSPECT.iter().any(|word| comment.contains(word)) {
        format!("{before}# {MASK}")
    } else {
        line.to_owned()
    }
}
