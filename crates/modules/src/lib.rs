//! The modules that ship, [`presence`] first, and the [`Registry`] that starts and stops modules while clients are
//! connected.
//!
//! What a module is stands in [`mqtt_hooks`]. This crate does not know the server. It spawns nothing, but for
//! threads that write files, and reads no clock of its own, so it runs wherever a future can be polled; only where
//! [sinks](presence::sinks) are set these are to be polled where tokio has its time and sockets.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mqtt_hooks::Hooks;
//! use mqtt_modules::{MemoryStates, Modules, Registry};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), mqtt_modules::ChangeError> {
//! # let host = mqtt_hooks::testing::Recorder::new();
//! let hooks = Hooks::new();
//! let registry = Registry::new(host, hooks.clone(), Arc::new(MemoryStates::default()));
//! for module in mqtt_modules::shipped() {
//!     registry.register(module, serde_json::Value::Null);
//! }
//! registry.start("presence").await?;
//! assert!(hooks.has_observers());
//! registry.stop("presence").await?;
//! assert!(!hooks.has_observers());
//! # Ok(())
//! # }
//! ```

pub mod delayed_publish;
pub mod presence;
mod registry;
pub mod retainer;
pub mod slow_subscriptions;
// Private, for its name is a word of MQTT's, which crates that know no module must be free to say.
mod subscription;
pub mod topic_metrics;
pub mod topic_rewrite;
// Private for the same reason.
mod trace;

use std::sync::Arc;

use mqtt_hooks::Module;

pub use mqtt_hooks::run::{ChangeError, Modules, Status};
pub use registry::{MemoryStates, Registry, States, Write};

/// The modules that ship with the broker, in the order in which they are to be registered.
pub fn shipped() -> Vec<Arc<dyn Module>> {
    let history = presence::History::new();
    vec![
        Arc::new(presence::Presence::new(history.clone())),
        // Behind it: what it has taken back is where the sinks go on.
        Arc::new(presence::sinks::Sinks::new(history)),
        // Before who delays: a rule may make a delayed message of one.
        Arc::new(topic_rewrite::TopicRewrite::default()),
        // Before whoever says which topics a client may use: it asks them about the topic behind `$delayed/...`.
        Arc::new(delayed_publish::DelayedPublish::default()),
        Arc::new(retainer::Retainer::default()),
        Arc::new(slow_subscriptions::SlowSubscriptions::default()),
        Arc::new(subscription::Subscription::default()),
        Arc::new(topic_metrics::TopicMetrics::default()),
        Arc::new(trace::Trace::default()),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::shipped;

    #[test]
    fn what_the_pages_of_a_module_name_is_there() {
        for module in shipped() {
            let pages = module.pages();
            let scripts: HashSet<_> = pages.scripts.iter().map(|script| script.name).collect();
            let run = pages.pages.iter().map(|page| page.script).chain(pages.panels.iter().map(|panel| panel.script));
            let imported = pages.scripts.iter().flat_map(|script| script.text.split("from \"./").skip(1));
            let imported = imported.filter_map(|rest| rest.split('"').next());
            for name in run.chain(imported) {
                assert!(scripts.contains(name), "{name} of {}", module.info().name);
            }
            let numbers: HashSet<_> = module.numbers().iter().map(|number| number.key()).collect();
            for series in pages.charts.iter().flat_map(|chart| chart.series) {
                assert!(numbers.contains(series.counter), "{} of {}", series.counter, module.info().name);
            }
        }
    }
}

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
