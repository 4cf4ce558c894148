//! The catalogue of modules: what can be added, what can be set, and how each is.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use mqtt_hooks::run::{ChangeError, Status};
use mqtt_hooks::{Came, Group, ListOf, Reading, SettingKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::enterprise::{self, CatalogueEntry, Edition, Instance};
use crate::extract::{Body, Path, Strict};
use crate::reply::{DONE, Data, Done, Explanation, Refusal};
use crate::{Admission, Shared};

/// What a module is.
#[derive(Serialize, ToSchema)]
struct Type {
    /// Its name.
    r#type: &'static str,
    /// Of the catalogue.
    #[schema(example = "module")]
    group: &'static str,
    /// For people.
    title: &'static str,
    /// One sentence.
    description: &'static str,
    /// What can be set; nothing has to be.
    settings: Vec<ModuleSetting>,
}

/// Something that can be set.
#[derive(Serialize, ToSchema)]
#[expect(clippy::use_self, reason = "the description of the API is by the name that stands here")]
pub(super) struct ModuleSetting {
    /// Its key.
    pub(super) name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    /// What it changes.
    pub(super) description: &'static str,
    /// `switch`, `number`, `choice` or `text`; `texts`, `choices` or `tables` for lists of these.
    pub(super) kind: &'static str,
    /// Of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min: Option<u64>,
    /// Of a number; of a list, how many entries it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<u64>,
    /// Of a choice or several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) choices: Option<&'static [&'static str]>,
    /// Of tables: the keys that each may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub(super) fields: Option<Vec<ModuleSetting>>,
    /// What it is unless set.
    pub(super) default: Value,
}

impl From<mqtt_hooks::Setting> for ModuleSetting {
    fn from(setting: mqtt_hooks::Setting) -> Self {
        let (mut min, mut max, mut choices, mut fields) = (None, None, None, None);
        let kind = match setting.kind {
            SettingKind::Switch => "switch",
            SettingKind::Number { min: low, max: high } => {
                (min, max) = (Some(low), Some(high));
                "number"
            }
            SettingKind::Choice(of) => {
                choices = Some(of);
                "choice"
            }
            SettingKind::Text | SettingKind::Secret => "text",
            SettingKind::List { of, max: count } => {
                max = Some(count);
                match of {
                    ListOf::Texts => "texts",
                    ListOf::Choices(of) => {
                        choices = Some(of);
                        "choices"
                    }
                    ListOf::Tables(of) => {
                        fields = Some(of.iter().map(|field| (*field).into()).collect());
                        "tables"
                    }
                }
            }
        };
        Self {
            name: setting.name,
            title: setting.title,
            description: setting.description,
            kind,
            min,
            max,
            choices,
            fields,
            default: serde_json::from_str(setting.default).unwrap_or_default(),
        }
    }
}

impl From<&Status> for Type {
    fn from(Status { info, listing, .. }: &Status) -> Self {
        Self {
            r#type: info.name,
            group: listing.group.emqx_name(),
            title: info.title,
            description: info.description,
            settings: info.settings.iter().map(|setting| (*setting).into()).collect(),
        }
    }
}

/// A module and how it is.
#[derive(Serialize, ToSchema)]
pub(super) struct Module {
    /// Its name.
    id: &'static str,
    /// What it is.
    #[serde(flatten)]
    what: Type,
    /// It is among those the operator has.
    added: bool,
    /// It runs.
    enabled: bool,
    /// It can be tested.
    testable: bool,
    /// What goes wrong for whom while it does not run.
    stop_warning: &'static str,
    /// Since when: milliseconds since the Unix epoch.
    started_at: Option<u64>,
    /// Why its last start failed.
    error: Option<String>,
    /// How often its hooks have panicked since its start.
    panics: u64,
    /// What it has counted since its start or the broker's, and how many there are of what it keeps.
    counters: BTreeMap<String, u64>,
    /// Its settings as they are.
    config: Value,
}

fn module(shared: &Shared, status: Status) -> Module {
    Module {
        id: status.info.name,
        what: (&status).into(),
        added: status.added,
        enabled: status.running,
        testable: status.testable,
        stop_warning: status.stop_warning,
        started_at: status.started_at,
        error: status.error,
        panics: status.panics,
        counters: counters(shared, status.info.name),
        config: shared.modules.settings(status.info.name).unwrap_or_default(),
    }
}

fn counters(shared: &Shared, name: &str) -> BTreeMap<String, u64> {
    let of_it = shared.modules.numbers().into_iter().find(|numbers| numbers.module == name);
    let numbers = of_it.into_iter().flat_map(|of_it| of_it.numbers);
    let counted = numbers.filter_map(|number| match number.value {
        Reading::Counter(count) => Some((number.key(), count)),
        Reading::Gauge(value) => Some((number.key(), value as u64)),
        Reading::Histogram(_) => None,
    });
    counted.collect()
}

fn refused(error: ChangeError) -> Refusal {
    let status = match error {
        ChangeError::NotFound(_) => StatusCode::NOT_FOUND,
        ChangeError::Settings { .. } => StatusCode::BAD_REQUEST,
        ChangeError::Start { .. } | ChangeError::Keep { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    Refusal::Status(status, error.to_string())
}

/// All modules that can be added, with what can be set, by the groups of EMQ X's catalogue.
#[utoipa::path(get, path = "/module_types", tag = "modules",
    responses((status = OK, body = Data<BTreeMap<String, Vec<CatalogueEntry>>>)))]
pub(super) async fn types(State(shared): Admission) -> Data<BTreeMap<&'static str, Vec<CatalogueEntry>>> {
    // That dashboard looks into each group.
    let mut groups: BTreeMap<_, Vec<_>> = Group::ALL.map(|group| (group.emqx_name(), Vec::new())).into();
    for status in shared.modules.list() {
        groups.entry(status.listing.group.emqx_name()).or_default().push(status.into());
    }
    Data::new(groups)
}

