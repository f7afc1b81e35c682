//! The tables of the gate as messages of nf_tables (linux/netfilter/nf_tables.h).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use libc::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};

use super::batch::{Attributes, Batch, Target};
use super::expression::{Base, Comparison, Meta, REGISTER, Rule};
use super::{Element, VIRTUAL_MAC_PREFIX};

/// `NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST`: only we can change the table, and it outlives us.
pub(super) const OWNED_AND_PERSISTENT: u32 = 0x2 | 0x4;

/// Before the flow tables (0 and above) and other chains of the administrator, and like every
/// ingress hook before the receive handler of macvlan.
const INGRESS_PRIORITY: i32 = -450;
/// `NF_IP_PRI_MANGLE`: before the filter chains of the administrator (0), whose counters and logs
/// then do not show packets that nobody takes. An `accept` there could not undo a drop anyway.
/// Conntrack forgets what is dropped here, because it confirms entries after all other chains.
const INPUT_PRIORITY: i32 = -150;
/// In the family arp there is nothing to come before.
const ARP_PRIORITY: i32 = 0;

/// Elements in one message; an attribute holds 64 KiB, an element at most 28 bytes.
const ELEMENTS_A_MESSAGE: usize = 1024;

/// `enum nf_tables_msg_types`.
mod message {
    pub(super) const NEWTABLE: u8 = 0;
    pub(super) const GETTABLE: u8 = 1;
    pub(super) const DELTABLE: u8 = 2;
    pub(super) const NEWCHAIN: u8 = 3;
    pub(super) const DELCHAIN: u8 = 5;
    pub(super) const NEWRULE: u8 = 6;
    pub(super) const NEWSET: u8 = 9;
    pub(super) const DELSET: u8 = 11;
    pub(super) const NEWSETELEM: u8 = 12;
    pub(super) const DELSETELEM: u8 = 14;
}

/// `NFTA_*`. In all messages the first attribute is the name of the table.
mod attribute {
    pub(super) const TABLE: u16 = 1;
    pub(super) const TABLE_FLAGS: u16 = 2;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_POLICY: u16 = 5;
    pub(super) const CHAIN_TYPE: u16 = 7;
    pub(super) const HOOK_HOOKNUM: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;
    pub(super) const HOOK_DEV: u16 = 3;
    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const RULE_EXPRESSIONS: u16 = 4;
    pub(super) const SET_NAME: u16 = 2;
    pub(super) const SET_FLAGS: u16 = 3;
    pub(super) const SET_KEY_TYPE: u16 = 4;
    pub(super) const SET_KEY_LEN: u16 = 5;
    pub(super) const SET_DATA_TYPE: u16 = 6;
    pub(super) const SET_DATA_LEN: u16 = 7;
    pub(super) const SET_ID: u16 = 10;
    pub(super) const SET_USERDATA: u16 = 13;
    pub(super) const LIST_SET: u16 = 2;
    pub(super) const LIST_ELEMENTS: u16 = 3;
    pub(super) const LIST_ELEM: u16 = 1;
    pub(super) const SET_ELEM_KEY: u16 = 1;
    pub(super) const SET_ELEM_DATA: u16 = 2;
    pub(super) const DATA_VALUE: u16 = 1;
}

/// One of our tables: the family is what tells them apart, the name is the same.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Table {
    Netdev,
    Inet,
    Arp,
}

impl Table {
    pub(super) const ALL: [Self; 3] = [Self::Netdev, Self::Inet, Self::Arp];

    /// `NFPROTO_*` of linux/netfilter.h.
    pub(super) const fn family(self) -> u8 {
        match self {
            Self::Netdev => 5,
            Self::Inet => 1,
            Self::Arp => 3,
        }
    }

    /// What a kernel without this family was built without.
    pub(super) const fn kernel_option(self) -> &'static str {
        match self {
            Self::Netdev => "CONFIG_NF_TABLES_NETDEV",
            Self::Inet => "CONFIG_NF_TABLES_INET",
            Self::Arp => "CONFIG_NF_TABLES_ARP",
        }
    }

    fn about(self, object: Object) -> Target {
        Target {
            table: self,
            object,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Netdev => "netdev",
            Self::Inet => "inet",
            Self::Arp => "arp",
        })
    }
}

