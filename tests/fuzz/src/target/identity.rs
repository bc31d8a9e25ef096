//! A client's certificate: exactly one identity or an error, and the one that the verifier reads in it, too.

use renewd_sample_api::identity::{Kind, Peer};
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::der::{self, CA, END, tlv};

/// The first byte says what the rest is.
pub(crate) fn run(data: &[u8]) {
    let Some((form, rest)) = data.split_first() else {
        return;
    };
    let certificate = match form {
        0 => rest.to_vec(),
        1 => certificate(&der::name("x"), &[der::names(rest), der::usages()].concat()),
        2 => certificate(&tlv(0x30, &[rest]), &der::usages()),
        3 => certificate(&der::name("x"), rest),
        _ => return,
    };
    let certificate = CertificateDer::from(certificate);
    let strict = Peer::of(&certificate, false);
    let loose = Peer::of(&certificate, true);
    if let Ok(identity) = &strict.identity {
        assert_ne!(identity.kind, Kind::Cn);
        assert_eq!(loose.identity.as_ref(), Ok(identity));
    }
    assert!(strict.serial.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let Ok(identity) = loose.identity else {
        return;
    };
    let space = |byte| identity.kind == Kind::Cn && byte == b' ';
    let name = identity.name.as_str();
    assert!(!name.is_empty() && name.trim() == name);
    assert!(
        name.bytes()
            .all(|byte| byte.is_ascii_graphic() || space(byte))
    );
    // Whom the verifier cannot read does not get in.
    let Ok(verified) = EndEntityCert::try_from(&certificate) else {
        return;
    };
    let uris: Vec<_> = verified.valid_uri_names().collect();
    let dns: Vec<_> = verified
        .valid_dns_names()
        .map(str::to_ascii_lowercase)
        .collect();
    match identity.kind {
        Kind::Uri => assert_eq!(uris, [name]),
        // What is no DNS name at all is none to the verifier.
        Kind::Dns => assert!(
            uris.is_empty() && dns.iter().all(|one| one == name),
            "{dns:?}"
        ),
        Kind::Cn => assert!(uris.is_empty() && dns.is_empty(), "{uris:?} {dns:?}"),
    }
}

fn certificate(subject: &[u8], extensions: &[u8]) -> Vec<u8> {
    der::certificate(5, subject, &END, extensions, &CA)
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let uri = tlv(0x86, &[b"spiffe://a/web"]);
    let dns = tlv(0x82, &[b"Web.example"]);
    let ip = tlv(0x87, &[&[127, 0, 0, 1]]);
    let mail = tlv(0x81, &[b"a@b.example"]);
    let directory = tlv(0xa4, &[&der::name("d")]);
    let common = |text: &str| der::name(text)[2..].to_vec();
    let form = |form: u8, parts: &[&[u8]]| [&[form], &*parts.concat()].concat();
    vec![
        form(0, &[CA.leaf(5, "web.example").as_ref()]),
        form(0, &[CA.ca().as_ref()]),
        form(1, &[&uri]),
        form(1, &[&dns]),
        form(1, &[&uri, &dns, &ip, &mail, &directory]),
        form(1, &[&tlv(0x82, &[b"*.example"])]),
        form(2, &[&common("Old Client")]),
        form(2, &[&common("a"), &common("b")]),
        form(3, &[&der::names(&uri), &der::usages()]),
        form(3, &[&der::names(&uri), &der::names(&dns)]),
        form(3, &[]),
    ]
}
