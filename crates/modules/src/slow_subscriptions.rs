//! Which clients take long to have what they subscribe to, as EMQ X 4.4's slow subscriptions: for each client and topic the longest
//! time from when the broker had a message to when the client acknowledged it.
//!
//! A delivery at QoS 0 has no such end and is not looked at; nor is a retained message, or one that an earlier process had. The
//! time that a client is away counts. The list is bounded: a slower delivery puts out the least slow one.

use std::sync::Arc;
use std::time::Duration;

use mqtt_hooks::page::Pages;
use mqtt_hooks::route::Route;
use mqtt_hooks::{
    Ctx, Delivery, Group, Host, Info, Listing, Module, Number, ObserveAcks, Settings as _, StartError, read_settings,
};
use serde_json::Value;

mod api;
mod pages;
mod slowest;

use slowest::{Bounds, Slowest};

/// Milliseconds between two looks for what is too old.
const LOOK_MS: u64 = 1000;

mqtt_hooks::settings! {
    /// Settings of [`SlowSubscriptions`].
    pub struct Settings {
        /// Milliseconds that are slow
        ///
        /// A delivery that is acknowledged sooner is not listed.
        pub threshold: u64 = 500 in 1..=86_400_000,
        /// Seconds until they are forgotten
        ///
        /// Of a client and a topic, from its slowest delivery on.
        pub expire_interval: u64 = 300 in 1..=86_400,
        /// Entries
        ///
        /// So many are listed, the slowest.
        pub top_k_num: u64 = 10 in 1..=1000,
    }
}

/// The module `slow_subscriptions`.
#[derive(Default)]
pub struct SlowSubscriptions {
    slowest: Arc<Slowest>,
}

#[async_trait::async_trait]
impl Module for SlowSubscriptions {
    fn info(&self) -> Info {
        Info {
            name: "slow_subscriptions",
            title: "Slow Subscriptions",
            description: "Lists the clients and topics whose messages take longest to be acknowledged.",
            default_on: false,
            settings: Settings::FORM,
        }
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_settings::<Settings>(config).map(drop)
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let Settings { threshold, expire_interval, top_k_num } = ctx.settings()?;
        let expiry = Duration::from_secs(expire_interval);
        let bounds =
            Bounds { threshold_ms: threshold, expiry_ms: expiry.as_millis() as u64, entries: top_k_num as usize };
        let (slowest, host) = (Arc::clone(&self.slowest), ctx.host());
        slowest.begin(bounds);
        ctx.observe_acks(Arc::new(Watch { slowest: Arc::clone(&slowest), host: ctx.host() }));
        ctx.spawn(async move {
            loop {
                host.sleep_until(host.clock_ms() + LOOK_MS).await;
                slowest.forget_old(host.clock_ms());
            }
        });
        Ok(())
    }

    async fn stop(&self) {
        self.slowest.clear();
    }

    fn numbers(&self) -> Vec<Number> {
        self.slowest.numbers()
    }

    fn routes(&self, host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(&self.slowest, host)
    }

    fn pages(&self) -> Pages {
        pages::PAGES
    }

    fn listing(&self) -> Listing {
        Listing {
            group: Group::Monitoring,
            title_zh: "慢订阅统计",
            description_zh: "列出确认消息最慢的客户端。",
            ..Listing::default()
        }
    }

    fn stop_warning(&self) -> &'static str {
        "Slow clients are not listed until it is started again, and those that are listed are forgotten."
    }
}

/// Its hook.
struct Watch {
    slowest: Arc<Slowest>,
    host: Arc<dyn Host>,
}

impl ObserveAcks for Watch {
    fn acknowledged(&self, delivery: &Delivery<'_>) {
        if let Some(accepted_at) = delivery.accepted_at {
            let now = self.host.clock_ms();
            self.slowest.note(delivery, now.saturating_sub(accepted_at), now);
        }
    }
}

#[cfg(test)]
mod tests;
