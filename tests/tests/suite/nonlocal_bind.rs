//! `nonlocal_bind`: an application binds itself to a virtual address on a Backup, and serves after a
//! takeover without a restart.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::family::{FAMILIES, Family};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::in_modes;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{Scene, VRID};
use rvrrpd_tests::snapshot::snapshot;

in_modes! {
    an_application_is_bound_before_the_takeover: macvlan, ether, ebpf;
}

const GLOBAL: &str = "2001:db8::100";

fn vip(family: Family) -> IpAddr {
    match family {
        Family::V4 => family.vip(),
        Family::V6 => GLOBAL.parse().unwrap(),
    }
}

fn vrouter(family: Family, mode: Mode) -> Vrouter {
    let vips = match family {
        Family::V4 => vec!["10.0.0.100"],
        Family::V6 => vec!["fe80::100", GLOBAL],
    };
    Vrouter::new(VRID, &vips).mode(mode)
}

fn path(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4/ip_nonlocal_bind",
        Family::V6 => "ipv6/ip_nonlocal_bind",
    }
}

/// Whether a client gets to the application at this address.
fn serves(client: &Host, listener: &TcpListener, address: SocketAddr) -> bool {
    std::thread::scope(|threads| {
        let asked = threads.spawn(|| {
            client.inside(|| {
                let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
                stream.set_read_timeout(Some(Duration::from_secs(2)))?;
                let mut text = [0; 2];
                stream.read_exact(&mut text)?;
                Ok::<_, std::io::Error>(text == *b"ok")
            })
        });
        while !asked.is_finished() {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    let _gone = stream.write_all(b"ok");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        asked.join().expect("the client").unwrap_or(false)
    })
}

/// contract §2.2 `nonlocal_bind`, FSM-A-5: of each data plane and family; the setting is there while
/// a router wants it, and as before after.
fn an_application_is_bound_before_the_takeover(mode: Mode) {
    for family in FAMILIES {
        let scene = Scene::new("an_application_is_bound_before_the_takeover");
        scene.lab.step(&family.to_string());
        for (host, number) in [(&scene.r1, 1), (&scene.r2, 2), (&scene.client, 0x50)] {
            host.ip(&format!(
                "address add 2001:db8::{number:x}/64 dev eth0 nodad"
            ));
        }
        let before = snapshot(&scene.r2);
        let address = SocketAddr::new(vip(*family), 8080);
        let bind = || scene.r2.inside(|| TcpListener::bind(address));
        assert!(bind().is_err(), "without it nobody can");
        let of = |priority| {
            let vrouter = vrouter(*family, mode).priority(priority).preemption(true);
            config(&[vrouter.key("nonlocal_bind", true)])
        };
        let first = scene.start(&scene.r1, &of(200));
        first.wait_state(family.name(), State::Master, within(10.0));
        let second = scene.start(&scene.r2, &of(100));
        second.wait_state(family.name(), State::Backup, within(10.0));
        let listener = bind().expect("bound as Backup");
        listener.set_nonblocking(true).unwrap();
        first.stop();
        second.wait_state(family.name(), State::Master, within(10.0));
        until("it serves", within(10.0), || {
            serves(&scene.client, &listener, address).then_some(())
        });
        // Nobody wants it any more.
        second.reload(&config(&[vrouter(*family, mode)
            .priority(100)
            .preemption(true)]));
        until("the setting is as before", within(5.0), || {
            (scene.r2.read_sysctl(path(*family)).as_deref() == Some("0")).then_some(())
        });
        assert_eq!(second.state(family.name()), Some(State::Master));
        drop(listener);
        second.stop();
        before.assert_same(&snapshot(&scene.r2), "after the stop");
    }
}

/// After SIGKILL the next start takes the setting back.
#[test]
fn the_setting_is_journaled() {
    let scene = Scene::new("the_setting_is_journaled");
    let of = |bind: bool| {
        let vrouter = vrouter(Family::V4, Mode::Macvlan).key("nonlocal_bind", bind);
        config(&[vrouter])
    };
    let read = || scene.r1.read_sysctl(path(Family::V4));
    let mut daemon = scene.start(&scene.r1, &of(true));
    daemon.wait_state(Family::V4.name(), State::Master, within(10.0));
    assert_eq!(read().as_deref(), Some("1"));
    daemon.sigkill();
    assert_eq!(read().as_deref(), Some("1"));
    let daemon = scene.start(&scene.r1, &of(false));
    daemon.wait_state(Family::V4.name(), State::Master, within(10.0));
    assert_eq!(read().as_deref(), Some("0"));
    daemon.stop();
}