/// What in a table a message is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Object {
    /// The table itself.
    Whole,
    /// A chain whose hook every kernel with the family has.
    Chain,
    /// The chain of a parent.
    Ingress {
        parent: String,
        index: u32,
    },
    Rule(String),
    Set(Set),
    Elements(Set),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the table"),
            Self::Chain => f.write_str("chain"),
            Self::Ingress { parent, index } => write!(f, "chain {} on {parent}", ingress(*index)),
            Self::Rule(chain) => write!(f, "rule of chain {chain}"),
            Self::Set(set) => write!(f, "set {set}"),
            Self::Elements(set) => write!(f, "elements of set {set}"),
        }
    }
}

/// One of our sets.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Set {
    /// MAC addresses that are closed at a parent.
    Closed(u32),
    Refused4,
    Refused6,
    /// Interface indexes in host order, each with an address.
    RefusedLinkLocal,
    Owned,
    Owned6,
    /// Map from interface indexes in host order to addresses.
    Source6,
    /// Interface indexes in host order.
    Silent,
    /// Interface indexes in host order, each with an address.
    Voice6,
}

impl Set {
    const fn table(self) -> Table {
        match self {
            Self::Closed(_) => Table::Netdev,
            Self::Refused4
            | Self::Refused6
            | Self::RefusedLinkLocal
            | Self::Owned6
            | Self::Source6
            | Self::Silent
            | Self::Voice6 => Table::Inet,
            Self::Owned => Table::Arp,
        }
    }

    /// By which the nft program knows what to show: `TYPE_*` of libnftables.
    const fn key_type(self) -> u32 {
        match self {
            Self::Closed(_) => 9,
            Self::Refused4 => 7,
            Self::Refused6 => 8,
            Self::Owned => 20 << 6 | 7,
            Self::Owned6 | Self::RefusedLinkLocal | Self::Voice6 => 20 << 6 | 8,
            Self::Silent | Self::Source6 => 20,
        }
    }

    /// In bytes.
    const fn key_length(self) -> u32 {
        match self {
            Self::Closed(_) => 6,
            Self::Refused4 | Self::Silent | Self::Source6 => 4,
            Self::Refused6 => 16,
            Self::Owned => 8,
            Self::Owned6 | Self::RefusedLinkLocal | Self::Voice6 => 20,
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(index) => write!(f, "closed_{index}"),
            Self::Refused4 => f.write_str("refused4"),
            Self::Refused6 => f.write_str("refused6"),
            Self::RefusedLinkLocal => f.write_str("refused_link_local"),
            Self::Owned => f.write_str("owned"),
            Self::Owned6 => f.write_str("owned6"),
            Self::Source6 => f.write_str("source6"),
            Self::Silent => f.write_str("silent"),
            Self::Voice6 => f.write_str("voice6"),
        }
    }
}

impl Element {
    /// The set that it is in.
    const fn set(self) -> Set {
        match self {
            Self::Closed(index, _) => Set::Closed(index),
            Self::Refused(IpAddr::V4(_)) => Set::Refused4,
            Self::Refused(IpAddr::V6(_)) => Set::Refused6,
            Self::RefusedLinkLocal(..) => Set::RefusedLinkLocal,
            Self::Owned(_, IpAddr::V4(_)) => Set::Owned,
            Self::Owned(_, IpAddr::V6(_)) => Set::Owned6,
            Self::Source(..) => Set::Source6,
            Self::Silent(_) => Set::Silent,
            Self::Voice(..) => Set::Voice6,
        }
    }

    /// The table whose set it is in.
    pub(super) const fn table(self) -> Table {
        self.set().table()
    }

