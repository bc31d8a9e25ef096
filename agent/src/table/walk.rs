//! Walking a parsed file table by table: every unknown key and every wrong type is noted with its
//! line, and reading goes on.

use toml::de::{DeTable, DeValue};

use super::document::{At, dotted, saturating, shown};
use super::error::{ErrorKind, Location, Mismatch, Report};
use super::schema::{Key, Schema, Vocabulary};
use super::source::Source;
use super::suggest::nearest;

/// One table of a file, with what may stand in it.
pub struct Section<'a> {
    source: &'a Source,
    table: &'a DeTable<'a>,
    schema: &'static Schema,
    vocabulary: &'a Vocabulary,
    path: String,
    location: Location,
}

impl<'a> Section<'a> {
    /// The top level of a file.
    pub fn top(
        source: &'a Source,
        table: &'a DeTable<'a>,
        schema: &'static Schema,
        vocabulary: &'a Vocabulary,
        report: &mut Report,
    ) -> Self {
        let section = Self {
            source,
            table,
            schema,
            vocabulary,
            path: String::new(),
            location: source.location(0),
        };
        section.refuse_unknown_keys(report);
        section
    }

    /// The same table, with what may stand in it now that its kind is known.
    pub fn of(self, schema: &'static Schema) -> Self {
        Self { schema, ..self }
    }

    /// Where the table begins.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The dotted path of a key.
    pub fn field(&self, key: &str) -> String {
        dotted(&self.path, key)
    }

    /// The dotted path of the table.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Notes that a key is missing, where it is; `example` is a line that works.
    pub fn need(&self, key: &str, expected: &str, example: &str, report: &mut Report) {
        if !self.has(key) {
            let mismatch = Mismatch::of(
                ErrorKind::MissingKey,
                "is missing",
                expected,
                format!("write for example {example}"),
            );
            report.error(&self.location, self.field(key), mismatch);
        }
    }

    /// Notes what is wrong with a key that stands there.
    pub fn refuse(&self, key: &str, mismatch: Mismatch, report: &mut Report) {
        if let Some((at, _)) = self.find(key) {
            at.refuse(report, mismatch);
        }
    }

    /// Whether the key stands there, with whatever value.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A text.
    pub fn text(&self, key: &str, report: &mut Report) -> Option<At<String>> {
        self.read(key, report, |value| value.as_str().map(str::to_owned))
    }

    /// A whole number.
    pub fn integer(&self, key: &str, report: &mut Report) -> Option<At<i64>> {
        self.read(key, report, |value| value.as_integer().map(saturating))
    }

    /// Yes or no.
    pub fn flag(&self, key: &str, report: &mut Report) -> Option<At<bool>> {
        self.read(key, report, DeValue::as_bool)
    }

    /// A list of texts.
    pub fn texts(&self, key: &str, report: &mut Report) -> Option<At<Vec<At<String>>>> {
        let (at, value) = self.find(key)?;
        let DeValue::Array(array) = value else {
            self.refuse_type(key, &at, value, report);
            return None;
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            let place = At {
                value: (),
                location: self.source.location(item.span().start),
                field: at.field.clone(),
            };
            match item.get_ref().as_str() {
                Some(text) => texts.push(place.with(text.to_owned())),
                None => self.refuse_type(key, &place, item.get_ref(), report),
            }
        }
        Some(at.with(texts))
    }

    /// A text, or a list of texts.
    pub fn text_or_texts(&self, key: &str, report: &mut Report) -> Option<At<Vec<At<String>>>> {
        let (at, value) = self.find(key)?;
        match value.as_str() {
            Some(text) => {
                let only = at.with(text.to_owned());
                Some(at.with(vec![only]))
            }
            None => self.texts(key, report),
        }
    }

