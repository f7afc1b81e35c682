//! From a record to a line.

use std::fmt::Write as _;
use std::time::SystemTime;

use chrono::format::DelayedFormat;
use chrono::format::StrftimeItems;
use chrono::{DateTime, Local, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::record::{Record, Severity, Value};
use crate::config::model::{LogFormat, TimeFormat, TimeZone};

/// How lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Style {
    pub(super) zone: TimeZone,
    pub(super) time: TimeFormat,
    pub(super) format: LogFormat,
}

impl Style {
    /// The line of a record for a file or a terminal, with its newline.
    pub(super) fn line(self, record: &Record) -> String {
        let mut line = match self.format {
            LogFormat::Json => self.json(record),
            LogFormat::Text => match self.time_stamp(record.time) {
                Some(stamp) => format!("[{stamp}] {}", text(record)),
                None => text(record),
            },
        };
        line.push('\n');
        line
    }

    /// The text of a record for a service that keeps the time itself.
    pub(super) fn body(self, record: &Record) -> String {
        match self.format {
            LogFormat::Json => self.json(record),
            LogFormat::Text => text(record),
        }
    }

    fn json(self, record: &Record) -> String {
        let object = Object {
            // A JSON line is read by machines, which always need the time.
            time: self
                .time_stamp(record.time)
                .unwrap_or_else(|| self.stamp_as(TimeFormat::Rfc3339, record.time)),
            level: match record.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
                Severity::Debug(_) => "debug",
            },
            debug: match record.severity {
                Severity::Debug(level) => Some(level),
                Severity::Error | Severity::Warning | Severity::Info => None,
            },
            source: &record.source,
            message: &record.message,
            fields: (&record.fields, &record.said),
        };
        let json = serde_json::to_string(&object).unwrap_or_else(|error| {
            format!(r#"{{"level":"error","source":"log","message":"no JSON: {error}"}}"#)
        });
        // JSON itself permits DEL, C1 and direction marks in a string; a terminal obeys them.
        escape(&json, |line, character| {
            write!(line, "\\u{:04x}", u32::from(character))
        })
    }

    fn time_stamp(self, time: SystemTime) -> Option<String> {
        (self.time != TimeFormat::Disabled).then(|| self.stamp_as(self.time, time))
    }

    fn stamp_as(self, format: TimeFormat, time: SystemTime) -> String {
        match self.zone {
            TimeZone::Utc => stamp(format, &DateTime::<Utc>::from(time)),
            TimeZone::Local => stamp(format, &DateTime::<Local>::from(time)),
        }
    }
}

/// `Nov 21 02:05:58` in local time, as RFC 3164 §4.1.2 wants it.
pub(super) fn rfc3164_stamp(time: SystemTime) -> DelayedFormat<StrftimeItems<'static>> {
    DateTime::<Local>::from(time).format("%b %e %T")
}

fn stamp<Z>(format: TimeFormat, time: &DateTime<Z>) -> String
where
    Z: chrono::TimeZone,
    Z::Offset: std::fmt::Display,
{
    match format {
        TimeFormat::Disabled => String::new(),
        TimeFormat::Short => time.format("%b %e %Y %T").to_string(),
        TimeFormat::Rfc2822 => time.to_rfc2822(),
        TimeFormat::Rfc3339 => time.to_rfc3339_opts(SecondsFormat::Micros, false),
    }
}

fn text(record: &Record) -> String {
    let mut text = match record.severity {
        Severity::Error => format!("error({}): ", record.source),
        Severity::Warning => format!("warning({}): ", record.source),
        Severity::Info => String::new(),
        Severity::Debug(_) => format!("debug({}): ", record.source),
    };
    text.push_str(&record.message);
    for (name, value) in &record.fields {
        if !text.is_empty() && !text.ends_with(' ') {
            text.push(' ');
        }
        text.push_str(name);
        text.push('=');
        let value = self::value(value);
        let plain = !value.is_empty()
            && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
        if plain {
            text.push_str(&value);
        } else {
            text.push('"');
            text.push_str(&value.replace('"', "\\\""));
            text.push('"');
        }
    }
    harmless(&text)
}

/// A field's value alone, on one line.
pub(super) fn value(value: &Value) -> String {
    let text = match value {
        Value::Bool(value) => value.to_string(),
        Value::Signed(value) => value.to_string(),
        Value::Unsigned(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(value) => value.clone(),
    };
    harmless(&text)
}

fn harmless(text: &str) -> String {
    escape(text, |line, character| {
        write!(line, "{}", character.escape_default())
    })
}

/// Replaces every character that could end the line, move a cursor or turn the reading direction.
fn escape(text: &str, write: impl Fn(&mut String, char) -> std::fmt::Result) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if is_active(character) {
            let _infallible = write(&mut line, character);
        } else {
            line.push(character);
        }
    }
    line
}

fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[derive(Serialize)]
struct Object<'a> {
    time: String,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<u8>,
    source: &'a str,
    message: &'a str,
    #[serde(serialize_with = "as_map")]
    fields: (&'a [Field], &'a [Field]),
}

type Field = (&'static str, Value);

fn as_map<S: Serializer>(fields: &(&[Field], &[Field]), to: S) -> Result<S::Ok, S::Error> {
    let all = fields.0.iter().chain(fields.1);
    to.collect_map(all.map(|(name, value)| (name, value)))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::{Duration, SystemTime};

    use super::{LogFormat, Record, Severity, Style, TimeFormat, TimeZone, Value};

    fn style(time: TimeFormat, format: LogFormat) -> Style {
        Style {
            zone: TimeZone::Utc,
            time,
            format,
        }
    }

    fn record(severity: Severity, message: &str) -> Record {
        Record {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_226_758_123_456),
            severity,
            source: Cow::Borrowed("worker"),
            message: message.to_owned(),
            fields: Vec::new(),
            said: Vec::new(),
        }
    }

    fn text(time: TimeFormat, record: &Record) -> String {
        style(time, LogFormat::Text).line(record)
    }

    #[test]
    fn time_stamps_have_the_documented_forms() {
        let record = record(Severity::Info, "up");
        assert_eq!(text(TimeFormat::Disabled, &record), "up\n");
        assert_eq!(
            text(TimeFormat::Short, &record),
            "[Nov 21 2026 02:05:58] up\n"
        );
        assert_eq!(
            text(TimeFormat::Rfc2822, &record),
            "[Sat, 21 Nov 2026 02:05:58 +0000] up\n"
        );
        assert_eq!(
            text(TimeFormat::Rfc3339, &record),
            "[2026-11-21T02:05:58.123456+00:00] up\n"
        );
    }

    #[test]
    fn the_level_and_the_source_stand_before_the_message() {
        let line = |severity| text(TimeFormat::Disabled, &record(severity, "m"));
        assert_eq!(line(Severity::Info), "m\n");
        assert_eq!(line(Severity::Debug(3)), "debug(worker): m\n");
        assert_eq!(line(Severity::Warning), "warning(worker): m\n");
        assert_eq!(line(Severity::Error), "error(worker): m\n");
    }

    #[test]
    fn fields_follow_the_message() {
        let mut record = record(Severity::Info, "m");
        record.fields = vec![
            ("vrid", Value::Unsigned(7)),
            ("name", Value::Text("two words".to_owned())),
            ("link", Value::Text("eth0".to_owned())),
        ];
        assert_eq!(
            text(TimeFormat::Disabled, &record),
            "m vrid=7 name=\"two words\" link=eth0\n"
        );
    }

    #[test]
    fn one_record_is_one_line_of_harmless_characters() {
        let hostile = "a\nb\r\x1b[2J\x07\u{7f}\u{9b}\u{2028}\u{202e}c";
        let mut record = record(Severity::Info, hostile);
        record.source = Cow::Owned("s\n".to_owned());
        record.fields = vec![("f", Value::Text(hostile.to_owned()))];
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = style(TimeFormat::Disabled, format).line(&record);
            let inside = line.strip_suffix('\n').unwrap();
            assert!(!inside.contains(super::is_active), "{inside:?}");
        }
        assert!(text(TimeFormat::Disabled, &record).starts_with(r"a\nb\r\u{1b}[2J"));
    }

    #[test]
    fn a_json_line_is_one_object_that_keeps_every_character() {
        let hostile = "a\n\"\u{9b}\u{202e}";
        let mut record = record(Severity::Debug(2), hostile);
        record.fields = vec![("n", Value::Signed(-1)), ("up", Value::Bool(true))];
        let line = style(TimeFormat::Disabled, LogFormat::Json).line(&record);
        assert!(line.starts_with(r#"{"time":"2026-11-21T02:05:58.123456+00:00","level":"debug""#));
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["message"], hostile);
        assert_eq!(object["source"], "worker");
        assert_eq!(object["debug"], 2);
        assert_eq!(object["fields"], serde_json::json!({"n": -1, "up": true}));
    }
}
