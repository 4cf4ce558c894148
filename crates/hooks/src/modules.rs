//! The modules of a broker as who shows and changes them sees them.

use std::io;

use serde_json::Value;

use crate::page::{Pages, Panel};
use crate::route::Route;
use crate::{Info, Listing, Number, Raised, Report};

/// The modules of a broker. Changes go one at a time, and are kept before they are answered.
///
/// A module is wanted or not, and runs or not. [`Self::start`] and [`Self::stop`] change both; a start that fails
/// changes neither: a module that was wanted is tried again at the broker's next start, one that was not is left alone.
///
/// Names are those of [`Info::name`]; those of EMQ X (`emqx_mod_presence`, `emqx_mod_delayed`) are understood too.
#[async_trait::async_trait]
pub trait Modules: Send + Sync + 'static {
    /// All modules in order of registration.
    fn list(&self) -> Vec<Status>;

    /// One module.
    fn status(&self, name: &str) -> Result<Status, ChangeError>;

    /// The settings of a module.
    fn settings(&self, name: &str) -> Result<Value, ChangeError>;

    /// What the modules count and measure, those without numbers left out.
    fn numbers(&self) -> Vec<Numbers>;

    /// What the modules answer to requests. To be asked once.
    fn routes(&self) -> Vec<Offer>;

    /// What the modules show on the dashboard, in order of registration. To be asked once.
    fn pages(&self) -> Vec<ModulePages>;

    /// Adds a module to those an operator sees, with its configured settings, and starts it.
    async fn add(&self, name: &str) -> Result<(), ChangeError>;

    /// Stops a module, forgets the settings it was given, and takes it from those an operator sees.
    async fn remove(&self, name: &str) -> Result<(), ChangeError>;

    /// Starts a module, which is added by that too; the wish is kept before this returns, and before any of its hooks is
    /// called.
    async fn start(&self, name: &str) -> Result<(), ChangeError>;

    /// Stops a module; the wish is kept before this returns.
    ///
    /// One that is wanted and does not run, for its start failed, is from now on not wanted: that is a change too, and
    /// no [`ChangeError::NotStarted`].
    async fn stop(&self, name: &str) -> Result<(), ChangeError>;

    /// Stops and starts. If it does not start again it stays wanted, and who comes in and what they may do stays as it was until it is
    /// started or stopped.
    async fn restart(&self, name: &str) -> Result<(), ChangeError>;

    /// Replaces the settings, which are kept before this returns; a running module is restarted with them, and with the
    /// old ones if that fails.
    ///
    /// Wrong ones are refused whether it runs or not.
    async fn configure(&self, name: &str, config: Value) -> Result<(), ChangeError>;

    /// Lets a module that runs test itself; `None`: it has no test.
    async fn test(&self, name: &str) -> Result<Option<Report>, ChangeError>;
}

/// A module and how it is.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is.
    pub info: Info,
    /// An operator sees it; see [`Modules::add`].
    pub added: bool,
    /// True while it runs.
    pub running: bool,
    /// An operator has it, it runs unless told otherwise, and it was stopped.
    pub stopped: bool,
    /// It has a test; see [`Modules::test`].
    pub testable: bool,
    /// Where EMQ X's catalogue has it.
    pub listing: Listing,
    /// What goes wrong for whom while it does not run.
    pub stop_warning: &'static str,
    /// Why the last start failed.
    pub error: Option<String>,
    /// Milliseconds since the Unix epoch; `None` while it does not run.
    pub started_at: Option<u64>,
    /// How often its hooks have panicked since its start.
    pub panics: u64,
    /// What is wrong with what it does; nothing while it does not run.
    pub raised: Vec<Raised>,
}

/// A module's numbers.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// Whose.
    pub module: &'static str,
    /// Those of one name follow each other.
    pub numbers: Vec<Number>,
}

/// Something of a module that can be asked for or changed.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Whose.
    pub module: &'static str,
    /// What.
    pub route: Route,
}

/// What a module shows on the dashboard.
#[derive(Clone, Copy, Debug)]
pub struct ModulePages {
    /// Which.
    pub module: &'static str,
    /// What.
    pub pages: Pages,
    /// And what of it on the overview.
    pub overview: &'static [Panel],
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
    /// `start` said no or panicked; no hook of it is called.
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
        source: io::Error,
    },
}
