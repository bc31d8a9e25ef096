//! Single transitions.
