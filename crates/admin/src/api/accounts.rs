//! Who may ask: the password of `admin`, keys for scripts.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::{ADMIN, AddKeyError, KeyInfo, OperatorError};
use crate::extract::{Body, Path, Strict};
use crate::guard::{self, Caller};
use crate::reply::{DONE, Data, Done, Explanation, Fault, Refusal};
use crate::role::Role;
use crate::time::now_ms;
use crate::{Admission, Shared};

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// 1 to 64 letters, digits, `-`, `_` and `.`
    #[schema(example = "backup")]
    name: String,
    /// What it allows; `viewer` if not said.
    #[serde(default = "viewer")]
    #[schema(default = "viewer")]
    role: Role,
}

const fn viewer() -> Role {
    Role::Viewer
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeKey {
    /// The user name of HTTP Basic.
    name: String,
    /// What it allows.
    role: Role,
    /// The password of HTTP Basic. It is shown this once.
    secret: String,
}

/// A password to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    /// 8 to 1024 characters.
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
}

/// Who asks.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// An operator's, `local`, or the name of a key.
    #[schema(example = "admin")]
    name: String,
    /// What they may do.
    role: Role,
    /// Logged in on the dashboard, as opposed to HTTP Basic.
    login: bool,
}

/// A user name and its password.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Credentials {
    /// An operator's, or the name of a key.
    #[schema(example = "admin")]
    username: String,
    /// Its password, or the secret of the key.
    password: String,
}

/// All keys, without their secrets.
#[utoipa::path(get, path = "/admin/keys", tag = "admin", responses((status = OK, body = Data<Vec<KeyInfo>>)))]
pub(super) async fn keys(State(shared): Admission) -> Data<Vec<KeyInfo>> {
    Data::new(shared.accounts.keys())
}

/// Makes a key for scripts, and shows its secret this once.
#[utoipa::path(post, path = "/admin/keys", tag = "admin", request_body = NewKey, responses(
    (status = OK, body = Data<MadeKey>), (status = BAD_REQUEST, body = Explanation, description = "no such name can be"),
    (status = CONFLICT, body = Explanation, description = "there is one of this name")))]
pub(super) async fn add_key(
    State(shared): Admission,
    Strict(Body(NewKey { name, role })): Strict<Body<NewKey>>,
) -> Result<Data<MadeKey>, Refusal> {
    let added = change(&shared, move |shared| (shared.accounts.add_key(&name, role, now_ms()), name)).await?;
    match added {
        (Ok(secret), name) => {
            tracing::info!(name, ?role, "admin: a key was added");
            Ok(Data::new(MadeKey { name, role, secret }))
        }
        (Err(error @ AddKeyError::Exists(_)), _) => Err(Refusal::Status(StatusCode::CONFLICT, error.to_string())),
        (Err(error @ AddKeyError::Name(_)), _) => Err(bad_request(error.to_string())),
        (Err(AddKeyError::Keep(error)), _) => Err(not_kept(&error)),
    }
}

/// Takes a key back, and ends the logins made with it.
#[utoipa::path(delete, path = "/admin/keys/{name}", tag = "admin", params(("name", description = "its name")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation, description = "there is none")))]
pub(super) async fn remove_key(State(shared): Admission, Path(name): Path<String>) -> Result<Done, Refusal> {
    let (removed, name) = change(&shared, move |shared| (shared.accounts.remove_key(&name), name)).await?;
    if !removed.map_err(|error| not_kept(&error))? {
        return Err(Refusal::not_found(format!("there is no key {name:?}")));
    }
    shared.logins.end_all(&name);
    shared.streams.renew();
    tracing::info!(name, "admin: a key was removed");
    Ok(DONE)
}

/// Changes the password of `admin` without the old one, adds them if they were removed, and ends their logins on the dashboard.
#[utoipa::path(put, path = "/admin/password", tag = "admin", request_body = NewPassword, responses(
    (status = OK, body = Done), (status = BAD_REQUEST, body = Explanation, description = "too short"),
    (status = CONFLICT, body = Explanation, description = "the configuration sets it")))]
pub(super) async fn set_password(
    State(shared): Admission,
    Strict(Body(NewPassword { password })): Strict<Body<NewPassword>>,
) -> Result<Done, Refusal> {
    let set = change(&shared, move |shared| shared.accounts.set_password(&password, now_ms())).await?;
    set.map_err(|error| match error {
        OperatorError::Keep(error) => not_kept(&error),
        OperatorError::Configured => Refusal::Status(StatusCode::CONFLICT, error.to_string()),
        error => bad_request(error.to_string()),
    })?;
    shared.logins.end_all(ADMIN);
    shared.streams.renew();
    tracing::info!("admin: the password of admin was changed");
    Ok(DONE)
}

/// Who is it that asks?
#[utoipa::path(get, path = "/admin/whoami", tag = "admin", responses((status = OK, body = Data<Me>)))]
pub(super) async fn who_am_i(Extension(caller): Extension<Caller>) -> Data<Me> {
    Data::new(Me { name: caller.name, role: caller.role, login: caller.login.is_some() })
}

/// Says whether a user name and a password are right, as the dashboard of EMQ X asks it.
#[utoipa::path(post, path = "/auth", tag = "admin", request_body = Credentials, security(()), responses(
    (status = OK, body = Done, description = "or a fault: 103, they are wrong; 104, one is empty"),
    (status = BAD_REQUEST, body = Fault, description = "109: it is no JSON"),
    (status = TOO_MANY_REQUESTS, body = Explanation, description = "too many wrong ones")))]
pub(super) async fn log_in(
    State(shared): Admission,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Body(Credentials { username, password }): Body<Credentials>,
) -> Result<Done, Refusal> {
    if username.is_empty() || password.is_empty() {
        return Err(Refusal::fault(104, "username or password is empty"));
    }
    match guard::enter(&shared, peer, &headers, &username, &password).await {
        Ok(_) => Ok(DONE),
        Err(Refusal::Status(StatusCode::UNAUTHORIZED, _)) => Err(Refusal::fault(103, "username or password error")),
        Err(refusal) => Err(refusal),
    }
}

/// Hashes, and writes to the store.
pub(super) async fn change<T: Send + 'static>(
    shared: &Arc<Shared>,
    change: impl FnOnce(&Shared) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let shared = Arc::clone(shared);
    let changed = tokio::task::spawn_blocking(move || change(&shared)).await;
    changed.map_err(|error| {
        tracing::error!(%error, "admin: a change failed");
        Refusal::internal()
    })
}

fn not_kept(error: &std::io::Error) -> Refusal {
    tracing::error!(%error, "admin: a change can't be kept");
    Refusal::internal()
}

const fn bad_request(why: String) -> Refusal {
    Refusal::Status(StatusCode::BAD_REQUEST, why)
}
