//! Changes of the configuration file while the daemon runs.
//!
//! ```text
//!  Document ─▶ apply(Change) ─▶ toml | json ─▶ judge ─▶ Document ─▶ save
//!  as read      request         new text       schema   new text,   the file,
//!                                              walk     new Config  atomically
//! ```
//!
//! Everything but [`Document::save`] is computed from texts. Comments, order and formatting of
//! what does not change stay as they are. The new text is validated as a whole before anything is
//! written; a refused change leaves the file and the document as they were.
//!
//! A key that is changed keeps the comments around it. A key that is removed takes the comment on
//! its own line with it, a virtual router the comments inside its table and those directly above
//! its header; all others stay.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::model::{Config, InterfaceType, RouterKey, VirtualRouter};
use super::{Diagnostic, Errors, Format};

mod difference;
mod json;
mod judge;
mod keys;
mod mask;
mod save;
mod toml;
mod toml_value;

/// Name of a configuration in diagnostics of [`Document::parse`] that are not about a request.
const TEXT: &str = "configuration";

/// A change of the virtual routers of a configuration. Names are the effective ones: those that
/// `name` gives or, where it is absent, `<interface>-<group>` and `<interface>-<group>-v6`.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new virtual router with the keys of `[[vrouter]]`.
    Create(Map<String, Value>),
    /// Keys of a virtual router, by the rules of JSON Merge Patch (RFC 7396): given ones are set,
    /// `null` removes one, tables are merged, lists are replaced. What is not given stays.
    Modify {
        /// Name of the virtual router.
        name: String,
        /// The keys.
        keys: Map<String, Value>,
    },
    /// A virtual router leaves the configuration.
    Delete {
        /// Name of the virtual router.
        name: String,
    },
    /// A virtual router is enabled or disabled.
    SetEnabled {
        /// Name of the virtual router.
        name: String,
        /// The new value.
        enabled: bool,
    },
}

impl Change {
    /// Whether a secret itself comes with it, not in a file of its own.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        let (Self::Create(keys) | Self::Modify { keys, .. }) = self else {
            return false;
        };
        let in_list = |key: &Value| ["secret", "hex"].iter().any(|name| key.get(name).is_some());
        let list = keys.get("auth_keys").and_then(Value::as_array);
        keys.get("auth_secret").is_some_and(Value::is_string)
            || list.is_some_and(|list| list.iter().any(in_list))
    }
}

