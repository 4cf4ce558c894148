//! One address of a service, asked by HTTP/1.1: by whoever asks who may come in, and whoever tells who came.
//!
//! It follows no redirection, knows no proxy and keeps no cookies. It is to be polled where tokio has its time and sockets.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mqtt_fetch::{Fetcher, HeaderMap, Question, Url};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let fetcher = Fetcher::new(Url::read("http://127.0.0.1:8080/events")?, &HeaderMap::new(), None, 1024);
//! let answer = fetcher.ask(&Question::post("[]"), Duration::from_secs(1)).await?;
//! assert_eq!(answer.status, 204);
//! # Ok(())
//! # }
//! ```

mod fetcher;
mod url;

pub use fetcher::{Answer, Fetcher, NoAnswer, Question, Shown, client_config, headers, tls, tls_showing};
pub use hyper::header::{self, HeaderValue};
pub use hyper::{HeaderMap, Method};
pub use tokio_rustls::TlsConnector;
pub use url::Url;
