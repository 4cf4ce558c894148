//! `rollcall`: reads the settings, starts the broker, says that it is ready, and ends it on SIGTERM or Ctrl-C.

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::{self, ExitCode},
};

use mimalloc::MiMalloc;
use mqtt_cli::{Cli, Failure, UsageError};
use mqtt_config::{Config, Ignored, Layers, LogFormat};
use mqtt_process::{Service, Signals, log};
use rollcall::{Addresses, Server, Source};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line whatever stands in a file name or a value.
            let line = error.to_string().replace(['\n', '\r'], " ");
            let code = error.downcast_ref::<Failure>().map_or(Some(2), Failure::exit_code);
            let Some(code) = code else { return ExitCode::SUCCESS };
            // There is nobody left to tell if stderr is gone.
            let _ = writeln!(io::stderr(), "error: {line}");
            ExitCode::from(code)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let Some(layers) = mqtt_cli::carry_out(command_line()?, &read_made)? else { return Ok(()) };
    let config = layers.resolve()?;
    let form = match config.log.format {
        LogFormat::Text => log::Form::Text,
        LogFormat::Json => log::Form::Json,
    };
    let set_log_level = log::init(&config.log.level, form);
    let ignored = layers.ignored();
    if !ignored.is_empty() {
        tracing::warn!(variables = %ignored, "{}", Ignored::WHAT);
    }
    mqtt_process::raise_open_files();
    let source = Source { read: Box::new(read_anew), set_log_level };
    runtime(&config)?.block_on(serve(config, source))
}

/// Flags and the environment are what they were when the process began; only files may say something else by now.
fn command_line() -> Result<Cli, UsageError> {
    Cli::parse(Layers::new(rollcall::module_sections()), env::args_os(), env::vars_os())
}

/// Settings that are made of another broker's, alone.
fn read_made(file: &Path, text: &str) -> Result<Config, String> {
    let mut layers = Layers::new(rollcall::module_sections());
    let config = layers.add_toml(file, text).and_then(|()| layers.resolve());
    config.map_err(|error| error.to_string())
}

fn read_anew() -> Result<Config, String> {
    let config = command_line().and_then(|cli| Ok(cli.layers.resolve()?));
    config.map_err(|error| error.to_string().replace(['\n', '\r'], " "))
}

fn runtime(config: &Config) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = config.runtime.workers {
        builder.worker_threads(workers.get());
    }
    builder.thread_name("rollcall").enable_all().build()
}

async fn serve(config: Config, source: Source) -> anyhow::Result<()> {
    // Before the ready line, so that whoever waits for it may end us at once.
    let signals = Signals::catch()?;
    let node = config.node.name.clone();
    let forgets = config.data_dir.is_none();
    let service = Service::find();
    let said = config.clone();
    let started = rollcall::start_from(config, Some(source)).await;
    let server = started.map_err(|error| anyhow::Error::msg(said.explain(error)))?;
    if forgets {
        tracing::warn!(
            "data_dir is \"memory\": sessions, messages and who is online are forgotten when the broker ends"
        );
    }
    let ready = ready(server.addresses(), &node);
    // A script that has seen the line may be gone.
    let _ = io::stdout().write_all(ready.as_bytes()).and_then(|()| io::stdout().flush());
    service.note_ready();
    if let (Some(password), Some(address)) = (server.made_password(), server.addresses().admin) {
        let scheme = if server.addresses().admin_tls { "https" } else { "http" };
        let line = format!("dashboard: {scheme}://{address} user: admin password: {password} (shown this once)\n");
        // Not to stdout, which is for scripts.
        let _ = io::stderr().write_all(line.as_bytes());
    }
    let broken = tokio::select! {
        name = signals.ending(|| reload(&server)) => {
            tracing::info!(signal = name, "ending");
            None
        }
        task = server.broken() => Some(task),
    };
    service.note_stopping();
    server.shutdown().await;
    broken
        .map_or(Ok(()), |task| Err(anyhow::anyhow!("the broker's task \"{task}\" panics however often it is started")))
}

fn reload(server: &Server) {
    tracing::info!(signal = "SIGHUP", "the configuration and certificates are read anew");
    server.reload();
}

/// What scripts wait for.
fn ready(addresses: &Addresses, node: &str) -> String {
    let named = |name: &str| addresses.listeners.iter().find(|(known, _)| known == name);
    let shown = |name: &str| named(name).map_or_else(|| "off".to_owned(), |(_, address)| address.to_string());
    let (mqtt, ws) = (shown("mqtt"), shown("ws"));
    let further = addresses.listeners.iter().filter(|(name, _)| name != "mqtt" && name != "ws");
    let further: String = further.map(|(name, address)| format!("{name}={address} ")).collect();
    let admin = addresses.admin.map_or_else(|| "off".to_owned(), |address| address.to_string());
    format!("rollcall ready mqtt={mqtt} ws={ws} {further}admin={admin} node={node} pid={}\n", process::id())
}
