//! `GET /metrics`: Prometheus's text format 0.0.4. Totals only, no client is named, so it asks for no login, as EMQ X's does not.

use std::fmt::{Display, Write};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mqtt_hooks::run::Numbers;
use mqtt_hooks::{Histogram, Number, Reading};
use serde::Deserialize;

use crate::extract::Query;
use crate::reply::Refusal;
use crate::{Admission, Shared};

mod emqx;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn open() -> Router<Arc<Shared>> {
    Router::new().route("/metrics", get(metrics)).route("/api/v4/emqx_prometheus", get(emqx_metrics))
}

async fn metrics(State(shared): Admission) -> Result<Response, Refusal> {
    let text = written(&shared, write).await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

#[derive(Deserialize)]
struct Form {
    r#type: Option<String>,
}

async fn emqx_metrics(State(shared): Admission, Query(form): Query<Form>) -> Result<Response, Refusal> {
    if form.r#type.as_deref() == Some("json") {
        return Ok(Json(written(&shared, emqx::json).await?).into_response());
    }
    let text = written(&shared, emqx::text).await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// Anybody may ask: one is written at a time, also if who asked for it is gone.
async fn written<T: Send + 'static>(
    shared: &Arc<Shared>,
    write: impl FnOnce(&Shared) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let turn = Arc::clone(&shared.scrapes).acquire_owned().await.map_err(|_| Refusal::internal())?;
    let asked = Arc::clone(shared);
    let written = tokio::task::spawn_blocking(move || {
        let _until_the_end = turn;
        write(&asked)
    });
    written.await.map_err(|_| Refusal::internal())
}

fn write(shared: &Shared) -> String {
    let mut text = Text::default();
    write_node(&mut text, shared);
    write_modules(&mut text, shared);
    shared.modules.numbers().iter().for_each(|of_one| write_numbers(&mut text, of_one));
    let active = shared.broker.alarms().into_iter().filter(|alarm| alarm.activated);
    text.family("rollcall_alarm_active", GAUGE, "1 for each alarm that is active; see /api/v4/alarms.");
    for alarm in active {
        text.sample("rollcall_alarm_active", &[("name", &alarm.name)], 1);
    }
    for (name, value) in shared.broker.stats() {
        let (name, help) = match name.strip_suffix(".count") {
            Some(what) => (what.to_owned(), format!("There are now; EMQ X's statistic {name}.")),
            None => (name.clone(), format!("The most there were; EMQ X's statistic {name}.")),
        };
        text.one(&format!("rollcall_{}", name.replace('.', "_")), GAUGE, &help, value);
    }
    for (name, value) in shared.broker.metrics() {
        let counter = match name {
            "bytes.received" => "rollcall_received_bytes_total".to_owned(),
            "bytes.sent" => "rollcall_sent_bytes_total".to_owned(),
            name => format!("rollcall_{}_total", name.replace('.', "_")),
        };
        let help = if name.starts_with("limits.") { "metric" } else { "EMQ X's metric" };
        text.one(&counter, COUNTER, &format!("Since the start; {help} {name}."), value);
    }
    text.0
}

fn write_node(text: &mut Text, shared: &Shared) {
    let (node, health) = (shared.broker.node(), shared.broker.health());
    text.family("rollcall_build_info", GAUGE, "Always 1; which broker this is.");
    text.sample("rollcall_build_info", &[("node", &node.name), ("version", node.version)], 1);
    let started_at = seconds(health.started_at);
    text.one("rollcall_start_time_seconds", GAUGE, "When it was started, since the Unix epoch.", started_at);
    text.one("rollcall_uptime_seconds", GAUGE, "Since it was started.", seconds(node.uptime_ms));
    text.one("rollcall_resident_memory_bytes", GAUGE, "Memory of the process.", node.memory_used);
    let help = "What is held for clients: queues, half packets, subscriptions, wills, retained messages.";
    text.one("rollcall_memory_held_bytes", GAUGE, help, health.memory_held);
    let help = "limits.memory: what may be held; one client may hold a quarter of what is free.";
    text.one("rollcall_memory_limit_bytes", GAUGE, help, health.memory_limit);
    text.one("rollcall_connections_limit", GAUGE, "mqtt.max_connections.", node.max_connections);
    text.one("rollcall_stopping", GAUGE, "1 while it ends.", u8::from(health.stopping));
    let help = "1 while the store can't be written to.";
    text.one("rollcall_store_failing", GAUGE, help, u8::from(health.store_failing));
    if let Some(bytes) = health.store_bytes {
        text.one("rollcall_store_bytes", GAUGE, "Of the store's files.", bytes);
    }
}

