//! Which modules there are and which run.

use std::sync::Arc;

use mqtt_hooks::run::{Entered, caught_async};
use mqtt_hooks::{Ctx, Hooks, Host, Info, Module, Records};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

mod states;

pub use states::{MemoryStates, States};

/// A module and how it is.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is.
    pub info: Info,
    /// An operator sees it; see [`Registry::add`].
    pub added: bool,
    /// True while it runs.
    pub running: bool,
    /// Why the last start failed.
    pub error: Option<String>,
    /// Milliseconds since the Unix epoch; `None` while it does not run.
    pub started_at: Option<u64>,
    /// How often its hooks have panicked since its start.
    pub panics: u64,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// No module has this name.
    #[error("no module is called {0}")]
    NotFound(String),
    /// It runs.
    #[error("module {0} is started already")]
    AlreadyStarted(String),
    /// It does not run.
    #[error("module {0} is not started")]
    NotStarted(String),
    /// An operator has it already.
    #[error("module {0} is added already")]
    AlreadyAdded(String),
    /// No operator has it.
    #[error("module {0} is not added")]
    NotAdded(String),
    /// The settings are wrong; nothing was changed.
    #[error("module {name} can't have these settings: {why}")]
    Settings {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// `start` said no or panicked; no hook of it is left.
    #[error("module {name} did not start: {why}")]
    Start {
        /// Which.
        name: String,
        /// What it said.
        why: String,
    },
    /// The wanted state could not be kept.
    #[error("the state of module {name} could not be kept: {source}")]
    Keep {
        /// Which.
        name: String,
        /// Why.
        source: std::io::Error,
    },
}

/// All modules of a broker. Changes go one at a time.
///
/// A module is wanted or not, and runs or not. [`Self::start`] and [`Self::stop`] change both; a start that fails
/// changes neither: a module that was wanted is tried again at the broker's next start, one that was not is left alone.
///
/// Names are those of [`Info::name`]; those of EMQ X (`emqx_mod_presence`, `emqx_mod_delayed`) are understood too.
///
/// A change whose future is dropped half way leaves the module stopped, without hooks.
pub struct Registry {
    host: Arc<dyn Host>,
    hooks: Arc<Hooks>,
    states: Arc<dyn States>,
    slots: RwLock<Vec<Arc<Slot>>>,
    changing: tokio::sync::Mutex<()>,
}

impl Registry {
    /// A registry without modules.
    pub fn new(host: Arc<dyn Host>, hooks: Arc<Hooks>, states: Arc<dyn States>) -> Self {
        Self { host, hooks, states, slots: RwLock::default(), changing: tokio::sync::Mutex::default() }
    }

    /// Adds a module with its configured settings, instead of which those hold that [`Self::configure`] has kept; it is
    /// not started.
    ///
    /// # Panics
    /// If a module of this name was added before.
    pub fn register(&self, module: Arc<dyn Module>, config: Value) {
        let info = module.info();
        let mut slots = self.slots.write();
        assert!(slots.iter().all(|slot| slot.info.name != info.name), "two modules are called {}", info.name);
        let place = slots.len();
        let kept = self.states.settings(info.name);
        let state = State { config: Arc::new(kept.unwrap_or_else(|| config.clone())), running: None, error: None };
        slots.push(Arc::new(Slot { info, module, place, configured: config, state: Mutex::new(state) }));
    }

    /// Lets all modules take back what an earlier process has kept of them; to be done before any is started.
    pub fn restore(&self) -> Result<(), ChangeError> {
        self.slots().iter().try_for_each(|slot| {
            let records = Records::new(slot.info.name, self.host.clone());
            slot.module.restore(&*self.host, &records).map_err(|error| slot.fail(error.to_string()))
        })
    }

    /// Starts all that are wanted (or on by default and never told otherwise); returns what failed.
    pub async fn start_wanted(&self) -> Vec<ChangeError> {
        let _changing = self.changing.lock().await;
        let mut failed = Vec::new();
        for slot in self.slots() {
            if slot.is_running() || !self.wants(&slot) {
                continue;
            }
            match self.prepare(&slot, slot.config()).await {
                Ok(ctx) => self.enter(&slot, ctx),
                Err(why) => {
                    tracing::error!(module = slot.info.name, why, "a module did not start");
                    failed.push(slot.fail(why));
                }
            }
        }
        failed
    }

