//! What must hold after every event and before every step, whatever befalls the world.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::parts::Identity;
use crate::activation::Course;
use crate::leaf::Fingerprint;
use crate::names::UnitName;
use crate::proof::Proof;
use crate::record::{Context, Event, GenerationNumber, Record, TrustPart, Verdict};
use crate::schedule;
use crate::supply;
use crate::unit::{ActOutcome, Dependent, JobResult};

/// What an onlooker knows who sees everything and forgets nothing.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    /// The generation for which each unit was last proven, or found not running.
    paid: BTreeMap<UnitName, GenerationNumber>,
    /// The highest number ever published.
    highest_published: GenerationNumber,
    /// The newest bundle ever published, as an index.
    newest_trust: usize,
    stepped: bool,
    /// Somebody set the clock, at any time.
    ever_stepped: bool,
    /// Since when each anchor is known to all dependents, or in use.
    known: BTreeMap<Fingerprint, Timestamp>,
    /// The minute that is counted, and how often the daemon woke in it.
    wakes: (i64, u32),
    /// What the last issuance was when something else than the schedule asked for another one.
    ordered_after: Option<Option<Timestamp>>,
    /// Identities that were blamed.
    pub(super) blamed: u32,
    /// Returns that ended without a witness.
    pub(super) unwitnessed: u32,
    /// Returns to the identity before.
    pub(super) reverts: u32,
    /// Issuances, by why.
    pub(super) asked: Vec<supply::Cause>,
    /// How often a failed unit was brought up again.
    pub(super) revivals: u32,
}

impl Ghost {
    pub(super) fn clock_stepped(&mut self) {
        self.stepped = true;
        self.ever_stepped = true;
    }

    /// No world makes the daemon spin.
    pub(super) fn check_pace(&mut self, time: Timestamp) {
        let minute = time.as_second() / 60;
        if self.wakes.0 != minute {
            self.wakes = (minute, 0);
        }
        self.wakes.1 += 1;
        assert!(self.wakes.1 < 3_000, "it spins at {time}");
    }

    pub(super) fn revived(&mut self, _unit: &UnitName) {
        self.revivals += 1;
    }

    pub(super) fn check_fold(
        &mut self,
        before: &Record,
        event: &Event,
        after: &Record,
        dependents: &[Dependent],
        identities: &BTreeMap<GenerationNumber, Identity>,
        context: Context<'_>,
    ) {
        let story = || format!("{event:#?}\nbefore: {before:#?}\nafter: {after:#?}");
        self.numbers_only_rise(before, after, &story);
        if before != after {
            survives_a_restart(after);
        }
        self.note_payment(event, before, dependents);
        self.note_roots(event, before, after, context.now);
        for number in [
            after.target,
            after.published,
            after.rollout.as_ref().map(|rollout| rollout.generation),
        ]
        .into_iter()
        .flatten()
        {
            let generation = after.generations.get(&number);
            assert!(generation.is_some(), "{number} is forgotten: {}", story());
            let identity = generation.map(|generation| generation.identity);
            assert!(
                identity.is_some_and(|identity| identities.contains_key(&identity)
                    || matches!(event, Event::Accepted(_))),
                "{number} was never accepted: {}",
                story()
            );
        }
        assert!(after.issuances <= before.issuances + 1, "{}", story());
        if let Some(published) = after.published {
            for dependent in dependents {
                let Some(unit) = after.units.get(&dependent.unit) else {
                    // Only until the configuration is folded.
                    continue;
                };
                assert!(
                    unit.debt.is_some()
                        || unit.standing.proof == Proof::Unobservable
                        || self.paid.get(&dependent.unit) == Some(&published),
                    "{} owes nothing for {published} without having been proven: {}",
                    dependent.unit,
                    story()
                );
                if matches!(unit.standing.proof, Proof::Pending | Proof::Failed(_)) {
                    assert!(unit.debt.is_some(), "{}", story());
                }
            }
        }
        self.check_verdicts(before, after, context, &story);
    }

