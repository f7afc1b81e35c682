//! The ioctl driver, judged by the ip program.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod lab;

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use lab::inside;
use rvrrpd::config::model::Route;
use rvrrpd::driver::ioctl::Ioctl;
use rvrrpd::wire::Mac;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn route(destination: &str, prefix: u8, next_hop: &str) -> Route {
    Route {
        destination: destination.parse().unwrap(),
        prefix,
        next_hop: next_hop.parse().unwrap(),
        metric: 0,
        mtu: 0,
        table: 254,
    }
}

/// rVRRPd 0.1.3 replaced the address of the interface.
#[test]
fn an_alias_leaves_the_own_address_alone() {
    inside("an_alias_leaves_the_own_address_alone", |lab| {
        let ioctl = Ioctl::new().unwrap();
        let before = lab.router("ip -4 -o addr show dev lan; ip route");
        ioctl.add_alias("lan", "lan:v1", VIP, 24).unwrap();
        ioctl
            .add_alias("lan", "lan:v2", Ipv4Addr::new(10, 9, 8, 7), 32)
            .unwrap();
        let now = lab.router("ip -4 addr show dev lan; ip route");
        assert!(
            now.contains("inet 192.0.2.2/24 scope global lan\n"),
            "{now}"
        );
        assert!(
            now.contains("inet 192.0.2.1/24 brd 192.0.2.255 scope global secondary lan:v1\n"),
            "{now}"
        );
        assert!(
            now.contains("inet 10.9.8.7/32 scope global lan:v2\n"),
            "{now}"
        );
        assert!(!now.contains("10.0.0.0"), "{now}");
        assert!(
            !lab.router("ip route show table local")
                .contains("10.255.255.255")
        );
        lab.await_answer("192.0.2.1");

        // Once more is no error, another address is.
        ioctl.add_alias("lan", "lan:v1", VIP, 24).unwrap();
        let error = ioctl
            .add_alias("lan", "lan:v1", Ipv4Addr::new(192, 0, 2, 9), 24)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(lab.router("ip -4 addr show dev lan; ip route"), now);

        for _ in 0..2 {
            ioctl.remove_alias("lan:v1").unwrap();
            ioctl.remove_alias("lan:v2").unwrap();
        }
        ioctl.remove_alias("nowhere:v1").unwrap();
        assert_eq!(lab.router("ip -4 -o addr show dev lan; ip route"), before);
        assert!(lab.router("ip -o link show dev lan").contains("state UP"));
    });
}

/// Without a colon the ioctls would change the interface itself: its address, or take it down.
#[test]
fn labels_that_are_none_change_nothing() {
    inside("labels_that_are_none_change_nothing", |lab| {
        let ioctl = Ioctl::new().unwrap();
        let before = lab.router("ip -4 -o addr; ip -o link show dev lan");
        for label in [
            "",
            "lan",
            "lan:",
            ":v1",
            "wan:v1",
            "lan:v1\0",
            "lan:v123456789012",
        ] {
            let error = ioctl.add_alias("lan", label, VIP, 24).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{label}: {error}");
        }
        for label in ["", "lan", "lan:", "lan:v123456789012"] {
            let error = ioctl.remove_alias(label).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{label}: {error}");
        }
        assert!(ioctl.add_alias("lan", "lan:v1", VIP, 33).is_err());
        assert!(
            ioctl
                .add_alias("lan", "lan:v1", Ipv4Addr::UNSPECIFIED, 24)
                .is_err()
        );
        assert!(
            ioctl
                .add_alias("lan", "lan:v1", Ipv4Addr::new(224, 0, 0, 18), 24)
                .is_err()
        );
        assert!(ioctl.add_alias("nowhere", "nowhere:v1", VIP, 24).is_err());
        assert_eq!(lab.router("ip -4 -o addr; ip -o link show dev lan"), before);
    });
}

#[test]
fn the_ethernet_address_is_set() {
    inside("the_ethernet_address_is_set", |lab| {
        let ioctl = Ioctl::new().unwrap();
        let mac = Mac([0, 0, 0x5e, 0, 1, 0xfe]);
        ioctl.set_mac("lan", mac).unwrap();
        assert!(
            lab.router("ip -o link show dev lan")
                .contains(&mac.to_string())
        );
        lab.host("ip neigh flush all");
        lab.await_answer("192.0.2.2");
        let error = ioctl.set_mac("nowhere", mac).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
        for name in ["", "a-name-of-16-byt", "lan:v1"] {
            assert_eq!(
                ioctl.set_mac(name, mac).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
        }
    });
}

#[test]
fn routes_come_and_go_with_their_metric() {
    inside("routes_come_and_go_with_their_metric", |lab| {
        let ioctl = Ioctl::new().unwrap();
        let before = lab.router("ip route");
        let network = route("203.0.113.0", 24, "192.0.2.10");
        let host = Route {
            metric: 50,
            ..route("203.0.114.7", 32, "192.0.2.10")
        };
        let default = Route {
            metric: 32_766,
            ..route("0.0.0.0", 0, "198.51.100.10")
        };
        for route in [&network, &host, &default] {
            ioctl.add_route(route).unwrap();
            assert_eq!(
                ioctl.add_route(route).unwrap_err().kind(),
                ErrorKind::AlreadyExists
            );
        }
        let now = lab.router("ip route");
        assert!(
            now.contains("203.0.113.0/24 via 192.0.2.10 dev lan \n"),
            "{now}"
        );
        assert!(
            now.contains("203.0.114.7 via 192.0.2.10 dev lan metric 50"),
            "{now}"
        );
        assert!(
            now.contains("default via 198.51.100.10 dev wan metric 32766"),
            "{now}"
        );
        for route in [&network, &host, &default, &host] {
            ioctl.remove_route(route).unwrap();
        }
        assert_eq!(lab.router("ip route"), before);
        assert!(
            ioctl
                .add_route(&route("203.0.113.0", 24, "203.0.115.1"))
                .is_err()
        );
    });
}

#[test]
fn routes_that_an_ioctl_cannot_make_are_refused() {
    let refused = |route: Route, why: &str| {
        let error = Ioctl::check_route(&route).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(why), "{error}");
    };
    let good = route("203.0.113.0", 24, "192.0.2.10");
    Ioctl::check_route(&good).unwrap();
    refused(route("2001:db8::", 32, "2001:db8:1::10"), "IPv6");
    refused(
        Route {
            table: 1000,
            ..good.clone()
        },
        "table 1000",
    );
    refused(
        Route {
            metric: 32_767,
            ..good.clone()
        },
        "metric 32767",
    );
    refused(
        Route {
            metric: u32::MAX,
            ..good.clone()
        },
        "metric 4294967295",
    );
    refused(Route { mtu: 1400, ..good }, "MTU");
}
