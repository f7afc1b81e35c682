//! A text of a configuration without its secrets, line by line.

use std::collections::BTreeSet;

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
    let mut marks = Marks::default();
    marks.collect(&root);
    let mut hidden = false;
    let masked = text.lines().zip(1_u32..).map(|(line, number)| {
        if marks.secret.contains(&number) {
            hidden = true;
            return begin(line);
        }
        hidden &= !marks.begins(number, line);
        if hidden {
            MASK.to_owned()
        } else {
            comment(line)
        }
    });
    Some(masked.collect())
}

/// What begins on which line.
#[derive(Debug, Default)]
struct Marks<'t> {
    /// Lines on which secrets begin. Where they end is not known: everything up to the next key is
    /// taken for a part of them.
    secret: BTreeSet<u32>,
    /// Other keys.
    known: BTreeSet<(u32, &'t str)>,
}

impl<'t> Marks<'t> {
    fn collect(&mut self, node: &'t Node<'_>) {
        match &node.value {
            Value::Array(elements) => {
                for element in elements {
                    self.collect(element);
                }
            }
            Value::Table(entries) => {
                for entry in entries {
                    let name = entry.key.as_ref();
                    if SECRETS.contains(&name) || !is_known(name) {
                        self.secret.insert(entry.line);
                    } else {
                        self.known.insert((entry.line, name));
                        self.collect(&entry.node);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether nothing stands on a line in front of a key that is no secret.
    fn begins(&self, number: u32, line: &str) -> bool {
        let bare = line.trim_start_matches([' ', '\t', '{', '[', ',', '"', '\'']);
        let header = line.trim_start().starts_with('[') && !line.contains(['"', '\'']);
        self.known
            .range((number, "")..)
            .take_while(|(at, _)| *at == number)
            .any(|(_, key)| bare.starts_with(key) || header)
    }
}

fn is_known(name: &str) -> bool {
    let is_it = |key: &Key| key.name == name;
    schema::TABLES
        .iter()
        .any(|table| table.keys.iter().any(is_it))
}

/// A line on which a secret begins: what comes before the first value.
fn begin(line: &str) -> String {
    let end = line.find(['=', ':']);
    let shown = end.and_then(|end| line.get(..=end)).unwrap_or_default();
    format!("{shown} {MASK}")
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
