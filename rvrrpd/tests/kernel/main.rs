//! The eBPF programs in the kernel, in network namespaces.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests"
)]

#[path = "../lab/mod.rs"]
mod lab;

mod absorption;
mod answers;
mod ask;
mod carried;
mod filter;
mod gate;
mod hooks;
mod privileges;
mod race;
mod wire;

use rvrrpd::net::kernel::{Cause, Kernel, Loader};

/// The programs. None in a user namespace, where no kernel loads them; the caller is skipped then,
/// by name.
fn load(test: &str) -> Option<Kernel> {
    match Kernel::load(Loader::begin()) {
        Ok(kernel) => Some(kernel),
        Err(refusal) if refusal.cause == Cause::Forbidden && !is_initial_user_namespace() => {
            println!("skipped: {test} ({refusal})");
            None
        }
        Err(refusal) => panic!("{refusal}"),
    }
}

fn is_initial_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}
