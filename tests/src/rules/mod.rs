//! Which test judges which rule of the protocol.
//!
//! `docs/rules.toml` lists the rules; a test names those that it judges by their ids in its doc
//! comment (`V2-RX-1`, `V3-RX-1 to V3-RX-4`) or in its name (`v2_rx_1_…`); patches in `tests/mutants`
//! break rules, so that their tests are seen failing. [`table`] brings rules and tests together, [`document`] is the page of it, [`faults`] what is wrong with it.

mod interop;
mod list;
mod mutant;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub use interop::Cell;
pub use list::{Level, Rule, Status};
pub use mutant::Mutant;
pub use scan::Test;

/// Page that [`document`] makes, from the root of the repository.
pub const PAGE: &str = "docs/conformance.md";

/// Root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A rule and the tests that name it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The rule.
    pub rule: Rule,
    /// `file::name` of each test, sorted.
    pub tests: Vec<String>,
    /// The `iftype`s that those run the daemon with.
    pub modes: BTreeSet<String>,
}

impl Row {
    /// Its modes as text: `any` where the tests are of code alone, which no mode has of its own.
    fn modes(&self) -> String {
        let known = scan::MODES.into_iter();
        let modes: Vec<&str> = known.filter(|mode| self.modes.contains(*mode)).collect();
        match (self.tests.is_empty(), modes.is_empty()) {
            (true, _) => "-".to_owned(),
            (false, true) => "any".to_owned(),
            (false, false) => modes.join(", "),
        }
    }
}

/// All rules in the order of the list, with their tests.
#[must_use]
pub fn table() -> Vec<Row> {
    join(list::read(&root()), &scan::scan(&root()))
}

fn join(rules: Vec<Rule>, tests: &[Test]) -> Vec<Row> {
    let mut named: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
    for test in tests {
        for id in &test.ids {
            named.entry(id).or_default().push(test);
        }
    }
    rules
        .into_iter()
        .map(|rule| {
            let found = named.remove(rule.id.as_str()).unwrap_or_default();
            let modes = found.iter().flat_map(|test| test.modes.clone()).collect();
            let mut tests: Vec<String> = found.iter().map(|test| test.name.clone()).collect();
            tests.sort();
            tests.dedup();
            let rule = Rule {
                status: rule.status.with_tests(!tests.is_empty()),
                ..rule
            };
            Row { rule, tests, modes }
        })
        .collect()
}

/// What must not be: an implemented MUST without a test, an id that no rule has, a cell of the
/// interoperation table without its test, a patch whose tests are not those of its rules.
#[must_use]
pub fn faults() -> Vec<String> {
    let rules = list::read(&root());
    let tests = scan::scan(&root());
    let mut faults = list::faults(&rules);
    for test in &tests {
        for id in &test.ids {
            if !rules.iter().any(|rule| rule.id == *id) {
                faults.push(format!("{} names {id}, which is no rule", test.name));
            }
        }
    }
    for cell in interop::read(&root()) {
        if !tests.iter().any(|test| test.name == cell.test) {
            faults.push(format!("{cell:?}: there is no such test"));
        }
    }
    faults.extend(mutant::faults(&mutant::read(&root()), &tests));
    let untested = join(rules, &tests)
        .into_iter()
        .filter(|row| row.rule.level == Level::Must && row.rule.status == Status::Implemented);
    faults.extend(untested.filter(|row| row.tests.is_empty()).map(|row| {
        format!(
            "{} is a MUST without a test: {}",
            row.rule.id, row.rule.text
        )
    }));
    faults
}

/// The table as text, and what has no test.
#[must_use]
pub fn listing() -> String {
    let rows = table();
    let mut text = String::new();
    for row in &rows {
        let Row { rule, tests, .. } = row;
        let tests = match &rule.status {
            Status::Implemented if tests.is_empty() => "no test".to_owned(),
            Status::Implemented => tests.join(", "),
            Status::Planned(reason) => format!("planned {reason}"),
            Status::NotApplicable(reason) => format!("not applicable: {reason}"),
        };
        let _ = writeln!(
            text,
            "{:9} {:6} {:20} {tests}",
            rule.id,
            rule.level,
            row.modes()
        );
    }
    let count =
        |status: fn(&Status) -> bool| rows.iter().filter(|row| status(&row.rule.status)).count();
    let _ = writeln!(
        text,
        "\n{} rules: {} implemented, {} planned, {} not applicable",
        rows.len(),
        count(|status| *status == Status::Implemented),
        count(|status| matches!(status, Status::Planned(_))),
        count(|status| matches!(status, Status::NotApplicable(_))),
    );
    let untested: Vec<&str> = rows
        .iter()
        .filter(|row| row.rule.status == Status::Implemented && row.tests.is_empty())
        .map(|row| row.rule.id.as_str())
        .collect();
    let _ = writeln!(
        text,
        "implemented without a test: {}",
        if untested.is_empty() {
            "none".to_owned()
        } else {
            untested.join(", ")
        }
    );
    let unbroken = mutant::unbroken(&rows, &mutant::read(&root()));
    let _ = writeln!(
        text,
        "MUST that no patch in tests/mutants breaks: {}",
        if unbroken.is_empty() {
            "none".to_owned()
        } else {
            unbroken.join(", ")
        }
    );
    text
}

/// The page [`PAGE`].
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Conformance\n\n\
         Generated from [rules.toml](rules.toml), [interop.toml](interop.toml) and the tests by \
         `make conformance`; a test fails where it is not current. `make rules` prints the same \
         as text.\n\n\
         ## Rules\n\n\
         Level *advice* is experience, not demanded by an RFC. Tests are named \
         `file::function`; those below `tests/` run the daemon in network namespaces and judge it \
         from the wire and from the kernel. *Modes* are the `iftype`s that these run it with, each \
         of them as a test of its own, `function::macvlan`; *any*: the code that is tested is the same \
         in all of them.\n\n\
         | rule | level | scope | what | source | modes | tests |\n|---|---|---|---|---|---|---|\n",
    );
    let rows = table();
    for row in &rows {
        let Row { rule, tests, .. } = row;
        let tests = match &rule.status {
            Status::Implemented => tests
                .iter()
                .map(|test| format!("`{test}`"))
                .collect::<Vec<_>>()
                .join("<br>"),
            Status::Planned(reason) => format!("*planned {reason}*"),
            Status::NotApplicable(reason) => format!("*not applicable:* {reason}"),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {tests} |",
            rule.id,
            rule.level,
            rule.scope,
            rule.text,
            rule.source,
            row.modes()
        );
    }
    text.push_str(&mutant::document(&rows, &mutant::read(&root())));
    text.push_str(&interop::document(&interop::read(&root())));
    text
}
