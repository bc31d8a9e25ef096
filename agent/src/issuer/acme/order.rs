//! One order, from its beginning (or from where it was left) to the chain.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Error,
    Identifier, NewOrder, Order as AcmeOrder, OrderStatus, Problem,
};
use serde::{Deserialize, Serialize};

use super::super::Order;
use super::super::https::HttpsError;
use super::challenge::Placed;
use super::error::AcmeError;
use super::transport::Transport;
use super::{AcmeIssuer, is};

/// How long a CA may take to look at the proofs, and again to sign. What takes longer is left, and gone on with later.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before looking again, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));

/// What is kept of an order until it is finished.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptOrder {
    url: String,
    account: String,
    names: Vec<String>,
    profile: Option<String>,
    /// What the CA may ask for, by its token: also while we are away, and it finds the answer when we are back.
    #[serde(default)]
    answers: BTreeMap<String, String>,
}

/// What was put up for the order that a file of this text is of.
pub(super) fn answers(text: &str) -> BTreeMap<String, String> {
    let kept = serde_json::from_str::<KeptOrder>(text);
    kept.map(|kept| kept.answers).unwrap_or_default()
}

/// Whether a file is of an order.
pub(super) fn is_kept_in(file: &str) -> bool {
    file.starts_with("order-") && file.ends_with(".json")
}

/// Everything that one order needs.
struct Way<'a> {
    issuer: &'a AcmeIssuer,
    transport: &'a Transport,
    account: &'a Account,
    asked: Order<'a>,
    file: String,
}

/// Takes an order to its end; returns the chain as PEM.
pub(super) async fn obtain(
    issuer: &AcmeIssuer,
    transport: &Transport,
    account: &Account,
    asked: Order<'_>,
    identifiers: &[Identifier],
) -> Result<String, AcmeError> {
    let way = Way {
        issuer,
        transport,
        account,
        asked,
        file: format!("order-{}.json", asked.certificate),
    };
    let mut order = match way.resumed().await? {
        Some(order) => order,
        None => way.new_order(identifiers).await?,
    };
    let outcome = way.finish(&mut order).await;
    // Of an order that is over nothing can be gone on with.
    if order.state().status == OrderStatus::Invalid || outcome.is_ok() {
        issuer.kept()?.remove(&way.file).map_err(AcmeError::Kept)?;
    }
    outcome
}

