//! The module `acl_internal`: what clients may do, by rules.
//!
//! Rules come from three places, in this order: those an operator has set, which are kept in the module's records and hold
//! instead of those of the configuration (`[[auth.rules]]`); then those of `auth.acl_file`. The first that is about what a client
//! wants decides, see [`crate::acl`]; else `auth.default` does.
//!
//! A change holds at once: what has been subscribed with and is not allowed any more is given up. While there is no rule the
//! module has no hook, and nobody pays for it.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mqtt_codec::ReasonCode;
use mqtt_hooks::page::Pages;
use mqtt_hooks::route::Route;
use mqtt_hooks::{
    Access, Actor, Authorize, ConnectionInfo, Ctx, Group, Host, Info, Listing, Module, Number, Records, Standby,
    StartError, Verdict, read_strictly,
};
use parking_lot::Mutex;
use serde_json::Value;

use crate::acl::{Acl, AclFile, Decision, MAX_RULES, Rule, RuleText};
use crate::watched::{PERIOD, Watched};
use crate::{Config, WrongLine};

mod api;
mod pages;

/// Larger files are taken for a mistake.
pub(crate) const MAX_BYTES: u64 = 4 << 20;

/// The key of the one record.
const RULES: &[u8] = b"rules";

/// The module `acl_internal`.
pub(crate) struct AclInternal {
    configured: Vec<Value>,
    file: Option<Arc<Watched>>,
    shared: Arc<Shared>,
}

struct Shared {
    acl: ArcSwap<Acl>,
    sources: Mutex<Sources>,
    denies_others: bool,
}

/// Where rules come from. Changes go one at a time, by its lock.
#[derive(Default)]
struct Sources {
    configured: Stored,
    /// Set by an operator, instead of those.
    stored: Option<Stored>,
    of_file: Vec<Rule>,
    running: Option<Running>,
}

#[derive(Default)]
struct Stored {
    rules: Vec<Rule>,
    /// As they were given.
    given: Vec<Value>,
}

impl Sources {
    /// Those that come before the file's.
    fn first(&self) -> &Stored {
        self.stored.as_ref().unwrap_or(&self.configured)
    }
}

/// What the module acts by while it runs.
#[derive(Clone)]
struct Running {
    records: Records,
    actor: Actor,
    standby: Standby,
}

/// The rules of a configuration; a text says which one is wrong.
pub(crate) fn configured(values: &[Value]) -> Result<Vec<Rule>, String> {
    read(values, "auth.rules")
}

/// `from` is where they stand, for people.
fn read(values: &[Value], from: &str) -> Result<Vec<Rule>, String> {
    if values.len() > MAX_RULES {
        return Err(format!("{from}: more than {MAX_RULES}"));
    }
    let rule = |(number, value): (usize, &Value)| {
        let origin = format!("{from}, rule {number}");
        let text = read_strictly::<RuleText>(value).map_err(|error| format!("{origin}: {error}"))?;
        text.rule(origin.clone()).map_err(|why| format!("{origin}: {why}"))
    };
    (1..).zip(values).map(rule).collect()
}

impl AclInternal {
    pub(crate) fn new(config: &Config) -> Self {
        let file = config.acl_file.clone().map(|file: PathBuf| Arc::new(Watched::new(file, MAX_BYTES)));
        let acl = Acl { rules: Vec::new(), denies_others: config.denies_others };
        let shared =
            Shared { acl: ArcSwap::from_pointee(acl), sources: Mutex::default(), denies_others: config.denies_others };
        Self { configured: config.rules.clone(), file, shared: Arc::new(shared) }
    }
}

#[async_trait::async_trait]
impl Module for AclInternal {
    fn info(&self) -> Info {
        Info {
            name: "acl_internal",
            title: "Internal ACL",
            description: "Allows and forbids clients to publish and subscribe, by rules.",
            default_on: true,
            settings: &[],
        }
    }

    fn restore(&self, _host: &dyn Host, records: &Records) -> Result<(), StartError> {
        let mut found = None;
        let visit = &mut |key: &[u8], record: &[u8]| {
            if key == RULES {
                found = Some(record.to_vec());
            }
        };
        records.each(visit).map_err(|error| StartError::Other(error.to_string()))?;
        let Some(record) = found else { return Ok(()) };
        // Not to be passed over: a broker without its rules is open.
        let cannot_read = |why: String| StartError::Other(format!("the rules in the store can't be read: {why}"));
        let values: Vec<Value> = serde_json::from_slice(&record).map_err(|error| cannot_read(error.to_string()))?;
        let rules = read(&values, STORED).map_err(cannot_read)?;
        self.shared.sources.lock().stored = Some(Stored { rules, given: values });
        Ok(())
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let configured = configured(&self.configured).map_err(StartError::Config)?;
        self.shared.sources.lock().configured = Stored { rules: configured, given: self.configured.clone() };
        if let Some(file) = &self.file {
            file.forget();
            file.read(|text| self.shared.take_file(text, &file.path.display().to_string()))
                .map_err(StartError::Config)?;
        }
        let standby = ctx.authorize_when(Arc::new(Guard(self.shared.clone())));
        let mut sources = self.shared.sources.lock();
        sources.running = Some(Running { records: ctx.records(), actor: ctx.actor(), standby });
        self.shared.apply(&sources);
        drop(sources);
        ctx.spawn(watch(self.file.clone(), self.shared.clone(), ctx.host()));
        Ok(())
    }

