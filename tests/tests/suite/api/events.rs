//! Server-sent events.

use std::path::Path;

use rvrrpd_tests::deadline::within;
use rvrrpd_tests::rvrrpd::{State, Vrouter};
use rvrrpd_tests::scene::{NAME, Scene, VRID};
use rvrrpd_tests::web::{Follower, ask, connect};

use super::{URL, log_in, socket, start, with_api};

/// Waits until it is an event, too, that the usual virtual router has become Master: the state of
/// a router is known before.
fn wait_until_told(socket: &Path) {
    let id = Follower::new(socket, None).read().id;
    let (life, _) = id.split_once('.').expect("life and number");
    let mut reader = Follower::new(socket, Some(&format!("{life}.0")));
    while reader.read_until("state").data["state"] != "Master" {}
}

#[test]
fn every_reader_sees_every_change_once_and_in_order() {
    let scene = Scene::new("every_reader_sees_every_change_once_and_in_order");
    let daemon = start(&scene, "");
    let socket = socket(&daemon);
    wait_until_told(&socket);
    let mut readers = [Follower::new(&socket, None), Follower::new(&socket, None)];
    let mut first = 0;
    let mut place_of = None;
    for reader in &mut readers {
        let snapshot = reader.read();
        assert_eq!(snapshot.name, "snapshot");
        assert_eq!(snapshot.data["routers"][0]["state"], "Master");
        first = snapshot.data["sequence"].as_u64().unwrap();
        let router = &snapshot.data["routers"][0];
        place_of = Some((router["interface"].clone(), router["parent"].clone()));
    }
    // In the same words, of a macvlan, too.
    let (carrier, parent) = place_of.unwrap();
    assert_eq!((&carrier, &parent), (&"standby7".into(), &"eth0".into()));
    ask(&socket, "POST", &format!("/run/vrrp/{NAME}/disable"));
    ask(&socket, "POST", &format!("/run/vrrp/{NAME}/enable"));
    daemon.wait_state(NAME, State::Master, within(10.0));
    let expected = [
        ("configured", "Master", "Master", None),
        ("state", "Master", "Init", Some("shutdown")),
        ("configured", "Init", "Init", None),
        ("state", "Init", "Backup", Some("startup")),
        ("state", "Backup", "Master", Some("master-timeout")),
    ];
    let mut ids = Vec::new();
    for reader in &mut readers {
        for (place, (name, old, new, reason)) in expected.into_iter().enumerate() {
            let event = reader.read();
            let data = &event.data;
            assert_eq!(event.name, name, "{data}");
            assert_eq!(
                (&data["previous"], &data["state"]),
                (&old.into(), &new.into())
            );
            assert_eq!(data["reason"].as_str(), reason, "{data}");
            assert_eq!(data["sequence"], first + 1 + place as u64);
            assert_eq!(data["name"], NAME);
            assert_eq!((&data["interface"], &data["parent"]), (&carrier, &parent));
            if place == 1 {
                assert_eq!(data["substate"], "shutdown");
                assert_eq!(data["not_ready"], serde_json::json!(["disabled"]));
            }
            ids.push(event.id);
        }
    }
    // Who comes back gets what was missed and nothing else.
    let mut back = Follower::new(&socket, Some(&ids[2]));
    assert_eq!(back.read().id, ids[3]);
    assert_eq!(back.read().id, ids[4]);
    // Who comes back from another life gets everything anew.
    let mut stranger = Follower::new(&socket, Some("abc.3"));
    assert_eq!(stranger.read().name, "snapshot");
}

#[test]
fn a_new_priority_is_an_event() {
    let scene = Scene::new("a_new_priority_is_an_event");
    let daemon = start(&scene, "");
    let mut reader = Follower::new(&socket(&daemon), None);
    assert_eq!(reader.read().name, "snapshot");
    daemon.reload(&with_api("", &[super::vrouter().priority(120)]));
    let event = reader.read_until("priority");
    assert_eq!(
        (&event.data["previous_priority"], &event.data["priority"]),
        (&100.into(), &120.into())
    );
    daemon.reload(&with_api("", &[]));
    assert_eq!(reader.read_until("state").data["state"], "Init");
    assert_eq!(reader.read_until("removed").data["name"], NAME);
}

