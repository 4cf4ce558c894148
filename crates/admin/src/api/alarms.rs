//! What is wrong, and what was.

use std::sync::Arc;

use axum::extract::State;
use mqtt_operate as operate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::check_node;
use crate::asking::with_broker;
use crate::extract::{Body, Path};
use crate::reply::{DONE, Data, Done, Explanation, Refusal};
use crate::{Admission, Shared};

/// Something that is or was wrong, as EMQ X 4.3 shows it.
#[derive(Serialize, ToSchema)]
pub(super) struct Alarm {
    /// What: `store_failing`.
    #[schema(example = "store_failing")]
    name: String,
    /// For people.
    message: String,
    /// More about it.
    details: Value,
    /// When it began, in microseconds since the Unix epoch.
    activate_at: u64,
    /// When it was over, in microseconds since the Unix epoch, or `"infinity"`.
    deactivate_at: Until,
    /// It is not over.
    activated: bool,
}

/// A time that may not have come.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Until {
    /// Microseconds since the Unix epoch.
    At(u64),
    /// Not yet.
    Never(Never),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Never {
    /// It is so still.
    Infinity,
}

impl From<operate::Alarm> for Alarm {
    fn from(alarm: operate::Alarm) -> Self {
        let operate::Alarm { name, message, details, activate_at, deactivate_at, activated } = alarm;
        let deactivate_at = match deactivate_at {
            operate::Until::At(at) => Until::At(at),
            operate::Until::Infinity => Until::Never(Never::Infinity),
        };
        Self { name, message, details, activate_at, deactivate_at, activated }
    }
}

/// The alarms of a node.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeAlarms {
    /// Its name.
    #[schema(example = "rollcall@127.0.0.1")]
    node: String,
    /// Its alarms.
    alarms: Vec<Alarm>,
}

/// Which alarm.
#[derive(Deserialize, ToSchema)]
pub(super) struct Which {
    /// The node's name.
    #[schema(example = "rollcall@127.0.0.1")]
    node: Option<String>,
    /// The alarm's.
    #[schema(example = "memory_limit")]
    name: Option<String>,
}

fn of(shared: &Arc<Shared>, is_meant: fn(&operate::Alarm) -> bool) -> Vec<Alarm> {
    shared.broker.alarms().into_iter().filter(is_meant).map(Alarm::from).collect()
}

fn of_cluster(shared: &Arc<Shared>, is_meant: fn(&operate::Alarm) -> bool) -> Data<Vec<NodeAlarms>> {
    Data::new(vec![NodeAlarms { node: shared.broker.node().name, alarms: of(shared, is_meant) }])
}

fn of_node(
    shared: &Arc<Shared>,
    node: &str,
    is_meant: fn(&operate::Alarm) -> bool,
) -> Result<Data<Vec<Alarm>>, Refusal> {
    check_node(shared, node)?;
    Ok(Data::new(of(shared, is_meant)))
}

/// All alarms.
#[utoipa::path(get, path = "/alarms", tag = "alarms", responses((status = OK, body = Data<Vec<NodeAlarms>>)))]
pub(super) async fn list(State(shared): Admission) -> Data<Vec<NodeAlarms>> {
    of_cluster(&shared, |_| true)
}

/// What is wrong.
#[utoipa::path(get, path = "/alarms/activated", tag = "alarms", responses((status = OK, body = Data<Vec<NodeAlarms>>)))]
pub(super) async fn activated(State(shared): Admission) -> Data<Vec<NodeAlarms>> {
    of_cluster(&shared, |alarm| alarm.activated)
}

/// What was wrong.
#[utoipa::path(get, path = "/alarms/deactivated", tag = "alarms", responses((status = OK, body = Data<Vec<NodeAlarms>>)))]
pub(super) async fn deactivated(State(shared): Admission) -> Data<Vec<NodeAlarms>> {
    of_cluster(&shared, |alarm| !alarm.activated)
}

