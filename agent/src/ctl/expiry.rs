//! `expiry`: whether what is published lives long enough, without asking the daemon.
//!
//! Owns: what counts as too close to the end for a renewal to be still on its way. Reads only what is
//! configured and what is published, so that it also speaks when the daemon is stopped, masked or
//! broken. Neighbour: `renewd-expiry.timer` runs it; its failure is what `OnFailure=` acts on.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use renewd_core::crl::Crl;
use renewd_core::names::CertificateName;
use renewd_core::schedule;

use super::Places;
use super::failure::{Code, Failure};
use super::output::{Output, Tone, relative};
use super::published::{Published, Unreadable, published};
use crate::journal::{self, Event};

/// So long a configured certificate may be without its first generation.
const FIRST: Duration = Duration::from_secs(3600);

/// What is to be said of one certificate.
enum Verdict {
    /// It lives long enough.
    Well,
    /// It ends, or has ended, and no renewal came.
    Ends(Published),
    /// A revocation list beside it ends, or has ended, and no newer one came.
    ListEnds(Crl),
    /// It was configured a while ago, and there is none.
    Missing,
    /// It cannot be read.
    Unreadable(String),
}

/// Fails when a certificate, or a list beside it, is about to expire or has expired, and when a certificate never came or
/// cannot be read.
pub(super) fn expiry(places: &Places, now: Timestamp, out: &mut Output<'_>) -> Result<(), Failure> {
    let names = configured(&places.config.join("certs.d"))?;
    let mut troubled = 0;
    for (name, since) in &names {
        let published = published(&places.state, name);
        let verdict = judge(published, *since, now);
        troubled += usize::from(!matches!(verdict, Verdict::Well));
        tell(name, &verdict, now, out)?;
    }
    if troubled > 0 {
        return Err(Failure::told(Code::Negative));
    }
    out.line(&match names.len() {
        0 => "No certificate is configured.".to_owned(),
        1 => "1 certificate: it is not about to expire.".to_owned(),
        several => format!("{several} certificates: none is about to expire."),
    })?;
    Ok(())
}

fn judge(published: Result<Published, Unreadable>, since: Timestamp, now: Timestamp) -> Verdict {
    match published {
        Ok(Published { leaf, end, lists }) if schedule::overdue(leaf.not_before, end.at) > now => {
            let ends = lists.into_iter().filter(|list| list.is_about_to_end(now));
            ends.min_by_key(Crl::until)
                .map_or(Verdict::Well, Verdict::ListEnds)
        }
        Ok(published) => Verdict::Ends(published),
        Err(Unreadable::Nothing) if schedule::after(since, FIRST) > now => Verdict::Well,
        Err(Unreadable::Nothing) => Verdict::Missing,
        Err(error) => Verdict::Unreadable(error.to_string()),
    }
}

/// Names by file, and since when each file is as it is: a file with mistakes in it counts as well.
fn configured(directory: &Path) -> Result<Vec<(CertificateName, Timestamp)>, Failure> {
    let wrong = |error: io::Error| {
        Failure::new(
            Code::System,
            format!("cannot read {}: {error}", directory.display()),
            "",
        )
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(wrong)?;
        let path = entry.path();
        let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let Ok(name) = stem.parse::<CertificateName>() else {
            continue;
        };
        if path.extension() != Some(OsStr::new("toml")) {
            continue;
        }
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let since = modified.ok().and_then(|at| Timestamp::try_from(at).ok());
        names.push((name, since.unwrap_or(Timestamp::MIN)));
    }
    names.sort();
    Ok(names)
}

fn tell(
    name: &CertificateName,
    verdict: &Verdict,
    now: Timestamp,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    // With its fields, as the daemon would tell it.
    if journal::is_connected() {
        event(name, verdict, now).iter().for_each(journal::emit);
        return Ok(());
    }
    let what = match verdict {
        Verdict::Well => return Ok(()),
        Verdict::Ends(Published { end, .. }) => {
            let word = if end.at <= now { "expired" } else { "expires" };
            let when = relative(end.at, now);
            match &end.of {
                None => format!("{word} {when} and was not renewed"),
                Some(above) => format!(
                    "{word} {when} with the CA certificate \"{above}\" above it, and no chain with another one came"
                ),
            }
        }
        Verdict::ListEnds(list) => {
            let of = list.issuer();
            let when = list
                .until()
                .map(|until| relative(until, now))
                .unwrap_or_default();
            match list.has_ended(now) {
                true => format!(
                    "has a revocation list of {of} that ended {when}: services may refuse all its clients"
                ),
                false => {
                    format!("has a revocation list of {of} that ends {when}, and no newer one came")
                }
            }
        }
        Verdict::Missing => "is configured, and nothing is published".to_owned(),
        Verdict::Unreadable(why) => format!("cannot be judged: {why}"),
    };
    let remedy = format!("\"systemctl status renewd\" and \"renewctl show {name}\" tell why");
    out.raw(&format!(
        "{}\n",
        out.tone(Tone::Bad, &format!("{name} {what}"))
    ))?;
    out.line(&format!("  {remedy}"))?;
    Ok(())
}

fn event(name: &CertificateName, verdict: &Verdict, now: Timestamp) -> Option<Event> {
    let certificate = name.clone();
    Some(match verdict {
        Verdict::Well => return None,
        Verdict::ListEnds(list) => Event::CrlNotHad {
            certificate,
            error: format!("that of {} was not replaced in time", list.issuer()),
            until: list.until(),
        },
        Verdict::Ends(Published { leaf, end, .. }) => {
            let above = end.of.as_ref();
            let above = above.map(|subject| format!("the CA certificate {subject:?}"));
            Event::ending(name, &leaf.serial, end.at, above, end.at <= now)
        }
        Verdict::Missing => Event::NothingPublished { certificate },
        Verdict::Unreadable(why) => Event::PublishedUnreadable {
            certificate,
            error: why.clone(),
        },
    })
}