fn write_modules(text: &mut Text, shared: &Shared) {
    let modules = shared.modules.list();
    text.family("rollcall_module_running", GAUGE, "1 while the module runs.");
    for module in &modules {
        text.sample("rollcall_module_running", &[("module", module.info.name)], u8::from(module.running));
    }
    text.family("rollcall_module_panics_total", COUNTER, "Panics of its hooks since its start.");
    for module in &modules {
        text.sample("rollcall_module_panics_total", &[("module", module.info.name)], module.panics);
    }
    let name = "rollcall_module_start_time_seconds";
    text.family(name, GAUGE, "When it was started, since the Unix epoch.");
    for (module, at) in modules.iter().filter_map(|module| Some((module, module.started_at?))) {
        text.sample(name, &[("module", module.info.name)], seconds(at));
    }
}

/// A module's, each under its name after the module's.
fn write_numbers(text: &mut Text, Numbers { module, numbers }: &Numbers) {
    let mut before = "";
    for number in numbers {
        let name = format!("rollcall_{module}_{}", number.name.replace('.', "_"));
        let (name, kind) = match number.value {
            Reading::Counter(_) => (format!("{name}_total"), COUNTER),
            Reading::Gauge(_) => (name, GAUGE),
            Reading::Histogram(_) => (name, "histogram"),
        };
        if number.name != before {
            text.family(&name, kind, &number.help);
        }
        before = &number.name;
        write_number(text, &name, number);
    }
}

fn write_number(text: &mut Text, name: &str, number: &Number) {
    let label = number.label.as_ref().map(|label| (label.name, &*label.value));
    let labels = label.as_slice();
    match &number.value {
        Reading::Counter(count) => text.sample(name, labels, count),
        Reading::Gauge(value) => text.sample(name, labels, value),
        Reading::Histogram(Histogram { buckets, above, sum }) => {
            let bounded = buckets.iter().map(|bucket| (bucket.up_to.to_string(), bucket.count));
            let mut total = 0;
            for (bound, count) in bounded.chain([("+Inf".to_owned(), *above)]) {
                total += count;
                text.sample(&format!("{name}_bucket"), &[labels, &[("le", &bound)]].concat(), total);
            }
            text.sample(&format!("{name}_sum"), labels, sum);
            text.sample(&format!("{name}_count"), labels, total);
        }
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// The text format.
#[derive(Default)]
struct Text(String);

impl Text {
    /// What follows are its samples.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        match labels.is_empty() {
            true => self.line(format_args!("{name} {value}")),
            false => self.line(format_args!("{name}{{{}}} {value}", labels.join(","))),
        }
    }

    /// A family with one sample.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use mqtt_hooks::Bucket;

    use super::*;

    #[test]
    fn labels_and_help_are_escaped() {
        let mut text = Text::default();
        text.family("a", GAUGE, "one\\\ntwo");
        text.sample("a", &[("b", "\"\\\n"), ("c", "d")], 1.5);
        text.one("e_total", COUNTER, "f.", 7);
        let lines = ["# HELP a one\\\\\\ntwo", "# TYPE a gauge", "a{b=\"\\\"\\\\\\n\",c=\"d\"} 1.5"];
        let lines = [&lines[..], &["# HELP e_total f.", "# TYPE e_total counter", "e_total 7", ""]].concat();
        assert_eq!(text.0, lines.join("\n"));
    }

    #[test]
    fn numbers_of_one_name_are_one_family_and_buckets_add_up() {
        let events = |event| Number::counter("events", "Events.", 3).labelled("event", event);
        let buckets = [(0.5, 2), (1.0, 1)].map(|(up_to, count)| Bucket { up_to, count }).into();
        let took = Number::histogram("took.seconds", "Time.", Histogram { buckets, above: 4, sum: 9.5 });
        let mut text = Text::default();
        let numbers = vec![events("came"), events("went"), Number::gauge("kept", "Kept.", 7.0), took];
        write_numbers(&mut text, &Numbers { module: "m", numbers });
        let lines = [
            "# HELP rollcall_m_events_total Events.",
            "# TYPE rollcall_m_events_total counter",
            "rollcall_m_events_total{event=\"came\"} 3",
            "rollcall_m_events_total{event=\"went\"} 3",
            "# HELP rollcall_m_kept Kept.",
            "# TYPE rollcall_m_kept gauge",
            "rollcall_m_kept 7",
            "# HELP rollcall_m_took_seconds Time.",
            "# TYPE rollcall_m_took_seconds histogram",
            "rollcall_m_took_seconds_bucket{le=\"0.5\"} 2",
            "rollcall_m_took_seconds_bucket{le=\"1\"} 3",
            "rollcall_m_took_seconds_bucket{le=\"+Inf\"} 7",
            "rollcall_m_took_seconds_sum 9.5",
            "rollcall_m_took_seconds_count 7",
            "",
        ];
        assert_eq!(text.0, lines.join("\n"));
    }
}
