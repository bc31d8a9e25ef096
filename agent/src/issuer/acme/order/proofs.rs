//! The proofs of one order: put up, shown to the CA, and what it found.

use instant_acme::{
    AuthorizationState, AuthorizationStatus, ChallengeStatus, ChallengeType, Order as AcmeOrder,
    OrderState, OrderStatus,
};

use super::super::challenge::Placed;
use super::super::error::AcmeError;
use super::Way;

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
    /// Puts up what the CA wants to see for each name, and has it look.
    pub(super) async fn prove(&self, order: &mut AcmeOrder) -> Result<Vec<Placed>, AcmeError> {
        let mut proofs = Vec::new();
        let mut kept = self.to_keep(order.url());
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.of("an authorization", error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(challenge) = authorization.challenge(ChallengeType::Http01) else {
                return Err(AcmeError::NotOffered { name });
            };
            let answer = challenge.key_authorization();
            let (token, answer) = (&challenge.token, answer.as_str());
            let (challenges, webroot) = (&self.issuer.challenges, &self.issuer.settings.webroot);
            proofs.push(Placed::put(challenges, webroot.as_ref(), token, answer)?);
            kept.answers.insert(token.clone(), answer.to_owned());
        }
        // On disk before the CA looks.
        self.keep(&kept)?;
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(ChallengeType::Http01)
                && challenge.status == ChallengeStatus::Pending
            {
                let ready = challenge.set_ready().await;
                ready.map_err(|error| self.of("a challenge", error))?;
            }
        }
        Ok(proofs)
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
                return Some(AcmeError::Unproven { name, problem });
            }
        }
        None
    }
}
