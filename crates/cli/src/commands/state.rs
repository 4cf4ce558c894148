//! `rollcall export` and `rollcall import rollcall`: the state of a broker as one file, and back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mqtt_codec::{Message, Property, Qos, Topic};
use mqtt_config::{Config, Durability};
use mqtt_migrate::Files as _;
use mqtt_migrate::state::{Ban, Bytes, Record, Retained, State};
use mqtt_session::{Publication, Timestamp};
use mqtt_storage::{Alive, Disk, Journal, Loaded, Stage, Store, StoreError, read_records};
use serde::Serialize;
use serde_json::Value;

use super::backup::{copy, data_dir};
use super::import::disk::OnDisk;
use super::import::writing::{put, unfinished};
use crate::failure::Failure;
use crate::output::Output;

/// What the records are kept as by who writes them.
const USERS: &str = "users";
const ROSTER: &str = "presence.roster";
const ACL: &str = "acl_internal";
const RULES: &[u8] = b"rules";
const BANNED: &str = "banned";

/// As the broker has it.
const MAX_BANS: usize = 10_000;

/// Where an export goes.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct To {
    /// The file, which only its owner will be able to read
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write over one that is there
    #[arg(long)]
    force: bool,
}

/// Writes what is there, whether a broker runs or not: what is looked at is a copy of its store.
pub(crate) fn export(To { file, force }: &To, config: &Config, out: &mut Output) -> Result<(), Failure> {
    let folder = data_dir(config)?;
    if !force && fs::symlink_metadata(file).is_ok() {
        let why = "is there already, and nothing was written: --force writes over it";
        return Err(Failure::Refused(format!("{} {why}", file.display())));
    }
    let beside = beside(file);
    copy(folder, &beside)?;
    let state = Disk::open(&beside, mqtt_storage::Durability::Process).and_then(|store| {
        let state = state_of(&store);
        store.close();
        state
    });
    // Whatever became of it: it has secrets.
    let removed = fs::remove_dir_all(&beside);
    let state = state.map_err(|error| Failure::Refused(format!("nothing was written: {error}")))?;
    removed.map_err(|error| Failure::Refused(format!("cannot remove {}: {error}", beside.display())))?;
    let by = concat!("rollcall ", env!("CARGO_PKG_VERSION"));
    let text = state.write(by, now_ms()).map_err(|wrong| Failure::Refused(format!("nothing was written: {wrong}")))?;
    let new = unfinished(file);
    put(&new, text.as_bytes())
        .and_then(|()| fs::rename(&new, file))
        .map_err(|error| Failure::Refused(format!("{}: {error}", file.display())))?;
    tell(&state, &format!("written to {}", file.display()), out)
}

/// Takes what is in a file over into the store of a broker that does not run; what is not in it stays as it is.
pub(crate) fn import(file: &Path, dry_run: bool, config: &Config, out: &mut Output) -> Result<(), Failure> {
    let folder = data_dir(config)?;
    let refused = |why: String| Failure::Refused(format!("nothing was imported: {}: {why}", file.display()));
    let bytes = OnDisk.read(file).map_err(|error| refused(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| refused("not UTF-8".to_owned()))?;
    let state = State::read(&text).map_err(|wrong| refused(wrong.to_string()))?;
    let rules = state.rules.clone().unwrap_or_default();
    mqtt_migrate::check_rules(rules).map_err(refused)?;
    if dry_run {
        return tell(&state, "would be imported", out);
    }
    let store = open(folder, config)?;
    let done = Loaded::read(&*store)
        .map_err(|error| error.to_string())
        .and_then(|loaded| take(&state, &store, &loaded).map_err(|why| format!("{}: {why}", file.display())));
    store.close();
    done.map_err(|why| Failure::Refused(format!("nothing was imported: {why}")))?;
    tell(&state, &format!("imported into {}", folder.display()), out)
}

/// The store of a broker that does not run.
pub(super) fn open(folder: &Path, config: &Config) -> Result<Arc<Disk>, Failure> {
    let durability = match config.storage.durability {
        Durability::Process => mqtt_storage::Durability::Process,
        Durability::Power => mqtt_storage::Durability::Power,
    };
    Disk::open(folder, durability).map(Arc::new).map_err(|error| match error {
        StoreError::InUse => Failure::Usage(format!("a broker runs on {folder:?}: stop it first")),
        error => Failure::Usage(format!("cannot use {folder:?}: {error}")),
    })
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".store");
    file.with_file_name(name)
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn state_of(store: &Disk) -> Result<State, StoreError> {
    let loaded = Loaded::read(store)?;
    let records = |table: &str| {
        let mut found = Vec::new();
        read_records(store, table, |key, record| {
            // Names are texts: what is none was never written.
            if let Ok(name) = std::str::from_utf8(key) {
                found.push(Record { name: name.to_owned(), record: Bytes(record.to_vec()) });
            }
            Ok(())
        })
        .map(|()| found)
    };
    let mut rules = None;
    read_records(store, ACL, |key, record| {
        if key == RULES {
            rules = serde_json::from_slice(record).ok();
        }
        Ok(())
    })?;
    let modules = loaded
        .modules
        .iter()
        .filter_map(|(name, state)| serde_json::from_slice::<Value>(state).ok().map(|state| (name.clone(), state)));
    let clock = Clock::of(loaded.alive);
    Ok(State {
        users: records(USERS)?,
        rules,
        banned: bans(&loaded),
        roster: records(ROSTER)?,
        modules: modules.collect(),
        retained: loaded.retained.iter().map(|publication| retained(publication, clock)).collect(),
    })
}

fn bans(loaded: &Loaded) -> Vec<Ban> {
    let record = loaded.notes.get(BANNED);
    record.and_then(|record| serde_json::from_slice(record).ok()).unwrap_or_default()
}

/// How far the clock of the store's times is from the system's.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    ahead: i64,
}

