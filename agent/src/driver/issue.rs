//! From "ask the issuer" to an accepted identity: a fresh key, a request, the answer, and the gate that
//! it must pass. Where the issuer makes the keys, key and answer come together, and pass the same gate.
//! Touches no record and no disk; what it returns is kept by the lane.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::Timestamp;
use renewd_core::accept::{Accepted, Answer, Warning, accept};
use renewd_core::leaf::Fingerprint;
use renewd_core::names::IssuerName;
use renewd_core::pem;
use renewd_core::record::{Generation, NewIdentity};
use renewd_core::supply::{Again, Failure};
use renewd_store::Identity;

use crate::config::CertificateSettings;
use crate::driver::asked::{self, fresh_key};
use crate::driver::sound;
use crate::driver::trust::{Stands, Trust, add, answered};
use crate::driver::world::World;
use crate::issuer::{
    HeldIdentity, IssueError, Issuer, Order, Retry, Sent, Supplied, Supplier, Wanted,
};
use crate::journal;
use crate::keys::PrivateKey;

/// An identity that was accepted, and the bundle to go with it.
pub(crate) struct Issued {
    pub(crate) identity: Identity,
    pub(crate) new: NewIdentity,
    pub(crate) bundle_pem: String,
    /// Its key and request are on disk since before the issuer was asked, until this is.
    pub(crate) asked: bool,
}

/// What is wanted of issuers, and what is known before they are asked.
pub(crate) struct Quest {
    pub(crate) world: Rc<World>,
    pub(crate) settings: Rc<CertificateSettings>,
    /// What was issued last: it is to be replaced.
    pub(crate) newest: Option<Generation>,
    /// What is shown to a CA that wants to see it.
    pub(crate) shown: Option<Generation>,
    /// The leaves that were had for this very request.
    pub(crate) had: Vec<Fingerprint>,
    /// The keys of all that was had.
    pub(crate) keys: Vec<Fingerprint>,
    /// What the bundle was until now.
    pub(crate) trust: Trust,
    /// The anchors in what is published: a stand-in's certificate is to chain to one of them, for others verify it.
    pub(crate) known: Vec<Fingerprint>,
    /// From when on another issuer may be asked where the first one fails.
    pub(crate) fall_back_from: Option<Timestamp>,
    /// Until when which of the others are left alone.
    pub(crate) put_off: BTreeMap<IssuerName, Timestamp>,
    /// When what is published ends.
    pub(crate) end: Option<Timestamp>,
}

impl Quest {
    /// Asks one issuer, and accepts or refuses what it answers.
    pub(super) async fn ask(
        &self,
        name: &IssuerName,
        heard: Option<Rc<Stands>>,
    ) -> Result<Issued, Failure> {
        let (world, request) = (&self.world, &self.settings.request);
        let issuer = world.issuers.borrow().get(name).cloned();
        let issuer = issuer.ok_or_else(|| Failure {
            text: format!("issuer {:?} is not configured", name.as_str()),
            again: Again::Operator,
            answered: false,
        })?;
        let supplied = match issuer.supplier() {
            Some(supplier) => Some(self.take(supplier).await?),
            None => None,
        };
        // Held before the answer comes: an answer never makes itself an anchor. Only where all comes together, this does.
        let others = self.settings.issuers().filter(|other| *other != name);
        let mut offered = world.hearsay.of_all(others);
        let bundle = match (&supplied, heard) {
            (Some(supplied), _) => {
                add(&mut offered.anchors, &supplied.bundle);
                supplied.bundle.clone()
            }
            (None, heard) => {
                let stands = match heard {
                    Some(stands) => stands,
                    None => answered(issuer.as_ref()).await?,
                };
                offered.add(&stands);
                stands.anchors.clone()
            }
        };
        let merged = self
            .trust
            .merged(offered.anchors, offered.complete, world.now());
        let mut merged = merged.map_err(|error| Failure {
            text: error.to_string(),
            again: Again::BackOff,
            answered: false,
        })?;
        let mut anchors = match &supplied {
            Some(supplied) => supplied.anchors.clone(),
            None => bundle,
        };
        if *name != request.issuer {
            anchors.retain(|anchor| self.known.contains(&Fingerprint::of(anchor)));
        }
        if anchors.is_empty() {
            return Err(Failure {
                text: "none of its roots stands in the bundle that is published, so who verifies this certificate may not \
                       know them; they are published beside the certificate in use as soon as this issuer tells them"
                    .to_owned(),
                again: Again::BackOff,
                answered: false,
            });
        }
        let issued = supplied.is_none();
        let (key, answer) = match supplied {
            Some(supplied) => (supplied.key, supplied.answer),
            None => self.order(name, issuer.as_ref()).await?,
        };
        let accepted = accept(request, &key.fingerprint(), &answer, &anchors, world.now());
        let asked = issued && issuer.signs_later();
        let mut accepted = accepted.map_err(|refusal| {
            if asked {
                asked::forget(&world.store, &self.settings.name, name);
            }
            Failure {
                text: format!("the issuer's answer was refused: {refusal}"),
                again: Again::BackOff,
                answered: issued,
            }
        })?;
        if !issued {
            // Nobody was asked for a life.
            let asked = |warning: &Warning| !matches!(warning, Warning::ShorterLife { .. });
            accepted.warnings.retain(asked);
        }
        wait_until_usable(world, &accepted).await;
        // The first certificate comes with its lists: a service could not start without the file. What is refused is told
        // when the issuer is asked for them the next time.
        let chain: Vec<_> = accepted
            .chain
            .iter()
            .chain(&self.trust.chain)
            .cloned()
            .collect();
        merged.bundle.take_crls(&offered.crls, &chain, world.now());
        let new = NewIdentity {
            leaf: accepted.facts.clone(),
            usable_until: accepted.usable_until,
            anchor: accepted.anchor,
            request: request.digest(),
            issuer: name.clone(),
            trust: merged.bundle.part(),
        };
        let identity = Identity {
            key_pem: key.pem(),
            leaf_pem: pem::certificates(std::slice::from_ref(&accepted.leaf)),
            chain_pem: pem::certificates(&accepted.chain),
        };
        for warning in &accepted.warnings {
            journal::emit(&journal::Event::AcceptedWithWarning {
                certificate: self.settings.name.clone(),
                warning: warning.to_string(),
            });
        }
        Ok(Issued {
            identity,
            new,
            bundle_pem: merged.bundle.pem(),
            asked,
        })
    }