    /// Adds a module to those an operator sees, with its configured settings, and starts it.
    pub async fn add(&self, name: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        if self.is_added(&slot) {
            return Err(ChangeError::AlreadyAdded(slot.name()));
        }
        self.start_slot(&slot).await?;
        self.keep_added(&slot, true)
    }

    /// Stops a module, forgets the settings it was given, and takes it from those an operator sees.
    pub async fn remove(&self, name: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        if !self.is_added(&slot) {
            return Err(ChangeError::NotAdded(slot.name()));
        }
        self.keep_added(&slot, false)?;
        if slot.leave() {
            slot.stop().await;
        }
        slot.state.lock().config = Arc::new(slot.configured.clone());
        Ok(())
    }

    /// Starts a module, which is added by that too; the wish is kept before this returns, and before any of its hooks is
    /// called.
    pub async fn start(&self, name: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        let is_added = self.is_added(&slot);
        self.start_slot(&slot).await?;
        if is_added { Ok(()) } else { self.keep_added(&slot, true) }
    }

    async fn start_slot(&self, slot: &Slot) -> Result<(), ChangeError> {
        if slot.is_running() {
            return Err(ChangeError::AlreadyStarted(slot.name()));
        }
        let ctx = self.prepare(slot, slot.config()).await.map_err(|why| slot.fail(why))?;
        if let Err(error) = self.keep(slot, true) {
            drop(ctx);
            slot.stop().await;
            slot.state.lock().error = Some(error.to_string());
            return Err(error);
        }
        self.enter(slot, ctx);
        Ok(())
    }

    /// Stops a module; the wish is kept before this returns.
    ///
    /// One that is wanted and does not run, for its start failed, is from now on not wanted: that is a change too, and
    /// no [`ChangeError::NotStarted`].
    pub async fn stop(&self, name: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        if !slot.is_running() && !self.wants(&slot) {
            return Err(ChangeError::NotStarted(slot.name()));
        }
        self.keep(&slot, false)?;
        if slot.leave() {
            slot.stop().await;
        }
        Ok(())
    }

    /// Stops and starts. If it does not start again it stays wanted.
    pub async fn restart(&self, name: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        if !slot.leave() {
            return Err(ChangeError::NotStarted(slot.name()));
        }
        slot.stop().await;
        let ctx = self.prepare(&slot, slot.config()).await.map_err(|why| slot.fail(why))?;
        self.enter(&slot, ctx);
        Ok(())
    }

