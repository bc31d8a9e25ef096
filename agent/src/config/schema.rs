//! Every key that a configuration file may have. The parser knows no other; errors take their
//! expectation and example from here, and a test holds `docs/configuration.md` to it.

use super::kind::KINDS;

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it takes, as a noun phrase.
    pub expected: &'static str,
    /// A value that works, as it is written.
    pub example: &'static str,
}

/// The keys of one kind of table.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// The table, as a person calls it.
    pub title: &'static str,
    /// Whether it stands in `renewd.toml`, and not in a certificate's file.
    pub in_main_file: bool,
    /// How a key that belongs here is put here, when it was found elsewhere.
    pub placing: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Words of other tools that mean one of its keys and no other table's, beside [`ALIASES`].
    pub aliases: &'static [(&'static str, &'static str)],
}

impl Schema {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A key: what it is called, what it takes, and a value that works.
pub(super) const fn key(name: &'static str, expected: &'static str, example: &'static str) -> Key {
    Key {
        name,
        expected,
        example,
    }
}

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
pub const MAIN: Schema = Schema {
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
pub const TRUST: Schema = Schema {
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
pub const DEFAULTS: Schema = Schema {
    title: "[defaults]",
    in_main_file: true,
    placing: "write it below [defaults] in renewd.toml",
    keys: &[ISSUER_NAME, LIFETIME, KEY_TYPE, USAGE, OWNER, GROUP, MODE],
    aliases: &[],
};

/// The top level of a certificate's file.
pub const CERTIFICATE: Schema = Schema {
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
pub const UNIT: Schema = Schema {
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

/// All tables, outermost first.
pub(super) fn all() -> impl Iterator<Item = &'static Schema> {
    let issuers = KINDS.iter().map(|kind| kind.schema);
    let above = [&MAIN, &DEFAULTS, &TRUST].into_iter().chain(issuers);
    above.chain([&CERTIFICATE, &UNIT])
}

/// Words that people bring from other tools, with the key that is meant here.
pub(super) const ALIASES: &[(&str, &str)] = &[
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
