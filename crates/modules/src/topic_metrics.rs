//! Counters of single topics that an operator names, as EMQ X's `emqx_mod_topic_metrics`: messages that come, that go to clients and
//! that nobody wants, by quality of service, and how many of each come in a second.
//!
//! While no topic is named nothing of a message is looked at. The topics are kept over restarts, the counts begin anew.

use std::sync::Arc;

use mqtt_codec::Message;
use mqtt_hooks::page::Pages;
use mqtt_hooks::route::Route;
use mqtt_hooks::{Ctx, Delivery, Host, Info, Listing, Module, Number, ObserveMessages, Records, StartError};

mod api;
mod counts;
mod pages;
mod topics;

use counts::Metric;
use topics::Topics;

/// Milliseconds between two looks at the counts, from which rates are made.
const TICK_MS: u64 = 1000;

/// The module `topic_metrics`.
#[derive(Default)]
pub struct TopicMetrics {
    topics: Arc<Topics>,
}

#[async_trait::async_trait]
impl Module for TopicMetrics {
    fn info(&self) -> Info {
        Info {
            name: "topic_metrics",
            title: "Topic Metrics",
            description: "Counts the messages of single topics: what comes, what goes to clients, what nobody wants, and how fast.",
            default_on: false,
            settings: &[],
        }
    }

    fn restore(&self, _host: &dyn Host, records: &Records) -> Result<(), StartError> {
        self.topics.restore(records).map_err(|error| StartError::Other(error.to_string()))
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let (topics, host) = (Arc::clone(&self.topics), ctx.host());
        topics.begin(ctx.actor(), ctx.records(), ctx.observe_messages_when(topics.clone()));
        ctx.spawn(async move {
            loop {
                host.sleep_until(host.clock_ms() + TICK_MS).await;
                topics.tick();
            }
        });
        Ok(())
    }

    async fn stop(&self) {
        self.topics.end();
    }

    fn numbers(&self) -> Vec<Number> {
        vec![Number::gauge("topics", "Topics whose messages are counted.", self.topics.len() as f64)]
    }

    fn routes(&self, _host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(&self.topics)
    }

    fn pages(&self) -> Pages {
        pages::PAGES
    }

    fn listing(&self) -> Listing {
        Listing {
            title_zh: "主题监控", description_zh: "统计单个主题的消息数量和速率。", ..Listing::default()
        }
    }

    fn stop_warning(&self) -> &'static str {
        "No topic's messages are counted until it is started again, and what was counted is forgotten."
    }
}

impl ObserveMessages for Topics {
    fn published(&self, message: &Message, _: Option<&str>) {
        self.count(&message.topic, &[Metric::In, Metric::IN[message.qos as usize]]);
    }

    fn taken(&self, delivery: &Delivery<'_>) {
        self.count(&delivery.message.topic, &[Metric::Out, Metric::OUT[delivery.qos as usize]]);
    }

    fn unwanted(&self, message: &Message) {
        self.count(&message.topic, &[Metric::Dropped]);
    }
}

#[cfg(test)]
mod tests;