    fn write_key(self, to: &mut Attributes<'_>) {
        match self {
            Self::Closed(_, mac) => to.bytes(attribute::DATA_VALUE, &mac.0),
            Self::Refused(IpAddr::V4(address)) => {
                to.bytes(attribute::DATA_VALUE, &address.octets());
            }
            Self::Refused(IpAddr::V6(address)) => {
                to.bytes(attribute::DATA_VALUE, &address.octets());
            }
            Self::Silent(index) | Self::Source(index, _) => {
                to.bytes(attribute::DATA_VALUE, &index.to_ne_bytes());
            }
            Self::Owned(index, IpAddr::V4(address)) => {
                let key = [index.to_ne_bytes(), address.octets()];
                to.bytes(attribute::DATA_VALUE, &key.concat());
            }
            Self::Owned(index, IpAddr::V6(address))
            | Self::RefusedLinkLocal(index, address)
            | Self::Voice(index, address) => {
                let key = [&index.to_ne_bytes()[..], &address.octets()];
                to.bytes(attribute::DATA_VALUE, &key.concat());
            }
        }
    }

    /// What the map has for it, where its set is a map.
    const fn data(self) -> Option<Ipv6Addr> {
        match self {
            Self::Source(_, address) => Some(address),
            _ => None,
        }
    }
}

/// The chains of the tables that have them for all interfaces.
const INPUT: &str = "input";
const OUTPUT: &str = "output";

/// The chain of a parent.
fn ingress(index: u32) -> String {
    format!("ingress_{index}")
}

pub(super) fn add_table(batch: &mut Batch, table: Table, name: &str, flags: u32) {
    batch.message(
        message::NEWTABLE,
        NLM_F_CREATE,
        table.about(Object::Whole),
        |to| {
            to.string(attribute::TABLE, name);
            to.number(attribute::TABLE_FLAGS, flags);
        },
    );
}

/// Whether it is there. Not for a transaction.
pub(super) fn ask_for_table(batch: &mut Batch, table: Table, name: &str) {
    let about = table.about(Object::Whole);
    batch.message(message::GETTABLE, libc::NLM_F_ACK, about, |to| {
        to.string(attribute::TABLE, name);
    });
}

/// With everything in it.
pub(super) fn delete_table(batch: &mut Batch, table: Table, name: &str) {
    batch.message(message::DELTABLE, 0, table.about(Object::Whole), |to| {
        to.string(attribute::TABLE, name);
    });
}

/// A chain on the loopback interface, made and deleted.
pub(super) fn probe(batch: &mut Batch, name: &str) {
    let chain = "probe";
    let hook = Hook {
        number: 0,
        priority: INGRESS_PRIORITY,
        device: Some("lo"),
    };
    add_chain(
        batch,
        Table::Netdev.about(Object::Chain),
        name,
        chain,
        &hook,
    );
    delete(
        batch,
        message::DELCHAIN,
        Object::Chain,
        name,
        attribute::CHAIN_NAME,
        chain,
    );
}

/// Sets, chain and rules of a table that has one chain for all interfaces; in netdev each parent
/// has its own.
pub(super) fn add_hooks(batch: &mut Batch, table: Table, name: &str) {
    match table {
        Table::Netdev => {}
        Table::Inet => {
            add_input(batch, name);
            add_output(batch, name);
        }
        Table::Arp => add_arp(batch, name),
    }
}

