//! The state machine of a virtual router.
#![forbid(unsafe_code)]
