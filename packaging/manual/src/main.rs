//! Writes what is read about the programs: man pages, the journal's message catalogues, and completions.
//!
//! Owns the way from `docs/*.md` and the parsers to those files, so that no text is written twice. `packaging/build` runs it:
//! `renewd-manual DOCS OUT` puts below `OUT/PACKAGE/` what the package installs below `/usr`. The same input gives the same
//! bytes.

mod catalogue;
mod completions;
mod links;
mod markdown;
mod options;
mod pages;
mod roff;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use catalogue::{CATALOGUES, catalogue};
use pages::PAGES;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [documents, out] = arguments.as_slice() else {
        eprintln!("usage: renewd-manual DOCS OUT");
        return ExitCode::from(64);
    };
    match write(Path::new(documents), Path::new(out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("renewd-manual: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(documents: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    for (path, text) in files(documents) {
        let path = out.join(path);
        let directory = path.parent().unwrap_or(out);
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Every file with its place: the package, then what is below `/usr` there.
fn files(documents: &Path) -> Vec<(PathBuf, String)> {
    let read = |name: &str| {
        let path = documents.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut files = Vec::new();
    for page in PAGES {
        let (name, section) = page.name();
        let path = format!("{}/share/man/man{section}/{name}.{section}", page.package);
        files.push((path.into(), page.text(VERSION, &read)));
    }
    for of in &CATALOGUES {
        let path = format!("{0}/lib/systemd/catalog/{0}.catalog", of.program);
        files.push((path.into(), catalogue(of, &read(of.document))));
    }
    for script in completions::scripts() {
        let path = format!("{}/share/{}", script.package, script.path);
        files.push((path.into(), script.text));
    }
    files
}
