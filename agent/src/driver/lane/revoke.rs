//! Revoking a leaf on the operator's order. The issuer is told first: only what it revoked is held for revoked.

use renewd_core::leaf::Serial;
use renewd_core::record::{Event, Generation, GenerationNumber};
use renewd_core::revocation::Reason;
use tokio::sync::oneshot;

use crate::control::ControlError;
use crate::driver::lane::Lane;
use crate::driver::lane::outcome::Outcome;
use crate::driver::sound;
use crate::issuer::Revocation;
use crate::journal;

/// An order to revoke.
pub(crate) struct Revoke {
    /// Which generation's leaf; `None`: the published one's.
    pub(crate) generation: Option<GenerationNumber>,
    /// Why.
    pub(crate) reason: Reason,
    /// Told what came of it: which leaf it was.
    pub(crate) reply: oneshot::Sender<Result<Leaf, ControlError>>,
}

/// The leaf that was revoked.
pub(crate) struct Leaf {
    pub(crate) generation: GenerationNumber,
    /// The generation that it first came in.
    pub(crate) identity: GenerationNumber,
    pub(crate) serial: Serial,
}

/// An order that the issuer has answered.
pub(super) struct Revoked {
    order: Revoke,
    number: GenerationNumber,
    generation: Generation,
    answer: Result<(), String>,
}

impl Lane {
    /// Asks the issuer; its answer comes to [`Lane::revoked`].
    pub(super) fn revoke(&mut self, order: Revoke) {
        let refuse = |order: Revoke, why: String| {
            // Who asked may have gone.
            let _ = order.reply.send(Err(ControlError::Failed(why)));
        };
        let name = self.settings.name.clone();
        let Some(number) = order.generation.or(self.record.published) else {
            return refuse(order, format!("nothing is published of {name} yet"));
        };
        let Some(generation) = self.record.generations.get(&number).cloned() else {
            let known: Vec<String> = self
                .record
                .generations
                .keys()
                .map(ToString::to_string)
                .collect();
            let known = known.join(", ");
            let why =
                format!("generation {number} of {name} is not known any more; known are {known}");
            return refuse(order, why);
        };
        let configured = &self.settings.request.issuer;
        let issuer_name = generation.issuer.as_ref().unwrap_or(configured).clone();
        let issuer = self.world.issuers.borrow().get(&issuer_name).cloned();
        let Some(issuer) = issuer else {
            let why = format!(
                "generation {number} of {name} is of the issuer {issuer_name}, which is not configured any more; \
                 revoke it at the CA"
            );
            return refuse(order, why);
        };
        let leaf = match sound::leaf(&self.world.store, &name, &generation) {
            Ok(leaf) => leaf,
            Err(error) => return refuse(order, error.to_string()),
        };
        let held = issuer.shows_identity();
        let held = held.then(|| sound::held(&self.world.store, &name, &generation).ok());
        self.begin(async move {
            let revocation = Revocation {
                leaf: &leaf,
                reason: order.reason,
                identity: held.as_ref().and_then(Option::as_ref),
            };
            let answer = issuer.revoke(revocation).await;
            Outcome::Revoked(Box::new(Revoked {
                order,
                number,
                generation,
                answer: answer.map_err(|error| error.operator_text()),
            }))
        });
    }

    pub(super) fn revoked(&mut self, revoked: Revoked) {
        let Revoked {
            order,
            number,
            generation,
            answer,
        } = revoked;
        let serial = generation.leaf.serial;
        let answer = answer.map_err(ControlError::Failed).map(|()| {
            journal::emit(&journal::Event::Revoked {
                certificate: self.settings.name.clone(),
                generation: number,
                serial: serial.clone(),
                reason: order.reason.label(),
            });
            self.unkept.try_now();
            if order.reason == Reason::KeyCompromise {
                // Before the record knows: a crash in between must not bring one of them again.
                self.done_or_said(self.world.store.forget_all_asked(&self.settings.name));
            }
            self.fold(Event::Revoked(generation.identity));
            if order.reason == Reason::KeyCompromise && self.asking {
                // What is under way has such a key: it comes to its end, and is followed by another.
                self.fold(Event::RenewRequested);
            }
            Leaf {
                generation: number,
                identity: generation.identity,
                serial,
            }
        });
        // Who asked may have gone; the record knows.
        let _ = order.reply.send(answer);
    }
}
