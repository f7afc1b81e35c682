//! `doctor`: what commonly goes wrong on a host that runs rVRRPd.
//!
//! Each check is a function of what it reads, so that tests can show it another host.

mod checks;
mod configuration;
mod daemon;
mod host;

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::REFUSED;
use crate::commands::{Failure, print_json, print_lines};

use host::Host;

/// What a check found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// As it should be.
    Good,
    /// It works, but not as well as it could.
    Warning,
    /// It will not work.
    Bad,
}

/// The answer of a check.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Finding {
    verdict: Verdict,
    /// What was looked at.
    subject: String,
    /// What was found, and what helps.
    message: String,
}

impl Finding {
    fn new(verdict: Verdict, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            verdict,
            subject: subject.into(),
            message: message.into(),
        }
    }
}

/// Looks at this host. Exit code 2 when something will not work.
///
/// # Errors
/// Only when the findings cannot be written.
pub(crate) fn run(
    conf: Option<&Path>,
    socket: Option<&Path>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let host = Host::new("/".as_ref());
    // Paths of a host begin at its root.
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let findings = checks::all(
        &host,
        conf.map(absolute).as_deref(),
        socket.map(absolute).as_deref(),
    );
    let word = |verdict| match verdict {
        Verdict::Good => "good",
        Verdict::Warning => "warning",
        Verdict::Bad => "bad",
    };
    if json {
        let all: Vec<_> = findings
            .iter()
            .map(|it| {
                json!({"verdict": word(it.verdict), "subject": it.subject, "message": it.message})
            })
            .collect();
        print_json(&all.into())?;
    } else {
        let line = |it: &Finding| format!("{:<8}{}: {}", word(it.verdict), it.subject, it.message);
        print_lines(findings.iter().map(line))?;
    }
    let bad = findings.iter().any(|it| it.verdict == Verdict::Bad);
    Ok(if bad {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::SUCCESS
    })
}