/// What is wrong with one key of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The virtual router, where it is another one than that of the request.
    pub router: Option<String>,
    /// Name of the key (`timers.advert`, `routes.nh`); empty when it is about all of the request.
    pub key: String,
    /// What is wrong and what is allowed; one line, and never a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(router) = &self.router {
            write!(f, "virtual router {router}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a change was refused. The file and the document are as they were.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no virtual router of this name.
    #[error("there is no virtual router {name}")]
    NotFound {
        /// The name that was asked for.
        name: String,
    },
    /// What has to be unique is taken by another virtual router.
    #[error("{0}")]
    Conflict(Problem),
    /// The file was changed since it was read.
    #[error("{path} was changed since it was read, reload it first:\n{difference}")]
    Stale {
        /// The file.
        path: PathBuf,
        /// Unified difference from what was read to what is there, secrets masked; a sentence
        /// where there is none to show.
        difference: String,
    },
    /// The configuration would be wrong.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// The file cannot be replaced.
    #[error("{path}: {action}: {source}")]
    Io {
        /// The file or directory that refused.
        path: PathBuf,
        /// What was tried: "cannot be written".
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// SHA-256 of a text; displays as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text of a configuration file, and what it says. Wiped when dropped.
#[derive(Clone)]
pub struct Document {
    text: Zeroizing<String>,
    format: Format,
    config: Arc<Config>,
    warnings: Vec<Diagnostic>,
    subject: Option<String>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("format", &self.format)
            .field("hash", &self.hash().to_string())
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl Document {
    /// The document of a whole text.
    ///
    /// # Errors
    /// Everything that is wrong with the text: only a valid configuration can be changed.
    pub fn parse(text: &str, format: Format) -> Result<Self, Errors> {
        Self::named(Zeroizing::new(text.to_owned()), TEXT, format)
    }

    /// The document of a file of at most [`super::LARGEST_FILE`] bytes: what
    /// [`super::load`] reads, with its text.
    ///
    /// # Errors
    /// As [`super::load`].
    pub fn load(path: &Path, format: Format) -> Result<Self, Errors> {
        let file = path.to_string_lossy();
        match super::read(path) {
            Ok(text) => Self::named(text, &file, format),
            Err((line, message)) => Err(super::refused(&file, line, message)),
        }
    }

    fn named(text: Zeroizing<String>, file: &str, format: Format) -> Result<Self, Errors> {
        let loaded = super::parse(&text, file, format)?;
        Ok(Self {
            text,
            format,
            config: Arc::new(loaded.config),
            warnings: loaded.warnings,
            subject: None,
        })
    }

    /// The text. It may hold secrets.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Language of the text.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// What the text says.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same, to be shared.
    #[must_use]
    pub fn shared_config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    /// What the operator should know about the text, by line.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Hash of the text.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(self.text.as_bytes())
    }

    /// Effective name of the virtual router that the last change made or changed: it may follow
    /// from other keys. None after [`Document::parse`] and after a deletion.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The same document as the outcome of another change.
    #[must_use]
    pub fn with_subject_of(self, other: &Self) -> Self {
        Self {
            subject: other.subject.clone(),
            ..self
        }
    }

    /// The document after a change.
    ///
    /// A virtual router that was not asked about stays as it is: where the name of its macvlan
    /// followed from what other virtual routers there are and would change with them, the name is
    /// written down (`vifname`).
    ///
    /// # Errors
    /// [`EditError::NotFound`], [`EditError::Conflict`] and [`EditError::Invalid`].
    pub fn apply(&self, change: &Change) -> Result<Self, EditError> {
        let routers = &self.config.vrouters;
        let at = |name: &str| {
            routers
                .iter()
                .position(|router| router.name == name)
                .ok_or_else(|| EditError::NotFound {
                    name: super::diagnostic::quoted(name),
                })
        };
        let (edit, subject) = match change {
            Change::Create(keys) => {
                keys::check(keys)?;
                (Edit::Append(keys), Some(routers.len()))
            }
            Change::Modify { name, keys } => {
                let at = at(name)?;
                keys::check(keys)?;
                (Edit::Merge(at, keys), Some(at))
            }
            Change::Delete { name } => (Edit::Remove(at(name)?), None),
            Change::SetEnabled { name, enabled } => {
                let at = at(name)?;
                return if routers.get(at).is_some_and(|it| it.enabled == *enabled) {
                    Ok(Self {
                        subject: Some(name.clone()),
                        ..self.clone()
                    })
                } else {
                    let keys = keys::one("enabled", (*enabled).into());
                    self.edited(&Edit::Merge(at, &keys), Some(at))
                };
            }
        };
        self.edited(&edit, subject)
    }

    /// The document after `edit`, which makes or changes the virtual router at `subject`.
    fn edited(&self, edit: &Edit<'_>, subject: Option<usize>) -> Result<Self, EditError> {
        let mut text = self.text_after(&self.text, edit)?;
        let names = self.names_after(edit);
        let mut loaded = judge::judge(&text, self.format, &names, subject)?;
        let renamed = self.renamed(edit, &loaded.config.vrouters);
        for (at, vifname) in &renamed {
            let keys = keys::one("vifname", vifname.as_str().into());
            text = self.text_after(&text, &Edit::Merge(*at, &keys))?;
        }
        if !renamed.is_empty() {
            loaded = judge::judge(&text, self.format, &names, subject)?;
        }
        let subject = subject.and_then(|at| loaded.config.vrouters.get(at));
        Ok(Self {
            text,
            format: self.format,
            subject: subject.map(|router| router.name.clone()),
            config: Arc::new(loaded.config),
            warnings: loaded.warnings,
        })
    }

    fn text_after(&self, text: &str, edit: &Edit<'_>) -> Result<Zeroizing<String>, EditError> {
        let text = match self.format {
            Format::Toml => toml::edited(text, edit),
            Format::Json => json::edited(text, edit),
        };
        text.map_err(|problem| EditError::Invalid(vec![problem]))
    }

    /// Names of the virtual routers of the file after `edit`, in its order, as messages say them.
    fn names_after(&self, edit: &Edit<'_>) -> Vec<String> {
        let mut names: Vec<String> = self
            .config
            .vrouters
            .iter()
            .map(|router| router.name.clone())
            .collect();
        if let Edit::Remove(at) = edit {
            names.remove(*at);
        }
        names
    }

    /// Virtual routers, by their place in the new configuration, whose macvlan would get another
    /// name although nothing was asked of them, with the name that it has now.
    fn renamed(&self, edit: &Edit<'_>, new: &[Arc<VirtualRouter>]) -> Vec<(usize, String)> {
        let subject = match edit {
            Edit::Merge(at, _) => Some(*at),
            Edit::Append(_) | Edit::Remove(_) => None,
        };
        let before: HashMap<RouterKey, &str> = self
            .config
            .vrouters
            .iter()
            .map(|router| (router.key(), router.vifname.as_str()))
            .collect();
        new.iter()
            .enumerate()
            .filter(|(at, router)| Some(*at) != subject && router.iftype != InterfaceType::Ebpf)
            .filter_map(|(at, router)| {
                let vifname = before.get(&router.key())?;
                (router.vifname != *vifname).then(|| (at, (*vifname).to_owned()))
            })
            .collect()
    }
}

/// A change of a text; virtual routers are counted from 0, in the order of the file.
#[derive(Clone, Copy, Debug)]
enum Edit<'k> {
    /// One more at the end.
    Append(&'k Map<String, Value>),
    /// Keys of one of them.
    Merge(usize, &'k Map<String, Value>),
    /// One of them leaves.
    Remove(usize),
}
