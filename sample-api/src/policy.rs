//! Who may do what: from identities to roles, from roles to methods and paths.
//!
//! Owns: the policy file and every decision; what no role allows is denied.
//! Never does: know of connections or requests; it is asked with plain values. Neighbours: [`crate::rules`] keeps the
//! one in force, [`crate::access`] asks.
//!
//! ```toml
//! [[role]]
//! name = "reader"
//! callers = ["spiffe://example.internal/web/*", "dns:*.batch.example", "cn:Old Client"]
//! anchors = ["5f:3a:…"]              # optional: only if verified by one of these CA certificates (SHA-256)
//! methods = ["GET"]                  # GET allows HEAD too
//! paths = ["/", "/whoami", "/orders/**"]
//! ```

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::file::{self, FileError, Source};
use crate::fingerprint::Fingerprint;
use crate::identity::Identity;

mod pattern;
#[cfg(test)]
mod tests;

pub use pattern::{Callers, NotAPattern, Paths, is_plain};

/// Roles are metric labels, so there is a bound.
pub const MOST_ROLES: usize = 64;

/// What was asked for, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Allowed, by the first role (in the order of the file) that does.
    Allowed {
        /// Its name.
        role: &'a str,
    },
    /// The caller has no role at all.
    NoRole,
    /// The caller has roles, and none allows this.
    NotAllowed,
    /// The path could be read in more than one way, so nothing is decided about it.
    Ambiguous,
}

/// The roles, in the order of the file.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Policy {
    roles: Vec<Role>,
    open: bool,
}

/// Which roles a caller has; to be used with the policy that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roles(Vec<u8>);

impl Roles {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Role {
    name: String,
    callers: Vec<Callers>,
    anchors: Vec<Fingerprint>,
    /// Empty: every method.
    methods: Vec<String>,
    paths: Vec<Paths>,
}

impl Policy {
    /// The one without a file: whoever has an identity may do everything, as the role `any`.
    pub fn open() -> Self {
        let role = Role {
            name: "any".to_owned(),
            callers: vec![Callers::All],
            anchors: Vec::new(),
            methods: Vec::new(),
            paths: vec![Paths::all()],
        };
        Self {
            roles: vec![role],
            open: true,
        }
    }

    /// Whether this is [`Policy::open`], which no file can say.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The names of the roles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(|role| role.name.as_str())
    }

    /// The roles of a caller who was verified by that anchor.
    pub fn roles(&self, identity: &Identity, anchor: Option<Fingerprint>) -> Roles {
        let has = |role: &Role| {
            let anchored =
                role.anchors.is_empty() || anchor.is_some_and(|one| role.anchors.contains(&one));
            anchored && role.callers.iter().any(|callers| callers.include(identity))
        };
        let all = self.roles.iter().zip(0..);
        Roles(
            all.filter(|(role, _)| has(role))
                .map(|(_, place)| place)
                .collect(),
        )
    }

    /// Decides about one request of a caller with these roles.
    pub fn decide(&self, roles: &Roles, method: &str, path: &str) -> Decision<'_> {
        match self.allows(roles, method, path) {
            Ok(place) => Decision::Allowed {
                role: self.name(place),
            },
            Err(refusal) => refusal,
        }
    }

    /// As [`Policy::decide`]: the place of the role that allows it, or why there is none.
    pub(crate) fn allows(
        &self,
        roles: &Roles,
        method: &str,
        path: &str,
    ) -> Result<u8, Decision<'static>> {
        if roles.is_empty() {
            return Err(Decision::NoRole);
        }
        if !self.open && !is_plain(path) {
            return Err(Decision::Ambiguous);
        }
        let allows = |role: &Role| {
            let same = |one: &String| one == method || (one == "GET" && method == "HEAD");
            (role.methods.is_empty() || role.methods.iter().any(same))
                && role.paths.iter().any(|paths| paths.include(path))
        };
        let mut own = roles.0.iter().copied();
        own.find(|place| self.roles.get(usize::from(*place)).is_some_and(allows))
            .ok_or(Decision::NotAllowed)
    }

    /// The name of the role at that place.
    pub(crate) fn name(&self, place: u8) -> &str {
        let role = self.roles.get(usize::from(place));
        role.map_or("", |role| role.name.as_str())
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no TOML, or says what cannot be; the text names file and line.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Self::parse(path, &file::read(path)?)
    }

    /// Checks a text; `path` is for messages only.
    ///
    /// # Errors
    ///
    /// As [`Policy::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let source = Source::new(path, text);
        let raw: RawPolicy = source.parse()?;
        let mut policy = Self::default();
        for raw in raw.role {
            let at = raw.name.span().start;
            if policy.roles.len() == MOST_ROLES {
                return Err(source.refuse(at, format!("more than {MOST_ROLES} roles")));
            }
            let role = Role::checked(raw).map_err(|(at, reason)| source.refuse(at, reason))?;
            if policy.names().any(|name| name == role.name) {
                return Err(source.refuse(at, format!("there are two roles `{}`", role.name)));
            }
            policy.roles.push(role);
        }
        Ok(policy)
    }
}

impl Role {
    fn checked(raw: RawRole) -> Result<Self, (usize, String)> {
        let at = raw.name.span().start;
        let name = raw.name.into_inner();
        let word = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
        };
        if name.is_empty() || name.len() > 32 || !name.bytes().all(word) {
            let remedy = "a role's name is 1 to 32 of a–z, 0–9, `-` and `_`";
            return Err((at, remedy.to_owned()));
        }
        for (key, empty) in [
            ("callers", raw.callers.is_empty()),
            ("methods", raw.methods.is_empty()),
            ("paths", raw.paths.is_empty()),
        ] {
            if empty {
                return Err((
                    at,
                    format!("`{key}` of the role `{name}` is empty: it allows nothing"),
                ));
            }
        }
        Ok(Self {
            name,
            callers: each(raw.callers)?,
            anchors: each(raw.anchors.unwrap_or_default())?,
            methods: methods(raw.methods)?,
            paths: each(raw.paths)?,
        })
    }
}

fn each<T: std::str::FromStr<Err: std::fmt::Display>>(
    raw: Vec<Spanned<String>>,
) -> Result<Vec<T>, (usize, String)> {
    let one = |text: Spanned<String>| {
        let parsed = text.get_ref().parse();
        parsed.map_err(|error| (text.span().start, format!("`{}`: {error}", text.get_ref())))
    };
    raw.into_iter().map(one).collect()
}

/// `["*"]` is every method, which is an empty list from here on.
fn methods(raw: Vec<Spanned<String>>) -> Result<Vec<String>, (usize, String)> {
    if let [only] = raw.as_slice()
        && only.get_ref() == "*"
    {
        return Ok(Vec::new());
    }
    for method in &raw {
        let name = method.get_ref();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let remedy = format!(
                "`{name}`: a method is written in capitals, as in \"GET\"; all of them are [\"*\"]"
            );
            return Err((method.span().start, remedy));
        }
    }
    Ok(raw.into_iter().map(Spanned::into_inner).collect())
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    #[serde(default)]
    role: Vec<RawRole>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    name: Spanned<String>,
    callers: Vec<Spanned<String>>,
    anchors: Option<Vec<Spanned<String>>>,
    methods: Vec<Spanned<String>>,
    paths: Vec<Spanned<String>>,
}
