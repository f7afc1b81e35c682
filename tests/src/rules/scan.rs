//! The tests in the sources and the ids that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Directories that are searched.
const DIRECTORIES: [&str; 5] = [
    "rvrrpd/src",
    "rvrrpd/tests",
    "rvrrpd-pw",
    "tests/src",
    "tests/tests",
];
/// What ids begin with.
const PREFIXES: [&str; 22] = [
    "V2-RX", "V3-RX", "V3-CK", "V3-TX", "V2-TX", "TX", "V2-TM", "V3-TM", "FSM-I", "FSM-B", "FSM-A",
    "FSM-X", "ARP", "ND", "RA", "ICMP", "FWD", "MIX", "SEC", "LEG", "TERM", "AUTH-RX",
];
/// The same for the rules of the models, of one letter.
const MODELS: &str = "Y";

/// Where the tests are that run the daemon.
const BLACK_BOX: &str = "tests/tests/suite/";
/// Modes in the order of the page.
pub(super) const MODES: [&str; 3] = ["macvlan", "ether", "ebpf"];

/// A test.
#[derive(Clone, Debug)]
pub struct Test {
    /// `file::function`, the file from the root of the repository.
    pub name: String,
    /// The ids that it names.
    pub ids: BTreeSet<String>,
    /// The `iftype`s that it runs with; none where it runs no daemon.
    pub modes: BTreeSet<String>,
}

/// All tests.
///
/// # Panics
/// Where a source cannot be read.
pub(super) fn scan(root: &Path) -> Vec<Test> {
    let mut tests = Vec::new();
    for directory in DIRECTORIES {
        for path in sources(&root.join(directory)) {
            let text = std::fs::read_to_string(&path).expect("a source");
            let name = path.strip_prefix(root).unwrap_or(&path);
            tests.extend(tests_of(&name.display().to_string(), &text));
        }
    }
    tests
}

/// The `.rs` files below `directory`, sorted.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else if path.extension().is_some_and(|end| end == "rs") {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}

/// The functions with `#[test]` in `text`, with what their doc comments and names say; also those
/// that `in_modes!` makes tests of, `name: macvlan, ether;`, and what a macro makes tests of, one for
/// each family: `/// V3-RX-1: …` above `name: macvlan => function;`. What runs the daemon does so in
/// the modes that its entry names, others in those of a line `//! Modes: ether.` of the file, or on
/// a macvlan.
fn tests_of(file: &str, text: &str) -> Vec<Test> {
    let usual = if file.starts_with(BLACK_BOX) {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("//! Modes: "));
        modes(line.map_or("macvlan", |line| line.trim_end_matches('.')))
    } else {
        BTreeSet::new()
    };
    let in_modes = in_modes(text);
    let mut tests = Vec::new();
    let (mut comment, mut is_test) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            comment.push_str(words);
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]");
        } else {
            let named = function(line).filter(|name| is_test || in_modes.contains_key(name));
            let named = named.map(|name| (name, in_modes.get(name).cloned()));
            if let Some((name, own)) = named.or_else(|| entry(line).filter(|_| !comment.is_empty()))
            {
                let mut ids = ids(&comment);
                ids.extend(ids_of_name(name));
                tests.push(Test {
                    name: format!("{file}::{name}"),
                    ids,
                    modes: own.unwrap_or_else(|| usual.clone()),
                });
            }
            comment.clear();
            is_test = false;
        }
    }
    tests
}

/// The entries of `in_modes!`, by their names.
fn in_modes(text: &str) -> BTreeMap<&str, BTreeSet<String>> {
    let lines = text.lines();
    let block = lines.skip_while(|line| *line != "in_modes! {").skip(1);
    block
        .take_while(|line| *line != "}")
        .filter_map(|line| line.trim().strip_suffix(';')?.split_once(": "))
        .map(|(name, list)| (name, modes(list)))
        .collect()
}

/// The modes of a list; `ebpf_no_accept` is ebpf.
fn modes(list: &str) -> BTreeSet<String> {
    let known = list.split(", ").map(|mode| match mode {
        "ebpf_no_accept" => "ebpf",
        other => other,
    });
    known.map(str::to_owned).collect()
}

/// Name of the function that `line` begins.
fn function(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    rest.split_once('(').map(|(name, _)| name)
}

/// Name and modes of the tests that a line of a macro stands for.
fn entry(line: &str) -> Option<(&str, Option<BTreeSet<String>>)> {
    let (head, body) = line.strip_suffix(';')?.split_once(" => ")?;
    let (name, own) = match head.split_once(": ") {
        Some((name, list)) => (name, Some(modes(list))),
        None => (head, None),
    };
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_name(name) && is_name(body)).then_some((name, own))
}

/// The ids in a comment; `A-1 to A-4` is all from the first to the last.
fn ids(comment: &str) -> BTreeSet<String> {
    let words: Vec<Option<(&str, u32)>> = comment
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .map(id)
        .collect();
    let raw: Vec<&str> = comment.split_whitespace().collect();
    let mut found = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        let Some((prefix, number)) = *word else {
            continue;
        };
        let end = match (raw.get(at + 1), words.get(at + 2)) {
            (Some(&"to"), Some(Some((other, last)))) if *other == prefix => *last,
            _ => number,
        };
        found.extend((number..=end).map(|number| format!("{prefix}-{number}")));
    }
    found
}

