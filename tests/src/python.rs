//! What the tests take from PyPI: `scripts/python` has installed it.

use std::path::{Path, PathBuf};

/// A program of the environment, or none where PyPI could not be reached when it was to be made.
///
/// # Panics
/// Where nobody has run `scripts/python`.
#[must_use]
#[track_caller]
pub fn program(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().expect("path of this program");
    let target = own.ancestors().nth(3).unwrap_or_else(|| Path::new("/"));
    if target.join("python.unreachable").exists() {
        println!("skipped: PyPI could not be reached by scripts/python");
        return None;
    }
    let program = target.join("python/bin").join(name);
    assert!(
        program.exists(),
        "{} does not exist: run scripts/python first",
        program.display()
    );
    Some(program)
}
