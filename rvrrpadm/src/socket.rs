//! Where a daemon that was told nothing else puts its socket.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Runtime directory of the daemon in the network namespace of PID 1.
const DIRECTORY: &str = "/run/rvrrpd";
/// Name of the socket in the runtime directory.
const NAME: &str = "rvrrpd.sock";

/// Where the daemon of the network namespace of this process has its socket unless its configuration
/// says otherwise: `/run/rvrrpd/rvrrpd.sock`, in another namespace than that of PID 1
/// `/run/rvrrpd/net-INODE/rvrrpd.sock`. Both, the second one first, where it cannot be seen which
/// namespace that of PID 1 is (only root may look). There is at least one.
#[must_use]
pub fn default_sockets() -> Vec<PathBuf> {
    let inode = |path: &str| fs::metadata(path).ok().map(|metadata| metadata.ino());
    sockets_for(inode("/proc/self/ns/net"), inode("/proc/1/ns/net"))
}

/// The one of `sockets` that is there, or else the first one.
pub(crate) fn present(sockets: &[PathBuf]) -> Option<&Path> {
    let there = sockets.iter().find(|socket| socket.exists());
    there.or_else(|| sockets.first()).map(PathBuf::as_path)
}

fn sockets_for(own: Option<u64>, first: Option<u64>) -> Vec<PathBuf> {
    let common = Path::new(DIRECTORY).join(NAME);
    let Some(own) = own.filter(|own| first != Some(*own)) else {
        return vec![common];
    };
    let special = Path::new(DIRECTORY).join(format!("net-{own}")).join(NAME);
    match first {
        Some(_) => vec![special],
        None => vec![special, common],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_namespace_has_a_socket_of_its_own() {
        let common = Path::new("/run/rvrrpd/rvrrpd.sock");
        let special = Path::new("/run/rvrrpd/net-8/rvrrpd.sock");
        assert_eq!(sockets_for(Some(7), Some(7)), [common]);
        assert_eq!(sockets_for(Some(8), Some(7)), [special]);
        assert_eq!(sockets_for(Some(8), None), [special, common]);
        assert_eq!(sockets_for(None, Some(7)), [common]);
    }

    /// The daemon says the same of the namespace that this test runs in.
    #[test]
    fn it_is_where_the_daemon_puts_it() {
        let daemon = rvrrpd::daemon::run_dir::default_path().join(NAME);
        assert_eq!(default_sockets().first(), Some(&daemon));
    }
}
