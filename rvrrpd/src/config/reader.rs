//! Reads the keys of one table: types, ranges and unknown names are judged here, in one place.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::diagnostic::{Findings, quoted};
use super::schema::{Support, Table};
use super::tree::{Entry, Node, Value};

/// Longest path that Linux takes, in bytes, without the final NUL (PATH_MAX).
const LONGEST_PATH: usize = 4095;

/// What was found for a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<T> {
    /// The key is not there.
    Absent,
    /// It is there and wrong; that has been reported.
    Wrong,
    /// It is there and right.
    Given {
        /// The value.
        value: T,
        /// Line of the key.
        line: u32,
    },
}

impl<T> Field<T> {
    /// The value, or `default` when there is none. After [`Field::Wrong`] the default is only a
    /// stand-in: the file is refused.
    pub(super) fn or(self, default: T) -> T {
        self.given().unwrap_or(default)
    }

    /// The value, if there is one.
    pub(super) fn given(self) -> Option<T> {
        match self {
            Self::Given { value, .. } => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// Line of the key, if there is a value.
    pub(super) fn line(&self) -> Option<u32> {
        match self {
            Self::Given { line, .. } => Some(*line),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// Whether the key is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// Reader of one table.
#[derive(Debug)]
pub(super) struct Reader<'r, 't> {
    schema: &'static Table,
    prefix: &'static str,
    line: u32,
    entries: &'r [Entry<'t>],
    findings: &'r mut Findings,
}

impl<'r, 't> Reader<'r, 't> {
    /// Opens a table and reports the keys that are unknown or not supported yet. `prefix` goes
    /// before the names of keys in diagnostics.
    pub(super) fn new(
        schema: &'static Table,
        prefix: &'static str,
        line: u32,
        entries: &'r [Entry<'t>],
        findings: &'r mut Findings,
    ) -> Self {
        let mut reader = Self {
            schema,
            prefix,
            line,
            entries,
            findings,
        };
        for entry in entries {
            match schema.key(&entry.key) {
                None => reader.unknown(entry),
                Some(key) if key.support == Support::NotYet => {
                    reader.error(entry.line, key.name, "not supported yet");
                }
                Some(_) => {}
            }
        }
        reader
    }

    /// What collects the findings, for the tables inside this one.
    pub(super) fn findings(&mut self) -> &mut Findings {
        self.findings
    }

    /// Reports an error about a key of this table.
    pub(super) fn error(&mut self, line: u32, key: &str, message: impl Into<String>) {
        self.findings
            .error(line, &format!("{}{key}", self.prefix), message);
    }

    /// Reports a warning about a key of this table.
    pub(super) fn warn(&mut self, line: u32, key: &str, message: impl Into<String>) {
        self.findings
            .warn(line, &format!("{}{key}", self.prefix), message);
    }

    /// How a message refers to another line.
    pub(super) fn place(&self, line: u32) -> String {
        self.findings.place(line)
    }

    /// The entry of a supported key.
    pub(super) fn entry(&self, name: &str) -> Option<&'r Entry<'t>> {
        debug_assert!(self.schema.key(name).is_some(), "{name} is in no table");
        self.schema
            .key(name)
            .filter(|key| key.support != Support::NotYet)?;
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// Line of a supported key, whatever its value is.
    pub(super) fn line_of(&self, name: &str) -> Option<u32> {
        self.entry(name).map(|entry| entry.line)
    }

    /// Whether this table has such a key at all.
    pub(super) fn is_known(&self, name: &str) -> bool {
        self.schema.key(name).is_some()
    }

    /// Type and range of a key, for messages.
    pub(super) fn allowed(&self, name: &str) -> String {
        self.schema
            .key(name)
            .map(|key| key.kind.replace('`', ""))
            .unwrap_or_default()
    }

    /// Reports that a required key is absent.
    pub(super) fn missing(&mut self, name: &str) {
        let allowed = self.allowed(name);
        self.error(
            self.line,
            name,
            format!("missing, but required; allowed: {allowed}"),
        );
    }

    /// Reports a value of a wrong type; `node` may be an element of the key's array.
    pub(super) fn wrong_type(&mut self, line: u32, name: &str, node: &Node<'_>) {
        let allowed = self.allowed(name);
        self.error(
            line,
            name,
            format!("is {}, allowed: {allowed}", node.value.kind()),
        );
    }

    /// A whole number.
    pub(super) fn integer<T>(&mut self, name: &str, range: RangeInclusive<T>) -> Field<T>
    where
        T: TryFrom<i64> + Display + PartialOrd,
    {
        let Some(entry) = self.entry(name) else {
            return Field::Absent;
        };
        let Value::Integer(number) = entry.node.value else {
            self.wrong_type(entry.line, name, &entry.node);
            return Field::Wrong;
        };
        let value = number
            .and_then(|number| T::try_from(number).ok())
            .filter(|value| range.contains(value));
        if let Some(value) = value {
            return Field::Given {
                value,
                line: entry.line,
            };
        }
        self.out_of_range(entry, name, number);
        Field::Wrong
    }

    /// A time in seconds, `0..=most`, to the microsecond.
    pub(super) fn seconds(&mut self, name: &str, most: u32) -> Field<Duration> {
        let Some(entry) = self.entry(name) else {
            return Field::Absent;
        };
        let number = match entry.node.value {
            Value::Integer(Some(number)) => u32::try_from(number).ok().map(f64::from),
            Value::Integer(None) => None,
            Value::Float(number) => Some(number),
            _ => {
                self.wrong_type(entry.line, name, &entry.node);
                return Field::Wrong;
            }
        };
        let value = number
            .filter(|number| (0.0..=f64::from(most)).contains(number))
            .and_then(|number| Duration::try_from_secs_f64((number * 1e6).round() / 1e6).ok());
        if let Some(value) = value {
            return Field::Given {
                value,
                line: entry.line,
            };
        }
        let allowed = self.allowed(name);
        self.error(
            entry.line,
            name,
            format!("out of range, allowed: {allowed}"),
        );
        Field::Wrong
    }

    /// A bool.
    pub(super) fn boolean(&mut self, name: &str) -> Field<bool> {
        let Some(entry) = self.entry(name) else {
            return Field::Absent;
        };
        let Value::Boolean(value) = entry.node.value else {
            self.wrong_type(entry.line, name, &entry.node);
            return Field::Wrong;
        };
        Field::Given {
            value,
            line: entry.line,
        }
    }

    /// One of the named values.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Field<T> {
        let allowed = || {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            names.join(", ")
        };
        let Some(entry) = self.entry(name) else {
            return Field::Absent;
        };
        let Value::String(text) = &entry.node.value else {
            let message = format!("is {}, allowed: {}", entry.node.value.kind(), allowed());
            self.error(entry.line, name, message);
            return Field::Wrong;
        };
        if let Some((_, value)) = choices.iter().find(|(choice, _)| choice == text) {
            return Field::Given {
                value: *value,
                line: entry.line,
            };
        }
        let message = format!("unknown value {}, allowed: {}", quoted(text), allowed());
        self.error(entry.line, name, message);
        Field::Wrong
    }

    /// A string, which may be a secret: it is in no message.
    pub(super) fn string(&mut self, name: &str) -> Field<&'r str> {
        let Some(entry) = self.entry(name) else {
            return Field::Absent;
        };
        let Value::String(text) = &entry.node.value else {
            self.wrong_type(entry.line, name, &entry.node);
            return Field::Wrong;
        };
        Field::Given {
            value: text.as_ref(),
            line: entry.line,
        }
    }

    /// A path; whether something is there is not looked at.
    pub(super) fn path(&mut self, name: &str) -> Field<PathBuf> {
        let (text, line) = match self.string(name) {
            Field::Absent => return Field::Absent,
            Field::Wrong => return Field::Wrong,
            Field::Given { value, line } => (value, line),
        };
        // The text is not repeated: it may be a secret that was put where its path belongs.
        if text.is_empty() || text.contains('\0') || text.len() > LONGEST_PATH {
            let message = format!("is no path, allowed: 1 to {LONGEST_PATH} bytes without NUL");
            self.error(line, name, message);
            return Field::Wrong;
        }
        Field::Given {
            value: PathBuf::from(text),
            line,
        }
    }

    /// The table behind a key, with its line.
    pub(super) fn table(&mut self, name: &str) -> Field<&'r [Entry<'t>]> {
        let Some(entry) = self.entry(name) else {
            return Field::Absent;
        };
        let Value::Table(entries) = &entry.node.value else {
            self.wrong_type(entry.line, name, &entry.node);
            return Field::Wrong;
        };
        Field::Given {
            value: entries,
            line: entry.line,
        }
    }

    /// The tables of an array of tables, each with its line. Elements of another type are
    /// reported and left out; so is all that goes beyond `most`.
    pub(super) fn tables(&mut self, name: &str, most: usize) -> Vec<(u32, &'r [Entry<'t>])> {
        let Some(entry) = self.entry(name) else {
            return Vec::new();
        };
        let Value::Array(elements) = &entry.node.value else {
            self.wrong_type(entry.line, name, &entry.node);
            return Vec::new();
        };
        if elements.len() > most {
            let message = format!("{} tables, allowed: at most {most}", elements.len());
            self.error(entry.line, name, message);
        }
        let mut tables = Vec::with_capacity(elements.len().min(most));
        for element in elements.iter().take(most) {
            if let Value::Table(entries) = &element.value {
                tables.push((element.line, entries.as_slice()));
            } else {
                let message = format!("is {} in an array, allowed: a table", element.value.kind());
                self.error(element.line, name, message);
            }
        }
        tables
    }

