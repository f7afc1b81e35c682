//! How the shared library is linked.

fn main() {
    // The number is that of the interface, `LIBVRRP_VERSION`.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librvrrp.so.1");
    // The thread of a subscription outlives dlclose(3).
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
