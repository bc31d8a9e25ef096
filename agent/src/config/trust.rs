//! `[trust]` in `renewd.toml`: how trust bundles change, and what holds where it does not say.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::table::Report;
use crate::table::values::parse;

use super::raw::RawTrust;
use super::settings::{IssuerSettings, TrustSettings};
use super::values::{self, YEAR};

const DAY: Duration = Duration::from_secs(86_400);

/// How long a dropped root may be kept.
const KEEP: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(10 * YEAR.as_secs());
/// How long a new one may be waited for.
const SETTLE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30 * DAY.as_secs());

/// What the file says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust {
    keep: Option<Duration>,
    settle: Option<Duration>,
}

impl Trust {
    /// Judges the table.
    pub(super) fn read(raw: &RawTrust, report: &mut Report) -> Self {
        let mut duration = |at, limits| {
            let at = parse(at, report, |text: &String| values::duration(text, limits))?;
            Some(at.value)
        };
        Self {
            keep: duration(&raw.keep, &KEEP),
            settle: duration(&raw.settle, &SETTLE),
        }
    }

    /// For a certificate of these issuers with this life. What other hosts hold under a dropped root lives no longer than
    /// ours; and other hosts, which ask their CA at least once an hour, are given a tenth of the life to hear of a new
    /// one. Of what an issuer of this host alone has, or what comes with the host's own trust, nobody hears by renewd.
    pub(super) fn of(self, issuers: &[&IssuerSettings], lifetime: Duration) -> TrustSettings {
        let settled = issuers
            .iter()
            .all(|issuer| issuer.configured.needs_no_settling());
        let settle = match settled {
            true => Duration::ZERO,
            // Whole seconds, as it would be written.
            false => Duration::from_secs(lifetime.as_secs() / 10).min(DAY),
        };
        TrustSettings {
            keep: self.keep.unwrap_or(lifetime.max(7 * DAY)),
            settle: self.settle.unwrap_or(settle),
        }
    }
}
