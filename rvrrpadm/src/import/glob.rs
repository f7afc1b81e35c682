//! Files by patterns (glob(7)): `*`, `?` and `[…]` in parts of a path.

use std::fs;
use std::path::{Path, PathBuf};

/// Most paths that one pattern stands for.
const MOST: usize = 4096;

/// What a pattern stands for, in order; a relative one begins at `directory`. A path without
/// wildcards stands for itself if it is there. Names that begin with a dot are matched by a pattern
/// that does.
pub(super) fn files(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let start = if pattern.starts_with('/') {
        PathBuf::from("/")
    } else {
        directory.to_owned()
    };
    let mut found = vec![start];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let is_plain = !part.contains(['*', '?', '[']);
        let next = found.iter().flat_map(|path| {
            if is_plain {
                return vec![path.join(part)];
            }
            let here = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            let names = fs::read_dir(here).into_iter().flatten().flatten();
            let mut names: Vec<String> = names
                .filter_map(|entry| entry.file_name().into_string().ok())
                .filter(|name| !name.starts_with('.') || part.starts_with('.'))
                .filter(|name| matches(part, name))
                .collect();
            names.sort();
            names.into_iter().map(|name| path.join(name)).collect()
        });
        found = next.take(MOST).collect();
    }
    found.retain(|path| path.exists());
    found
}

/// Whether a name matches a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut letter) = (0, 0);
    // Where the last `*` is, and up to which letter it goes.
    let mut star: Option<(usize, usize)> = None;
    while let Some(now) = name.get(letter) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, letter));
                at += 1;
                continue;
            }
            Some(_) => {
                if let Some(next) = one(&pattern, at, *now) {
                    at = next;
                    letter += 1;
                    continue;
                }
            }
            None => {}
        }
        let Some((before, up_to)) = star else {
            return false;
        };
        star = Some((before, up_to + 1));
        at = before + 1;
        letter = up_to + 1;
    }
    pattern.iter().skip(at).all(|it| *it == '*')
}

/// Where the pattern goes on when what stands at `at` matches a letter.
fn one(pattern: &[char], at: usize, letter: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let inside = pattern.get(at + 1..)?;
            let is_not = matches!(inside.first(), Some('!' | '^'));
            let from = usize::from(is_not);
            // A bracket in the first place is one of the letters.
            let end = inside.iter().skip(from + 1).position(|it| *it == ']');
            let Some(end) = end.map(|end| end + from + 1) else {
                return (letter == '[').then_some(at + 1);
            };
            let mut set = inside.get(from..end)?;
            let mut has = false;
            while let [first, rest @ ..] = set {
                if let ['-', last, after @ ..] = rest {
                    has |= (*first..=*last).contains(&letter);
                    set = after;
                } else {
                    has |= *first == letter;
                    set = rest;
                }
            }
            (has != is_not).then_some(at + end + 2)
        }
        plain => (*plain == letter).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_glob_7() {
        for (pattern, name) in [
            ("*", ""),
            ("*.conf", "a.conf"),
            ("a*b*c", "aXbYbZc"),
            ("?[a-c]", "xb"),
            ("[!a-c]", "d"),
            ("[]x]", "]"),
            ("[a-]", "-"),
            ("[", "["),
            ("a*", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.conf", "a.conf.old"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[!a-c]", "a"),
            ("a*b", "a"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        // Linear, not exponential.
        assert!(!matches(&"*a".repeat(200), &"a".repeat(199)));
    }
}
