//! The committed header is what cbindgen makes of the source. `UPDATE=1` writes it.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::{env, fs};

use cbindgen::{Builder, Config};

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut builder = Builder::new().with_config(config);
    // In the order in which a reader wants them.
    for module in ["types", "daemon", "failure", "functions", "subscription"] {
        builder = builder.with_src(root.join(format!("src/{module}.rs")));
    }
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let file = root.join("include/rvrrp.h");
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == made,
        "include/rvrrp.h is not what cbindgen makes; UPDATE=1 cargo test -p librvrrp writes it"
    );
}
