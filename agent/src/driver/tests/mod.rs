//! The driver over the real store and fakes for the rest of the world: whole lives of a daemon, in
//! simulated time.

mod host;
mod lanes;
mod site;

use host::Host;
use site::{Life, Site};
