//! Network namespaces for tests that change the kernel: a router, a host on its LAN and a host
//! behind it. The test runs itself once more inside the router; without root it does so in a user
//! namespace.
//!
//! ```text
//!  host (eth0 192.0.2.10/24, 2001:db8:1::10/64) ── lan router wan ── far (198.51.100.10/24, 2001:db8:2::10/64)
//!                                  192.0.2.2, 2001:db8:1::2   198.51.100.1, 2001:db8:2::1
//! ```
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by test files that use parts of it"
)]

use std::env;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// Set in the process inside the router: the common part of the names of the namespaces.
const INSIDE: &str = "RVRRPD_TEST_LAB";
/// How long a predicate may stay false.
const DEADLINE: Duration = Duration::from_secs(20);

/// No address of a link is left to chance: its last three bytes are in a group of IPv6.
const SETUP: &str = "
    set -e
    M=02:00:00:00:aa
    for ns in r h f; do ip netns add $L$ns; ip -n $L$ns link set lo up; done
    ip -n ${L}r link add lan address $M:1 type veth peer name eth0 address $M:2 netns ${L}h
    ip -n ${L}r link add wan address $M:3 type veth peer name eth0 address $M:4 netns ${L}f
    for f in ipv4/ip_forward ipv6/conf/all/forwarding; do
        ip netns exec ${L}r sh -c \"echo 1 > /proc/sys/net/$f\"
    done
    for i in r.lan r.wan h.eth0 f.eth0; do
        ip netns exec $L${i%.*} sh -c \"echo 0 > /proc/sys/net/ipv6/conf/${i#*.}/accept_dad\"
    done
    ip -n ${L}r addr add 192.0.2.2/24 dev lan
    ip -n ${L}r addr add 2001:db8:1::2/64 dev lan nodad
    ip -n ${L}r addr add 198.51.100.1/24 dev wan
    ip -n ${L}r addr add 2001:db8:2::1/64 dev wan nodad
    ip -n ${L}h addr add 192.0.2.10/24 dev eth0
    ip -n ${L}h addr add 2001:db8:1::10/64 dev eth0 nodad
    ip -n ${L}f addr add 198.51.100.10/24 dev eth0
    ip -n ${L}f addr add 2001:db8:2::10/64 dev eth0 nodad
    for i in r.lan r.wan h.eth0 f.eth0; do ip -n $L${i%.*} link set ${i#*.} up; done
    for i in r.lan r.wan h.eth0 f.eth0; do
        n=500
        until ip -n $L${i%.*} link show ${i#*.} | grep -q 'state UP'; do
            n=$((n - 1))
            [ $n -gt 0 ]
            sleep 0.01
        done
    done
    ip -n ${L}f route add default via 198.51.100.1
    ip -n ${L}f route add default via 2001:db8:2::1
";

/// The namespaces, seen from inside the router.
pub struct Lab {
    names: String,
}

/// Runs `body` in the router of a lab of its own. `test` is the name of the calling test.
pub fn inside(test: &str, body: impl FnOnce(&Lab)) {
    if let Ok(names) = env::var(INSIDE) {
        return body(&Lab { names });
    }
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let names = format!("rvg{}{number:x}-", std::process::id());
    let _cleanup = Cleanup(names.clone());
    let program = env::current_exe().unwrap();
    let script = format!(
        "{}{SETUP}\nexec ip netns exec ${{L}}r \"$@\"",
        if is_root() {
            ""
        } else {
            "mount -t tmpfs tmpfs /run"
        }
    );
    let mut command = if is_root() {
        Command::new("sh")
    } else {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--net", "--mount", "sh"]);
        unshare
    };
    let output = command
        .args(["-c", &script, "sh"])
        .arg(program)
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env("L", &names)
        .env(INSIDE, &names)
        .output()
        .unwrap();
    let text = format!("{}{}", text(&output.stdout), text(&output.stderr));
    println!("{text}");
    assert!(
        output.status.success(),
        "{test} failed inside its namespace:\n{text}"
    );
    assert!(
        text.contains("1 passed"),
        "{test} is not the name of a test:\n{text}"
    );
}

struct Cleanup(String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        for namespace in ["r", "h", "f"] {
            let name = format!("{}{namespace}", self.0);
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

impl Lab {
    /// Runs a shell script in the router; it must succeed. Its output.
    pub fn router(&self, script: &str) -> String {
        must(script, Command::new("sh").args(["-ec", script]))
    }

    /// Runs a shell script on the host of the LAN; it must succeed. Its output.
    pub fn host(&self, script: &str) -> String {
        must(script, self.in_host().args(["sh", "-ec", script]))
    }

    /// Name of the network namespace of the host of the LAN (`h`), or of the one behind (`f`).
    pub fn namespace(&self, of: char) -> String {
        format!("{}{of}", self.names)
    }

    fn in_host(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace('h')]);
        command
    }

    /// Sends a frame, in hexadecimal, from the host.
    pub fn send(&self, frame: &str) {
        // AF_PACKET, SOCK_RAW; struct sockaddr_ll.
        self.host(&format!(
            "perl -e 'socket(S, 17, 3, 0) or die;
             send(S, pack(q(H*), q({frame})), 0, pack(q(SnlSCCx8), 17, 0, '$(cat /sys/class/net/eth0/ifindex)', 0, 0, 0)) or die $!'"
        ));
    }

    /// Whether the host gets an answer to one of a few pings.
    pub fn answers(&self, address: &str) -> bool {
        let pings = [
            "ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "1", address,
        ];
        self.in_host()
            .args(pings)
            .output()
            .unwrap()
            .status
            .success()
    }

    /// Waits until the host gets an answer.
    pub fn await_answer(&self, address: &str) {
        eventually(&format!("an answer from {address}"), || {
            self.answers(address)
        });
    }

    /// Interface index of an interface of the router.
    pub fn index(&self, interface: &str) -> u32 {
        self.router(&format!("ip -o link show dev {interface}"))
            .split(':')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Packets that the counters of the rules with this text have seen.
    pub fn counted(&self, rule: &str) -> u64 {
        counted(&self.router("nft list ruleset"), rule)
    }

    /// The same on the host of the LAN.
    pub fn counted_on_host(&self, rule: &str) -> u64 {
        counted(&self.host("nft list ruleset"), rule)
    }

    /// A macvlan on `lan` (or another parent) that is silent but for what is asked of it.
    pub fn macvlan(&self, name: &str, parent: &str, mac: &str) {
        self.router(&format!(
            "echo 1 > /proc/sys/net/ipv4/conf/{parent}/arp_ignore
             ip link add {name} link {parent} address {mac} type macvlan mode bridge
             ip link set {name} addrgenmode none
             echo 1 > /proc/sys/net/ipv4/conf/{name}/arp_ignore
             echo 0 > /proc/sys/net/ipv4/conf/{name}/rp_filter
             echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
             echo 1 > /proc/sys/net/ipv6/conf/{name}/forwarding
             ip link set {name} up"
        ));
    }
}

fn counted(ruleset: &str, rule: &str) -> u64 {
    ruleset
        .lines()
        .filter(|line| line.contains(rule))
        .filter_map(|line| {
            line.split("packets ")
                .nth(1)?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum()
}

/// Waits until the predicate is true.
pub fn eventually(what: &str, mut predicate: impl FnMut() -> bool) {
    let start = Instant::now();
    while !predicate() {
        assert!(
            start.elapsed() < DEADLINE,
            "not within {DEADLINE:?}: {what}"
        );
        yield_now();
    }
}

fn must(what: &str, command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    assert!(
        status.success(),
        "{what}: {status}\n{}{}",
        text(&stdout),
        text(&stderr)
    );
    text(&stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}
