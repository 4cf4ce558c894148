//! What the broker was told, and where; and telling it anew.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Admission;
use crate::asking::with_broker;
use crate::reply::{Data, Explanation, Refusal};

/// A key of the configuration.
#[derive(Serialize, ToSchema)]
pub(super) struct Setting {
    /// Dotted, as for `--set`.
    #[schema(example = "listeners.mqtt.bind")]
    key: String,
    /// As TOML; null if it is not set or a secret.
    value: Option<String>,
    /// The file and line, the variable or the flag; null if it is the default.
    place: Option<String>,
    /// What it means.
    about: String,
}

impl From<mqtt_operate::Setting> for Setting {
    fn from(mqtt_operate::Setting { key, about, value, place }: mqtt_operate::Setting) -> Self {
        Self { key, value, place, about }
    }
}

/// What reading the configuration anew has brought.
#[derive(Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// What is another now, in words.
    changed: Vec<String>,
    /// Keys that say something else and wait for a restart.
    needs_restart: Vec<String>,
}

/// Every key of the configuration. To change one, change where it was said, and reload or restart.
#[utoipa::path(get, path = "/settings", tag = "settings", responses((status = OK, body = Data<Vec<Setting>>)))]
pub(super) async fn list(State(shared): Admission) -> Result<Data<Vec<Setting>>, Refusal> {
    let settings = with_broker(&shared, |broker| broker.settings()).await?;
    Ok(Data::new(settings.into_iter().map(Setting::from).collect()))
}

/// Reads the configuration's files anew, as SIGHUP does; flags and environment are as they were. Listeners and their certificates,
/// `auth.anonymous` and `log.level` change at once; clients that are connected stay.
#[utoipa::path(post, path = "/reload", tag = "settings",
    responses((status = OK, body = Data<Reloaded>),
        (status = CONFLICT, body = Explanation, description = "something is wrong with it, and nothing has changed")))]
pub(super) async fn reload(State(shared): Admission) -> Result<Data<Reloaded>, Refusal> {
    match with_broker(&shared, |broker| broker.reload()).await? {
        Ok(mqtt_operate::Reloaded { changed, waiting }) => Ok(Data::new(Reloaded { changed, needs_restart: waiting })),
        Err(why) => Err(Refusal::Status(StatusCode::CONFLICT, why)),
    }
}