impl Way<'_> {
    fn of(&self, what: &'static str, error: Error) -> AcmeError {
        AcmeError::of(what, error, self.transport)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .asked
            .request
            .names
            .iter()
            .map(ToString::to_string)
            .collect();
        names.sort();
        names
    }

    fn to_keep(&self, url: &str) -> KeptOrder {
        KeptOrder {
            url: url.to_owned(),
            account: self.account.id().to_owned(),
            names: self.names(),
            profile: self.issuer.settings.profile.clone(),
            answers: BTreeMap::new(),
        }
    }

    fn keep(&self, order: &KeptOrder) -> Result<(), AcmeError> {
        let text = serde_json::to_string(order)
            .map_err(|error| AcmeError::protocol("the order", error))?;
        let kept = self.issuer.kept()?;
        kept.replace(&self.file, &text).map_err(AcmeError::Kept)
    }

    /// The order that was begun and not finished, if it can still be.
    async fn resumed(&self) -> Result<Option<AcmeOrder>, AcmeError> {
        let kept = self.issuer.kept()?;
        let Some(text) = kept.read(&self.file).map_err(AcmeError::Kept)? else {
            return Ok(None);
        };
        let known: Option<KeptOrder> = serde_json::from_str(&text).ok();
        if let Some(mut known) = known
            && {
                known.answers.clear();
                known == self.to_keep(&known.url)
            }
        {
            match self.account.order(known.url).await {
                Ok(mut order) => {
                    if let OrderStatus::Pending | OrderStatus::Ready = order.state().status {
                        return Ok(Some(order));
                    }
                    // It is over, or waits with a key that is gone.
                }
                // The CA does not know it any more.
                Err(Error::Api(problem)) if is_unknown(&problem) => {}
                Err(error) => return Err(self.of("the order", error)),
            }
        }
        kept.remove(&self.file).map_err(AcmeError::Kept)?;
        Ok(None)
    }

    async fn new_order(&self, identifiers: &[Identifier]) -> Result<AcmeOrder, AcmeError> {
        let replaced = self.asked.replaces;
        let replaced = replaced.and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let mut order = None;
        if let Some(replaced) = replaced {
            let new = self.asking(identifiers).replaces(replaced);
            order = match self.account.new_order(&new).await {
                Ok(order) => Some(order),
                Err(error) if minds_what_is_replaced(&error) => None,
                Err(error) => return Err(self.of("the order", error)),
            };
        }
        let order = match order {
            Some(order) => order,
            None => {
                let new = self.asking(identifiers);
                let made = self.account.new_order(&new).await;
                made.map_err(|error| self.of("the order", error))?
            }
        };
        self.keep(&self.to_keep(order.url()))?;
        Ok(order)
    }

    fn asking<'i>(&'i self, identifiers: &'i [Identifier]) -> NewOrder<'i> {
        let new = NewOrder::new(identifiers);
        match &self.issuer.settings.profile {
            Some(profile) => new.profile(profile),
            None => new,
        }
    }

    async fn finish(&self, order: &mut AcmeOrder) -> Result<String, AcmeError> {
        // Up until the CA has looked, which it may do several times and from several places.
        let proofs = match order.state().status {
            OrderStatus::Pending => self.prove(order).await?,
            _ => Vec::new(),
        };
        self.await_status(order, OrderStatus::Ready).await?;
        drop(proofs);
        let finalized = order.finalize_csr(self.asked.csr).await;
        finalized.map_err(|error| self.of("the certificate", error))?;
        self.await_status(order, OrderStatus::Valid).await?;
        let chain = order.certificate().await;
        let chain = chain.map_err(|error| self.of("the certificate", error))?;
        chain.ok_or_else(|| AcmeError::protocol("the certificate", "there is none in the order"))
    }

    /// Puts up what the CA wants to see for each name, and has it look.
    async fn prove(&self, order: &mut AcmeOrder) -> Result<Vec<Placed>, AcmeError> {
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

    /// Looks at the order until it is so far.
    async fn await_status(
        &self,
        order: &mut AcmeOrder,
        wanted: OrderStatus,
    ) -> Result<(), AcmeError> {
        let begun = Instant::now();
        let (mut delay, longest) = LOOK_AGAIN;
        loop {
            let status = order.state().status;
            if status == wanted || status == OrderStatus::Valid {
                return Ok(());
            }
            if status == OrderStatus::Invalid {
                return Err(self.why_invalid(order).await);
            }
            if begun.elapsed() > PATIENCE {
                // Some CAs tell of a failed look, and never end the order.
                return Err(match self.failed_look(order).await {
                    Some(error) => error,
                    None => AcmeError::Late(self.transport.retry_after()),
                });
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(longest);
            if let Err(error) = order.refresh().await {
                return Err(self.of("the order", error));
            }
        }
    }

    async fn why_invalid(&self, order: &mut AcmeOrder) -> AcmeError {
        if let Some(error) = self.failed_look(order).await {
            return error;
        }
        match order.state().error.clone() {
            Some(problem) => self.of("the order", problem.into()),
            None => AcmeError::protocol("the order", "it is invalid, and the CA does not say why"),
        }
    }

    /// The first name whose proof the CA did not find, with what it found.
    async fn failed_look(&self, order: &mut AcmeOrder) -> Option<AcmeError> {
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

/// Whether an order that replaces nothing will do: the leaf was replaced already, is unknown to this CA or another
/// account's (RFC 9773, section 5), or the CA knows of no such thing. Nothing else is tried twice: each order counts.
fn minds_what_is_replaced(error: &Error) -> bool {
    match error {
        Error::Api(problem) => is(problem, "alreadyReplaced") || is_unknown(problem),
        Error::Unsupported(_) => true,
        // Not echoed as the library wants it. What did not arrive is no such error.
        Error::Other(error) => !error.is::<HttpsError>(),
        _ => false,
    }
}

/// Whether the CA has nothing of that name, or not for this account.
fn is_unknown(problem: &Problem) -> bool {
    problem.status == Some(404) || is(problem, "malformed") || is(problem, "unauthorized")
}
