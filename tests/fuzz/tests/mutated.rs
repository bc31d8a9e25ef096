//! Each target holds for its seeds, for what was found before (`tests/fuzz/found`), and for inputs made of both. The
//! inputs are the same in each run.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use renewd_fuzz::mutate::{Random, mutate};
use renewd_fuzz::{TARGETS, Target};

/// Runs one input. If it does not hold, the input is kept where it can be looked at.
fn hold(target: &Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.input", target.name));
        fs::write(&kept, input).unwrap();
        eprintln!(
            "target {} does not hold for {} (kept in {}); put it into tests/fuzz/found/{} when it is mended",
            target.name,
            input.escape_ascii(),
            kept.display(),
            target.name
        );
        resume_unwind(panic);
    }
}

fn found(target: &Target) -> Vec<Vec<u8>> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("found")
        .join(target.name);
    let mut paths: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn run(target: &Target) {
    let mut inputs = (target.seeds)();
    inputs.extend(found(target));
    inputs.push(Vec::new());
    for input in &inputs {
        hold(target, input);
    }
    let mut random = Random::new(
        target
            .name
            .bytes()
            .fold(7, |seed, byte| seed * 31 + u64::from(byte)),
    );
    for _ in 0..target.tries {
        hold(target, &mutate(&inputs, &mut random));
    }
}

macro_rules! each {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            run(TARGETS.iter().find(|target| target.name == stringify!($target)).unwrap());
        })*

        #[test]
        fn every_target_is_run() {
            let here = [$(stringify!($target)),*];
            assert!(TARGETS.iter().map(|target| target.name).eq(here));
        }
    };
}

each! { config policy pattern identity chain list list_file staple ticket trace forward redirect generation accept record daemon }

#[test]
fn every_finding_belongs_to_a_target() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("found");
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(TARGETS.iter().any(|target| target.name == name), "{name:?}");
    }
}
