//! The sample API server.
fn main() {}
