//! Numbers that a seed determines on every machine.

pub use mnc::random::Random;
