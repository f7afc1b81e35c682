//! Least privilege: after start the daemon keeps the capabilities that it needs and no other.
//!
//! Capabilities are those of a thread, and a new thread inherits them. So [`drop`] is called in the
//! main thread before any other is started, or first of all in each thread;
//! [`threads_with_more`] tells which ones were forgotten. One thread may be there before, for some
//! milliseconds: that which reads what the kernel says of its types (`net::kernel::Loader`).
//!
//! What no longer works afterwards, although the user is root: entering a network namespace
//! (CAP_SYS_ADMIN) unless that is kept, changing the owner of a file (CAP_CHOWN), and reading or writing what root owns
//! no right to by its mode (CAP_DAC_OVERRIDE), such as a log file that belongs to another user.
//! Sysctls below /proc/sys/net stay writable: CAP_NET_ADMIN in the user namespace of the network
//! namespace is enough (`net_ctl_permissions` in net/sysctl_net.c).

use std::{fs, io};

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

use crate::net::sys::process;

/// What the daemon itself needs: the kernel's network objects, raw and packet sockets, real-time
/// scheduling, locked memory, eBPF programs and maps.
const NETWORK: [Capability; 5] = [
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_RAW,
    Capability::CAP_SYS_NICE,
    Capability::CAP_IPC_LOCK,
    Capability::CAP_BPF,
];

/// What a process needs that starts scripts as other users.
const USERS: [Capability; 2] = [Capability::CAP_SETUID, Capability::CAP_SETGID];

/// What a process needs that enters network namespaces (setns(2)).
const NAMESPACES: [Capability; 1] = [Capability::CAP_SYS_ADMIN];

/// What is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keep {
    /// What the daemon needs itself. Nothing that it starts can change its user or gain
    /// privileges (`no_new_privs`), and this cannot be taken back by a reload.
    Network,
    /// Also what it takes to enter network namespaces: CAP_SYS_ADMIN, with which much else can be
    /// done. Threads that need it not drop it for themselves.
    NetworkAndNamespaces,
    /// Also what it takes to start scripts as their own users. `no_new_privs` is not set: such a
    /// script may use sudo.
    NetworkAndUsers,
}

impl Keep {
    fn capabilities(self) -> CapsHashSet {
        let more: &[Capability] = match self {
            Self::Network => &[],
            Self::NetworkAndNamespaces => &NAMESPACES,
            Self::NetworkAndUsers => &USERS,
        };
        NETWORK.iter().chain(more).copied().collect()
    }
}

/// Why privileges were not dropped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Capabilities cannot be changed.
    #[error("cannot drop capabilities: {0}")]
    Capabilities(#[from] CapsError),
    /// `no_new_privs` cannot be set.
    #[error("cannot set no_new_privs: {0}")]
    NoNewPrivileges(#[source] io::Error),
}

/// Drops all capabilities of the calling thread but those of `keep`, from all sets, so that
/// nothing that it executes has more either. May be called again, to keep less.
///
/// Returns those of `keep` that the thread does not have, in alphabetical order: what needs them
/// will fail.
///
/// # Errors
/// The kernel refused. Some capabilities may be gone by then.
pub fn drop(keep: Keep) -> Result<Vec<Capability>, Error> {
    let wanted = keep.capabilities();
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = wanted.intersection(&permitted).copied().collect();

    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient)?;
    }
    // Without CAP_SETPCAP nothing can be taken from the bounding set, which then is what the
    // service manager made of it.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::read(None, CapSet::Bounding)?.difference(&wanted) {
            caps::drop(None, CapSet::Bounding, *capability)?;
        }
    }
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    if keep != Keep::NetworkAndUsers {
        process::set_no_new_privileges().map_err(Error::NoNewPrivileges)?;
    }

    let mut missing: Vec<Capability> = wanted.difference(&kept).copied().collect();
    missing.sort_unstable_by_key(ToString::to_string);
    Ok(missing)
}

/// Names of the threads of this process that have a capability which the calling thread lacks.
///
/// # Errors
/// /proc cannot be read.
pub fn threads_with_more() -> io::Result<Vec<String>> {
    let own = permitted(&fs::read_to_string("/proc/thread-self/status")?);
    let mut names = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may have ended since.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else {
            continue;
        };
        if permitted(&status) & !own != 0 {
            names.push(field(&status, "Name:").to_owned());
        }
    }
    Ok(names)
}

