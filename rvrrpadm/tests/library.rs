//! The library, as a program uses it.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by a panic, in its helpers too"
)]

mod stand_in;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::thread;

use rvrrpadm::{Client, ClientBuilder, Code, Error, Family, Settings, State, Substate};
use serde_json::{Value, json};

use stand_in::StandIn;

fn client() -> (StandIn, Client) {
    let server = StandIn::start();
    let client = Client::unix(server.socket());
    (server, client)
}

#[test]
fn query_tells_everything_and_takes_more() {
    let (_server, client) = client();
    let router = client.query("vrrp1").unwrap();
    assert_eq!(router.state, State::Backup);
    assert_eq!(router.link(), "bge1");
    assert_eq!(router.master_down(), Some(3.609));
    assert_eq!(router.peer.unwrap().priority, Some(120));
    // Of two of one group on one interface it is the one that was asked about.
    let router = client.query("vrrp1-6").unwrap();
    assert_eq!(router.family(), Family::Ipv6);
    assert_eq!(router.substate, Some(Substate::Shutdown));
    assert_eq!(router.not_ready, ["disabled"]);
    assert_eq!(client.query("nobody").unwrap_err().code(), Code::NotFound);
}

#[test]
fn lookup_by_each_of_three() {
    let (_server, client) = client();
    let found = |group, interface, family| client.lookup(group, interface, family).unwrap();
    assert_eq!(found(None, None, None), ["vrrp1", "vrrp1-6"]);
    assert_eq!(
        found(Some(1), Some("bge1"), Some(Family::Ipv6)),
        ["vrrp1-6"]
    );
    assert_eq!(found(Some(1), Some("vnic1"), Some(Family::Ipv4)), ["vrrp1"]);
    assert!(found(Some(2), None, None).is_empty());
    assert!(found(None, Some("bge2"), None).is_empty());
}

#[test]
fn create_modify_and_destroy() {
    let (server, client) = client();
    let settings = Settings::new()
        .group(7)
        .interface("bge2")
        .addresses(&["10.0.7.1"])
        .priority(200)
        .advert_interval(1500)
        .preempt(true)
        .accept(false);
    client.create("new", &settings).unwrap();
    let (method, path, _, body) = server.asked().remove(0);
    assert_eq!(
        (method.as_str(), path.as_str()),
        ("POST", "/config/vrouter")
    );
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({
            "name": "new", "group": 7, "interface": "bge2", "vip": ["10.0.7.1"],
            "priority": 200, "timers": {"advert": 1.5}, "preemption": true,
            "accept_mode": false,
        })
    );
    client
        .modify("new", &Settings::new().with("priority", Value::Null))
        .unwrap();
    client.shutdown("new").unwrap();
    client.startup("new").unwrap();
    client.destroy("new").unwrap();
    let asked: Vec<_> = server
        .asked()
        .into_iter()
        .map(|(method, path, _, body)| format!("{method} {path} {body}"))
        .collect();
    assert_eq!(
        asked,
        [
            "PATCH /config/vrouter/new {\"priority\":null}",
            "POST /run/vrrp/new/disable ",
            "POST /run/vrrp/new/enable ",
            "DELETE /config/vrouter/new ",
        ]
    );
    let client = client.temporary();
    assert_eq!(client.destroy("new").unwrap_err().code(), Code::NotFound);
    assert_eq!(server.asked()[0].1, "/config/vrouter/new?persist=false");
    client.reload().unwrap();
}

#[test]
fn refusals_have_a_kind_and_words() {
    let (_server, client) = client();
    let create = |name: &str, settings: Settings| {
        let error = client.create(name, &settings).unwrap_err();
        (error.code(), error.to_string())
    };
    let new = || Settings::new().group(9);
    assert_eq!(create("vrrp1", new()).0, Code::NameExists);
    assert_eq!(create("x", Settings::new().group(1)).0, Code::RouterExists);
    assert_eq!(
        create("x", new().priority(255)),
        (
            Code::Invalid,
            "priority: 255, allowed: 1..254\nvip: 1.2.3 is no address".to_owned()
        )
    );
    let error = client.startup("vrrp1-6").unwrap_err();
    assert_eq!(error.code(), Code::NotPermitted);
    for name in ["", ".", ".."] {
        assert_eq!(client.destroy(name).unwrap_err().code(), Code::NameInvalid);
    }
    // A name is one part of the path, whatever is in it.
    assert_eq!(client.destroy("a/../b").unwrap_err().code(), Code::NotFound);
}

#[test]
fn over_tcp_a_login_is_needed() {
    let server = StandIn::start();
    let client = ClientBuilder::new(&server.url).build().unwrap();
    assert_eq!(client.list().unwrap_err().code(), Code::NotPermitted);
    let error = client.login("admin", "wrong").unwrap_err();
    assert_eq!(error.code(), Code::NotPermitted);
    client.login("admin", "pä:ss\"").unwrap();
    assert_eq!(client.list().unwrap().len(), 2);
    assert!(!format!("{client:?}").contains("token=abc"));
    assert!(ClientBuilder::new("ftp://x").build().is_err());
    assert!(
        ClientBuilder::new("https://x")
            .authority(b"x".to_vec())
            .build()
            .is_err()
    );
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    let server = StandIn::start();
    let socket = server.directory().join("nothing");
    let error = Client::unix(&socket).list().unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }));
    assert!(error.to_string().contains("nothing: "), "{error}");
}

#[test]
fn events_in_order_until_the_end() {
    let (_server, client) = client();
    let events: Vec<_> = client.subscribe().unwrap().map(Result::unwrap).collect();
    let numbers: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, [Some(1), Some(4), Some(5)]);
    assert_eq!(events[0].event, "snapshot");
    assert_eq!(events[1].previous, Some(State::Backup));
    assert_eq!(events[1].state, Some(State::Master));
}

#[test]
fn one_client_serves_several_threads() {
    let (_server, client) = client();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(client.query("vrrp1").unwrap().name, "vrrp1");
                }
            });
        }
    });
}

/// A daemon that refuses does not read what it has refused.
#[test]
fn a_refusal_is_read_though_the_request_was_not() {
    let server = StandIn::start();
    let socket = server.directory().join("refuser");
    let listener = UnixListener::bind(&socket).unwrap();
    let refuser = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut start = [0; 16];
        stream.read_exact(&mut start).unwrap();
        let answer = "HTTP/1.1 403 X\r\nconnection: close\r\ncontent-length: 16\r\n\r\n";
        write!(stream, "{answer}{{\"detail\":\"why\"}}").unwrap();
    });
    // Longer than what the kernel takes without a reader.
    let long = "x".repeat(1 << 20);
    let settings = Settings::new().with("name", long);
    let error = Client::unix(&socket).modify("a", &settings).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string()),
        (Code::NotPermitted, "why".to_owned())
    );
    refuser.join().unwrap();
    // Nor does one that says nothing do harm.
    let listener = UnixListener::bind(server.directory().join("deaf")).unwrap();
    let deaf = thread::spawn(move || drop(listener.accept()));
    let error = Client::unix(server.directory().join("deaf"))
        .list()
        .unwrap_err();
    assert_eq!(error.code(), Code::System);
    deaf.join().unwrap();
}
