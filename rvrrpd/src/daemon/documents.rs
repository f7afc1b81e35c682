//! The text of the configuration file as it was read or written last, and what runs, where that is
//! something else.

use std::path::Path;
use std::sync::Arc;

use crate::config::Diagnostic;
use crate::config::edit::{Change, Document, EditError, Problem};
use crate::config::model::Config;

/// The texts that the running configuration comes from.
#[derive(Clone, Debug)]
pub(super) struct Documents {
    /// What the file said when it was read or written last.
    file: Document,
    /// What runs; none: what the file says. Changes that are not to be kept make the difference,
    /// and the next reload ends it.
    running: Option<Document>,
}

impl Documents {
    /// The texts after `file` was read.
    pub(super) const fn new(file: Document) -> Self {
        Self {
            file,
            running: None,
        }
    }

    /// The configuration that runs.
    pub(super) fn config(&self) -> Arc<Config> {
        self.running().shared_config()
    }

    const fn running(&self) -> &Document {
        match &self.running {
            Some(running) => running,
            None => &self.file,
        }
    }

    /// What the operator should know about what runs that was not so `before`.
    pub(super) fn warnings_since(&self, before: &Self) -> Vec<String> {
        let known = before.running().warnings();
        let is_new = |warning: &&Diagnostic| {
            // Lines move.
            let same = |it: &&Diagnostic| it.key == warning.key && it.message == warning.message;
            let count = |all: &[Diagnostic]| all.iter().filter(same).count();
            count(self.running().warnings()) > count(known)
        };
        let new = self.running().warnings().iter().filter(is_new);
        let mut new: Vec<String> = new
            .map(|it| format!("{}: {}", it.key, it.message))
            .collect();
        new.dedup();
        new
    }

    /// Name of the virtual router that the last change made or changed.
    pub(super) fn subject(&self) -> Option<&str> {
        self.running().subject()
    }

    /// The texts after a change of what runs, without that of the file.
    ///
    /// # Errors
    /// Those of [`Document::apply`].
    pub(super) fn changed(&self, change: &Change) -> Result<Self, EditError> {
        let running = self.running().apply(change)?;
        let is_back = running.config() == self.file.config();
        let file = self.file.clone();
        Ok(if is_back {
            Self {
                file: file.with_subject_of(&running),
                running: None,
            }
        } else {
            Self {
                file,
                running: Some(running),
            }
        })
    }

    /// The texts after a change of both, which [`Self::save`] is to follow.
    ///
    /// # Errors
    /// Those of [`Document::apply`]; [`EditError::Conflict`] where the file does not know the
    /// virtual router, because it was made to last until the next reload.
    pub(super) fn changed_for_good(&self, change: &Change) -> Result<Self, EditError> {
        let Some(running) = &self.running else {
            let file = self.file.apply(change)?;
            return Ok(Self::new(file));
        };
        let running = running.apply(change)?;
        let file = match self.file.apply(change) {
            // It was never there.
            Err(EditError::NotFound { .. }) if matches!(change, Change::Delete { .. }) => {
                self.file.clone()
            }
            Err(EditError::NotFound { name }) => {
                let message = format!(
                    "virtual router {name} is not in the configuration file, because it was made \
                     with persist=false, allowed: persist=false"
                );
                return Err(EditError::Conflict(Problem {
                    router: None,
                    key: String::new(),
                    message,
                }));
            }
            other => other?,
        };
        let differs = running.config() != file.config();
        Ok(if differs {
            Self {
                file,
                running: Some(running),
            }
        } else {
            Self::new(file.with_subject_of(&running))
        })
    }

    /// Writes what the file is to say, which was what `before` has.
    ///
    /// # Errors
    /// Those of [`Document::save`]; the file is as it was.
    pub(super) fn save(&self, path: &Path, before: &Self) -> Result<(), EditError> {
        self.file.save(path, &before.file)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::config::Format;

    const TEXT: &str = "# ours\n[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.1\"\niftype = \"macvlan\"\n";

    fn documents() -> Documents {
        Documents::new(Document::parse(TEXT, Format::Toml).unwrap())
    }

    fn keys(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(keys) => keys,
            other => panic!("{other}"),
        }
    }

    fn create(group: u8) -> Change {
        let vip = format!("10.0.0.{group}");
        Change::Create(keys(
            json!({"group": group, "interface": "eth0", "vip": vip, "iftype": "macvlan"}),
        ))
    }

    fn enabled(name: &str, enabled: bool) -> Change {
        Change::SetEnabled {
            name: name.to_owned(),
            enabled,
        }
    }

    #[test]
    fn what_is_not_kept_is_not_in_the_text_of_the_file() {
        let before = documents();
        let after = before.changed(&create(2)).unwrap();
        assert_eq!(after.subject(), Some("eth0-2"));
        assert_eq!(after.config().vrouters.len(), 2);
        assert_eq!(after.file.text(), TEXT);
        // What is kept is in both.
        let kept = after.changed_for_good(&create(3)).unwrap();
        assert_eq!(kept.config().vrouters.len(), 3);
        assert_eq!(kept.file.config().vrouters.len(), 2);
        assert_eq!(kept.subject(), Some("eth0-3"));
    }

    /// Once, to whoever made it so.
    #[test]
    fn what_a_change_warns_of_is_told() {
        let keys = |group: u8| {
            let vip = format!("10.0.0.{group}");
            keys(
                json!({"group": group, "interface": "eth0", "vip": vip, "version": "2+3", "iftype": "macvlan"}),
            )
        };
        let before = documents();
        let after = before.changed(&Change::Create(keys(2))).unwrap();
        let warnings = after.warnings_since(&before);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("version"), "{warnings:?}");
        let later = after.changed(&enabled("eth0-1", false)).unwrap();
        assert!(later.warnings_since(&after).is_empty());
    }

    #[test]
    fn who_is_not_in_the_file_cannot_be_changed_there() {
        let after = documents().changed(&create(2)).unwrap();
        let refused = after.changed_for_good(&enabled("eth0-2", false));
        assert!(
            matches!(refused, Err(EditError::Conflict(_))),
            "{refused:?}"
        );
        let gone = Change::Delete {
            name: "eth0-2".to_owned(),
        };
        let gone = after.changed_for_good(&gone).unwrap();
        assert!(gone.running.is_none());
        assert_eq!(gone.file.text(), TEXT);
    }

    #[test]
    fn what_is_taken_back_is_what_the_file_says() {
        let off = documents().changed(&enabled("eth0-1", false)).unwrap();
        assert!(off.running.is_some());
        let on = off.changed(&enabled("eth0-1", true)).unwrap();
        assert!(on.running.is_none());
        assert_eq!(on.file.text(), TEXT);
        assert_eq!(on.subject(), Some("eth0-1"));
        // For good: the file is to say it although it runs so already.
        let kept = off.changed_for_good(&enabled("eth0-1", false)).unwrap();
        assert!(kept.running.is_none());
        assert!(kept.file.text().contains("enabled = false"));
    }
}
