//! `NAME.toml` in `certs.d`: one certificate.

use std::collections::BTreeMap;
use std::time::Duration;

use renewd_core::names::{CertificateName, IssuerName, San};
use renewd_core::request::{Request, Usages};

use super::common::{Common, twice};
use super::dependent;
use super::document::At;
use super::environment::Environment;
use super::error::{ErrorKind, Mismatch, Report};
use super::issuer::Main;
use super::raw::RawCertificate;
use super::settings::{CertificateSettings, DependentSettings, IssuerKind, IssuerSettings};
use super::source::Source;
use super::values;

const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Judges one certificate's file. Without `main` (its own errors are told elsewhere) what refers to
/// an issuer stays unjudged, and there are no settings.
pub(super) fn read(
    name: &CertificateName,
    source: &Source,
    main: Option<&Main>,
    environment: &Environment,
    report: &mut Report,
) -> Option<CertificateSettings> {
    let mut own = Report::default();
    let settings = RawCertificate::read(source, &mut own)
        .and_then(|raw| judge(name, &raw, main, environment, &mut own));
    let clean = own.errors.is_empty();
    report.append(own);
    settings.filter(|_| clean)
}

fn judge(
    name: &CertificateName,
    raw: &RawCertificate,
    main: Option<&Main>,
    environment: &Environment,
    report: &mut Report,
) -> Option<CertificateSettings> {
    let own = Common::read(&raw.common, environment, report);
    let common = match main {
        Some(main) => own.over(&main.defaults),
        None => own,
    };
    let names = names(raw, environment, report);
    let usages = common.usages.unwrap_or_else(|| usages_of(&common, main));
    let mut dependents: Vec<DependentSettings> = raw
        .units
        .iter()
        .filter_map(|unit| dependent::read(unit, usages, report))
        .collect();
    // Stable: units of one wave stay in the file's order.
    dependents.sort_by_key(|dependent| dependent.dependent.wave);
    let lifetime = common.lifetime.as_ref().map_or(LIFETIME, |at| at.value);
    warn_of_a_short_life(raw, lifetime, &dependents, report);
    // Without the defaults nobody knows whether a group is set.
    let ownership = main.and_then(|_| common.ownership(raw, environment, report));
    let issuer = issuer(raw, &common, main?, report)?;
    judge_by_issuer(raw, issuer, &names, &common, lifetime, report);
    Some(CertificateSettings {
        name: name.clone(),
        request: Request {
            issuer: issuer.name.clone(),
            directory: match &issuer.kind {
                IssuerKind::Acme(acme) => Some(acme.directory.clone()),
                IssuerKind::Local(_) | IssuerKind::Exec(_) => None,
            },
            names: names.into_iter().map(|at| at.value).collect(),
            lifetime,
            key_type: common.key_type.unwrap_or_default(),
            usages,
        },
        ownership: ownership?,
        dependents,
        location: raw.location.clone(),
    })
}

/// Public CAs certify servers only, and what is not asked for need not be there.
fn usages_of(common: &Common, main: Option<&Main>) -> Usages {
    let issuer = main.and_then(|main| match &common.issuer {
        Some(at) => main.issuer(at.value.as_str()).ok()?,
        None => main.only_issuer().ok()?,
    });
    let acme = issuer.is_some_and(|issuer| matches!(issuer.kind, IssuerKind::Acme(_)));
    Usages {
        server: true,
        client: !acme,
    }
}

fn names(raw: &RawCertificate, environment: &Environment, report: &mut Report) -> Vec<At<San>> {
    let Some(list) = &raw.names else {
        if !raw.names_given {
            report.error(
                &raw.location,
                "names",
                Mismatch::of(
                    ErrorKind::MissingKey,
                    "is missing",
                    "a list of names",
                    "write for example names = [\"%H\"]",
                ),
            );
        }
        return Vec::new();
    };
    if list.value.is_empty() {
        let remedy = "write for example names = [\"%H\"]";
        list.refuse(
            report,
            Mismatch::new("is empty", "at least one name", remedy),
        );
    }
    if let Some(at) = list.value.get(values::MOST_ENTRIES) {
        at.refuse(report, values::too_many());
        return Vec::new();
    }
    let mut names: Vec<At<San>> = Vec::new();
    let mut seen: BTreeMap<San, bool> = BTreeMap::new();
    for at in &list.value {
        let Some(name) = at.parse(report, |text| values::name(text, environment)) else {
            continue;
        };
        let specified = at.value.contains('%');
        if specified && environment.is_unnamed() {
            at.warn(
                report,
                "stands for \"localhost\", as the host has no name of its own",
                "name the host (hostnamectl hostname NAME), or write the name itself",
            );
        }
        match seen.get(&name.value) {
            // On a host whose name has no dot %H and %l are the same, and the file is right.
            Some(by_specifier) if specified || *by_specifier => {}
            Some(_) => at.refuse(report, twice(&at.value)),
            None => {
                seen.insert(name.value.clone(), specified);
                names.push(name);
            }
        }
    }
    names
}

