//! A whole rotation with a fault at every operation on the disk, one after the other: first issuance,
//! renewal, and a renewal that is taken back. The daemon sees an error and goes on, or dies there, with or
//! without the power, and is started again.
//!
//! At every moment a reader must find a matching whole pair; in the end the record, the files and the
//! service must be those of a run without a fault.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use renewd_core::leaf::Fingerprint;
use renewd_core::record::Verdict;
use renewd_core::supply::Supply;
use renewd_store::disk::{Disk, Fault, Faults, Operation};
use renewd_store::faults::{Kind, Loss, Plan};
use renewd_store::publish::LINGER;
use renewd_store::reader;
use serde_json::Value;

use super::host::{NGINX, Temper, nginx};
use super::site::{Life, Site, pair_serial};
use crate::control::Daemon;

const UNIT: &str = "nginx.service";
/// So many starts are enough for one fault.
const LIVES: usize = 4;
const DAY: Duration = Duration::from_secs(86_400);

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy)]
struct Mishap {
    kind: Kind,
    loss: Option<Loss>,
}

/// What goes wrong at the operation of this number, one mishap per run.
fn mishaps(number: u64) -> [Mishap; 4] {
    let (kind, loss) = match number % 3 {
        0 => (Kind::Dies, Loss::Everything),
        1 => (Kind::DiesHalfway, Loss::Content),
        _ => (Kind::Dies, Loss::Some(number)),
    };
    let mishap = |kind, loss| Mishap { kind, loss };
    [
        mishap(Kind::Fails, None),
        mishap(Kind::HalfDone, None),
        mishap(Kind::Dies, None),
        mishap(kind, Some(loss)),
    ]
}

/// Looks with a reader's eyes between any two operations.
struct Watched {
    plan: Arc<Plan>,
    published: PathBuf,
    seen: Arc<Seen>,
}

/// What readers saw over all lives of one run.
#[derive(Default)]
struct Seen {
    anything: Mutex<bool>,
    good: Mutex<BTreeSet<Fingerprint>>,
    bad: Mutex<Vec<String>>,
}

impl Seen {
    fn look(&self, published: &Path) {
        let mut anything = self.anything.lock().unwrap();
        let whole = match reader::read(published) {
            Ok(snapshot) => self.judge(&snapshot),
            // Before the first generation there is nothing to read.
            Err(_) if !*anything => return,
            Err(error) => Err(error.to_string()),
        };
        *anything = true;
        if let Err(why) = whole {
            self.bad.lock().unwrap().push(why);
        }
    }

    fn judge(&self, snapshot: &reader::Snapshot) -> Result<(), String> {
        let parts = [
            snapshot.key_pem.bytes(),
            &snapshot.fullchain_pem,
            &snapshot.ca_pem,
        ];
        let digest = Fingerprint::of(&parts.concat());
        if !self.good.lock().unwrap().contains(&digest) {
            pair_serial(snapshot)?;
            self.good.lock().unwrap().insert(digest);
        }
        Ok(())
    }
}

impl Faults for Watched {
    fn before(&self, operation: Operation, path: &Path) -> Fault {
        self.seen.look(&self.published);
        self.plan.before(operation, path)
    }

    fn after(&self, operation: Operation, path: &Path) {
        self.plan.after(operation, path);
    }
}

/// How far a run is; it outlives the daemon.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    First,
    Renewal,
    Revert,
    Tidying,
    Over,
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
struct End {
    record: Value,
    files: BTreeSet<String>,
}

struct Run {
    operations: u64,
    struck: bool,
    bad: Vec<String>,
    end: End,
}

/// Plays the whole rotation; `mishap` strikes at the operation of that number.
fn run(mishap: Option<(Mishap, u64)>) -> Run {
    run_over(mishap, Plan::new)
}

fn run_over(
    mishap: Option<(Mishap, u64)>,
    plan: impl FnOnce(&Path) -> io::Result<Arc<Plan>>,
) -> Run {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    fs::create_dir(site.state()).unwrap();
    let (seen, stage) = (Arc::<Seen>::default(), Cell::new(Stage::First));
    let plan = plan(&site.state()).unwrap();
    if let Some((mishap, number)) = mishap {
        plan.arm(mishap.kind, number);
    }
    let mut in_force = plan.clone();
    for _ in 0..LIVES {
        let disk = Disk::with_faults(Arc::new(Watched {
            plan: in_force.clone(),
            published: site.published("c0"),
            seen: seen.clone(),
        }));
        // A store that cannot be opened is a daemon that systemd starts again.
        let _ = site.try_live(disk, async |life: &Life<'_>| {
            play(life, &stage, &in_force).await;
        });
        if in_force.is_dead() {
            if let Some((
                Mishap {
                    loss: Some(loss), ..
                },
                _,
            )) = mishap
            {
                in_force.lose_power(loss).unwrap();
                // The very first generation may be gone again, if nobody was told of it.
                *seen.anything.lock().unwrap() = site.host.serves(UNIT).is_some();
            }
            in_force = Plan::new(&site.state()).unwrap();
        }
        if stage.get() == Stage::Over {
            break;
        }
    }
    seen.look(&site.published("c0"));
    let mut bad = seen.bad.lock().unwrap().clone();
    if stage.get() != Stage::Over {
        bad.push(format!("it does not get beyond {:?}", stage.get()));
    }
    Run {
        operations: plan.operations(),
        struck: plan.struck(),
        bad,
        end: End {
            record: normalised(&site).unwrap_or_default(),
            files: files(&site.state()).unwrap(),
        },
    }
}

