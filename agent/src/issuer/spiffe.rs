//! The SPIFFE Workload API: X.509-SVIDs that a local agent hands out, with their keys, and renews by itself.
//!
//! Owns one connection to the agent's socket ([`stream`]), which lasts for as long as the issuer is configured, and the choice
//! of what of its answer is for whom ([`message`] reads it). What is trusted is the socket: who can take its place is
//! believed. Of what it says, anchors are taken for the configured trust domain alone, and of other domains only for those that
//! the operator names: to a peer that verifies with a plain bundle, every root in it may say any name.

mod error;
mod grpc;
mod keys;
mod message;
mod stream;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use renewd_core::accept::Answer;
use renewd_core::leaf::Fingerprint;
use renewd_core::names::San;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use super::{Finding, IssueError, Issuer, Order, Question, Retry, Supplied, Supplier, Wanted};
use crate::journal::{self, Event};
use crate::keys::PrivateKey;
pub use error::SpiffeError;
pub use keys::KIND;
use message::{Svid, Update, certificates};
use stream::{Heard, Line, Waits};

const SCHEME: &str = "spiffe://";

/// What is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiffeSettings {
    /// The agent's socket.
    pub socket: PathBuf,
    /// Whose identities and anchors are taken, such as `example.org`.
    pub trust_domain: String,
    /// The other trust domains whose anchors are published, too.
    pub federated: Vec<String>,
}

/// A Workload API. Made without connecting to it; that is done when it is first needed.
pub struct SpiffeIssuer {
    settings: SpiffeSettings,
    waits: Waits,
    line: OnceLock<Line>,
}

impl SpiffeIssuer {
    /// The Workload API of these settings.
    pub fn new(settings: SpiffeSettings) -> Self {
        Self::with(settings, Waits::default())
    }

    fn with(settings: SpiffeSettings, waits: Waits) -> Self {
        Self {
            settings,
            waits,
            line: OnceLock::new(),
        }
    }

    fn line(&self) -> &Line {
        self.line
            .get_or_init(|| Line::open(self.settings.socket.clone(), self.waits))
    }

    /// What holds now. Where there is nothing, it is asked for once.
    async fn held(&self) -> Result<Arc<Update>, SpiffeError> {
        let mut heard = self.line().heard();
        if heard.update.is_none() {
            heard = self.line().ask_anew(heard.round).await;
        }
        match (heard.update, heard.trouble) {
            (Some(update), _) => Ok(update),
            (None, Some(trouble)) => Err(trouble),
            // A round that is over brought one or the other.
            (None, None) => Err(SpiffeError::Silent {
                socket: self.settings.socket.clone(),
                waited: self.waits.silence,
            }),
        }
    }

    fn malformed(&self, what: &str, why: &message::Malformed) -> SpiffeError {
        SpiffeError::malformed(&self.settings.socket, what, why)
    }

    /// The anchors of the own trust domain, and all that are to be published.
    fn bundles(&self, update: &Update) -> Result<Bundles, SpiffeError> {
        let mut anchors = Vec::new();
        let own = update.svids.iter().filter(|svid| self.is_ours(&svid.id));
        for svid in own {
            let bundle = certificates(&svid.bundle);
            let bundle = bundle.map_err(|why| {
                self.malformed(
                    &format!("the bundle of {}", self.settings.trust_domain),
                    &why,
                )
            })?;
            add(&mut anchors, bundle);
        }
        if anchors.is_empty() {
            // A message without them is a server's mistake, and takes no trust away.
            let what = format!("the bundle of {}", self.settings.trust_domain);
            return Err(self.malformed(&what, &message::Malformed("there is none")));
        }
        let mut published = anchors.clone();
        let mut missing = Vec::new();
        for domain in &self.settings.federated {
            // What is wrong with another domain's is no reason to go without our own.
            let bundle = update
                .federated
                .get(domain)
                .map(|bundle| certificates(bundle));
            match bundle {
                Some(Ok(bundle)) if !bundle.is_empty() => add(&mut published, bundle),
                _ => missing.push(domain.clone()),
            }
        }
        Ok(Bundles {
            anchors,
            published,
            missing,
        })
    }

    fn is_ours(&self, id: &str) -> bool {
        let rest = id.strip_prefix(SCHEME);
        let domain = rest.and_then(|rest| rest.split('/').next());
        domain == Some(self.settings.trust_domain.as_str())
    }

    /// What is there for `wanted`.
    fn find(&self, heard: &Heard, wanted: Wanted<'_>) -> Result<Supplied, SpiffeError> {
        let update = match (&heard.update, &heard.trouble) {
            (Some(update), _) => update,
            (None, Some(trouble)) => return Err(trouble.clone()),
            (None, None) => &Arc::default(),
        };
        let id = id(wanted.request);
        let found = match update.svid(id) {
            Some(svid) => self.supplied(update, svid, wanted),
            None => Err(self.other_identity(id, update)),
        };
        match (found, &heard.trouble) {
            // That nothing better came is no wonder where nothing can come.
            (Err(SpiffeError::NothingNewer { .. }), Some(trouble)) => Err(trouble.clone()),
            (Err(SpiffeError::OtherIdentity { .. }), Some(trouble)) => Err(trouble.clone()),
            (found, _) => found,
        }
    }

