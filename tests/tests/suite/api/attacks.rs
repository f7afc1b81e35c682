//! Attacks upon the Client API, and what they must not touch: the advertisements on the wire, the
//! memory and the descriptors of the daemon, and everybody else who asks.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{slowness, until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::load::Connection;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State};
use rvrrpd_tests::scene::{NAME, Scene, VRID};
use rvrrpd_tests::standstill;
use rvrrpd_tests::sys::Stamp;
use rvrrpd_tests::web::{ask, connect, curl, read_some};

use super::abuse::{COST, memory};
use super::sessions::ARGON2;
use super::tls::{certify, keys};
use super::{URL, get, log_in, socket, vrouter, with_api};

/// Where it listens, besides `URL`.
const HOSTS: &str = "host = [\"127.0.0.1:7080\", \"10.0.0.1:7080\"]";
/// Interval of the virtual router.
const INTERVAL: Duration = Duration::from_secs(1);
/// Most connections of one host (docs/api.md).
const FROM_ONE: usize = 256;

/// A Master that is attacked, watched from the wire.
struct Target {
    daemon: Rvrrpd,
    capture: Capture,
    begin: Stamp,
    memory: u64,
    descriptors: usize,
}

impl Target {
    fn new(scene: &Scene, text: &str) -> Self {
        let capture = scene.lan.capture();
        let daemon = scene.start(&scene.r1, text);
        daemon.wait_state(NAME, State::Master, within(15.0));
        // Once before it is measured: what is used first is loaded then.
        until("the API answers", within(20.0), || {
            (ask(&socket(&daemon), "GET", "/metrics").status == 200).then_some(())
        });
        Self {
            begin: Stamp::now(),
            memory: memory(&daemon),
            descriptors: descriptors(&daemon),
            daemon,
            capture,
        }
    }

    /// Nothing was late on the wire, and the memory is bounded.
    #[track_caller]
    fn was_not_touched(&self) {
        // What comes after it is no gap.
        let now = Stamp::now();
        let adverts = self.capture.adverts_since(self.begin, VRID);
        let most = INTERVAL + INTERVAL.mul_f64(0.1 * slowness());
        let ends = adverts.iter().map(|(frame, _)| frame.stamp).chain([now]);
        let mut last = self.begin;
        for stamp in ends {
            let gap = stamp.since(last);
            let late = standstill::between(last, stamp);
            assert!(gap <= most + late, "no advertisement for {gap:?}");
            last = stamp;
        }
        assert!(adverts.iter().all(|(_, advert)| advert.priority != 0));
        let memory = memory(&self.daemon);
        assert!(
            memory < self.memory + COST,
            "{memory} after {}",
            self.memory
        );
    }

    /// Lines of the log with `text`: there are some, and fewer than one a second.
    #[track_caller]
    fn is_told(&self, text: &str) {
        let lines = self.daemon.log().texts_after(0);
        let count = lines.iter().filter(|line| line.contains(text)).count();
        let most = Stamp::now().since(self.begin).as_secs() as usize + 2;
        assert!(
            (1..=most).contains(&count),
            "{count} lines of {most}: {lines:#?}"
        );
    }
}

fn descriptors(daemon: &Rvrrpd) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).map_or(0, Iterator::count)
}

fn usual(keys: &str) -> String {
    with_api(keys, &[vrouter().interval(1.0)])
}

fn remote() -> SocketAddr {
    "10.0.0.1:7080".parse().unwrap()
}

/// `count` connections of `host`, as far as they are taken, that have sent `bytes`.
fn crowd(host: &Host, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let one = |_| {
        let mut stream = connect(host, remote());
        let _reset = stream.write_all(bytes);
        stream
    };
    (0..count).map(one).collect()
}

/// Each is closed by the daemon.
#[track_caller]
fn are_closed(crowd: Vec<TcpStream>) {
    for mut stream in crowd {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        let waits = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        assert!(!read.as_ref().is_err_and(waits), "{read:?}");
    }
}

/// Tells others, when dropped, that it is over, also where a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Many hosts guess at a password that is expensive to hash.
#[test]
fn brute_force_holds_up_nobody() {
    let scene = Scene::new("brute_force_holds_up_nobody");
    let text = usual(HOSTS).replacen("users = [", &format!("users = [{ARGON2:?},"), 1);
    let target = Target::new(&scene, &text);
    let session = log_in(&scene.r1, URL, "admin");
    let addresses: Vec<String> = (150..182).map(|last| format!("10.0.0.{last}")).collect();
    for address in &addresses {
        scene
            .client
            .ip(&format!("address add {address}/24 dev eth0"));
    }
    let guess = |from: &str, mode: &str| {
        let words = match mode {
            "basic" => vec!["-u", "slow:orange", "http://10.0.0.1:7080/metrics"],
            _ => vec!["-d", "user=slow passwd=orange", "http://10.0.0.1:7080/auth"],
        };
        let mut all = vec!["--interface", from];
        all.extend(words);
        curl(&scene.client, &all).status
    };
    let own = "127.0.0.1:7080".parse().unwrap();
    let client = scene.r1.inside(|| Connection::new(own));
    let mut client = client.expect("a connection");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        for (number, address) in addresses.iter().enumerate() {
            let mode = if number % 2 == 0 { "basic" } else { "auth" };
            let (guess, is_over) = (&guess, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let status = guess(address, mode);
                    assert!([401, 429, 503].contains(&status), "{status}");
                }
            });
        }
        for _ in 0..50 {
            let began = Stamp::now();
            let (status, _, took) = client.get("/run/vrrp", Some(&session)).expect("an answer");
            assert_eq!(status, 200);
            let most = Duration::from_secs(2).mul_f64(slowness());
            let late = standstill::between(began, Stamp::now());
            assert!(took < most + late, "{took:?}");
        }
    });
    target.was_not_touched();
    target.is_told("login refused");
}

