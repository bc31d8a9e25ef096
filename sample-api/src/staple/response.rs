//! An OCSP response, as far as a server wants to know it (RFC 6960, section 4.2.1).

use std::time::SystemTime;

use aws_lc_rs::digest::{self, Algorithm};
use x509_parser::asn1_rs::{Any, BitString, Class, FromDer, GeneralizedTime, Tag};
use x509_parser::prelude::X509Certificate;
use x509_parser::time::ASN1Time;
use x509_parser::verify::verify_signature;
use x509_parser::x509::AlgorithmIdentifier;

use super::StapleError;
use crate::leaf::time;

/// `id-pkix-ocsp-basic`, the only type that there is.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];

/// A response that was parsed. Nothing of it is believed yet.
#[derive(Debug)]
pub struct Response<'a> {
    signed: &'a [u8],
    algorithm: AlgorithmIdentifier<'a>,
    signature: BitString<'a>,
    responders: Vec<X509Certificate<'a>>,
    all: Vec<Single<'a>>,
}

/// What it says of one certificate.
#[derive(Debug)]
struct Single<'a> {
    hash: &'a [u8],
    issuer_name: &'a [u8],
    issuer_key: &'a [u8],
    serial: &'a [u8],
    said: Certified,
}

/// What an issuer says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certified {
    /// Whether it is good.
    pub status: Status,
    /// When that was known to be so.
    pub from: SystemTime,
    /// When there will be something newer.
    pub until: Option<SystemTime>,
}

/// Whether a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is not revoked.
    Good,
    /// It is revoked.
    Revoked,
    /// The responder does not know it.
    Unknown,
}

impl<'a> Response<'a> {
    /// Reads a response.
    ///
    /// # Errors
    ///
    /// When it is none, or a responder's error.
    pub fn parse(der: &'a [u8]) -> Result<Self, StapleError> {
        let mut whole = Fields(der);
        let mut response = whole.inside(Tag::Sequence)?;
        whole.end()?;
        if response.next(Tag::Enumerated)?.data != [0] {
            return Err(StapleError::Failed);
        }
        let mut bytes = response.tagged(0)?.ok_or(StapleError::Malformed)?;
        let mut bytes = bytes.inside(Tag::Sequence)?;
        if bytes.next(Tag::Oid)?.data != BASIC {
            return Err(StapleError::Malformed);
        }
        let mut basic = Fields(bytes.next(Tag::OctetString)?.data).inside(Tag::Sequence)?;
        let signed = basic.whole(Tag::Sequence)?.0;
        let mut algorithm = basic.whole(Tag::Sequence)?;
        Fields(algorithm.0).inside(Tag::Sequence)?.next(Tag::Oid)?;
        let algorithm = algorithm.read()?;
        let signature: BitString<'_> = basic.whole(Tag::BitString)?.read()?;
        if signature.unused_bits != 0 {
            return Err(StapleError::Malformed);
        }
        let mut responders = Vec::new();
        if let Some(mut list) = basic.tagged(0)? {
            let mut list = list.inside(Tag::Sequence)?;
            while !list.0.is_empty() {
                let (rest, one) =
                    X509Certificate::from_der(list.0).map_err(|_| StapleError::Malformed)?;
                list.0 = rest;
                responders.push(one);
            }
        }
        Ok(Self {
            signed,
            algorithm,
            signature,
            responders,
            all: singles(Fields(signed).inside(Tag::Sequence)?)?,
        })
    }