/// ```text
/// set closed_7 { type ether_addr; }
/// chain ingress_7 { type filter hook ingress device "eth0" priority -450; policy accept;
///     @ll,0,32 != 0x5e00 accept                     # no virtual MAC: most frames leave here
///     ether type 8021q vlan id != 0 accept          # those of a VLAN interface, which may have a
///     ether type 8021ad vlan id != 0 accept         # router of the same VRID, are not ours
///     ether daddr @closed_7 counter drop
/// }
/// ```
pub(super) fn add_parent(batch: &mut Batch, name: &str, index: u32, parent: &str, hooked: bool) {
    let table = Table::Netdev;
    let (chain, set) = (ingress(index), Set::Closed(index));
    add_set(batch, name, set);
    if !hooked {
        return;
    }
    let object = Object::Ingress {
        parent: parent.to_owned(),
        index,
    };
    let hook = Hook {
        number: 0,
        priority: INGRESS_PRIORITY,
        device: Some(parent),
    };
    add_chain(batch, table.about(object), name, &chain, &hook);
    add_rule(batch, table, name, &chain, |rule| {
        rule.payload(Base::Link, 0, 4);
        rule.compare(Comparison::NotEqual, &VIRTUAL_MAC_PREFIX);
        rule.verdict(libc::NF_ACCEPT);
    });
    for tag in [libc::ETH_P_8021Q, libc::ETH_P_8021AD] {
        add_rule(batch, table, name, &chain, |rule| {
            rule.payload(Base::Link, 12, 2);
            rule.compare(
                Comparison::Equal,
                &u16::try_from(tag).unwrap_or_default().to_be_bytes(),
            );
            rule.payload(Base::Link, 14, 2);
            rule.mask(&[0x0f, 0xff]);
            rule.compare(Comparison::NotEqual, &[0, 0]);
            rule.verdict(libc::NF_ACCEPT);
        });
    }
    add_rule(batch, table, name, &chain, |rule| {
        rule.payload(Base::Link, 0, 6);
        rule.lookup(set);
        rule.counter();
        rule.verdict(libc::NF_DROP);
    });
}

pub(super) fn delete_parent(batch: &mut Batch, name: &str, index: u32, parent: &str) {
    let (chain, set) = (ingress(index), Set::Closed(index));
    let hooked = Object::Ingress {
        parent: parent.to_owned(),
        index,
    };
    delete(
        batch,
        message::DELCHAIN,
        hooked,
        name,
        attribute::CHAIN_NAME,
        &chain,
    );
    delete(
        batch,
        message::DELSET,
        Object::Set(set),
        name,
        attribute::SET_NAME,
        &set.to_string(),
    );
}

/// ```text
/// set refused4 { type ipv4_addr; }
/// set refused6 { type ipv6_addr; }
/// set refused_link_local { type iface_index . ipv6_addr; }
/// set owned6 { type iface_index . ipv6_addr; }
/// chain input { type filter hook input priority -150; policy accept;
///     iif lo accept                                              # what this host sends itself
///     meta nfproto ipv4 ip daddr @refused4 counter drop
///     icmpv6 type nd-neighbor-solicit iif . icmpv6 target @owned6 counter drop
///     icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
///     meta nfproto ipv6 ip6 daddr @refused6 counter drop
///     meta nfproto ipv6 iif . ip6 daddr @refused_link_local counter drop
/// }
/// ```
fn add_input(batch: &mut Batch, name: &str) {
    const NFPROTO_IPV4: u8 = 2;
    const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// Index of the loopback interface in every namespace.
    const LOOPBACK: u32 = 1;
    let table = Table::Inet;
    add_set(batch, name, Set::Refused4);
    add_set(batch, name, Set::Refused6);
    add_set(batch, name, Set::RefusedLinkLocal);
    add_set(batch, name, Set::Owned6);
    // NF_INET_LOCAL_IN
    let hook = Hook {
        number: 1,
        priority: INPUT_PRIORITY,
        device: None,
    };
    add_chain(batch, table.about(Object::Chain), name, INPUT, &hook);
    add_rule(batch, table, name, INPUT, |rule| {
        rule.meta(Meta::InputInterface, REGISTER);
        rule.compare(Comparison::Equal, &LOOPBACK.to_ne_bytes());
        rule.verdict(libc::NF_ACCEPT);
    });
    add_rule(batch, table, name, INPUT, |rule| {
        rule.meta(Meta::Family, REGISTER);
        rule.compare(Comparison::Equal, &[NFPROTO_IPV4]);
        rule.payload(Base::Network, 16, 4);
        rule.lookup(Set::Refused4);
        rule.counter();
        rule.verdict(libc::NF_DROP);
    });
    add_rule(batch, table, name, INPUT, |rule| {
        is_icmpv6(rule, NEIGHBOUR_SOLICITATION);
        rule.meta(Meta::InputInterface, REGISTER);
        rule.payload_into(Base::Transport, 8, 16, REGISTER + 1);
        rule.lookup(Set::Owned6);
        rule.counter();
        rule.verdict(libc::NF_DROP);
    });
    add_rule(batch, table, name, INPUT, |rule| {
        rule.meta(Meta::Family, REGISTER);
        rule.compare(Comparison::Equal, &[NFPROTO_IPV6]);
        rule.meta(Meta::Protocol, REGISTER);
        rule.compare(Comparison::Equal, &[ICMPV6]);
        rule.payload(Base::Transport, 0, 1);
        rule.compare(Comparison::AtLeast, &[NEIGHBOUR_SOLICITATION]);
        rule.compare(Comparison::AtMost, &[NEIGHBOUR_ADVERTISEMENT]);
        rule.verdict(libc::NF_ACCEPT);
    });
    add_rule(batch, table, name, INPUT, |rule| {
        rule.meta(Meta::Family, REGISTER);
        rule.compare(Comparison::Equal, &[NFPROTO_IPV6]);
        rule.payload(Base::Network, 24, 16);
        rule.lookup(Set::Refused6);
        rule.counter();
        rule.verdict(libc::NF_DROP);
    });
    add_rule(batch, table, name, INPUT, |rule| {
        rule.meta(Meta::Family, REGISTER);
        rule.compare(Comparison::Equal, &[NFPROTO_IPV6]);
        rule.meta(Meta::InputInterface, REGISTER);
        rule.payload_into(Base::Network, 24, 16, REGISTER + 1);
        rule.lookup(Set::RefusedLinkLocal);
        rule.counter();
        rule.verdict(libc::NF_DROP);
    });
}

