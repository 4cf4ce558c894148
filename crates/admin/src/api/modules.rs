//! The modules: what there is, started and stopped.

use axum::extract::State;
use mqtt_hooks::run::{ChangeError, Status, emqx_name};
use serde::Serialize;
use utoipa::ToSchema;

use super::check_node;
use super::enterprise::{Edition, Instance};
use crate::Admission;
use crate::extract::Path;
use crate::reply::{DONE, Data, Done, Explanation, Refusal};

/// A module as EMQ X lists it.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedModule {
    /// EMQ X's name of it.
    name: String,
    /// What it is for.
    description: String,
    /// True while it runs.
    active: bool,
}

impl From<Status> for ListedModule {
    fn from(status: Status) -> Self {
        let description = status.info.description.to_owned();
        Self { name: emqx_name(status.info.name), description, active: status.running }
    }
}

/// The modules of a node.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeModules {
    /// Its name.
    #[schema(example = "rollcall@127.0.0.1")]
    node: String,
    /// Its modules.
    modules: Vec<ListedModule>,
}

/// What became of a change.
type Changed = Result<Done, Refusal>;

fn changed(result: Result<(), ChangeError>) -> Changed {
    let message = match result {
        Ok(()) => return Ok(DONE),
        Err(ChangeError::AlreadyStarted(_)) => "already_started".to_owned(),
        Err(ChangeError::NotStarted(_)) => "not_started".to_owned(),
        Err(ChangeError::NotFound(_)) => "not_found".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Refusal::Message(message))
}

/// Modules, in the words of who asks.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Listed {
    /// All, by node.
    OpenSource(NodeModules),
    /// Those that are added, as the enterprise edition of EMQ X shows them.
    Enterprise(Instance),
}

/// All modules; for the dashboard of EMQ X's enterprise edition those that are added.
#[utoipa::path(get, path = "/modules", tag = "modules",
    params(("edition" = Option<String>, Query, description = "`enterprise` or `opensource`; unless said, scripts are answered as by the latter")),
    responses((status = OK, body = Data<Vec<Listed>>)))]
pub(super) async fn list(State(shared): Admission, edition: Edition) -> Data<Vec<Listed>> {
    let all = shared.modules.list();
    Data::new(match edition {
        Edition::OpenSource => {
            let modules = all.into_iter().map(ListedModule::from).collect();
            vec![Listed::OpenSource(NodeModules { node: shared.broker.node().name, modules })]
        }
        Edition::Enterprise => {
            let added = all.iter().filter(|status| status.added);
            added.map(|status| Listed::Enterprise(Instance::new(&shared, status))).collect()
        }
    })
}

/// The modules of one node.
#[utoipa::path(get, path = "/nodes/{node}/modules", tag = "modules", params(("node", description = "its name")),
    responses((status = OK, body = Data<Vec<ListedModule>>), (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn list_of_node(
    State(shared): Admission,
    Path(node): Path<String>,
) -> Result<Data<Vec<ListedModule>>, Refusal> {
    check_node(&shared, &node)?;
    Ok(Data::new(shared.modules.list().into_iter().map(ListedModule::from).collect()))
}

/// Starts a module; it stays started over restarts.
#[utoipa::path(put, path = "/modules/{module}/load", tag = "modules",
    params(("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done, description = "or only a message: `already_started`, `not_found`")))]
pub(super) async fn load(State(shared): Admission, Path(module): Path<String>) -> Changed {
    changed(shared.modules.start(&module).await)
}

/// Stops a module; it stays stopped over restarts.
#[utoipa::path(put, path = "/modules/{module}/unload", tag = "modules",
    params(("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done, description = "or only a message: `not_started`, `not_found`")))]
pub(super) async fn unload(State(shared): Admission, Path(module): Path<String>) -> Changed {
    changed(shared.modules.stop(&module).await)
}

/// Stops and starts a module.
#[utoipa::path(put, path = "/modules/{module}/reload", tag = "modules",
    params(("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done, description = "or only a message: `not_started`, `not_found`")))]
pub(super) async fn reload(State(shared): Admission, Path(module): Path<String>) -> Changed {
    changed(shared.modules.restart(&module).await)
}

/// Starts a module on a node.
#[utoipa::path(put, path = "/nodes/{node}/modules/{module}/load", tag = "modules",
    params(("node", description = "its name"), ("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done, description = "or only a message"), (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn load_on_node(State(shared): Admission, Path((node, module)): Path<(String, String)>) -> Changed {
    check_node(&shared, &node)?;
    changed(shared.modules.start(&module).await)
}

/// Stops a module on a node.
#[utoipa::path(put, path = "/nodes/{node}/modules/{module}/unload", tag = "modules",
    params(("node", description = "its name"), ("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done, description = "or only a message"), (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn unload_on_node(State(shared): Admission, Path((node, module)): Path<(String, String)>) -> Changed {
    check_node(&shared, &node)?;
    changed(shared.modules.stop(&module).await)
}

/// Stops and starts a module on a node.
#[utoipa::path(put, path = "/nodes/{node}/modules/{module}/reload", tag = "modules",
    params(("node", description = "its name"), ("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done, description = "or only a message"), (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn reload_on_node(State(shared): Admission, Path((node, module)): Path<(String, String)>) -> Changed {
    check_node(&shared, &node)?;
    changed(shared.modules.restart(&module).await)
}
