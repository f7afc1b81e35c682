//! `import`: a configuration of keepalived becomes one of rVRRPd.
//!
//! ```text
//!  keepalived.conf ─▶ definitions ─▶ lexer ─▶ blocks of words with lines ─▶ translate ─▶ rvrrpd.conf
//!                      $NAME=…                                                └▶ what was left out, by line
//! ```

mod definitions;
mod lexer;
mod translate;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::commands::{Failure, print_json, print_lines};

/// Largest file in bytes.
const LARGEST_FILE: u64 = 16 << 20;

/// Something that is not as it was.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Note {
    /// Line of keepalived's file, counted from 1.
    line: usize,
    /// What it is and what can be done.
    message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

/// Translates a file: the configuration on standard output, what is not in it on standard error.
///
/// # Errors
/// [`Failure::Refused`] when the file cannot be read or its braces do not match.
pub(crate) fn run(path: &Path, json: bool) -> Result<ExitCode, Failure> {
    let name = path.display();
    let refuse = |error: String| Failure::Refused(format!("{name}: {error}"));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text))
        .map_err(|error| refuse(error.to_string()))?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(refuse(format!(
            "is too large, allowed: {LARGEST_FILE} bytes"
        )));
    }
    let wrong = |note: Note| Failure::Refused(format!("{name}:{note}"));
    let text = definitions::resolved(&text).map_err(wrong)?;
    let blocks = lexer::blocks(&text).map_err(wrong)?;
    let (document, notes) = translate::configuration(&blocks);
    if json {
        let notes: Vec<_> = notes
            .iter()
            .map(|note| json!({"line": note.line, "message": note.message}))
            .collect();
        print_json(&json!({"configuration": document, "notes": notes}))?;
    } else {
        for note in &notes {
            eprintln!("{name}:{note}");
        }
        print_lines([document.trim_end().to_owned()])?;
    }
    Ok(ExitCode::SUCCESS)
}
