//! One whole rotation on disk, with a fault at every operation in turn: a reader finds the old or the
//! new generation, never a mix, and a repetition succeeds.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use renewd_core::leaf::Fingerprint;
use renewd_core::names::CertificateName;
use renewd_core::record::{GenerationNumber, Record};
use renewd_core::trust::PublishedTrust;
use renewd_store::disk::Disk;
use renewd_store::faults::{Kind, Loss, Plan};
use renewd_store::publish::{Current, LINGER, Ownership};
use renewd_store::reader::{self, ReadError};
use renewd_store::{Identity, Store, StoreError};
use tempfile::TempDir;

/// The files' owner, mode and group stay the daemon's.
const OWN: Ownership = Ownership {
    owner: None,
    private_mode: 0o600,
};

fn name() -> CertificateName {
    "api".parse().expect("a certificate's name")
}

fn key(number: GenerationNumber) -> String {
    format!("KEY {number}\n").repeat(20)
}

fn bundle(number: GenerationNumber) -> String {
    format!("CA {number}\n").repeat(30)
}

/// Every second generation has lists.
fn crl(number: GenerationNumber) -> Option<String> {
    number
        .is_multiple_of(2)
        .then(|| format!("CRL {number}\n").repeat(10))
}

fn trust(number: GenerationNumber) -> PublishedTrust {
    PublishedTrust {
        ca_pem: bundle(number),
        crl_pem: crl(number),
    }
}

fn fullchain(number: GenerationNumber) -> String {
    format!("LEAF {number}\nISSUER {number}\n")
}

fn identity(number: GenerationNumber) -> Identity {
    Identity {
        key_pem: key(number).into(),
        leaf_pem: format!("LEAF {number}\n"),
        chain_pem: format!("ISSUER {number}\n"),
    }
}

fn record(number: GenerationNumber) -> Record {
    Record {
        highest: number,
        ..Record::new(name())
    }
}

fn digest(number: GenerationNumber) -> Fingerprint {
    Fingerprint::of(bundle(number).as_bytes())
}

/// What the daemon does for a generation, in its order.
fn rotate(store: &Store, number: GenerationNumber) -> Result<(), StoreError> {
    let name = name();
    let identity = identity(number);
    store.save_trust(&name, &digest(number), &bundle(number))?;
    store.save_identity(&name, number, &identity)?;
    store.save_record(&record(number))?;
    store.publish(&name, number, &identity, &trust(number), &OWN)?;
    store.save_record(&record(number))?;
    store.remove_generations(&name, &[], SystemTime::now() + 2 * LINGER)?;
    store.forget_identities(&name, &[number])
}

/// A directory in memory where there is one: every operation syncs.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a temporary directory")
}

/// A state directory in which `number` generations were published, 0 being a fresh one.
fn state_with(number: GenerationNumber) -> (TempDir, PathBuf) {
    let directory = directory();
    let state = directory.path().join("state");
    std::fs::create_dir(&state).expect("the state directory");
    if number > 0 {
        let store = Store::open(&state, Disk::default()).expect("a store");
        rotate(&store, number).expect("a first generation");
    }
    (directory, state)
}

/// What is wrong with what a start and a reader would find, if anything.
fn wrong(state: &Path, before: GenerationNumber, after: GenerationNumber) -> Result<(), String> {
    let published = state.join("certs/api");
    let found = match reader::read(&published) {
        Ok(snapshot) => {
            let number = snapshot.generation;
            let matches = snapshot.key_pem.bytes() == key(number).as_bytes()
                && snapshot.fullchain_pem == fullchain(number).as_bytes()
                && snapshot.ca_pem == bundle(number).as_bytes()
                && snapshot.crl_pem == crl(number).map(String::into_bytes);
            if !matches {
                return Err(format!("generation {number} is a mix"));
            }
            let combined = std::fs::read_to_string(published.join("combined.pem"))
                .map_err(|error| format!("combined.pem: {error}"))?;
            if combined != key(number) + &fullchain(number) {
                return Err("combined.pem is a mix".into());
            }
            let link = published.join("crl.pem");
            if before == after && link.symlink_metadata().is_ok() != crl(number).is_some() {
                return Err("the link to crl.pem is not as it should be".into());
            }
            Some(number)
        }
        Err(ReadError::Unpublished { .. }) if before == 0 => None,
        Err(ReadError::Unreadable { path, .. }) if before == 0 && path == published => None,
        Err(error) => return Err(format!("{error}")),
    };
    if found.is_some_and(|number| number != before && number != after) {
        return Err(format!("generation {found:?} out of nowhere"));
    }
    let store = Store::open(state, Disk::default()).map_err(|error| error.to_string())?;
    let name = name();
    match (store.current(&name), found) {
        (Current::Intact(number), Some(found)) if number == found => {}
        (Current::Nothing, None) => {}
        (current, found) => return Err(format!("{current:?}, and a reader finds {found:?}")),
    }
    let record = store
        .load_record(&name)
        .map_err(|error| error.to_string())?
        .map_or(0, |record| record.highest);
    if record != before && record != after {
        return Err(format!("the record of generation {record}"));
    }
    // What the record speaks of, and what is published, can be published again.
    if record > 0 {
        store
            .load_identity(&name, record)
            .map_err(|error| error.to_string())?;
        store
            .load_trust(&name, &digest(record))
            .map_err(|error| error.to_string())?;
    }
    if found.is_some_and(|found| found > record) {
        return Err(format!("published {found:?}, recorded {record}"));
    }
    Ok(())
}

/// A fault, and what became of the power.
type Case = (Kind, Option<Loss>);

