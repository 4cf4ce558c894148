//! What nobody can guess.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Text that holds so many random bytes.
///
/// # Panics
/// If the system has no random bytes to give, without which nothing here is safe.
pub fn random_secret(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).expect("the system gives random bytes");
    BASE64_URL_SAFE_NO_PAD.encode(random)
}
