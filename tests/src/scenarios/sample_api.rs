//! The sample API as its package installs it, with certificates of renewd or of a scenario's own: how it is brought up, and
//! the refusal of a bad pair.

use super::authority::{by_openssl, serve_published};
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[REFUSES];

/// The unit.
pub(super) const SAMPLE_API: &str = "renewd-sample-api.service";
/// Where it listens.
pub(super) const ADDRESS: &str = "127.0.0.1:8443";
/// The name on its certificate.
pub(super) const NAME: &str = "api.test";

/// Configures the server's certificate and a client's, and waits until the server is proven.
pub(super) fn serve(trial: &Trial) -> Result<()> {
    let server = format!(
        "names = [\"{NAME}\", \"127.0.0.1\"]\ngroup = \"renewd-sample-api\"\n[unit.\"{SAMPLE_API}\"]\nprobe = [\"tls://{ADDRESS}\"]\n"
    );
    trial.configure("api", &server)?;
    trial.configure("client", "names = [\"spiffe://example.internal/client\"]\n")?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "client"])?;
    // Its unit waits for its certificate by itself.
    trial.systemctl(&["start", SAMPLE_API])?;
    trial.expect_unit(SAMPLE_API, "active")?;
    trial.await_proof("api", SAMPLE_API, "served").map(drop)
}

const REFUSES: Scenario = Scenario {
    name: "the_sample_api_refuses_a_pair_that_does_not_match_and_serves_on",
    disk: Disk::Installed,
    fault: "the pair matches",
    red: "a refused reload",
    run: refuses,
};

fn refuses(trial: &mut Trial) -> Result<()> {
    by_openssl(
        trial,
        "authority ca; for number in 1 2 3; do pair $number ca DNS:api.test; done; publish 1 1 1 ca",
    )?;
    serve_published(trial, "")?;
    let first = trial.served_serial(ADDRESS)?;

    by_openssl(trial, trial.choose("publish 2 2 1 ca", "publish 2 2 2 ca"))?;
    let reload = trial.attempt(&["systemctl", "reload", SAMPLE_API])?;
    expect(!reload.succeeded(), "a refused reload", "an accepted one")?;
    trial.expect_unit(SAMPLE_API, "active")?;
    expect_equal(
        "the serial served after the refusal",
        &first,
        &trial.served_serial(ADDRESS)?,
    )?;

    by_openssl(trial, "publish 3 3 3 ca")?;
    trial.systemctl(&["reload", SAMPLE_API])?;
    expect(
        trial.served_serial(ADDRESS)? != first,
        "a sound pair taken up",
        &first,
    )
}
