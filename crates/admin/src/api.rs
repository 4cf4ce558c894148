//! `/api/v4`: what scripts written for EMQ X 4.3 use, and what is new beside it.

use std::sync::Arc;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shared;
use crate::reply::Refusal;

mod accounts;
mod alarms;
mod apps;
mod banned;
mod catalogue;
mod clients;
mod cluster;
mod data;
mod drain;
mod enterprise;
mod listeners;
mod modules;
mod monitor;
mod mqtt;
mod nodes;
mod operators;
mod overview;
mod plugins;
mod retained;
mod settings;
mod subscriptions;
mod trace;

#[derive(OpenApi)]
#[openapi(info(
    title = "Rollcall",
    description = "The REST API of EMQ X 4.3 as Rollcall answers it, and what is new: who is online, and since when."
))]
struct Document;

pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(emqx())
        .routes(routes!(modules::list, catalogue::create))
        .routes(routes!(catalogue::one, catalogue::change, catalogue::delete))
        .routes(routes!(catalogue::types))
        .routes(routes!(catalogue::one_type))
        .routes(routes!(catalogue::maybe_start))
        .routes(routes!(catalogue::add))
        .routes(routes!(catalogue::remove))
        .routes(routes!(catalogue::settings, catalogue::configure))
        .routes(routes!(catalogue::test))
        .routes(routes!(modules::load))
        .routes(routes!(modules::unload))
        .routes(routes!(modules::reload))
        .routes(routes!(modules::list_of_node))
        .routes(routes!(modules::load_on_node))
        .routes(routes!(modules::unload_on_node))
        .routes(routes!(modules::reload_on_node))
        .routes(routes!(listeners::start))
        .routes(routes!(listeners::stop))
        .routes(routes!(overview::stream))
        .routes(routes!(overview::history))
        .routes(routes!(retained::list))
        .routes(routes!(retained::one, retained::forget))
        .routes(routes!(cluster::show))
        .routes(routes!(cluster::show_of_node))
        .routes(routes!(cluster::forget))
        .routes(routes!(drain::draining, drain::drain, drain::end_drain))
        .routes(routes!(settings::list))
        .routes(routes!(settings::reload))
        .routes(routes!(accounts::keys, accounts::add_key))
        .routes(routes!(accounts::remove_key))
        .routes(routes!(accounts::set_password))
        .routes(routes!(operators::list, operators::add))
        .routes(routes!(operators::update, operators::remove))
        .routes(routes!(operators::change_password))
        .routes(routes!(accounts::who_am_i))
        .routes(routes!(trace::follow))
        .routes(routes!(alarms::list))
        .routes(routes!(alarms::activated))
        .routes(routes!(alarms::present))
        .routes(routes!(alarms::history, alarms::forget_history))
        .routes(routes!(alarms::deactivated, alarms::deactivate, alarms::forget))
        .routes(routes!(alarms::list_of_node))
        .routes(routes!(alarms::activated_of_node))
        .routes(routes!(alarms::deactivated_of_node, alarms::forget_of_node))
}

/// What EMQ X has, modules apart.
fn emqx() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(clients::list))
        .routes(routes!(clients::one, clients::kick))
        .routes(routes!(clients::of_user))
        .routes(routes!(clients::list_of_node))
        .routes(routes!(clients::one_of_node, clients::kick_on_node))
        .routes(routes!(clients::of_user_on_node))
        .routes(routes!(clients::limits::acl_cache, clients::limits::drop_acl_cache))
        .routes(routes!(clients::limits::set_ratelimit, clients::limits::drop_ratelimit))
        .routes(routes!(clients::limits::set_quota, clients::limits::drop_quota))
        .routes(routes!(subscriptions::list))
        .routes(routes!(subscriptions::of_client))
        .routes(routes!(subscriptions::list_of_node))
        .routes(routes!(subscriptions::of_client_on_node))
        .routes(routes!(subscriptions::routes))
        .routes(routes!(subscriptions::route))
        .routes(routes!(mqtt::publish))
        .routes(routes!(mqtt::publish_batch))
        .routes(routes!(mqtt::subscribe))
        .routes(routes!(mqtt::subscribe_batch))
        .routes(routes!(mqtt::unsubscribe))
        .routes(routes!(mqtt::unsubscribe_batch))
        .routes(routes!(banned::list, banned::add))
        .routes(routes!(banned::remove))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::one))
        .routes(routes!(nodes::brokers))
        .routes(routes!(nodes::broker))
        .routes(routes!(nodes::stats))
        .routes(routes!(nodes::stats_of_node))
        .routes(routes!(nodes::metrics))
        .routes(routes!(nodes::metrics_of_node))
        .routes(routes!(listeners::list))
        .routes(routes!(listeners::restart))
        .routes(routes!(listeners::list_of_node))
        .routes(routes!(listeners::restart_on_node))
        .routes(routes!(nodes::license))
        .routes(routes!(nodes::drop_acl_cache))
        .routes(routes!(nodes::drop_acl_cache_on_node))
        .routes(routes!(data::list, data::export))
        .routes(routes!(data::upload))
        .routes(routes!(data::read, data::delete))
        .routes(routes!(data::import))
        .routes(routes!(plugins::plugins))
        .routes(routes!(plugins::plugins_of_node))
        .routes(routes!(plugins::change_plugin))
        .routes(routes!(plugins::change_plugin_on_node))
        .routes(routes!(monitor::current))
        .routes(routes!(monitor::metric))
        .routes(routes!(monitor::metrics))
        .routes(routes!(monitor::metric_of_node))
        .routes(routes!(monitor::metrics_of_node))
        .routes(routes!(apps::list, apps::add))
        .routes(routes!(apps::one, apps::update, apps::remove))
}

/// What everyone may ask.
pub(crate) fn open_router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(accounts::log_in))
}

/// What can be looked at of another node [has been asked of it](crate::other_nodes) before.
fn check_node(shared: &Shared, node: &str) -> Result<(), Refusal> {
    if shared.broker.node_name() == node {
        return Ok(());
    }
    Err(Refusal::not_found(format!(
        "this is not the node {node:?}; another one of a cluster can only be looked at from here"
    )))
}
