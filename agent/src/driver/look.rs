//! Looking at dependents: the baseline before publishing, and the probe after it. Each takes what it
//! needs with it and returns what was found; none touches a record.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use renewd_core::names::{CertificateName, UnitName};
use renewd_core::pem;
use renewd_core::proof::{ProbeReport, Proof};
use renewd_core::record::{BaselineFinding, Generation};
use renewd_core::schedule;
use renewd_core::unit::{Activity, OnChange};
use rustls_pki_types::UnixTime;

use crate::config::{CertificateSettings, DependentSettings};
use crate::driver::sound;
use crate::driver::world::World;
use crate::journal;
use crate::probe::{Expected, Limits};

/// How long the baseline's probe of one unit may take: it is only a look.
const LOOK: Duration = Duration::from_secs(3);

/// How long to wait before reading again what cannot be read just now.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Takes down how every dependent is with the generation that is still published.
pub(crate) async fn baseline(
    world: Rc<World>,
    settings: Rc<CertificateSettings>,
    published: Option<Generation>,
) -> BTreeMap<UnitName, BaselineFinding> {
    let looks = settings.dependents.iter().map(|dependent| async {
        let finding = look(&world, &settings.name, dependent, published.as_ref()).await;
        (dependent.dependent.unit.clone(), finding)
    });
    futures_util::future::join_all(looks)
        .await
        .into_iter()
        .collect()
}

async fn look(
    world: &World,
    certificate: &CertificateName,
    dependent: &DependentSettings,
    published: Option<&Generation>,
) -> BaselineFinding {
    let finding = |proof, detail: &str| BaselineFinding {
        proof,
        detail: detail.to_owned(),
    };
    let told = dependent.dependent.on_change;
    if told != OnChange::None {
        match world.units.facts(&dependent.dependent.unit).await {
            Err(error) => return finding(Proof::Pending, &error.to_string()),
            Ok(facts) => match facts.activity {
                // A oneshot unit is inactive between its runs.
                _ if told == OnChange::Start => {}
                Activity::Running => {}
                Activity::NotRunning | Activity::Missing => {
                    return finding(Proof::NotRunning, &facts.active_state);
                }
                Activity::Unknown => return finding(Proof::Pending, &facts.active_state),
            },
        }
    }
    let Some(published) = published else {
        return finding(Proof::Pending, "nothing is published yet");
    };
    if dependent.probes.is_empty() {
        let proof = if told == OnChange::None {
            Proof::Unobservable
        } else {
            Proof::Reloaded
        };
        return finding(proof, "");
    }
    let expected = match expected(world, certificate, published) {
        Ok(expected) => expected,
        // That we cannot look is nothing that the unit did.
        Err(why) => return finding(Proof::Pending, &why),
    };
    let limits = Limits {
        deadline: dependent.probe_timeout.min(LOOK),
        // Nothing was told to change: what is seen once holds.
        apart: Duration::ZERO,
        ..Limits::default()
    };
    let report = handshakes(world, dependent, &expected, limits).await;
    match report.failure {
        None => finding(Proof::Served, ""),
        Some(reason) => finding(Proof::Failed(reason), &report.detail),
    }
}

/// Probes a unit for a generation that is published.
pub(crate) async fn probe(
    world: &World,
    certificate: &CertificateName,
    dependent: &DependentSettings,
    generation: &Generation,
) -> ProbeReport {
    let expected = loop {
        match expected(world, certificate, generation) {
            Ok(expected) => break expected,
            // A failure of ours must not be taken for one of the unit's: it could condemn a certificate.
            Err(why) => {
                journal::emit(&journal::Event::ProbeImpossible {
                    certificate: certificate.clone(),
                    unit: dependent.dependent.unit.clone(),
                    error: why.to_string(),
                });
                let again = schedule::after(world.now(), READ_AGAIN);
                world.clock.sleep_until(again).await;
            }
        }
    };
    let limits = Limits {
        deadline: dependent.probe_timeout,
        ..Limits::default()
    };
    handshakes(world, dependent, &expected, limits).await
}

/// Whether somebody stopped the unit between its reload and its probe. After a restart of ours,
/// *inactive* is no person's doing: it did not stay up.
pub(crate) async fn was_stopped(world: &World, dependent: &DependentSettings) -> bool {
    matches!(
        dependent.dependent.on_change,
        OnChange::Reload | OnChange::SignalHup
    ) && world
        .units
        .facts(&dependent.dependent.unit)
        .await
        .is_ok_and(|facts| facts.active_state == "inactive")
}

async fn handshakes(
    world: &World,
    dependent: &DependentSettings,
    expected: &Expected,
    limits: Limits,
) -> ProbeReport {
    let probe = &world.probe;
    probe.probe(&dependent.probes, expected, limits).await
}

fn expected(
    world: &World,
    certificate: &CertificateName,
    generation: &Generation,
) -> Result<Expected, String> {
    let store = &world.store;
    let leaf = sound::leaf(store, certificate, generation).map_err(|error| error.to_string())?;
    let bundle =
        sound::bundle(store, certificate, &generation.trust).map_err(|error| error.to_string())?;
    let anchors = pem::parse_certificates(&bundle).map_err(|error| error.to_string())?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(
        world.now().as_second().max(0).unsigned_abs(),
    ));
    Expected::new(leaf.to_vec(), anchors, now).map_err(|error| error.to_string())
}
