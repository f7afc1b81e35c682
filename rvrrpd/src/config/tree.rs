//! One tree for both formats: values with the line on which they stand.

use std::borrow::Cow;

use super::diagnostic::Findings;

/// How deep tables and arrays may be nested; the deepest place of the schema is 5.
pub(super) const DEEPEST: usize = 32;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node<'t> {
    /// Line of the value, counted from 1; that of its header for a table with one.
    pub(super) line: u32,
    /// The value.
    pub(super) value: Value<'t>,
}

/// What both formats can say.
#[derive(Debug)]
pub(super) enum Value<'t> {
    /// Text.
    String(Cow<'t, str>),
    /// Whole number; none: beyond 64 bits.
    Integer(Option<i64>),
    /// Number with a fraction or an exponent.
    Float(f64),
    /// Truth.
    Boolean(bool),
    /// Date or time (TOML).
    Time,
    /// Nothing (JSON); only inside arrays, a key that is `null` is absent.
    Null,
    /// Array.
    Array(Vec<Node<'t>>),
    /// Table, without duplicates.
    Table(Vec<Entry<'t>>),
}

/// One key of a table.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    /// Name of the key.
    pub(super) key: Cow<'t, str>,
    /// Line of the key.
    pub(super) line: u32,
    /// Its value.
    pub(super) node: Node<'t>,
}

impl Value<'_> {
    /// The type, as a message names it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "a bool",
            Self::Time => "a date or time",
            Self::Null => "null",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// Lines of a text.
#[derive(Debug)]
pub(super) struct Lines {
    ends: Vec<usize>,
}

impl Lines {
    /// Where the lines of `text` end.
    pub(super) fn of(text: &str) -> Self {
        Self {
            ends: text
                .bytes()
                .enumerate()
                .filter_map(|(at, byte)| (byte == b'\n').then_some(at))
                .collect(),
        }
    }

    /// Line, counted from 1, of the byte at `offset`.
    pub(super) fn at(&self, offset: usize) -> u32 {
        let before = self.ends.partition_point(|end| *end < offset);
        u32::try_from(before).map_or(u32::MAX, |before| before.saturating_add(1))
    }
}

/// What says that the nesting is too deep.
pub(super) fn too_deep(findings: &mut Findings, line: u32) {
    findings.error(
        line,
        "",
        format!("tables and arrays are nested too deep, at most {DEEPEST} levels are allowed"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::of("ab\n\nc");
        let found: Vec<u32> = (0..6).map(|at| lines.at(at)).collect();
        assert_eq!(found, [1, 1, 1, 2, 3, 3]);
        assert_eq!(Lines::of("").at(0), 1);
    }
}