/// A module that can be added, with what can be set.
#[utoipa::path(get, path = "/module_types/{type}", tag = "modules", params(("type", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Data<CatalogueEntry>), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn one_type(
    State(shared): Admission,
    Path(name): Path<String>,
) -> Result<Data<CatalogueEntry>, Refusal> {
    Ok(Data::new(shared.modules.status(&name).map_err(refused)?.into()))
}

/// A module, in the words of who asks.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Shown {
    /// With all there is to say.
    Here(Box<Module>),
    /// As the enterprise edition of EMQ X shows it.
    Enterprise(Instance),
}

fn shown(shared: &Shared, edition: Edition, name: &str) -> Result<Data<Shown>, Refusal> {
    let status = shared.modules.status(name).map_err(refused)?;
    Ok(Data::new(match edition {
        Edition::OpenSource => Shown::Here(Box::new(module(shared, status))),
        Edition::Enterprise => Shown::Enterprise(Instance::new(shared, &status)),
    }))
}

/// A module and how it is.
#[utoipa::path(get, path = "/modules/{module}", tag = "modules",
    params(("module", description = "its name, or EMQ X's name of it"),
        ("edition" = Option<String>, Query, description = "`enterprise`: as that edition of EMQ X shows it")),
    responses((status = OK, body = Data<Shown>), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn one(
    State(shared): Admission,
    edition: Edition,
    Path(name): Path<String>,
) -> Result<Data<Shown>, Refusal> {
    shown(&shared, edition, &name)
}

/// A module to be added.
#[derive(Deserialize, ToSchema)]
pub(super) struct New {
    /// Which.
    #[schema(example = "greeter")]
    r#type: String,
    /// Settings of it; the others are as they are unless set.
    #[schema(value_type = Option<Object>)]
    config: Option<serde_json::Map<String, Value>>,
}

/// Adds a module and starts it.
#[utoipa::path(post, path = "/modules", tag = "modules", request_body = New,
    params(("edition" = Option<String>, Query, description = "`enterprise`: answered as that edition of EMQ X does")),
    responses((status = OK, body = Data<Shown>), (status = BAD_REQUEST, body = Explanation), (status = NOT_FOUND, body = Explanation),
        (status = CONFLICT, body = Explanation, description = "it is added already"),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "it did not start")))]
