//! Operators: EMQ X calls them the users of its dashboard.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::accounts::change;
use crate::accounts::{OperatorChange, OperatorError, OperatorInfo};
use crate::extract::{Body, Path};
use crate::guard::{self, Caller};
use crate::reply::{DONE, Data, Done, Refusal};
use crate::role::Role;
use crate::time::now_ms;
use crate::{Admission, Shared};

/// An operator to be.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewOperator {
    /// 1 to 64 letters, digits, `-`, `_` and `.`
    #[schema(example = "jo")]
    #[serde(default)]
    username: String,
    /// 8 to 1024 characters.
    #[serde(default)]
    password: String,
    /// What is said of them.
    #[serde(default)]
    tags: String,
    /// What they may do; `viewer` if not said.
    #[serde(default = "viewer")]
    #[schema(default = "viewer")]
    role: Role,
}

const fn viewer() -> Role {
    Role::Viewer
}

/// What is to be another; what is not said stays.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangedOperator {
    /// What is said of them.
    tags: Option<String>,
    /// What they may do.
    role: Option<Role>,
    /// Their password, without the old one: for who has forgotten it.
    password: Option<String>,
}

/// The old password and the new one.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct NewPassword {
    /// The present one.
    old_pwd: String,
    /// 8 to 1024 characters.
    new_pwd: String,
}

/// Who may log in on the dashboard, `admin` first.
#[utoipa::path(get, path = "/users", tag = "admin", responses((status = OK, body = Data<Vec<OperatorInfo>>)))]
pub(super) async fn list(State(shared): Admission) -> Data<Vec<OperatorInfo>> {
    Data::new(shared.accounts.operators())
}

/// Adds somebody who may log in on the dashboard.
#[utoipa::path(post, path = "/users", tag = "admin", request_body = NewOperator,
    responses((status = OK, body = Done, description = "or a fault: 102, 104, 108, 113")))]
pub(super) async fn add(State(shared): Admission, Body(new): Body<NewOperator>) -> Result<Done, Refusal> {
    let NewOperator { username, password, tags, role } = new;
    if username.is_empty() || password.is_empty() {
        return Err(Refusal::fault(104, "username or password is empty"));
    }
    let added = change(&shared, move |shared| {
        (shared.accounts.add_operator(&username, &password, role, tags, now_ms()), username)
    });
    let (added, username) = added.await?;
    added.map_err(|error| refusal(&error))?;
    tracing::info!(username, role = role.name(), "admin: an operator was added");
    Ok(DONE)
}

/// Changes what somebody may do, what is said of them, or a password that was forgotten. It ends their logins.
#[utoipa::path(put, path = "/users/{name}", tag = "admin", params(("name", description = "who")), request_body = ChangedOperator,
    responses((status = OK, body = Done, description = "or a fault: 102, 105, 106, 108")))]
pub(super) async fn update(
    State(shared): Admission,
    Path(name): Path<String>,
    Body(ChangedOperator { tags, role, password }): Body<ChangedOperator>,
) -> Result<Done, Refusal> {
    let (has_role, has_password) = (role.is_some(), password.is_some());
    let wanted = OperatorChange { role, tags, password };
    let changed = change(&shared, move |shared| (shared.accounts.change_operator(&name, wanted), name));
    let (changed, name) = changed.await?;
    changed.map_err(|error| refusal(&error))?;
    if has_role || has_password {
        end_logins(&shared, &name);
    }
    tracing::info!(username = name, has_role, has_password, "admin: an operator was changed");
    Ok(DONE)
}

/// Takes somebody out, and ends their logins. The last one with the role `admin` stays.
#[utoipa::path(delete, path = "/users/{name}", tag = "admin", params(("name", description = "who")),
    responses((status = OK, body = Done, description = "or a fault: 102, 105, 106")))]
pub(super) async fn remove(State(shared): Admission, Path(name): Path<String>) -> Result<Done, Refusal> {
    let removed = change(&shared, move |shared| (shared.accounts.remove_operator(&name), name)).await?;
    let (removed, name) = removed;
    removed.map_err(|error| refusal(&error))?;
    end_logins(&shared, &name);
    tracing::info!(username = name, "admin: an operator was removed");
    Ok(DONE)
}

/// Changes one's own password, or with the role `admin` that of somebody whose password one knows. It ends their logins.
#[utoipa::path(put, path = "/change_pwd/{name}", tag = "admin", params(("name", description = "whose")), request_body = NewPassword,
    responses((status = OK, body = Done, description = "or a fault: 102, 105, 108, 114")))]
pub(super) async fn change_password(
    State(shared): Admission,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(NewPassword { old_pwd, new_pwd }): Body<NewPassword>,
) -> Result<Done, Refusal> {
    if caller.name != name && caller.role < Role::Admin {
        let why = "the password of somebody else is an admin's to change";
        return Err(Refusal::Status(StatusCode::FORBIDDEN, why.to_owned()));
    }
    match guard::enter(&shared, peer, &headers, &name, &old_pwd).await {
        Ok(_) => {}
        Err(Refusal::Status(StatusCode::UNAUTHORIZED, _)) => return Err(Refusal::fault(114, "old password error")),
        Err(refusal) => return Err(refusal),
    }
    let wanted = OperatorChange { password: Some(new_pwd), ..OperatorChange::default() };
    let changed = change(&shared, move |shared| (shared.accounts.change_operator(&name, wanted), name));
    let (changed, name) = changed.await?;
    changed.map_err(|error| refusal(&error))?;
    end_logins(&shared, &name);
    tracing::info!(username = name, "admin: a password was changed");
    Ok(DONE)
}

/// Those of this one; who reads a stream shows who they are anew.
fn end_logins(shared: &Shared, name: &str) {
    shared.logins.end_all(name);
    shared.streams.renew();
}

/// With EMQ X's codes where it has any.
fn refusal(error: &OperatorError) -> Refusal {
    let why = error.to_string();
    match error {
        OperatorError::Exists(_) => Refusal::fault(113, why),
        OperatorError::Unknown(_) => Refusal::fault(105, why),
        OperatorError::LastAdmin(_) => Refusal::fault(106, why),
        OperatorError::Name(_) | OperatorError::Password | OperatorError::Tags => Refusal::bad_param(why),
        OperatorError::Configured | OperatorError::Full => Refusal::fault(102, why),
        OperatorError::Keep(error) => {
            tracing::error!(%error, "admin: a change can't be kept");
            Refusal::internal()
        }
    }
}
