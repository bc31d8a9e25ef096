//! What may stand in a table: its keys, and the words of other tools that mean one of them.

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
    /// Words of other tools that mean one of its keys and no other table's, beside those of the [`Vocabulary`].
    pub aliases: &'static [(&'static str, &'static str)],
}

impl Schema {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A key: what it is called, what it takes, and a value that works.
pub const fn key(name: &'static str, expected: &'static str, example: &'static str) -> Key {
    Key {
        name,
        expected,
        example,
    }
}

/// Every table that there is: by these an error tells what was meant.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// The tables, outermost first.
    pub schemas: Vec<&'static Schema>,
    /// Words that people bring from other tools, with the key that is meant here.
    pub aliases: &'static [(&'static str, &'static str)],
}
