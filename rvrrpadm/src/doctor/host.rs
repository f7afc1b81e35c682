//! What checks read of a host.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A host, by its files.
#[derive(Debug)]
pub(super) struct Host {
    root: PathBuf,
}

impl Host {
    /// The host whose file system begins at `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where a file of the host is.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file without the white space around it.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(path.as_ref())).ok()?;
        Some(text.trim().to_owned())
    }

    /// A number in a file.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// Inode number of a file; of a network namespace it is what tells it from others.
    pub(super) fn inode(&self, path: &str) -> Option<u64> {
        let metadata = fs::metadata(self.path(path.as_ref())).ok()?;
        Some(metadata.ino())
    }

    /// Names of processes that run, with their ids.
    pub(super) fn processes(&self) -> Vec<(u32, String)> {
        let Ok(entries) = fs::read_dir(self.path("/proc".as_ref())) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| {
                let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
                Some((id, self.text(&format!("/proc/{id}/comm"))?))
            })
            .collect()
    }
}
