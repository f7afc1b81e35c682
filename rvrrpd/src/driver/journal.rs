//! The journal: what is ours in the kernel, so that a start after SIGKILL takes back exactly that.
//!
//! One JSON file in the runtime directory, replaced as a whole by rename and written *before* the
//! kernel is changed: an entry without its object is harmless, an object without its entry stays
//! for ever. It must outlive the process but not the host, whose kernel forgets everything at a
//! reboot; therefore nothing is forced to the disk, and a journal of another boot or of another
//! network namespace is ignored.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Name of the file in the runtime directory.
const FILE: &str = "journal.json";
/// What the next journal is called until it is complete.
const NEXT: &str = "journal.json.next";
/// Where a journal that cannot be read is kept for whoever wants to look.
const DAMAGED: &str = "journal.json.damaged";
/// Largest file that is read, in bytes; ten thousand virtual routers need about 10 MiB.
const LARGEST: u64 = 64 << 20;

/// One object of ours in the kernel, with what is needed to take it back.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Entry {
    /// A macvlan.
    Macvlan {
        /// Its name.
        name: String,
        /// Its Ethernet address, by which it is known as ours.
        mac: [u8; 6],
        /// Name of its parent.
        parent: String,
        /// Its link group.
        group: u32,
    },
    /// An address.
    Address {
        /// Name of the interface that has it.
        interface: String,
        /// The address.
        address: IpAddr,
        /// Prefix length.
        prefix: u8,
    },
    /// An address with a label, made by ioctl.
    Alias {
        /// The label, `eth0:v1`.
        label: String,
    },
    /// A route.
    Route {
        /// Network address.
        destination: IpAddr,
        /// Prefix length.
        prefix: u8,
        /// Next hop.
        next_hop: IpAddr,
        /// Metric.
        metric: u32,
        /// MTU in bytes, 0: none.
        mtu: u32,
        /// Routing table.
        table: u32,
    },
    /// A kernel setting.
    Sysctl {
        /// Path below `/proc/sys`.
        path: String,
        /// The value that was there.
        before: String,
        /// The value that we wrote; if another one is there now, it is not ours to restore.
        ours: String,
    },
    /// The Ethernet address of an interface.
    EtherMac {
        /// Name of the interface.
        interface: String,
        /// The address that was there.
        before: [u8; 6],
        /// The address that we set.
        ours: [u8; 6],
    },
    /// The filter of the eBPF gate at the ingress of an interface, where the kernel has no tcx and
    /// it outlives the process.
    Filter {
        /// Name of the interface.
        interface: String,
    },
    /// The nftables tables of the gate.
    Table {
        /// Their name.
        name: String,
    },
}

/// The kernel whose objects a journal lists.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Kernel {
    /// `/proc/sys/kernel/random/boot_id`.
    boot: String,
    /// Device and inode of the network namespace.
    namespace: (u64, u64),
}

impl Kernel {
    fn current() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let namespace = fs::metadata("/proc/thread-self/ns/net")?;
        Ok(Self {
            boot: boot.trim_end().to_owned(),
            namespace: (namespace.dev(), namespace.ino()),
        })
    }
}

#[derive(Deserialize)]
struct Stored {
    kernel: Kernel,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Storing<'a> {
    kernel: &'a Kernel,
    entries: &'a [Entry],
}

/// The journal of this process.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    kernel: Kernel,
    entries: Vec<Entry>,
}

impl Journal {
    /// Opens the journal of a runtime directory, which exists and is held by this process alone.
    /// With it come the entries that a dead predecessor left; they stay in the file until they are
    /// [forgotten](Self::forget).
    ///
    /// # Errors
    /// `InvalidData`: the file was damaged; it has been renamed to `journal.json.damaged`, and
    /// opening once more gives an empty journal. Else what the file system says.
    pub fn open(run_dir: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let kernel = Kernel::current()?;
        let entries = match load(run_dir)? {
            Some(stored) if stored.kernel == kernel => stored.entries,
            _ => Vec::new(),
        };
        let journal = Self {
            directory: run_dir.to_owned(),
            kernel,
            entries: entries.clone(),
        };
        Ok((journal, entries))
    }

