//! Configuration: a file becomes a validated model, two models become a difference.
//!
//! ```text
//!  TOML ─▶ toml ─┐
//!                ├─▶ tree ─▶ reader + schema ─▶ router, route, api, global ─▶ neighbours ─▶ model
//!  JSON ─▶ json ─┘  values     types, ranges,       rules inside a table       rules between
//!                   + lines    unknown keys                                    virtual routers
//! ```
//!
//! Nothing here looks at the host, but for the file of a secret: whether an interface or an
//! address is there is found out when it is needed, and may change while the daemon runs.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

mod address;
mod api;
mod diagnostic;
mod diff;
pub mod edit;
mod global;
mod hmac;
mod json;
pub mod model;
mod neighbours;
mod reader;
mod route;
mod router;
mod router_advertisement;
pub mod schema;
mod secret;
mod toml;
mod tree;
mod unicast;

pub use api::LONGEST_SESSION;
pub use diagnostic::{Diagnostic, Errors};
pub use diff::{Diff, GLOBAL_NEEDS_RESTART, diff};

use diagnostic::Findings;
use model::Config;
use reader::Reader;
use tree::{Node, Value};

/// Largest configuration file in bytes.
pub const LARGEST_FILE: usize = 16 << 20;
/// Most virtual routers of a file.
pub const MOST_VROUTERS: usize = 65_536;

/// Language of a configuration file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// JSON, RFC 8259; a key that is `null` is absent.
    Json,
}

/// A name of a format that there is not.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown configuration format {0}, allowed: toml, json")]
pub struct UnknownFormat(String);

impl Format {
    /// The format with the name `asked` (`-g`), otherwise that of the ending of `path`: JSON for
    /// `.json`, TOML for all others.
    ///
    /// # Errors
    /// [`UnknownFormat`] when `asked` is neither `toml` nor `json`.
    pub fn of(path: &Path, asked: Option<&str>) -> Result<Self, UnknownFormat> {
        match asked {
            Some("toml") => Ok(Self::Toml),
            Some("json") => Ok(Self::Json),
            Some(other) => Err(UnknownFormat(diagnostic::quoted(other))),
            None if path.extension().is_some_and(|ending| ending == "json") => Ok(Self::Json),
            None => Ok(Self::Toml),
        }
    }
}

/// A configuration that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the operator should know about it, by line.
    pub warnings: Vec<Diagnostic>,
}

/// Reads and validates a file of at most [`LARGEST_FILE`] bytes.
///
/// # Errors
/// Everything that is wrong with the file; one diagnostic without a line when it cannot be read.
pub fn load(path: &Path, format: Format) -> Result<Loaded, Errors> {
    let file = path.to_string_lossy();
    match read(path) {
        Ok(text) => parse(&text, &file, format),
        Err((line, message)) => Err(refused(&file, line, message)),
    }
}

/// Validates a text; `file` is its name in diagnostics.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(text: &str, file: &str, format: Format) -> Result<Loaded, Errors> {
    if text.len() > LARGEST_FILE {
        let message = format!("is too large, allowed: at most {LARGEST_FILE} bytes");
        return Err(refused(file, 0, message));
    }
    let mut findings = Findings::new(file);
    let config = tree(text, format, &mut findings).and_then(|root| model(&root, &mut findings));
    let (config, warnings) = findings.judge(config)?;
    // Without a model there is an error, so this is never reached; it keeps the types honest.
    let config = config.ok_or_else(|| refused(file, 0, "holds no configuration".to_owned()))?;
    Ok(Loaded { config, warnings })
}

/// The tree of a text; none, with errors in `findings`, when the text is not of this format.
fn tree<'t>(text: &'t str, format: Format, findings: &mut Findings) -> Option<Node<'t>> {
    match format {
        Format::Toml => toml::tree(text, findings),
        Format::Json => json::tree(text, findings),
    }
}

/// The configuration of a tree; none when there is none. What is wrong is in `findings`.
fn model(root: &Node<'_>, findings: &mut Findings) -> Option<Config> {
    if let Value::Table(entries) = &root.value {
        let top = Reader::new(&schema::TOP, "", root.line, entries, findings);
        Some(config(top))
    } else {
        let message = format!("is {}, allowed: a table", root.value.kind());
        findings.error(root.line, "", message);
        None
    }
}

/// Reads the whole configuration from its top level.
fn config(mut top: Reader<'_, '_>) -> Config {
    let global = global::global(&mut top);
    let vrouters = top.tables("vrouter", MOST_VROUTERS);
    let drafts = vrouters
        .into_iter()
        .filter_map(|(line, entries)| router::draft(line, entries, top.findings()))
        .collect();
    let vrouters = neighbours::settle(drafts, top.findings());
    let static_routes = top
        .table("protocols")
        .given()
        .map_or_else(Vec::new, |entries| {
            let line = top.entry("protocols").map_or(0, |entry| entry.line);
            let mut protocols = Reader::new(&schema::PROTOCOLS, "", line, entries, top.findings());
            let tables = protocols.tables("static", router::MOST_ROUTES);
            route::routes(&schema::STATIC, "", tables, protocols.findings())
        });
    Config {
        global,
        vrouters,
        static_routes,
        api: api::api(&mut top),
    }
}

/// The text of a file, at most one byte more than [`LARGEST_FILE`]; the configuration may hold secrets, so it is wiped after use. The error
/// has a line, 0 where it is about the whole file.
fn read(path: &Path) -> Result<Zeroizing<String>, (u32, String)> {
    let unreadable = |error: io::Error| {
        let error = explained(path, error);
        (0, format!("cannot be read: {error}"))
    };
    let file = File::open(path).map_err(unreadable)?;
    // Room for the whole file at once: a vector that grows leaves copies behind.
    let expected = file
        .metadata()
        .map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(0));
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.min(LARGEST_FILE) + 1));
    let bound = u64::try_from(LARGEST_FILE).unwrap_or(u64::MAX) + 1;
    file.take(bound)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let before = good.iter().filter(|byte| **byte == b'\n').count();
            let line = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
            Err((line, "is not UTF-8, allowed: UTF-8".to_owned()))
        }
    }
}

/// Whose the file is and who asks, where that is why it is not to be had.
fn explained(path: &Path, error: io::Error) -> io::Error {
    let (Ok(file), Ok(process)) = (fs::metadata(path), fs::metadata("/proc/self")) else {
        return error;
    };
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    // A daemon of root has given up the right to go by others' files.
    let text = format!(
        "{error}: it is of user id {} and group id {} with mode {:04o}, rvrrpd runs as user id {}; \
         allowed: a file of this user",
        file.uid(),
        file.gid(),
        file.mode() & 0o7777,
        process.uid(),
    );
    io::Error::new(error.kind(), text)
}

fn refused(file: &str, line: u32, message: String) -> Errors {
    Errors {
        errors: vec![Diagnostic {
            file: diagnostic::one_line(file),
            line,
            key: String::new(),
            message,
        }],
        warnings: Vec::new(),
    }
}
