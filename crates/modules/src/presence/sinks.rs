//! The module `sinks`: takes the events of presence to where they are kept for good: a service, a file, or a stream of NATS JetStream.
//!
//! Each sink has a cursor in the history that is kept in the store, so what happens while where it goes is away, or the broker
//! is down, is told later: each client's events in order, each at least once and always by the same `id`. Who comes or goes never waits for it: a
//! sink looks at the history now and then, and what the history does not keep until then is told as a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mqtt_hooks::{Ctx, Info, Listing, Module, Number, Records, Settings as _, StartError, read_settings};
use parking_lot::Mutex;
use serde_json::Value;

use self::course::Course;
use self::cursor::Cursor;
use self::file::{Ended, Writer, dead_letters};
use self::progress::{Behind, Progress};
use self::target::Target;
use super::History;

mod batch;
mod course;
mod cursor;
mod file;
mod lines;
mod nats;
mod progress;
mod secret;
mod subject;
mod target;
mod webhook;

pub use file::FileSink;
pub use nats::NatsSink;
pub use webhook::Webhook;

/// Bytes of a name.
const NAME: usize = 64;

/// How long a stop waits for what is being written to files.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lines that are written to a file at once, or to a stream behind one another.
const LINES: usize = 1000;

/// The longest rest of who writes to a file.
const FILE_RETRY: Duration = Duration::from_secs(10);

mqtt_hooks::settings! {
    /// Settings of [`Sinks`].
    pub struct Settings {
        /// Webhooks
        ///
        /// Services that are sent events in requests of HTTP.
        pub webhook: Vec<Webhook> = [] in 0..=16,
        /// Files
        ///
        /// Files to which events are written, each a line of JSON.
        pub file: Vec<FileSink> = [] in 0..=16,
        /// NATS
        ///
        /// Streams of NATS JetStream to which events are published, each a message.
        pub nats: Vec<NatsSink> = [] in 0..=16,
    }
}

impl Settings {
    /// All that is set can be used, as far as that can be said without a broker. Names what can't.
    fn check_all(&self) -> Result<(), StartError> {
        let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
        let mut check_name = |name: &str| {
            let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if name.is_empty() || name.len() > NAME || name.starts_with('.') || !name.bytes().all(is_fit) {
                return Err(format!("name: {name:?}: wants 1 to {NAME} letters, digits, '-', '_' and '.'"));
            }
            if names.insert(name.to_owned()) { Ok(()) } else { Err(format!("name: another sink is called {name:?}")) }
        };
        let wrong = |kind: &str, at: usize, why| StartError::Config(format!("{kind}, entry {}: {why}", at + 1));
        for (at, webhook) in self.webhook.iter().enumerate() {
            let fit = check_name(&webhook.name).and_then(|()| webhook.hook().map(drop));
            fit.map_err(|why| wrong("webhook", at, why))?;
        }
        for (at, file) in self.file.iter().enumerate() {
            let fit = check_name(&file.name).and_then(|()| file.check());
            fit.map_err(|why| wrong("file", at, why))?;
            if !paths.insert(&file.path) {
                return Err(wrong("file", at, format!("path: another sink has {:?}", file.path)));
            }
        }
        for (at, nats) in self.nats.iter().enumerate() {
            let fit = check_name(&nats.name).and_then(|()| nats.stream().map(drop));
            fit.map_err(|why| wrong("nats", at, why))?;
        }
        Ok(())
    }

    fn names(&self) -> BTreeSet<&str> {
        let (webhooks, files) = (self.webhook.iter().map(|sink| &*sink.name), self.file.iter().map(|sink| &*sink.name));
        webhooks.chain(files).chain(self.nats.iter().map(|sink| &*sink.name)).collect()
    }
}

/// The module `sinks`. It reads the history that it is handed, and stands apart from who writes that.
pub struct Sinks {
    history: Arc<History>,
    /// Of the sinks there were at the last start.
    progress: Mutex<BTreeMap<String, Arc<Progress>>>,
    /// Threads that write to files.
    writing: Mutex<Vec<Ended>>,
}

impl Sinks {
    /// Not started.
    pub fn new(history: Arc<History>) -> Self {
        Self { history, progress: Mutex::default(), writing: Mutex::default() }
    }