    /// Adds what is about to be made; entries that are there already are not added again.
    ///
    /// # Errors
    /// What the file system says; then neither file nor journal has changed, and the kernel must
    /// not be changed.
    pub fn record(&mut self, entries: impl IntoIterator<Item = Entry>) -> io::Result<()> {
        let known: HashSet<&Entry> = self.entries.iter().collect();
        let mut new: Vec<Entry> = Vec::new();
        let mut fresh: HashSet<Entry> = HashSet::new();
        for entry in entries {
            if !known.contains(&entry) && fresh.insert(entry.clone()) {
                new.push(entry);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let mut next = self.entries.clone();
        next.append(&mut new);
        self.replace(next)
    }

    /// Takes out the entries for which `gone` is true; their objects are no longer there.
    ///
    /// # Errors
    /// What the file system says; then neither file nor journal has changed.
    pub fn forget(&mut self, gone: impl Fn(&Entry) -> bool) -> io::Result<()> {
        let next: Vec<Entry> = self
            .entries
            .iter()
            .filter(|entry| !gone(entry))
            .cloned()
            .collect();
        if next.len() == self.entries.len() {
            return Ok(());
        }
        self.replace(next)
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Removes the file: nothing of ours is left in the kernel.
    ///
    /// # Errors
    /// What the file system says.
    pub fn clear(self) -> io::Result<()> {
        match fs::remove_file(self.directory.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(explain(&self.directory.join(FILE), &error))
            }
            _ => Ok(()),
        }
    }

    fn replace(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let next = self.directory.join(NEXT);
        let storing = Storing {
            kernel: &self.kernel,
            entries: &entries,
        };
        let text = serde_json::to_vec(&storing)?;
        let written = create(&next)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| fs::rename(&next, self.directory.join(FILE)));
        if let Err(error) = written {
            // What is left of it is overwritten by the next attempt.
            let _ = fs::remove_file(&next);
            return Err(explain(&self.directory.join(FILE), &error));
        }
        self.entries = entries;
        Ok(())
    }
}

/// A new file that only root reads. One that is there already is the rest of a writer that was
/// killed; it is removed rather than opened, because it could be a link to somewhere else.
fn create(path: &Path) -> io::Result<File> {
    let open = || {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()
        }
        other => other,
    }
}

fn load(directory: &Path) -> io::Result<Option<Stored>> {
    let path = directory.join(FILE);
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(explain(&path, &error)),
    };
    let mut text = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut text)
        .map_err(|error| explain(&path, &error))?;
    let why = if text.len() as u64 > LARGEST {
        format!("larger than {LARGEST} bytes")
    } else {
        match serde_json::from_slice(&text) {
            Ok(stored) => return Ok(Some(stored)),
            Err(error) => error.to_string(),
        }
    };
    let aside = directory.join(DAMAGED);
    fs::rename(&path, &aside).map_err(|error| explain(&path, &error))?;
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "{} is damaged ({why}), it is now {}; what a predecessor left in the kernel is unknown",
            path.display(),
            aside.display()
        ),
    ))
}