    /// Replaces the settings, which are kept before this returns; a running module is restarted with them, and with the
    /// old ones if that fails.
    ///
    /// Wrong ones are refused whether it runs or not.
    pub async fn configure(&self, name: &str, config: Value) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        slot.module
            .check(&config)
            .map_err(|error| ChangeError::Settings { name: slot.name(), why: error.to_string() })?;
        let config = Arc::new(config);
        if !slot.leave() {
            self.keep_settings(&slot, &config)?;
            slot.state.lock().config = config;
            return Ok(());
        }
        slot.stop().await;
        let error = match self.prepare(&slot, config.clone()).await {
            Ok(ctx) => match self.keep_settings(&slot, &config) {
                Ok(()) => {
                    slot.state.lock().config = config;
                    self.enter(&slot, ctx);
                    return Ok(());
                }
                Err(error) => {
                    drop(ctx);
                    slot.stop().await;
                    error
                }
            },
            Err(why) => ChangeError::Start { name: slot.name(), why },
        };
        match self.prepare(&slot, slot.config()).await {
            Ok(ctx) => {
                self.enter(&slot, ctx);
                Err(error)
            }
            Err(old) => {
                let why = match error {
                    ChangeError::Start { why, .. } => why,
                    error => error.to_string(),
                };
                Err(slot.fail(format!("{why}; nor with the settings before: {old}")))
            }
        }
    }

    /// All modules in order of registration.
    pub fn list(&self) -> Vec<Status> {
        self.slots.read().iter().map(|slot| slot.status(self.is_added(slot))).collect()
    }

    /// One module.
    pub fn status(&self, name: &str) -> Result<Status, ChangeError> {
        self.find(name).map(|slot| slot.status(self.is_added(&slot)))
    }

    /// The settings of a module.
    pub fn settings(&self, name: &str) -> Result<Value, ChangeError> {
        self.find(name).map(|slot| Value::clone(&slot.config()))
    }

    /// Stops all, the last registered first, without changing what is wanted: the broker ends.
    pub async fn stop_all(&self) {
        let _changing = self.changing.lock().await;
        for slot in self.slots().into_iter().rev() {
            if slot.leave() {
                slot.stop().await;
            }
        }
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.slots.read().clone()
    }

    fn find(&self, name: &str) -> Result<Arc<Slot>, ChangeError> {
        let slots = self.slots.read();
        let called = |name: &str| slots.iter().find(|slot| slot.info.name == name);
        called(name).or_else(|| called(house_name(name))).cloned().ok_or_else(|| ChangeError::NotFound(name.to_owned()))
    }

    fn is_added(&self, slot: &Slot) -> bool {
        self.wants(slot) || self.states.added(slot.info.name).unwrap_or(slot.info.default_on)
    }

    fn keep_added(&self, slot: &Slot, added: bool) -> Result<(), ChangeError> {
        let kept = self.states.keep_added(slot.info.name, added);
        kept.map_err(|source| ChangeError::Keep { name: slot.name(), source })
    }

    fn wants(&self, slot: &Slot) -> bool {
        self.states.wanted(slot.info.name).unwrap_or(slot.info.default_on)
    }

    fn keep(&self, slot: &Slot, on: bool) -> Result<(), ChangeError> {
        self.states.keep(slot.info.name, on).map_err(|source| ChangeError::Keep { name: slot.name(), source })
    }

    fn keep_settings(&self, slot: &Slot, settings: &Value) -> Result<(), ChangeError> {
        let kept = self.states.keep_settings(slot.info.name, settings);
        kept.map_err(|source| ChangeError::Keep { name: slot.name(), source })
    }

    /// Starts a module whose hooks wait in what this returns.
    async fn prepare(&self, slot: &Slot, config: Arc<Value>) -> Result<Ctx, String> {
        let ctx = Ctx::new(slot.info.name, slot.place, self.host.clone(), config);
        match caught_async(async { slot.module.start(&ctx).await }).await {
            Ok(Ok(())) => Ok(ctx),
            Ok(Err(error)) => Err(error.to_string()),
            Err(panic) => Err(panic),
        }
    }

    fn enter(&self, slot: &Slot, ctx: Ctx) {
        let hooks = self.hooks.enter(ctx);
        let mut state = slot.state.lock();
        state.running = Some(Running { since: self.host.now_ms(), hooks });
        state.error = None;
        tracing::info!(module = slot.info.name, "module started");
    }
}

/// EMQ X's name for a module in ours.
fn house_name(name: &str) -> &str {
    match name.strip_prefix("emqx_mod_").unwrap_or(name) {
        "delayed" => "delayed_publish",
        "rewrite" => "topic_rewrite",
        "internal_acl" => "acl_internal",
        name => name,
    }
}

struct Slot {
    info: Info,
    module: Arc<dyn Module>,
    /// In order of registration.
    place: usize,
    /// The settings it has unless it was given others.
    configured: Value,
    state: Mutex<State>,
}

struct State {
    config: Arc<Value>,
    running: Option<Running>,
    error: Option<String>,
}

struct Running {
    since: u64,
    hooks: Entered,
}

impl Slot {
    fn name(&self) -> String {
        self.info.name.to_owned()
    }

    fn config(&self) -> Arc<Value> {
        self.state.lock().config.clone()
    }

    fn is_running(&self) -> bool {
        self.state.lock().running.is_some()
    }

    /// Takes the hooks out; says whether it ran.
    fn leave(&self) -> bool {
        let mut state = self.state.lock();
        state.error = None;
        let running = state.running.take();
        drop(state);
        running.is_some()
    }

    async fn stop(&self) {
        match caught_async(async { self.module.stop().await }).await {
            Ok(()) => tracing::info!(module = self.info.name, "module stopped"),
            Err(why) => tracing::error!(module = self.info.name, why, "a module's stop panicked"),
        }
    }

    fn fail(&self, why: String) -> ChangeError {
        self.state.lock().error = Some(why.clone());
        ChangeError::Start { name: self.name(), why }
    }

    fn status(&self, added: bool) -> Status {
        let state = self.state.lock();
        Status {
            info: self.info,
            added,
            running: state.running.is_some(),
            error: state.error.clone(),
            started_at: state.running.as_ref().map(|running| running.since),
            panics: state.running.as_ref().map_or(0, |running| running.hooks.panics()),
        }
    }
}

#[cfg(test)]
mod tests;