    /// Makes a key, and asks for a certificate for it.
    async fn order(
        &self,
        name: &IssuerName,
        issuer: &dyn Issuer,
    ) -> Result<(PrivateKey, Answer), Failure> {
        let (world, request) = (&self.world, &self.settings.request);
        let digest = request.digest();
        let certificate = &self.settings.name;
        let later = issuer.signs_later();
        let open = later.then(|| asked::kept(&world.store, certificate, name, digest, &self.keys));
        // One that is lost or damaged is replaced without saying so.
        let leaf = |newest| sound::leaf(&world.store, &self.settings.name, newest).ok();
        let replaced = self.newest.as_ref().and_then(leaf);
        // It is nobody's affair but its own CA's.
        let own = |shown: &&Generation| shown.issuer.as_ref().is_none_or(|of| of == name);
        let shown = self.shown.as_ref();
        let held = shown
            .filter(|shown| issuer.shows_identity() && own(shown))
            .and_then(|shown| sound::held(&world.store, &self.settings.name, shown).ok());
        // Only of a leaf that is renewed: of another one's names it would be the wrong subject.
        let renews = |held: &&HeldIdentity| {
            let names = shown.map(|shown| &shown.leaf.names);
            let same = names.is_some_and(|names| {
                let wanted: Vec<String> = request.names.iter().map(ToString::to_string).collect();
                names.len() == wanted.len() && names.iter().all(|name| wanted.contains(name))
            });
            issuer.compares_subject() && same && held.not_after > world.now()
        };
        let renewed = held.as_ref().filter(renews);
        let renewed = renewed.map(|held| held.leaf.clone());
        let asked = match open.flatten() {
            Some(asked) => asked,
            None => {
                let asked = fresh_key(request, renewed).await?;
                if later {
                    asked.keep(&world.store, certificate, name)?;
                }
                asked
            }
        };
        let order = Order {
            certificate: &self.settings.name,
            request,
            csr: &asked.csr,
            replaces: replaced.as_ref(),
            identity: held.as_ref(),
        };
        let turn = world.turn(name).await;
        let answered = issuer.issue(order).await;
        drop(turn);
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) => {
                if later && error.sent() != Sent::Open {
                    asked::forget(&world.store, certificate, name);
                }
                return Err(failure(&error));
            }
        };
        Ok((asked.key, answer))
    }

    /// Takes what there is, with its key.
    async fn take(&self, supplier: &dyn Supplier) -> Result<Supplied, Failure> {
        let wanted = Wanted {
            certificate: &self.settings.name,
            request: &self.settings.request,
            known: &self.had,
        };
        let supplied = supplier.supply(wanted).await;
        supplied.map_err(|error| failure(&error))
    }
}

/// A leaf may begin up to a minute from now; a service that checks would refuse it until then.
async fn wait_until_usable(world: &World, accepted: &Accepted) {
    while world.now() < accepted.usable_from {
        world.clock.sleep_until(accepted.usable_from).await;
    }
}

pub(super) fn failure(error: &IssueError) -> Failure {
    let again = match error.retry() {
        Retry::Now => Again::Now,
        Retry::BackOff => Again::BackOff,
        Retry::After(delay) => Again::After(delay),
        Retry::Operator => Again::Operator,
    };
    Failure {
        text: error.operator_text(),
        again,
        answered: error.sent() == Sent::Spent,
    }
}
