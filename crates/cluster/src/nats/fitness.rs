//! Whether servers keep what they acknowledge, as far as that can be known.

use std::time::Duration;

use async_nats::jetstream::stream;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{NatsConfig, unfit};
use crate::LogError;

/// Before this, replicas came to differ after kills, and nobody noticed.
const OLDEST: (u32, u32) = (2, 12);

/// An answer of the monitoring port: bytes.
const MAX_ANSWER: u64 = 1024 * 1024;

#[derive(Deserialize)]
struct Varz {
    version: String,
    jetstream: Option<JetStream>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JetStream {
    config: Option<JetStreamConfig>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JetStreamConfig {
    sync_always: bool,
}

/// Looks at each server that can be reached, not only at the one that is connected to first.
pub(super) async fn check_servers(config: &NatsConfig) -> Result<(), LogError> {
    let mut last = LogError::Away("there is no server to ask".into());
    let mut answers = 0;
    for server in &config.servers {
        match config.options().ignore_discovered_servers().connect(server).await {
            Ok(client) => {
                let info = client.server_info();
                judge(config, check_version(server, &info.version))?;
                if !info.jetstream {
                    return Err(unfit(format!("{server} has no JetStream"), "say `jetstream {}` in its configuration"));
                }
                answers += 1;
            }
            Err(why) => last = LogError::Away(format!("{server}: {why}")),
        }
    }
    if answers == 0 {
        return Err(last);
    }
    if config.monitors.is_empty() {
        tracing::warn!(
            "nobody can tell whether the NATS servers have `sync_interval: always`; name their monitoring ports to have it checked"
        );
    }
    for monitor in &config.monitors {
        match timeout(Duration::from_secs(2), ask(monitor)).await.unwrap_or_else(|_| Err("no answer".into())) {
            Ok(varz) => judge(config, check_varz(monitor, &varz))?,
            // A server that is down now does no harm; when it is back, so is the others' word.
            Err(why) => tracing::warn!(monitor, why, "a NATS server's settings are not known"),
        }
    }
    Ok(())
}

pub(super) fn check_stream(config: &NatsConfig, found: &stream::Config) -> Result<(), LogError> {
    let fault = match () {
        () if found.num_replicas < 3 => Some(unfit(
            format!(
                "the stream {} has {} replicas: with the loss of one server all is lost",
                found.name, found.num_replicas
            ),
            "use three servers and `nats stream edit --replicas 3`",
        )),
        () if found.storage != stream::StorageType::File => {
            Some(unfit(format!("the stream {} is kept in memory", found.name), "make it anew with file storage"))
        }
        () => None,
    };
    judge(config, fault.map_or(Ok(()), Err))
}

/// Whoever says so goes on, and is told what with.
fn judge(config: &NatsConfig, found: Result<(), LogError>) -> Result<(), LogError> {
    match found {
        Err(why) if config.is_unsafe => {
            tracing::warn!(%why, "unsafe");
            Ok(())
        }
        found => found,
    }
}

fn check_version(server: &str, version: &str) -> Result<(), LogError> {
    let mut numbers = version.trim_start_matches('v').split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST {
        return Ok(());
    }
    let what = format!("{server} is nats-server {version}, which may lose what it has acknowledged");
    Err(unfit(what, "use nats-server 2.12 or newer"))
}

fn check_varz(monitor: &str, varz: &Varz) -> Result<(), LogError> {
    check_version(monitor, &varz.version)?;
    let config = varz.jetstream.as_ref().and_then(|jetstream| jetstream.config.as_ref());
    match config {
        Some(JetStreamConfig { sync_always: true }) => Ok(()),
        _ => Err(unfit(
            format!("{monitor} acknowledges what is not on its disk yet"),
            "say `jetstream { sync_interval: always }` in its configuration",
        )),
    }
}

async fn ask(monitor: &str) -> Result<Varz, String> {
    let asked = async {
        let mut stream = TcpStream::connect(monitor).await?;
        // 1.0: the answer comes in one piece, and ends with the connection.
        stream.write_all(format!("GET /varz HTTP/1.0\r\nHost: {monitor}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = asked.await.map_err(|why| why.to_string())?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("not an answer of HTTP's")?;
    serde_json::from_str(body).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_is_refused_with_the_fix() {
        for (version, is_fit) in [
            ("2.9.10", false),
            ("2.10.22", false),
            ("2.11.9", false),
            ("2.12.0", true),
            ("2.15.1", true),
            ("3.0.0-RC.1", true),
        ] {
            assert_eq!(check_version("a", version).is_ok(), is_fit, "{version}");
        }
        let why = check_version("nats://a:4222", "2.9.10").unwrap_err().to_string();
        assert!(why.ends_with("; use nats-server 2.12 or newer"), "{why}");
    }

    #[test]
    fn who_does_not_sync_is_refused() {
        for (varz, is_fit) in [
            (r#"{"version":"2.15.1","jetstream":{"config":{"sync_interval":120000000000,"sync_always":true}}}"#, true),
            (r#"{"version":"2.15.1","jetstream":{"config":{"sync_interval":120000000000}}}"#, false),
            (r#"{"version":"2.15.1","jetstream":{}}"#, false),
            (r#"{"version":"2.9.1","jetstream":{"config":{"sync_always":true}}}"#, false),
        ] {
            assert_eq!(check_varz("a", &serde_json::from_str(varz).unwrap()).is_ok(), is_fit, "{varz}");
        }
    }

    #[test]
    fn whoever_knows_what_they_do_may() {
        let mut config = NatsConfig::new("x", Vec::new());
        let found = stream::Config { name: "ROLL_x".into(), num_replicas: 1, ..stream::Config::default() };
        assert!(check_stream(&config, &found).is_err());
        config.is_unsafe = true;
        assert_eq!(check_stream(&config, &found), Ok(()));
    }
}
