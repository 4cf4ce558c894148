//! A module.

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::chains::Registrations;
use crate::listing::Listing;
use crate::page::{Pages, Panel};
use crate::route::Route;
use crate::standby::Hook;
use crate::strict::read_strictly;
use crate::{
    Acting, Actor, Alarm, Asked, Authenticate, Authorize, Due, Host, Intercept, Number, Observe, ObserveAcks,
    ObserveDrops, ObserveMessages, Records, Remember, Reserve, Retain, Settings, Standby, States, SubscribeOnEntry,
    Tagging, Timers, Trial, read_settings,
};

/// Something that can be started and stopped while clients are connected.
#[async_trait::async_trait]
pub trait Module: Any + Send + Sync {
    /// What it is.
    fn info(&self) -> Info;

    /// Takes back what an earlier process has kept. Called once, whether or not the module is to be started, and before
    /// that.
    fn restore(&self, host: &dyn Host, records: &Records) -> Result<(), StartError> {
        let _ = (host, records);
        Ok(())
    }

    /// Registers hooks through `ctx`. They are called from when this has returned `Ok` until the module is stopped;
    /// if this fails, panics or is dropped half way, they never are.
    async fn start(&self, ctx: &Ctx) -> Result<(), StartError>;

    /// It tells who is gone when the broker has died and come back, so how long the broker waits for who may return is said
    /// among its settings.
    fn tells_who_fell(&self) -> bool {
        false
    }

    /// Nothing is retained while no such module runs.
    fn decides_retaining(&self) -> bool {
        false
    }

    /// Events of coming and going that earlier versions kept in a table of the store's are to be among its records.
    fn takes_over_events(&self) -> bool {
        false
    }

    /// Says whether a start with these settings could go well, as far as the settings go. Asked before they are kept.
    fn check(&self, config: &Value) -> Result<(), StartError> {
        let _ = config;
        Ok(())
    }

    /// Called after a start that went well, never after one that failed. Its hooks are gone by then; but where it is to be
    /// started again at once (a restart, new settings), those that are asked rather than shown something are asked on until that
    /// start has gone well: [`Authenticate`], [`Authorize`], [`Intercept`], [`Reserve`], [`Retain`] and [`SubscribeOnEntry`].
    async fn stop(&self) {}

    /// What it counts and measures, asked every second and by whoever watches, whether or not it runs.
    fn numbers(&self) -> Vec<Number> {
        Vec::new()
    }

    /// What it answers to requests of programs and pages. Asked once, when the port for them opens.
    fn routes(&self, host: &Arc<dyn Host>) -> Vec<Route> {
        let _ = host;
        Vec::new()
    }

    /// What it shows on the dashboard. Asked once, when the port for that opens.
    fn pages(&self) -> Pages {
        Pages::default()
    }

    /// What it shows on the overview of the dashboard; a script's `show(place)` is called again and again. Asked once, like
    /// [`Self::pages`].
    fn overview(&self) -> &'static [Panel] {
        &[]
    }

    /// What goes wrong for whom while it does not run, for who is about to stop it: one sentence.
    fn stop_warning(&self) -> &'static str {
        "What it does ends until it is started again."
    }

    /// Where EMQ X's catalogue of modules has it, and what it is called there.
    fn listing(&self) -> Listing {
        Listing::default()
    }

    /// A test of what it does, for operators to start.
    fn trial(&self) -> Option<Arc<dyn Trial>> {
        None
    }
}

/// What a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// `presence`
    pub name: &'static str,
    /// For people: `Online and Offline Notification`.
    pub title: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Started unless told otherwise.
    pub default_on: bool,
    /// What can be set; nothing has to be.
    pub settings: &'static [Setting],
}

impl Info {
    /// Its settings when nothing was said about them, an object.
    pub fn default_settings(&self) -> Value {
        let setting = |setting: &Setting| Some((setting.name.to_owned(), serde_json::from_str(setting.default).ok()?));
        Value::Object(self.settings.iter().filter_map(setting).collect())
    }
}

/// Something of a module that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub name: &'static str,
    /// For people: `Quality of service`.
    pub title: &'static str,
    /// What it changes, and what that costs.
    pub description: &'static str,
    /// What values it takes.
    pub kind: SettingKind,
    /// The value it has unless told otherwise, as JSON.
    pub default: &'static str,
}

/// What values a [`Setting`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// `true` and `false`.
    Switch,
    /// A whole number.
    Number {
        /// The lowest.
        min: u64,
        /// The highest.
        max: u64,
    },
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// Any text, which is not shown.
    Secret,
    /// A list.
    List {
        /// Of what.
        of: ListOf,
        /// Of so many at the most.
        max: u64,
    },
}

/// What a [`SettingKind::List`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOf {
    /// Texts.
    Texts,
    /// Some of these texts.
    Choices(&'static [&'static str]),
    /// Tables that may have these keys.
    Tables(&'static [Setting]),
}

