//! `[issuer.NAME]` with `type = "acme"`.

mod challenge;

use std::rc::Rc;
use std::sync::Arc;

use renewd_core::names::San;

use crate::secret::Secret;
use crate::table::values::parse;
use crate::table::{At, ErrorKind, Mismatch, Report, Schema, Section, clipped, key, twice};

use super::super::https::Trust;
use super::super::kind::{Configured, Demand, Home, Kind};
use super::super::{Issuer, places};
use super::{AcmeIssuer, AcmeSettings, Challenge, ExternalAccount, http01, tls_alpn01};

/// CAs that speak ACME.
pub const KIND: Kind = Kind {
    name: "acme",
    schema: &SCHEMA,
    told_by: "directory",
    for_clients: false,
    sockets: &[
        (http01::SOCKET_NAME, http01::serve),
        (tls_alpn01::SOCKET_NAME, tls_alpn01::serve),
    ],
    read,
};

const SCHEMA: Schema = Schema {
    title: "[issuer.NAME] with type = \"acme\"",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"acme\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"acme\""),
        key(
            "directory",
            "an address in quotes",
            "\"https://ca.example.internal/acme/directory\"",
        ),
        key("ca", "a path in quotes", "\"/etc/renewd/ca.pem\""),
        key(
            "trust",
            "\"system\" or a path in quotes",
            "\"/etc/renewd/roots.pem\"",
        ),
        key(
            "proxy",
            "an address in quotes",
            "\"http://proxy.example.internal:3128\"",
        ),
        key(
            "contact",
            "a list of addresses",
            "[\"mailto:ops@example.org\"]",
        ),
        key("terms_of_service", "\"agreed\" in quotes", "\"agreed\""),
        key("eab_key_id", "a key's identifier in quotes", "\"kid-1\""),
        key(
            "eab_key",
            "the place of a key in quotes",
            "\"credential:eab\"",
        ),
        key("challenge", "a challenge's name in quotes", "\"dns-01\""),
        key("webroot", "a path in quotes", "\"/var/www/html\""),
        key(
            "dns_command",
            "a list of a program and its arguments",
            "[\"/usr/local/libexec/record\"]",
        ),
        key(
            "dns_credentials",
            "a list of credentials' names",
            "[\"dns-token\"]",
        ),
        key("dns_timeout", "a duration in quotes", "\"60s\""),
        key(
            "dns_server",
            "a server of names in quotes",
            "\"ns1.example.org\"",
        ),
        key("dns_zone", "a zone's name in quotes", "\"example.org\""),
        key("tsig_key_name", "a key's name in quotes", "\"renewd\""),
        key(
            "tsig_key",
            "the place of a key in quotes",
            "\"credential:tsig\"",
        ),
        key(
            "tsig_algorithm",
            "an algorithm's name in quotes",
            "\"hmac-sha256\"",
        ),
        key("dns_wait", "a duration in quotes", "\"30s\""),
        key("profile", "a profile's name in quotes", "\"shortlived\""),
    ],
    aliases: &[
        ("directory_url", "directory"),
        ("server", "directory"),
        ("url", "directory"),
        ("ca_file", "ca"),
        ("root", "ca"),
        ("email", "contact"),
        ("mail", "contact"),
        ("tos", "terms_of_service"),
        ("agree_tos", "terms_of_service"),
        ("eab_kid", "eab_key_id"),
        ("eab_hmac_key", "eab_key"),
        ("roots", "trust"),
        ("challenge_type", "challenge"),
        ("dns_program", "dns_command"),
        ("dns_hook", "dns_command"),
        ("nameserver", "dns_server"),
        ("zone", "dns_zone"),
        ("tsig_secret", "tsig_key"),
        ("tsig_name", "tsig_key_name"),
        ("propagation", "dns_wait"),
    ],
};

impl Configured for AcmeSettings {
    fn make(&self, home: Home) -> Rc<dyn Issuer> {
        Rc::new(AcmeIssuer::new(
            home.directory,
            self.clone(),
            home.secrets,
            home.challenges,
            &home.surroundings,
        ))
    }

    fn address(&self) -> Option<&str> {
        Some(&self.directory)
    }

    fn secrets(&self) -> Vec<&Secret> {
        let external = self.external_account.as_ref().map(|bound| &bound.key);
        external
            .into_iter()
            .chain(self.challenge.secret())
            .collect()
    }

