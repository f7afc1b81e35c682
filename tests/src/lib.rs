//! The laboratory: network namespaces, captures, injected frames and the daemons under test.
//!
//! Nothing here uses code of rVRRPd: what it sends is decoded by [`frame`], which was written from
//! the RFCs alone, and what it does to the kernel is read with `ip`, `nft` and /proc.
//!
//! ```text
//!   r1 ── eth0 ┐                 ┌ eth0 ── client
//!   r2 ── eth0 ┴ bridge of a LAN ┘          every host and the bridges have a namespace each
//! ```
//!
//! * [`lab`] makes and removes the namespaces and holds the watchdog; [`host`] is one of them.
//! * [`capture`] keeps every frame with the kernel's time stamp; [`inject`] sends whole frames.
//! * [`rvrrpd`] and [`keepalived`], [`frr`] are the daemons; [`process`] is what they have in common.
//! * [`bpf`] is what eBPF programs there are, and kernels that lack some of bpf(2).
//! * [`flood`] sends as fast as the machine can.
//! * [`snapshot`] is the state of a host's kernel as comparable text.
//! * [`probe`] asks as a client would: ping, ARP.
//! * [`scene`] is the network that most tests use; [`random`] makes repeatable cases.
//! * [`family`] is what the tests of both address families share.
//! * [`rules`] finds the tests of each rule of the protocol.
//! * [`web`] is a client of the Client API.
//! * [`python`] is what comes from PyPI.
//! * [`load`] is many clients of it at once.
//! * [`standstill`] is how long the machine was taken away.
//! * [`deadline`] is how everything waits: for a predicate, never for a time.

pub mod bpf;
pub mod capture;
pub mod deadline;
pub mod family;
pub mod flood;
pub mod frame;
pub mod frr;
pub mod host;
pub mod inject;
pub mod keepalived;
pub mod lab;
pub mod load;
pub mod mode;
pub mod probe;
pub mod process;
pub mod python;
pub mod random;
pub mod rules;
pub mod rvrrpd;
pub mod scene;
pub mod snapshot;
pub mod standstill;
pub mod sys;
pub mod web;
