//! Network namespaces by their names: the files below `/run/netns` that `ip netns` makes.
//!
//! A socket stays in the namespace that it was made in, so a thread has to be in a namespace only
//! while it opens sockets there, or reads and writes what belongs to the namespace of the thread
//! that asks: `/proc/sys/net`, `/proc/thread-self/net`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::sys::namespace;

/// Where the names are (ip-netns(8)).
const DIRECTORY: &str = "/run/netns";

/// Number of a namespace inside the process; never used again, also not for another one of the
/// same name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NamespaceId(pub u32);

impl NamespaceId {
    /// The namespace of the daemon itself.
    pub const OWN: Self = Self(0);
}

/// What tells namespaces apart: device and inode of their files.
pub type Identity = (u64, u64);

/// A network namespace. As long as this is there the namespace is, too, whatever becomes of its
/// name.
#[derive(Debug)]
pub struct Namespace {
    /// Its number.
    pub id: NamespaceId,
    /// Its name.
    pub name: String,
    /// What tells it from others.
    pub identity: Identity,
    file: File,
}

impl Namespace {
    /// The namespace that has this name now.
    ///
    /// # Errors
    /// `NotFound` where the name is not there, or is not that of a namespace, as between the two
    /// steps in which it is made. Else what the kernel says.
    pub fn open(id: NamespaceId, name: &str) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path(name))?;
        if !namespace::is_network_namespace(file.as_fd()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self {
            id,
            name: name.to_owned(),
            identity: identity(&file.metadata()?),
            file,
        })
    }

    /// Whether the name is still that of this namespace.
    #[must_use]
    pub fn has_its_name(&self) -> bool {
        fs::metadata(path(&self.name)).is_ok_and(|metadata| identity(&metadata) == self.identity)
    }

    /// Does something in the namespace. Threads that are started meanwhile would stay there.
    ///
    /// # Errors
    /// The namespace cannot be entered: `PermissionDenied` without CAP_SYS_ADMIN. Then nothing has
    /// been done.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let before = File::open("/proc/thread-self/ns/net")?;
        namespace::enter(self.file.as_fd())?;
        let _back = Back(before);
        Ok(work())
    }
}

/// The namespace of the daemon itself.
///
/// # Errors
/// /proc cannot be read.
pub fn own_identity() -> io::Result<Identity> {
    fs::metadata("/proc/thread-self/ns/net").map(|metadata| identity(&metadata))
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Takes the thread back where it was.
struct Back(File);

impl Drop for Back {
    fn drop(&mut self) {
        if let Err(error) = namespace::enter(self.0.as_fd()) {
            // What entered one namespace may leave it; in the wrong one nothing may go on.
            tracing::error!("the network namespace of the daemon is out of reach: {error}");
            std::process::abort();
        }
    }
}
