//! Log.
pub mod limit;
pub use limit::Limiter;