    fn numbers_only_rise(&self, before: &Record, after: &Record, story: &dyn Fn() -> String) {
        assert!(after.highest >= before.highest, "{}", story());
        for (number, generation) in &after.generations {
            assert!(*number <= after.highest, "{}", story());
            match before.generations.get(number) {
                Some(known) => assert!(
                    (known.identity, known.trust) == (generation.identity, generation.trust),
                    "generation {number} changed: {}",
                    story()
                ),
                None => assert!(*number > before.highest, "{}", story()),
            }
        }
    }

    /// What an event proves, by its own words.
    fn note_payment(&mut self, event: &Event, before: &Record, dependents: &[Dependent]) {
        let (unit, generation) = match event {
            Event::Acted {
                unit,
                generation,
                outcome: ActOutcome::NotRunning,
            } => (unit, generation),
            Event::Acted {
                unit,
                generation,
                outcome: ActOutcome::Job(JobResult::Done),
            } if dependents
                .iter()
                .any(|dependent| dependent.unit == *unit && !dependent.probed) =>
            {
                (unit, generation)
            }
            Event::Probed {
                unit,
                generation,
                report,
            } if report.failure.is_none() => (unit, generation),
            _ => return,
        };
        if before.published == Some(*generation) {
            self.paid.insert(unit.clone(), *generation);
        }
    }

    /// Which anchors may be used, and from when on.
    fn note_roots(&mut self, event: &Event, before: &Record, after: &Record, now: Timestamp) {
        if let Event::Accepted(identity) = event {
            self.known.insert(identity.anchor, Timestamp::MIN);
        }
        let (since, known) = match before.published {
            // Nobody has any bundle yet.
            None => (Timestamp::MIN, true),
            Some(_) => (now, after.published.is_some() && after.trust_is_known()),
        };
        for anchor in after.anchors.iter().filter(|_| known) {
            self.known.entry(*anchor).or_insert(since);
        }
        // One that comes back is new again.
        self.known
            .retain(|anchor, _| after.anchors.contains(anchor));
    }

    /// While what is published lasts, the issuer is not asked before all anchors have been known for so long.
    pub(super) fn check_roots(&self, record: &Record, settle: Duration, now: Timestamp) {
        let Some(published) = record.published_generation() else {
            return;
        };
        let overdue = schedule::overdue(published.accepted_at, published.end());
        if self.ever_stepped || published.revoked || now >= overdue {
            return;
        }
        for anchor in &record.anchors {
            let since = self.known.get(anchor);
            let known = since.is_some_and(|since| schedule::after(*since, settle) <= now);
            assert!(
                known,
                "{anchor} is known since {since:?}, at {now}: {record:#?}"
            );
        }
    }

    fn check_verdicts(
        &mut self,
        before: &Record,
        after: &Record,
        context: Context<'_>,
        story: &dyn Fn() -> String,
    ) {
        for (number, generation) in &after.generations {
            let verdict_before = before
                .generations
                .get(number)
                .and_then(|generation| generation.verdict.as_ref());
            if generation.verdict.as_ref() == verdict_before {
                continue;
            }
            if let Some(Verdict::Blamed { cause, .. }) = &generation.verdict {
                self.blamed += 1;
                let witness = &after.units[&cause.unit];
                assert!(witness.standing.proof.holds(), "no witness: {}", story());
                let published = after.published_generation().expect("a way back");
                assert_ne!(published.identity, generation.identity, "{}", story());
            }
        }
        let reverting = |record: &Record| {
            record
                .rollout
                .as_ref()
                .and_then(|rollout| rollout.course.suspect())
        };
        match (reverting(before), reverting(after)) {
            (None, Some(_)) => {
                self.reverts += 1;
                let rollout = after.rollout.as_ref().expect("a rollout");
                assert!(
                    after.usable(rollout.generation, context.life, context.now),
                    "back to what cannot be used: {}",
                    story()
                );
            }
            (Some(suspect), None) => {
                let verdict = after
                    .generations
                    .get(&suspect)
                    .and_then(|generation| generation.verdict.as_ref());
                if matches!(verdict, Some(Verdict::Unproven { .. }) | None) {
                    self.unwitnessed += 1;
                }
            }
            _ => {}
        }
    }

