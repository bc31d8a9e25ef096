//! `renewd.toml`: issuers and defaults.

use std::collections::BTreeMap;

use renewd_core::names::IssuerName;

use crate::issuer::local::Constraints;

use super::acme;
use super::common::{Common, issuer_name, parse, twice};
use super::document::clipped;
use super::environment::Environment;
use super::error::{ErrorKind, Location, Mismatch, Report};
use super::exec;
use super::raw::{RawIssuer, RawList, RawMain};
use super::settings::{IssuerKind, IssuerSettings, LocalIssuerSettings};
use super::source::Source;
use super::suggest::nearest;
use super::values::{self, YEAR};

/// Types that the design knows and this version does not have.
const LATER: [&str; 4] = ["step", "vault", "est", "spiffe"];
const LOCAL: &str = "local";
const ACME: &str = "acme";
const EXEC: &str = "exec";
/// As an error names them.
const KNOWN: &str = "\"local\", \"acme\" or \"exec\"";

/// What `renewd.toml` says, as far as it is right.
#[derive(Debug, Clone)]
pub(super) struct Main {
    pub(super) defaults: Common,
    pub(super) issuers: BTreeMap<IssuerName, IssuerSettings>,
    /// Names whose tables have errors: a certificate that names one is not wrong for that.
    pub(super) doubtful: Vec<String>,
    pub(super) location: Location,
}

impl Main {
    /// Judges the file; `None` where its syntax is broken.
    pub(super) fn read(
        source: &Source,
        environment: &Environment,
        report: &mut Report,
    ) -> Option<Self> {
        let raw = RawMain::read(source, report)?;
        let mut main = Self {
            defaults: Common::read(&raw.defaults, environment, report),
            issuers: BTreeMap::new(),
            doubtful: Vec::new(),
            location: source.location(0),
        };
        for issuer in &raw.issuers {
            match read_issuer(issuer, report) {
                Some(settings) => {
                    main.issuers.insert(settings.name.clone(), settings);
                }
                None => main.doubtful.push(issuer.name.value.clone()),
            }
        }
        if let Some(issuer) = &main.defaults.issuer
            && let Err(mismatch) = main.issuer(issuer.value.as_str())
        {
            issuer.refuse(report, mismatch);
        }
        Some(main)
    }

    /// The issuer of that name; `None` where it is configured with errors.
    pub(super) fn issuer(&self, name: &str) -> Result<Option<&IssuerSettings>, Mismatch> {
        if let Some((_, issuer)) = self
            .issuers
            .iter()
            .find(|(known, _)| known.as_str() == name)
        {
            return Ok(Some(issuer));
        }
        if self.doubtful.iter().any(|known| known == name) {
            return Ok(None);
        }
        let known: Vec<&str> = self.issuers.keys().map(IssuerName::as_str).collect();
        let remedy = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!(
                "configure it in {}: [issuer.{name}]",
                self.location.file.display()
            ),
        };
        Err(Mismatch::of(
            ErrorKind::Reference,
            format!("the issuer {:?} is not configured", clipped(name)),
            one_of(&known),
            remedy,
        ))
    }

    /// The one issuer that needs no naming; `None` where it is configured with errors.
    pub(super) fn only_issuer(&self) -> Result<Option<&IssuerSettings>, Mismatch> {
        let known: Vec<&str> = self.issuers.keys().map(IssuerName::as_str).collect();
        match (self.issuers.len(), self.doubtful.len()) {
            (1, 0) => Ok(self.issuers.values().next()),
            (_, 1..) => Ok(None),
            (0, 0) => Err(Mismatch::of(
                ErrorKind::Reference,
                "no issuer is configured",
                "an issuer in renewd.toml",
                format!(
                    "write [issuer.internal] and type = \"local\" into {}",
                    self.location.file.display()
                ),
            )),
            _ => Err(Mismatch::of(
                ErrorKind::MissingKey,
                "is missing, and several issuers are configured",
                one_of(&known),
                "name one here, or for all in [defaults]",
            )),
        }
    }
}

fn one_of(known: &[&str]) -> String {
    if known.is_empty() {
        "the name of a configured issuer".to_owned()
    } else {
        format!("one of {}", known.join(", "))
    }
}

