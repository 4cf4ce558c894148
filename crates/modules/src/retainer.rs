//! Which messages are retained, as EMQ X's `emqx_retainer` decides it.
//!
//! The broker keeps them; this says which, and for how long. While it is stopped nobody does: a message that is to be retained
//! reaches who subscribes and is not kept, one without a payload removes nothing, and who subscribes is sent none. What is retained
//! stays, and is sent again when the module is started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_codec::Message;
use mqtt_hooks::{Ctx, Info, Listing, Module, Number, Retain, Retention, Settings as _, StartError, read_settings};
use serde_json::Value;

mqtt_hooks::settings! {
    /// Settings of [`Retainer`].
    pub struct Settings {
        /// Retained messages
        ///
        /// So many at the most; one for a topic that has one already replaces it. 0: as many as limits.retained_messages says, which holds in any
        /// case.
        pub max_retained_messages: u64 = 0 in 0..=1_000_000_000,
        /// Bytes of a payload
        ///
        /// Larger messages are not retained, and reach those who subscribe all the same. 0: all are.
        pub max_payload_size: u64 = 0 in 0..=268_435_455,
        /// Seconds until they expire
        ///
        /// Of messages that don't say so themselves; 0: never.
        pub expiry_interval: u64 = 0 in 0..=4_294_967_294,
        /// Keep removals from subscribers
        ///
        /// A message without a payload, which removes what is retained, goes to nobody.
        pub stop_publish_clear_msg: bool = false,
    }
}

/// The module `retainer`.
#[derive(Default)]
pub struct Retainer {
    counts: Arc<Counts>,
}

/// Since the process began.
#[derive(Default)]
struct Counts {
    retained: AtomicU64,
    removals: AtomicU64,
    full: AtomicU64,
    too_large: AtomicU64,
}

#[async_trait::async_trait]
impl Module for Retainer {
    fn info(&self) -> Info {
        Info {
            name: "retainer",
            title: "Retainer",
            description: "Keeps messages that are to be retained, and sends them to who subscribes later.",
            default_on: true,
            settings: Settings::FORM,
        }
    }

    fn decides_retaining(&self) -> bool {
        true
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_settings::<Settings>(config).map(drop)
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        ctx.retain(Arc::new(Policy { settings: ctx.settings()?, counts: Arc::clone(&self.counts) }));
        Ok(())
    }

    fn numbers(&self) -> Vec<Number> {
        let Counts { retained, removals, full, too_large } = &*self.counts;
        let refused = |rule: &'static str, count: &AtomicU64| {
            Number::counter("refused", "Messages that were not retained.", count.load(Relaxed)).labelled("rule", rule)
        };
        vec![
            Number::counter("messages", "Messages that were to be retained, and might be.", retained.load(Relaxed)),
            Number::counter(
                "removals",
                "Messages without a payload, which remove what is retained.",
                removals.load(Relaxed),
            ),
            refused("max_retained_messages", full),
            refused("max_payload_size", too_large),
        ]
    }

    fn listing(&self) -> Listing {
        Listing {
            title_zh: "保留消息",
            description_zh: "保存保留消息，并发送给之后订阅的客户端。",
            plugin: Some("emqx_retainer"),
            ..Listing::default()
        }
    }

    fn stop_warning(&self) -> &'static str {
        "No message is retained or sent to new subscribers until it is started again; those that are retained stay as they are."
    }
}

/// Its hook.
struct Policy {
    settings: Settings,
    counts: Arc<Counts>,
}

impl Retain for Policy {
    fn retain(&self, message: &Message, others: usize) -> Retention {
        let Settings { max_retained_messages, max_payload_size, expiry_interval, .. } = self.settings;
        let is_over = |count: usize, max: u64| max > 0 && count as u64 > max;
        if is_over(message.payload.len(), max_payload_size) {
            self.counts.too_large.fetch_add(1, Relaxed);
            return Retention::Refuse("modules.retainer.max_payload_size");
        }
        if is_over(others.saturating_add(1), max_retained_messages) {
            self.counts.full.fetch_add(1, Relaxed);
            return Retention::Refuse("modules.retainer.max_retained_messages");
        }
        self.counts.retained.fetch_add(1, Relaxed);
        match expiry_interval {
            0 => Retention::Keep,
            seconds => Retention::KeepFor(seconds.try_into().unwrap_or(u32::MAX)),
        }
    }

    fn publishes_removal(&self, _: &Message) -> bool {
        self.counts.removals.fetch_add(1, Relaxed);
        !self.settings.stop_publish_clear_msg
    }
}

#[cfg(test)]
mod tests;
