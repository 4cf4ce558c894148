//! What EMQ X lets one set for a client, and Rollcall does not: it answers as EMQ X does while nothing is set.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::with_broker;
use crate::Admission;
use crate::extract::{Body, Path};
use crate::reply::{DONE, Data, Done, Refusal};

/// What a client was found to be allowed.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cached {
    /// `publish` or `subscribe`
    access: &'static str,
    topic: String,
    /// `allow` or `deny`
    result: &'static str,
    /// Milliseconds since 1970.
    updated_time: u64,
}

/// EMQ X's policies: `100KB,10s`
#[derive(Deserialize, ToSchema)]
pub(crate) struct Policies {
    conn_bytes_in: Option<String>,
    conn_messages_in: Option<String>,
    conn_messages_routing: Option<String>,
}

type Changed = Result<Done, Refusal>;

async fn check_client(shared: &std::sync::Arc<crate::Shared>, client_id: String) -> Changed {
    let is_there = with_broker(shared, move |broker| broker.client(&client_id).is_some()).await?;
    if is_there { Ok(DONE) } else { Err(Refusal::no_client()) }
}

async fn set(shared: &std::sync::Arc<crate::Shared>, client_id: String, wanted: &[&Option<String>]) -> Changed {
    if wanted.iter().all(|wanted| wanted.is_none()) {
        return Ok(DONE);
    }
    check_client(shared, client_id).await?;
    Err(Refusal::fault(102, "limits of single clients are not supported; see limits.* of the configuration"))
}

/// What a client was found to be allowed: rules are asked anew each time, so nothing is cached.
#[utoipa::path(get, path = "/clients/{clientid}/acl_cache", tag = "clients", params(("clientid", description = "its id")),
    responses((status = OK, body = Data<Vec<Cached>>, description = "or a fault: 112, there is no such client")))]
pub(crate) async fn acl_cache(
    State(shared): Admission,
    Path(client_id): Path<String>,
) -> Result<Data<Vec<Cached>>, Refusal> {
    check_client(&shared, client_id).await.map(|_| Data::new(Vec::new()))
}

/// Forgets what a client was found to be allowed.
#[utoipa::path(delete, path = "/clients/{clientid}/acl_cache", tag = "clients", params(("clientid", description = "its id")),
    responses((status = OK, body = Done, description = "or a fault: 112, there is no such client")))]
pub(crate) async fn drop_acl_cache(State(shared): Admission, Path(client_id): Path<String>) -> Changed {
    check_client(&shared, client_id).await
}

/// Limits what a client may send: not supported.
#[utoipa::path(post, path = "/clients/{clientid}/ratelimit", tag = "clients", params(("clientid", description = "its id")),
    request_body = Policies,
    responses((status = OK, body = Done, description = "nothing asked for, or a fault: 102, 108, 112")))]
pub(crate) async fn set_ratelimit(
    State(shared): Admission,
    Path(client_id): Path<String>,
    Body(policies): Body<Policies>,
) -> Changed {
    set(&shared, client_id, &[&policies.conn_bytes_in, &policies.conn_messages_in]).await
}

/// Takes the limits back.
#[utoipa::path(delete, path = "/clients/{clientid}/ratelimit", tag = "clients", params(("clientid", description = "its id")),
    responses((status = OK, body = Done, description = "or a fault: 112, there is no such client")))]
pub(crate) async fn drop_ratelimit(State(shared): Admission, Path(client_id): Path<String>) -> Changed {
    check_client(&shared, client_id).await
}

/// Limits the messages of a client: not supported.
#[utoipa::path(post, path = "/clients/{clientid}/quota", tag = "clients", params(("clientid", description = "its id")),
    request_body = Policies,
    responses((status = OK, body = Done, description = "nothing asked for, or a fault: 102, 108, 112")))]
pub(crate) async fn set_quota(
    State(shared): Admission,
    Path(client_id): Path<String>,
    Body(policies): Body<Policies>,
) -> Changed {
    set(&shared, client_id, &[&policies.conn_messages_routing]).await
}

/// Takes the quota back.
#[utoipa::path(delete, path = "/clients/{clientid}/quota", tag = "clients", params(("clientid", description = "its id")),
    responses((status = OK, body = Done, description = "or a fault: 112, there is no such client")))]
pub(crate) async fn drop_quota(State(shared): Admission, Path(client_id): Path<String>) -> Changed {
    check_client(&shared, client_id).await
}
