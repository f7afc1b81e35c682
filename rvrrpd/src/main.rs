//! `rvrrpd`: arguments, configuration, daemon.
fn main() {}