pub(super) async fn create(
    State(shared): Admission,
    edition: Edition,
    Strict(Body(new)): Strict<Body<New>>,
) -> Result<Data<Shown>, Refusal> {
    let (modules, name) = (&shared.modules, &*new.r#type);
    let status = modules.status(name).map_err(refused)?;
    // One that is added keeps its settings: that is refused below.
    if let Some(config) = new.config.filter(|_| !status.added) {
        modules.configure(name, enterprise::changed(&shared, status.info.name, config)).await.map_err(refused)?;
    }
    modules.add(name).await.map_err(refused)?;
    shown(&shared, edition, name)
}

/// Adds a module and starts it.
#[utoipa::path(post, path = "/modules/{module}/add", tag = "modules",
    params(("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation),
        (status = CONFLICT, body = Explanation, description = "it is added already"),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "it did not start")))]
pub(super) async fn add(State(shared): Admission, Path(name): Path<String>) -> Result<Done, Refusal> {
    shared.modules.add(&name).await.map(|()| DONE).map_err(refused)
}

/// Stops a module, forgets its settings and takes it off the list.
#[utoipa::path(post, path = "/modules/{module}/remove", tag = "modules",
    params(("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation),
        (status = CONFLICT, body = Explanation, description = "it is not added"),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "it can't be kept")))]
pub(super) async fn remove(State(shared): Admission, Path(name): Path<String>) -> Result<Done, Refusal> {
    shared.modules.remove(&name).await.map(|()| DONE).map_err(refused)
}

/// Stops a module, forgets its settings and takes it off the list.
#[utoipa::path(delete, path = "/modules/{module}", tag = "modules",
    params(("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation),
        (status = CONFLICT, body = Explanation, description = "it is not added"),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "it can't be kept")))]
pub(super) async fn delete(State(shared): Admission, Path(name): Path<String>) -> Result<Done, Refusal> {
    shared.modules.remove(&name).await.map(|()| DONE).map_err(refused)
}

/// What is to change about a module.
#[derive(Deserialize, ToSchema)]
pub(super) struct Change {
    /// Start or stop it; what is so already is no error.
    enabled: Option<bool>,
    /// All its settings; those that are left out are as they are unless set.
    #[schema(value_type = Option<Object>)]
    config: Option<serde_json::Map<String, Value>>,
}

/// Starts or stops a module, or changes its settings.
#[utoipa::path(put, path = "/modules/{module}", tag = "modules", request_body = Change,
    params(("module", description = "its name, or EMQ X's name of it"),
        ("edition" = Option<String>, Query, description = "`enterprise`: settings that are left out stay, and it is answered as that edition of EMQ X does")),
    responses((status = OK, body = Data<Shown>), (status = BAD_REQUEST, body = Explanation), (status = NOT_FOUND, body = Explanation),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "it did not start")))]
pub(super) async fn change(
    State(shared): Admission,
    edition: Edition,
    Path(name): Path<String>,
    Strict(Body(change)): Strict<Body<Change>>,
) -> Result<Data<Shown>, Refusal> {
    let modules = &shared.modules;
    let status = modules.status(&name).map_err(refused)?;
    if let Some(config) = change.config {
        let config = match edition {
            Edition::OpenSource => Value::Object(config),
            Edition::Enterprise => enterprise::changed(&shared, status.info.name, config),
        };
        modules.configure(&name, config).await.map_err(refused)?;
    }
    let changed = match change.enabled {
        Some(true) => modules.start(&name).await,
        Some(false) => modules.stop(&name).await,
        None => Ok(()),
    };
    match changed {
        Ok(()) | Err(ChangeError::AlreadyStarted(_) | ChangeError::NotStarted(_)) => {}
        Err(error) => return Err(refused(error)),
    }
    shown(&shared, edition, &name)
}

