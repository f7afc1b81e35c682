//! The sniffer in a network namespace, on one end of a veth pair.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::net::sys::packet;
use crate::reexec::{is_process_of, process};
use crate::wire::advert::{AdvertRepr, ChecksumForm};
use crate::wire::auth::Key;
use crate::wire::{Family, Mac, Version, Vrid};

const NAMESPACE: &str = "sniffer::tests::process_in_a_namespace";
const SNIFFER: &str = "sniffer::tests::process_that_sniffs";

#[test]
fn shows_what_comes_and_stops_at_once() {
    let inner = process(NAMESPACE);
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("RVRRPD_TEST_PROCESS", NAMESPACE)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
#[ignore = "run in a process of its own by process_in_a_namespace"]
fn process_that_sniffs() {
    if is_process_of(SNIFFER) {
        super::run("veth-b").unwrap();
    }
}

#[test]
fn an_unknown_interface_is_named() {
    let error = packet::interface_index("absent0").map(drop).unwrap_err();
    let text = super::named("absent0", "no such interface", &error).to_string();
    assert!(text.starts_with("absent0: no such interface"), "{text}");
}

#[test]
#[ignore = "run in a network namespace by shows_what_comes_and_stops_at_once"]
fn process_in_a_namespace() {
    if !is_process_of(NAMESPACE) {
        return;
    }
    ip("link add name veth-a type veth peer name veth-b");
    ip("link set veth-a up");
    ip("link set veth-b up");
    wait_up("veth-a");
    wait_up("veth-b");
    let (index_a, index_b) = (
        packet::interface_index("veth-a").unwrap(),
        packet::interface_index("veth-b").unwrap(),
    );

    for signal in ["-INT", "-TERM"] {
        let (mut child, mut lines) = sniffer();
        let a = sender(index_a);
        // Neither another protocol nor a VLAN is shown, so the next line is of the next packet.
        send(&a, &other_protocol());
        send(&a, &tagged(7, &v2(1)));
        send(&a, &v2(2));
        assert_eq!(packet_lines(&mut lines)[3], " Virtual Router ID: 2");
        send(&a, &tagged(0, &v2(3)));
        assert_eq!(packet_lines(&mut lines)[3], " Virtual Router ID: 3");
        send(&a, &v3(4, "fe80::1", "fe80::4"));
        let ipv6 = packet_lines(&mut lines);
        assert_eq!(ipv6[3], " Virtual Router ID: 4");
        assert_eq!(ipv6.last().unwrap(), "  - fe80::4");
        // What this host sends is on the interface too.
        send(&sender(index_b), &v3(5, "10.99.0.2", "10.99.0.240"));
        let own = packet_lines(&mut lines);
        assert_eq!(own[3], " Virtual Router ID: 5");

        let pid = child.id().to_string();
        let killed = Command::new("kill").args([signal, &pid]).status();
        assert!(killed.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
    }

    let (mut child, mut lines) = sniffer();
    ip("link set veth-b down");
    assert_eq!(next(&mut lines), "veth-b is down");
    ip("link set veth-b up");
    wait_up("veth-b");
    send(&sender(index_b), &v2(6));
    assert_eq!(packet_lines(&mut lines)[3], " Virtual Router ID: 6");
    // A socket that is down already is not told of the removal.
    ip("link set veth-b down");
    assert_eq!(next(&mut lines), "veth-b is down");
    ip("link del veth-a");
    assert!(!child.wait().unwrap().success());
}

type Lines = std::io::Lines<BufReader<ChildStdout>>;

/// The sniffer on `veth-b`, ready.
fn sniffer() -> (Child, Lines) {
    let mut child = process(SNIFFER)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The harness may have begun the line.
    while !next(&mut lines).ends_with("Listening for VRRP packets on veth-b") {}
    (child, lines)
}

fn next(lines: &mut Lines) -> String {
    lines.next().unwrap().unwrap()
}

/// All lines of a packet with one address.
fn packet_lines(lines: &mut Lines) -> Vec<String> {
    let mut packet = vec![next(lines)];
    while !packet.last().unwrap().starts_with("  - ") {
        packet.push(next(lines));
    }
    packet
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status();
    assert!(done.unwrap().success(), "ip {arguments}");
}

/// Waits until the kernel sends what it is given: until some time after the interface was set up it
/// drops that without a word.
fn wait_up(interface: &str) {
    let start = Instant::now();
    loop {
        let shown = Command::new("ip")
            .args(["-o", "link", "show", interface])
            .output()
            .unwrap();
        if String::from_utf8_lossy(&shown.stdout).contains(" state UP ") {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{interface}");
    }
}

fn sender(interface: i32) -> Socket {
    let socket = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
    packet::bind(socket.as_fd(), interface, 0).unwrap();
    socket
}

fn send(mut socket: &Socket, frame: &[u8]) {
    socket.write_all(frame).unwrap();
}

fn v2(vrid: u8) -> Vec<u8> {
    advert(Version::V2, vrid, "10.99.0.1", "10.99.0.240")
}

fn v3(vrid: u8, source: &str, vip: &str) -> Vec<u8> {
    advert(Version::V3, vrid, source, vip)
}

fn advert(version: Version, vrid: u8, source: &str, vip: &str) -> Vec<u8> {
    let source: IpAddr = source.parse().unwrap();
    let vrid = Vrid::new(vrid).unwrap();
    let repr = AdvertRepr {
        version,
        vrid,
        priority: 100,
        interval: Duration::from_secs(1),
        addresses: &[vip.parse().unwrap()],
        auth: &Key::None,
        checksum_form: ChecksumForm::Message,
    };
    repr.frame(Mac::of_virtual_router(Family::V4, vrid), source)
}

fn tagged(vlan: u8, frame: &[u8]) -> Vec<u8> {
    let mut tagged = frame.to_vec();
    tagged.splice(12..12, [0x81, 0x00, 0x00, vlan]);
    tagged
}

fn other_protocol() -> Vec<u8> {
    let mut frame = v2(9);
    frame[14 + 9] = 17;
    frame
}
