//! What one log line holds, taken from a tracing event in the thread that logs.
//!
//! Only what must happen there happens there: the arguments are turned into text. Time stamps and
//! lines are made by the writer.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::SystemTime;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

/// Longest text of one message or field, in bytes; the rest is cut off and `…` stands for it.
const MAX_TEXT: usize = 4096;

/// What the name of a field begins with whose value is in the message already.
const SAID: &str = "said.";

/// How grave a line is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Severity {
    Error,
    Warning,
    Info,
    /// With its debug level, 1..=5.
    Debug(u8),
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
}

/// One log line before it is formatted.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) severity: Severity,
    pub(super) source: Cow<'static, str>,
    pub(super) message: String,
    /// What follows the message.
    pub(super) fields: Vec<(&'static str, Value)>,
    /// What the message says in words already, for who reads fields.
    pub(super) said: Vec<(&'static str, Value)>,
}

impl Record {
    /// A line of this module's own.
    pub(super) fn own(severity: Severity, message: String) -> Self {
        Self {
            time: SystemTime::now(),
            severity,
            source: Cow::Borrowed("log"),
            message,
            fields: Vec::new(),
            said: Vec::new(),
        }
    }

    /// The record of an event, or none where its `v` is above the debug level.
    pub(super) fn of_event(event: &Event<'_>, debug: u8) -> Option<Self> {
        let metadata = event.metadata();
        let base = base_level(metadata)?;
        let mut collector = Collector::default();
        event.record(&mut collector);
        let level = match base {
            0 => 0,
            base => collector.level.unwrap_or(base).clamp(1, 5),
        };
        if level > debug {
            return None;
        }
        Some(Self {
            time: SystemTime::now(),
            severity: match (*metadata.level(), level) {
                (Level::ERROR, _) => Severity::Error,
                (Level::WARN, _) => Severity::Warning,
                (_, 0) => Severity::Info,
                (_, level) => Severity::Debug(level),
            },
            source: collector
                .source
                .map_or_else(|| Cow::Borrowed(last_module(metadata.target())), Cow::Owned),
            message: collector.message,
            fields: collector.fields,
            said: collector.said,
        })
    }
}

/// Whether events of this call site can be visible at a debug level.
pub(super) fn can_be_visible(metadata: &Metadata<'_>, debug: u8) -> bool {
    base_level(metadata).is_some_and(|base| base <= debug)
}

/// Lowest debug level at which an event of this call site can be visible, none if at no level.
fn base_level(metadata: &Metadata<'_>) -> Option<u8> {
    let own = metadata.module_path().is_none_or(is_own);
    lowest_level(*metadata.level(), own)
}

fn lowest_level(severity: Level, own: bool) -> Option<u8> {
    match severity {
        Level::ERROR | Level::WARN => Some(0),
        Level::INFO if own => Some(0),
        Level::DEBUG if own => Some(1),
        Level::TRACE if own => Some(3),
        // What another crate finds worth a line says little to an operator.
        Level::INFO => Some(5),
        // It may print what it transports, secrets included.
        _ => None,
    }
}

fn is_own(module: &str) -> bool {
    let root = module.split("::").next().unwrap_or(module);
    root == "rvrrpd" || root.starts_with("rvrrpd_")
}

fn last_module(target: &'static str) -> &'static str {
    target.rsplit("::").next().unwrap_or(target)
}

#[derive(Default)]
struct Collector {
    message: String,
    source: Option<String>,
    level: Option<u8>,
    fields: Vec<(&'static str, Value)>,
    said: Vec<(&'static str, Value)>,
}

impl Collector {
    fn push(&mut self, name: &'static str, value: Value) {
        match name.strip_prefix(SAID) {
            Some(name) => self.said.push((name, value)),
            None => self.fields.push((name, value)),
        }
    }

    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            "src" => self.source = Some(text),
            name => self.push(name, Value::Text(text)),
        }
    }

    fn number(&mut self, field: &Field, number: Option<u8>, value: Value) {
        match field.name() {
            // A level that is no number of 0..=255 is as good as the highest one.
            "v" => self.level = Some(number.unwrap_or(u8::MAX)),
            name => self.push(name, value),
        }
    }
}

impl Visit for Collector {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded::default();
        // The only error is that the text was cut off.
        let _cut = write!(text, "{value:?}");
        self.text(field, text.0);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Bounded::default();
        let _cut = text.write_str(value);
        self.text(field, text.0);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, u8::try_from(value).ok(), Value::Unsigned(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, u8::try_from(value).ok(), Value::Signed(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field.name(), Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field.name(), Value::Bool(value));
    }
}

/// Text of at most [`MAX_TEXT`] bytes.
#[derive(Default)]
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        if self.0.len() <= MAX_TEXT {
            self.0.push_str(&text[..text.floor_char_boundary(room)]);
            self.0.push('…');
        }
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use tracing::Level;

    use super::{Bounded, MAX_TEXT, is_own, last_module, lowest_level};

    #[test]
    fn long_text_is_cut_at_a_character() {
        let mut text = Bounded::default();
        text.write_str(&"a".repeat(MAX_TEXT - 1)).unwrap();
        assert!(text.write_str("ü").is_err());
        assert!(text.write_str("more").is_err());
        assert_eq!(text.0.len(), MAX_TEXT - 1 + '…'.len_utf8());
        assert!(text.0.ends_with("a…"));
    }

    #[test]
    fn the_source_is_the_last_module_of_the_target() {
        assert_eq!(last_module("rvrrpd::pool::worker"), "worker");
        assert_eq!(last_module("rvrrpd"), "rvrrpd");
    }

    #[test]
    fn debug_messages_of_other_crates_are_never_visible() {
        assert_eq!(lowest_level(Level::TRACE, false), None);
        assert_eq!(lowest_level(Level::DEBUG, false), None);
        assert_eq!(lowest_level(Level::INFO, false), Some(5));
        assert_eq!(lowest_level(Level::WARN, false), Some(0));
    }

    #[test]
    fn only_modules_of_this_project_are_own() {
        assert!(is_own("rvrrpd") && is_own("rvrrpd::log") && is_own("rvrrpd_ebpf::maps"));
        assert!(!is_own("rvrrpdx::log") && !is_own("hyper::proto"));
    }
}
