//! Exports, as EMQ X's dashboard makes and takes them: modules with their settings, and bans.
//!
//! Operators, keys, users and rules are not among them, for their secrets are not to leave the broker.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use mqtt_hooks::run::ChangeError;
use mqtt_operate::Ban;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::accounts::change;
use crate::extract::{Body, Path};
use crate::reply::{DONE, Data, Done, Explanation, Refusal};
use crate::time::{local_time, now_ms};
use crate::{Admission, Shared};

/// The name of the record they are kept in.
const RECORD: &str = "exports";

/// Files that are kept; another takes the place of the oldest.
const MOST: usize = 8;

/// Bytes of one.
const MAX_BYTES: usize = 256 << 10;

/// As kept.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    filename: String,
    created_at: u64,
    file: String,
}

/// A file with an export.
#[derive(Serialize, ToSchema)]
pub(super) struct ExportFile {
    #[schema(example = "rollcall@127.0.0.1")]
    node: String,
    #[schema(example = "rollcall-export-2026-01-31-23-59-59.json")]
    filename: String,
    /// Bytes.
    size: usize,
    /// Local time.
    created_at: String,
}

/// What is in a file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Export {
    version: String,
    date: String,
    modules: Vec<ExportedModule>,
    blacklist: Vec<Ban>,
}

#[derive(Serialize, Deserialize)]
struct ExportedModule {
    name: String,
    enable: bool,
    #[serde(default)]
    configs: Value,
}

fn kept(shared: &Shared) -> Vec<Kept> {
    // What can't be read is no export.
    let record = shared.broker.kept(RECORD);
    record.and_then(|record| serde_json::from_slice(&record).ok()).unwrap_or_default()
}

fn keep(shared: &Shared, files: &[Kept]) -> Result<(), Refusal> {
    let record = serde_json::to_vec(files).expect("texts and numbers are JSON");
    shared.broker.keep(RECORD, &record).map_err(|error| {
        tracing::error!(%error, "admin: an export can't be kept");
        Refusal::internal()
    })
}

fn about(shared: &Shared, file: &Kept) -> ExportFile {
    ExportFile {
        node: shared.broker.node_name().to_owned(),
        filename: file.filename.clone(),
        size: file.file.len(),
        created_at: local_time(file.created_at),
    }
}

async fn add(shared: &Arc<Shared>, file: Kept) -> Result<ExportFile, Refusal> {
    let added = change(shared, move |shared| {
        let _one_at_a_time = shared.exports.lock();
        let mut files = kept(shared);
        files.retain(|known| known.filename != file.filename);
        files.drain(..(files.len() + 1).saturating_sub(MOST));
        let added = about(shared, &file);
        files.push(file);
        keep(shared, &files).map(|()| added)
    });
    added.await?
}

fn find(shared: &Shared, filename: &str) -> Result<Kept, Refusal> {
    let found = kept(shared).into_iter().find(|file| file.filename == filename);
    found.ok_or_else(|| Refusal::not_found(format!("there is no file {filename:?}")))
}

/// The files with exports.
#[utoipa::path(get, path = "/data/export", tag = "data", responses((status = OK, body = Data<Vec<ExportFile>>)))]
pub(super) async fn list(State(shared): Admission) -> Data<Vec<ExportFile>> {
    Data::new(kept(&shared).iter().map(|file| about(&shared, file)).collect())
}

/// Writes modules with their settings, and bans, into a file. The last eight files are kept.
#[utoipa::path(post, path = "/data/export", tag = "data", responses((status = OK, body = Data<ExportFile>)))]
pub(super) async fn export(State(shared): Admission) -> Result<Data<ExportFile>, Refusal> {
    let now = now_ms();
    let modules = shared.modules.list().into_iter().map(|status| ExportedModule {
        name: status.info.name.to_owned(),
        enable: status.running,
        configs: shared.modules.settings(status.info.name).unwrap_or_default(),
    });
    let date = local_time(now);
    let export = Export {
        version: shared.broker.node().version.to_owned(),
        date: date.clone(),
        modules: modules.collect(),
        blacklist: shared.broker.bans(),
    };
    let file = serde_json::to_string(&export).expect("texts and numbers are JSON");
    if file.len() > MAX_BYTES {
        return Err(Refusal::fault(102, format!("an export may have {MAX_BYTES} bytes, this one has {}", file.len())));
    }
    let filename = format!("rollcall-export-{}.json", date.replace([' ', ':'], "-"));
    Ok(Data::new(add(&shared, Kept { filename, created_at: now, file }).await?))
}