    async fn stop(&self) {
        self.shared.sources.lock().running = None;
    }

    fn listing(&self) -> Listing {
        Listing {
            group: Group::Authentication,
            title_zh: "内置访问控制",
            description_zh: "按规则允许或禁止客户端发布和订阅。",
            ..Listing::default()
        }
    }

    fn stop_warning(&self) -> &'static str {
        "From then on no rule holds: who is connected may publish and subscribe to everything but $SYS."
    }

    fn numbers(&self) -> Vec<Number> {
        let rules = self.shared.acl.load().rules.len();
        let mut numbers = vec![Number::gauge("rules", "Rules, of all places together.", rules as f64)];
        numbers.extend(self.file.as_ref().map(|file| {
            Number::counter("acl_file.bad", "Looks at a file of rules that can't be used.", file.bad_looks())
                .alarming("the file of rules can't be used; what was read before holds")
        }));
        numbers
    }

    fn routes(&self, host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(&self.shared, host)
    }

    fn pages(&self) -> Pages {
        pages::PAGES
    }
}

/// Rules an operator has set, for people.
const STORED: &str = "/auth/rules";

impl Shared {
    /// The rules are those of all places from now on.
    fn apply(&self, sources: &Sources) {
        let rules = sources.first().rules.iter().chain(&sources.of_file).cloned().collect();
        let acl = Acl { rules, denies_others: self.denies_others };
        let is_needed = !acl.is_empty();
        self.acl.store(Arc::new(acl));
        if let Some(running) = &sources.running {
            // After the rules are there: who comes from now on is held to them.
            running.standby.set(is_needed);
        }
    }

    fn take_file(&self, text: &str, name: &str) -> Result<(), WrongLine> {
        let file = AclFile::parse(text, name)?;
        tracing::info!(file = name, rules = file.len(), kind = ?file.kind(), "file of rules read");
        let mut sources = self.sources.lock();
        sources.of_file = file.rules;
        self.apply(&sources);
        Ok(())
    }

    /// Sets the rules that hold instead of those of the configuration; `None`: those hold again. False: the module has
    /// stopped.
    fn set(&self, values: Option<(Vec<Rule>, &[Value])>) -> Result<bool, serde_json::Error> {
        let record = values.as_ref().map(|(_, values)| serde_json::to_vec(values)).transpose()?;
        let mut sources = self.sources.lock();
        let Some(running) = sources.running.clone() else { return Ok(false) };
        running.actor.act(|moment| match &record {
            Some(record) => running.records.keep(moment, RULES, record),
            None => running.records.forget(moment, RULES),
        });
        sources.stored = values.map(|(rules, given)| Stored { rules, given: given.to_vec() });
        self.apply(&sources);
        Ok(true)
    }
}

/// Looks at the file for as long as it is polled. First of all, and whenever rules have changed, who is connected is held to
/// them.
async fn watch(file: Option<Arc<Watched>>, shared: Arc<Shared>, host: Arc<dyn Host>) {
    host.review().await;
    let Some(file) = file else { return };
    let name = file.path.display().to_string();
    loop {
        host.sleep_until(host.clock_ms() + PERIOD).await;
        let before = shared.acl.load_full();
        if let Err(error) = file.read(|text| shared.take_file(text, &name)) {
            tracing::error!(error, "the file of rules can't be used; what was read before holds");
        }
        if !Arc::ptr_eq(&before, &shared.acl.load_full()) {
            host.review().await;
        }
    }
}

/// Asked about each packet.
struct Guard(Arc<Shared>);

impl Authorize for Guard {
    fn authorize(&self, client: &ConnectionInfo, access: Access<'_>) -> Verdict {
        match self.0.acl.load().decide(client, access) {
            Decision::Allowed(_) => Verdict::Allow,
            Decision::Denied(_) | Decision::Default { denied: true } => Verdict::Deny(ReasonCode::NotAuthorized),
            Decision::Default { denied: false } | Decision::Sys(_) => Verdict::Ignore,
        }
    }
}

#[cfg(test)]
mod tests;