#[test]
fn bodies_that_never_come_are_not_waited_for() {
    let scene = Scene::new("bodies_that_never_come_are_not_waited_for");
    let target = Target::new(&scene, &usual(HOSTS));
    let head = b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\nu";
    let slow = crowd(&scene.client, 200, head);
    let cookies = log_in(&scene.r1, URL, "admin");
    assert_eq!(get(&scene.r1, &cookies, "/run/vrrp").status, 200);
    for mut stream in slow {
        let mut bytes = Vec::new();
        let _reset = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    }
    target.was_not_touched();
}

#[test]
fn thousands_of_connections_are_bounded_and_told() {
    let scene = Scene::new("thousands_of_connections_are_bounded_and_told");
    let target = Target::new(&scene, &usual(HOSTS));
    let held = crowd(&scene.client, 3000, b"GET /health HTTP/1.1\r\nHost:");
    let now = descriptors(&target.daemon);
    assert!(now <= target.descriptors + FROM_ONE + 8, "{now}");
    assert_eq!(curl(&scene.r1, &[&format!("{URL}/health")]).status, 200);
    assert_eq!(ask(&socket(&target.daemon), "GET", "/run/vrrp").status, 200);
    are_closed(held);
    until("the descriptors are free", within(30.0), || {
        (descriptors(&target.daemon) <= target.descriptors + 2).then_some(())
    });
    assert_eq!(
        curl(&scene.client, &["http://10.0.0.1:7080/health"]).status,
        200
    );
    target.was_not_touched();
    target.is_told("connection of 10.0.0.50 refused, there are too many");
}

#[test]
fn half_handshakes_and_garbage_do_not_pile_up() {
    let scene = Scene::new("half_handshakes_and_garbage_do_not_pile_up");
    certify(&scene, scene.lab.dir(), "first");
    let target = Target::new(&scene, &usual(&keys(scene.lab.dir())));
    until("there is HTTPS", within(20.0), || {
        let answer = curl(&scene.r1, &["-k", "https://10.0.0.1:7080/health"]);
        (answer.status == 200).then_some(())
    });
    let hello = [0x16, 3, 1, 0x02, 0, 1, 0, 0x01, 0xfc, 3, 3];
    let half = crowd(&scene.client, FROM_ONE, &hello);
    for garbage in [&[0xff; 4000][..], b"GET / HTTP/1.1\r\n\r\n", &[0; 100]] {
        are_closed(crowd(&scene.r2, 50, garbage));
    }
    assert_eq!(
        curl(&scene.r2, &["-k", "https://10.0.0.1:7080/health"]).status,
        200
    );
    are_closed(half);
    until("the descriptors are free", within(30.0), || {
        (descriptors(&target.daemon) <= target.descriptors + 3).then_some(())
    });
    target.was_not_touched();
    target.is_told("given up: no TLS");
}

