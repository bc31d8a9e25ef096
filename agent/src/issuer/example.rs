//! `type = "hand"`: people carry the request to a CA, and the certificate back.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use renewd_core::accept::Answer;
use renewd_core::leaf::Fingerprint;
use renewd_core::pem;
use rustls_pki_types::CertificateDer;

use super::https::{self, Trust};
use super::kind::{Configured, Home, Kind};
use super::{IssueError, Issuer, Order, Retry, Sent, places};
use crate::table::values::parse;
use crate::table::{Report, Schema, Section, key};

/// What everybody else knows of it.
pub const KIND: Kind = Kind {
    name: "hand",
    schema: &Schema {
        title: "[issuer.NAME] with type = \"hand\"",
        in_main_file: true,
        placing: "write it below an [issuer.NAME] with type = \"hand\" in renewd.toml",
        keys: &[
            key("type", "an issuer's type in quotes", "\"hand\""),
            key("tray", "a path in quotes", "\"/srv/tray\""),
        ],
        aliases: &[("directory", "tray")],
    },
    told_by: "tray",
    for_clients: true,
    sockets: &[],
    read,
};

/// What is written of one.
#[derive(Debug, Clone, PartialEq)]
struct Hand {
    /// Has the CA's `roots.pem`; DIGEST.csr is what is to be signed, DIGEST.pem what came of it: the leaf, then its chain.
    tray: PathBuf,
}

fn read(section: &Section<'_>, report: &mut Report) -> Option<Arc<dyn Configured>> {
    const TRAY: &str = "tray = \"/srv/tray\"";
    section.need("tray", "the directory for both", TRAY, report);
    let tray = parse(&section.text("tray", report), report, |text| {
        places::path(text, TRAY)
    });
    Some(Arc::new(Hand { tray: tray?.value }))
}

impl Configured for Hand {
    fn make(&self, _home: Home) -> Rc<dyn Issuer> {
        Rc::new(self.clone())
    }
}

impl Issuer for Hand {
    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        Box::pin(async move {
            let digest = Fingerprint::of(order.csr);
            let (request, answer) = (format!("{digest}.csr"), format!("{digest}.pem"));
            let open = |error| {
                let what = format!("nobody has signed {request} yet");
                let remedy = format!("put {answer} into {}", self.tray.display());
                IssueError::new("hand-open", Retry::BackOff, what, remedy)
                    .caused_by(error)
                    .with_the_request(Sent::Open)
            };
            let put = tokio::fs::write(self.tray.join(&request), order.csr);
            put.await.map_err(open)?;
            let text = tokio::fs::read_to_string(self.tray.join(&answer));
            let chain = pem::parse_certificates(&text.await.map_err(open)?);
            let mut chain = chain.unwrap_or_default().into_iter();
            let leaf = chain.next();
            Ok(Answer {
                leaf: leaf.ok_or_else(|| open(std::io::ErrorKind::InvalidData.into()))?,
                chain: chain.collect(),
            })
        })
    }

    /// The next order for the same brings the same request.
    fn signs_later(&self) -> bool {
        true
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        let roots = Trust::File(self.tray.join("roots.pem"));
        Box::pin(async move { Ok(https::anchors(&roots)?) })
    }
}