fn explain(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory that goes with the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir()
                .join(format!("rvrrpd-journal-{}-{number}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join(FILE)
        }

        /// What a process finds that starts now.
        fn found(&self) -> Vec<Entry> {
            Journal::open(&self.0).unwrap().1
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn alias(label: &str) -> Entry {
        Entry::Alias {
            label: label.to_owned(),
        }
    }

    fn one_of_each() -> Vec<Entry> {
        vec![
            Entry::Macvlan {
                name: "standby1".to_owned(),
                mac: [0, 0, 0x5e, 0, 1, 1],
                parent: "eth0.5".to_owned(),
                group: 112,
            },
            Entry::Address {
                interface: "standby1".to_owned(),
                address: "2001:db8::1".parse().unwrap(),
                prefix: 128,
            },
            alias("eth0:v1"),
            Entry::Route {
                destination: "198.51.100.0".parse().unwrap(),
                prefix: 24,
                next_hop: "192.0.2.254".parse().unwrap(),
                metric: u32::MAX,
                mtu: 1400,
                table: 1000,
            },
            Entry::Sysctl {
                path: "net/ipv4/conf/eth0.5/arp_ignore".to_owned(),
                before: "0".to_owned(),
                ours: "1".to_owned(),
            },
            Entry::EtherMac {
                interface: "eth1".to_owned(),
                before: [2, 0, 0, 0, 0, 1],
                ours: [0, 0, 0x5e, 0, 1, 2],
            },
            Entry::Filter {
                interface: "eth0.5".to_owned(),
            },
            Entry::Table {
                name: "rvrrpd".to_owned(),
            },
        ]
    }

    #[test]
    fn a_successor_finds_what_a_dead_process_left_until_it_is_forgotten() {
        let directory = Directory::new();
        let (mut journal, left) = Journal::open(&directory.0).unwrap();
        assert!(left.is_empty());
        assert!(
            !directory.file().exists(),
            "nothing is written before there is something"
        );
        journal.record(one_of_each()).unwrap();
        drop(journal);

        let (mut journal, left) = Journal::open(&directory.0).unwrap();
        assert_eq!(left, one_of_each());
        journal.record([alias("eth0:v2")]).unwrap();
        assert_eq!(directory.found().len(), 9);
        journal.forget(|entry| left.contains(entry)).unwrap();
        assert_eq!(journal.entries(), [alias("eth0:v2")]);
        assert_eq!(directory.found(), [alias("eth0:v2")]);
        journal.clear().unwrap();
        assert!(directory.found().is_empty());
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    #[test]
    fn an_entry_is_there_once() {
        let directory = Directory::new();
        let (mut journal, _) = Journal::open(&directory.0).unwrap();
        journal.record([alias("a:1"), alias("a:1")]).unwrap();
        let written = fs::metadata(directory.file()).unwrap().ino();
        journal.record([alias("a:1")]).unwrap();
        journal.forget(|_| false).unwrap();
        assert_eq!(journal.entries(), [alias("a:1")]);
        assert_eq!(
            fs::metadata(directory.file()).unwrap().ino(),
            written,
            "not written again"
        );
    }

    #[test]
    fn only_root_reads_it() {
        let directory = Directory::new();
        let (mut journal, _) = Journal::open(&directory.0).unwrap();
        // The rest of a writer that was killed, and a trap.
        symlink("/dev/null", directory.0.join(NEXT)).unwrap();
        journal.record([alias("a:1")]).unwrap();
        let metadata = fs::symlink_metadata(directory.file()).unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
        assert_eq!(directory.found(), [alias("a:1")]);
    }

    #[test]
    fn one_of_another_boot_or_namespace_is_ignored() {
        for (from, to) in [
            ("\"boot\":\"", "\"boot\":\"x"),
            ("\"namespace\":[", "\"namespace\":[1"),
        ] {
            let directory = Directory::new();
            let (mut journal, _) = Journal::open(&directory.0).unwrap();
            journal.record(one_of_each()).unwrap();
            let text = fs::read_to_string(directory.file()).unwrap();
            let other = text.replace(from, to);
            assert_ne!(text, other);
            fs::write(directory.file(), other).unwrap();
            let (mut journal, left) = Journal::open(&directory.0).unwrap();
            assert!(left.is_empty());
            journal.record([alias("a:1")]).unwrap();
            assert_eq!(directory.found(), [alias("a:1")]);
        }
    }

    #[test]
    fn a_damaged_one_is_put_aside_and_reported() {
        let directory = Directory::new();
        let (mut journal, _) = Journal::open(&directory.0).unwrap();
        journal.record(one_of_each()).unwrap();
        let whole = fs::read(directory.file()).unwrap();
        let short = whole[..whole.len() / 2].to_vec();
        for damaged in [
            Vec::new(),
            short,
            b"\xff\0{}".to_vec(),
            b"[[[[".repeat(100_000),
        ] {
            fs::write(directory.file(), &damaged).unwrap();
            let error = Journal::open(&directory.0).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(DAMAGED), "{error}");
            assert_eq!(fs::read(directory.0.join(DAMAGED)).unwrap(), damaged);
            assert!(directory.found().is_empty());
        }
    }

    #[test]
    fn what_cannot_be_written_is_not_recorded() {
        let directory = Directory::new();
        let (mut journal, _) = Journal::open(&directory.0).unwrap();
        journal.record([alias("a:1")]).unwrap();
        // A directory in its place is what even root cannot write over.
        fs::create_dir(directory.0.join(NEXT)).unwrap();
        assert!(journal.record([alias("a:2")]).is_err());
        assert!(journal.forget(|_| true).is_err());
        assert_eq!(journal.entries(), [alias("a:1")]);
        assert_eq!(directory.found(), [alias("a:1")]);
        fs::remove_dir(directory.0.join(NEXT)).unwrap();
        journal.record([alias("a:2")]).unwrap();
        assert_eq!(directory.found(), [alias("a:1"), alias("a:2")]);
    }
}