    pub(super) fn check_issue(
        &mut self,
        record: &Record,
        cause: supply::Cause,
        life: Duration,
        now: Timestamp,
    ) {
        self.asked.push(cause);
        let stepped = std::mem::take(&mut self.stepped);
        if !matches!(cause, supply::Cause::Due | supply::Cause::Again) {
            self.ordered_after = Some(record.last_issuance);
            return;
        }
        // What was ordered may be tried until something was issued.
        let ordered =
            cause == supply::Cause::Again && self.ordered_after == Some(record.last_issuance);
        if stepped || ordered {
            return;
        }
        let Some(last) = record.last_issuance.filter(|last| *last <= now) else {
            return;
        };
        let granted = record
            .target_generation()
            .map(|target| schedule::between(target.accepted_at, target.leaf.not_after))
            .map_or(life, |granted| granted.min(life));
        let outage = record
            .published_generation()
            .is_none_or(|published| published.leaf.not_after <= now);
        let gap = match outage {
            true => schedule::shortest_gap(granted).min(schedule::LONGEST_BACK_OFF),
            false => schedule::shortest_gap(granted),
        };
        assert!(
            schedule::between(last, now) + Duration::from_millis(2) >= gap,
            "{cause:?} at {now}, {:?} after the last: {record:#?}",
            schedule::between(last, now)
        );
    }

    pub(super) fn check_act(
        &self,
        record: &Record,
        dependents: &[Dependent],
        unit: &UnitName,
        life: Duration,
        now: Timestamp,
    ) {
        assert!(record.units[unit].debt.is_some());
        let wave = |unit: &UnitName| {
            dependents
                .iter()
                .find(|dependent| dependent.unit == *unit)
                .map(|dependent| dependent.wave)
        };
        let before_is_usable = record
            .previous
            .is_some_and(|previous| record.usable(previous, life, now));
        let earlier_owes = record
            .units
            .iter()
            .any(|(other, entry)| wave(other) < wave(unit) && entry.debt.is_some());
        assert!(
            !(before_is_usable && earlier_owes),
            "{unit} is told before an earlier wave is proven: {record:#?}"
        );
    }

    pub(super) fn check_publish(
        &mut self,
        record: &Record,
        number: GenerationNumber,
        identities: &BTreeMap<GenerationNumber, Identity>,
        bundles: &[TrustPart],
        life: Duration,
        now: Timestamp,
    ) {
        let story = || format!("publishing {number} at {now}: {record:#?}");
        assert!(number >= self.highest_published, "{}", story());
        self.highest_published = number;
        let generation = &record.generations[&number];
        assert!(identities.contains_key(&generation.identity), "{}", story());
        assert!(!record.identity_blamed(generation.identity), "{}", story());
        let trust = bundles
            .iter()
            .position(|bundle| bundle.digest == generation.trust)
            .expect("a known bundle");
        assert!(trust >= self.newest_trust, "trust goes back: {}", story());
        self.newest_trust = trust;
        let rollout = record.rollout.as_ref().expect("a rollout");
        if matches!(rollout.course, Course::Reverting { .. }) {
            assert!(generation.leaf.not_after > now, "{}", story());
            assert!(record.usable(number, life, now), "{}", story());
        }
        if let Some(published) = record.published_generation() {
            assert!(
                generation.leaf.not_after > now || published.leaf.not_after <= now,
                "expired in the place of valid: {}",
                story()
            );
        }
    }
}

/// What is written is what is read.
fn survives_a_restart(record: &Record) {
    let text = serde_json::to_string(record).expect("a record can be written");
    let read: Record = serde_json::from_str(&text).expect("a record can be read");
    assert_eq!(read, *record);
}