/// Permitted capabilities as a bit mask, from a proc_pid_status(5).
fn permitted(status: &str) -> u64 {
    // The kernel writes 16 hexadecimal digits; anything else counts as everything.
    u64::from_str_radix(field(status, "CapPrm:"), 16).unwrap_or(u64::MAX)
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let mut values = status.lines().filter_map(|line| line.strip_prefix(name));
    values.next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::sync::mpsc;

    use caps::{CapSet, Capability};
    use socket2::{Domain, Protocol, Socket, Type};

    use super::{Keep, drop, field, threads_with_more};
    use crate::reexec::{is_process_of, process};

    /// CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_IPC_LOCK 14, CAP_SYS_NICE 23, CAP_BPF 39.
    const NETWORK_MASK: u64 = 1 << 12 | 1 << 13 | 1 << 14 | 1 << 23 | 1 << 39;
    /// CAP_SETGID 6, CAP_SETUID 7.
    const USERS_MASK: u64 = 1 << 6 | 1 << 7;
    /// CAP_SYS_ADMIN 21.
    const NAMESPACES_MASK: u64 = 1 << 21;

    fn mask(status: &str, name: &str) -> u64 {
        u64::from_str_radix(field(status, name), 16).unwrap()
    }

    fn in_thread(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    fn own_status() -> String {
        fs::read_to_string("/proc/thread-self/status").unwrap()
    }

    fn status_of_a_program() -> String {
        let output = Command::new("cat").arg("/proc/self/status").output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    #[test]
    fn nothing_but_what_is_kept_stays_in_any_set() {
        for (keep, expected, no_new_privileges) in [
            (Keep::Network, NETWORK_MASK, "1"),
            (
                Keep::NetworkAndNamespaces,
                NETWORK_MASK | NAMESPACES_MASK,
                "1",
            ),
            (Keep::NetworkAndUsers, NETWORK_MASK | USERS_MASK, "0"),
        ] {
            in_thread(move || {
                let bound = mask(&own_status(), "CapBnd:");
                let missing = drop(keep).unwrap();
                let status = own_status();
                assert_eq!(mask(&status, "CapEff:"), expected & bound, "{keep:?}");
                assert_eq!(mask(&status, "CapPrm:"), expected & bound, "{keep:?}");
                assert_eq!(mask(&status, "CapBnd:"), expected & bound, "{keep:?}");
                assert_eq!(mask(&status, "CapInh:"), 0);
                assert_eq!(mask(&status, "CapAmb:"), 0);
                assert_eq!(field(&status, "NoNewPrivs:"), no_new_privileges);
                assert_eq!(missing.len(), (expected & !bound).count_ones() as usize);
                let program = status_of_a_program();
                assert_eq!(mask(&program, "CapEff:") & !expected, 0, "{keep:?}");
            });
        }
    }

    #[test]
    fn it_may_be_called_again_to_keep_less() {
        in_thread(|| {
            drop(Keep::NetworkAndUsers).unwrap();
            drop(Keep::NetworkAndUsers).unwrap();
            drop(Keep::Network).unwrap();
            assert_eq!(mask(&own_status(), "CapEff:") & USERS_MASK, 0);
        });
    }

    #[test]
    fn what_is_not_permitted_is_named() {
        in_thread(|| {
            for set in [CapSet::Effective, CapSet::Permitted] {
                caps::drop(None, set, Capability::CAP_NET_RAW).unwrap();
            }
            let missing = drop(Keep::Network).unwrap();
            assert!(missing.contains(&Capability::CAP_NET_RAW), "{missing:?}");
        });
    }

    #[test]
    fn a_script_can_become_another_user() {
        use std::os::unix::process::CommandExt as _;
        in_thread(|| {
            drop(Keep::NetworkAndUsers).unwrap();
            let output = Command::new("id").arg("-u").uid(65534).gid(65534).output();
            assert_eq!(output.unwrap().stdout, b"65534\n");
        });
    }

    #[test]
    fn a_forgotten_thread_is_named() {
        let (stop, stopped) = mpsc::channel::<()>();
        let (named, is_named) = mpsc::channel::<()>();
        let forgotten = std::thread::Builder::new()
            .name("forgotten".to_owned())
            .spawn(move || {
                named.send(()).unwrap();
                stopped.recv()
            })
            .unwrap();
        // A thread names itself, some time after it was started.
        is_named.recv().unwrap();
        let confined = std::thread::Builder::new().name("remembered".to_owned());
        let names = confined.spawn(|| {
            drop(Keep::Network).unwrap();
            threads_with_more().unwrap()
        });
        let names = names.unwrap().join().unwrap();
        assert!(names.iter().any(|name| name == "forgotten"), "{names:?}");
        assert!(names.iter().all(|name| name != "remembered"), "{names:?}");
        std::mem::drop(stop);
        forgotten.join().unwrap().unwrap_err();
    }

    const SYSCTL: &str = "daemon::privilege::tests::process_that_writes_sysctls";

    #[test]
    fn sysctls_and_sockets_work_without_the_rest() {
        let inner = process(SYSCTL);
        let status = Command::new("unshare")
            .args(["--net", "--"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .env("RVRRPD_TEST_PROCESS", SYSCTL)
            .status();
        assert!(status.unwrap().success());
    }

    #[test]
    #[ignore = "run in a network namespace by sysctls_and_sockets_work_without_the_rest"]
    fn process_that_writes_sysctls() {
        if !is_process_of(SYSCTL) {
            return;
        }
        drop(Keep::Network).unwrap();
        for sysctl in [
            "/proc/sys/net/ipv4/conf/lo/arp_ignore",
            "/proc/sys/net/ipv4/ip_nonlocal_bind",
            "/proc/sys/net/ipv6/conf/lo/accept_dad",
        ] {
            fs::write(sysctl, "1").unwrap();
            assert_eq!(fs::read_to_string(sysctl).unwrap(), "1\n", "{sysctl}");
        }
        Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112))).unwrap();
        Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
        // The test means something only if root's other rights are gone.
        let namespace = Command::new("unshare").arg("--net").arg("true").output();
        assert!(!namespace.unwrap().status.success());
    }
}
