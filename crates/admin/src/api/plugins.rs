//! What EMQ X has as plugins and Rollcall as modules.

use axum::extract::State;
use mqtt_hooks::run::{ChangeError, Status};
use serde::Serialize;
use utoipa::ToSchema;

use super::check_node;
use crate::extract::Path;
use crate::reply::{DONE, Data, Done, Explanation, Refusal};
use crate::{Admission, Shared};

/// A module that is a plugin in EMQ X's open-source edition.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugin {
    /// EMQ X's name of it.
    #[schema(example = "emqx_auth_http")]
    name: &'static str,
    version: &'static str,
    description: &'static str,
    /// It runs.
    active: bool,
    #[schema(example = "auth")]
    r#type: &'static str,
}

/// A node's plugins.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugins {
    node: String,
    plugins: Vec<Plugin>,
}

fn all(shared: &Shared) -> Vec<Plugin> {
    let version = shared.broker.node().version;
    let plugins = shared.modules.list().into_iter().filter_map(|Status { info, listing, running, .. }| {
        let name = listing.plugin?;
        let r#type = if name.contains("_auth_") { "auth" } else { "feature" };
        Some(Plugin { name, version, description: info.description, active: running, r#type })
    });
    plugins.collect()
}

/// What EMQ X has as plugins and Rollcall as modules.
#[utoipa::path(get, path = "/plugins", tag = "plugins", responses((status = OK, body = Data<Vec<Plugins>>)))]
pub(super) async fn plugins(State(shared): Admission) -> Data<Vec<Plugins>> {
    Data::new(vec![Plugins { node: shared.broker.node_name().to_owned(), plugins: all(&shared) }])
}

/// What EMQ X has as plugins and Rollcall as modules, on a node.
#[utoipa::path(get, path = "/nodes/{node}/plugins", tag = "plugins", params(("node", description = "its name")),
    responses((status = OK, body = Data<Vec<Plugin>>)))]
pub(super) async fn plugins_of_node(
    State(shared): Admission,
    Path(node): Path<String>,
) -> Result<Data<Vec<Plugin>>, Refusal> {
    check_node(&shared, &node)?;
    Ok(Data::new(all(&shared)))
}

/// What is done to a plugin.
#[derive(Clone, Copy)]
enum Deed {
    Load,
    Unload,
    Reload,
}

async fn change(shared: &Shared, plugin: &str, deed: &str) -> Result<Done, Refusal> {
    let deed = match deed {
        "load" => Deed::Load,
        "unload" => Deed::Unload,
        "reload" => Deed::Reload,
        _ => return Err(Refusal::not_found("a plugin can be told to load, unload or reload")),
    };
    let modules = &shared.modules;
    let found = modules.list().into_iter().find(|status| status.listing.plugin == Some(plugin));
    let name = found.ok_or_else(|| Refusal::Message("not_found".to_owned()))?.info.name;
    let changed = match deed {
        Deed::Load => modules.start(name).await,
        Deed::Unload => modules.stop(name).await,
        // With this EMQ X's dashboard starts plugins.
        Deed::Reload => match modules.restart(name).await {
            Err(ChangeError::NotStarted(_)) => modules.start(name).await,
            other => other,
        },
    };
    match changed {
        Ok(()) => Ok(DONE),
        Err(ChangeError::AlreadyStarted(_)) => Err(Refusal::fault(110, "already_started")),
        Err(ChangeError::NotStarted(_)) => Err(Refusal::fault(111, "not_started")),
        Err(error) => Err(Refusal::Message(error.to_string())),
    }
}

/// Starts (`load`), stops (`unload`), or stops and starts (`reload`, also of one that does not run) the module that is this plugin.
#[utoipa::path(put, path = "/plugins/{plugin}/{deed}", tag = "plugins",
    params(("plugin", description = "EMQ X's name of it"), ("deed", description = "`load`, `unload` or `reload`")),
    responses((status = OK, body = Done, description = "or a fault: 110, it runs; 111, it does not run; or only a message"),
        (status = NOT_FOUND, body = Explanation, description = "nothing of the kind can be done")))]
pub(super) async fn change_plugin(
    State(shared): Admission,
    Path((plugin, deed)): Path<(String, String)>,
) -> Result<Done, Refusal> {
    change(&shared, &plugin, &deed).await
}

/// The same on a node.
#[utoipa::path(put, path = "/nodes/{node}/plugins/{plugin}/{deed}", tag = "plugins",
    params(("node", description = "its name"), ("plugin", description = "EMQ X's name of it"), ("deed", description = "`load`, `unload` or `reload`")),
    responses((status = OK, body = Done, description = "or a fault: 110, it runs; 111, it does not run; or only a message"),
        (status = NOT_FOUND, body = Explanation, description = "no such node, or nothing of the kind can be done")))]
pub(super) async fn change_plugin_on_node(
    State(shared): Admission,
    Path((node, plugin, deed)): Path<(String, String, String)>,
) -> Result<Done, Refusal> {
    check_node(&shared, &node)?;
    change(&shared, &plugin, &deed).await
}
