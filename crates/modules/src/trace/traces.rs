//! The traces there are.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use mqtt_hooks::{Actor, Host, Records, Standby};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::about::{About, Asked};
use super::file::LogFile;
use super::writer::Lines;

/// As many as EMQ X has.
pub(super) const MAX_TRACES: usize = 30;

#[derive(Default)]
pub(super) struct Traces {
    all: RwLock<Vec<Arc<One>>>,
    /// How many run: nobody looks at a delivery while it is 0.
    running: AtomicUsize,
    /// How many run or wait: nobody looks at a fact while it is 0.
    open: AtomicUsize,
    /// While the module runs. It is held while traces come, go, begin and end.
    module: Mutex<Option<Running>>,
    pub(super) counts: Arc<Counts>,
}

/// Since the process began.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) lines: AtomicU64,
    pub(super) dropped: AtomicU64,
}

struct Running {
    actor: Actor,
    records: Records,
    folder: PathBuf,
    lines: Lines,
    hook: Standby,
}

/// A trace.
pub(super) struct One {
    pub(super) plan: Plan,
    pub(super) about: About,
    pub(super) file: Arc<LogFile>,
    /// It has begun and not ended.
    runs: AtomicBool,
    /// It does not begin again.
    is_over: AtomicBool,
    lines: Option<Lines>,
}

/// As it was asked for, and as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) asked: Asked,
    /// Milliseconds since the Unix epoch.
    pub(super) start_at: u64,
    pub(super) end_at: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Wrong {
    #[error("the module does not run")]
    Stopped,
    #[error("there are {MAX_TRACES} traces; remove one")]
    Full,
    #[error("there is a trace of this name")]
    Known,
    #[error("there is no trace of this name")]
    Unknown,
    #[error("{0}")]
    Bad(String),
    #[error("its file can't be made: {0}")]
    File(io::Error),
}

impl One {
    pub(super) fn runs(&self) -> bool {
        self.runs.load(Relaxed)
    }

    /// EMQ X's word for how it is.
    pub(super) fn status(&self) -> &'static str {
        match (self.runs(), self.is_over.load(Relaxed)) {
            (true, _) => "running",
            (false, true) => "stopped",
            (false, false) => "waiting",
        }
    }

    pub(super) fn write(&self, at: u64, counts: &Arc<Counts>, what: fmt::Arguments<'_>) {
        let Some(lines) = &self.lines else { return };
        let at = i64::try_from(at).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        lines.put(&self.file, counts, format!("{at:.3} {what}\n"));
    }

    fn end(&self) {
        self.runs.store(false, Relaxed);
        self.is_over.store(true, Relaxed);
        self.file.close();
    }
}

impl Traces {
    /// What an earlier process had is over; its files are there.
    pub(super) fn restore(&self, host: &dyn Host, records: &Records) -> io::Result<()> {
        let Some(folder) = host.folder().map(|folder| folder.join("trace")) else { return Ok(()) };
        let mut all = self.all.write();
        records.each(&mut |_, record| {
            let plan = serde_json::from_slice::<Plan>(record).ok().filter(|plan| is_name(&plan.name));
            let Some((plan, about)) = plan.and_then(|plan| About::new(&plan.asked).ok().map(|about| (plan, about)))
            else {
                return tracing::error!("a trace that can't be read is left out");
            };
            let file = Arc::new(LogFile::new(folder.join(format!("{}.log", plan.name))));
            all.push(Arc::new(One { plan, about, file, runs: false.into(), is_over: true.into(), lines: None }));
        })
    }

    pub(super) fn begin(&self, actor: Actor, records: Records, folder: PathBuf, lines: Lines, hook: Standby) {
        *self.module.lock() = Some(Running { actor, records, folder, lines, hook });
    }

