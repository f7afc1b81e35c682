//! `import`: a configuration of keepalived becomes one of rVRRPd.
//!
//! ```text
//!  keepalived.conf ─▶ source ─▶ definitions ─▶ lexer ─▶ blocks of words ─▶ translate ─▶ rvrrpd.conf
//!                     include,    $NAME=…               with lines          └▶ what was left out, by line
//!                     @id
//! ```

mod definitions;
mod glob;
mod lexer;
mod source;
mod translate;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::commands::{Failure, print_json, print_lines};

use source::{Source, Told};

/// Something that is not as it was.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Note {
    /// Line of the whole text, counted from 1.
    line: usize,
    /// What it is and what can be done.
    message: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Translates a file: the configuration on standard output, what is not in it on standard error.
/// `id` is keepalived's name of this configuration.
///
/// # Errors
/// [`Failure::Refused`] when a file cannot be read, its braces do not match, or it is no
/// configuration of keepalived at all.
pub(crate) fn run(path: &Path, id: Option<&str>, json: bool) -> Result<ExitCode, Failure> {
    let refuse = |told: Told| Failure::Refused(told.to_string());
    let source = Source::read(path, id).map_err(refuse)?;
    let tell = |note: Note| {
        let (file, line) = source.place(note.line);
        Told {
            file: file.to_owned(),
            line,
            message: note.message,
        }
    };
    let wrong = |note: Note| refuse(tell(note));
    let text = definitions::resolved(&source.text).map_err(wrong)?;
    let blocks = lexer::blocks(&text).map_err(wrong)?;
    if !translate::is_keepalived(&blocks) {
        let message = "is no configuration of keepalived: nothing in it was recognised, no \
                       vrrp_instance and no global_defs";
        return Err(refuse(Told {
            file: path.to_owned(),
            line: 0,
            message: message.to_owned(),
        }));
    }
    let (document, notes) = translate::configuration(&blocks);
    let all = || {
        source
            .told
            .iter()
            .cloned()
            .chain(notes.iter().cloned().map(tell))
    };
    if json {
        let notes: Vec<_> = all()
            .map(|it| json!({"file": it.file.display().to_string(), "line": it.line, "message": it.message}))
            .collect();
        print_json(&json!({"configuration": document, "notes": notes}))?;
    } else {
        for told in all() {
            eprintln!("{told}");
        }
        print_lines([document.trim_end().to_owned()])?;
    }
    Ok(ExitCode::SUCCESS)
}
