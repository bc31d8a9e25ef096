//! The proofs of one order: put up, shown to the CA, and what it found.

use instant_acme::{
    AuthorizationState, AuthorizationStatus, ChallengeStatus, Order as AcmeOrder, OrderState,
    OrderStatus,
};

use super::super::super::IssueError;
use super::super::challenge::{Challenge, Placed, Proof};
use super::super::error::AcmeError;
use super::Way;
use crate::journal::{self, Event};

/// What a CA may look at.
#[derive(Default)]
pub(super) struct Shown {
    /// Gone when this is dropped.
    _placed: Vec<Placed>,
    proofs: Vec<Proof>,
}

/// Whether no try can bring an order to its end. Some CAs do not say so of the order, but of a proof in it.
pub(super) fn leads_nowhere(order: &OrderState) -> bool {
    let mut known = order
        .authorizations
        .iter()
        .filter_map(|at| at.state.as_ref());
    let failed = |at: &AuthorizationState| {
        !matches!(
            at.status,
            AuthorizationStatus::Pending | AuthorizationStatus::Valid
        ) || at
            .challenges
            .iter()
            .any(|challenge| challenge.status == ChallengeStatus::Invalid)
    };
    match order.status {
        OrderStatus::Invalid => true,
        OrderStatus::Pending => known.any(failed),
        _ => false,
    }
}

impl Way<'_> {
    fn challenge(&self) -> &Challenge {
        &self.issuer.settings.challenge
    }

    /// Puts up what the CA wants to see for each name, and has it look.
    pub(super) async fn prove(&self, order: &mut AcmeOrder) -> Result<Shown, AcmeError> {
        let kind = self.challenge().kind();
        let mut proofs = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.of("an authorization", error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(challenge) = authorization.challenge(kind.clone()) else {
                let challenge = self.challenge().to_string();
                return Err(AcmeError::NotOffered { name, challenge });
            };
            let answer = challenge.key_authorization();
            let name = challenge.identifier().identifier;
            proofs.push(Proof::new(name, &challenge.token, answer.as_str())?);
        }
        let mut kept = self.to_keep(order.url());
        kept.proofs.clone_from(&proofs);
        // On disk before the CA looks, and before there is anything that would have to be taken out.
        self.keep(&kept)?;
        let placed = Placed::put(&self.issuer.challenges, self.challenge(), &proofs).await?;
        let shown = Shown {
            _placed: placed,
            proofs,
        };
        if let Err(error) = self.put_records(&shown.proofs).await {
            self.take_down(shown).await;
            return Err(error);
        }
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(kind.clone())
                && challenge.status == ChallengeStatus::Pending
                && let Err(error) = challenge.set_ready().await
            {
                let error = self.of("a challenge", error);
                self.take_down(shown).await;
                return Err(error);
            }
        }
        Ok(shown)
    }

    async fn put_records(&self, proofs: &[Proof]) -> Result<(), AcmeError> {
        match &self.issuer.records {
            Some(records) => records.put(self.asked.certificate, proofs).await,
            None => Ok(()),
        }
    }

    /// Takes down what a CA was shown. What stays says nothing that is secret.
    pub(super) async fn take_down(&self, shown: Shown) {
        self.take_out_records(&shown.proofs).await;
    }

    pub(super) async fn take_out_records(&self, proofs: &[Proof]) {
        let Some(records) = &self.issuer.records else {
            return;
        };
        let certificate = self.asked.certificate;
        for proof in proofs {
            if let Err(error) = records.take_out(certificate, proof).await {
                let why = IssueError::from(error).operator_text();
                journal::emit(&Event::IssuerWarning {
                    certificate: certificate.clone(),
                    warning: format!("a TXT record of _acme-challenge stays in the zone: {why}"),
                });
            }
        }
    }

    pub(super) async fn why_invalid(&self, order: &mut AcmeOrder) -> AcmeError {
        if let Some(error) = self.failed_look(order).await {
            return error;
        }
        match order.state().error.clone() {
            Some(problem) => self.of("the order", problem.into()),
            None => AcmeError::protocol("the order", "it is invalid, and the CA does not say why"),
        }
    }

    /// The first name whose proof the CA did not find, with what it found.
    pub(super) async fn failed_look(&self, order: &mut AcmeOrder) -> Option<AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let _ = authorization.refresh().await;
            let name = authorization.identifier().to_string();
            let mut challenges = authorization.challenges.iter();
            if let Some(problem) = challenges.find_map(|challenge| challenge.error.clone()) {
                let challenge = self.challenge().to_string();
                return Some(AcmeError::Unproven {
                    name,
                    problem,
                    challenge,
                });
            }
        }
        None
    }
}
