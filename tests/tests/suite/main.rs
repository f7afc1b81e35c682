//! The black-box tests of rVRRPd. One program, so that they run beside each other.
//!
//! The daemon is `target/debug/rvrrpd` or what `RVRRPD_BIN` names. Every test makes its own
//! network namespaces; a failing one shows the last frames and log lines.

mod absorb;
mod api;
mod arp;
mod auth;
mod badinput;
mod cleanup;
mod ebpf_plane;
mod election;
mod ether;
mod failover;
mod flood;
mod frames;
mod frr_interop;
mod gate;
mod gate_ebpf;
mod hosts;
mod ipv6;
mod keepalived_interop;
mod keepalived_interop_forms;
mod librvrrp;
mod life;
mod mixed;
mod modes;
mod netns;
mod nonlocal_bind;
mod ra;
mod reload;
mod routes;
mod rules_announcements;
mod rules_forwarding;
mod rules_models;
mod rules_receive;
mod rules_transmit;
mod rvrrpadm;
mod samples;
mod scale;
mod unicast;
mod unicast_interop;
