//! What was said, layer over layer, and where.

use std::{collections::BTreeMap, ffi::OsString, fs, ops::Range, path::Path};

use serde::Deserialize;
use toml::{
    Spanned, Value,
    de::{DeTable, DeValue, ValueDeserializer},
};

use crate::{
    Config, Ignored, ModuleSection,
    error::{Error, Place},
    file::File,
    listeners, print,
    schema::{Schema, insert},
};

/// What the environment's names of settings begin with.
pub(crate) const PREFIX: &str = "ROLLCALL_";

/// Settings from everywhere; what is added later wins.
#[derive(Debug)]
pub struct Layers {
    schema: Schema,
    /// By what the keys are called today.
    said: BTreeMap<String, Statement>,
    /// Those that were named, and where first.
    listeners: BTreeMap<String, Place>,
    ignored: Ignored,
}

/// A value and where it was said.
#[derive(Debug)]
struct Statement {
    value: Value,
    place: Place,
    /// As it was said.
    key: String,
}

/// A key of a file.
struct Leaf {
    key: String,
    value: Value,
    place: Place,
    offset: usize,
}

/// What reading all layers gives.
struct Resolved {
    /// For people.
    all: toml::Table,
    config: Config,
}

impl Layers {
    /// The defaults alone, with the sections of these modules.
    pub fn new(modules: Vec<ModuleSection>) -> Self {
        let schema = Schema::new(modules);
        Self { schema, said: BTreeMap::new(), listeners: BTreeMap::new(), ignored: Ignored::default() }
    }

    /// Adds a TOML file.
    pub fn add_file(&mut self, file: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(file).map_err(|source| Error::Unreadable { file: file.to_owned(), source })?;
        self.add_toml(file, &text)
    }

    /// Adds TOML that stands in `file`.
    pub fn add_toml(&mut self, file: &Path, text: &str) -> Result<(), Error> {
        let place = |span: Range<usize>| Place::Line { file: file.to_owned(), line: line_of(text, span.start) };
        let table = DeTable::parse(text).map_err(|error| Error::Syntax {
            place: place(error.span().unwrap_or(0..0)),
            message: error.message().to_owned(),
        })?;
        let mut leaves = Vec::new();
        self.read_table("", table.get_ref(), &place, &mut leaves)?;
        // A table has lost the order, and the later of two names for one key wins.
        leaves.sort_by_key(|leaf| leaf.offset);
        leaves.into_iter().try_for_each(|Leaf { key, value, place, .. }| self.add(key, value, place))
    }

    /// Adds all variables that start with `ROLLCALL_`: `ROLLCALL_LISTENERS__MQTT__BIND` is `listeners.mqtt.bind`.
    ///
    /// What has no `__` and is no setting is left to [`Self::ignored`]: others than the operator set such variables.
    pub fn add_env(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(), Error> {
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let key = rest.to_ascii_lowercase().replace("__", ".");
            if !key.contains('.') && !self.schema.is_key(&key) {
                self.ignored.add(&name, self.schema.keys());
                continue;
            }
            let place = Place::Variable(name.clone());
            let value = value.into_string().map_err(|_| Error::NotText(name))?;
            self.add_text(key, &value, place)?;
        }
        Ok(())
    }

    /// Adds a flag that stands for a key, such as `--bind`.
    pub fn add_flag(&mut self, flag: &'static str, key: &str, value: &str) -> Result<(), Error> {
        self.add(key.to_owned(), Value::String(value.to_owned()), Place::Flag(flag))
    }

    /// Adds what `--set` was given: `dotted.key=value`.
    pub fn add_assignment(&mut self, assignment: &str) -> Result<(), Error> {
        let (key, value) = assignment.split_once('=').ok_or_else(|| Error::Assignment(assignment.to_owned()))?;
        self.add_text(key.trim().to_owned(), value.trim(), Place::Flag("--set"))
    }

    /// The variables that look like settings and are none.
    pub const fn ignored(&self) -> &Ignored {
        &self.ignored
    }

    /// All of it, checked.
    pub fn resolve(&self) -> Result<Config, Error> {
        let Resolved { all, mut config } = self.read()?;
        config.sources = print::sources(&self.schema, &all, |key| self.place(key));
        Ok(config)
    }

    /// All of it as TOML that says the same when it is read again.
    pub fn print(&self) -> Result<String, Error> {
        Ok(print::print(&self.schema, &self.read()?.all, |key| self.place(key)))
    }

    fn place(&self, key: &str) -> Option<&Place> {
        self.said.get(key).map(|said| &said.place)
    }