fn cases() -> Vec<Case> {
    let mut cases = vec![
        (Kind::Fails, None),
        (Kind::HalfDone, None),
        (Kind::Dies, None),
        (Kind::DiesHalfway, None),
        (Kind::Dies, Some(Loss::Everything)),
        (Kind::Dies, Some(Loss::Content)),
    ];
    cases.extend((0..6).map(|seed| (Kind::Dies, Some(Loss::Some(seed)))));
    cases
}

type MakePlan = fn(&Path) -> std::io::Result<std::sync::Arc<Plan>>;

/// Plants every fault in turn into the rotation from `before` to `after`; returns how many points
/// there are, and what was wrong.
fn every_fault(
    before: GenerationNumber,
    after: GenerationNumber,
    plan: MakePlan,
) -> (u64, Vec<String>) {
    let count = {
        let (_directory, state) = state_with(before);
        let plan = plan(&state).expect("a plan");
        let store = Store::open(&state, plan.disk()).expect("a store");
        rotate(&store, after).expect("an undisturbed rotation");
        plan.operations()
    };
    let mut bad = Vec::new();
    for number in 0..count {
        for (kind, loss) in cases() {
            let (_directory, state) = state_with(before);
            let plan = plan(&state).expect("a plan");
            plan.arm(kind, number);
            if let Ok(store) = Store::open(&state, plan.disk()) {
                let _ = rotate(&store, after);
            }
            assert!(plan.struck(), "operation {number} never came");
            if let Some(loss) = loss {
                plan.lose_power(loss).expect("a loss of power");
            }
            let mut found = wrong(&state, before, after);
            if found.is_ok() {
                found = Store::open(&state, Disk::default())
                    .and_then(|store| rotate(&store, after))
                    .map_err(|error| format!("again: {error}"))
                    .and_then(|()| wrong(&state, after, after))
            }
            if let Err(why) = found {
                bad.push(format!("operation {number}, {kind:?}, {loss:?}: {why}"));
            }
        }
    }
    (count, bad)
}

fn assert_none_bad(story: &str, points: u64, bad: &[String]) {
    println!("{story}: fault points: {points}, bad states: {}", bad.len());
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn a_fault_at_any_operation_of_a_rotation_leaves_the_old_or_the_new_generation() {
    let (points, bad) = every_fault(1, 2, Plan::new);
    assert!(points > 60, "only {points} operations");
    assert_none_bad("rotation", points, &bad);
}

#[test]
fn while_the_old_generation_is_current_its_list_can_be_read_by_its_link() {
    let (_directory, state) = state_with(2);
    let store = Store::open(&state, Disk::default()).expect("a store");
    let published = state.join("certs/api");
    // The swap fails.
    std::fs::create_dir(published.join("current.link.new")).expect("something in its place");
    store
        .publish(&name(), 3, &identity(3), &trust(3), &OWN)
        .expect_err("a swap");
    assert!(published.join("crl.pem").exists());
}

#[test]
fn a_fault_at_any_operation_leaves_no_list_of_another_generation() {
    let (points, bad) = every_fault(2, 3, Plan::new);
    assert_none_bad("a rotation to one without lists", points, &bad);
}

#[test]
fn a_fault_at_any_operation_of_the_first_start_leaves_nothing_or_the_first_generation() {
    let (points, bad) = every_fault(0, 1, Plan::new);
    assert_none_bad("first start", points, &bad);
}

#[test]
fn publishing_without_syncs_would_be_caught() {
    let (_, bad) = every_fault(1, 2, Plan::deaf_to_syncs);
    assert!(!bad.is_empty(), "the fault layer sees nothing");
}

#[test]
fn what_was_published_survives_a_loss_of_power_right_after() {
    for loss in [Loss::Everything, Loss::Content, Loss::Some(1)] {
        let (_directory, state) = state_with(1);
        let plan = Plan::new(&state).expect("a plan");
        let store = Store::open(&state, plan.disk()).expect("a store");
        rotate(&store, 2).expect("a rotation");
        drop(store);
        plan.lose_power(loss).expect("a loss of power");
        let snapshot = reader::read(state.join("certs/api")).expect("a generation");
        assert_eq!(snapshot.generation, 2, "{loss:?}");
        wrong(&state, 2, 2).expect("all is well");
    }
}

#[test]
fn what_an_issuer_was_asked_with_is_wiped_before_it_is_gone_or_another_takes_its_place() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path(), Disk::default()).unwrap();
    let (name, issuer) = ("api".parse().unwrap(), "ca".parse().unwrap());
    let place = state.path().join("store/identities/api");
    let secret = b"a key";
    // Another name for what a file was, which shows what is left on the disk.
    let seen = |file: &str| {
        let link = state.path().join(format!("was{file}"));
        let _ = std::fs::remove_file(&link);
        std::fs::hard_link(place.join(file), &link).unwrap();
        link
    };
    let forgets: [&dyn Fn(); 3] = [
        &|| store.save_asked(&name, &issuer, b"another").unwrap(),
        &|| store.forget_asked(&name, &issuer).unwrap(),
        &|| store.forget_all_asked(&name).unwrap(),
    ];
    for forget in forgets {
        store.save_asked(&name, &issuer, secret).unwrap();
        // As a crash leaves it.
        std::fs::write(place.join(".asked-ca.new"), secret).unwrap();
        assert!(store.asked_issuers(&name).unwrap().contains(&issuer));
        let was = [seen("asked-ca"), seen(".asked-ca.new")];
        forget();
        for was in was {
            assert_eq!(std::fs::read(was).unwrap(), [0; 5]);
        }
        assert!(!place.join(".asked-ca.new").exists());
    }
    assert_eq!(store.asked_issuers(&name).unwrap(), []);
}
