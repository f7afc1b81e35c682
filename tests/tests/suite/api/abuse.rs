//! What must cost the attacker and not the daemon.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::rvrrpd::Rvrrpd;
use rvrrpd_tests::scene::{NAME, Scene};
use rvrrpd_tests::web::{Answer, ask, connect, curl, exchange};

use super::{URL, get, log_in, socket, start, wait_until_up};

/// Most memory that any attack here may cost, in bytes.
pub(super) const COST: u64 = 16 << 20;

fn address() -> SocketAddr {
    "127.0.0.1:7080".parse().unwrap()
}

/// Anonymous memory of the daemon in bytes.
pub(super) fn memory(daemon: &Rvrrpd) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse::<u64>().unwrap() * 1024
}

#[test]
fn guessing_passwords_becomes_slow_for_who_guesses() {
    let scene = Scene::new("guessing_passwords_becomes_slow_for_who_guesses");
    let daemon = start(&scene, "host = [\"127.0.0.1:7080\", \"10.0.0.1:7080\"]");
    let before = memory(&daemon);
    let session = log_in(&scene.r1, URL, "admin");
    let guess = |password: &str| {
        let login = format!("user=admin passwd={password}");
        curl(&scene.client, &["-d", &login, "http://10.0.0.1:7080/auth"])
    };
    let begin = Instant::now();
    let wait = |answer: &Answer| answer.field("retry-after").first()?.parse::<u64>().ok();
    // Long enough that the next guess comes within it on a slow machine, too.
    let refused = until("guesses are slowed down", within(60.0), || {
        let answer = guess("orange");
        (wait(&answer) >= Some(6)).then_some(answer)
    });
    assert_eq!(refused.status, 429, "{refused:?}");
    // Five failures, each half a second.
    assert!(begin.elapsed() > Duration::from_secs(2), "{begin:?}");
    assert!(refused.body.contains("may come in "), "{refused:?}");
    // The right one is not looked at either, or a guess would be free.
    assert_eq!(guess("banana").status, 429);
    // Others do not notice.
    assert_eq!(get(&scene.r1, &session, "/run/vrrp").status, 200);
    log_in(&scene.r1, URL, "admin");
    // After the wait it is, and none begins with it.
    until("the wait is over", within(120.0), || {
        (guess("banana").status == 200).then_some(())
    });
    assert_eq!(guess("banana").status, 200);
    assert!(memory(&daemon) < before + COST);
}

#[test]
fn who_sends_nothing_is_cut_off_and_others_are_served() {
    let scene = Scene::new("who_sends_nothing_is_cut_off_and_others_are_served");
    let daemon = start(&scene, "host = [\"127.0.0.1:7080\", \"10.0.0.1:7080\"]");
    let before = memory(&daemon);
    let remote = "10.0.0.1:7080".parse().unwrap();
    let mut slow: Vec<TcpStream> = (0..400).map(|_| connect(&scene.client, remote)).collect();
    for stream in &mut slow {
        let _closed = stream.write_all(b"GET /run/vrrp HTTP/1.1\r\nHost: ");
    }
    // One host can take half of the places at the most.
    let cookies = log_in(&scene.r1, URL, "admin");
    assert_eq!(
        get(&scene.r1, &cookies, "/run/vrrp").json()[0]["name"],
        NAME
    );
    assert_eq!(ask(&socket(&daemon), "GET", "/run/vrrp").status, 200);
    assert!(memory(&daemon) < before + COST, "{before}");
    for stream in &mut slow {
        let mut bytes = Vec::new();
        // Ends because the daemon closes it; the timeout of the test is longer than its own.
        let read = stream.read_to_end(&mut bytes);
        let timed_out = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!read.as_ref().is_err_and(timed_out), "{read:?}");
    }
    assert_eq!(
        curl(&scene.client, &["http://10.0.0.1:7080/health"]).status,
        200
    );
}

#[test]
fn a_body_of_100_mb_is_not_read() {
    let scene = Scene::new("a_body_of_100_mb_is_not_read");
    let daemon = start(&scene, "");
    let before = memory(&daemon);
    let large = scene.lab.dir().join("large");
    fs::File::create(&large)
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let data = format!("@{}", large.display());
    let auth = format!("{URL}/auth");
    let answer = curl(&scene.r1, &["--data-binary", &data, &auth]);
    assert_eq!(answer.status, 413, "{answer:?}");
    // The same without a length.
    let chunked = [
        "-H",
        "Transfer-Encoding: chunked",
        "--data-binary",
        &data,
        &auth,
    ];
    assert_eq!(curl(&scene.r1, &chunked).status, 413);
    // And where nobody reads a body.
    let cookies = log_in(&scene.r1, URL, "root");
    let url = format!("{URL}/run/reload");
    let answer = curl(&scene.r1, &["-b", &cookies, "--data-binary", &data, &url]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(memory(&daemon) < before + COST, "{before}");
    // A body that never comes.
    let head = b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nuser";
    assert_eq!(exchange(connect(&scene.r1, address()), head).status, 408);
}

#[test]
fn floods_of_header_fields_are_refused() {
    let scene = Scene::new("floods_of_header_fields_are_refused");
    let daemon = start(&scene, "");
    let before = memory(&daemon);
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let long = format!("GET /health HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(1 << 20));
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    let endless = "x".repeat(1 << 20);
    for request in [&many, &long, &path, &endless] {
        let answer = exchange(connect(&scene.r1, address()), request.as_bytes());
        let refused = [0, 400, 414, 431].contains(&answer.status);
        assert!(refused, "{answer:?}");
    }
    let fields = "a: b\r\n".repeat(63);
    let fine = format!("GET /health HTTP/1.1\r\nConnection: close\r\n{fields}\r\n");
    assert_eq!(
        exchange(connect(&scene.r1, address()), fine.as_bytes()).status,
        200
    );
    assert!(memory(&daemon) < before + COST, "{before}");
}

#[test]
fn nonsense_is_answered_or_dropped() {
    let scene = Scene::new("nonsense_is_answered_or_dropped");
    let _daemon = start(&scene, "");
    wait_until_up(&scene.r1);
    let zeros = vec![0; 70_000];
    for request in [
        &b"\r\n\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /run/vrrp/%ff/%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /../../etc/shadow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nuser",
        b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &zeros,
    ] {
        let mut stream = connect(&scene.r1, address());
        let _reset = stream.write_all(request);
        let _reset = stream.shutdown(std::net::Shutdown::Write);
        let mut bytes = Vec::new();
        let _reset = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains(" 200 OK") && !text.contains(" 500 "),
            "{text}"
        );
    }
    wait_until_up(&scene.r1);
}