/// Goes on from the stage that was reached, until the run is over or the daemon dead.
async fn play(life: &Life<'_>, stage: &Cell<Stage>, plan: &Plan) {
    let host = &life.site.host;
    loop {
        let next = match stage.get() {
            Stage::First => {
                until(life, plan, "the first is served", |life| life.is_settled()).await;
                Stage::Renewal
            }
            Stage::Renewal => {
                renew_from(life, 1);
                let renewed =
                    |life: &Life<'_>| life.status("c0").generation == Some(2) && life.is_settled();
                until(life, plan, "the second is served", renewed).await;
                if !plan.is_dead() {
                    host.temper(UNIT, Temper::Only(life.status("c0").serial.unwrap()));
                }
                Stage::Revert
            }
            Stage::Revert => {
                renew_from(life, 2);
                until(life, plan, "the third is taken back", is_taken_back).await;
                Stage::Tidying
            }
            Stage::Tidying => {
                for _ in 0..3 {
                    life.site.clock.pass(LINGER);
                    life.work().await;
                }
                Stage::Over
            }
            Stage::Over => return,
        };
        if plan.is_dead() {
            return;
        }
        assert_eq!(life.proof("c0", UNIT), "served");
        stage.set(next);
    }
}

async fn until(life: &Life<'_>, plan: &Plan, what: &str, reached: impl Fn(&Life<'_>) -> bool) {
    life.until_within(DAY, what, |life| plan.is_dead() || reached(life))
        .await;
}

/// The operator renews what is at this generation, and does so again if the request was lost.
fn renew_from(life: &Life<'_>, generation: u64) {
    let record = life.record("c0");
    if record.target == Some(generation)
        && record.supply == Supply::Fresh
        && !record.renew_requested
    {
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
    }
}

fn is_taken_back(life: &Life<'_>) -> bool {
    let record = life.record("c0");
    let verdict = record
        .generations
        .get(&3)
        .and_then(|third| third.verdict.as_ref());
    matches!(verdict, Some(Verdict::Blamed { .. }))
        && record.published == Some(4)
        && record.units.values().all(|unit| unit.debt.is_none())
        && life
            .status("c0")
            .last_error
            .is_some_and(|error| error.contains("to blame"))
}

/// The record without what no two runs have in common: instants, tries, and random content.
fn normalised(site: &Site) -> Option<Value> {
    let record = site.record("c0")?;
    let mut value = serde_json::to_value(&record).unwrap();
    let serials: Vec<(String, u64)> = record
        .generations
        .values()
        .map(|kept| (kept.leaf.serial.to_string(), kept.identity))
        .collect();
    normalise(&mut value, "", &serials);
    Some(value)
}

fn normalise(value: &mut Value, key: &str, serials: &[(String, u64)]) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                normalise(value, key, serials);
            }
        }
        Value::Array(items) => {
            for value in items {
                normalise(value, key, serials);
            }
        }
        Value::String(text) => {
            let known = serials.iter().find(|(serial, _)| serial == text);
            let is_random = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if let Some((_, identity)) = known {
                *text = format!("serial of identity {identity}");
            } else if is_random {
                *text = "digest".to_owned();
            } else if text.parse::<jiff::Timestamp>().is_ok() {
                *text = "instant".to_owned();
            }
        }
        Value::Number(_) if matches!(key, "tries" | "failures") => *value = 0.into(),
        _ => {}
    }
}

/// All files below a directory, by their paths; what is random in a name is left out.
fn files(directory: &Path) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
            let path = entry.path().display().to_string();
            let path = path.split_once("/state/").map_or("", |(_, path)| path);
            let is_bundle = path.starts_with("store/trust/c0/");
            found.insert(
                if is_bundle {
                    "store/trust/c0/…"
                } else {
                    path
                }
                .to_owned(),
            );
        }
    }
    Ok(found)
}

#[test]
fn whatever_goes_wrong_at_whichever_operation_of_a_rotation_it_ends_as_if_nothing_had() {
    let undisturbed = run(None);
    assert_eq!(undisturbed.bad, [""; 0]);
    let points = undisturbed.operations;
    let (next, bad, different) = (
        AtomicUsize::new(0),
        Mutex::new(Vec::new()),
        Mutex::new(Vec::new()),
    );
    let runs = points as usize * 4;
    let work = || {
        loop {
            let taken = next.fetch_add(1, Ordering::Relaxed);
            if taken >= runs {
                return;
            }
            let number = (taken / 4) as u64;
            let mishap = mishaps(number)[taken % 4];
            let run = run(Some((mishap, number)));
            assert!(run.struck, "{mishap:?} at {number} did not come");
            let at = |what: &dyn std::fmt::Debug| format!("{mishap:?} at {number}: {what:?}");
            if !run.bad.is_empty() {
                bad.lock().unwrap().push(at(&run.bad));
            }
            if run.end != undisturbed.end {
                different.lock().unwrap().push(at(&run.end));
            }
        }
    };
    std::thread::scope(|threads| {
        let workers: Vec<_> = (0..2).map(|_| threads.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
    let (bad, different) = (bad.into_inner().unwrap(), different.into_inner().unwrap());
    println!(
        "fault points: {points}, runs: {runs}, bad states: {}, records that differ: {}",
        bad.len(),
        different.len()
    );
    assert_eq!(bad, [""; 0]);
    assert_eq!(different, [""; 0], "undisturbed: {:#?}", undisturbed.end);
}

#[test]
fn without_syncs_the_same_looks_find_readers_that_lose_their_pair() {
    let undisturbed = run(None);
    let mishap = Mishap {
        kind: Kind::Dies,
        loss: Some(Loss::Content),
    };
    let numbers = (1..undisturbed.operations).step_by(40);
    let runs = numbers.map(|number| run_over(Some((mishap, number)), Plan::deaf_to_syncs));
    assert!(runs.filter(|run| !run.bad.is_empty()).count() > 2);
}