impl Clock {
    pub(super) fn of(alive: Option<Alive>) -> Self {
        Self { ahead: alive.map_or(0, |alive| alive.clock.0.cast_signed() - alive.wall.cast_signed()) }
    }

    /// A time of the system's as one of the store's.
    pub(super) const fn of_store(self, wall: u64) -> Timestamp {
        Timestamp(wall.saturating_add_signed(self.ahead))
    }

    const fn of_system(self, at: Timestamp) -> u64 {
        at.0.saturating_add_signed(-self.ahead)
    }
}

fn retained(publication: &Publication, clock: Clock) -> Retained {
    let message = &publication.message;
    let mut retained = Retained {
        topic: message.topic.as_str().to_owned(),
        qos: message.qos as u8,
        payload: Bytes(message.payload.to_vec()),
        expires_at: publication.expires_at.map(|at| clock.of_system(at)),
        ..Retained::default()
    };
    for property in message.properties.iter() {
        match property {
            Property::PayloadFormat(is_text) => retained.payload_is_text = Some(is_text),
            Property::ContentType(kind) => retained.content_type = Some(kind.to_string()),
            Property::ResponseTopic(topic) => retained.response_topic = Some(topic.to_string()),
            Property::CorrelationData(data) => retained.correlation_data = Some(Bytes(data.to_vec())),
            Property::UserProperty(key, value) => retained.user_properties.push((key.to_string(), value.to_string())),
            // No message that is kept has any other.
            _ => {}
        }
    }
    retained
}

/// The message as the store keeps it; a text says why it is none.
pub(super) fn publication(retained: &Retained, clock: Clock) -> Result<Publication, String> {
    let topic = Topic::new(retained.topic.clone()).map_err(|error| format!("topic {:?}: {error}", retained.topic))?;
    let qos = Qos::from_u8(retained.qos).ok_or_else(|| format!("topic {:?}: QoS {}", retained.topic, retained.qos))?;
    let text = |text: &String| text.clone().into();
    let properties = [
        retained.payload_is_text.map(Property::PayloadFormat),
        retained.content_type.as_ref().map(|kind| Property::ContentType(text(kind))),
        retained.response_topic.as_ref().map(|topic| Property::ResponseTopic(text(topic))),
        retained.correlation_data.as_ref().map(|data| Property::CorrelationData(data.0.clone().into())),
    ];
    let own = retained.user_properties.iter().map(|(key, value)| Property::UserProperty(text(key), text(value)));
    let properties = properties.into_iter().flatten().chain(own).collect();
    let message = Message { topic, payload: retained.payload.0.clone().into(), qos, retain: true, properties };
    if !Stage::can_keep_message(&message) {
        return Err(format!("topic {:?}: the message is too large to be kept", retained.topic));
    }
    // It did not come by a connection: its time is what was said of it.
    let mut publication = Publication::new(message, clock.of_store(now_ms()));
    publication.expires_at = retained.expires_at.map(|at| clock.of_store(at));
    Ok(publication)
}

/// All in one write, so all of it is there or nothing.
fn take(state: &State, store: &Arc<Disk>, loaded: &Loaded) -> Result<(), String> {
    let clock = Clock::of(loaded.alive);
    let kept = |record: &Record| {
        let fits = Stage::can_keep_record(ROSTER, record.name.as_bytes());
        if fits { Ok(()) } else { Err(format!("the name {:.40?}.. is too long", record.name)) }
    };
    state.users.iter().chain(&state.roster).try_for_each(kept)?;
    let messages = state.retained.iter().map(|retained| publication(retained, clock)).collect::<Result<Vec<_>, _>>()?;
    let mut all: BTreeMap<_, _> = bans(loaded).into_iter().map(|ban| ((ban.kind, ban.who.clone()), ban)).collect();
    all.extend(state.banned.iter().map(|ban| ((ban.kind, ban.who.clone()), ban.clone())));
    let all: Vec<_> = all.into_values().collect();
    if all.len() > MAX_BANS {
        return Err(format!("there would be more than {MAX_BANS} bans"));
    }
    let shared: Arc<dyn Store> = Arc::<Disk>::clone(store);
    let journal = Journal::new(shared, loaded.last_message);
    let position = journal.stage(|stage| {
        for record in &state.users {
            stage.keep_record(USERS, record.name.as_bytes(), &record.record.0);
        }
        for record in &state.roster {
            stage.keep_record(ROSTER, record.name.as_bytes(), &record.record.0);
        }
        if let Some(rules) = &state.rules {
            stage.keep_record(ACL, RULES, &json(rules));
        }
        if !state.banned.is_empty() {
            stage.note(BANNED, &json(&all));
        }
        for (name, wanted) in &state.modules {
            stage.module(name, &json(wanted));
        }
        messages.iter().for_each(|message| stage.retain(message));
    });
    journal.commit(position).map_err(|_| "the store can't be written to".to_owned())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts, numbers and lists are JSON")
}

fn tell(state: &State, done: &str, out: &mut Output) -> Result<(), Failure> {
    let counts = [
        ("users", state.users.len()),
        ("rules", state.rules.as_ref().map_or(0, Vec::len)),
        ("bans", state.banned.len()),
        ("roster", state.roster.len()),
        ("modules", state.modules.len()),
        ("retained", state.retained.len()),
    ];
    let shown: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let mut answer = serde_json::json!({ "done": done });
    counts.iter().for_each(|(name, count)| answer[*name] = (*count).into());
    Ok(out.done(&format!("{done}: {}", shown.join(", ")), &answer)?)
}
