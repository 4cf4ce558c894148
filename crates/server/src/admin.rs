//! The admin port's side of the broker: who may ask, by what it speaks TLS, and how programs on this machine find it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use mqtt_admin::{Accounts, Admin, Bound, Door, Hosts, Local, SignOn};
use mqtt_broker::{Operator, Running};
use mqtt_config::Config;
use mqtt_modules::Registry;
use mqtt_net::{Certificates, Opener, PortCertificates, Proxies};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::StartError;

mod door;

use door::Tls;

/// What the configuration calls the port.
pub(crate) const PORT: &str = "admin";

/// Binds the admin port, if there is to be one. The default address may be another program's: then there is none.
pub(crate) fn bind(config: &Config) -> Result<Option<Bound>, StartError> {
    let Some(address) = config.admin.bind else { return Ok(None) };
    Bound::take(address, Some(address) == Config::default().admin.bind).map_err(|source| StartError::Bind {
        address: address.to_string(),
        what: "the admin port",
        flag: "--admin".to_owned(),
        source,
    })
}

/// Reads the port's certificates, if it is to speak TLS.
pub(crate) fn certificates(config: &Config, opener: &Opener) -> Result<Option<Arc<Certificates>>, StartError> {
    let certificates = config.admin.tls.as_ref().map(|tls| opener.load(tls.into())).transpose();
    certificates.map_err(|source| StartError::Tls { whose: PORT.to_owned(), source: Box::new(source) })
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
        let local = Local::new(bound.address(), tls.is_some(), accounts.make_local_key());
        tell_programs_here(local, tls.as_ref(), folder, kept)?;
    }
    let hosts = Hosts::of_node(&config.node.name, &config.admin.hosts, bound.address());
    let door = tls.map(|certificates| Arc::new(Tls::new(certificates)) as Arc<dyn Door>);
    let proxies = Proxies::new(config.admin.trusted_proxies.clone());
    let header = config.admin.user_header.as_deref();
    let sign_on = header.and_then(|header| SignOn::new(header, move |address| proxies.trust(address)));
    let admin = Admin::new(operator, Arc::clone(registry) as _, Arc::new(accounts), hosts, door, sign_on);
    Ok((admin, password))
}

/// Writes how programs on this machine come in, and again whenever the port shows other certificates: they take no others, for who
/// else may listen there once the broker is gone would be told their key.
fn tell_programs_here(
    local: Local,
    tls: Option<&Arc<Certificates>>,
    folder: &Path,
    kept: &PortCertificates,
) -> io::Result<()> {
    let Some(tls) = tls.map(Arc::clone) else { return local.write(folder) };
    let folder = folder.to_owned();
    let write = move || local.showing(tls.own()).write(&folder);
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

/// Answers until told to stop, whatever panics meanwhile.
pub(crate) fn serve(
    running: &Running,
    admin: Admin,
    bound: Bound,
    stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let (admin, listener) = (Arc::new(admin), Arc::new(bound.listen()?));
    Ok(running.watch("admin", move || {
        let (admin, listener, mut stop) = (Arc::clone(&admin), Arc::clone(&listener), stop.clone());
        // An error says that the broker is gone.
        async move { admin.serve(&listener, async { drop(stop.wait_for(|&stop| stop).await) }).await }
    }))
}