/// Adds a module or starts it, as the dashboard of EMQ X does for one whose page it shows.
#[utoipa::path(post, path = "/maybe_start_modules", tag = "modules", request_body = New,
    responses((status = OK, body = Done, description = "it runs"), (status = NOT_FOUND, body = Explanation),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "it did not start")))]
pub(super) async fn maybe_start(
    State(shared): Admission,
    Strict(Body(new)): Strict<Body<New>>,
) -> Result<Done, Refusal> {
    match shared.modules.start(&new.r#type).await {
        Ok(()) | Err(ChangeError::AlreadyStarted(_)) => Ok(DONE),
        Err(error) => Err(refused(error)),
    }
}

/// The settings of a module.
#[utoipa::path(get, path = "/modules/{module}/config", tag = "modules",
    params(("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Data<Object>), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn settings(State(shared): Admission, Path(name): Path<String>) -> Result<Data<Value>, Refusal> {
    shared.modules.settings(&name).map(Data::new).map_err(refused)
}

/// Replaces the settings of a module; a running one is restarted with them.
#[utoipa::path(put, path = "/modules/{module}/config", tag = "modules", request_body(content = Object),
    params(("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Done), (status = BAD_REQUEST, body = Explanation), (status = NOT_FOUND, body = Explanation),
        (status = SERVICE_UNAVAILABLE, body = Explanation, description = "it did not start with them; the old ones hold")))]
pub(super) async fn configure(
    State(shared): Admission,
    Path(name): Path<String>,
    Strict(Body(settings)): Strict<Body<serde_json::Map<String, Value>>>,
) -> Result<Done, Refusal> {
    shared.modules.configure(&name, Value::Object(settings)).await.map(|()| DONE).map_err(refused)
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
pub(super) struct Tested {
    /// All was as it should be.
    ok: bool,
    /// What went wrong.
    error: Option<String>,
    /// The messages it brought, as they came.
    events: Vec<TestEvent>,
}

/// A message of the test.
#[derive(Serialize, ToSchema)]
struct TestEvent {
    /// Where it was published.
    topic: String,
    /// What it says.
    #[schema(value_type = Object)]
    payload: Value,
    /// From what led to it to its coming, in milliseconds.
    ms: f64,
}

impl From<Came> for TestEvent {
    fn from(came: Came) -> Self {
        let payload = serde_json::from_slice(&came.message.payload).unwrap_or(Value::Null);
        Self { topic: came.message.topic.to_string(), payload, ms: came.after.as_secs_f64() * 1000.0 }
    }
}

/// Lets a module test itself with clients of the broker's own, and says which messages that brought.
#[utoipa::path(post, path = "/modules/{module}/test", tag = "modules",
    params(("module", description = "its name, or EMQ X's name of it")),
    responses((status = OK, body = Data<Tested>), (status = NOT_FOUND, body = Explanation, description = "no such module, or there is no test of it")))]
pub(super) async fn test(State(shared): Admission, Path(name): Path<String>) -> Result<Data<Tested>, Refusal> {
    let report = match shared.modules.test(&name).await {
        Ok(Some(report)) => report,
        Ok(None) => return Err(Refusal::not_found(format!("there is no test of {name}"))),
        Err(ChangeError::NotStarted(_)) => {
            let error = Some("the module does not run, so there are no events".to_owned());
            return Ok(Data::new(Tested { ok: false, error, events: Vec::new() }));
        }
        Err(error) => return Err(refused(error)),
    };
    let events = report.messages.into_iter().map(TestEvent::from).collect();
    Ok(Data::new(Tested { ok: report.error.is_none(), error: report.error, events }))
}
