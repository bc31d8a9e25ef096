//! The steps that take time: asking the issuer, taking the baseline, probing. Each takes what it needs
//! with it and returns what to fold; none touches a record.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use renewd_core::accept::{Accepted, accept};
use renewd_core::leaf::Fingerprint;
use renewd_core::names::{CertificateName, UnitName};
use renewd_core::pem;
use renewd_core::proof::{ProbeReport, Proof, Reason};
use renewd_core::record::{BaselineFinding, Generation, NewIdentity, TrustPart};
use renewd_core::supply::{Again, Failure};
use renewd_core::unit::{Activity, OnChange};
use renewd_store::Identity;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::config::{CertificateSettings, DependentSettings};
use crate::driver::world::World;
use crate::issuer::{IssueError, Issuer, Order, Retry};
use crate::keys;
use crate::probe::{Expected, Limits};

/// How long the baseline's probe of one unit may take: it is only a look.
const LOOK: Duration = Duration::from_secs(3);

/// An identity that was accepted, and the bundle to go with it.
pub(crate) struct Issued {
    pub(crate) identity: Identity,
    pub(crate) new: NewIdentity,
    pub(crate) bundle_pem: String,
    pub(crate) warnings: Vec<String>,
}

/// Makes a key, asks the issuer, and accepts or refuses the answer.
pub(crate) async fn issue(
    world: Rc<World>,
    settings: Rc<CertificateSettings>,
) -> Result<Issued, Failure> {
    let request = &settings.request;
    let issuer = world.issuers.borrow().get(&request.issuer).cloned();
    let issuer = issuer.ok_or_else(|| Failure {
        text: format!("issuer {:?} is not configured", request.issuer.as_str()),
        again: Again::Operator,
        answered: false,
    })?;
    // Held before the answer comes: an answer never makes itself an anchor.
    let anchors = issuer.anchors().await.map_err(|error| failure(&error))?;
    let key = {
        let (key_type, request) = (request.key_type, request.clone());
        // RSA takes seconds; the thread goes when it is done.
        tokio::task::spawn_blocking(move || {
            keys::PrivateKey::generate(key_type).and_then(|key| {
                let csr = key.request(&request)?;
                Ok((key, csr))
            })
        })
        .await
    };
    let (key, csr) = match key {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => return Err(own_failure(format!("cannot make a key: {error}"))),
        Err(error) => return Err(own_failure(format!("cannot make a key: {error}"))),
    };
    let order = Order {
        certificate: &settings.name,
        request,
        csr: &csr,
    };
    let answer = issuer.issue(order).await.map_err(|error| failure(&error))?;
    let accepted =
        accept(request, &key.fingerprint(), &answer, &anchors, world.now()).map_err(|refusal| {
            Failure {
                text: format!("the issuer's answer was refused: {refusal}"),
                again: Again::BackOff,
                answered: true,
            }
        })?;
    wait_until_usable(&world, &accepted).await;
    let bundle_pem = pem::certificates(&anchors);
    let new = NewIdentity {
        leaf: accepted.facts.clone(),
        anchor: accepted.anchor,
        request: request.digest(),
        trust: trust_part(&anchors),
    };
    let identity = Identity {
        key_pem: key.pem(),
        leaf_pem: pem::certificates(std::slice::from_ref(&accepted.leaf)),
        chain_pem: pem::certificates(&accepted.chain),
    };
    let warnings = accepted.warnings.iter().map(ToString::to_string).collect();
    Ok(Issued {
        identity,
        new,
        bundle_pem,
        warnings,
    })
}

/// A leaf may begin up to a minute from now; a service that checks would refuse it until then.
async fn wait_until_usable(world: &World, accepted: &Accepted) {
    while world.now() < accepted.usable_from {
        world.clock.sleep_until(accepted.usable_from).await;
    }
}

fn own_failure(text: String) -> Failure {
    Failure {
        text,
        again: Again::BackOff,
        answered: false,
    }
}

fn failure(error: &IssueError) -> Failure {
    let again = match error.retry() {
        Retry::Now => Again::Now,
        Retry::BackOff => Again::BackOff,
        Retry::After(delay) => Again::After(delay),
        Retry::Operator => Again::Operator,
    };
    Failure {
        text: error.operator_text(),
        again,
        answered: false,
    }
}

/// The digest of a bundle and its anchors.
pub(crate) fn trust_part(anchors: &[CertificateDer<'_>]) -> TrustPart {
    let prints: Vec<Fingerprint> = anchors
        .iter()
        .map(|anchor| Fingerprint::of(anchor))
        .collect();
    let digest = Fingerprint::of(pem::certificates(anchors).as_bytes());
    TrustPart {
        digest,
        anchors: prints,
    }
}

/// What an issuer stands for now, as PEM and digest; `None` when it cannot say.
pub(crate) async fn offered_trust(issuer: &dyn Issuer) -> Option<(TrustPart, String)> {
    let anchors = issuer.anchors().await.ok()?;
    Some((trust_part(&anchors), pem::certificates(&anchors)))
}

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
    let deadline = dependent.probe_timeout.min(LOOK);
    let report = probe_unit(world, certificate, dependent, published, deadline).await;
    match report.failure {
        None => finding(Proof::Served, ""),
        Some(reason) => finding(Proof::Failed(reason), &report.detail),
    }
}

/// Probes a unit for a generation that is published.
pub(crate) async fn probe_unit(
    world: &World,
    certificate: &CertificateName,
    dependent: &DependentSettings,
    generation: &Generation,
    deadline: Duration,
) -> ProbeReport {
    let unable = |detail: String| ProbeReport {
        failure: Some(Reason::Handshake),
        detail,
        seen: None,
    };
    let expected = match expected(world, certificate, generation) {
        Ok(expected) => expected,
        Err(detail) => return unable(detail),
    };
    let limits = Limits {
        deadline,
        ..Limits::default()
    };
    world
        .probe
        .probe(&dependent.probes, &expected, limits)
        .await
}

fn expected(
    world: &World,
    certificate: &CertificateName,
    generation: &Generation,
) -> Result<Expected, String> {
    let identity = world
        .store
        .load_identity(certificate, generation.identity)
        .map_err(|error| error.to_string())?;
    let bundle = world
        .store
        .load_trust(certificate, &generation.trust)
        .map_err(|error| error.to_string())?;
    let leaf = CertificateDer::from_pem_slice(identity.leaf_pem.as_bytes())
        .map_err(|error| error.to_string())?;
    let anchors = pem::parse_certificates(&bundle).map_err(|error| error.to_string())?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(
        world.now().as_second().max(0).unsigned_abs(),
    ));
    Expected::new(leaf.to_vec(), anchors, now).map_err(|error| error.to_string())
}
