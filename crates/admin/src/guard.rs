//! Who asks, and whether they may.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::accounts::{Checked, Recognised};
use crate::attempts::{Look, MAX_WRONG, Pair};
use crate::logins::Login;
use crate::reply::{Refusal, unknown_caller};
use crate::role::{self, Role};
use crate::serve::Known;
use crate::source::Source;
use crate::{Shared, pages};

/// The cookie of a login.
pub(crate) const COOKIE: &str = "rollcall";

/// What a change must show with a cookie; scripts with HTTP Basic need it not.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// Characters of a name that nobody has, in the log.
const MAX_LOGGED: usize = 64;

/// Who asks; handlers find it among the extensions of the request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// An operator's, or that of a key.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// If they are logged in on the dashboard.
    pub(crate) login: Option<Login>,
}

impl Caller {
    /// Who has not been asked, and may no more than look.
    pub(crate) const fn nobody() -> Self {
        Self { name: String::new(), role: Role::Viewer, login: None }
    }
}

/// Lets a request through that needs no [`Caller`], or says why not.
pub(crate) async fn check_open(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.hosts.check(request.method(), request.headers(), false) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Lets a request through with its [`Caller`], or says why not.
pub(crate) async fn check(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = basic(request.headers());
    // First, so that what another site's page makes a browser ask counts as nobody's guess.
    if let Err(refusal) = shared.hosts.check(request.method(), request.headers(), given.is_some()) {
        return refusal.into_response();
    }
    let caller = match identify(&shared, peer, given, request.headers()).await {
        Ok(caller) => caller,
        Err(Some(refusal)) => return refusal.into_response(),
        Err(None) => return ask_for_login(&request),
    };
    if let Some(known) = request.extensions().get::<Known>() {
        known.note();
    }
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    if is_change
        && let Some(login) = &caller.login
        && text(request.headers(), CSRF_HEADER) != Some(&*login.csrf)
    {
        let why = "a change made with the cookie needs the page's token in x-csrf-token; reload the page";
        return forbidden(why);
    }
    let needed = role::needed(request.method(), request.uri().path());
    if caller.role < needed {
        let why =
            format!("this needs the role {}, and {} has the role {}", needed.name(), caller.name, caller.role.name());
        return forbidden(&why);
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// `Err(None)`: nobody said who they are.
async fn identify(
    shared: &Shared,
    peer: SocketAddr,
    given: Option<(String, String)>,
    headers: &HeaderMap,
) -> Result<Caller, Option<Refusal>> {
    let said = shared.sign_on.as_ref().map(|sign_on| sign_on.name(peer, headers)).transpose()?.flatten();
    if let Some(name) = said {
        // Before HTTP Basic, which the proxy may have asked for itself and hand on.
        return by_proxy(shared, name).map_err(Some);
    }
    if let Some((name, secret)) = given {
        return match enter(shared, peer, headers, &name, &secret).await {
            Ok(role) => Ok(Caller { name, role, login: None }),
            Err(refusal) => Err(Some(refusal)),
        };
    }
    let login = cookie(headers).and_then(|token| shared.logins.find(token, Instant::now())).ok_or(None)?;
    // As it is now: a login may have begun while the role was changed.
    let role = shared.accounts.role_of(&login.name).ok_or(None)?;
    Ok(Caller { name: login.name.clone(), role, login: Some(login) })
}

/// Whom a proxy vouches for. A browser shows that to each page, so changes need the page's token as with a cookie.
fn by_proxy(shared: &Shared, name: String) -> Result<Caller, Refusal> {
    let Some(role) = shared.accounts.role(&name) else {
        let shown: String = name.chars().take(MAX_LOGGED).collect();
        return Err(Refusal::Status(StatusCode::FORBIDDEN, format!("there is no operator {shown:?} here")));
    };
    let login = Login::by_proxy(name.clone(), shared.accounts.page_token(&name), Instant::now());
    Ok(Caller { name, role, login: Some(login) })
}

/// Checks a name and a secret. Only what is wrong counts, and only against who guessed at this name.
pub(crate) async fn enter(
    shared: &Shared,
    peer: SocketAddr,
    headers: &HeaderMap,
    name: &str,
    secret: &str,
) -> Result<Role, Refusal> {
    let (attempts, source, now) = (&shared.attempts, Source::from(peer.ip()), Instant::now());
    let known_name = if shared.accounts.has(name) { name.to_owned() } else { String::new() };
    let pair = Pair { source, name: known_name, known_host: shared.hosts.knows(headers) };
    // What people choose can be guessed, what machines made can't. A name that nobody has might be a person's.
    if !shared.accounts.is_key(name) {
        match attempts.look(&pair, now) {
            Look::Now => {}
            Look::Soon(wait) => tokio::time::sleep(wait).await,
            Look::Later(wait) => return Err(too_many_wrong(wait)),
        }
    }
    let wrong = match shared.accounts.recognise(name, secret) {
        Recognised::Granted(role) => return Ok(role),
        Recognised::Refused => attempts.note_wrong(&pair, now),
        Recognised::Unsure(unsure) => {
            let begin = || attempts.begin(&pair, Instant::now());
            match shared.accounts.check(source, name, secret, unsure, begin).await {
                Checked::Granted(role) => return Ok(role),
                Checked::Refused => attempts.count(&pair),
                Checked::Busy => return Err(Refusal::busy("too many logins at once; try again")),
            }
        }
    };
    log_wrong(peer, name, wrong);
    Err(Refusal::Status(StatusCode::UNAUTHORIZED, "wrong user name, password or key".to_owned()))
}

fn too_many_wrong(wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + 1;
    let why = format!("too many wrong passwords; try again in {seconds} s");
    Refusal::Later(StatusCode::TOO_MANY_REQUESTS, why, seconds)
}

/// Some of a minute, not all: they cost who guesses nothing.
fn log_wrong(peer: SocketAddr, name: &str, wrong: u32) {
    let name: String = name.chars().take(MAX_LOGGED).collect();
    if wrong < MAX_WRONG {
        tracing::warn!(%peer, name, "admin: wrong user name, password or key");
    } else if wrong == MAX_WRONG {
        tracing::warn!(%peer, name, wrong, "admin: wrong user name, password or key; more in this minute are not told");
    }
}

fn ask_for_login(request: &Request) -> Response {
    if *request.method() == Method::GET && wants_html(request.headers()) {
        return Redirect::to(&pages::login_for(request.uri())).into_response();
    }
    unknown_caller(is_page(request.headers()))
}

/// Somebody has gone to this address with a browser.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"))
}

/// A page in a browser asks: browsers say whose, which scripts do not. A stream of events can't show the page's token.
pub(crate) fn is_page(headers: &HeaderMap) -> bool {
    let says_whose = headers.contains_key(header::REFERER) || headers.contains_key("sec-fetch-site");
    says_whose || headers.contains_key(CSRF_HEADER) || cookie(headers).is_some()
}

fn forbidden(why: &str) -> Response {
    Refusal::Status(StatusCode::FORBIDDEN, why.to_owned()).into_response()
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, rest) = text(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some((name.to_owned(), secret.to_owned()))
}

/// The token of a login, if the request has the cookie.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
