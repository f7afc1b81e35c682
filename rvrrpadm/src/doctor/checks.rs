//! The checks.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rvrrpadm::default_sockets;
use serde_json::Value;

use super::Verdict::{Bad, Good, Warning};
use super::host::Host;
use super::{Finding, Verdict};

/// Capabilities that the daemon needs (capabilities(7)): number, name, and what happens without.
const CAPABILITIES: &[(u32, &str, Verdict, &str)] = &[
    (
        12,
        "CAP_NET_ADMIN",
        Bad,
        "needed to change addresses and interfaces",
    ),
    (
        13,
        "CAP_NET_RAW",
        Bad,
        "needed to send and receive advertisements",
    ),
    (
        14,
        "CAP_IPC_LOCK",
        Warning,
        "without it memory can be swapped out",
    ),
    (
        23,
        "CAP_SYS_NICE",
        Warning,
        "without it there is no real-time scheduling",
    ),
    (
        39,
        "CAP_BPF",
        Warning,
        "without it the slower classic filter and nftables are used",
    ),
];

/// Programs that speak VRRP or take addresses away.
const OTHERS: &[(&str, &str)] = &[
    (
        "keepalived",
        "speaks VRRP, too: no VRID of an interface may be in both configurations",
    ),
    (
        "vrrpd",
        "speaks VRRP, too: no VRID of an interface may be in both configurations",
    ),
    ("ucarp", "announces addresses on its own"),
    (
        "systemd-network",
        "removes addresses that it did not set: ManageForeignRoutes=no and \
      ManageForeignRoutingPolicyRules=no in networkd.conf, KeepConfiguration=yes in the .network",
    ),
];

/// Bytes of a frame without which an advertisement of one address does not pass.
const LEAST_MTU: u64 = 576;
/// Least MTU of IPv6 (RFC 8200 §5).
const LEAST_MTU_V6: u64 = 1280;
/// Mode bits of everybody but the owner.
const OTHERS_READ: u32 = 0o004;

/// Keys whose values nobody else should read.
const SECRETS: &[&str] = &["auth_keys", "auth_secret", "secret", "users"];

/// All checks, in the order in which they are shown.
///
/// The socket is that of the configuration where none is named.
pub(super) fn all(host: &Host, conf: &Path, socket: Option<&Path>) -> Vec<Finding> {
    let mut findings = capabilities(host);
    findings.push(ebpf(host));
    findings.extend(others(host));
    let (found, configured) = configuration(host, conf);
    findings.extend(found);
    let Configured {
        socket: configured,
        sites,
    } = configured;
    for site in sites {
        findings.extend(match &site.netns {
            None => interface(host, &site.interface, site.v6),
            Some(netns) => vec![namespace(host, netns, &site.interface)],
        });
    }
    let configured = configured.or_else(|| default_sockets().into_iter().next());
    let socket = socket.map(Path::to_owned).or(configured);
    findings.push(daemon(host, &socket.unwrap_or_default()));
    findings
}

/// What is said about the socket and about the virtual routers.
#[derive(Default)]
struct Configured {
    socket: Option<PathBuf>,
    sites: BTreeSet<Site>,
}

/// Where virtual routers are.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Site {
    netns: Option<String>,
    interface: String,
    /// One of them is IPv6.
    v6: bool,
}

/// Whether the daemon, or else this process, has what it needs.
fn capabilities(host: &Host) -> Vec<Finding> {
    let daemon = host
        .processes()
        .into_iter()
        .find(|(_, name)| name == "rvrrpd");
    let (process, who) = match daemon {
        Some((id, _)) => (format!("/proc/{id}/status"), "rvrrpd"),
        None => ("/proc/self/status".to_owned(), "this user"),
    };
    let status = host.text(&process).unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let Some(effective) = effective else {
        return vec![Finding::new(Warning, "capabilities", "cannot be read")];
    };
    let lacking: Vec<Finding> = CAPABILITIES
        .iter()
        .filter(|(number, ..)| effective >> number & 1 == 0)
        .map(|(_, name, verdict, why)| {
            Finding::new(*verdict, *name, format!("{who} does not have it: {why}"))
        })
        .collect();
    if lacking.is_empty() {
        let message = format!("{who} has all that are needed");
        return vec![Finding::new(Good, "capabilities", message)];
    }
    lacking
}

