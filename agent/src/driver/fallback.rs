//! Which issuer is asked, and which one where that fails: the first one always, those that stand in for it only when the
//! certificate in use comes to its end. Asking one is [`super::issue`]'s.

use std::time::Duration;

use renewd_core::names::IssuerName;
use renewd_core::schedule;
use renewd_core::supply::{Again, Failure};

use crate::driver::issue::{Issued, Quest};
use crate::driver::trust::Answered;
use crate::journal;

/// Why no certificate was issued.
pub(crate) struct Unissued {
    pub(crate) failure: Failure,
    /// The stand-ins that want to be left alone for so long.
    pub(crate) put_off: Vec<(IssuerName, Duration)>,
}

impl Quest {
    /// Asks the issuers in their order; `heard` is what the first one stands for, where it was asked for this order.
    pub(crate) async fn go(self, heard: Option<Answered>) -> Result<Issued, Unissued> {
        let mut failure = match self.ask_first(heard).await {
            Ok(issued) => return Ok(issued),
            Err(failure) => failure,
        };
        let mut put_off = Vec::new();
        for issuer in &self.settings.fallbacks {
            // While it is the operator's, it may be a stand-in's in time.
            if failure.again == Again::Operator {
                failure.again = Again::BackOff;
            }
            // The first one may have taken its time.
            if self
                .fall_back_from
                .is_none_or(|from| from > self.world.now())
            {
                break;
            }
            let until = self.put_off.get(issuer);
            if let Some(until) = until.filter(|until| **until > self.world.now()) {
                failure.text = format!(
                    "{}; {issuer} wants to be left alone until {until:.0}",
                    failure.text
                );
                continue;
            }
            journal::emit(&journal::Event::FallenBack {
                certificate: self.settings.name.clone(),
                issuer: issuer.clone(),
                error: failure.text.clone(),
            });
            match self.ask(issuer, None).await {
                Ok(issued) => return Ok(issued),
                Err(more) => {
                    failure.text = format!("{}; then {issuer}: {}", failure.text, more.text);
                    failure.answered |= more.answered;
                    if let Again::After(asked) = more.again {
                        put_off.push((issuer.clone(), asked));
                    }
                }
            }
        }
        Err(Unissued { failure, put_off })
    }

    /// Asks the first issuer, and where another one stands in for it, leaves that half of the time that is left.
    async fn ask_first(&self, heard: Option<Answered>) -> Result<Issued, Failure> {
        // What it could not say now it is not asked again: it could be something that nobody knows yet.
        let heard = heard.transpose()?;
        let asked = self.ask(&self.settings.request.issuer, heard);
        let now = self.world.now();
        let end = self
            .end
            .filter(|end| *end > now && !self.settings.fallbacks.is_empty());
        let Some(end) = end else {
            return asked.await;
        };
        let half = schedule::after(now, schedule::between(now, end) / 2);
        tokio::select! {
            biased;
            answer = asked => answer,
            () = self.world.clock.sleep_until(half) => Err(Failure {
                text: "the issuer did not answer in half of the time that was left".to_owned(),
                again: Again::BackOff,
                answered: false,
            }),
        }
    }
}