/// What is refused is an event, also what the kernel refuses, and changes nothing else.
#[test]
fn packets_that_are_refused_are_events() {
    let scene = Scene::new("packets_that_are_refused_are_events");
    let daemon = start(&scene, "");
    let socket = socket(&daemon);
    wait_until_told(&socket);
    let mut reader = Follower::new(&socket, None);
    let sequence = reader.read().data["sequence"].as_u64().unwrap();
    let mut spec = scene.ghost(200, 10);
    spec.ttl = 64;
    scene.inject(spec);
    let event = reader.read();
    assert_eq!(event.name, "protocol-error", "{event:?}");
    let data = &event.data;
    assert_eq!(
        (&data["reason"], &data["count"], &data["name"]),
        (&"ttl".into(), &1.into(), &NAME.into())
    );
    assert_eq!(data["sequence"], sequence + 1);
    assert_eq!(
        (&data["previous"], &data["state"]),
        (&"Master".into(), &"Master".into())
    );
    // The next ones are told together, after a pause.
    for _ in 0..5 {
        let mut spec = scene.ghost(200, 10);
        spec.ttl = 1;
        scene.inject(spec);
    }
    let event = reader.read_until("protocol-error");
    assert_eq!(
        (&event.data["reason"], &event.data["count"]),
        (&"ttl".into(), &5.into())
    );
}

/// Also the first packet that a virtual router meets at all.
#[test]
fn the_first_packet_that_a_new_router_refuses_is_an_event() {
    let scene = Scene::new("the_first_packet_that_a_new_router_refuses_is_an_event");
    let daemon = start(&scene, "");
    let socket = socket(&daemon);
    let mut reader = Follower::new(&socket, None);
    assert_eq!(reader.read().name, "snapshot");
    let other = Vrouter::new(VRID + 1, &["10.0.1.8"]).macvlan();
    daemon.reload(&with_api("", &[super::vrouter(), other]));
    while reader.read_until("state").data["group"] != VRID + 1 {}
    let mut spec = scene.ghost(200, 10);
    (spec.vrid, spec.ttl) = (VRID + 1, 64);
    scene.inject(spec);
    let data = reader.read_until("protocol-error").data;
    assert_eq!(
        (&data["reason"], &data["count"], &data["group"]),
        (&"ttl".into(), &1.into(), &(VRID + 1).into())
    );
}

/// A reader that does not read is told how much it has missed.
#[test]
fn who_is_too_slow_is_told_how_many_were_lost() {
    let scene = Scene::new("who_is_too_slow_is_told_how_many_were_lost");
    let vrouters = |priority: u8| -> Vec<Vrouter> {
        let vrouter = |vrid| {
            Vrouter::new(vrid, &[&format!("10.0.1.{vrid}")])
                .text("interface", "eth9")
                .key("virtual_mac", false)
                .priority(priority)
        };
        (1..=250).map(vrouter).collect()
    };
    let daemon = scene.start(&scene.r1, &with_api("", &vrouters(100)));
    super::wait_until_up(&scene.r1);
    let socket = socket(&daemon);
    let mut slow = Follower::new(&socket, None);
    assert_eq!(slow.read().name, "snapshot");
    // 250 routers change 40 times: more than any buffer on the way holds, and than is kept.
    for round in 0..40 {
        daemon.rewrite(&with_api("", &vrouters(101 + round)));
        let answer = ask(&socket, "POST", "/run/reload");
        assert_eq!(answer.json()["changed"], 250, "{answer:?}");
    }
    let lost = slow.read_until("lost");
    let count = lost.data["count"].as_u64().unwrap();
    assert!(count > 0, "{lost:?}");
    // From there on everything comes again.
    let next = slow.read();
    let sequence = lost.data["sequence"].as_u64().unwrap();
    assert_eq!(next.data["sequence"], sequence + 1);
}

/// Nobody follows longer than the session lasts.
#[test]
fn events_end_with_their_session() {
    use std::io::{Read as _, Write as _};
    let scene = Scene::new("events_end_with_their_session");
    let _daemon = start(&scene, "session_lifetime = 5");
    let cookies = log_in(&scene.r1, URL, "admin");
    let mut stream = connect(&scene.r1, "127.0.0.1:7080".parse().unwrap());
    let request = format!(
        "GET /events HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("event: snapshot"), "{text}");
}
