//! Issuers that name a time: each is left alone until then, within bounds. Here is the time that one which stands in for
//! another named; it does not touch when the first one is asked, whose own is its back-off.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{granted, longest_wait, remaining};
use crate::names::IssuerName;
use crate::record::{Context, Record};
use crate::schedule;

/// Which of the stand-ins are left alone at `now`, and until when.
pub fn put_off(record: &Record, life: Duration, now: Timestamp) -> BTreeMap<IssuerName, Timestamp> {
    let longest = longest_wait(record, life, now);
    let each = record.put_off.iter();
    each.filter(|(_, until)| !schedule::reached(**until, longest, now))
        .map(|(issuer, until)| (issuer.clone(), *until))
        .collect()
}

/// Until when an issuer is left alone that asks for it: within bounds, and not until the same second for a whole fleet.
pub(super) fn heeded(record: &Record, asked: Duration, context: Context<'_>) -> Timestamp {
    let life = granted(record, context.life);
    // What was revoked is as bad as none.
    let current = record.published_generation();
    let revoked = current.is_some_and(|current| current.revoked);
    let left = remaining(record, context.now).filter(|_| !revoked);
    let bounded = |asked| schedule::bounded_after(asked, life, left);
    let delay = bounded(asked).mul_f64(1.0 + context.chance / 4.0);
    schedule::after(context.now, bounded(delay))
}

/// A stand-in failed, and named this time.
pub(crate) fn take_in(
    record: &mut Record,
    issuer: IssuerName,
    asked: Duration,
    context: Context<'_>,
) {
    let until = heeded(record, asked, context);
    record.put_off.insert(issuer, until);
}

/// Whatever waits is tried once: the operator wants it so, or the clock was set.
pub(crate) fn over(record: &mut Record) {
    record.put_off.clear();
}

/// Other issuers have these names now.
pub(crate) fn replaced(record: &mut Record, issuers: &[IssuerName]) {
    record.put_off.retain(|name, _| !issuers.contains(name));
}
