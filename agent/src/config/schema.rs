//! Every key that a configuration file may have. The parser knows no other; errors take their
//! expectation and example from here, and a test holds `docs/configuration.md` to it.

use crate::issuer::kind::Kinds;
use crate::table::{Key, Schema, Vocabulary, key};

const ISSUER_NAME: Key = key(
    "issuer",
    "the name of an issuer in quotes, or a list of names",
    "\"internal\"",
);
const LIFETIME: Key = key("lifetime", "a duration in quotes", "\"24h\"");
const KEY_TYPE: Key = key("key_type", "a key type in quotes", "\"ecdsa-p256\"");
const USAGE: Key = key("usage", "a list of usages", "[\"server\", \"client\"]");
const OWNER: Key = key("owner", "a user's name or number in quotes", "\"root\"");
const GROUP: Key = key(
    "group",
    "a group's name or number in quotes",
    "\"www-data\"",
);
const MODE: Key = key("mode", "a file mode in quotes", "\"0640\"");

/// The top level of `renewd.toml`.
pub(super) const MAIN: Schema = Schema {
    title: "renewd.toml",
    in_main_file: true,
    placing: "it belongs into renewd.toml",
    keys: &[
        key("defaults", "a table", "[defaults]"),
        key("trust", "a table", "[trust]"),
        key("issuer", "a table for each issuer", "[issuer.internal]"),
    ],
    aliases: &[],
};

/// `[trust]` in `renewd.toml`.
pub(super) const TRUST: Schema = Schema {
    title: "[trust]",
    in_main_file: true,
    placing: "write it below [trust] in renewd.toml",
    keys: &[
        key("keep", "a duration in quotes", "\"7d\""),
        key("settle", "a duration in quotes", "\"2h\""),
    ],
    aliases: &[],
};

/// `[defaults]` in `renewd.toml`.
pub(super) const DEFAULTS: Schema = Schema {
    title: "[defaults]",
    in_main_file: true,
    placing: "write it below [defaults] in renewd.toml",
    keys: &[ISSUER_NAME, LIFETIME, KEY_TYPE, USAGE, OWNER, GROUP, MODE],
    aliases: &[],
};

/// The top level of a certificate's file.
pub(super) const CERTIFICATE: Schema = Schema {
    title: "the certificate's file",
    in_main_file: false,
    placing: "write it at the top of the certificate's file, above the first [unit.…] line",
    keys: &[
        key("names", "a list of names", "[\"%H\", \"127.0.0.1\"]"),
        ISSUER_NAME,
        LIFETIME,
        KEY_TYPE,
        USAGE,
        OWNER,
        GROUP,
        MODE,
        key("unit", "a table for each unit", "[unit.\"nginx.service\"]"),
    ],
    aliases: &[],
};

/// `[unit."NAME"]` in a certificate's file.
pub(super) const UNIT: Schema = Schema {
    title: "[unit.\"NAME\"]",
    in_main_file: false,
    placing: "write it below the unit's line, such as [unit.\"nginx.service\"]",
    keys: &[
        key("on_change", "a way to tell a unit in quotes", "\"reload\""),
        key(
            "probe",
            "an address or a list of addresses",
            "[\"tls://127.0.0.1:443\"]",
        ),
        key("credential", "a credential's name in quotes", "\"tls.pem\""),
        key("order", "a whole number", "0"),
        key("reload_timeout", "a duration in quotes", "\"90s\""),
        key("probe_timeout", "a duration in quotes", "\"10s\""),
    ],
    aliases: &[],
};

/// All tables, with those of these kinds of issuers.
pub(super) fn vocabulary(kinds: Kinds) -> Vocabulary {
    let issuers = kinds.iter().map(|kind| kind.schema);
    let above = [&MAIN, &DEFAULTS, &TRUST].into_iter().chain(issuers);
    Vocabulary {
        schemas: above.chain([&CERTIFICATE, &UNIT]).collect(),
        aliases: ALIASES,
    }
}

/// Words that people bring from other tools, with the key that is meant here.
const ALIASES: &[(&str, &str)] = &[
    ("alt_names", "names"),
    ("common_names", "names"),
    ("dns", "names"),
    ("dns_names", "names"),
    ("domain", "names"),
    ("domains", "names"),
    ("hosts", "names"),
    ("san", "names"),
    ("sans", "names"),
    ("ca", "issuer"),
    ("duration", "lifetime"),
    ("ttl", "lifetime"),
    ("valid_for", "lifetime"),
    ("validity", "lifetime"),
    ("algorithm", "key_type"),
    ("key", "key_type"),
    ("ext_key_usage", "usage"),
    ("user", "owner"),
    ("permissions", "mode"),
    ("action", "on_change"),
    ("hook", "on_change"),
    ("reload", "on_change"),
    ("address", "probe"),
    ("check", "probe"),
    ("wave", "order"),
    ("job_timeout", "reload_timeout"),
    ("timeout", "reload_timeout"),
    ("units", "unit"),
    ("kind", "type"),
    ("issuers", "issuer"),
    ("default", "defaults"),
];
