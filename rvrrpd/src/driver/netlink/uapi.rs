//! Numbers of linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h and linux/ip.h.

pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;

pub(super) const NLM_F_REQUEST: u16 = 0x001;
pub(super) const NLM_F_ACK: u16 = 0x004;
/// The dump was disturbed by a change and may be inconsistent.
pub(super) const NLM_F_DUMP_INTR: u16 = 0x010;
/// An acknowledgement without the payload of the request.
pub(super) const NLM_F_CAPPED: u16 = 0x100;
/// An acknowledgement with attributes.
pub(super) const NLM_F_ACK_TLVS: u16 = 0x200;
pub(super) const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const NLM_F_CREATE: u16 = 0x400;

/// Bits of an attribute's type that are its number; the others are flags.
pub(super) const NLA_TYPE_MASK: u16 = 0x3fff;
pub(super) const NLMSGERR_ATTR_MSG: u16 = 1;

pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_GETLINK: u16 = 18;
pub(super) const RTM_SETLINK: u16 = 19;
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
pub(super) const RTM_GETADDR: u16 = 22;
pub(super) const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_DELROUTE: u16 = 25;
pub(super) const RTM_GETROUTE: u16 = 26;
pub(super) const RTM_NEWNEIGH: u16 = 28;

pub(super) const RTNLGRP_LINK: u32 = 1;
pub(super) const RTNLGRP_IPV4_IFADDR: u32 = 5;
pub(super) const RTNLGRP_IPV4_ROUTE: u32 = 7;
pub(super) const RTNLGRP_IPV6_IFADDR: u32 = 9;
pub(super) const RTNLGRP_IPV6_ROUTE: u32 = 11;

pub(super) const AF_UNSPEC: u8 = 0;
pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

pub(super) const IFF_UP: u32 = 0x1;
pub(super) const IFF_LOWER_UP: u32 = 0x1_0000;
/// `IF_OPER_NOTPRESENT`, `IF_OPER_DOWN` and `IF_OPER_LOWERLAYERDOWN`.
pub(super) const OPERATIONAL_STATES_DOWN: [u8; 3] = [1, 2, 3];

pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_LINK: u16 = 5;
pub(super) const IFLA_OPERSTATE: u16 = 16;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_AF_SPEC: u16 = 26;
pub(super) const IFLA_GROUP: u16 = 27;
pub(super) const IFLA_EXT_MASK: u16 = 29;
pub(super) const IFLA_LINK_NETNSID: u16 = 37;
/// `RTEXT_FILTER_SKIP_STATS`: a dump without counters is a third of the size.
pub(super) const SKIP_STATS: u32 = 8;
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
pub(super) const IFLA_INFO_SLAVE_KIND: u16 = 4;
pub(super) const IFLA_MACVLAN_MODE: u16 = 1;
pub(super) const IFLA_MACVLAN_BC_QUEUE_LEN: u16 = 7;
pub(super) const MACVLAN_MODE_BRIDGE: u32 = 4;
pub(super) const IFLA_INET_CONF: u16 = 1;
pub(super) const IPV4_DEVCONF_SEND_REDIRECTS: u16 = 6;
pub(super) const IPV4_DEVCONF_FORWARDING: u16 = 1;
pub(super) const IPV4_DEVCONF_PROMOTE_SECONDARIES: u16 = 20;
pub(super) const IPV4_DEVCONF_RP_FILTER: u16 = 8;
pub(super) const IPV4_DEVCONF_ARP_ANNOUNCE: u16 = 18;
pub(super) const IPV4_DEVCONF_ARP_IGNORE: u16 = 19;
pub(super) const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
pub(super) const IN6_ADDR_GEN_MODE_NONE: u8 = 1;

pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
pub(super) const IFA_LABEL: u16 = 3;
pub(super) const IFA_CACHEINFO: u16 = 6;
pub(super) const IFA_FLAGS: u16 = 8;
pub(super) const IFA_PROTO: u16 = 11;
pub(super) const IFA_F_SECONDARY: u32 = 0x01;
pub(super) const IFA_F_NODAD: u32 = 0x02;
pub(super) const IFA_F_DADFAILED: u32 = 0x08;
pub(super) const IFA_F_TENTATIVE: u32 = 0x40;
pub(super) const IFA_F_NOPREFIXROUTE: u32 = 0x200;

/// `IFA_PROTO` of a link-local address that the kernel made.
pub(super) const IFAPROT_KERNEL_LL: u8 = 3;

pub(super) const NDA_DST: u16 = 1;
pub(super) const NTF_USE: u8 = 1;

pub(super) const RTA_DST: u16 = 1;
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
pub(super) const RTA_PRIORITY: u16 = 6;
pub(super) const RTA_METRICS: u16 = 8;
pub(super) const RTA_TABLE: u16 = 15;
pub(super) const RTAX_MTU: u16 = 2;
/// Asks for the entry of the table that serves a destination.
pub(super) const RTM_F_FIB_MATCH: u32 = 0x2000;
pub(super) const RTN_UNICAST: u8 = 1;
pub(super) const RTN_LOCAL: u8 = 2;
pub(super) const RT_SCOPE_UNIVERSE: u8 = 0;
pub(super) const RT_SCOPE_NOWHERE: u8 = 255;
pub(super) const RT_TABLE_UNSPEC: u8 = 0;
/// `IP6_RT_PRIO_USER`: what the kernel makes of an IPv6 route without a metric.
pub(super) const IPV6_DEFAULT_METRIC: u32 = 1024;