const NFPROTO_IPV6: u8 = 10;
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
/// Multicast Listener Report of MLDv1 (RFC 2710 §3).
const LISTENER_REPORT: u8 = 131;

fn is_icmpv6(rule: &mut Rule<'_, '_>, kind: u8) {
    rule.meta(Meta::Family, REGISTER);
    rule.compare(Comparison::Equal, &[NFPROTO_IPV6]);
    rule.meta(Meta::Protocol, REGISTER);
    rule.compare(Comparison::Equal, &[ICMPV6]);
    rule.payload(Base::Transport, 0, 1);
    rule.compare(Comparison::Equal, &[kind]);
}

/// ```text
/// set silent { type iface_index; }
/// set voice6 { type iface_index . ipv6_addr; }
/// map source6 { type iface_index : ipv6_addr; }
/// chain output { type filter hook output priority -150; policy accept;
///     meta nfproto ipv6 oif . ip6 saddr @voice6 accept
///     icmpv6 type mld-listener-report oif . icmpv6 taddr @voice6 accept   # which has no source yet
///     oif @silent counter drop
///     icmpv6 type nd-neighbor-solicit oif . ip6 saddr @owned6 ip6 saddr set oif map @source6
/// }
/// ```
fn add_output(batch: &mut Batch, name: &str) {
    let table = Table::Inet;
    add_set(batch, name, Set::Silent);
    add_set(batch, name, Set::Voice6);
    add_set(batch, name, Set::Source6);
    // NF_INET_LOCAL_OUT
    let hook = Hook {
        number: 3,
        priority: INPUT_PRIORITY,
        device: None,
    };
    add_chain(batch, table.about(Object::Chain), name, OUTPUT, &hook);
    add_rule(batch, table, name, OUTPUT, |rule| {
        rule.meta(Meta::Family, REGISTER);
        rule.compare(Comparison::Equal, &[NFPROTO_IPV6]);
        rule.meta(Meta::OutputInterface, REGISTER);
        rule.payload_into(Base::Network, 8, 16, REGISTER + 1);
        rule.lookup(Set::Voice6);
        rule.verdict(libc::NF_ACCEPT);
    });
    add_rule(batch, table, name, OUTPUT, |rule| {
        is_icmpv6(rule, LISTENER_REPORT);
        rule.meta(Meta::OutputInterface, REGISTER);
        rule.payload_into(Base::Transport, 8, 16, REGISTER + 1);
        rule.lookup(Set::Voice6);
        rule.verdict(libc::NF_ACCEPT);
    });
    add_rule(batch, table, name, OUTPUT, |rule| {
        rule.meta(Meta::OutputInterface, REGISTER);
        rule.lookup(Set::Silent);
        rule.counter();
        rule.verdict(libc::NF_DROP);
    });
    add_rule(batch, table, name, OUTPUT, |rule| {
        is_icmpv6(rule, NEIGHBOUR_SOLICITATION);
        rule.meta(Meta::OutputInterface, REGISTER);
        rule.payload_into(Base::Network, 8, 16, REGISTER + 1);
        rule.lookup(Set::Owned6);
        // Behind the 16 bytes that the map gives.
        let key = REGISTER + 4;
        rule.meta(Meta::OutputInterface, key);
        rule.map(Set::Source6, key);
        rule.write(Base::Network, 8, 16, true);
        rule.counter();
    });
}

