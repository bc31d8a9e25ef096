//! The polkit rule that lets the daemon act on exactly the configured units, and nothing else.
//!
//! Pure: renders text. `renewctl apply` writes it as root and leaves the digest; the daemon, which
//! cannot read `/etc/polkit-1/rules.d`, compares digests and says so when the rule is stale.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use renewd_core::leaf::Fingerprint;
use renewd_core::names::UnitName;
use renewd_core::unit::OnChange;

/// Where the rule belongs.
pub const RULE_FILE: &str = "/etc/polkit-1/rules.d/50-renewd.rules";

/// Leave to do one thing to one unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    unit: String,
    verb: &'static str,
}

impl Grant {
    /// What a dependent needs: nothing when it is told nothing. Only canonical names
    /// ([`UnitFacts::canonical`]) have an effect in the rule: polkit is never told an alias.
    ///
    /// [`UnitFacts::canonical`]: crate::units::UnitFacts::canonical
    pub fn needed(unit: &UnitName, on_change: OnChange) -> impl Iterator<Item = Self> + use<> {
        let unit = unit.to_string();
        verbs(on_change).iter().map(move |verb| Self {
            unit: unit.clone(),
            verb,
        })
    }

    /// Reads what a rule says: the unit and the verb. `None` when we never ask for that verb.
    pub fn read(pair: &str) -> Option<Self> {
        let (unit, word) = pair.split_once(' ')?;
        let known = ALL
            .into_iter()
            .flat_map(verbs)
            .find(|verb| **verb == word)?;
        let unit: UnitName = unit.parse().ok()?;
        Some(Self {
            unit: unit.to_string(),
            verb: known,
        })
    }
}

/// For people: the verb first, as systemctl(1) has it.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.unit)
    }
}

const ALL: [OnChange; 5] = [
    OnChange::Reload,
    OnChange::Restart,
    OnChange::Start,
    OnChange::SignalHup,
    OnChange::None,
];

/// systemd's words for the requests that it takes, as polkit sees them in `action.lookup("verb")`.
pub fn verbs(on_change: OnChange) -> &'static [&'static str] {
    match on_change {
        OnChange::Reload => &["reload"],
        // The second one is for a unit that our own restart felled.
        OnChange::Restart => &["try-restart", "restart"],
        OnChange::Start => &["start"],
        OnChange::SignalHup => &["kill"],
        OnChange::None => &[],
    }
}

/// Renders the rule: the same text for the same set, in whatever order it was configured.
pub fn rule(user: &str, grants: &BTreeSet<Grant>) -> String {
    let mut granted = String::new();
    for Grant { unit, verb } in grants {
        // A unit's name has no space in it, so unit and verb cannot be taken for another pair.
        let pair = quoted(&format!("{unit} {verb}"));
        let _ = write!(granted, "\n        {pair},");
    }
    format!(
        "// Written by `renewctl apply` from renewd's configuration; edit that, not this.\n\
         polkit.addRule(function(action, subject) {{\n    \
             var granted = [{granted}\n    ];\n    \
             if (action.id === \"org.freedesktop.systemd1.manage-units\" &&\n        \
                 subject.user === {user} &&\n        \
                 granted.indexOf(action.lookup(\"unit\") + \" \" + action.lookup(\"verb\")) !== -1) {{\n        \
                 return polkit.Result.YES;\n    \
             }}\n    \
             return polkit.Result.NOT_HANDLED;\n\
         }});\n",
        user = quoted(user),
    )
}

/// The digest of the rule for this set. It covers the rule's whole text, so an upgrade that renders
/// another rule makes the old one stale.
///
/// `renewctl apply` and the daemon must make it over the same set: the names *as configured*, since
/// what an alias leads to may change without the configuration.
pub fn digest(user: &str, grants: &BTreeSet<Grant>) -> Fingerprint {
    Fingerprint::of(rule(user, grants).as_bytes())
}

/// A JavaScript string literal: whatever is not plainly harmless is escaped.
fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b" .-_@:".contains(&byte) => {
                literal.push(char::from(byte));
            }
            _ => {
                let _ = write!(literal, "\\u{unit:04x}");
            }
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(units: &[(&str, OnChange)]) -> BTreeSet<Grant> {
        units
            .iter()
            .flat_map(|(unit, on_change)| Grant::needed(&unit.parse().unwrap(), *on_change))
            .collect()
    }

    #[test]
    fn the_rule_names_each_unit_with_its_verb_and_no_other() {
        let text = rule(
            "renewd",
            &set(&[
                ("nginx.service", OnChange::Reload),
                ("deploy.service", OnChange::Start),
                ("old.service", OnChange::SignalHup),
                ("api.service", OnChange::None),
            ]),
        );
        for pair in [
            "\"nginx.service reload\"",
            "\"deploy.service start\"",
            "\"old.service kill\"",
        ] {
            assert!(text.contains(pair), "{pair} in\n{text}");
        }
        assert!(!text.contains("api.service"), "{text}");
        assert!(!text.contains("restart"), "{text}");
        assert!(text.contains("org.freedesktop.systemd1.manage-units"));
        assert!(!text.contains("manage-unit-files"));
    }

    #[test]
    fn a_unit_that_is_restarted_may_also_be_brought_up_again_after_our_restart_felled_it() {
        let text = rule("renewd", &set(&[("api.service", OnChange::Restart)]));
        for pair in ["\"api.service try-restart\"", "\"api.service restart\""] {
            assert!(text.contains(pair), "{pair} in\n{text}");
        }
        assert!(!text.contains("api.service start\""), "{text}");
    }

    #[test]
    fn what_a_rule_says_is_read_again_as_the_same_grant() {
        for on_change in ALL {
            for grant in Grant::needed(&"a@b.service".parse().unwrap(), on_change) {
                let pair = format!("{} {}", grant.unit, grant.verb);
                assert_eq!(Grant::read(&pair), Some(grant));
            }
        }
        for pair in ["a.service stop", "a.service", "nounit reload", ""] {
            assert_eq!(Grant::read(pair), None, "{pair:?}");
        }
    }

    #[test]
    fn the_same_set_gives_the_same_rule_and_digest_whatever_its_order() {
        let one = set(&[
            ("b.service", OnChange::Reload),
            ("a.service", OnChange::Restart),
        ]);
        let other = set(&[
            ("a.service", OnChange::Restart),
            ("b.service", OnChange::Reload),
            ("b.service", OnChange::Reload),
        ]);
        assert_eq!(rule("renewd", &one), rule("renewd", &other));
        assert_eq!(digest("renewd", &one), digest("renewd", &other));
        let more = set(&[("a.service", OnChange::Restart)]);
        assert_ne!(digest("renewd", &one), digest("renewd", &more));
    }

    #[test]
    fn names_with_escapes_in_them_arrive_as_they_are() {
        let text = rule(
            "renewd",
            &set(&[("dev\\x2d1@a:b.service", OnChange::Reload)]),
        );
        assert!(
            text.contains("\"dev\\u005cx2d1@a:b.service reload\""),
            "{text}"
        );
    }

    #[test]
    fn nothing_in_a_text_can_end_its_literal() {
        assert_eq!(
            quoted("a\"];x('\u{2028}\n</\\é😀"),
            "\"a\\u0022\\u005d\\u003bx\\u0028\\u0027\\u2028\\u000a\\u003c\\u002f\\u005c\\u00e9\\ud83d\\ude00\""
        );
    }

    #[test]
    fn an_empty_set_grants_nothing() {
        let text = rule("renewd", &BTreeSet::new());
        assert!(text.contains("var granted = [\n    ];"), "{text}");
    }
}
