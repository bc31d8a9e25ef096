//! By what an ACME CA is shown that names are ours.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use hyper::http::uri::Authority;
use renewd_core::names::San;

use crate::table::values::{self, TIMEOUT, parse};
use crate::table::{ErrorKind, Mismatch, Report, Section, clipped, nearest};

use super::super::super::places;
use super::super::super::program::{ProgramSettings, keys as program};
use super::super::{By, Challenge, Dns01, TsigAlgorithm, Update};

const HTTP: &str = "http-01";
const TLS: &str = "tls-alpn-01";
const DNS: &str = "dns-01";

const WEBROOT: &str = "webroot";
/// The keys of a program that makes records.
const COMMAND: [&str; 3] = ["dns_command", "dns_credentials", "dns_timeout"];
/// The keys of updates of a zone.
const UPDATE: [&str; 5] = [
    "dns_server",
    "dns_zone",
    "tsig_key_name",
    "tsig_key",
    "tsig_algorithm",
];
const WAIT: &str = "dns_wait";
/// A try ends after ten minutes in all.
const WAITS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);
/// Nothing that such a program answers is used.
const OUTPUT_LIMIT: usize = 64 * 1024;

const ALGORITHMS: [(&str, TsigAlgorithm); 3] = [
    ("hmac-sha256", TsigAlgorithm::HmacSha256),
    ("hmac-sha384", TsigAlgorithm::HmacSha384),
    ("hmac-sha512", TsigAlgorithm::HmacSha512),
];

/// Reads the keys; `None` where something that the challenge needs is missing or wrong.
pub(super) fn read(section: &Section<'_>, report: &mut Report) -> Option<Challenge> {
    let (by_command, by_update) = (section.has(COMMAND[0]), section.has(UPDATE[0]));
    let named = match section.has("challenge") {
        true => {
            parse(&section.text("challenge", report), report, |text| {
                named(text)
            })?
            .value
        }
        false if by_command || by_update => DNS,
        false => HTTP,
    };
    if named != HTTP {
        refuse(section, &[WEBROOT], "challenge = \"http-01\"", report);
    }
    if named != DNS {
        for keys in [&COMMAND[..], &UPDATE, &[WAIT]] {
            refuse(section, keys, "challenge = \"dns-01\"", report);
        }
    }
    match named {
        HTTP => {
            let webroot = parse(&section.text(WEBROOT, report), report, |text| {
                places::path(text, "webroot = \"/var/www/html\"")
            });
            let webroot = webroot.map(|at| at.value);
            Some(Challenge::Http01 { webroot })
        }
        TLS => Some(Challenge::TlsAlpn01),
        _ => {
            let by = match (by_command, by_update) {
                (true, false) => {
                    refuse(section, &UPDATE, "dns_server", report);
                    command(section, report).map(By::Command)
                }
                (false, true) => {
                    refuse(section, &COMMAND, "dns_command", report);
                    update(section, report).map(By::Update)
                }
                (true, true) => {
                    refuse(section, &UPDATE[..1], "no dns_command", report);
                    None
                }
                (false, false) => {
                    section.need(
                        COMMAND[0],
                        "a program that makes TXT records, or dns_server",
                        "dns_command = [\"/usr/local/libexec/record\"]",
                        report,
                    );
                    None
                }
            };
            let wait = parse(&section.text(WAIT, report), report, |text| {
                values::duration(text, &WAITS)
            });
            let wait = wait.map_or(Duration::ZERO, |at| at.value);
            Some(Challenge::Dns01(Dns01 { by: by?, wait }))
        }
    }
}

fn named(text: &str) -> Result<&'static str, Mismatch> {
    let known = [HTTP, TLS, DNS];
    let found = known.into_iter().find(|known| *known == text);
    found.ok_or_else(|| {
        Mismatch::new(
            format!("{:?} is no challenge", clipped(text)),
            "\"http-01\", \"tls-alpn-01\" or \"dns-01\"",
            nearest(text, known).map_or(String::new(), |near| format!("did you mean {near:?}?")),
        )
    })
}

/// Keys that mean nothing here.
fn refuse(section: &Section<'_>, keys: &[&str], with: &str, report: &mut Report) {
    for key in keys.iter().filter(|key| section.has(key)) {
        section.refuse(
            key,
            Mismatch::of(
                ErrorKind::Conflict,
                format!("stands without {with}"),
                "keys of the challenge that is configured",
                format!("remove it, or write {with}"),
            ),
            report,
        );
    }
}

fn command(section: &Section<'_>, report: &mut Report) -> Option<ProgramSettings> {
    let command = program::command(section, COMMAND[0], report);
    let credentials = program::credentials(section, COMMAND[1], report);
    let timeout = parse(&section.text(COMMAND[2], report), report, |text| {
        values::duration(text, &TIMEOUT)
    });
    Some(ProgramSettings {
        command: command?,
        credentials,
        timeout: timeout.map_or(program::DEFAULT_TIMEOUT, |at| at.value),
        output_limit: OUTPUT_LIMIT,
    })
}

fn update(section: &Section<'_>, report: &mut Report) -> Option<Update> {
    for (key, expected, example) in [
        (
            "tsig_key_name",
            "the name by which the server knows the key",
            "tsig_key_name = \"renewd\"",
        ),
        (
            "tsig_key",
            "the place of the key",
            "tsig_key = \"credential:tsig\"",
        ),
    ] {
        section.need(key, expected, example, report);
    }
    let server = parse(&section.text("dns_server", report), report, |text| {
        server(text)
    });
    let zone = parse(&section.text("dns_zone", report), report, |text| {
        places::domain(text)
    });
    let name = parse(&section.text("tsig_key_name", report), report, |text| {
        places::word(text, "tsig_key_name = \"renewd\"")
    });
    let key = parse(&section.text("tsig_key", report), report, |text| {
        places::secret(text, "tsig_key", "credential:tsig")
    });
    let algorithm = parse(&section.text("tsig_algorithm", report), report, |text| {
        values::word(text, "algorithm for TSIG", &ALGORITHMS)
    });
    Some(Update {
        server: server?.value,
        zone: zone.map(|at| at.value),
        key_name: name?.value,
        key: key?.value,
        algorithm: algorithm.map_or(TsigAlgorithm::HmacSha256, |at| at.value),
    })
}

/// A server with its port: 53, where none is written.
fn server(text: &str) -> Result<String, Mismatch> {
    let authority: Option<Authority> = match text.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]").parse().ok(),
        Err(_) => text.parse().ok(),
    };
    let parts = authority.and_then(|authority| {
        let host = authority.host();
        let is_host = matches!(
            host.trim_matches(['[', ']']).parse(),
            Ok(San::Dns(name)) if !name.starts_with('*')
        ) || matches!(host.trim_matches(['[', ']']).parse(), Ok(San::Ip(_)));
        let port = match authority.as_str().strip_prefix(host)? {
            "" => 53,
            port => port.strip_prefix(':')?.parse::<u16>().ok()?,
        };
        (is_host && port != 0).then(|| format!("{host}:{port}"))
    });
    parts.ok_or_else(|| {
        Mismatch::new(
            format!("{:?} is no server of names", clipped(text)),
            "a host, with a port where it is not 53",
            "write for example dns_server = \"ns1.example.org\"",
        )
    })
}
