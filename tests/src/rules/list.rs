//! The list of rules, `docs/rules.toml`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use toml::{Table, Value};

/// How strongly a rule is demanded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// MUST of an RFC.
    Must,
    /// SHOULD of an RFC.
    Should,
    /// MAY of an RFC.
    May,
    /// Experience.
    Advice,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
            Self::Advice => "advice",
        })
    }
}

/// What has become of a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Status {
    /// The daemon keeps it.
    Implemented,
    /// It will, with something else; implemented as soon as a test names it.
    Planned(String),
    /// It does not, for this reason.
    NotApplicable(String),
}

impl Status {
    /// The status of a rule that is `tested`.
    pub(super) fn with_tests(self, tested: bool) -> Self {
        match self {
            Self::Planned(_) if tested => Self::Implemented,
            other => other,
        }
    }
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Id: `V3-RX-1`.
    pub id: String,
    /// Level.
    pub level: Level,
    /// Versions and families.
    pub scope: String,
    /// RFC and section.
    pub source: String,
    /// What it demands.
    pub text: String,
    /// Status.
    pub status: Status,
}

/// The rules in their order.
///
/// # Panics
/// Where the file is not as its head says.
pub(super) fn read(root: &Path) -> Vec<Rule> {
    let path = root.join("docs/rules.toml");
    let text = std::fs::read_to_string(&path).expect("docs/rules.toml");
    let table: Table = text.parse().expect("docs/rules.toml is TOML");
    let rules = table["rule"].as_array().expect("[[rule]]");
    rules.iter().map(rule).collect()
}

fn rule(value: &Value) -> Rule {
    let field = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("docs/rules.toml: no {key} in {value}"))
            .to_owned()
    };
    let status = value.get("status").and_then(Value::as_str);
    Rule {
        id: field("id"),
        level: match field("level").as_str() {
            "MUST" => Level::Must,
            "SHOULD" => Level::Should,
            "MAY" => Level::May,
            "advice" => Level::Advice,
            other => panic!("docs/rules.toml: level {other}"),
        },
        scope: field("scope"),
        source: field("source"),
        text: field("text"),
        status: match status.unwrap_or("implemented") {
            "implemented" => Status::Implemented,
            "planned" => Status::Planned(field("reason")),
            "not-applicable" => Status::NotApplicable(field("reason")),
            other => panic!("docs/rules.toml: status {other}"),
        },
    }
}

/// Ids that stand there twice.
pub(super) fn faults(rules: &[Rule]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    rules
        .iter()
        .filter(|rule| !seen.insert(&rule.id))
        .map(|rule| format!("{} is listed twice", rule.id))
        .collect()
}
