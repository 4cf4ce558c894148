//! What events look like.

use mqtt_hooks::route::{Answer, Handle, Refusal, Request};
use serde_json::{Map, Value};

use crate::presence::profiles::{Profile, schema};

/// `/presence/schema`
pub(super) struct Schemas;

#[async_trait::async_trait]
impl Handle for Schemas {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let wanted = request.choice("profile", Profile::NAMES)?;
        let profiles = Profile::ALL.into_iter().filter(|profile| wanted.is_none_or(|name| profile.name() == name));
        let schemas = profiles.map(|profile| (profile.name().to_owned(), schema::of(profile))).collect::<Map<_, _>>();
        Answer::data(&Value::Object(schemas))
    }
}

/// `/presence/schema/asyncapi`
pub(super) struct AsyncApi;

#[async_trait::async_trait]
impl Handle for AsyncApi {
    async fn handle(&self, _: Request) -> Result<Answer, Refusal> {
        Answer::data(&schema::async_api())
    }
}
