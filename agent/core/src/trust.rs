//! The trust bundle: the CA certificates that peers are verified against.
