//! A target under libFuzzer: `fuzz DIRECTORY… [-OPTION=…]`, with the target's name in `FUZZ_TARGET`. `tests/fuzz/run` calls it.
//! Without one it says which there are.
//!
//! The seeds are written into the directory that `FUZZ_SEEDS` names, for libFuzzer to begin with.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;
use std::{env, fs};

use renewd_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| {
        TARGETS
            .iter()
            .for_each(|target| println!("{}", target.name));
        std::process::exit(i32::from(!name.is_empty()))
    })
});

libfuzzer_sys::fuzz_target!(
    init: {
        let run = TARGET.run;
        if let Some(directory) = env::var_os("FUZZ_SEEDS") {
            let directory = Path::new(&directory);
            fs::create_dir_all(directory).expect("a directory for the seeds");
            for (number, seed) in (TARGET.seeds)().iter().enumerate() {
                fs::write(directory.join(format!("seed-{number}")), seed).expect("a seed");
                run(seed);
            }
        }
    },
    |data: &[u8]| (TARGET.run)(data)
);
