//! The patches that break a rule each, `tests/mutants`, and the tests that saw it.
//!
//! `scripts/mutants rules` applies them one by one and runs the tests that they name.

use std::fmt::Write as _;
use std::path::Path;

use super::{Level, Row, Status, Test, scan};

/// Where they are, from the root of the repository.
const DIRECTORY: &str = "tests/mutants";

/// One patch.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// File name without its end: the ids of the rules that it breaks, then words, between `_`.
    pub name: String,
    /// Those ids.
    pub ids: Vec<String>,
    /// How it breaks them: its first line.
    pub what: String,
    /// The tests that fail then, `file::function`: its next lines.
    pub tests: Vec<String>,
}

/// All patches, sorted by name.
///
/// # Panics
/// Where one cannot be read or has no first line.
pub(super) fn read(root: &Path) -> Vec<Mutant> {
    let directory = root.join(DIRECTORY);
    let entries = std::fs::read_dir(&directory).expect(DIRECTORY);
    let mut mutants: Vec<Mutant> = entries
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".patch")?;
            let text = std::fs::read_to_string(&path).expect("a patch");
            Some(mutant(name, &text))
        })
        .collect();
    mutants.sort_by(|one, other| one.name.cmp(&other.name));
    mutants
}

fn mutant(name: &str, text: &str) -> Mutant {
    let mut head = text.lines().take_while(|line| !line.starts_with("--- "));
    Mutant {
        name: name.to_owned(),
        ids: name
            .split('_')
            .map(str::to_uppercase)
            .take_while(|part| scan::is_id(part))
            .collect(),
        what: head.next().expect("what is broken").to_owned(),
        tests: head.map(str::to_owned).collect(),
    }
}

/// Patches without a rule or without a test, and those whose tests are not those of their rules.
pub(super) fn faults(mutants: &[Mutant], tests: &[Test]) -> Vec<String> {
    let mut faults = Vec::new();
    for Mutant {
        name,
        ids,
        tests: failing,
        ..
    } in mutants
    {
        let mut found = Vec::new();
        for wanted in failing {
            match tests.iter().find(|test| test.name == *wanted) {
                Some(test) if test.ids.iter().any(|id| ids.contains(id)) => found.push(test),
                Some(_) => faults.push(format!("{name}: {wanted} names none of its rules")),
                None => faults.push(format!("{name}: there is no test {wanted}")),
            }
        }
        if ids.is_empty() {
            faults.push(format!("{name}: no rule in the name"));
        }
        for id in ids {
            if !found.iter().any(|test| test.ids.contains(id)) {
                faults.push(format!("{name}: none of its tests names {id}"));
            }
        }
    }
    faults
}

/// The implemented rules of level MUST that no patch breaks.
pub(super) fn unbroken<'a>(rows: &'a [Row], mutants: &[Mutant]) -> Vec<&'a str> {
    rows.iter()
        .map(|row| &row.rule)
        .filter(|rule| rule.level == Level::Must && rule.status == Status::Implemented)
        .map(|rule| rule.id.as_str())
        .filter(|id| !mutants.iter().any(|mutant| broken_by(mutant, id)))
        .collect()
}

fn broken_by(mutant: &Mutant, id: &str) -> bool {
    mutant.ids.iter().any(|broken| broken == id)
}

/// The section of the page.
pub(super) fn document(rows: &[Row], mutants: &[Mutant]) -> String {
    let mut text = String::from(
        "\n## Rules that were broken\n\n\
         A test that cannot fail says nothing. So each MUST, and most of what is recommended, was broken in the code by the patches \
         in [tests/mutants](../tests/mutants), one at a time, and these tests failed. \
         `scripts/mutants rules` does it again, `scripts/mutants rules v2-rx-1` for one rule.\n\n\
         | rule | what was broken | tests that failed |\n|---|---|---|\n",
    );
    for Row { rule, tests, .. } in rows {
        for mutant in mutants.iter().filter(|mutant| broken_by(mutant, &rule.id)) {
            let failed: Vec<String> = mutant
                .tests
                .iter()
                .filter(|test| tests.contains(test))
                .map(|test| format!("`{test}`"))
                .collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                rule.id,
                mutant.what,
                failed.join("<br>")
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_of_a_patch() {
        let text = "how\na.rs::b\nc.rs::d\n--- a/x\n+++ b/x\n";
        let mutant = mutant("v2-rx-1_fsm-a-12_y-z_v3-rx-1", text);
        assert_eq!(mutant.ids, ["V2-RX-1", "FSM-A-12"]);
        assert_eq!(mutant.what, "how");
        assert_eq!(mutant.tests, ["a.rs::b", "c.rs::d"]);
    }

    #[test]
    fn tests_of_other_rules_are_no_witnesses() {
        let test = |name: &str, id: &str| Test {
            modes: [].into(),
            name: name.to_owned(),
            ids: [id.to_owned()].into(),
        };
        let tests = [test("a", "ND-1"), test("b", "ND-2")];
        let faults = |head: &str| faults(&[mutant("nd-1_x", head)], &tests);
        assert_eq!(faults("how\na\n"), Vec::<String>::new());
        assert_eq!(faults("how\nb\n").len(), 2);
        assert_eq!(faults("how\nc\n").len(), 2);
        assert_eq!(faults("how\n").len(), 1);
    }
}
