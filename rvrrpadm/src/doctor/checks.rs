//! The checks.

use std::path::Path;

use rvrrpadm::default_sockets;

use super::Verdict::{Bad, Good, Warning};
use super::configuration::{self, Configured, Families};
use super::daemon::{self, Daemon};
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
/// All checks, in the order in which they are shown.
///
/// The configuration file is that of the daemon that answers, the socket that of the configuration,
/// where none is named.
pub(super) fn all(host: &Host, conf: Option<&Path>, socket: Option<&Path>) -> Vec<Finding> {
    let sockets = match socket {
        Some(socket) => vec![socket.to_owned()],
        None => default_sockets(),
    };
    let mut daemon = Daemon::at(host, &sockets);
    let path = daemon::conf(conf, &daemon).to_owned();
    let (found, configured) = configuration::read(host, &path);
    let Configured {
        socket: other,
        places,
    } = configured;
    if let Some(other) = other
        && socket.is_none()
        && (conf.is_some() || !daemon.answers())
    {
        daemon = Daemon::at(host, &[other]);
    }
    let mut findings = capabilities(host, &daemon);
    findings.push(ebpf(host));
    findings.extend(others(host));
    findings.extend(found);
    let own = own_name(host, places.keys().flatten());
    for (netns, interfaces) in &places {
        if *netns == own {
            for (name, families) in interfaces {
                findings.extend(interface(host, name, *families));
            }
        } else if let Some(netns) = netns {
            findings.push(namespace(host, netns, interfaces.keys(), &daemon.socket));
        }
    }
    findings.extend(daemon.findings(host));
    findings
}

/// The name, of these, of the network namespace of this process; none where it has none of them.
fn own_name<'n>(host: &Host, mut names: impl Iterator<Item = &'n String>) -> Option<String> {
    let own = host.inode("/proc/self/ns/net")?;
    let is_own = |name: &&String| host.inode(&format!("/run/netns/{name}")) == Some(own);
    names.find(is_own).cloned()
}

