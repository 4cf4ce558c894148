//! EMQ X's applications, which are keys here: what scripts make them with works, as far as keys can do it.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::change;
use crate::accounts::{AddKeyError, KeyInfo};
use crate::extract::{Body, Path};
use crate::reply::{DONE, Data, Done, Refusal};
use crate::role::Role;
use crate::time::now_ms;
use crate::{Admission, Shared};

/// One of EMQ X's applications.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    /// The key's name.
    app_id: String,
    name: String,
    /// Its role.
    desc: &'static str,
    /// Always true.
    status: bool,
    /// Always `undefined`.
    expired: &'static str,
}

impl From<KeyInfo> for App {
    fn from(key: KeyInfo) -> Self {
        let KeyInfo { name, role, .. } = key;
        Self { app_id: name.clone(), name, desc: role.name(), status: true, expired: "undefined" }
    }
}

/// An application to be; nothing else is kept of it.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewApp {
    /// 1 to 64 letters, digits, `-`, `_` and `.`
    #[serde(default)]
    app_id: String,
    /// A key makes its own.
    secret: Option<String>,
    /// What it may do, as one of `admin`, `operator`, `viewer`; other texts are not kept, and it may do everything, as in EMQ X.
    desc: Option<String>,
    /// A key that does not hold is none.
    status: Option<bool>,
}

/// What is to be another.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangedApp {
    /// What it may do, as one of `admin`, `operator`, `viewer`.
    desc: Option<String>,
    /// A key that does not hold is none.
    status: Option<bool>,
}

/// An application that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeApp {
    /// The password of HTTP Basic. It is shown this once.
    secret: String,
}

/// EMQ X's applications: keys, without their secrets.
#[utoipa::path(get, path = "/apps", tag = "apps", responses((status = OK, body = Data<Vec<App>>)))]
pub(super) async fn list(State(shared): Admission) -> Data<Vec<App>> {
    Data::new(shared.accounts.keys().into_iter().map(App::from).collect())
}

/// One of them.
#[utoipa::path(get, path = "/apps/{app_id}", tag = "apps", params(("app_id", description = "the key's name")),
    responses((status = OK, body = Data<App>, description = "or a fault: 107")))]
pub(super) async fn one(State(shared): Admission, Path(name): Path<String>) -> Result<Data<App>, Refusal> {
    let found = shared.accounts.keys().into_iter().find(|key| key.name == name);
    found.map(|key| Data::new(key.into())).ok_or_else(|| unknown(&name))
}

/// Makes a key, and shows its secret this once.
#[utoipa::path(post, path = "/apps", tag = "apps", request_body = NewApp,
    responses((status = OK, body = Data<MadeApp>, description = "or a fault: 101, 102, 104, 108")))]
pub(super) async fn add(State(shared): Admission, Body(new): Body<NewApp>) -> Result<Data<MadeApp>, Refusal> {
    let NewApp { app_id, secret, desc, status } = new;
    if app_id.is_empty() {
        return Err(Refusal::fault(104, "app_id is empty"));
    }
    if secret.is_some_and(|secret| !secret.is_empty()) {
        return Err(Refusal::bad_param("secret: a key makes its own, which can't be guessed; leave it out"));
    }
    check(status)?;
    let role = desc.as_deref().and_then(role_of).unwrap_or(Role::Admin);
    let added = change(&shared, move |shared| (shared.accounts.add_key(&app_id, role, now_ms()), app_id)).await?;
    match added {
        (Ok(secret), name) => {
            tracing::info!(name, ?role, "admin: a key was added");
            Ok(Data::new(MadeApp { secret }))
        }
        (Err(error @ AddKeyError::Exists(_)), _) => Err(Refusal::fault(102, error.to_string())),
        (Err(error @ AddKeyError::Name(_)), _) => Err(Refusal::bad_param(error.to_string())),
        (Err(AddKeyError::Keep(error)), _) => Err(not_kept(&error)),
    }
}

/// Changes what a key may do.
#[utoipa::path(put, path = "/apps/{app_id}", tag = "apps", params(("app_id", description = "the key's name")),
    request_body = ChangedApp, responses((status = OK, body = Done, description = "or a fault: 101, 107, 108")))]
pub(super) async fn update(
    State(shared): Admission,
    Path(name): Path<String>,
    Body(ChangedApp { desc, status }): Body<ChangedApp>,
) -> Result<Done, Refusal> {
    check(status)?;
    let Some(role) = desc.as_deref().and_then(role_of) else {
        return if shared.accounts.keys().iter().any(|key| key.name == name) { Ok(DONE) } else { Err(unknown(&name)) };
    };
    let (changed, name) = change(&shared, move |shared| (shared.accounts.change_key(&name, role), name)).await?;
    if !changed.map_err(|error| not_kept(&error))? {
        return Err(unknown(&name));
    }
    end_logins(&shared, &name);
    tracing::info!(name, ?role, "admin: a key was changed");
    Ok(DONE)
}

/// Takes a key back, and ends the logins made with it.
#[utoipa::path(delete, path = "/apps/{app_id}", tag = "apps", params(("app_id", description = "the key's name")),
    responses((status = OK, body = Done, description = "or a fault: 101, 107")))]
pub(super) async fn remove(State(shared): Admission, Path(name): Path<String>) -> Result<Done, Refusal> {
    let (removed, name) = change(&shared, move |shared| (shared.accounts.remove_key(&name), name)).await?;
    if !removed.map_err(|error| not_kept(&error))? {
        return Err(unknown(&name));
    }
    end_logins(&shared, &name);
    tracing::info!(name, "admin: a key was removed");
    Ok(DONE)
}

fn end_logins(shared: &Shared, name: &str) {
    shared.logins.end_all(name);
    shared.streams.renew();
}

fn role_of(text: &str) -> Option<Role> {
    [Role::Viewer, Role::Operator, Role::Admin].into_iter().find(|role| role.name() == text)
}

fn check(status: Option<bool>) -> Result<(), Refusal> {
    if status == Some(false) {
        return Err(Refusal::bad_param("status: a key holds until it is taken back by DELETE"));
    }
    Ok(())
}

fn unknown(name: &str) -> Refusal {
    Refusal::fault(107, format!("there is no key {name:?}"))
}

fn not_kept(error: &std::io::Error) -> Refusal {
    tracing::error!(%error, "admin: a change can't be kept");
    Refusal::internal()
}