fn ebpf(host: &Host) -> Finding {
    let subject = "eBPF";
    let jit = host.number("/proc/sys/net/core/bpf_jit_enable");
    if host
        .text("/sys/kernel/security/lockdown")
        .is_some_and(|it| it.contains("[confidentiality]"))
    {
        let message = "the kernel is locked down (confidentiality): classic filter and nftables \
                       are used";
        return Finding::new(Warning, subject, message);
    }
    match jit {
        Some(0) => {
            let message = "programs are interpreted: sysctl net.core.bpf_jit_enable=1";
            Finding::new(Warning, subject, message)
        }
        Some(_) => Finding::new(Good, subject, "programs are compiled"),
        None => {
            let message = "the kernel shows no net.core.bpf_jit_enable: it may be without eBPF, \
                           then the classic filter and nftables are used";
            Finding::new(Warning, subject, message)
        }
    }
}

fn others(host: &Host) -> Vec<Finding> {
    let processes = host.processes();
    let found: Vec<Finding> = OTHERS
        .iter()
        .filter_map(|(program, why)| {
            let (id, _) = processes.iter().find(|(_, name)| name == program)?;
            Some(Finding::new(
                Warning,
                *program,
                format!("runs (process {id}) and {why}"),
            ))
        })
        .collect();
    if found.is_empty() {
        let message = "none runs that would interfere";
        return vec![Finding::new(Good, "other programs", message)];
    }
    found
}

/// The file, and what it says.
fn configuration(host: &Host, conf: &Path) -> (Vec<Finding>, Configured) {
    let subject = conf.display().to_string();
    let path = host.path(conf);
    let (text, metadata) =
        match fs::read_to_string(&path).and_then(|it| Ok((it, fs::metadata(&path)?))) {
            Ok(both) => both,
            Err(error) => {
                let finding = Finding::new(Bad, subject, error.to_string());
                return (vec![finding], Configured::default());
            }
        };
    let mut findings = Vec::new();
    let root = if conf.extension().is_some_and(|it| it == "json") {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml_edit::de::from_str(&text).map_err(|error| error.message().to_owned())
    };
    let root: Value = match root {
        Ok(root) => root,
        Err(error) => {
            let message = format!("cannot be read: {error}; `rvrrpd -t` says where");
            findings.push(Finding::new(Bad, subject, message));
            return (findings, Configured::default());
        }
    };
    if has_secret(&root) && metadata.mode() & OTHERS_READ != 0 {
        let message = format!(
            "holds a secret and everybody may read it (mode {:04o}): chmod o-r",
            metadata.mode() & 0o7777
        );
        findings.push(Finding::new(Warning, subject.clone(), message));
    }
    let configured = Configured {
        socket: socket(&root),
        sites: sites(&root),
    };
    let message = if configured.sites.is_empty() {
        "has no virtual routers"
    } else {
        "can be read; `rvrrpd -t` says what is wrong with it"
    };
    findings.push(Finding::new(Good, subject, message));
    (findings, configured)
}

/// Whether there are passwords, keys or hashes of passwords in it.
fn has_secret(value: &Value) -> bool {
    match value {
        Value::Object(keys) => keys
            .iter()
            .any(|(key, value)| SECRETS.contains(&key.as_str()) || has_secret(value)),
        Value::Array(values) => values.iter().any(has_secret),
        _ => false,
    }
}

/// `api.socket`, else the one in `run_dir`.
fn socket(root: &Value) -> Option<PathBuf> {
    let named = root.pointer("/api/socket").and_then(Value::as_str);
    let run_dir = root.get("run_dir").and_then(Value::as_str);
    named
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(run_dir?).join("rvrrpd.sock")))
}

fn sites(root: &Value) -> BTreeSet<Site> {
    let routers = root.get("vrouter").and_then(Value::as_array);
    let routers = routers.map(Vec::as_slice).unwrap_or_default();
    routers
        .iter()
        .filter_map(|router| {
            let text = |key: &str| router.get(key).and_then(Value::as_str).map(str::to_owned);
            let vips = router.get("vip").map(Value::to_string);
            Some(Site {
                netns: text("netns"),
                interface: text("interface")?,
                v6: vips.unwrap_or_default().contains(':'),
            })
        })
        .collect()
}

