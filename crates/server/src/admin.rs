//! The admin port's side of the broker: where it listens, who may ask, and how programs on this machine find it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mqtt_admin::{Accounts, Admin};
use mqtt_config::Config;
use mqtt_modules::Registry;
use mqtt_modules::presence::History;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::broker::Broker;

/// How programs on this machine find the admin port of the broker that uses a data_dir, and come in.
#[derive(Debug, Serialize, Deserialize)]
pub struct Local {
    /// `http://127.0.0.1:18083`
    pub url: String,
    /// The user name and password of HTTP Basic, with a colon between them.
    pub credentials: String,
}

impl Local {
    /// In data_dir: for who may read that.
    pub(crate) const FILE: &str = "admin.json";

    /// Reads what the broker that uses the folder has written.
    ///
    /// # Errors
    /// No broker runs on this folder, or this user may not read it.
    pub fn read(data_dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(data_dir.join(Self::FILE))?)?)
    }

    /// For the owner's eyes only.
    fn write(&self, data_dir: &Path) -> io::Result<()> {
        let (path, new) = (data_dir.join(Self::FILE), data_dir.join(format!("{}.new", Self::FILE)));
        let text = serde_json::to_vec(self)?;
        // Its mode holds for a file that is made; one that is there may be readable.
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        fs::rename(new, path)
    }
}

/// A port that is bound; nobody is answered yet.
pub(crate) struct Bound {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Binds what is configured. The default address may be another program's: then there is no admin port.
pub(crate) fn bind(config: &Config) -> io::Result<Option<Bound>> {
    let Some(address) = config.admin.bind else { return Ok(None) };
    let listener = match TcpListener::bind(address) {
        Ok(listener) => listener,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && Some(address) == Config::default().admin.bind => {
            tracing::error!(
                %address,
                "no admin port: another program listens there; give another with --admin, or \"off\"",
            );
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok(Some(Bound { listener, address }))
}

/// What is needed to answer, and the password if one was made.
pub(crate) fn open(
    broker: &Arc<Broker>,
    registry: &Arc<Registry>,
    history: &Arc<History>,
    bound: &Bound,
) -> io::Result<(Admin, Option<String>)> {
    let configured = broker.config.admin.password.as_deref();
    let (accounts, password) = Accounts::open(Arc::clone(broker) as _, configured)?;
    if let Some(folder) = &broker.config.data_dir {
        let url = format!("http://{}", from_here(bound.address));
        let local = Local { url, credentials: accounts.make_local_key() };
        local.write(folder)?;
    }
    let admin = Admin::new(Arc::clone(broker) as _, Arc::clone(registry), Arc::clone(history), Arc::new(accounts));
    Ok((admin, password))
}

/// A listener on every address is reached from this machine by loopback.
fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}

/// Answers until told to stop.
pub(crate) async fn serve(admin: Admin, bound: Bound, mut stop: watch::Receiver<bool>) {
    match tokio::net::TcpListener::from_std(bound.listener) {
        // An error says that the broker is gone.
        Ok(listener) => admin.serve(listener, async { drop(stop.wait_for(|&stop| stop).await) }).await,
        Err(error) => tracing::error!(%error, "the admin port is closed"),
    }
}

/// What is written to `data_dir` is gone with the broker.
pub(crate) fn forget(data_dir: Option<&PathBuf>) {
    if let Some(folder) = data_dir {
        // It may be gone already, and names an address that nobody answers.
        let _ = fs::remove_file(folder.join(Local::FILE));
    }
}
