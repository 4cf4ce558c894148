//! The admin port's side of the broker: where it listens, who may ask, and how programs on this machine find it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mqtt_admin::{Accounts, Admin, Door, Hosts, Local, SignOn};
use mqtt_broker::{Operator, Running};
use mqtt_config::Config;
use mqtt_modules::Registry;
use mqtt_net::{Certificates, PortCertificates, Proxies};
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod door;

use door::Tls;

/// What the configuration calls the port.
pub(crate) const PORT: &str = "admin";

/// A port that is bound; nobody is answered yet.
pub(crate) struct Bound {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Binds the admin port. The default address may be another program's: then there is none.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Option<Bound>> {
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
    operator: Arc<Operator>,
    config: &Config,
    registry: &Arc<Registry>,
    bound: &Bound,
    tls: Option<Arc<Certificates>>,
    kept: &PortCertificates,
) -> io::Result<(Admin, Option<String>)> {
    let configured = config.admin.password.as_deref();
    let (accounts, password) = Accounts::open(Arc::clone(&operator) as _, configured)?;
    if let Some(folder) = &config.data_dir {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", from_here(bound.address));
        let local = Local { url, certificates: Vec::new(), credentials: accounts.make_local_key() };
        tell_programs_here(local, tls.as_ref(), folder, kept)?;
    }
    let hosts = Hosts::new(own_names(&config.node.name), config.admin.hosts.clone(), bound.address);
    let door = tls.map(|certificates| Arc::new(Tls::new(certificates)) as Arc<dyn Door>);
    let proxies = Proxies::new(config.admin.trusted_proxies.clone());
    let header = config.admin.user_header.as_deref();
    let sign_on = header.and_then(|header| SignOn::new(header, move |address| proxies.trust(address)));
    let admin = Admin::new(operator, Arc::clone(registry) as _, Arc::new(accounts), hosts, door, sign_on);
    Ok((admin, password))
}

/// Writes how programs on this machine come in, and again whenever the port shows other certificates: they take no others, for who
/// else may listen there once the broker is gone would be told their key.
fn tell_programs_here(local: Local, tls: Option<&Arc<Certificates>>, folder: &Path, kept: &PortCertificates) -> io::Result<()> {
    let Some(tls) = tls.map(Arc::clone) else { return local.write(folder) };
    let folder = folder.to_owned();
    let write = move || {
        let certificates = tls.own().iter().map(|own| BASE64_STANDARD.encode(own)).collect();
        Local { certificates, ..local.clone() }.write(&folder)
    };
    write()?;
    kept.tell(move |port| {
        if port == PORT
            && let Err(error) = write()
        {
            tracing::error!(%error, "commands on this machine can't be told of the admin port's new certificate");
        }
    });
    Ok(())
}

/// The host of the node's name, and the machine's name, as it has it itself and as its network may.
fn own_names(node: &str) -> Vec<String> {
    let mut names: Vec<_> = node.rsplit_once('@').map(|(_, host)| host.to_owned()).into_iter().collect();
    // Where it can't be read the operator says it in admin.hosts.
    if let Ok(name) = fs::read_to_string("/proc/sys/kernel/hostname") {
        names.extend([name.trim().to_owned(), format!("{}.local", name.trim())]);
    }
    names
}

/// A listener on every address is reached from this machine by loopback.
fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}

/// Answers until told to stop, whatever panics meanwhile.
pub(crate) fn serve(
    running: &Running,
    admin: Admin,
    bound: Bound,
    stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let (admin, listener) = (Arc::new(admin), Arc::new(tokio::net::TcpListener::from_std(bound.listener)?));
    Ok(running.watch("admin", move || {
        let (admin, listener, mut stop) = (Arc::clone(&admin), Arc::clone(&listener), stop.clone());
        // An error says that the broker is gone.
        async move { admin.serve(&listener, async { drop(stop.wait_for(|&stop| stop).await) }).await }
    }))
}

/// What is written to `data_dir` is gone with the broker.
pub(crate) fn forget(data_dir: Option<&PathBuf>) {
    if let Some(folder) = data_dir {
        Local::forget(folder);
    }
}