fn issuer<'a>(
    raw: &RawCertificate,
    common: &Common,
    main: &'a Main,
    report: &mut Report,
) -> Option<&'a IssuerSettings> {
    // A value that is wrong was refused already; what else would be asked is a guess.
    if common.issuer.is_none() && raw.common.issuer.is_some() {
        return None;
    }
    let found = match &common.issuer {
        Some(at) => main.issuer(at.value.as_str()),
        None => main.only_issuer(),
    };
    match (found, &common.issuer) {
        (Ok(issuer), _) => issuer,
        (Err(mismatch), Some(at)) => {
            // A wrong default is the other file's error, told there.
            if at.location.file == raw.location.file {
                at.refuse(report, mismatch);
            }
            None
        }
        (Err(mismatch), None) => {
            report.error(&raw.location, "issuer", mismatch);
            None
        }
    }
}

/// What this issuer can never give.
fn judge_by_issuer(
    raw: &RawCertificate,
    issuer: &IssuerSettings,
    names: &[At<San>],
    common: &Common,
    lifetime: Duration,
    report: &mut Report,
) {
    let local = match &issuer.kind {
        IssuerKind::Local(local) => local,
        IssuerKind::Acme(_) => return judge_by_acme(issuer, names, report),
        IssuerKind::Exec(_) => return,
    };
    for name in names
        .iter()
        .filter(|name| !local.constraints.permits(&name.value))
    {
        let (kind, key) = match name.value {
            San::Dns(_) => ("domain", "permitted_dns"),
            San::Ip(_) => ("network", "permitted_ip"),
            San::Uri(_) => ("SPIFFE ID", "permitted_uri"),
        };
        let table = issuer_table(&issuer.name);
        name.refuse(
            report,
            Mismatch::of(
                ErrorKind::Conflict,
                format!("\"{}\" is not permitted to the issuer", name.value),
                format!(
                    "a name below a {kind} in {key} of {table} ({})",
                    issuer.location
                ),
                format!("use another name, or add to {key}"),
            ),
        );
    }
    if local.issuing_ca.is_none() && lifetime > local.intermediate_lifetime {
        let location = common
            .lifetime
            .as_ref()
            .map_or(&raw.location, |at| &at.location);
        report.warning(
            location,
            "lifetime",
            format!(
                "is longer than the issuer's intermediate lives ({}), and will be cut to it",
                humantime::format_duration(local.intermediate_lifetime)
            ),
            format!(
                "shorten it, or lengthen intermediate_lifetime of {}",
                issuer_table(&issuer.name)
            ),
        );
    }
}

/// What ACME has no proof for, or this version has none of.
fn judge_by_acme(issuer: &IssuerSettings, names: &[At<San>], report: &mut Report) {
    for name in names {
        let (found, expected, remedy) = match &name.value {
            San::Uri(_) => (
                "is no name that ACME knows",
                "DNS names and IP addresses",
                "remove it, or use another issuer",
            ),
            San::Dns(text) if text.starts_with('*') => (
                "is a wildcard, which needs the challenge dns-01, and this version has http-01 only",
                "names without a star",
                "write each name, or use another issuer",
            ),
            San::Dns(_) | San::Ip(_) => continue,
        };
        let found = format!(
            "\"{}\" {found} ({}, {})",
            name.value,
            issuer_table(&issuer.name),
            issuer.location
        );
        let mismatch = Mismatch::of(ErrorKind::Conflict, found, expected, remedy);
        name.refuse(report, mismatch);
    }
}

fn issuer_table(name: &IssuerName) -> String {
    format!("[issuer.{name}]")
}

/// A certificate is due at two thirds of its life; the last third must hold a whole rotation.
fn warn_of_a_short_life(
    raw: &RawCertificate,
    lifetime: Duration,
    dependents: &[DependentSettings],
    report: &mut Report,
) {
    let mut rotation = Duration::ZERO;
    for wave in dependents.chunk_by(|a, b| a.dependent.wave == b.dependent.wave) {
        let slowest = wave
            .iter()
            .map(|dependent| dependent.reload_timeout + dependent.probe_timeout)
            .max();
        rotation += slowest.unwrap_or_default();
    }
    if lifetime / 3 < rotation {
        let location = raw
            .common
            .lifetime
            .as_ref()
            .map_or(&raw.location, |at| &at.location);
        report.warning(
            location,
            "lifetime",
            format!(
                "leaves {} to rotate after two thirds, and the units may take {}",
                humantime::format_duration(Duration::from_secs(lifetime.as_secs() / 3)),
                humantime::format_duration(rotation),
            ),
            "lengthen it, or shorten reload_timeout and probe_timeout",
        );
    }
}