    /// The progress of all these, each from where it was; others are forgotten.
    fn restore(&self, names: &BTreeSet<&str>, ctx: &Ctx, records: &Records) -> Result<(), StartError> {
        let (mut kept, mut others) = (BTreeMap::new(), Vec::new());
        let read = records.each(&mut |key, record| match (
            std::str::from_utf8(key).ok().filter(|name| names.contains(name)),
            Cursor::from_record(record),
        ) {
            (Some(name), Some(cursor)) => drop(kept.insert(name.to_owned(), cursor)),
            _ => others.push(key.to_vec()),
        });
        read.map_err(|error| StartError::Other(error.to_string()))?;
        let numbers = self.history.numbers();
        let mut progress = self.progress.lock();
        progress.retain(|name, _| names.contains(&**name));
        for name in names {
            let mut cursor = kept.remove(*name).unwrap_or_else(|| Cursor::new(numbers));
            cursor.go_on(numbers);
            match progress.get(*name) {
                Some(known) => known.set_cursor(cursor),
                None => drop(progress.insert((*name).to_owned(), Arc::new(Progress::new(cursor)))),
            }
        }
        ctx.actor().act(|moment| {
            others.iter().for_each(|key| records.forget(moment, key));
            // Kept before the first event is told, so that a new sink misses none that follow, and which numbers this process gives is
            // known to the next.
            for (name, progress) in &*progress {
                records.keep(moment, name.as_bytes(), &progress.cursor().to_record());
            }
        });
        Ok(())
    }

    fn writer(&self, file: lines::LineFile) -> Result<Box<dyn Target>, StartError> {
        let (writer, ended) = Writer::start(file).map_err(|error| StartError::Other(error.to_string()))?;
        self.writing.lock().push(ended);
        Ok(Box::new(writer))
    }
}

#[async_trait::async_trait]
impl Module for Sinks {
    fn info(&self) -> Info {
        Info {
            name: "sinks",
            title: "Sinks",
            description: "Takes presence events to services, files and NATS, each at least once and in order.",
            default_on: true,
            settings: Settings::FORM,
        }
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_settings::<Settings>(config)?.check_all()
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let settings = ctx.settings::<Settings>()?;
        settings.check_all()?;
        let records = ctx.records().part("cursors");
        self.restore(&settings.names(), ctx, &records)?;
        let (host, behind) = (ctx.host(), Arc::new(Behind::new(ctx.alarm("behind"))));
        let course = |name: &str, target, dead_letters, most, retry_max| Course {
            name: name.to_owned(),
            history: self.history.clone(),
            actor: ctx.actor(),
            records: records.clone(),
            progress: self.progress.lock()[name].clone(),
            behind: behind.clone(),
            target,
            dead_letters,
            most,
            retry_max,
        };
        let dead_letters = |name: &str| dead_letters(name, &*host).map(|file| self.writer(file)).transpose();
        for webhook in &settings.webhook {
            let target = webhook.hook().map_err(StartError::Config)?.into_target(host.clone());
            let dead = dead_letters(&webhook.name)?;
            let (most, retry_max) = (webhook.batch.into(), webhook.retry_max.0);
            ctx.spawn(course(&webhook.name, Box::new(target), dead, most, retry_max).run());
        }
        for file in &settings.file {
            let target = self.writer(file.lines(&*host).map_err(StartError::Config)?)?;
            ctx.spawn(course(&file.name, target, None, LINES, FILE_RETRY).run());
        }
        for nats in &settings.nats {
            let target = nats.stream().map_err(StartError::Config)?.into_target(host.clone());
            let dead = dead_letters(&nats.name)?;
            ctx.spawn(course(&nats.name, Box::new(target), dead, LINES, nats.retry_max.0).run());
        }
        Ok(())
    }

    /// No file is written to from two starts at once.
    async fn stop(&self) {
        let writing = std::mem::take(&mut *self.writing.lock());
        for ended in writing {
            if tokio::time::timeout(PATIENCE, ended).await.is_err() {
                tracing::warn!("a file of events takes long to be written to");
            }
        }
    }

    fn numbers(&self) -> Vec<Number> {
        progress::numbers(&self.progress.lock(), &self.history)
    }

    fn listing(&self) -> Listing {
        Listing {
            title_zh: "事件输出",
            description_zh: "把上下线事件按顺序、至少一次地送到 HTTP 服务、文件或 NATS JetStream。",
            ..Listing::default()
        }
    }

    fn stop_warning(&self) -> &'static str {
        "From then on no events reach the services, files and streams that are set; what happens meanwhile is told later, as far as the \
         history still keeps it then."
    }
}

#[cfg(test)]
mod tests;