/// What is wrong; EMQ X had this name before `activated`.
#[utoipa::path(get, path = "/alarms/present", tag = "alarms", responses((status = OK, body = Data<Vec<NodeAlarms>>)))]
pub(super) async fn present(shared: Admission) -> Data<Vec<NodeAlarms>> {
    activated(shared).await
}

/// What was wrong; EMQ X had this name before `deactivated`.
#[utoipa::path(get, path = "/alarms/history", tag = "alarms", responses((status = OK, body = Data<Vec<NodeAlarms>>)))]
pub(super) async fn history(shared: Admission) -> Data<Vec<NodeAlarms>> {
    deactivated(shared).await
}

/// Forgets the alarms that are over; EMQ X had this name before `deactivated`.
#[utoipa::path(delete, path = "/alarms/history", tag = "alarms", responses((status = OK, body = Done)))]
pub(super) async fn forget_history(shared: Admission) -> Done {
    forget(shared).await
}

/// All alarms of one node.
#[utoipa::path(get, path = "/nodes/{node}/alarms", tag = "alarms", params(("node", description = "its name")),
    responses((status = OK, body = Data<Vec<Alarm>>), (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn list_of_node(
    State(shared): Admission,
    Path(node): Path<String>,
) -> Result<Data<Vec<Alarm>>, Refusal> {
    of_node(&shared, &node, |_| true)
}

/// What is wrong with one node.
#[utoipa::path(get, path = "/nodes/{node}/alarms/activated", tag = "alarms", params(("node", description = "its name")),
    responses((status = OK, body = Data<Vec<Alarm>>), (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn activated_of_node(
    State(shared): Admission,
    Path(node): Path<String>,
) -> Result<Data<Vec<Alarm>>, Refusal> {
    of_node(&shared, &node, |alarm| alarm.activated)
}

/// What was wrong with one node.
#[utoipa::path(get, path = "/nodes/{node}/alarms/deactivated", tag = "alarms", params(("node", description = "its name")),
    responses((status = OK, body = Data<Vec<Alarm>>), (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn deactivated_of_node(
    State(shared): Admission,
    Path(node): Path<String>,
) -> Result<Data<Vec<Alarm>>, Refusal> {
    of_node(&shared, &node, |alarm| !alarm.activated)
}

/// Declares an alarm over. It comes back when its cause does, not while that lasts.
#[utoipa::path(post, path = "/alarms/deactivated", tag = "alarms", request_body = Which,
    responses((status = OK, body = Done, description = "or a fault: 107, a parameter is missing; or only a message: `not_found`"),
        (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn deactivate(State(shared): Admission, Body(which): Body<Which>) -> Result<Done, Refusal> {
    let (Some(node), Some(name)) = (which.node, which.name) else {
        return Err(Refusal::fault(107, "missing_param"));
    };
    check_node(&shared, &node)?;
    let was_active = with_broker(&shared, move |broker| broker.deactivate_alarm(&name)).await?;
    if was_active { Ok(DONE) } else { Err(Refusal::Message("not_found".to_owned())) }
}

/// Forgets the alarms that are over.
#[utoipa::path(delete, path = "/alarms/deactivated", tag = "alarms", responses((status = OK, body = Done)))]
pub(super) async fn forget(State(shared): Admission) -> Done {
    shared.broker.forget_alarms();
    DONE
}

/// Forgets the alarms of one node that are over.
#[utoipa::path(delete, path = "/nodes/{node}/alarms/deactivated", tag = "alarms", params(("node", description = "its name")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation, description = "no such node")))]
pub(super) async fn forget_of_node(State(shared): Admission, Path(node): Path<String>) -> Result<Done, Refusal> {
    check_node(&shared, &node)?;
    shared.broker.forget_alarms();
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alarm_looks_as_it_does_over_mqtt() {
        let active = operate::Alarm::new("a", "b", json!({"c": 1}), 2);
        for alarm in [active.clone(), active.over(3)] {
            let published = serde_json::to_value(&alarm).unwrap();
            assert_eq!(serde_json::to_value(Alarm::from(alarm)).unwrap(), published);
        }
    }
}