    /// Whether the issuer has signed it, or a responder to which the issuer gave a certificate for that (section 4.2.2.2).
    pub fn is_signed_for(&self, issuer: &X509Certificate<'_>, now: SystemTime) -> bool {
        let signed = |by: &X509Certificate<'_>| {
            verify_signature(
                by.public_key(),
                &self.algorithm,
                &self.signature,
                self.signed,
            )
            .is_ok()
        };
        let named = |responder: &X509Certificate<'_>| {
            let usage = responder.extended_key_usage().ok().flatten();
            let validity = responder.validity();
            usage.is_some_and(|usage| usage.value.ocsp_signing)
                && time(validity.not_before) <= now
                && now <= time(validity.not_after)
                && responder
                    .verify_signature(Some(issuer.public_key()))
                    .is_ok()
        };
        signed(issuer) || self.responders.iter().any(|one| named(one) && signed(one))
    }

    /// What it says of a certificate of that issuer.
    pub fn of(
        &self,
        leaf: &X509Certificate<'_>,
        issuer: &X509Certificate<'_>,
    ) -> Option<Certified> {
        let key = &*issuer.public_key().subject_public_key.data;
        let found = self.all.iter().find(|single| {
            let is = |algorithm: &'static Algorithm| {
                let hash = |bytes| digest::digest(algorithm, bytes);
                hash(leaf.issuer().as_raw()).as_ref() == single.issuer_name
                    && hash(key).as_ref() == single.issuer_key
            };
            let issuer = match single.hash {
                SHA1 => is(&digest::SHA1_FOR_LEGACY_USE_ONLY),
                SHA256 => is(&digest::SHA256),
                _ => false,
            };
            issuer && single.serial == leaf.raw_serial()
        });
        found.map(|single| single.said)
    }
}

/// `ResponseData`: of the answers, those with extensions, too.
fn singles(mut data: Fields<'_>) -> Result<Vec<Single<'_>>, StapleError> {
    data.tagged(0)?;
    // The responder, by name or by key: the signature says who it was.
    data.any()?;
    data.next(Tag::GeneralizedTime)?;
    let mut list = data.inside(Tag::Sequence)?;
    let mut all = Vec::new();
    while !list.0.is_empty() {
        let mut single = list.inside(Tag::Sequence)?;
        let mut id = single.inside(Tag::Sequence)?;
        let status = single.any()?;
        let status = match (status.class(), status.tag().0) {
            (Class::ContextSpecific, 0) => Status::Good,
            (Class::ContextSpecific, 1) => Status::Revoked,
            (Class::ContextSpecific, 2) => Status::Unknown,
            _ => return Err(StapleError::Malformed),
        };
        let from = single.moment()?;
        let until = match single.tagged(0)? {
            Some(mut until) => Some(until.moment()?),
            None => None,
        };
        all.push(Single {
            hash: id.inside(Tag::Sequence)?.next(Tag::Oid)?.data,
            issuer_name: id.next(Tag::OctetString)?.data,
            issuer_key: id.next(Tag::OctetString)?.data,
            serial: id.next(Tag::Integer)?.data,
            said: Certified {
                status,
                from,
                until,
            },
        });
    }
    Ok(all)
}

/// What is left of a sequence.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn read<T: FromDer<'a, E>, E>(&mut self) -> Result<T, StapleError> {
        let (rest, value) = T::from_der(self.0).map_err(|_| StapleError::Malformed)?;
        self.0 = rest;
        Ok(value)
    }

    fn any(&mut self) -> Result<Any<'a>, StapleError> {
        self.read()
    }

    fn next(&mut self, tag: Tag) -> Result<Any<'a>, StapleError> {
        let any = self.any()?;
        let form = any.header.is_constructed() == (tag == Tag::Sequence);
        match any.class() == Class::Universal && any.tag() == tag && form {
            true => Ok(any),
            false => Err(StapleError::Malformed),
        }
    }

    /// With its head, for a parser that is content with less.
    fn whole(&mut self, tag: Tag) -> Result<Self, StapleError> {
        let before = self.0;
        self.next(tag)?;
        Ok(Self(&before[..before.len() - self.0.len()]))
    }

    fn inside(&mut self, tag: Tag) -> Result<Self, StapleError> {
        self.next(tag).map(|any| Self(any.data))
    }

    /// What is tagged by that number, if it is what comes next.
    fn tagged(&mut self, number: u32) -> Result<Option<Self>, StapleError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let before = self.0;
        let any = self.any()?;
        let form = any.header.is_constructed();
        if any.class() == Class::ContextSpecific && any.tag().0 == number && form {
            return Ok(Some(Self(any.data)));
        }
        self.0 = before;
        Ok(None)
    }

    fn moment(&mut self) -> Result<SystemTime, StapleError> {
        let moment: GeneralizedTime = self.read()?;
        let moment = moment.utc_datetime().map_err(|_| StapleError::Malformed)?;
        Ok(time(ASN1Time::from(moment)))
    }

    fn end(self) -> Result<(), StapleError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(StapleError::Malformed),
        }
    }
}