    fn other_identity(&self, id: &str, update: &Update) -> SpiffeError {
        SpiffeError::OtherIdentity {
            socket: self.settings.socket.clone(),
            id: id.to_owned(),
            has: update.ids(),
        }
    }

    fn supplied(
        &self,
        update: &Update,
        svid: &Svid,
        wanted: Wanted<'_>,
    ) -> Result<Supplied, SpiffeError> {
        let of = |what: &str| format!("the {what} of {}", svid.id);
        let mut chain = certificates(&svid.certificates)
            .map_err(|why| self.malformed(&of("SVID"), &why))?
            .into_iter();
        let leaf = chain.next().ok_or_else(|| {
            self.malformed(&of("SVID"), &message::Malformed("there is no certificate"))
        })?;
        if wanted.known.contains(&Fingerprint::of(&leaf)) {
            return Err(SpiffeError::NothingNewer {
                socket: self.settings.socket.clone(),
                id: svid.id.clone(),
            });
        }
        let key = PrivateKey::from_pkcs8(&svid.key).map_err(|error| SpiffeError::Malformed {
            socket: self.settings.socket.clone(),
            what: of("key"),
            why: error.to_string(),
        })?;
        let bundles = self.bundles(update)?;
        for domain in &bundles.missing {
            journal::emit(&Event::IssuerWarning {
                certificate: wanted.certificate.clone(),
                warning: format!(
                    "the Workload API has no bundle of {domain} that can be read, and `federated` names it; let the \
                     registration entry federate with it"
                ),
            });
        }
        Ok(Supplied {
            key,
            answer: Answer {
                leaf,
                chain: chain.collect(),
            },
            anchors: bundles.anchors,
            bundle: bundles.published,
        })
    }
}

struct Bundles {
    /// Of the own trust domain.
    anchors: Vec<CertificateDer<'static>>,
    /// Those, and of the federated ones that were asked for.
    published: Vec<CertificateDer<'static>>,
    /// Of which of these nothing came that can be used.
    missing: Vec<String>,
}

fn add(to: &mut Vec<CertificateDer<'static>>, more: Vec<CertificateDer<'static>>) {
    for one in more {
        if !to.contains(&one) {
            to.push(one);
        }
    }
}

/// The one SPIFFE ID that the configuration asks for.
fn id(request: &Request) -> &str {
    let mut ids = request.names.iter().filter_map(|name| match name {
        San::Uri(id) => Some(id.as_str()),
        San::Dns(_) | San::Ip(_) => None,
    });
    ids.next().unwrap_or_default()
}

impl Supplier for SpiffeIssuer {
    fn supply<'a>(&'a self, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Supplied, IssueError>> {
        Box::pin(async move {
            let heard = self.line().heard();
            if heard.update.is_some()
                && let Ok(supplied) = self.find(&heard, wanted)
            {
                return Ok(supplied);
            }
            let heard = self.line().ask_anew(heard.round).await;
            Ok(self.find(&heard, wanted)?)
        })
    }

    fn has_another(&self, wanted: Wanted<'_>) -> bool {
        let heard = self.line().heard();
        let update = heard.update.unwrap_or_default();
        let svid = update.svid(id(wanted.request));
        svid.is_some_and(|svid| {
            let chain = certificates(&svid.certificates).unwrap_or_default();
            let leaf = chain.first().map(|leaf| Fingerprint::of(leaf));
            leaf.is_some_and(|leaf| !wanted.known.contains(&leaf))
        })
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.line().news()
    }
}

impl Issuer for SpiffeIssuer {
    fn issue<'a>(&'a self, _order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        Box::pin(async {
            Err(IssueError::new(
                "no-requests",
                Retry::Operator,
                "the Workload API signs no requests: its certificates come with their keys",
                "use another issuer for keys that are made here",
            ))
        })
    }

    fn supplier(&self) -> Option<&dyn Supplier> {
        Some(self)
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(async move {
            let update = self.held().await?;
            Ok(self.bundles(&update)?.published)
        })
    }

    fn check<'a>(&'a self, requests: &'a [Request]) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            let heard = self.line().heard();
            let heard = self.line().ask_anew(heard.round).await;
            let socket = self.settings.socket.display();
            let mut findings = Vec::new();
            match heard.trouble.clone().map(IssueError::from) {
                None => {
                    findings.push(Finding::yes(
                        Question::Reachable,
                        format!("{socket} answers"),
                    ));
                }
                Some(error) => return vec![Finding::no(Question::Reachable, &error)],
            }
            let update = heard.update.unwrap_or_default();
            findings.extend([
                match update.ids().len() {
                    0 => Finding::unknown(Question::Authenticated, "it told no identity yet"),
                    told => Finding::yes(
                        Question::Authenticated,
                        format!("it knows this process; identities for it: {told}"),
                    ),
                },
                Finding::unknown(
                    Question::Clock,
                    "the Workload API tells no time: an SVID that is not valid yet is refused",
                ),
            ]);
            for id in requests.iter().map(id) {
                findings.push(match update.svid(id) {
                    Some(_) => Finding::yes(Question::MayIssue, format!("it has an SVID for {id}")),
                    None => {
                        let error = self.other_identity(id, &update);
                        Finding::no(Question::MayIssue, &error.into())
                    }
                });
            }
            findings
        })
    }
}

#[cfg(test)]
mod tests;