/// ```text
/// set owned { type iface_index . ipv4_addr; }
/// chain input { type filter hook input priority 0; policy accept;
///     arp operation request iif . arp daddr ip @owned counter drop
/// }
/// chain output { type filter hook output priority 0; policy accept;
///     arp operation request oif . arp saddr ip @owned arp saddr ip set 0.0.0.0 counter
/// }
/// ```
fn add_arp(batch: &mut Batch, name: &str) {
    const REQUEST: u16 = 1;
    let table = Table::Arp;
    add_set(batch, name, Set::Owned);
    // NF_ARP_IN
    let hook = Hook {
        number: 0,
        priority: ARP_PRIORITY,
        device: None,
    };
    add_chain(batch, table.about(Object::Chain), name, INPUT, &hook);
    add_rule(batch, table, name, INPUT, |rule| {
        rule.payload(Base::Network, 6, 2);
        rule.compare(Comparison::Equal, &REQUEST.to_be_bytes());
        rule.meta(Meta::InputInterface, REGISTER);
        rule.payload_into(Base::Network, 24, 4, REGISTER + 1);
        rule.lookup(Set::Owned);
        rule.counter();
        rule.verdict(libc::NF_DROP);
    });
    // NF_ARP_OUT
    let hook = Hook {
        number: 1,
        priority: ARP_PRIORITY,
        device: None,
    };
    add_chain(batch, table.about(Object::Chain), name, OUTPUT, &hook);
    add_rule(batch, table, name, OUTPUT, |rule| {
        rule.payload(Base::Network, 6, 2);
        rule.compare(Comparison::Equal, &REQUEST.to_be_bytes());
        rule.meta(Meta::OutputInterface, REGISTER);
        rule.payload_into(Base::Network, 14, 4, REGISTER + 1);
        rule.lookup(Set::Owned);
        rule.value(&[0; 4]);
        rule.write(Base::Network, 14, 4, false);
        rule.counter();
    });
}

/// Adds the elements that are true and deletes those that are false, a few messages for each set.
pub(super) fn change_elements(batch: &mut Batch, name: &str, changes: &BTreeMap<Element, bool>) {
    let mut groups: BTreeMap<(Set, bool), Vec<Element>> = BTreeMap::new();
    for (element, present) in changes {
        groups
            .entry((element.set(), *present))
            .or_default()
            .push(*element);
    }
    for ((set, present), elements) in groups {
        let (kind, flags) = if present {
            (message::NEWSETELEM, NLM_F_CREATE)
        } else {
            (message::DELSETELEM, 0)
        };
        for elements in elements.chunks(ELEMENTS_A_MESSAGE) {
            let target = set.table().about(Object::Elements(set));
            batch.message(kind, flags, target, |to| {
                to.string(attribute::TABLE, name);
                to.string(attribute::LIST_SET, &set.to_string());
                to.nested(attribute::LIST_ELEMENTS, |to| {
                    for element in elements {
                        to.nested(attribute::LIST_ELEM, |to| {
                            to.nested(attribute::SET_ELEM_KEY, |to| element.write_key(to));
                            if let Some(data) = element.data().filter(|_| present) {
                                to.nested(attribute::SET_ELEM_DATA, |to| {
                                    to.bytes(attribute::DATA_VALUE, &data.octets());
                                });
                            }
                        });
                    }
                });
            });
        }
    }
}