/// What is kept of a session that was ended is little, and bounded.
#[test]
fn thousands_of_sessions_cost_nothing() {
    let scene = Scene::new("thousands_of_sessions_cost_nothing");
    let target = Target::new(&scene, &usual(HOSTS));
    let first = log_in(&scene.r1, URL, "admin");
    let mut stream = connect(&scene.r1, "127.0.0.1:7080".parse().unwrap());
    let mut exchange = |request: String| -> String {
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        let mut bytes = [0; 4096];
        loop {
            let count = read_some(&mut stream, &mut bytes).unwrap();
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
    };
    let login = "user=admin passwd=banana";
    for number in 0..5000 {
        let begin = format!(
            "POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{login}",
            login.len()
        );
        let answer = exchange(begin);
        assert!(answer.starts_with("HTTP/1.1 200"), "{number}: {answer}");
        let cookies = answer
            .lines()
            .filter_map(|line| line.strip_prefix("set-cookie: "));
        let cookies: Vec<&str> = cookies.filter_map(|one| one.split(';').next()).collect();
        let end = format!(
            "DELETE /auth HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n",
            cookies.join("; ")
        );
        let answer = exchange(end);
        assert!(answer.starts_with("HTTP/1.1 204"), "{number}: {answer}");
    }
    // Too many to be remembered one by one: those that are as old as the forgotten ones end, too.
    assert_eq!(get(&scene.r1, &first, "/run/vrrp").status, 401);
    let new = log_in(&scene.r1, URL, "root");
    assert_eq!(get(&scene.r1, &new, "/run/vrrp").status, 200);
    target.was_not_touched();
}

/// Who follows the events and does not read loses them; nobody waits for it.
#[test]
fn followers_that_do_not_read_cost_nothing() {
    let scene = Scene::new("followers_that_do_not_read_cost_nothing");
    let target = Target::new(&scene, &usual(HOSTS));
    let cookies = log_in(&scene.r1, URL, "root");
    let request = format!("GET /events HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n");
    let deaf = crowd(&scene.client, 64, request.as_bytes());
    // What is read of `/events` within a second.
    let follow = |host: &Host, from: &str| {
        let mut command = host.command("curl");
        command.args(["-s", "-i", "-m", "1", "-b", &cookies]);
        command.arg(format!("http://{from}:7080/events"));
        String::from_utf8_lossy(&rvrrpd_tests::web::output(command)).into_owned()
    };
    until("all places of this host are taken", within(20.0), || {
        let text = follow(&scene.client, "10.0.0.1");
        text.starts_with("HTTP/1.1 503").then_some(())
    });
    // It cannot take those of others.
    until("others are told of what there is", within(20.0), || {
        let text = follow(&scene.r1, "127.0.0.1");
        text.contains("event: snapshot").then_some(())
    });
    let url = |verb: &str| format!("{URL}/run/vrrp/{NAME}/{verb}?persist=false");
    // Of another virtual router, so that the watched one goes on.
    let other = r#"{"group": 8, "interface": "eth0", "vip": "10.0.0.108", "iftype": "macvlan",
        "enabled": false}"#;
    let json = "content-type: application/json";
    let create = format!("{URL}/config/vrouter?persist=false");
    let answer = curl(
        &scene.r1,
        &["-b", &cookies, "-H", json, "-d", other, &create],
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    for number in 0..300 {
        let verb = if number % 2 == 0 { "enable" } else { "disable" };
        let url = url(verb).replace(NAME, "eth0-8");
        let answer = curl(&scene.r1, &["-b", &cookies, "-X", "POST", &url]);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    target.was_not_touched();
    // Those who go away make room.
    for stream in &deaf {
        let _gone = stream.shutdown(Shutdown::Both);
    }
    drop(deaf);
    until("there are places again", within(40.0), || {
        let text = follow(&scene.client, "10.0.0.1");
        text.contains("event: snapshot").then_some(())
    });
}

/// Who asks and asks and does not read is given up.
#[test]
fn answers_that_nobody_reads_are_given_up() {
    let scene = Scene::new("answers_that_nobody_reads_are_given_up");
    let target = Target::new(&scene, &usual(HOSTS));
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000);
    let address = remote();
    let crowd: Vec<TcpStream> = (0..60)
        .map(|_| {
            let stream = connect(&scene.client, address);
            stream
                .set_write_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            let mut writer = &stream;
            let _full = writer.write_all(requests.as_bytes());
            stream
        })
        .collect();
    assert_eq!(curl(&scene.r1, &[&format!("{URL}/health")]).status, 200);
    target.was_not_touched();
    until("all of them are given up", within(60.0), || {
        (descriptors(&target.daemon) <= target.descriptors + 2).then_some(())
    });
    drop(crowd);
    target.was_not_touched();
}

/// A few virtual routers and clients of `make api-load`: nobody without a session sees data.
#[test]
fn many_clients_get_what_is_theirs_and_nothing_else() {
    let scene = Scene::new("many_clients_get_what_is_theirs_and_nothing_else");
    let target = Target::new(&scene, &usual(HOSTS));
    let cookies = log_in(&scene.r1, URL, "admin");
    let span = Duration::from_secs(4);
    let seen = rvrrpd_tests::load::clients(&scene.client, remote(), &cookies, NAME, 60, span);
    assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
    assert!(seen.served > 30 && seen.refused > 30, "{seen:?}");
    assert_eq!(seen.broken, 0, "{seen:?}");
    target.was_not_touched();
    // The same connection may change who it is.
    scene.client.inside(|| {
        let mut connection = Connection::new(remote()).unwrap();
        for cookies in [
            Some(cookies.as_str()),
            None,
            Some("user=admin"),
            Some(&cookies),
        ] {
            let (status, body, _) = connection.get("/run/vrrp", cookies).unwrap();
            let has_session = cookies.is_some_and(|cookies| cookies.contains("token"));
            assert_eq!(status, if has_session { 200 } else { 401 });
            assert_eq!(String::from_utf8_lossy(&body).contains(NAME), has_session);
        }
    });
}