/// A file as it goes to and fro.
#[derive(Serialize, Deserialize, ToSchema)]
pub(super) struct Transfer {
    /// Its name.
    filename: String,
    /// What is in it.
    file: String,
}

/// A file and what is in it, in two places: scripts look into `data`, EMQ X's dashboard beside it.
#[derive(Serialize, ToSchema)]
pub(super) struct Transferred {
    /// Always 0.
    code: u16,
    filename: String,
    file: String,
    data: Transfer,
}

/// What is in a file.
#[utoipa::path(get, path = "/data/file/{filename}", tag = "data", params(("filename", description = "its name")),
    responses((status = OK, body = Transferred), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn read(
    State(shared): Admission,
    Path(filename): Path<String>,
) -> Result<axum::Json<Transferred>, Refusal> {
    let Kept { filename, file, .. } = find(&shared, &filename)?;
    let data = Transfer { filename: filename.clone(), file: file.clone() };
    Ok(axum::Json(Transferred { code: 0, filename, file, data }))
}

/// Brings a file with an export.
#[utoipa::path(post, path = "/data/file", tag = "data", request_body = Transfer,
    responses((status = OK, body = Data<ExportFile>, description = "or a fault: 108, it is no export, or too large")))]
pub(super) async fn upload(
    State(shared): Admission,
    Body(Transfer { filename, file }): Body<Transfer>,
) -> Result<Data<ExportFile>, Refusal> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if !(1..=128).contains(&filename.len()) || !filename.bytes().all(is_name) {
        return Err(Refusal::bad_param("a name has 1 to 128 letters, digits, '-', '_', '.' and '@'"));
    }
    if file.len() > MAX_BYTES {
        return Err(Refusal::bad_param(format!("a file may have {MAX_BYTES} bytes")));
    }
    serde_json::from_str::<Export>(&file).map_err(|error| Refusal::bad_param(format!("this is no export: {error}")))?;
    Ok(Data::new(add(&shared, Kept { filename, created_at: now_ms(), file }).await?))
}

/// Deletes a file.
#[utoipa::path(delete, path = "/data/file/{filename}", tag = "data", params(("filename", description = "its name")),
    responses((status = OK, body = Done), (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn delete(State(shared): Admission, Path(filename): Path<String>) -> Result<Done, Refusal> {
    find(&shared, &filename)?;
    let deleted = change(&shared, move |shared| {
        let _one_at_a_time = shared.exports.lock();
        let mut files = kept(shared);
        files.retain(|file| file.filename != filename);
        keep(shared, &files)
    });
    deleted.await?.map(|()| DONE)
}

/// Which file.
#[derive(Deserialize, ToSchema)]
pub(super) struct Which {
    /// Its name.
    filename: String,
}

/// Makes modules what they were and bans whom the file has; what is not in it stays as it is.
#[utoipa::path(post, path = "/data/import", tag = "data", request_body = Which,
    responses((status = OK, body = Done, description = "or only a message that says what could not be made so"),
        (status = NOT_FOUND, body = Explanation)))]
pub(super) async fn import(State(shared): Admission, Body(Which { filename }): Body<Which>) -> Result<Done, Refusal> {
    let file = find(&shared, &filename)?.file;
    let export: Export = serde_json::from_str(&file)
        .map_err(|error| Refusal::Status(StatusCode::BAD_REQUEST, format!("this is no export: {error}")))?;
    let mut failed = Vec::new();
    for module in &export.modules {
        if let Err(error) = restore(&shared, module).await {
            failed.push(error.to_string());
        }
    }
    let now = now_ms() / 1000;
    let bans = export.blacklist.into_iter().filter(move |ban| ban.until > now);
    let banned = change(&shared, move |shared| bans.map(|ban| shared.broker.ban(ban)).find_map(Result::err)).await?;
    failed.extend(banned.map(|error| error.to_string()));
    tracing::info!(filename, failed = failed.len(), "admin: an export was taken back");
    if failed.is_empty() { Ok(DONE) } else { Err(Refusal::Message(failed.join("; "))) }
}

async fn restore(shared: &Shared, module: &ExportedModule) -> Result<(), ChangeError> {
    let (modules, name) = (&shared.modules, &*module.name);
    if modules.settings(name)? != module.configs {
        modules.configure(name, module.configs.clone()).await?;
    }
    let changed = if module.enable { modules.start(name).await } else { modules.stop(name).await };
    match changed {
        Err(ChangeError::AlreadyStarted(_) | ChangeError::NotStarted(_)) => Ok(()),
        other => other,
    }
}
