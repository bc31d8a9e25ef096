//! What operators ask about issuers, and of them: the list, a look at one, and a revocation.

use futures_util::future::LocalBoxFuture;
use renewd_core::names::{CertificateName, IssuerName};
use renewd_core::record::GenerationNumber;
use renewd_core::revocation::Reason;
use tokio::sync::oneshot;

use crate::config::IssuerSettings;
use crate::control::ControlError;
use crate::control::report::{IssuerFinding, IssuerFindings, IssuerStatus, IssuersReport, Revoked};
use crate::driver::lane::{Command, Revoke};
use crate::driver::{Driver, LaneHandle};
use crate::issuer::Finding;

impl Driver {
    /// All issuers in brief.
    pub(super) fn issuers_in_brief(&self) -> IssuersReport {
        let settings = self.settings.borrow();
        let lanes = self.lanes.borrow();
        let issuers = settings.issuers.values().map(|issuer| {
            let own = lanes.values();
            let own = own.filter(|lane| lane.settings.issuers().any(|name| *name == issuer.name));
            brief(issuer, &own.collect::<Vec<_>>())
        });
        IssuersReport {
            issuers: issuers.collect(),
        }
    }

    /// Looks at an issuer, without asking it for a certificate.
    pub(super) fn look_at_issuer(
        &self,
        name: &IssuerName,
    ) -> LocalBoxFuture<'static, Result<IssuerFindings, ControlError>> {
        let issuer = self.world.issuers.borrow().get(name).cloned();
        let lanes = self.lanes.borrow();
        let own = lanes
            .values()
            .filter(|lane| lane.settings.issuers().any(|own| own == name));
        let requests: Vec<_> = own.map(|lane| lane.settings.request.clone()).collect();
        let unknown = ControlError::NoSuchIssuer(format!("there is no issuer named {name}"));
        Box::pin(async move {
            let issuer = issuer.ok_or(unknown)?;
            let findings = Finding::of_every_question(issuer.check(&requests).await);
            Ok(IssuerFindings {
                findings: findings.into_iter().map(IssuerFinding::from).collect(),
            })
        })
    }

    /// Gives an issuer's account another key.
    pub(super) fn give_another_key(
        &self,
        name: &IssuerName,
    ) -> LocalBoxFuture<'static, Result<(), ControlError>> {
        let issuer = self.world.issuers.borrow().get(name).cloned();
        let unknown = ControlError::NoSuchIssuer(format!("there is no issuer named {name}"));
        Box::pin(async move {
            let given = issuer.ok_or(unknown)?.rollover().await.map(drop);
            given.map_err(|error| ControlError::Failed(error.operator_text()))
        })
    }

    /// Has the leaf of a generation revoked; without a number that of the published one.
    pub(super) async fn have_revoked(
        &self,
        name: &CertificateName,
        generation: Option<GenerationNumber>,
        reason: &str,
    ) -> Result<Revoked, ControlError> {
        let known = Reason::ALL;
        let reason = known.into_iter().find(|known| known.label() == reason);
        let reason = reason.ok_or_else(|| {
            let known = known.map(Reason::label).join(", ");
            ControlError::Failed(format!("that is no reason to revoke; there are {known}"))
        })?;
        let (reply, answer) = oneshot::channel();
        let published = {
            let lanes = self.lanes.borrow();
            let lane = lanes.get(name);
            let lane = lane.ok_or_else(|| ControlError::NoSuchCertificate(name.to_string()))?;
            if let Some(why) = lane.view.held() {
                return Err(ControlError::Failed(format!("{name} is held: {why}")));
            }
            lane.tell(Command::Revoke(Revoke {
                generation,
                reason,
                reply,
            }));
            lane.view.with_record(|record| {
                record
                    .published_generation()
                    .map(|published| published.identity)
            })
        };
        // A lane that went answers nobody.
        let leaf = answer.await.unwrap_or(Err(ControlError::Stopping))?;
        Ok(Revoked {
            generation: leaf.generation,
            serial: leaf.serial.to_string(),
            in_use: Some(leaf.identity) == published,
        })
    }
}

fn brief(issuer: &IssuerSettings, lanes: &[&LaneHandle]) -> IssuerStatus {
    let issued = lanes.iter().filter_map(|lane| {
        lane.view.with_record(|record| {
            let generations = record.generations.values();
            let own = generations.filter(|generation| {
                let of = generation.issuer.as_ref();
                of.is_none_or(|of| *of == issuer.name)
            });
            own.map(|generation| generation.accepted_at).max()
        })
    });
    let error = lanes.iter().find_map(|lane| {
        let error = lane.view.with_record(|record| record.last_error.clone())?;
        Some(format!("{}: {}", lane.settings.name, error.text))
    });
    let names = lanes.iter().map(|lane| lane.settings.name.to_string());
    IssuerStatus {
        name: issuer.name.to_string(),
        kind: issuer.kind.name.to_owned(),
        address: issuer.configured.address().map(str::to_owned),
        certificates: names.collect(),
        last_issued: issued.max().map(Into::into),
        last_error: error,
    }
}

impl From<Finding> for IssuerFinding {
    fn from(finding: Finding) -> Self {
        Self {
            question: finding.question.label().to_owned(),
            is: finding.is.label().to_owned(),
            text: finding.text,
        }
    }
}
