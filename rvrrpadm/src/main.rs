//! `rvrrpadm`: administers rVRRPd, with the commands of both generations of Sun's `vrrpadm`.
//!
//! ```text
//!  arguments ─▶ cli ─▶ commands ─▶ rvrrpadm::Client ─▶ daemon
//!                         │  ▲
//!                         │  └─ show: columns (1.0), block (0.9.4), parsable
//!                         ├─ import: keepalived.conf ─▶ rvrrpd.conf
//!                         └─ doctor: what commonly goes wrong on a host
//! ```
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod doctor;
mod import;
mod show;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

/// Bad usage.
const USAGE: u8 = 1;
/// Refused, with the reason on standard error.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
            // Where nobody reads it, nothing can be said.
            let _unheard = error.print();
            return code;
        }
    };
    match commands::run(arguments) {
        Ok(code) => code,
        Err(commands::Failure::Usage(message)) => {
            eprintln!("rvrrpadm: {message}");
            ExitCode::from(USAGE)
        }
        Err(commands::Failure::Refused(message)) => {
            eprintln!("rvrrpadm: {message}");
            ExitCode::from(REFUSED)
        }
        // `rvrrpadm show | head` is no failure.
        Err(commands::Failure::Pipe) => ExitCode::SUCCESS,
    }
}