/// Another network namespace, which has its own interfaces and sysctls.
fn namespace(host: &Host, netns: &str, interface: &str) -> Finding {
    let subject = format!("{interface} in network namespace {netns}");
    if host.path(format!("/run/netns/{netns}").as_ref()).exists() {
        let message = format!("`ip netns exec {netns} rvrrpadm doctor` looks at it");
        return Finding::new(Good, subject, message);
    }
    let message = format!("there is no such namespace: ip netns add {netns}");
    Finding::new(Bad, subject, message)
}

/// An interface that has virtual routers.
fn interface(host: &Host, name: &str, v6: bool) -> Vec<Finding> {
    let read = |file: &str| host.text(&format!("/sys/class/net/{name}/{file}"));
    let Some(state) = read("operstate") else {
        return vec![Finding::new(Bad, name, "there is no such interface")];
    };
    let mut findings = Vec::new();
    // ARPHRD_ETHER of linux/if_arp.h.
    if read("type").as_deref() != Some("1") {
        findings.push(Finding::new(Bad, name, "is not Ethernet"));
    }
    if read("carrier").as_deref() != Some("1") {
        let message = format!("has no carrier or is down (operstate {state})");
        findings.push(Finding::new(Bad, name, message));
    }
    let mtu = host.number(&format!("/sys/class/net/{name}/mtu"));
    let least = if v6 { LEAST_MTU_V6 } else { LEAST_MTU };
    if let Some(mtu) = mtu.filter(|mtu| *mtu < least) {
        let message = format!("MTU {mtu} is too small, allowed: at least {least}");
        findings.push(Finding::new(Bad, name, message));
    }
    if host
        .path(format!("/sys/class/net/{name}/master").as_ref())
        .exists()
    {
        let message = "is a port of a bridge, bond or team, which takes all that it receives";
        findings.push(Finding::new(Bad, name, message));
    }
    findings.extend(sysctls(host, name, v6));
    if findings.is_empty() {
        findings.push(Finding::new(Good, name, "is as it should be"));
    }
    findings
}