    fn read(&self) -> Result<Resolved, Error> {
        let mut said = toml::Table::new();
        for name in self.listeners.keys() {
            insert(&mut said, &listeners::section(name).name, Value::Table(toml::Table::new()));
        }
        for (key, statement) in &self.said {
            insert(&mut said, key, statement.value.clone());
        }
        let wrong = |key: &str, why: String| {
            let listener = || listeners::named(key).and_then(|name| self.listeners.get(name));
            Error::Value {
                place: self.place(key).or_else(listener).cloned().unwrap_or(Place::Default),
                key: self.said.get(key).map_or(key, |said| &said.key).to_owned(),
                why,
            }
        };
        let mut said_to_modules = table(said.remove("modules"));
        // Each value was read alone before, so together they read too.
        let file = File::deserialize(said).map_err(|error| wrong("configuration", error.message().to_owned()))?;
        let mut config = file.check().map_err(|error| wrong(&error.key, error.why))?;
        config.auth.unguarded =
            file.check_guarded(&config.listeners).err().map(|error| wrong(&error.key, error.why).to_string());
        let mut all = toml::Table::try_from(&file).map_err(|error| wrong("configuration", error.to_string()))?;
        for module in &self.schema.modules {
            let key = format!("modules.{}", module.name);
            let filled =
                module.fill(table(said_to_modules.remove(module.name))).map_err(|why| match module.blamed(&why) {
                    Some((setting, why)) => wrong(&format!("{key}.{setting}"), why.to_owned()),
                    None => wrong(&key, why),
                })?;
            if module.has_recovery_grace {
                config.recovery_grace = filled.recovery_grace;
            }
            config.modules.insert(module.name.to_owned(), filled.config);
            insert(&mut all, &key, Value::Table(filled.table));
        }
        Ok(Resolved { all, config })
    }

    /// Collects the keys of a table and of those in it.
    fn read_table(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        place: &dyn Fn(Range<usize>) -> Place,
        leaves: &mut Vec<Leaf>,
    ) -> Result<(), Error> {
        for (name, value) in table.iter() {
            let key = if path.is_empty() { name.get_ref().to_string() } else { format!("{path}.{}", name.get_ref()) };
            let here = place(name.span());
            self.note_listener(&key, &here)?;
            match value.get_ref() {
                DeValue::Table(inner)
                    if !self.schema.is_key(&key) && (!inner.is_empty() || self.schema.is_section(&key)) =>
                {
                    self.read_table(&key, inner, place, leaves)?;
                }
                _ => {
                    let value = owned(value.clone())
                        .map_err(|error| Error::Syntax { place: here.clone(), message: error.message().to_owned() })?;
                    leaves.push(Leaf { key, value, place: here, offset: name.span().start });
                }
            }
        }
        Ok(())
    }

    /// Adds text that is either TOML's way to write a value, or the value itself.
    fn add_text(&mut self, key: String, text: &str, place: Place) -> Result<(), Error> {
        let plain = Value::String(text.to_owned());
        let written = format!("value = {text}").parse::<toml::Table>().ok().filter(|table| table.len() == 1);
        match written.and_then(|mut table| table.remove("value")) {
            Some(value) if self.schema.reads(&key, &value).is_ok() => self.add(key, value, place),
            Some(value) if self.schema.reads(&key, &plain).is_err() => self.add(key, value, place),
            _ => self.add(key, plain, place),
        }
    }

    /// A listener is there once one of its keys is said.
    fn note_listener(&mut self, key: &str, place: &Place) -> Result<(), Error> {
        let Some(name) = listeners::named(key) else { return Ok(()) };
        listeners::check_name(name).map_err(|why| Error::Value {
            place: place.clone(),
            key: listeners::section(name).name.escape_debug().to_string(),
            why,
        })?;
        self.schema.add_listener(name);
        self.listeners.entry(name.to_owned()).or_insert_with(|| place.clone());
        Ok(())
    }

    fn add(&mut self, key: String, value: Value, place: Place) -> Result<(), Error> {
        self.note_listener(&key, &place)?;
        if !self.schema.is_key(&key) {
            if self.schema.is_section(&key) {
                return Err(Error::Value { place, key, why: "is a section, wants keys of its own".to_owned() });
            }
            return Err(Error::Unknown { place, nearest: self.schema.nearest(&key, value.is_table()), key });
        }
        if let Err(why) = self.schema.reads(&key, &value) {
            return Err(Error::Value { place, key, why });
        }
        self.said.insert(listeners::today(&key).to_owned(), Statement { value, place, key });
        Ok(())
    }
}

fn table(value: Option<Value>) -> toml::Table {
    match value {
        Some(Value::Table(table)) => table,
        _ => toml::Table::new(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// A parsed value without its places; fails for a number that 64 bits can't hold.
fn owned(value: Spanned<DeValue<'_>>) -> Result<Value, toml::de::Error> {
    Value::deserialize(ValueDeserializer::from(value))
}
