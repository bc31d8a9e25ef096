//! The tests that need more than one program: scenarios on a real systemd, the demo, the load client, the comparison with other servers.
//!
//! Black box: nothing here depends on the programs under test; they are installed from their packages, or started as
//! they are. Neighbours: `packaging/` makes the packages, `systemd/` holds the units that they install.

pub mod agent;
pub mod bench;
pub mod cgroup;
pub mod demo;
pub mod failure;
pub mod load;
pub mod machine;
pub mod overlay;
pub mod packages;
pub mod program;
pub mod rootfs;
pub mod runner;
pub mod scenario;
pub mod scenarios;
pub mod wait;
