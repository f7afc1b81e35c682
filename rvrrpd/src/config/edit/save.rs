//! The new text takes the place of the file, as a whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::{Document, EditError, difference};

/// Mode bits that let somebody write.
const WRITABLE: u32 = 0o222;
/// Mode bits that are kept.
const MODE: u32 = 0o7777;

impl Document {
    /// Replaces the file `path`, from which `base` was read, by the text of this document: a new
    /// file beside it is written and synchronised, and takes its name (rename(2)). Owner, group
    /// and mode stay; of a symbolic link the target is replaced. Does nothing if the file says
    /// this already.
    ///
    /// Hard links and extended attributes of the old file do not come along.
    ///
    /// # Errors
    /// [`EditError::Stale`] when the file is not what `base` was read from, [`EditError::Io`] when
    /// it cannot be replaced. The file is as it was, and nothing else is left behind. A directory
    /// that cannot be synchronised is no error, because the new text is there already; the log
    /// tells that it is not known whether it survives a power failure.
    pub fn save(&self, path: &Path, base: &Self) -> Result<(), EditError> {
        let target = fs::canonicalize(path).map_err(refused(path, "cannot be found"))?;
        let (old, metadata) = open(&target)?;
        drop(old);
        self.unchanged(&target, base)?;
        if self.text() == base.text() {
            return Ok(());
        }
        let directory = target.parent().unwrap_or_else(|| Path::new("/"));
        let new = Replacement::create(&target, directory)?;
        new.write(self.text().as_bytes(), &metadata)?;
        // As late as possible: what an editor writes from here on is lost.
        self.unchanged(&target, base)?;
        new.rename(&target)?;
        let synchronised = File::open(directory).and_then(|directory| directory.sync_all());
        if let Err(error) = synchronised {
            tracing::warn!("{}: cannot be synchronised: {error}", directory.display());
        }
        Ok(())
    }

    /// Whether the file is what `base` was read from.
    fn unchanged(&self, target: &Path, base: &Self) -> Result<(), EditError> {
        let stale = |difference| EditError::Stale {
            path: target.to_owned(),
            difference,
        };
        match super::super::read(target) {
            Ok(now) if *now == *base.text => Ok(()),
            Ok(now) => Err(stale(difference::difference(
                base.text(),
                &now,
                self.format,
            ))),
            Err((_, message)) => Err(stale(format!("({message})"))),
        }
    }
}

fn refused(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> EditError {
    let path = path.to_owned();
    move |source| EditError::Io {
        path,
        action,
        source,
    }
}

/// Opens the file for writing, to find out whether it may be written: rename(2) does not ask.
fn open(target: &Path) -> Result<(File, Metadata), EditError> {
    let refuse =
        |error| refused(target, "cannot be written")(super::super::explained(target, error));
    let metadata = fs::metadata(target).map_err(refuse)?;
    if !metadata.is_file() {
        return Err(refuse(io::Error::other("is not a regular file")));
    }
    if metadata.mode() & WRITABLE == 0 {
        let kind = io::ErrorKind::PermissionDenied;
        let message = format!("is read-only (mode {:04o})", metadata.mode() & MODE);
        return Err(refuse(io::Error::new(kind, message)));
    }
    let file = OpenOptions::new()
        .write(true)
        .open(target)
        .map_err(refuse)?;
    Ok((file, metadata))
}

/// A file beside the target; removed unless it took the target's name.
#[derive(Debug)]
struct Replacement {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Replacement {
    /// A new, empty file that only its owner may read. One that a crash left behind is removed.
    fn create(target: &Path, directory: &Path) -> Result<Self, EditError> {
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(".rvrrpd-new");
        let path = directory.join(name);
        let create = || {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
        };
        let file = match create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path).and_then(|()| create())
            }
            other => other,
        };
        let file = file.map_err(refused(directory, "no file can be made in it"))?;
        Ok(Self {
            file,
            path,
            renamed: false,
        })
    }

    /// Gives it the content, and the owner and mode of the old file.
    fn write(&self, bytes: &[u8], old: &Metadata) -> Result<(), EditError> {
        let refuse = |error| refused(&self.path, "cannot be written")(error);
        let made = self.file.metadata().map_err(refuse)?;
        if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
            fchown(&self.file, Some(old.uid()), Some(old.gid()))
                .map_err(refused(&self.path, "cannot get the owner of the old file"))?;
        }
        // After the owner: chown(2) clears bits of the mode.
        let mode = fs::Permissions::from_mode(old.mode() & MODE);
        self.file.set_permissions(mode).map_err(refuse)?;
        (&self.file).write_all(bytes).map_err(refuse)?;
        self.file.sync_all().map_err(refuse)
    }

    fn rename(mut self, target: &Path) -> Result<(), EditError> {
        fs::rename(&self.path, target).map_err(refused(target, "cannot be replaced"))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("{}: cannot be removed: {error}", self.path.display());
        }
    }
}
