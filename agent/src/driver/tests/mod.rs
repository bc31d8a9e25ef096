//! The driver over fakes.