/// Prefix and number of an id.
fn id(word: &str) -> Option<(&str, u32)> {
    let (prefix, number) = word.rsplit_once('-')?;
    let known = PREFIXES.contains(&prefix) || prefix == MODELS;
    Some((prefix, number.parse().ok().filter(|_| known)?))
}

/// Whether `word` is the id of a rule, known or not.
pub(super) fn is_id(word: &str) -> bool {
    id(word).is_some()
}

/// The ids in a name: `v2_rx_1_v3_rx_1_ttl`.
fn ids_of_name(name: &str) -> BTreeSet<String> {
    let parts: Vec<String> = name.split('_').map(str::to_uppercase).collect();
    let mut found = BTreeSet::new();
    for length in [2, 3] {
        for window in parts.windows(length) {
            let text = window.join("-");
            if let Some((prefix, number)) = id(&text).filter(|(prefix, _)| *prefix != MODELS) {
                found.insert(format!("{prefix}-{number}"));
            }
        }
    }
    // `V3-TX-1` is no `TX-1`.
    let longer: Vec<String> = found.iter().filter(|id| id.len() > 5).cloned().collect();
    found.retain(|id| {
        !longer
            .iter()
            .any(|other| other != id && other.ends_with(&format!("-{id}")))
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        ids(text).into_iter().collect()
    }

    #[test]
    fn ids_in_comments() {
        assert_eq!(of("V2-RX-1, V3-RX-1: every TTL"), ["V2-RX-1", "V3-RX-1"]);
        assert_eq!(
            of("V3-TX-2 to V3-TX-4, FSM-B-10."),
            ["FSM-B-10", "V3-TX-2", "V3-TX-3", "V3-TX-4"]
        );
        assert_eq!(of("(V2-RX-12)"), ["V2-RX-12"]);
        assert!(of("RFC-3768 X-1 TX- V2-RX-x").is_empty());
    }

    #[test]
    fn ids_in_names() {
        let of = |name| ids_of_name(name).into_iter().collect::<Vec<_>>();
        assert_eq!(of("v2_rx_1_v3_rx_12_ttl"), ["V2-RX-1", "V3-RX-12"]);
        assert_eq!(of("v3_tx_1_fields"), ["V3-TX-1"]);
        assert_eq!(of("tx_10_count"), ["TX-10"]);
        assert_eq!(of("fsm_b_7"), ["FSM-B-7"]);
        assert!(of("arp_reply_1").is_empty());
    }

    #[test]
    fn functions_with_their_comments() {
        let text = "/// ARP-1: one\n/// two\n#[test]\n#[ignore]\nfn a_reply() {\n}\n\
                    /// ARP-2\nfn helper() {}\n    /// ND-3\n    #[test]\n    fn v6(a: u8) {\n";
        let tests = tests_of("file", text);
        let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["file::a_reply", "file::v6"]);
        assert!(tests[0].ids.contains("ARP-1") && tests[1].ids.contains("ND-3"));
        assert_eq!(tests[0].ids.len() + tests[1].ids.len(), 2);
    }

    #[test]
    fn modes_of_tests() {
        let text = "//! Modes: ether.\nin_modes! {\n    // Why.\n    a: macvlan, ebpf, ebpf_no_accept;\n}\n\
                    /// ARP-1\nfn a(mode: Mode) {\n}\n/// ND-1\n#[test]\nfn b() {\n}\n\
                    /// ND-2\nfn helper(mode: Mode) {\n}\n    /// ND-3\n    c: ether, ebpf => d;\n";
        let of = |file: &str| -> Vec<(String, String)> {
            let tests = tests_of(file, text).into_iter();
            let modes = |test: &Test| Vec::from_iter(test.modes.clone()).join(" ");
            tests
                .map(|test| {
                    (
                        test.name.rsplit_once(':').unwrap().1.to_owned(),
                        modes(&test),
                    )
                })
                .collect()
        };
        let pairs = |b: &str| {
            [("a", "ebpf macvlan"), ("b", b), ("c", "ebpf ether")]
                .map(|(name, modes)| (name.to_owned(), modes.to_owned()))
        };
        assert_eq!(of("tests/tests/suite/x.rs"), pairs("ether"));
        assert_eq!(of("rvrrpd/src/x.rs"), pairs(""));
    }

    #[test]
    fn entries_of_macros() {
        let text = "in_both_families! {\n    /// ND-1: one\n    solicited => body;\n    a => b;\n\
                    /// ND-2\n    A(x) => y(),\n}\n";
        let tests = tests_of("file", text);
        assert_eq!(tests.len(), 1);
        assert_eq!(tests[0].name, "file::solicited");
        assert!(tests[0].ids.contains("ND-1"));
    }
}
