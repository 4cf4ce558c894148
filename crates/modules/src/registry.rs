//! Which modules there are and which run.

use std::any::Any;
use std::sync::Arc;

use mqtt_hooks::run::{ChangeError, Entered, ModulePages, Modules, Numbers, Offer, Status, caught_async, house_name};
use mqtt_hooks::{Ctx, Hooks, Host, Info, Module, Records, Report, hide_secrets, reveal_secrets};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

mod states;

pub use states::{MemoryStates, States, Write};

/// All modules of a broker; operators see and change them by [`Modules`].
///
/// A module that is started anew, or with new settings, leaves those of its hooks that are asked where they are until the new
/// ones are in their place; so it is for as long as it does not start, be it that its start fails or that the future of the
/// change is dropped half way. Only who stops it takes them out.
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

    /// Adds a module with its configured settings, instead of which those hold that [`Modules::configure`] has kept; it is
    /// not started.
    ///
    /// # Panics
    /// If a module of this name was added before.
    pub fn register(&self, module: Arc<dyn Module>, config: Value) {
        let info = module.info();
        let mut slots = self.slots.write();
        assert!(slots.iter().all(|slot| slot.info.name != info.name), "two modules are called {}", info.name);
        if module.decides_retaining() {
            self.hooks.leave_retaining_to_modules();
        }
        let place = slots.len();
        let kept = self.states.settings(info.name);
        let state = State {
            config: Arc::new(kept.unwrap_or_else(|| config.clone())),
            running: None,
            retired: None,
            error: None,
        };
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

    /// Stops all, the last registered first, without changing what is wanted: the broker ends.
    pub async fn stop_all(&self) {
        let _changing = self.changing.lock().await;
        for slot in self.slots().into_iter().rev() {
            if slot.leave() {
                slot.stop().await;
            }
        }
    }

    /// A module by its type, for who knows it.
    pub fn module<M: Module>(&self) -> Option<Arc<M>> {
        self.slots().into_iter().find_map(|slot| {
            let module: Arc<dyn Any + Send + Sync> = Arc::clone(&slot.module) as _;
            module.downcast().ok()
        })
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
}

#[async_trait::async_trait]
impl Modules for Registry {
    async fn add(&self, name: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        if self.is_added(&slot) {
            return Err(ChangeError::AlreadyAdded(slot.name()));
        }
        self.start_slot(&slot).await?;
        self.keep_added(&slot, true)
    }

    async fn remove(&self, name: &str) -> Result<(), ChangeError> {
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

    async fn start(&self, name: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        let is_added = self.is_added(&slot);
        self.start_slot(&slot).await?;
        if is_added { Ok(()) } else { self.keep_added(&slot, true) }
    }

    async fn stop(&self, name: &str) -> Result<(), ChangeError> {
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

    async fn restart(&self, name: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        if !slot.retire() {
            return Err(ChangeError::NotStarted(slot.name()));
        }
        slot.stop().await;
        let ctx = self.prepare(&slot, slot.config()).await.map_err(|why| slot.fail(why))?;
        self.enter(&slot, ctx);
        Ok(())
    }

    async fn configure(&self, name: &str, mut config: Value) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        let slot = self.find(name)?;
        // Who changes one setting sends back the others as they were shown.
        reveal_secrets(slot.info.settings, &mut config, &slot.config());
        slot.module
            .check(&config)
            .map_err(|error| ChangeError::Settings { name: slot.name(), why: error.to_string() })?;
        let config = Arc::new(config);
        if !slot.retire() {
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

    fn list(&self) -> Vec<Status> {
        self.slots.read().iter().map(|slot| self.status_of(slot)).collect()
    }

    fn status(&self, name: &str) -> Result<Status, ChangeError> {
        self.find(name).map(|slot| self.status_of(&slot))
    }

    fn settings(&self, name: &str) -> Result<Value, ChangeError> {
        let slot = self.find(name)?;
        let mut settings = Value::clone(&slot.config());
        hide_secrets(slot.info.settings, &mut settings);
        Ok(settings)
    }

    fn numbers(&self) -> Vec<Numbers> {
        let numbers =
            self.slots().into_iter().map(|slot| Numbers { module: slot.info.name, numbers: slot.module.numbers() });
        numbers.filter(|of_one| !of_one.numbers.is_empty()).collect()
    }

    fn routes(&self) -> Vec<Offer> {
        let offers = self.slots().into_iter().flat_map(|slot| {
            let routes = slot.module.routes(&self.host).into_iter();
            routes.map(move |route| Offer { module: slot.info.name, route })
        });
        offers.collect()
    }

    fn pages(&self) -> Vec<ModulePages> {
        let slots = self.slots();
        let shown = slots.iter().map(|slot| {
            let (pages, overview) = (slot.module.pages(), slot.module.overview());
            ModulePages { module: slot.info.name, pages, overview }
        });
        shown.collect()
    }

    async fn test(&self, name: &str) -> Result<Option<Report>, ChangeError> {
        let slot = self.find(name)?;
        let Some(trial) = slot.module.trial() else { return Ok(None) };
        if !slot.is_running() {
            return Err(ChangeError::NotStarted(slot.name()));
        }
        let report = caught_async(async { trial.run(self.host.clone()).await }).await;
        Ok(Some(report.unwrap_or_else(|why| Report { error: Some(why), ..Report::default() })))
    }
}

impl Registry {
    fn slots(&self) -> Vec<Arc<Slot>> {
        self.slots.read().clone()
    }

    fn find(&self, name: &str) -> Result<Arc<Slot>, ChangeError> {
        let slots = self.slots.read();
        let called = |name: &str| slots.iter().find(|slot| slot.info.name == name);
        called(name).or_else(|| called(house_name(name))).cloned().ok_or_else(|| ChangeError::NotFound(name.to_owned()))
    }

    fn status_of(&self, slot: &Slot) -> Status {
        let (added, wanted) = (self.is_added(slot), self.wants(slot));
        Status { stopped: added && !wanted && slot.info.default_on, ..slot.status(added) }
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
        let retired = slot.state.lock().retired.take();
        let hooks = match retired {
            Some(retired) => self.hooks.replace(retired, ctx),
            None => self.hooks.enter(ctx),
        };
        let mut state = slot.state.lock();
        state.running = Some(Running { since: self.host.now_ms(), hooks });
        state.error = None;
        tracing::info!(module = slot.info.name, "module started");
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
    /// Of a start that is to be followed by another, which has not gone well yet: what is still asked.
    retired: Option<Entered>,
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
        let (running, retired) = (state.running.take(), state.retired.take());
        drop(state);
        drop(retired);
        running.is_some()
    }

    /// Takes the hooks out that nobody is let in or kept out by, for another start follows; says whether it ran.
    fn retire(&self) -> bool {
        let mut state = self.state.lock();
        let Some(Running { mut hooks, .. }) = state.running.take() else { return false };
        state.error = None;
        state.retired = hooks.retire().then_some(hooks);
        true
    }

    async fn stop(&self) {
        match caught_async(async { self.module.stop().await }).await {
            Ok(()) => tracing::info!(module = self.info.name, "module stopped"),
            Err(why) => tracing::error!(module = self.info.name, why, "a module's stop panicked"),
        }
    }

    fn fail(&self, why: String) -> ChangeError {
        let mut state = self.state.lock();
        let why = match state.retired {
            Some(_) => format!("{why}; clients are held to what it said before, until it is started or stopped"),
            None => why,
        };
        state.error = Some(why.clone());
        ChangeError::Start { name: self.name(), why }
    }

    fn status(&self, added: bool) -> Status {
        let state = self.state.lock();
        Status {
            info: self.info,
            added,
            running: state.running.is_some(),
            stopped: false,
            testable: self.module.trial().is_some(),
            listing: self.module.listing(),
            stop_warning: self.module.stop_warning(),
            error: state.error.clone(),
            started_at: state.running.as_ref().map(|running| running.since),
            panics: state.running.as_ref().map_or(0, |running| running.hooks.panics()),
            raised: state.running.as_ref().map_or_else(Vec::new, |running| running.hooks.raised()),
        }
    }
}

#[cfg(test)]
mod tests;
