//! What is answered.

use serde::Serialize;

/// The answer to a [`Request`](super::Request), which the admin port wraps as EMQ X 4.3 does.
pub enum Answer {
    /// It is done: `{"code":0}`.
    Done,
    /// `{"code":0,"data":...}`
    Data(Json),
    /// `{"code":0,"data":[...],"meta":{...}}`
    List {
        /// An array.
        rows: Json,
        /// How it goes on.
        position: Position,
    },
    /// A text file, to be kept.
    File {
        /// What it is called: letters, digits, `-`, `_` and `.`.
        name: String,
        /// What stands in it.
        text: Vec<u8>,
    },
    /// What happens from now on, until there is no more, who hears it goes, or what let them in ends. So many are heard
    /// at once, by all modules together.
    Events(Box<dyn Feed>),
}

/// A value as JSON, its keys in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(String);

/// How a list goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The most rows there may be.
    pub limit: usize,
    /// There is more.
    #[serde(rename = "hasnext")]
    pub has_next: bool,
    /// What to ask for next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Where rows are kept for a while only: what is older may be gone. Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_since: Option<u64>,
}

/// What happens, one after the other.
#[async_trait::async_trait]
pub trait Feed: Send {
    /// The next event, once there is one; `None`: there is no more. Who hears them may be slow, and is waited for.
    async fn next(&mut self) -> Option<Event>;
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind of.
    pub name: &'static str,
    /// After it a feed can go on: [`Request::last_event_id`](super::Request::last_event_id).
    pub id: Option<String>,
    /// What there is to say.
    pub data: Json,
}

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It can't be read, or wants what there can't be; status 400.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such thing; status 404.
    #[error("{0}")]
    NotFound(String),
    /// It is not so that it could be done; status 409.
    #[error("{0}")]
    Conflict(String),
    /// Not now; status 503.
    #[error("{0}")]
    Unavailable(String),
    /// As EMQ X 4.3 does it: status 200 and a code of its own.
    #[error("{message}")]
    Coded {
        /// EMQ X's code.
        code: u16,
        /// EMQ X's word for it.
        message: String,
    },
    /// A fault of the module's, which has been logged; status 500.
    #[error("a fault of the broker's; its log says more")]
    Internal,
}

impl Answer {
    /// Something.
    pub fn data(data: &impl Serialize) -> Result<Self, Refusal> {
        Json::new(data).map(Self::Data)
    }

    /// A list.
    pub fn list<T: Serialize>(rows: &[T], position: Position) -> Result<Self, Refusal> {
        Ok(Self::List { rows: Json::new(rows)?, position })
    }
}

impl Json {
    /// Writes it.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, Refusal> {
        serde_json::to_string(value).map(Self).map_err(|error| {
            tracing::error!(%error, "a module's answer can't be JSON");
            Refusal::Internal
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Data(data) => f.debug_tuple("Data").field(data).finish(),
            Self::List { rows, position } => {
                f.debug_struct("List").field("rows", rows).field("position", position).finish()
            }
            Self::File { name, text } => {
                f.debug_struct("File").field("name", name).field("bytes", &text.len()).finish()
            }
            Self::Events(_) => f.write_str("Events"),
        }
    }
}
