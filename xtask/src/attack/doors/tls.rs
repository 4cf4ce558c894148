//! Clients that have shaken hands, by rustls.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::super::client::{From, open};
use super::super::memory;
use super::super::stage::Stage;
use super::super::wire::{Connect, PINGREQ};
use super::hello::hello;
use super::{TLS, visits};

/// A server takes so many requests for new keys, or not even these, before something else has to come.
const PATIENT: usize = 30;
const IMPATIENT: usize = 100;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// So many who ask for new keys without end; every other one says something in between.
pub(in crate::attack) fn key_updates(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let (addr, config) = (stage.listener(TLS)?, config()?);
    let (rounds, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    visits(stage, clients, addr, |number, socket, going| {
        let mut client = enter(socket, &config, number)?;
        let at_once = if number % 2 == 0 { PATIENT } else { IMPATIENT };
        while going.goes_on() {
            for _ in 0..at_once {
                client.conn.refresh_traffic_keys()?;
            }
            let said = client.write_all(&PINGREQ).and_then(|()| client.read_exact(&mut [0; 2]));
            if said.is_err() {
                ended.fetch_add(1, Relaxed);
            }
            said?;
            rounds.fetch_add(1, Relaxed);
        }
        Ok(())
    })?;
    let (rounds, ended) = (rounds.into_inner(), ended.into_inner());
    stage.note(format!("{rounds} rounds, {ended} sent away"));
    if rounds == 0 {
        stage.fault("nobody's keys were updated");
    }
    Ok(())
}

/// So many who say that they send no more, before, in and after a handshake, and stay.
pub(in crate::attack) fn half_closes(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let (addr, config, open_still) = (stage.listener(TLS)?, config()?, AtomicUsize::new(0));
    let open_still = Arc::new(open_still);
    let noted = Arc::clone(&open_still);
    memory::attack(stage, clients, move |number, _| {
        let socket = half_close(addr, &config, number)?;
        if !is_closed(&socket)? {
            noted.fetch_add(1, Relaxed);
        }
        Ok(socket)
    })?;
    match open_still.load(Relaxed) {
        0 => {}
        some => stage.fault(format!("{some} are waited for though they said that they send no more")),
    }
    Ok(())
}

fn half_close(addr: SocketAddr, config: &Arc<ClientConfig>, number: usize) -> Result<TcpStream> {
    let mut socket = open(addr, From::Crowd)?;
    match number % 3 {
        // Within the handshake.
        0 => socket.write_all(&hello())?,
        // Says so by TLS, and leaves the socket open.
        1 => {
            let mut client = enter(socket, config, number)?;
            client.conn.send_close_notify();
            client.flush()?;
            return Ok(client.sock);
        }
        // Says so by the socket only.
        _ => socket = enter(socket, config, number)?.sock,
    }
    socket.shutdown(Shutdown::Write)?;
    Ok(socket)
}

/// The other end has closed too, after whatever it had to say; false: it has not in all the time that a socket waits.
fn is_closed(mut socket: &TcpStream) -> Result<bool> {
    loop {
        match socket.read(&mut [0; 4096]) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Shakes hands, and is a client with a CONNACK.
fn enter(socket: TcpStream, config: &Arc<ClientConfig>, number: usize) -> Result<Tls> {
    let machine = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
    let mut client = StreamOwned::new(machine, socket);
    client.write_all(&Connect::new(&format!("tls-{number}")).bytes())?;
    let mut answer = [0; 4];
    client.read_exact(&mut answer)?;
    match answer {
        [0x20, 2, _, 0] => Ok(client),
        _ => bail!("{answer:?} in place of CONNACK"),
    }
}

fn config() -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trusting = Arc::new(Trusting(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(trusting).with_no_client_auth();
    // A handshake is a whole one.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Whose certificate it is does not matter to who means harm.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
