//! `rvrrpd-pw`: makes one credential line for `api.users` of rVRRPd.
//!
//! ```text
//!  arguments ─▶ arguments ─▶ password (argument | stdin | terminal, twice) ─▶ credential ─▶ stdout
//! ```
//!
//! The line is the only thing on stdout, so that it can be piped; warnings and errors are on
//! stderr. Exit code 0, or 1 for anything that went wrong.

#![forbid(unsafe_code)]

mod arguments;
mod credential;
mod password;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::arguments::{Arguments, Request};

fn main() -> ExitCode {
    let request = match Arguments::try_parse().and_then(Arguments::request) {
        Ok(request) => request,
        Err(error) => {
            // A message that cannot be shown leaves nothing else to tell it with.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            };
        }
    };
    match run(&request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why no line was made.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Password(#[from] password::Error),
    #[error(transparent)]
    Credential(#[from] credential::Error),
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

fn run(request: &Request) -> Result<(), Error> {
    let password = password::read(&request.password)?;
    let line = credential::line(&request.user, request.level, request.algorithm, &password)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(Error::Output)
}