/// Why a module did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings are wrong.
    #[error("{0}")]
    Config(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What a module gets at its start: the broker, its settings, and where to register hooks.
pub struct Ctx {
    pub(crate) module: &'static str,
    /// The module's in the order in which hooks are called.
    pub(crate) place: usize,
    host: Arc<dyn Host>,
    config: Arc<Value>,
    registered: Mutex<Registrations>,
}

impl Ctx {
    /// What a start is handed; for who runs modules. `place` is the module's in the order in which hooks are called.
    pub fn new(module: &'static str, place: usize, host: Arc<dyn Host>, config: Arc<Value>) -> Self {
        Self { module, place, host, config, registered: Mutex::default() }
    }

    /// The broker.
    pub fn host(&self) -> Arc<dyn Host> {
        self.host.clone()
    }

    /// The module's settings, checked: those of [`settings!`](crate::settings!).
    pub fn settings<T: Settings>(&self) -> Result<T, StartError> {
        read_settings(&self.config)
    }

    /// The module's settings where no form has them all. Without any, `T::default()`; for single ones that are missing to be those of
    /// `T::default()`, and unknown ones to be errors, mark `T` with `#[serde(default, deny_unknown_fields)]`.
    pub fn config<T: DeserializeOwned + Default>(&self) -> Result<T, StartError> {
        read_config(&self.config)
    }

    /// What the module acts by outside of hooks.
    pub fn actor(&self) -> Actor {
        Actor::new(self.host.clone(), Acting::of(self.module, self.place))
    }

    /// The module's records; [parts](Records::part) of them stand apart.
    pub fn records(&self) -> Records {
        Records::new(self.module, self.host.clone())
    }

    /// Runs a future beside the hooks, from when they are called until the module is stopped: then it is dropped, wherever
    /// it is. A panic of it is logged and counted as that of a hook.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.registered.lock().tasks.push(Box::pin(task));
    }

    /// Lets `due` handle what is scheduled in `timers`, from when the hooks are called until the module is stopped. What
    /// earlier processes have scheduled is taken back at the first start.
    pub fn timers(&self, timers: &Arc<Timers>, due: Arc<dyn Due>) -> Result<(), StartError> {
        let records = Records::of_timers(self.module, self.host.clone());
        timers.load(records).map_err(|error| StartError::Other(error.to_string()))?;
        self.registered.lock().timers.push((timers.clone(), due));
        Ok(())
    }

    /// Something that may be wrong while the module runs, in words with underscores between them: `file_unreadable` of
    /// `greeter` is shown as the alarm `greeter_file_unreadable`.
    pub fn alarm(&self, name: &'static str) -> Alarm {
        let alarm = Alarm::new(name);
        self.registered.lock().alarms.push(alarm.clone());
        alarm
    }

    /// Registers an observer.
    pub fn observe(&self, hook: Arc<dyn Observe>) {
        self.registered.lock().observe.push(hook);
    }

    /// Registers an authenticator.
    pub fn authenticate(&self, hook: Arc<dyn Authenticate>) {
        self.registered.lock().authenticate.push(hook);
    }

    /// Registers an authenticator that is asked only while it is turned on.
    #[must_use]
    pub fn authenticate_when(&self, hook: Arc<dyn Authenticate>) -> Standby {
        self.stand_by(Hook::Authenticate(hook))
    }

    /// Registers an authorizer that is asked only while it is turned on: off, a publish costs no more than without it.
    #[must_use]
    pub fn authorize_when(&self, hook: Arc<dyn Authorize>) -> Standby {
        self.stand_by(Hook::Authorize(hook))
    }

    /// Registers an observer of messages that is shown them only while it is turned on.
    #[must_use]
    pub fn observe_messages_when(&self, hook: Arc<dyn ObserveMessages>) -> Standby {
        self.stand_by(Hook::Messages(hook))
    }

    /// Registers who gives clients tags, and is asked only while it is turned on: off, a connect costs no more than without it.
    #[must_use]
    pub fn tag_when(&self, hook: Arc<dyn Tagging>) -> Standby {
        self.stand_by(Hook::Tagging(hook))
    }

    fn stand_by(&self, hook: Hook) -> Standby {
        let standby = Standby::new(hook);
        self.registered.lock().standbys.push(standby.clone());
        standby
    }

    /// Registers an authorizer.
    pub fn authorize(&self, hook: Arc<dyn Authorize>) {
        self.registered.lock().authorize.push(hook);
    }

    /// Registers an interceptor.
    pub fn intercept(&self, hook: Arc<dyn Intercept>) {
        self.registered.lock().intercept.push(hook);
    }

    /// Registers an observer of deliveries that are dropped.
    pub fn observe_drops(&self, hook: Arc<dyn ObserveDrops>) {
        self.registered.lock().observe_drops.push(hook);
    }

    /// Registers an observer of messages.
    pub fn observe_messages(&self, hook: Arc<dyn ObserveMessages>) {
        self.registered.lock().observe_messages.push(hook);
    }

    /// Registers who subscribes clients when they come in.
    pub fn subscribe_on_entry(&self, hook: Arc<dyn SubscribeOnEntry>) {
        self.registered.lock().subscribe_on_entry.push(hook);
    }

    /// Registers who decides about messages that are to be retained.
    pub fn retain(&self, hook: Arc<dyn Retain>) {
        self.registered.lock().retain.push(hook);
    }

    /// Registers who remembers clients.
    pub fn remember(&self, hook: Arc<dyn Remember>) {
        self.registered.lock().remember.push(hook);
    }

    /// Registers who tells how things are, to those who subscribe.
    pub fn states(&self, hook: Arc<dyn States>) {
        self.registered.lock().states.push(hook);
    }

    /// Registers whose topics are a module's own.
    pub fn reserve(&self, hook: Arc<dyn Reserve>) {
        self.registered.lock().reserve.push(hook);
    }

    /// Registers who is asked by clients, on a topic of its own.
    pub fn asked(&self, hook: Arc<dyn Asked>) {
        self.registered.lock().asked.push(hook);
    }

    /// Registers an observer of deliveries that are acknowledged.
    pub fn observe_acks(&self, hook: Arc<dyn ObserveAcks>) {
        self.registered.lock().observe_acks.push(hook);
    }

    pub(crate) fn into_registrations(self) -> Registrations {
        self.registered.into_inner()
    }
}