fn sysctls(host: &Host, name: &str, v6: bool) -> Vec<Finding> {
    let ipv4 = |scope: &str, key: &str| {
        host.number(&format!("/proc/sys/net/ipv4/conf/{scope}/{key}"))
            .unwrap_or(0)
    };
    let mut findings = Vec::new();
    if v6 {
        let disabled = host.number(&format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"));
        if disabled == Some(1) {
            let message = format!("IPv6 is off: sysctl net.ipv6.conf.{name}.disable_ipv6=0");
            findings.push(Finding::new(Bad, name, message));
        }
        return findings;
    }
    // Linux takes the greater of both (Documentation/networking/ip-sysctl.rst).
    if ipv4("all", "rp_filter").max(ipv4(name, "rp_filter")) == 1 {
        let message = format!(
            "strict reverse path filter: traffic to a virtual address that takes another way back \
             is dropped: sysctl net.ipv4.conf.{name}.rp_filter=2"
        );
        findings.push(Finding::new(Warning, name, message));
    }
    if ipv4("all", "arp_ignore").max(ipv4(name, "arp_ignore")) >= 8 {
        let message = "arp_ignore=8: no ARP request is answered, not for virtual addresses either";
        findings.push(Finding::new(Bad, name, message));
    }
    if host.number("/proc/sys/net/ipv4/ip_forward") == Some(0) {
        let message = "net.ipv4.ip_forward=0: a Master takes packets for other networks and does \
                       not forward them";
        findings.push(Finding::new(Warning, name, message));
    }
    findings
}

fn daemon(host: &Host, socket: &Path) -> Finding {
    let subject = socket.display().to_string();
    let runs = host.processes().iter().any(|(_, name)| name == "rvrrpd");
    match fs::metadata(host.path(socket)) {
        Ok(it) if it.file_type().is_socket() && runs => {
            Finding::new(Good, subject, "the daemon listens")
        }
        Ok(it) if it.file_type().is_socket() => {
            Finding::new(Bad, subject, "is left over: rvrrpd does not run")
        }
        Ok(_) => Finding::new(Bad, subject, "is no socket"),
        Err(_) if runs => {
            let message = "is not there, although rvrrpd runs: is it that of another network \
                           namespace, or another configuration?";
            Finding::new(Bad, subject, message)
        }
        Err(_) => Finding::new(Warning, subject, "rvrrpd does not run"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A host of files, removed at the end.
    struct Files(PathBuf);

    impl Files {
        fn new(files: &[(&str, &str)]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("rvrrpadm-doctor-{}-{number}", std::process::id());
            let it = Self(std::env::temp_dir().join(name));
            for (path, text) in files {
                let path = it.0.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            it
        }

        /// What is not good, as lines.
        fn complaints(&self) -> Vec<String> {
            let host = Host::new(&self.0);
            all(&host, "/etc/rvrrpd.conf".as_ref(), None)
                .into_iter()
                .filter(|it| it.verdict != Good)
                .map(|it| format!("{:?} {}: {}", it.verdict, it.subject, it.message))
                .collect()
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const GOOD: &[(&str, &str)] = &[
        ("proc/self/status", "CapEff:\t000001ffffffffff\n"),
        ("proc/sys/net/core/bpf_jit_enable", "1\n"),
        (
            "etc/rvrrpd.conf",
            "run_dir = \"/run\"\n#auth_secret = 1\n[[vrouter]]\ninterface = \"eth0\"\nvip = \"192.0.2.1\"\n",
        ),
        ("sys/class/net/eth0/operstate", "up\n"),
        ("sys/class/net/eth0/type", "1\n"),
        ("sys/class/net/eth0/carrier", "1\n"),
        ("sys/class/net/eth0/mtu", "1500\n"),
        ("proc/sys/net/ipv4/ip_forward", "1\n"),
    ];

    #[test]
    fn a_good_host_without_the_daemon() {
        let complaints = Files::new(GOOD).complaints();
        assert_eq!(
            complaints,
            ["Warning /run/rvrrpd.sock: rvrrpd does not run"]
        );
    }

    #[test]
    fn each_fault_is_found() {
        for (path, text, complaint) in [
            (
                "proc/self/status",
                "CapEff: 0000000000001000",
                "Bad CAP_NET_RAW",
            ),
            ("proc/sys/net/core/bpf_jit_enable", "0", "Warning eBPF"),
            (
                "sys/kernel/security/lockdown",
                "none [confidentiality]",
                "Warning eBPF",
            ),
            (
                "proc/77/comm",
                "keepalived\n",
                "Warning keepalived: runs (process 77)",
            ),
            (
                "proc/77/comm",
                "rvrrpd\n",
                "Bad /run/rvrrpd.sock: is not there, although",
            ),
            (
                "etc/rvrrpd.conf",
                "vrouter = [{interface = \"eth7\"}]",
                "Bad eth7: there is no",
            ),
            (
                "etc/rvrrpd.conf",
                "[api]\nsecret = \"x\"",
                "Warning /etc/rvrrpd.conf: holds a",
            ),
            (
                "etc/rvrrpd.conf",
                "vrouter = [{interface = \"eth7\", netns = \"blue\"}]",
                "Bad eth7 in network namespace blue: there is no",
            ),
            (
                "etc/rvrrpd.conf",
                "[[vrouter]]\nauth_secret = \"x\"",
                "Warning /etc/rvrrpd.conf: holds a",
            ),
            (
                "etc/rvrrpd.conf",
                "[[vrouter]\n",
                "Bad /etc/rvrrpd.conf: cannot be read",
            ),
            (
                "etc/rvrrpd.conf",
                "api = { socket = \"/run/x\" }\n",
                "Warning /run/x: rvrrpd does not run",
            ),
            (
                "sys/class/net/eth0/type",
                "772",
                "Bad eth0: is not Ethernet",
            ),
            (
                "sys/class/net/eth0/carrier",
                "0",
                "Bad eth0: has no carrier",
            ),
            (
                "sys/class/net/eth0/mtu",
                "500",
                "Bad eth0: MTU 500 is too small",
            ),
            ("sys/class/net/eth0/master", "", "Bad eth0: is a port"),
            (
                "proc/sys/net/ipv4/conf/all/rp_filter",
                "1",
                "Warning eth0: strict",
            ),
            (
                "proc/sys/net/ipv4/conf/eth0/arp_ignore",
                "8",
                "Bad eth0: arp_ignore=8",
            ),
            (
                "proc/sys/net/ipv4/ip_forward",
                "0",
                "Warning eth0: net.ipv4.ip_forward=0",
            ),
            ("run/rvrrpd.sock", "", "Bad /run/rvrrpd.sock: is no socket"),
        ] {
            let mut files = GOOD.to_vec();
            files.retain(|(other, _)| *other != path);
            files.push((path, text));
            let complaints = Files::new(&files).complaints();
            assert!(
                complaints.iter().any(|it| it.starts_with(complaint)),
                "{path}: {complaints:#?}"
            );
        }
    }
}
