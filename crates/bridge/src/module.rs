//! The module.

use std::sync::Arc;

use mqtt_hooks::route::Route;
use mqtt_hooks::{Ctx, Group, Host, Info, Listing, Module, Number, Settings as _, StartError, read_settings};
use parking_lot::Mutex;
use serde_json::Value;

use crate::api;
use crate::course::Course;
use crate::kept::Book;
use crate::plan::{Plan, own_id};
use crate::settings::Settings;
use crate::standing::{Reports, Standings};

/// The module `bridge`.
#[derive(Default)]
pub struct Bridges {
    standings: Arc<Standings>,
    /// Knows what waits.
    host: Mutex<Option<Arc<dyn Host>>>,
    /// While it runs.
    reports: Mutex<Option<Arc<Reports>>>,
}

#[async_trait::async_trait]
impl Module for Bridges {
    fn info(&self) -> Info {
        Info {
            name: "bridge",
            title: "Bridges",
            description: "Carries messages to other brokers and from there, each over a session that lasts at both ends.",
            default_on: true,
            settings: Settings::FORM,
        }
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        Plan::all(&read_settings::<Settings>(config)?).map(drop).map_err(StartError::Config)
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let plans = Plan::all(&ctx.settings::<Settings>()?).map_err(StartError::Config)?;
        let (host, book) = (ctx.host(), Book::new(ctx.records(), ctx.actor()));
        let mut kept = book.all()?;
        let former: Vec<_> =
            kept.keys().filter(|name| !plans.iter().any(|plan| plan.name == **name)).cloned().collect();
        if !former.is_empty() {
            let (book, host) = (book.clone(), Arc::clone(&host));
            ctx.spawn(async move {
                for name in former {
                    // Nobody takes what its session would go on keeping.
                    host.kick(&own_id(&name));
                    book.forget(&name);
                }
            });
        }
        let standings = self.standings.replace(&plans, host.now_ms());
        *self.host.lock() = Some(Arc::clone(&host));
        if plans.is_empty() {
            return Ok(());
        }
        let here = book.here()?;
        let (down, behind) = (ctx.alarm("down"), ctx.alarm("behind"));
        let reports = Arc::new(Reports { actor: ctx.actor(), down, behind, all: Arc::clone(&self.standings) });
        ctx.states(Arc::clone(&reports) as _);
        ctx.spawn(Arc::clone(&reports).watch());
        *self.reports.lock() = Some(Arc::clone(&reports));
        for (plan, standing) in plans.into_iter().zip(standings) {
            let kept = kept.remove(&plan.name).unwrap_or_default();
            let course = Course::new(plan, standing, Arc::clone(&reports), book.clone(), kept, here.clone().into());
            ctx.spawn(course.run());
        }
        Ok(())
    }

    async fn stop(&self) {
        let Some(reports) = self.reports.lock().take() else { return };
        for one in self.standings.all() {
            reports.note_down(&one, "the module is stopped".to_owned());
        }
    }

    fn numbers(&self) -> Vec<Number> {
        self.standings.numbers(self.host.lock().as_deref())
    }

    fn routes(&self, host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(&self.standings, host)
    }

    fn listing(&self) -> Listing {
        Listing {
            group: Group::Message,
            title_zh: "桥接",
            description_zh: "通过两端的持久会话与其他 MQTT 服务器交换消息。",
            plugin: Some("emqx_bridge_mqtt"),
        }
    }

    fn stop_warning(&self) -> &'static str {
        "Nothing is carried to other brokers or from there. What is to go out waits in the bridges' sessions, as much as session.max_queued allows."
    }
}