    /// A table of its own.
    pub fn table(
        &self,
        key: &str,
        schema: &'static Schema,
        report: &mut Report,
    ) -> Option<Section<'a>> {
        let section = self.open(key, schema, report)?;
        section.refuse_unknown_keys(report);
        Some(section)
    }

    /// The tables of a table whose keys are names, such as `[unit."NAME"]`. Their keys are not
    /// looked at before [`Section::refuse_unknown_keys`].
    pub fn named_tables(
        &self,
        key: &str,
        schema: &'static Schema,
        report: &mut Report,
    ) -> Vec<(At<String>, Section<'a>)> {
        let Some(parent) = self.open(key, schema, report) else {
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (name, value) in parent.table.iter() {
            let at = At {
                value: name.get_ref().to_string(),
                location: self.source.location(name.span().start),
                field: parent.field(name.get_ref()),
            };
            let DeValue::Table(table) = value.get_ref() else {
                // `[unit]` with its keys below is a unit whose name was forgotten.
                let expected = self.schema.key(key).map_or("", |known| known.example);
                at.refuse(
                    report,
                    Mismatch::of(
                        ErrorKind::WrongType,
                        format!("is {}", shown(value.get_ref())),
                        "a table",
                        format!("begin a table with a line such as {expected}"),
                    ),
                );
                continue;
            };
            if let Some(suffix) = forgotten_quotes(table) {
                at.refuse(
                    report,
                    Mismatch::new(
                        format!("{:?} and {suffix:?} are two keys", at.value),
                        "one name in quotes",
                        format!("write [{key}.\"{}.{suffix}\"]", at.value),
                    ),
                );
                continue;
            }
            let section = Section {
                source: self.source,
                table,
                schema,
                vocabulary: self.vocabulary,
                path: at.field.clone(),
                location: at.location.clone(),
            };
            sections.push((at, section));
        }
        // In the file's order, not the alphabet's.
        sections.sort_by(|(a, _), (b, _)| a.location.cmp(&b.location));
        sections
    }

    /// Notes each key that does not belong here, with the one that is meant.
    pub fn refuse_unknown_keys(&self, report: &mut Report) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if self.schema.key(name).is_some() {
                continue;
            }
            let known: Vec<&str> = self.schema.keys.iter().map(|known| known.name).collect();
            report.error(
                &self.source.location(key.span().start),
                self.field(name),
                Mismatch::of(
                    ErrorKind::UnknownKey,
                    format!("{} has no key {name:?}", self.schema.title),
                    format!("one of {}", known.join(", ")),
                    self.meant(name),
                ),
            );
        }
    }

    fn meant(&self, name: &str) -> String {
        let names = |schema: &'static Schema| schema.keys.iter().map(|known| known.name);
        let same_file = |schema: &&'static Schema| schema.in_main_file == self.schema.in_main_file;
        let has_it = |schema: &&'static Schema| schema.key(name).is_some();
        let all = || self.vocabulary.schemas.iter().copied();
        let elsewhere = all()
            .filter(has_it)
            .find(same_file)
            .or_else(|| all().find(has_it));
        let alias = self
            .vocabulary
            .aliases
            .iter()
            .chain(self.schema.aliases)
            .find(|(word, meant)| *word == name && self.schema.key(meant).is_some())
            .map(|(_, meant)| *meant);
        if let Some(meant) = alias {
            format!("the key is called {meant:?} here")
        } else if let Some(schema) = elsewhere {
            schema.placing.to_owned()
        } else if let Some(meant) = nearest(name, names(self.schema)) {
            format!("did you mean {meant:?}?")
        } else {
            "remove it".to_owned()
        }
    }

    fn open(&self, key: &str, schema: &'static Schema, report: &mut Report) -> Option<Section<'a>> {
        let (at, value) = self.find(key)?;
        let DeValue::Table(table) = value else {
            self.refuse_type(key, &at, value, report);
            return None;
        };
        Some(Section {
            source: self.source,
            table,
            schema,
            vocabulary: self.vocabulary,
            path: at.field,
            location: at.location,
        })
    }

    fn read<T>(
        &self,
        key: &str,
        report: &mut Report,
        take: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Option<At<T>> {
        let (at, value) = self.find(key)?;
        let taken = take(value);
        if taken.is_none() {
            self.refuse_type(key, &at, value, report);
        }
        taken.map(|taken| at.with(taken))
    }

    fn find(&self, key: &str) -> Option<(At<()>, &'a DeValue<'a>)> {
        let (name, value) = self.table.get_key_value(key)?;
        let at = At {
            value: (),
            location: self.source.location(name.span().start),
            field: self.field(key),
        };
        Some((at, value.get_ref()))
    }

    fn refuse_type(&self, key: &str, at: &At<()>, value: &DeValue<'_>, report: &mut Report) {
        let Some(Key {
            name,
            expected,
            example,
        }) = self.schema.key(key)
        else {
            return;
        };
        let remedy = if example.starts_with('[') && !example.starts_with("[\"") {
            format!("begin a table with a line such as {example}")
        } else {
            format!("write for example {name} = {example}")
        };
        at.refuse(
            report,
            Mismatch::of(
                ErrorKind::WrongType,
                format!("is {}", shown(value)),
                *expected,
                remedy,
            ),
        );
    }
}

/// The unit type in `[unit.nginx.service]`, which TOML takes for a table in a table.
fn forgotten_quotes(table: &DeTable<'_>) -> Option<&'static str> {
    let (key, value) = table.iter().next()?;
    let suffix = ["service", "socket", "target", "timer"]
        .into_iter()
        .find(|suffix| *suffix == key.get_ref().as_ref())?;
    (table.len() == 1 && value.get_ref().is_table()).then_some(suffix)
}
