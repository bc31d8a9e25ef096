//! The supply machine's transitions, one by one.
