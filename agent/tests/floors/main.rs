//! Who may import what (docs/architecture.md, "The floors"): imports run downward only, adapters never
//! import each other, and composition roots alone name the concrete types.
//!
//! The crates are held by their manifests, the modules inside them by their text. Each rule is a function
//! over what it looks at, so that a planted violation shows that it can fail.

mod crates;
mod kinds;
mod manifest;
mod modules;
mod source;

/// A violation is a line for a person: who, what, and why not.
type Violations = Vec<String>;

#[track_caller]
fn none(violations: Violations) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// The planted violation is found, and told by its words.
#[track_caller]
fn found(violations: &Violations, words: &[&str]) {
    assert!(
        violations
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word))),
        "no line with {words:?} in {violations:?}"
    );
}
