//! The program, as a user calls it.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by a panic, in its helpers too"
)]

mod stand_in;

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use stand_in::StandIn;

/// Runs the program against the stand-in.
fn run(server: &StandIn, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rvrrpadm"))
        .arg("-s")
        .arg(server.socket())
        .args(line.split_whitespace())
        .output()
        .unwrap()
}

/// Standard output of a call that must succeed.
fn said(server: &StandIn, line: &str) -> String {
    let output = run(server, line);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Exit code and standard error of a call that must fail.
fn refused(server: &StandIn, line: &str) -> (i32, String) {
    let output = run(server, line);
    assert!(output.stdout.is_empty(), "{line}");
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), errors)
}

#[test]
fn show_router() {
    let server = StandIn::start();
    assert_eq!(
        said(&server, "show-router"),
        "NAME    VRID LINK    AF   PRIO ADV_INTV MODE  STATE VNIC\n\
         vrrp1   1    bge1    IPv4 100  1000     e-pa- BACK  vnic1\n\
         vrrp1-6 1    bge1    IPv6 255  --       ---ao INIT  --\n"
    );
    assert_eq!(
        said(&server, "show-router -x vrrp1"),
        "NAME    STATE PRV_STAT STAT_LAST VNIC    PRIMARY_IP      VIRTUAL_IPS\n\
         vrrp1   BACK  MAST     1m17s     vnic1   10.0.0.100      10.0.0.1\n"
    );
    assert_eq!(
        said(&server, "show-router -P vrrp1"),
        "NAME    PEER            P_PRIO P_INTV P_ADV_LAST M_DOWN_INTV\n\
         vrrp1   10.0.0.123      120    1000   0.313s     3609\n"
    );
    assert_eq!(
        said(&server, "show-router -p -o name,virtual_ips,peer,state"),
        "vrrp1:10.0.0.1:10.0.0.123:BACK\nvrrp1-6:fe80\\:\\:1::INIT\n"
    );
}

#[test]
fn show() {
    let server = StandIn::start();
    assert_eq!(
        said(
            &server,
            "show -p -o name,vrid,interface,primary_ipaddr,state"
        ),
        "vrrp1:1:bge1:10.0.0.100:BACK\nvrrp1-6:1:bge1::INIT\n"
    );
    assert_eq!(
        said(&server, "show vrrp1-6"),
        "INSTANCE vrrp1-6\n  vrid = 1\n  priority = 255\n  preempt_mode = false\n  \
         accept_mode = true\n  interface = bge1\n  assoc_ipaddrs = fe80::1\n  state = INIT\n    \
         sub_state = shutdown\n    not_ready = disabled\n"
    );
    let all: Value = serde_json::from_str(&said(&server, "show --json")).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let one: Value = serde_json::from_str(&said(&server, "--json show-router vrrp1")).unwrap();
    assert_eq!(one["a field of tomorrow"]["x"], 1);
}

#[test]
fn both_generations_change_the_same() {
    let server = StandIn::start();
    for (new, old) in [
        (
            "create-router -V 9 -l e0 -A inet -a 10.0.9.1 -p 7 r9",
            "create -v 9 -i e0 -A 10.0.9.1 -p 7 r9",
        ),
        ("modify-router -i 2000 r9", "modify -d 2 r9"),
        ("enable-router r9", "startup r9"),
        ("disable-router r9", "shutdown r9"),
        ("delete-router r9", "delete r9"),
    ] {
        let asked = |line: &str| {
            assert_eq!(said(&server, line), "");
            let (method, path, _, body) = server.asked().remove(0);
            // The older one makes a macvlan and starts the router.
            let body = body.replace("\"enabled\":false,", "");
            let body = body.replace("\"iftype\":\"macvlan\",", "");
            format!("{method} {path} {body}")
        };
        let first = asked(new);
        if new.starts_with("create") {
            said(&server, "delete r9");
            server.asked();
        }
        if new.starts_with("delete") {
            said(&server, "create -v 9 -i e0 -A 10.0.9.1 r9");
            server.asked();
        }
        assert_eq!(first, asked(old));
    }
    let answer = said(&server, "--json modify -p 3 vrrp1");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["priority"], 3);
    server.asked();
    said(&server, "modify --no-persist -p 3 vrrp1");
    assert!(server.asked()[0].1.ends_with("?persist=false"));
    // It was done, but not all is well.
    let output = run(&server, "reload");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "rvrrpadm: warning: no HTTPS\n"
    );
}

