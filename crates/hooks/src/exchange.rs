//! What an authenticator and a client say to each other before one lets the other in.

use bytes::Bytes;

/// What an authenticator and a client say to each other by AUTH: extended authentication, section 4.12 of MQTT 5.
pub struct Exchange<'a> {
    /// The method that the client named in CONNECT, one of the authenticator's.
    pub method: &'a str,
    /// The authentication data that the client began with; may be empty.
    pub data: Bytes,
    /// Of CONNECT. The client may prove more than one thing.
    pub password: Option<Bytes>,
    /// The client is in, and asks to be authenticated again.
    pub is_renewal: bool,
    peer: &'a mut dyn Challenge,
    has_challenged: bool,
    conclusion: Option<Bytes>,
}

/// The client's side, for who lets modules be asked: it brings a challenge to the client.
#[async_trait::async_trait]
pub trait Challenge: Send {
    /// Sends AUTH with this data, and returns the data of the client's AUTH. There is no return without one: who leaves, or
    /// sends something else, is not asked any more, and the future that waits here is dropped.
    async fn challenge(&mut self, data: Bytes) -> Bytes;
}

impl<'a> Exchange<'a> {
    /// One that begins.
    pub fn new(method: &'a str, data: Bytes, peer: &'a mut dyn Challenge) -> Self {
        Self { method, data, password: None, is_renewal: false, peer, has_challenged: false, conclusion: None }
    }

    /// Asks the client for more, and returns what it says to that; may be empty.
    ///
    /// If it leaves, breaks the rules or lets the time go by, this does not return: the authenticator's future is dropped.
    pub async fn challenge(&mut self, data: impl Into<Bytes>) -> Bytes {
        self.has_challenged = true;
        self.peer.challenge(data.into()).await
    }

    /// What the client is told should it be let in, such as a proof that the server knows the secret too.
    pub fn conclude(&mut self, data: impl Into<Bytes>) {
        self.conclusion = Some(data.into());
    }

    /// What the client is told with its success.
    pub fn into_conclusion(self) -> Option<Bytes> {
        self.conclusion
    }

    /// Others can't begin with the client any more.
    pub(crate) const fn has_challenged(&self) -> bool {
        self.has_challenged
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_codec::ReasonCode;

    use super::*;
    use crate::testing::{Recorder, foo};
    use crate::{Authenticate, ConnectionInfo, Ctx, Grant, Hooks, Login};

    /// Knows one method, and says what the client's data is the name of.
    struct Knows(&'static [&'static str]);

    #[async_trait::async_trait]
    impl Authenticate for Knows {
        async fn authenticate(&self, _client: &ConnectionInfo, _password: Option<&[u8]>) -> Login {
            Login::Allow(Grant::default())
        }

        fn methods(&self) -> &[&str] {
            self.0
        }

        async fn exchange(&self, _client: &ConnectionInfo, exchange: &mut Exchange<'_>) -> Login {
            let told = exchange.data.clone();
            if told.starts_with(b"challenge") {
                assert_eq!(exchange.challenge("more").await, "answer");
            }
            match &told[..] {
                b"allow" | b"challenge, allow" => {
                    exchange.conclude("done");
                    Login::Allow(Grant::default())
                }
                b"panic" => panic!("asked"),
                _ => Login::Ignore,
            }
        }
    }

    /// Knows none, and has no more to say of it than before there were any.
    struct Plain;

    #[async_trait::async_trait]
    impl Authenticate for Plain {
        async fn authenticate(&self, _client: &ConnectionInfo, _password: Option<&[u8]>) -> Login {
            Login::Allow(Grant::default())
        }
    }

    /// A client that has one answer.
    #[derive(Default)]
    struct Client {
        challenges: Vec<Bytes>,
    }

    #[async_trait::async_trait]
    impl Challenge for Client {
        async fn challenge(&mut self, data: Bytes) -> Bytes {
            self.challenges.push(data);
            Bytes::from_static(b"answer")
        }
    }

    #[track_caller]
    fn check(method: &str, data: &'static str, expected: &Login, conclusion: Option<&'static str>, challenges: usize) {
        let hooks = Hooks::new();
        let hook = |place: usize, hook: Arc<dyn Authenticate>| {
            let ctx = Ctx::new("m", place, Recorder::new(), Arc::default());
            ctx.authenticate(hook);
            hooks.enter(ctx)
        };
        let _entered =
            [hook(0, Arc::new(Plain)), hook(1, Arc::new(Knows(&["A"]))), hook(2, Arc::new(Knows(&["A", "B"])))];
        assert_eq!(hooks.has_method(method), ["A", "B"].contains(&method));
        let mut client = Client::default();
        let mut exchange = Exchange::new(method, data.into(), &mut client);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let login = runtime.block_on(hooks.exchange(&foo(), &mut exchange));
        assert_eq!((&login, exchange.into_conclusion()), (expected, conclusion.map(Bytes::from)), "{method} {data}");
        assert_eq!(client.challenges, vec!["more"; challenges], "{method} {data}");
    }

    #[test]
    fn who_knows_the_method_is_asked_and_nobody_else() {
        let allow = Login::Allow(Grant::default());
        for method in ["A", "B"] {
            check(method, "allow", &allow, Some("done"), 0);
            check(method, "challenge, allow", &allow, Some("done"), 1);
        }
    }

    #[test]
    fn who_brings_no_proof_is_not_let_in() {
        let denied = Login::Deny(ReasonCode::NotAuthorized);
        check("C", "allow", &denied, None, 0);
        check("A", "nothing", &denied, None, 0);
        // The second that knows it does not get what the first has asked for.
        check("A", "challenge, ignore", &denied, None, 1);
        check("A", "panic", &Login::Deny(ReasonCode::ServerUnavailable), None, 0);
    }
}
