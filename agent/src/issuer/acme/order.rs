//! One order, from its beginning (or from where it was left) to the chain.

mod kept;
mod proofs;

use std::time::{Duration, Instant};

use instant_acme::{
    Account, CertificateIdentifier, Error, Identifier, NewOrder, Order as AcmeOrder, OrderStatus,
};
use jiff::Timestamp;
use renewd_core::accept::Answer;
use renewd_core::{pem, schedule};

use super::super::Order;
use super::super::https::HttpsError;
use super::error::AcmeError;
use super::transport::Transport;
use super::{AcmeIssuer, is};
use kept::{KeptOrder, Sent, file};
use proofs::{Shown, leads_nowhere};

pub(super) use kept::{is_kept_in, is_past, is_with_the_ca, proofs};

/// How long a CA may take to look at the proofs, and again to sign. What takes longer is left, and gone on with later.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long an order is gone on with that was sent and is not done, at least and at most; between, a tenth of the life.
const LONGEST_SIGNING: (Duration, Duration) = (PATIENCE, Duration::from_secs(86_400));
/// How long to wait before looking again, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));

/// Everything that one order needs.
struct Way<'a> {
    issuer: &'a AcmeIssuer,
    transport: &'a Transport,
    account: &'a Account,
    asked: Order<'a>,
    file: String,
}

/// Takes an order to its end.
pub(super) async fn obtain(
    issuer: &AcmeIssuer,
    transport: &Transport,
    account: &Account,
    asked: Order<'_>,
    identifiers: &[Identifier],
) -> Result<Answer, AcmeError> {
    let way = Way {
        issuer,
        transport,
        account,
        asked,
        file: file(asked),
    };
    let mut order = match way.resumed().await? {
        Some(order) => order,
        None => way.new_order(identifiers).await?,
    };
    let (proofs, names) = (order.state().authorizations.len(), identifiers.len());
    if proofs > names {
        issuer.kept()?.remove(&way.file).map_err(AcmeError::Kept)?;
        let why = format!("it wants {proofs} proofs for {names} names");
        return Err(AcmeError::protocol("the order", why));
    }
    let outcome = way.finish(&mut order).await.and_then(usable);
    let spent = matches!(outcome, Err(AcmeError::Spent(_)));
    let noted = if outcome.is_ok() {
        way.keep(&KeptOrder {
            sent: Some(Sent::now(asked.csr)),
            done: true,
            ..way.to_keep(order.url())
        })
    } else if spent || leads_nowhere(order.state()) {
        let kept = issuer.kept();
        kept.and_then(|kept| kept.remove(&way.file).map_err(AcmeError::Kept))
    } else {
        Ok(())
    };
    // What remains of an order that is over is seen by the next one; a good chain is no less good for it.
    if outcome.is_err() && !spent {
        noted?;
    }
    outcome
}