#[test]
fn exit_codes() {
    let server = StandIn::start();
    for line in [
        "",
        "nonsense",
        "show -p",
        "show -o nothing",
        "create-router -V 256 -l e -A inet -a 10.0.0.1 r",
        "create -v 1 -i e r",
        "modify vrrp1",
        "create -v 1 -i e -A 10.0.0.1 -d 0 r",
    ] {
        assert_eq!(refused(&server, line).0, 1, "{line}");
    }
    for (line, why) in [
        ("show nobody", "there is no virtual router nobody"),
        ("delete nobody", "there is no virtual router nobody"),
        (
            "enable-router vrrp1-6",
            "only root and group rvrrpd may write",
        ),
        (
            "create -v 9 -i e -A 10.0.0.1 -p 255 r",
            "priority: 255, allowed: 1..254\nvip:",
        ),
    ] {
        let (code, said) = refused(&server, line);
        assert_eq!(code, 2, "{line}");
        assert!(
            said.starts_with("rvrrpadm: ") && said.contains(why),
            "{line}: {said}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_rvrrpadm"))
        .args(["-s", "/nonexistent/s", "show"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does rvrrpd run"));
    assert_eq!(run(&server, "--help").status.code(), Some(0));
    assert_eq!(run(&server, "--version").status.code(), Some(0));
}

#[test]
fn over_http_with_a_password_from_a_file() {
    let server = StandIn::start();
    let file = server.directory().join("password");
    fs::write(&file, "pä:ss\"\nsecond line\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rvrrpadm"))
        .args(["-H", &server.url, "--user", "admin", "--password-file"])
        .arg(&file)
        .args(["show-router", "-p", "-o", "name"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "vrrp1\nvrrp1-6\n");
    let output = Command::new(env!("CARGO_BIN_EXE_rvrrpadm"))
        .args(["-H", &server.url, "show"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn events_are_followed_and_gaps_told() {
    let server = StandIn::start();
    let output = run(&server, "events vrrp1");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "vrrp1 BACK\nvrrp1 BACK -> MAST priority 100: no-response\n"
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("2 events were lost"), "{errors}");
    assert_eq!(output.status.code(), Some(2));
    let output = run(&server, "events --json");
    let lines = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["sequence"], &last["name"]),
        (&5.into(), &"vrrp1-6".into())
    );
}

#[test]
fn import_says_what_it_leaves_out() {
    let server = StandIn::start();
    let file = server.directory().join("keepalived.conf");
    fs::write(
        &file,
        "vrrp_instance A {\n interface eth0\n virtual_router_id 5\n bogus\n \
         virtual_ipaddress {\n  192.0.2.1\n }\n}\n",
    )
    .unwrap();
    let output = run(&server, &format!("import {}", file.display()));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "# Translated from keepalived.conf by rvrrpadm import.\n\n[[vrouter]]\ngroup = 5\n\
         interface = \"eth0\"\nname = \"A\"\nversion = 2\nvip = [\"192.0.2.1/32\"]\n\
         preemption = true\nvirtual_mac = false\n"
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("{}:4: bogus: has no counterpart\n", file.display())
    );
    // What is included and conditional counts, and has its own file and lines.
    let part = server.directory().join("part.conf");
    fs::write(
        &part,
        "interface eth0\nbogus\nvirtual_ipaddress {\n192.0.2.1\n}\n",
    )
    .unwrap();
    fs::write(
        &file,
        "vrrp_instance A {\n include part.conf\n @b virtual_router_id 7\n \
         @^b virtual_router_id 6\n}\n",
    )
    .unwrap();
    for (option, group, notes) in [("", 6, 2), ("-i b ", 7, 1), ("--id c ", 6, 1)] {
        let output = run(&server, &format!("import {option}{}", file.display()));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains(&format!("group = {group}")),
            "{option}: {text}"
        );
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(told.lines().count(), notes, "{told}");
        let bogus = format!("{}:2: bogus: has no counterpart", part.display());
        assert!(told.lines().any(|line| line == bogus), "{told}");
    }
    fs::write(&file, "server {\n listen 80;\n}\n".repeat(50)).unwrap();
    let (code, said) = refused(&server, &format!("import {}", file.display()));
    assert_eq!((code, said.lines().count()), (2, 1), "{said}");
    assert!(said.contains("is no configuration of keepalived"), "{said}");
    fs::write(&file, "vrrp_instance A {\n").unwrap();
    let (code, said) = refused(&server, &format!("import {}", file.display()));
    assert_eq!(code, 2);
    assert!(said.contains(":1: a { is not closed"), "{said}");
}

#[test]
fn doctor_looks_at_this_host() {
    let server = StandIn::start();
    let conf = server.directory().join("rvrrpd.conf");
    fs::write(&conf, "[[vrouter]]\ninterface = \"nosuchthing\"\n").unwrap();
    let output = run(&server, &format!("doctor -c {}", conf.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("bad     nosuchthing: there is no such interface"),
        "{text}"
    );
}