/// As [`Ctx::config`]; for [`Module::check`].
pub fn read_config<T: DeserializeOwned + Default>(config: &Value) -> Result<T, StartError> {
    if config.is_null() {
        return Ok(T::default());
    }
    read_strictly(config).map_err(|error| StartError::Config(explain::<T>(config, &error)))
}

/// The error with the setting it is about, which serde leaves out where a value is of the wrong type.
fn explain<T: DeserializeOwned>(config: &Value, error: &serde_json::Error) -> String {
    let why = error.to_string();
    let settings = config.as_object().into_iter().flatten();
    let blamed = settings.map(|(key, value)| (key, serde_json::Map::from_iter([(key.clone(), value.clone())])));
    for (key, alone) in blamed {
        let same = read_strictly::<T>(&Value::Object(alone)).is_err_and(|error| error.to_string() == why);
        if same && !why.contains(&format!("`{key}`")) {
            let entry = config[key].as_array().and_then(|entries| wrong_entry::<T>(key, entries, &why));
            return entry.map_or_else(|| format!("{key}: {why}"), |at| format!("{key}, entry {}: {why}", at + 1));
        }
    }
    why
}

/// Which entry of a list the error is about.
fn wrong_entry<T: DeserializeOwned>(key: &str, entries: &[Value], why: &str) -> Option<usize> {
    entries.iter().position(|entry| {
        let alone = serde_json::Map::from_iter([(key.to_owned(), Value::Array(vec![entry.clone()]))]);
        read_strictly::<T>(&Value::Object(alone)).is_err_and(|error| error.to_string() == why)
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::testing::Recorder;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        limit: u8,
        name: String,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { limit: 7, name: "seven".to_owned() }
        }
    }

    fn config(value: Value) -> Result<Settings, String> {
        let ctx = Ctx::new("m", 0, Recorder::new(), Arc::new(value));
        ctx.config().map_err(|error| error.to_string())
    }

    #[test]
    fn missing_settings_are_the_default_ones() {
        assert_eq!(config(Value::Null).unwrap(), Settings::default());
        assert_eq!(config(json!({})).unwrap(), Settings::default());
        assert_eq!(config(json!({"limit": 3})).unwrap(), Settings { limit: 3, ..Settings::default() });
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (value, start) in [
            (json!({"limti": 3}), "unknown field `limti`, expected `limit` or `name`"),
            (json!({"limit": 3, "name": 4}), "name: invalid type: integer `4`"),
            (json!({"limit": 256, "name": "x"}), "limit: invalid value: integer `256`"),
            (json!([true]), "invalid type: sequence, expected struct Settings"),
        ] {
            let why = config(value).unwrap_err();
            assert!(why.starts_with(start), "{why}");
        }
    }

    #[test]
    fn a_wrong_entry_of_a_list_is_counted() {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        struct Lists {
            of: Vec<Settings>,
        }
        let wrong = json!({"of": [{"limit": 1}, {"limti": 3}, {"limti": 4}]});
        let why = read_config::<Lists>(&wrong).unwrap_err().to_string();
        assert!(why.starts_with("of, entry 2: unknown field `limti`"), "{why}");
        let why = read_config::<Lists>(&json!({"of": 3})).unwrap_err().to_string();
        assert!(why.starts_with("of: invalid type"), "{why}");
    }
}
