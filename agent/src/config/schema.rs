//! Every key that a configuration file may have. The parser knows no other; errors take their
//! expectation and example from here, and a test holds `docs/configuration.md` to it.

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
}

impl Schema {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, expected: &'static str, example: &'static str) -> Key {
    Key {
        name,
        expected,
        example,
    }
}

const ISSUER_NAME: Key = key("issuer", "the name of an issuer in quotes", "\"internal\"");
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
        key("issuer", "a table for each issuer", "[issuer.internal]"),
    ],
};

/// `[defaults]` in `renewd.toml`.
pub const DEFAULTS: Schema = Schema {
    title: "[defaults]",
    in_main_file: true,
    placing: "write it below [defaults] in renewd.toml",
    keys: &[ISSUER_NAME, LIFETIME, KEY_TYPE, USAGE, OWNER, GROUP, MODE],
};

/// `[issuer.NAME]` in `renewd.toml`, with `type = "local"`.
pub const ISSUER: Schema = Schema {
    title: "[issuer.NAME]",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"local\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"local\""),
        key(
            "issuing_ca",
            "the place of a CA's key and certificates in quotes",
            "\"credential:issuing-ca.pem\"",
        ),
        key("root_lifetime", "a duration in quotes", "\"20y\""),
        key("intermediate_lifetime", "a duration in quotes", "\"1y\""),
        key(
            "permitted_dns",
            "a list of domains",
            "[\"example.internal\"]",
        ),
        key("permitted_ip", "a list of networks", "[\"10.0.0.0/8\"]"),
        key(
            "permitted_uri",
            "a list of SPIFFE IDs",
            "[\"spiffe://example.internal\"]",
        ),
    ],
};

/// `[issuer.NAME]` in `renewd.toml`, with `type = "acme"`.
pub const ACME: Schema = Schema {
    title: "[issuer.NAME] with type = \"acme\"",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"acme\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"acme\""),
        key(
            "directory",
            "an address in quotes",
            "\"https://ca.example.internal/acme/directory\"",
        ),
        key("ca", "a path in quotes", "\"/etc/renewd/ca.pem\""),
        key(
            "trust",
            "\"system\" or a path in quotes",
            "\"/etc/renewd/roots.pem\"",
        ),
        key(
            "proxy",
            "an address in quotes",
            "\"http://proxy.example.internal:3128\"",
        ),
        key(
            "contact",
            "a list of addresses",
            "[\"mailto:ops@example.org\"]",
        ),
        key("terms_of_service", "\"agreed\" in quotes", "\"agreed\""),
        key("eab_key_id", "a key's identifier in quotes", "\"kid-1\""),
        key(
            "eab_key",
            "the place of a key in quotes",
            "\"credential:eab\"",
        ),
        key("webroot", "a path in quotes", "\"/var/www/html\""),
        key("profile", "a profile's name in quotes", "\"shortlived\""),
    ],
};

/// `[issuer.NAME]` in `renewd.toml`, with `type = "exec"`.
pub const EXEC: Schema = Schema {
    title: "[issuer.NAME] with type = \"exec\"",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"exec\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"exec\""),
        key(
            "command",
            "a list of a program and its arguments",
            "[\"/usr/local/libexec/issue\"]",
        ),
        key("trust", "a path in quotes", "\"/etc/renewd/roots.pem\""),
        key(
            "credentials",
            "a list of credentials' names",
            "[\"ca-password\"]",
        ),
        key("timeout", "a duration in quotes", "\"60s\""),
        key("output_limit", "a whole number", "1048576"),
    ],
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
};

/// All tables, outermost first.
pub const ALL: [&Schema; 7] = [&MAIN, &DEFAULTS, &ISSUER, &ACME, &EXEC, &CERTIFICATE, &UNIT];

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
    ("ca", "issuing_ca"),
    ("intermediate", "issuing_ca"),
    ("directory_url", "directory"),
    ("server", "directory"),
    ("url", "directory"),
    ("ca_file", "ca"),
    ("root", "ca"),
    ("email", "contact"),
    ("mail", "contact"),
    ("tos", "terms_of_service"),
    ("agree_tos", "terms_of_service"),
    ("eab_kid", "eab_key_id"),
    ("eab_hmac_key", "eab_key"),
    ("credential", "credentials"),
    ("argv", "command"),
    ("exec", "command"),
    ("program", "command"),
    ("roots", "trust"),
    ("deadline", "timeout"),
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
