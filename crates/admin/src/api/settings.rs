//! What the broker was told, and where.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::with_broker;
use crate::Admission;
use crate::reply::{Data, Refusal};

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

/// Every key of the configuration. To change one, change where it was said, and restart.
#[utoipa::path(get, path = "/settings", tag = "settings", responses((status = OK, body = Data<Vec<Setting>>)))]
pub(super) async fn list(State(shared): Admission) -> Result<Data<Vec<Setting>>, Refusal> {
    let settings = with_broker(&shared, |broker| broker.settings()).await?;
    Ok(Data::new(settings.into_iter().map(Setting::from).collect()))
}