fn add_set(batch: &mut Batch, name: &str, set: Set) {
    /// `NFT_SET_MAP`.
    const MAP: u32 = 0x8;
    /// `enum byteorder` of nftables.
    const HOST: u32 = 1;
    const BIG_ENDIAN: u32 = 2;
    let target = set.table().about(Object::Set(set));
    batch.message(message::NEWSET, NLM_F_CREATE | NLM_F_EXCL, target, |to| {
        to.string(attribute::TABLE, name);
        to.string(attribute::SET_NAME, &set.to_string());
        to.number(
            attribute::SET_FLAGS,
            if set == Set::Source6 { MAP } else { 0 },
        );
        to.number(attribute::SET_KEY_TYPE, set.key_type());
        to.number(attribute::SET_KEY_LEN, set.key_length());
        if set == Set::Source6 {
            to.number(attribute::SET_DATA_TYPE, Set::Refused6.key_type());
            to.number(attribute::SET_DATA_LEN, Set::Refused6.key_length());
        }
        // Rules refer to sets by name, but the kernel insists.
        to.number(attribute::SET_ID, 1);
        // Of the key and the data, for the nft program alone. Of keys of several parts it knows by
        // their types.
        let orders: &[u32] = match set {
            Set::Owned | Set::Owned6 | Set::RefusedLinkLocal | Set::Voice6 => &[],
            Set::Silent => &[HOST],
            Set::Source6 => &[HOST, BIG_ENDIAN],
            _ => &[BIG_ENDIAN],
        };
        // `NFTNL_UDATA_SET_KEYBYTEORDER` and `NFTNL_UDATA_SET_DATABYTEORDER` of libnftnl, each with its
        // length.
        let userdata: Vec<u8> = (0_u8..)
            .zip(orders)
            .flat_map(|(kind, order)| [kind, 4].into_iter().chain(order.to_ne_bytes()))
            .collect();
        if !userdata.is_empty() {
            to.bytes(attribute::SET_USERDATA, &userdata);
        }
    });
}

/// Where a base chain is called.
struct Hook<'a> {
    number: u32,
    priority: i32,
    device: Option<&'a str>,
}

fn add_chain(batch: &mut Batch, target: Target, name: &str, chain: &str, hook: &Hook<'_>) {
    let policy = u32::try_from(libc::NF_ACCEPT).unwrap_or_default();
    batch.message(message::NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, target, |to| {
        to.string(attribute::TABLE, name);
        to.string(attribute::CHAIN_NAME, chain);
        to.nested(attribute::CHAIN_HOOK, |to| {
            to.number(attribute::HOOK_HOOKNUM, hook.number);
            to.bytes(attribute::HOOK_PRIORITY, &hook.priority.to_be_bytes());
            if let Some(device) = hook.device {
                to.string(attribute::HOOK_DEV, device);
            }
        });
        to.number(attribute::CHAIN_POLICY, policy);
        to.string(attribute::CHAIN_TYPE, "filter");
    });
}

/// Deletes a chain with its rules, or a set, of the table netdev.
fn delete(batch: &mut Batch, kind: u8, object: Object, name: &str, attribute: u16, what: &str) {
    batch.message(kind, 0, Table::Netdev.about(object), |to| {
        to.string(attribute::TABLE, name);
        to.string(attribute, what);
    });
}

fn add_rule(
    batch: &mut Batch,
    table: Table,
    name: &str,
    chain: &str,
    body: impl FnOnce(&mut Rule<'_, '_>),
) {
    let target = table.about(Object::Rule(chain.to_owned()));
    batch.message(
        message::NEWRULE,
        NLM_F_CREATE | NLM_F_APPEND,
        target,
        |to| {
            to.string(attribute::TABLE, name);
            to.string(attribute::RULE_CHAIN, chain);
            to.nested(attribute::RULE_EXPRESSIONS, |to| body(&mut Rule::new(to)));
        },
    );
}
