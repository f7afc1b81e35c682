//! Makes one credential line for `api.users` of rVRRPd.
fn main() {}
