//! Reads a `Cargo.toml` as far as the floors need it.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The directory of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One dependency of a package.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The package's name, whatever it is called in the code.
    pub(crate) package: String,
    /// `dependencies`, `dev-dependencies` or `build-dependencies`.
    pub(crate) kind: &'static str,
    pub(crate) optional: bool,
    pub(crate) default_features: bool,
    pub(crate) features: Vec<String>,
}

/// A package's manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) package: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// What each feature switches on.
    pub(crate) features: Table,
}

impl Manifest {
    /// Reads `DIRECTORY/Cargo.toml` of the workspace.
    pub(crate) fn read(directory: &str) -> Self {
        let path = workspace().join(directory).join("Cargo.toml");
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text)
    }

    pub(crate) fn parse(text: &str) -> Self {
        let manifest: Table = text.parse().unwrap();
        let mut dependencies = Vec::new();
        let platforms = table(&manifest, "target")
            .values()
            .filter_map(Value::as_table);
        for place in std::iter::once(&manifest).chain(platforms) {
            for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
                let named = table(place, kind).iter();
                dependencies.extend(named.map(|(name, value)| Dependency::of(name, kind, value)));
            }
        }
        Self {
            package: text_of(&manifest["package"], "name").unwrap().to_owned(),
            dependencies,
            features: table(&manifest, "features").clone(),
        }
    }

    /// What is needed to build it, tests aside.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind != "dev-dependencies")
    }
}

impl Dependency {
    fn of(name: &str, kind: &'static str, value: &Value) -> Self {
        let flag = |key| value.get(key).and_then(Value::as_bool);
        let features = value.get("features").and_then(Value::as_array);
        Self {
            package: text_of(value, "package").unwrap_or(name).to_owned(),
            kind,
            optional: flag("optional").unwrap_or(false),
            default_features: flag("default-features").unwrap_or(true),
            features: features
                .into_iter()
                .flatten()
                .filter_map(|feature| Some(feature.as_str()?.to_owned()))
                .collect(),
        }
    }
}

fn table<'a>(parent: &'a Table, key: &str) -> &'a Table {
    static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::new);
    parent.get(key).and_then(Value::as_table).unwrap_or(&EMPTY)
}

fn text_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}
