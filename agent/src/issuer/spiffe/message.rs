//! The messages of the SPIFFE Workload API that bring X.509-SVIDs, in the wire format of protocol buffers.
//!
//! Two messages of one level each, so they are read by hand: what is not understood is skipped, as the format wants, and
//! nothing is believed about any length. Keys are in memory that is wiped. Certificates are looked at
//! when they are needed, so that a bad one spoils no other identity's.

use std::collections::BTreeMap;
use std::fmt;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// The most certificates of one list; a trust domain has a handful.
const MOST_CERTIFICATES: usize = 100;

/// What the Workload API has for us (`X509SVIDResponse`). Its revocation lists are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Update {
    pub(super) svids: Vec<Svid>,
    /// The bundles of other trust domains, by the domain's name.
    pub(super) federated: BTreeMap<String, Vec<u8>>,
}

/// One identity (`X509SVID`).
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Svid {
    pub(super) id: String,
    /// Leaf and chain, one after the other.
    pub(super) certificates: Vec<u8>,
    /// PKCS#8.
    pub(super) key: Zeroizing<Vec<u8>>,
    /// The anchors of its trust domain, one after the other.
    pub(super) bundle: Vec<u8>,
}

impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Svid({:?})", self.id)
    }
}

/// What is wrong with a message: where it stands, and no word of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

impl Update {
    /// Reads a message.
    pub(super) fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut update = Self::default();
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Some(svid)) => update.svids.push(Svid::read(svid)?),
                (3, Some(entry)) => {
                    let (domain, bundle) = federated(entry)?;
                    update.federated.insert(domain, bundle);
                }
                _ => {}
            }
        }
        Ok(update)
    }
}

impl Update {
    /// The SVID of an identity. Where several are of one, the first is meant (SPIFFE Workload API, section 5.3).
    pub(super) fn svid(&self, id: &str) -> Option<&Svid> {
        self.svids.iter().find(|svid| svid.id == id)
    }

    /// Whose SVIDs these are.
    pub(super) fn ids(&self) -> Vec<String> {
        self.svids.iter().map(|svid| svid.id.clone()).collect()
    }
}

impl Svid {
    fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut svid = Self::default();
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Some(value)) => svid.id = text(value)?,
                (2, Some(value)) => svid.certificates = value.to_vec(),
                (3, Some(value)) => svid.key = Zeroizing::new(value.to_vec()),
                (4, Some(value)) => svid.bundle = value.to_vec(),
                _ => {}
            }
        }
        Ok(svid)
    }
}

/// An entry of a map is a message of its key and its value. The key is a trust domain's SPIFFE ID; its bare name is
/// what older servers sent.
fn federated(message: &[u8]) -> Result<(String, Vec<u8>), Malformed> {
    let (mut domain, mut bundle) = (String::new(), Vec::new());
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Some(value)) => domain = text(value)?,
            (2, Some(value)) => bundle = value.to_vec(),
            _ => {}
        }
    }
    let name = domain.strip_prefix("spiffe://").unwrap_or(&domain);
    Ok((name.to_owned(), bundle))
}

fn text(value: &[u8]) -> Result<String, Malformed> {
    let text = std::str::from_utf8(value).map_err(|_| Malformed("a text in it is none"))?;
    Ok(text.to_owned())
}

/// Its number, and its content where it has a length of its own.
type Field<'a> = (u64, Option<&'a [u8]>);

/// The fields of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => {
                self.number()?;
                None
            }
            1 => self.take(8).map(|_| None)?,
            2 => {
                let length = self.number()?;
                Some(self.take(length)?)
            }
            5 => self.take(4).map(|_| None)?,
            _ => return Err(Malformed("a field in it is of no kind that there is")),
        };
        Ok(Some((tag >> 3, value)))
    }

    /// A varint: seven bits in each byte, the lowest first.
    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for (place, byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.0 = &self.0[place + 1..];
                return Ok(number);
            }
        }
        Err(Malformed("a number in it has no end"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).ok();
        let split = length.and_then(|length| self.0.split_at_checked(length));
        let (value, rest) = split.ok_or(Malformed("it ends in the middle of a field"))?;
        self.0 = rest;
        Ok(value)
    }
}

/// Certificates that stand one after the other. What is none is refused: a service may stumble over it.
pub(super) fn certificates(mut bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Malformed> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (rest, _) = X509Certificate::from_der(bytes)
            .map_err(|_| Malformed("there is something that is no certificate"))?;
        if found.len() == MOST_CERTIFICATES {
            return Err(Malformed("more certificates than anybody needs"));
        }
        let length = bytes.len() - rest.len();
        found.push(CertificateDer::from(bytes[..length].to_vec()));
        bytes = rest;
    }
    Ok(found)
}
