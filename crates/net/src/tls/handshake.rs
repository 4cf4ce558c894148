//! From a socket to TLS over it.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::UnbufferedStatus;
use tokio::net::TcpStream;

use crate::carrier;
use crate::opening::{OpenError, Pool};
use crate::tls::{Certificates, End, Standing, Step, Tls, encode_alerts, step};

/// Bytes that are read at once.
const FIRST_READ: usize = 2048;

/// So many bytes of a half hello are nobody's loss.
const SMALL_HELLO: usize = 4 * 1024;

/// What a client may send before it is known, where it brings no certificate.
const LONGEST_HELLO: usize = 18 * 1024;

/// What it may send with certificates: rustls takes no longer message.
const LONGEST_CERTIFICATES: usize = 66 * 1024;

/// What is carried from one step to the next: the machine works in the pool, the socket is read here.
struct Shake {
    machine: UnbufferedServerConnection,
    /// Read and not understood yet.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Plain bytes that came with the end of the handshake.
    early: Vec<u8>,
    end: Option<End>,
    result: Result<(), rustls::Error>,
}

/// Lets a peer in by TLS; its certificate, DER, comes with it, if it was asked for one and it is good.
///
/// Keys are exchanged and certificates checked in the pool: that takes longer than a turn.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    certificates: &Arc<Certificates>,
    pool: &Pool,
    room: &mut (impl FnMut(usize) -> bool + Send),
) -> Result<(Tls, Option<Vec<u8>>), OpenError> {
    let (config, trust) = certificates.in_use();
    let machine = UnbufferedServerConnection::new(config).map_err(OpenError::Tls)?;
    let mut shake =
        Shake { machine, input: Vec::new(), output: Vec::new(), early: Vec::new(), end: None, result: Ok(()) };
    let limit = if certificates.asks_for_one() { LONGEST_CERTIFICATES } else { LONGEST_HELLO };
    let (mut buffer, mut is_first) = (BytesMut::new(), true);
    // Whole records of a message that is not whole: there is nothing to be done before another one.
    let mut tried = 0;
    while shake.machine.is_handshaking() {
        if shake.input.len() > limit {
            return Err(OpenError::TooLong);
        }
        if shake.input.capacity() > SMALL_HELLO && !room(shake.input.capacity()) {
            return Err(OpenError::Crowded);
        }
        buffer.clear();
        if carrier::read(&stream, &mut buffer, FIRST_READ).await? == 0 {
            return Err(OpenError::Closed);
        }
        if std::mem::take(&mut is_first) && !looks_like_tls(&buffer) {
            return Err(OpenError::NotTls);
        }
        shake.input.extend_from_slice(&buffer);
        if whole_records(&shake.input) <= tried {
            continue;
        }
        shake = pool.run(move || shake.go_on()).await?;
        tried = whole_records(&shake.input);
        carrier::write_all(&stream, &shake.output).await?;
        shake.output.clear();
        shake.result.as_ref().map_err(|error| OpenError::Tls(error.clone()))?;
    }
    let chain = shake.machine.peer_certificates();
    let certificate = chain.and_then(|chain| chain.first()).map(|certificate| certificate.to_vec());
    let Shake { machine, mut input, mut early, end, .. } = shake;
    input.shrink_to_fit();
    early.shrink_to_fit();
    let standing = certificate.is_some().then(|| Standing { certificates: Arc::clone(certificates), trust });
    Ok((Tls::new(stream, machine, input, early, end, standing), certificate))
}

impl Shake {
    fn go_on(mut self) -> Self {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.machine.process_tls_records(&mut self.input[used..]);
            let step = state.and_then(|state| step(state, &mut self.early, &mut self.output));
            used += discard;
            match step {
                Ok(Step::Go) => {}
                Ok(Step::Wait) => break,
                // Who ends it within the handshake sends no more either, and the socket tells.
                Ok(Step::End) => {
                    self.end = Some(End::Closed);
                    break;
                }
                Err(error) => {
                    encode_alerts(&mut self.machine, &mut self.input[used..], &mut self.output);
                    self.result = Err(error);
                    break;
                }
            }
        }
        self.input.drain(..used);
        self
    }
}

/// A record of a handshake, or an alert.
fn looks_like_tls(start: &[u8]) -> bool {
    match start {
        [kind, 3, ..] => matches!(kind, 0x15 | 0x16),
        [kind] => matches!(kind, 0x15 | 0x16),
        _ => false,
    }
}

/// Bytes of the whole records at the start: a peer that sends a byte at a time is not worth a thread each time.
fn whole_records(input: &[u8]) -> usize {
    let mut whole = 0;
    while let [_, _, _, high, low, rest @ ..] = &input[whole..] {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if rest.len() < length {
            break;
        }
        whole += 5 + length;
    }
    whole
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}
