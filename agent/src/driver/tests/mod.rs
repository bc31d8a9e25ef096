//! The driver over the real store and fakes for the rest of the world: whole lives of a daemon, in
//! simulated time.

mod configuration;
mod credentials;
mod crls;
mod disk;
mod endurance;
mod fallback;
mod host;
mod issuer;
mod lanes;
mod manners;
mod newest;
mod offers;
mod pace;
mod revoked;
mod rotation;
mod site;
mod time;
mod told;
mod trust;
mod verdicts;

use host::Host;
use site::{Life, Site};
