//! Traces to files, as EMQ X 4.4's: what becomes of one client, of the clients of one address, or of the messages of some topics.
//!
//! A trace has a name, begins and ends at a time, and is a file in `trace` below the broker's folder that can be looked at and
//! downloaded. How many there are is bounded, and how large each gets. While none runs no message is looked at. Lines are written by a
//! thread of its own: what it can't write in time is counted in the file and left out, and nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mqtt_hooks::page::Pages;
use mqtt_hooks::route::Route;
use mqtt_hooks::{Ctx, Group, Host, Info, Listing, Module, Number, Records, Settings as _, StartError, read_settings};
use serde_json::Value;

mod about;
mod api;
mod file;
mod hooks;
mod pages;
mod traces;
mod writer;

use traces::Traces;

/// Milliseconds between two looks for traces that begin or end.
const LOOK_MS: u64 = 500;

mqtt_hooks::settings! {
    /// Settings of [`Trace`].
    pub(crate) struct Settings {
        /// Bytes of a file
        ///
        /// A trace ends when its file has so many. There may be 30 traces.
        pub(crate) max_file_size: u64 = 10485760 in 1024..=1_073_741_824,
    }
}

/// The module `trace`.
#[derive(Default)]
pub(crate) struct Trace {
    traces: Arc<Traces>,
}

#[async_trait::async_trait]
impl Module for Trace {
    fn info(&self) -> Info {
        Info {
            name: "trace",
            title: "Log Trace",
            description: "Writes what becomes of a client, of an address's clients or of a topic's messages into files.",
            default_on: false,
            settings: Settings::FORM,
        }
    }

    fn restore(&self, host: &dyn Host, records: &Records) -> Result<(), StartError> {
        self.traces.restore(host, records).map_err(|error| StartError::Other(error.to_string()))
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_settings::<Settings>(config).map(drop)
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let Settings { max_file_size } = ctx.settings()?;
        let (traces, host) = (Arc::clone(&self.traces), ctx.host());
        let folder = host.folder().map(|folder| folder.join("trace"));
        let folder = folder.ok_or_else(|| StartError::Other("there is no data_dir to write files to".to_owned()))?;
        let lines = writer::start(max_file_size).map_err(|error| StartError::Other(error.to_string()))?;
        let watch = Arc::new(hooks::Watch { traces: Arc::clone(&traces), host: ctx.host() });
        ctx.observe(watch.clone());
        ctx.observe_acks(watch.clone());
        ctx.observe_drops(watch.clone());
        traces.begin(ctx.actor(), ctx.records(), folder, lines, ctx.observe_messages_when(watch));
        ctx.spawn(async move {
            loop {
                host.sleep_until(host.clock_ms() + LOOK_MS).await;
                traces.look(host.now_ms());
            }
        });
        Ok(())
    }

    async fn stop(&self) {
        self.traces.end();
    }

    fn numbers(&self) -> Vec<Number> {
        let counts = &self.traces.counts;
        vec![
            Number::gauge("running", "Traces that run.", self.traces.running() as f64),
            Number::counter("lines", "Lines written.", counts.lines.load(Relaxed)),
            Number::counter(
                "dropped",
                "Lines left out, for more came than could be written.",
                counts.dropped.load(Relaxed),
            ),
        ]
    }

    fn routes(&self, host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(&self.traces, host)
    }

    fn pages(&self) -> Pages {
        pages::PAGES
    }

    fn listing(&self) -> Listing {
        Listing {
            group: Group::Monitoring,
            title_zh: "日志追踪",
            description_zh: "把客户端和消息的经过写入文件。",
            ..Listing::default()
        }
    }

    fn stop_warning(&self) -> &'static str {
        "Traces that run end; their files stay."
    }
}

#[cfg(test)]
mod tests;