    /// What ACME has no proof for, or another one than is configured.
    fn judge(&self, demand: &Demand<'_>, report: &mut Report) {
        let by_dns = matches!(self.challenge, Challenge::Dns01(_));
        for name in demand.names {
            let (found, expected, remedy) = match &name.value {
                San::Uri(_) => (
                    "is no name that ACME knows".to_owned(),
                    "DNS names and IP addresses",
                    "remove it, or use another issuer",
                ),
                San::Dns(text) if text.starts_with('*') && !by_dns => (
                    format!("is a wildcard, which {} cannot prove", self.challenge),
                    "names without a star",
                    "write challenge = \"dns-01\" there, with dns_command or dns_server; or write each name",
                ),
                San::Ip(_) if by_dns => (
                    "is an IP address, which dns-01 cannot prove".to_owned(),
                    "DNS names",
                    "use an issuer with challenge = \"http-01\" or \"tls-alpn-01\" for it",
                ),
                San::Dns(_) | San::Ip(_) => continue,
            };
            let found = format!(
                "\"{}\" {found} ({}, {})",
                name.value, demand.table, demand.table_at
            );
            let mismatch = Mismatch::of(ErrorKind::Conflict, found, expected, remedy);
            name.refuse(report, mismatch);
        }
    }

    /// Where its certificates come with the host's own trust.
    fn needs_no_settling(&self) -> bool {
        self.trust == Trust::System
    }
}

fn read(section: &Section<'_>, report: &mut Report) -> Option<Arc<dyn Configured>> {
    section.need(
        "directory",
        "the address of the CA's ACME directory",
        "directory = \"https://acme-v02.api.letsencrypt.org/directory\"",
        report,
    );
    let directory = parse(&section.text("directory", report), report, |text| {
        places::https(
            text,
            "an ACME directory",
            "directory = \"https://ca.example.internal/acme/directory\"",
        )
    });
    let ca = parse(&section.text("ca", report), report, |text| {
        places::path(text, "ca = \"/etc/renewd/ca.pem\"")
    });
    let trust = parse(&section.text("trust", report), report, |text| {
        places::trust(text)
    });
    let proxy = parse(&section.text("proxy", report), report, |text| {
        places::proxy(text)
    });
    let contact = contacts(section, report);
    let terms = parse(&section.text("terms_of_service", report), report, |text| {
        terms(text)
    });
    let external_account = external_account(section, report);
    let challenge = challenge::read(section, report);
    let profile = parse(&section.text("profile", report), report, |text| {
        places::word(text, "profile = \"shortlived\"")
    });
    Some(Arc::new(AcmeSettings {
        directory: directory?.value,
        ca: ca.map_or(Trust::System, |at| Trust::File(at.value)),
        trust: trust.map_or(Trust::System, |at| at.value),
        proxy: proxy.map(|at| at.value),
        contact,
        terms_agreed: terms.is_some(),
        external_account,
        challenge: challenge?,
        profile: profile.map(|at| at.value),
    }))
}

fn terms(text: &str) -> Result<(), Mismatch> {
    if text == "agreed" {
        return Ok(());
    }
    Err(Mismatch::new(
        format!("{:?} is no agreement", clipped(text)),
        "\"agreed\"",
        "read the CA's terms of service, then write terms_of_service = \"agreed\"; or remove the key",
    ))
}

fn contacts(section: &Section<'_>, report: &mut Report) -> Vec<String> {
    let mut contacts = Vec::new();
    let Some(raw) = section.texts("contact", report) else {
        return contacts;
    };
    for at in &raw.value {
        let Some(contact) = at.parse(report, |text| contact(text)) else {
            continue;
        };
        if contacts.contains(&contact.value) {
            at.refuse(report, twice(&at.value));
        } else {
            contacts.push(contact.value);
        }
    }
    contacts
}

fn contact(text: &str) -> Result<String, Mismatch> {
    let mail = text.strip_prefix("mailto:");
    let parts = mail.and_then(|mail| mail.split_once('@'));
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    match parts {
        Some((user, host))
            if !user.is_empty() && !host.is_empty() && visible && text.len() <= places::LONGEST =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Mismatch::new(
            format!("{:?} is no address to write to", clipped(text)),
            "\"mailto:\" and a mail address",
            "write for example contact = [\"mailto:ops@example.org\"]",
        )),
    }
}

fn external_account(section: &Section<'_>, report: &mut Report) -> Option<ExternalAccount> {
    let (id, secret) = (
        section.text("eab_key_id", report),
        section.text("eab_key", report),
    );
    let key_id = parse(&id, report, |text| {
        places::word(text, "eab_key_id = \"kid-1\"")
    });
    let key = parse(&secret, report, |text| {
        places::secret(text, "eab_key", "credential:eab")
    });
    let alone = |at: &At<String>, other: &str, report: &mut Report| {
        let mismatch = Mismatch::of(
            ErrorKind::MissingKey,
            format!("stands without {other}"),
            "both, or neither",
            format!("write {other}, too: the CA hands out both"),
        );
        at.refuse(report, mismatch);
    };
    match (&id, &secret) {
        (Some(at), None) => alone(at, "eab_key", report),
        (None, Some(at)) => alone(at, "eab_key_id", report),
        _ => {}
    }
    Some(ExternalAccount {
        key_id: key_id?.value,
        key: key?.value,
    })
}