fn read_issuer(raw: &RawIssuer, report: &mut Report) -> Option<IssuerSettings> {
    let before = report.errors.len();
    let name = raw.name.parse(report, |text| issuer_name(text));
    match &raw.kind {
        Some(kind) => {
            let _ = kind.parse(report, |text| known(text));
        }
        None if raw.kind_given => {}
        None => report.error(
            &raw.name.location,
            format!("{}.type", raw.name.field),
            Mismatch::of(
                ErrorKind::MissingKey,
                "is missing",
                "an issuer's type",
                "write type = \"local\", type = \"acme\" or type = \"exec\" below this line",
            ),
        ),
    }
    let kind = match &raw.kind {
        Some(kind) if kind.value == ACME => acme::read(raw, report).map(IssuerKind::Acme),
        Some(kind) if kind.value == EXEC => exec::read(raw, report).map(IssuerKind::Exec),
        _ => Some(IssuerKind::Local(read_local(raw, report))),
    };
    let (name, kind) = (name?, kind?);
    let clean = raw.clean && report.errors.len() == before;
    clean.then_some(IssuerSettings {
        name: name.value,
        kind,
        location: raw.name.location.clone(),
    })
}

fn known(text: &str) -> Result<(), Mismatch> {
    if [LOCAL, ACME, EXEC].contains(&text) {
        return Ok(());
    }
    if LATER.contains(&text) {
        return Err(Mismatch::new(
            format!("the type {text:?} is not supported by this version"),
            KNOWN,
            "install a version that has it, or use the embedded CA",
        ));
    }
    let known = LATER.iter().copied().chain([LOCAL, ACME, EXEC]);
    Err(Mismatch::new(
        format!("{:?} is no type of issuer", clipped(text)),
        KNOWN,
        nearest(text, known).map_or(String::new(), |near| format!("did you mean {near:?}?")),
    ))
}

fn read_local(raw: &RawIssuer, report: &mut Report) -> LocalIssuerSettings {
    let ca_lifetime = |text: &String| values::duration(text, &values::CA_LIFETIME);
    let root = parse(&raw.root_lifetime, report, ca_lifetime);
    let intermediate = parse(&raw.intermediate_lifetime, report, ca_lifetime);
    let root_lifetime = root.as_ref().map_or(20 * YEAR, |at| at.value);
    if let Some(intermediate) = &intermediate
        && intermediate.value > root_lifetime
    {
        intermediate.refuse(
            report,
            Mismatch::new(
                "is longer than the root's life",
                format!("at most {}", humantime::format_duration(root_lifetime)),
                "shorten it, or lengthen root_lifetime",
            ),
        );
    }
    let issuing_ca = parse(&raw.issuing_ca, report, |text| {
        acme::secret(text, "issuing_ca", "credential:issuing-ca.pem")
    });
    if issuing_ca.is_some() {
        for at in [&raw.root_lifetime, &raw.intermediate_lifetime]
            .into_iter()
            .flatten()
        {
            at.refuse(
                report,
                Mismatch::of(
                    ErrorKind::Conflict,
                    "stands beside issuing_ca",
                    "one or the other: what is provided has a life of its own",
                    "remove it",
                ),
            );
        }
    }
    let dns = list(&raw.permitted_dns, report, |text| values::domain(text));
    let ip = list(&raw.permitted_ip, report, |text| values::network(text));
    let uri = list(&raw.permitted_uri, report, |text| values::spiffe_id(text));
    let constraints = Constraints::parse(&dns, &ip, &uri).unwrap_or_else(|error| {
        let mismatch = Mismatch::new(error.to_string(), "", "correct the entry");
        report.error(&raw.name.location, raw.name.field.clone(), mismatch);
        Constraints::default()
    });
    LocalIssuerSettings {
        issuing_ca: issuing_ca.map(|at| at.value),
        root_lifetime,
        intermediate_lifetime: intermediate.map_or(YEAR, |at| at.value).min(root_lifetime),
        constraints,
    }
}

fn list<T: PartialEq>(
    raw: &Option<RawList>,
    report: &mut Report,
    parse: impl Fn(&String) -> Result<T, Mismatch>,
) -> Vec<T> {
    let mut list = Vec::new();
    let Some(raw) = raw else { return list };
    if raw.value.is_empty() {
        // An empty constraint would permit everything, which is the opposite of what it looks like.
        raw.refuse(
            report,
            Mismatch::new(
                "is empty",
                "at least one entry",
                "remove the key to permit every name of this kind",
            ),
        );
    }
    if let Some(at) = raw.value.get(values::MOST_ENTRIES) {
        at.refuse(report, values::too_many());
        return list;
    }
    for at in &raw.value {
        let Some(value) = at.parse(report, &parse) else {
            continue;
        };
        if list.contains(&value.value) {
            at.refuse(report, twice(&at.value));
        } else {
            list.push(value.value);
        }
    }
    list
}