    /// A string or an array of strings, each with its line. Elements of another type and a second
    /// appearance are reported; none when anything was wrong.
    pub(super) fn strings(&mut self, name: &str) -> Field<Vec<(u32, &'r str)>> {
        let Some(entry) = self.entry(name) else {
            return Field::Absent;
        };
        let elements = match &entry.node.value {
            Value::String(text) => {
                return Field::Given {
                    value: vec![(entry.line, text.as_ref())],
                    line: entry.line,
                };
            }
            Value::Array(elements) => elements,
            _ => {
                self.wrong_type(entry.line, name, &entry.node);
                return Field::Wrong;
            }
        };
        let mut strings = Vec::with_capacity(elements.len());
        let mut seen = HashSet::new();
        let mut right = true;
        for element in elements {
            match &element.value {
                Value::String(text) if seen.insert(text.as_ref()) => {
                    strings.push((element.line, text.as_ref()));
                }
                Value::String(_) => {
                    self.error(
                        element.line,
                        name,
                        "stands twice in the list, allowed: once",
                    );
                    right = false;
                }
                _ => {
                    self.wrong_type(element.line, name, element);
                    right = false;
                }
            }
        }
        if right {
            Field::Given {
                value: strings,
                line: entry.line,
            }
        } else {
            Field::Wrong
        }
    }

    /// Reports a number that is outside of the key's range.
    fn out_of_range(&mut self, entry: &Entry<'_>, name: &str, number: Option<i64>) {
        let allowed = self.allowed(name);
        let what = number.map_or_else(|| "the number".to_owned(), |number| number.to_string());
        self.error(
            entry.line,
            name,
            format!("{what} is out of range, allowed: {allowed}"),
        );
    }

    fn unknown(&mut self, entry: &Entry<'_>) {
        if self.findings.is_full() {
            self.findings.count_error();
            return;
        }
        let message = if let Some(place) = self.schema.place_of(&entry.key) {
            format!("unknown key here, allowed: {place}")
        } else if let Some(nearest) = self.schema.nearest(&entry.key) {
            format!("unknown key, the nearest one allowed is {nearest}")
        } else {
            let names: Vec<&str> = self.schema.keys.iter().map(|key| key.name).collect();
            format!("unknown key, allowed: {}", names.join(", "))
        };
        self.error(entry.line, &entry.key, message);
    }
}
