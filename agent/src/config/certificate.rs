//! `NAME.toml` in `certs.d`: one certificate.

use std::collections::BTreeMap;
use std::time::Duration;

use renewd_core::names::{CertificateName, IssuerName, San};
use renewd_core::request::{Request, Usages};

use crate::issuer::kind::Demand;
use crate::table::{At, ErrorKind, Mismatch, Report, Source, twice};

use super::common::Common;
use super::dependent;
use super::environment::Environment;
use super::issuer::Main;
use super::raw::RawCertificate;
use super::settings::{CertificateSettings, DependentSettings, IssuerSettings};
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
    let settings = RawCertificate::read(source, environment.kinds, &mut own)
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
    let issuers = issuers(raw, &common, main?, report)?;
    let (issuer, fallbacks) = issuers.split_first()?;
    for issuer in &issuers {
        let demand = Demand {
            names: &names,
            lifetime,
            lifetime_at: common
                .lifetime
                .as_ref()
                .map_or(&raw.location, |at| &at.location),
            table: &issuer.table(),
            table_at: &issuer.location,
        };
        issuer.configured.judge(&demand, report);
    }
    Some(CertificateSettings {
        name: name.clone(),
        request: Request {
            issuer: issuer.name.clone(),
            directory: issuer.configured.address().map(str::to_owned),
            names: names.into_iter().map(|at| at.value).collect(),
            lifetime,
            key_type: common.key_type.unwrap_or_default(),
            usages,
        },
        fallbacks: fallbacks.iter().map(|issuer| issuer.name.clone()).collect(),
        trust: main?.trust.of(&issuers, lifetime),
        ownership: ownership?,
        dependents,
        location: raw.location.clone(),
    })
}

/// Some CAs certify servers only, and what is not asked for need not be there.
fn usages_of(common: &Common, main: Option<&Main>) -> Usages {
    let issuer = |at: &At<IssuerName>| main?.issuer(at.value.as_str()).ok()?;
    let issuers = match &common.issuers {
        Some(named) => named.iter().filter_map(issuer).collect(),
        None => Vec::from_iter(main.and_then(|main| main.only_issuer().ok()?)),
    };
    Usages {
        server: true,
        client: issuers.iter().all(|issuer| issuer.kind.for_clients),
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

/// The issuers in their order: at least one.
fn issuers<'a>(
    raw: &RawCertificate,
    common: &Common,
    main: &'a Main,
    report: &mut Report,
) -> Option<Vec<&'a IssuerSettings>> {
    // A value that is wrong was refused already; what else would be asked is a guess.
    if common.issuers.is_none() && raw.common.issuer.is_some() {
        return None;
    }
    let Some(named) = &common.issuers else {
        return match main.only_issuer() {
            Ok(issuer) => issuer.map(|issuer| vec![issuer]),
            Err(mismatch) => {
                report.error(&raw.location, "issuer", mismatch);
                None
            }
        };
    };
    let found = named.iter().map(|at| match main.issuer(at.value.as_str()) {
        Ok(issuer) => issuer,
        Err(mismatch) => {
            // A wrong default is the other file's error, told there.
            if at.location.file == raw.location.file {
                at.refuse(report, mismatch);
            }
            None
        }
    });
    // Each one's error is told.
    let found: Vec<_> = found.collect();
    found.into_iter().collect()
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