/// The chain, if it is one.
fn usable(chain: String) -> Result<Answer, AcmeError> {
    let unusable = |why: String| AcmeError::protocol("the certificate", why).spent();
    let chain = pem::parse_certificates(&chain).map_err(|error| unusable(error.to_string()))?;
    let mut chain = chain.into_iter();
    let leaf = chain
        .next()
        .ok_or_else(|| unusable("there is none in the answer".into()))?;
    Ok(Answer {
        leaf,
        chain: chain.collect(),
    })
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
            challenge: self.issuer.settings.challenge.to_string(),
            proofs: Vec::new(),
            sent: None,
            done: false,
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
        let left = known.as_ref().map(|known| known.proofs.clone());
        let mut order = match known {
            Some(known)
                if known.is_for(&self.to_keep(&known.url)) && known.is_open_to(self.asked.csr) =>
            {
                self.looked_up(known).await?
            }
            _ => None,
        };
        let status = order.as_mut().map(|order| order.state().status);
        if status != Some(OrderStatus::Pending) {
            // One that is pending puts it up again, and takes it down then.
            self.take_out_records(&left.unwrap_or_default()).await;
        }
        if order.is_none() {
            kept.remove(&self.file).map_err(AcmeError::Kept)?;
        }
        Ok(order)
    }

    /// The order as the CA has it, if there is a way on.
    async fn looked_up(&self, known: KeptOrder) -> Result<Option<AcmeOrder>, AcmeError> {
        match self.account.order(known.url).await {
            Ok(mut order) => match order.state().status {
                OrderStatus::Pending | OrderStatus::Ready => Ok(Some(order)),
                OrderStatus::Processing | OrderStatus::Valid if self.waits_for(known.sent) => {
                    Ok(Some(order))
                }
                // It is over, or waits with a key that is gone.
                _ => Ok(None),
            },
            Err(error) if self.is_unknown(&error) => Ok(None),
            Err(error) => Err(self.of("the order", error)),
        }
    }

    /// Whether what the CA was sent is what is asked for now; not for ever, for some never sign.
    fn waits_for(&self, sent: Option<Sent>) -> bool {
        let longest = self.asked.request.lifetime / 10;
        let longest = longest.clamp(LONGEST_SIGNING.0, LONGEST_SIGNING.1);
        sent.is_some_and(|sent| {
            let end = schedule::after(sent.at, longest);
            sent.is_of(self.asked.csr) && !schedule::reached(end, longest, Timestamp::now())
        })
    }

    /// Whether the CA has nothing of that name, or not for this account.
    fn is_unknown(&self, error: &Error) -> bool {
        let said = |problem| is(problem, "malformed") || is(problem, "unauthorized");
        self.transport.found_nothing() || matches!(error, Error::Api(problem) if said(problem))
    }

    /// Whether an order that replaces nothing will do: the leaf was replaced already, is unknown to this CA or another
    /// account's (RFC 9773, section 5), or the CA knows of no such thing. Nothing else is tried twice: each order
    /// counts.
    fn minds_what_is_replaced(&self, error: &Error) -> bool {
        match error {
            Error::Api(problem) => is(problem, "alreadyReplaced") || self.is_unknown(error),
            Error::Unsupported(_) => true,
            // Not echoed as the library wants it. What did not arrive is no such error.
            Error::Other(error) => !error.is::<HttpsError>(),
            _ => false,
        }
    }

    async fn new_order(&self, identifiers: &[Identifier]) -> Result<AcmeOrder, AcmeError> {
        let replaced = self.asked.replaces;
        let replaced = replaced.and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let mut order = None;
        if let Some(replaced) = replaced {
            let new = self.asking(identifiers).replaces(replaced);
            order = match self.account.new_order(&new).await {
                Ok(order) => Some(order),
                Err(error) if self.minds_what_is_replaced(&error) => None,
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
        let status = order.state().status;
        if let OrderStatus::Pending | OrderStatus::Ready = status {
            // Up until the CA has looked, which it may do several times and from several places.
            let shown = match status {
                OrderStatus::Pending => self.prove(order).await?,
                _ => Shown::default(),
            };
            let ready = self.await_status(order, OrderStatus::Ready).await;
            self.take_down(shown).await;
            ready?;
            self.send(order).await?;
        }
        self.await_status(order, OrderStatus::Valid).await?;
        match order.certificate().await {
            Ok(chain) => chain.ok_or_else(|| {
                AcmeError::protocol("the certificate", "there is none in the order")
            }),
            // Nothing will bring it back.
            Err(error) if self.is_unknown(&error) => Err(self.of("the certificate", error).spent()),
            Err(error) => Err(self.of("the certificate", error)),
        }
    }

    /// Has the CA sign.
    async fn send(&self, order: &mut AcmeOrder) -> Result<(), AcmeError> {
        let sent = Sent::now(self.asked.csr);
        let kept = self.to_keep(order.url());
        // On disk before: it may sign, and its answer be lost.
        self.keep(&KeptOrder {
            sent: Some(sent),
            ..kept
        })?;
        let finalized = order.finalize_csr(self.asked.csr).await;
        if let Err(Error::Api(problem)) = &finalized
            && (is(problem, "badCSR") || is(problem, "badPublicKey"))
        {
            // It has not: another key may do.
            self.keep(&self.to_keep(order.url()))?;
        }
        finalized.map_err(|error| self.of("the certificate", error))
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
            if begun.elapsed() > self.issuer.patience {
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
}
