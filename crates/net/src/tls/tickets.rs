//! Keys by which clients resume sessions: kept in a file, so that a restart is no storm of whole handshakes.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use parking_lot::Mutex;
use rustls::server::ProducesTickets;

/// A key seals for so long, and opens for as long again: what was recorded before can't be read by who finds a key later.
const SEALS_FOR: Duration = Duration::from_secs(12 * 60 * 60);

const KEY: usize = 32;
const NONCE: usize = 12;

/// A key in the file: when it was made, in seconds since the Unix epoch, and itself.
const RECORD: usize = 8 + KEY;

/// The keys of all listeners.
pub struct TicketKeys {
    /// `None`: they are forgotten with the process.
    path: Option<PathBuf>,
    /// The newest first, two at most.
    keys: Mutex<Vec<Arc<Key>>>,
}

struct Key {
    made_at: u64,
    secret: [u8; KEY],
    aead: RandomizedNonceKey,
}

impl std::fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKeys").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Key {
    fn new(made_at: u64, secret: [u8; KEY]) -> Option<Self> {
        Some(Self { made_at, secret, aead: RandomizedNonceKey::new(&AES_256_GCM, &secret).ok()? })
    }

    fn is_within(&self, now: u64, time: Duration) -> bool {
        // One from the future is of a clock that was wrong.
        (self.made_at..self.made_at.saturating_add(time.as_secs())).contains(&now)
    }
}

impl TicketKeys {
    /// Those in a file, which is made when there is one to keep; what can't be read there is as if it was not.
    pub fn open(path: Option<PathBuf>) -> Arc<Self> {
        let bytes = path.as_ref().and_then(|path| read(path).ok()).unwrap_or_default();
        let keys = bytes.chunks_exact(RECORD).take(2).filter_map(|record| {
            let (made_at, secret) = record.split_at(8);
            Key::new(u64::from_be_bytes(made_at.try_into().ok()?), secret.try_into().ok()?).map(Arc::new)
        });
        Arc::new(Self { keys: Mutex::new(keys.collect()), path })
    }

    /// The one to seal with.
    fn sealing(&self) -> Option<Arc<Key>> {
        let now = now();
        let mut keys = self.keys.lock();
        if let Some(first) = keys.first().filter(|key| key.is_within(now, SEALS_FOR)) {
            return Some(Arc::clone(first));
        }
        let mut secret = [0; KEY];
        rand::fill(&mut secret).ok()?;
        let key = Arc::new(Key::new(now, secret)?);
        keys.retain(|key| key.is_within(now, 2 * SEALS_FOR));
        keys.truncate(1);
        keys.insert(0, Arc::clone(&key));
        if let Some(path) = &self.path
            && let Err(error) = write(path, &keys)
        {
            tracing::warn!(?path, %error, "TLS sessions can't be resumed after a restart");
        }
        Some(key)
    }

    fn opening(&self) -> Vec<Arc<Key>> {
        let now = now();
        self.keys.lock().iter().filter(|key| key.is_within(now, 2 * SEALS_FOR)).cloned().collect()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Nobody else may read it: who has the keys can read what was sent by sessions that were resumed.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(?path, "others may read these keys: they are made anew");
        return Ok(Vec::new());
    }
    fs::read(path)
}

fn write(path: &Path, keys: &[Arc<Key>]) -> io::Result<()> {
    let new = path.with_extension("new");
    // Left by a process that ended here.
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    for key in keys {
        file.write_all(&key.made_at.to_be_bytes())?;
        file.write_all(&key.secret)?;
    }
    fs::rename(new, path)
}

/// Tickets of one listener as it is now: they are good only where clients are asked for the same certificates, for a session that is
/// resumed asks for none.
#[derive(Debug)]
pub(super) struct Tickets {
    pub(super) keys: Arc<TicketKeys>,
    /// Of who signs clients' certificates, which are revoked, and whether they are asked for.
    pub(super) trust: [u8; 32],
    /// Sessions are resumed until then: who resumes one shows no certificate that could be looked at.
    pub(super) until: Option<SystemTime>,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        SEALS_FOR.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let nonce = self.keys.sealing()?.aead.seal_in_place_append_tag(Aad::from(self.trust), &mut sealed).ok()?;
        let mut ticket = nonce.as_ref().to_vec();
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if self.until.is_some_and(|until| until <= SystemTime::now()) {
            return None;
        }
        let (nonce, sealed) = ticket.split_at_checked(NONCE)?;
        self.keys.opening().into_iter().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut bytes = sealed.to_vec();
            let plain = key.aead.open_in_place(nonce, Aad::from(self.trust), &mut bytes).ok()?.len();
            bytes.truncate(plain);
            Some(bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(path: &Path, trust: u8) -> Tickets {
        Tickets { keys: TicketKeys::open(Some(path.to_owned())), trust: [trust; 32], until: None }
    }

    #[test]
    fn a_ticket_is_good_after_a_restart_and_only_for_the_same_trust() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let ticket = tickets(&path, 1).encrypt(b"session").unwrap();
        assert_eq!(tickets(&path, 1).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets(&path, 2).decrypt(&ticket), None);
        for end in 0..ticket.len() {
            assert_eq!(tickets(&path, 1).decrypt(&ticket[..end]), None);
        }
        let other = Tickets { keys: TicketKeys::open(None), trust: [1; 32], until: None };
        assert_eq!(other.decrypt(&ticket), None);
    }

    #[test]
    fn no_session_is_resumed_by_a_list_that_is_out_of_date() {
        let keys = TicketKeys::open(None);
        let until = |until| Tickets { keys: Arc::clone(&keys), trust: [1; 32], until: Some(until) };
        let ticket = until(SystemTime::now()).encrypt(b"session").unwrap();
        assert_eq!(until(SystemTime::now()).decrypt(&ticket), None);
        assert!(until(SystemTime::now() + SEALS_FOR).decrypt(&ticket).is_some());
    }

    #[test]
    fn keys_grow_old_and_are_not_for_everybodys_eyes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let of_age = |seconds: u64| {
            let key = Key::new(now() - seconds, [7; KEY]).unwrap();
            write(&path, &[Arc::new(key)]).unwrap();
            let keys = TicketKeys::open(Some(path.clone()));
            (keys.opening().len(), keys.sealing().unwrap().secret == [7; KEY])
        };
        assert_eq!(of_age(0), (1, true));
        assert_eq!(of_age(SEALS_FOR.as_secs() + 1), (1, false));
        assert_eq!(of_age(2 * SEALS_FOR.as_secs() + 1), (0, false));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(TicketKeys::open(Some(path.clone())).opening().is_empty());
        fs::write(&path, "half a key").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(TicketKeys::open(Some(path)).opening().is_empty());
    }
}