/// Whether the daemon, or else this process, has what it needs.
fn capabilities(host: &Host, daemon: &Daemon) -> Vec<Finding> {
    let (process, who) = match daemon.process {
        Some(process) => (process.to_string(), format!("rvrrpd (process {process})")),
        None if daemon.answers() => {
            let message = "the process behind the socket cannot be seen from here";
            return vec![Finding::new(Warning, "capabilities", message)];
        }
        None => ("self".to_owned(), "this user".to_owned()),
    };
    let process = format!("/proc/{process}/status");
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

/// Whether the kernel has eBPF: `kernel.unprivileged_bpf_disabled` is there with bpf(2) and only
/// then, in every network namespace. `net.core.bpf_jit_enable` is in the first one alone, and is not
/// there without the compiler (Documentation/admin-guide/sysctl).
fn ebpf(host: &Host) -> Finding {
    let subject = "eBPF";
    if host
        .text("/sys/kernel/security/lockdown")
        .is_some_and(|it| it.contains("[confidentiality]"))
    {
        let message = "the kernel is locked down (confidentiality): classic filter and nftables \
                       are used";
        return Finding::new(Warning, subject, message);
    }
    if host
        .text("/proc/sys/kernel/unprivileged_bpf_disabled")
        .is_none()
    {
        let message = "the kernel has no bpf(2), there is no kernel.unprivileged_bpf_disabled: \
                       classic filter and nftables are used";
        return Finding::new(Warning, subject, message);
    }
    if host.number("/proc/sys/net/core/bpf_jit_enable") == Some(0) {
        let message = "programs are interpreted: sysctl net.core.bpf_jit_enable=1";
        return Finding::new(Warning, subject, message);
    }
    Finding::new(Good, subject, "the kernel has it")
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

/// Another network namespace, which has its own interfaces and sysctls.
fn namespace<'n>(
    host: &Host,
    netns: &str,
    interfaces: impl Iterator<Item = &'n String>,
    socket: &Path,
) -> Finding {
    let interfaces: Vec<&str> = interfaces.map(String::as_str).collect();
    let subject = format!("network namespace {netns} ({})", interfaces.join(", "));
    if host.path(format!("/run/netns/{netns}").as_ref()).exists() {
        let socket = socket.display();
        let message = format!("`ip netns exec {netns} rvrrpadm -s {socket} doctor` looks at it");
        return Finding::new(Good, subject, message);
    }
    let message = format!("there is no such namespace: ip netns add {netns}");
    Finding::new(Bad, subject, message)
}

/// An interface that has virtual routers.
fn interface(host: &Host, name: &str, families: Families) -> Vec<Finding> {
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
    let least = if families.v6 { LEAST_MTU_V6 } else { LEAST_MTU };
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
    findings.extend(sysctls(host, name, families));
    if findings.is_empty() {
        findings.push(Finding::new(Good, name, "is as it should be"));
    }
    findings
}

fn sysctls(host: &Host, name: &str, families: Families) -> Vec<Finding> {
    let ipv4 = |scope: &str, key: &str| {
        host.number(&format!("/proc/sys/net/ipv4/conf/{scope}/{key}"))
            .unwrap_or(0)
    };
    let mut findings = Vec::new();
    if families.v6 {
        let disabled = host.number(&format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"));
        if disabled == Some(1) {
            let message = format!("IPv6 is off: sysctl net.ipv6.conf.{name}.disable_ipv6=0");
            findings.push(Finding::new(Bad, name, message));
        }
    }
    if !families.v4 {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use serde_json::json;

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

        /// Everything that is said, as lines.
        fn lines(&self, socket: Option<&str>) -> Vec<String> {
            all(&Host::new(&self.0), None, socket.map(Path::new))
                .into_iter()
                .map(|it| format!("{:?} {}: {}", it.verdict, it.subject, it.message))
                .collect()
        }

        /// What is not good.
        fn complaints(&self) -> Vec<String> {
            let mut lines = self.lines(None);
            lines.retain(|line| !line.starts_with("Good"));
            lines
        }

        /// A daemon at this socket, which is this process; it ends with it.
        fn listen(&self, socket: &str, routers: &'static str) {
            let listener = UnixListener::bind(self.0.join(socket)).unwrap();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let mut asked = String::new();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    // One that only looks who listens asks nothing.
                    if reader.read_line(&mut asked).unwrap() == 0 {
                        continue;
                    }
                    let body = if asked.contains("/run/global") {
                        json!({"config": "/srv/own.conf"}).to_string()
                    } else {
                        routers.to_owned()
                    };
                    let length = body.len();
                    write!(
                        stream,
                        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    )
                    .unwrap();
                }
            });
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const GOOD: &[(&str, &str)] = &[
        ("proc/self/status", "CapEff:\t000001ffffffffff\n"),
        ("proc/sys/kernel/unprivileged_bpf_disabled", "2\n"),
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
                "Bad network namespace blue (eth7): there is no",
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
                "[[vrouter]]\ninterface = \"eth7\"\nvip = \n",
                "Bad eth7: there is no",
            ),
            (
                "etc/rvrrpd.conf",
                "{\"vrouter\": [{\"interface\": \"eth7\"}]}",
                "Bad eth7: there is no",
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
    /// `net.core.bpf_jit_enable` is in the first network namespace alone.
    #[test]
    fn ebpf_is_judged_alike_in_every_network_namespace() {
        let ebpf = |files: &[(&str, &str)]| ebpf(&Host::new(&Files::new(files).0));
        let known = ("proc/sys/kernel/unprivileged_bpf_disabled", "2");
        assert_eq!(ebpf(&[known]).verdict, Good);
        let interpreted = ("proc/sys/net/core/bpf_jit_enable", "0");
        assert_eq!(ebpf(&[known, interpreted]).verdict, Warning);
        let none = ebpf(&[("proc/self/status", "")]);
        assert!(none.message.contains("no bpf(2)"), "{none:?}");
    }

    /// Of several daemons it is that of the socket that is judged, with its file and its routers.
    #[test]
    fn the_daemon_behind_the_socket_is_judged() {
        let own = std::process::id();
        let status = format!("proc/{own}/status");
        let files = Files::new(&[
            ("proc/1/comm", "rvrrpd\n"),
            ("proc/1/status", "CapEff: 0000000000000000\n"),
            (&status, "CapEff: 000001fffffeffff\n"),
            ("proc/self/status", "CapEff: 0000000000000000\n"),
            ("srv/own.conf", "vrouter = []\n"),
            ("run/x", ""),
        ]);
        files.listen(
            "run/s",
            r#"[{"name": "a", "not_ready": []}, {"name": "b", "not_ready": ["disabled"]},
                {"name": "c", "parent": "e0", "not_ready": ["no-carrier", "no-primary-address"]}]"#,
        );
        let lines = files.lines(Some("/run/s"));
        let has = |line: &str| assert!(lines.iter().any(|it| it == line), "{line}: {lines:#?}");
        has(&format!(
            "Good capabilities: rvrrpd (process {own}) has all that are needed"
        ));
        has("Good /srv/own.conf: has no virtual routers");
        has(&format!("Good /run/s: the daemon listens (process {own})"));
        has("Bad virtual router c: does not run on e0: no-carrier, no-primary-address");
        let routers = lines.iter().filter(|it| it.contains("virtual router "));
        assert_eq!(routers.count(), 1, "{lines:#?}");
    }

    #[test]
    fn each_place_is_told_once() {
        let conf = "vrouter = [{interface = \"e\", vip = \"192.0.2.1\"}, \
                    {interface = \"e\", vip = \"fe80::1\"}, \
                    {interface = \"e\", vip = \"192.0.2.1\", netns = \"blue\"}, \
                    {interface = \"e\", vip = \"fe80::1\", netns = \"blue\"}, \
                    {interface = \"f\", vip = \"fe80::1\", netns = \"blue\"}]";
        let files = Files::new(&[("etc/rvrrpd.conf", conf), ("run/netns/blue", "")]);
        let lines = files.lines(None);
        let count = |text: &str| lines.iter().filter(|it| it.contains(text)).count();
        assert_eq!((count("Bad e: "), count("blue")), (1, 1), "{lines:#?}");

        // Seen from there it is the other way round.
        fs::create_dir_all(files.0.join("proc/self/ns")).unwrap();
        fs::hard_link(
            files.0.join("run/netns/blue"),
            files.0.join("proc/self/ns/net"),
        )
        .unwrap();
        let lines = files.lines(None);
        let count = |text: &str| lines.iter().filter(|it| it.starts_with(text)).count();
        assert_eq!((count("Bad e: "), count("Bad f: ")), (1, 1), "{lines:#?}");
    }
}
