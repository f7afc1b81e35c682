//! Configuration: a file becomes a validated model, two models become a difference.

pub mod model;