    pub(super) fn end(&self) {
        let mut module = self.module.lock();
        let mut all = self.all.write();
        for one in all.iter_mut() {
            one.end();
            // Without the way to the thread, which ends then.
            let file = Arc::clone(&one.file);
            if let Ok(about) = About::new(&one.plan.asked) {
                let plan = one.plan.clone();
                *one = Arc::new(One { plan, about, file, runs: false.into(), is_over: true.into(), lines: None });
            }
        }
        self.running.store(0, Relaxed);
        self.open.store(0, Relaxed);
        *module = None;
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Relaxed)
    }

    pub(super) fn are_open(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    /// Those that run or wait.
    pub(super) fn each_open(&self, mut show: impl FnMut(&One)) {
        self.all.read().iter().filter(|one| !one.is_over.load(Relaxed)).for_each(|one| show(one));
    }

    /// Those that run.
    pub(super) fn each_running(&self, mut show: impl FnMut(&One)) {
        if self.running() > 0 {
            self.all.read().iter().filter(|one| one.runs()).for_each(|one| show(one));
        }
    }

    pub(super) fn list(&self) -> Vec<Arc<One>> {
        self.all.read().clone()
    }

    pub(super) fn get(&self, name: &str) -> Result<Arc<One>, Wrong> {
        self.all.read().iter().find(|one| one.plan.name == name).cloned().ok_or(Wrong::Unknown)
    }

    /// Makes a trace, which begins at once if it is time.
    pub(super) fn add(&self, plan: Plan, host: &dyn Host) -> Result<(), Wrong> {
        if !is_name(&plan.name) {
            let why = "name: a letter, and then at most 63 letters, digits, `-` and `_`";
            return Err(Wrong::Bad(why.to_owned()));
        }
        if plan.end_at <= plan.start_at.max(host.now_ms()) {
            return Err(Wrong::Bad("end_at: it is over before it has begun".to_owned()));
        }
        let about = About::new(&plan.asked).map_err(Wrong::Bad)?;
        let module = self.module.lock();
        let Running { actor, records, folder, lines, .. } = module.as_ref().ok_or(Wrong::Stopped)?;
        let file = Arc::new(LogFile::new(folder.join(format!("{}.log", plan.name))));
        {
            let mut all = self.all.write();
            if all.iter().any(|one| one.plan.name == plan.name) {
                return Err(Wrong::Known);
            }
            if all.len() >= MAX_TRACES {
                return Err(Wrong::Full);
            }
            file.create().map_err(Wrong::File)?;
            let lines = Some(lines.clone());
            let (plan, runs, is_over) = (plan.clone(), false.into(), false.into());
            all.push(Arc::new(One { plan, about, file, runs, is_over, lines }));
        }
        let record = serde_json::to_vec(&plan).map_err(|error| Wrong::Bad(error.to_string()))?;
        actor.act(|moment| records.keep(moment, plan.name.as_bytes(), &record));
        drop(module);
        self.look(host.now_ms());
        // Behind that: who comes in from here on is noted by the hook.
        if let Ok(one) = self.get(&plan.name) {
            one.about.find_clients(host);
        }
        Ok(())
    }

    /// Begins those whose time has come, and ends those whose time is over or whose file is full.
    pub(super) fn look(&self, now: u64) {
        let module = self.module.lock();
        let (mut running, mut open) = (0, 0);
        for one in self.all.read().iter().filter(|one| !one.is_over.load(Relaxed)) {
            if now >= one.plan.end_at || one.file.is_full() {
                one.end();
                continue;
            }
            open += 1;
            if now >= one.plan.start_at {
                one.runs.store(true, Relaxed);
                running += 1;
            }
        }
        self.running.store(running, Relaxed);
        self.open.store(open, Relaxed);
        if let Some(module) = &*module {
            module.hook.set(running > 0);
        }
    }

    pub(super) fn stop(&self, name: &str, now: u64) -> Result<(), Wrong> {
        self.get(name)?.end();
        self.look(now);
        Ok(())
    }

    /// Removes a trace and its file, or all.
    pub(super) fn remove(&self, name: Option<&str>, now: u64) -> Result<(), Wrong> {
        {
            let module = self.module.lock();
            let Running { actor, records, .. } = module.as_ref().ok_or(Wrong::Stopped)?;
            let mut all = self.all.write();
            let is_meant = |one: &Arc<One>| name.is_none_or(|name| one.plan.name == name);
            let gone: Vec<_> = all.extract_if(.., |one| is_meant(one)).collect();
            drop(all);
            if gone.is_empty() && name.is_some() {
                return Err(Wrong::Unknown);
            }
            actor.act(|moment| gone.iter().for_each(|one| records.forget(moment, one.plan.name.as_bytes())));
            gone.iter().for_each(|one| {
                one.end();
                one.file.remove();
            });
        }
        self.look(now);
        Ok(())
    }
}

/// It is a part of a file's name.
fn is_name(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
