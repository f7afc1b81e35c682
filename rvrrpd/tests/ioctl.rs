//! The ioctl driver, judged by the ip program.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod lab;

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use lab::inside;
use rvrrpd::driver::ioctl::Ioctl;
use rvrrpd::wire::Mac;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

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
