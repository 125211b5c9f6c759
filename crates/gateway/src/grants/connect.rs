//! The person's road to a grant: `/connect/{ticket}`, the authorization server, `/connect/callback`.
//!
//! A ticket is told to one principal, in the refusal of a call that needs the grant. Whoever opens it must
//! be that principal (the MCP specification's rule for URLs that are elicited): a user opens it in a
//! browser that signed in as that user here; for tokens and the owner, which have no browser of their
//! own, it opens on this machine alone, for the user that the gateway runs as.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use askama::Template;
use http::{Response, StatusCode, request::Parts};
use hyper::body::Incoming;
use identity::{PrincipalKind, Verified};
use mcp::ServerName;
use url::{Url, form_urlencoded};
use vault::oauth::{Authorization, Callback, Challenge, Grant, Scopes, registration};

use super::{FORM, Grants, Owner};
use crate::{
    Gateway,
    catalogue::Listed,
    door::{
        exchange::Body,
        oauth::{
            answer::{self, STYLE},
            browser::{Browser, is_own_form},
            pages::Message,
        },
    },
    refusal::Refusal,
    seal::{Purpose, random, random_id},
};

/// How long a ticket or a visit to the authorization server may take, in seconds.
const LIFE: u64 = 600;
/// Tickets, and visits under way.
const MOST: usize = 4096;

/// Sign-ins at authorization servers that have begun.
#[derive(Default)]
pub(crate) struct Connecting {
    tickets: Mutex<HashMap<String, Ticket>>,
    visits: Mutex<HashMap<String, Visit>>,
}

/// What a principal was told to do.
#[derive(Clone)]
struct Ticket {
    server: ServerName,
    kind: PrincipalKind,
    principal: String,
    owner: Arc<str>,
    challenge: Challenge,
    had: Scopes,
    until: u64,
}

/// A browser that is at the authorization server; its key is the `state`.
struct Visit {
    ticket: Ticket,
    authorization: Authorization,
    browser: String,
    until: u64,
}

/// Keeps one more, or says that there is no room even when the old ones are gone.
fn keep<T>(
    map: &mut HashMap<String, T>,
    key: String,
    value: T,
    is_over: impl Fn(&T) -> bool,
) -> bool {
    if map.len() >= MOST {
        map.retain(|_, value| !is_over(value));
    }
    let room = map.len() < MOST;
    if room {
        map.insert(key, value);
    }
    room
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Grants {
    /// What the caller has to do before this server will serve them.
    pub(super) fn connect(&self, caller: &Verified, challenge: Challenge, had: Scopes) -> Refusal {
        let Some(public_url) = self.shared.public_url.get() else {
            return self.unavailable(&"nobody can sign in before the gateway listens");
        };
        let now = crate::now();
        let principal = caller.principal();
        let ticket = Ticket {
            server: self.server.clone(),
            kind: principal.kind(),
            principal: principal.id().to_owned(),
            owner: self.owner(caller).partition,
            challenge,
            had,
            until: now + LIFE,
        };
        let mut tickets = lock(&self.shared.connecting.tickets);
        let same = |other: &Ticket| {
            now < other.until
                && (&other.server, &other.owner, &other.challenge)
                    == (&ticket.server, &ticket.owner, &ticket.challenge)
        };
        let known = tickets.iter().find(|(_, other)| same(other)).map(|(key, _)| key.clone());
        let key = match known {
            Some(key) => key,
            None => {
                let Ok(key) = random_id() else { return self.unavailable(&"no randomness") };
                if !keep(&mut tickets, key.clone(), ticket, |ticket| ticket.until <= now) {
                    return Refusal::TooMany("sign-ins");
                }
                key
            }
        };
        let url = format!("{public_url}/connect/{key}");
        Refusal::Connect { server: self.server.clone(), url, question: None }
    }
}

/// Whether a path is one of ours.
pub(crate) fn is_ours(path: &str) -> bool {
    path.starts_with("/connect/")
}

/// Answers one request for one of our paths, of a client that is let in from where it is.
pub(crate) async fn handle(
    gateway: &Arc<Gateway>,
    on_this_machine: bool,
    head: &Parts,
    body: Incoming,
) -> Response<Body> {
    let Some(public_url) = gateway.grants.public_url.get() else {
        return answer::plain(StatusCode::NOT_FOUND);
    };
    let asked = Asked { gateway, public_url, head, on_this_machine };
    let rest = head.uri.path().strip_prefix("/connect/").unwrap_or_default();
    let answered = match (head.method.as_str(), rest) {
        ("GET", "client.json") => return asked.document(),
        ("GET", "callback") => asked.callback().await,
        ("GET", ticket) => asked.page(ticket).await,
        ("POST", ticket) => asked.begin(ticket, body).await,
        _ => return answer::plain(StatusCode::METHOD_NOT_ALLOWED),
    };
    answered.unwrap_or_else(|failure| failure.page())
}

/// Why a person can't go on.
enum Failure {
    /// The ticket or the visit is not known any more.
    Over,
    /// Somebody else's ticket.
    NotYours(&'static str),
    /// Discovery, registration or the token endpoint failed.
    Fault { server: ServerName, text: String },
}

impl Failure {
    fn page(self) -> Response<Body> {
        let (status, title, text) = match self {
            Failure::Over => (
                StatusCode::NOT_FOUND,
                "This link is over".to_owned(),
                "It was used, or is older than ten minutes. Make the call again to get another one."
                    .to_owned(),
            ),
            Failure::NotYours(text) => {
                (StatusCode::FORBIDDEN, "This link is not for you".to_owned(), text.to_owned())
            }
            Failure::Fault { server, text } => {
                (StatusCode::BAD_GATEWAY, format!("{server} could not be connected"), text)
            }
        };
        let message = Message { title: &title, text: &text, ..Message::default() };
        answer::page(status, &message)
    }
}

/// The question whether Bartizan may act for the person at a server.
#[derive(Template)]
#[template(path = "connect.html")]
struct Page<'a> {
    server: &'a str,
    host: &'a str,
    principal: &'a str,
    is_user: bool,
    scopes: Vec<String>,
    ticket: &'a str,
    question: &'a str,
}

impl Page<'_> {
    fn style(&self) -> &'static str {
        STYLE
    }
}

/// One request.
struct Asked<'a> {
    gateway: &'a Arc<Gateway>,
    public_url: &'a str,
    head: &'a Parts,
    on_this_machine: bool,
}

impl Asked<'_> {
    fn secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    fn redirect(&self) -> Result<Url, Failure> {
        Url::parse(&format!("{}/connect/callback", self.public_url)).map_err(|_| Failure::Over)
    }

    /// The document about Bartizan as a client (Client ID Metadata Documents).
    fn document(&self) -> Response<Body> {
        let Ok(redirect) = self.redirect() else { return answer::plain(StatusCode::NOT_FOUND) };
        let own = format!("{}/connect/client.json", self.public_url);
        let metadata = registration::Metadata {
            client_id: Some(&own),
            ..registration::Metadata::new(&redirect)
        };
        let value = serde_json::to_value(&metadata).unwrap_or_default();
        answer::json(StatusCode::OK, &value)
    }

    /// The ticket, if whoever shows it is the one that it was told to.
    async fn ticket(&self, key: &str, browser: &Browser) -> Result<Ticket, Failure> {
        let ticket = lock(&self.gateway.grants.connecting.tickets).get(key).cloned();
        let ticket = ticket.filter(|ticket| crate::now() < ticket.until).ok_or(Failure::Over)?;
        if ticket.kind != PrincipalKind::User {
            if self.on_this_machine {
                return Ok(ticket);
            }
            self.not_theirs(&ticket, "it was opened on another machine").await;
            return Err(Failure::NotYours(
                "A token has no browser of its own, so its links open on the gateway's own \
                 machine alone. Sign in as a user to connect from elsewhere.",
            ));
        }
        let known = self.gateway.store.oauth_browser_is(&browser.hash(), &ticket.principal).await;
        match known {
            Ok(true) => Ok(ticket),
            Ok(false) => {
                self.not_theirs(&ticket, "it was opened in a browser that they did not sign in in")
                    .await;
                Err(Failure::NotYours(
                    "Open it in the browser in which you signed in to Bartizan. If somebody sent it \
                     to you, don't: it would connect their access to your account.",
                ))
            }
            Err(fault) => {
                let (server, text) = (ticket.server, fault.to_string());
                Err(Failure::Fault { server, text })
            }
        }
    }

    /// Records that somebody opened another's link; who it was, nobody knows.
    async fn not_theirs(&self, ticket: &Ticket, how: &str) {
        let detail = format!("the link of {}: {how}", ticket.principal);
        let Some(detail) = self.gateway.admit_refusal(false, detail) else { return };
        let record = audit::Record {
            kind: audit::Kind::Grant,
            door: "http",
            server: ticket.server.as_str(),
            method: "connect",
            outcome: Some(audit::Outcome::Refused),
            refusal: "not-yours",
            detail: &detail,
            ..audit::Record::default()
        };
        if let Err(fault) = self.gateway.append(&record).await {
            tracing::warn!(%fault, detail, "a refused link could not be recorded");
        }
    }

    fn served(&self, ticket: &Ticket) -> Result<Arc<crate::served::Served>, Failure> {
        self.gateway.served(ticket.server.as_str()).ok_or(Failure::Over)
    }

    async fn page(&self, key: &str) -> Result<Response<Body>, Failure> {
        let browser = Browser::of(&self.head.headers, self.secure()).ok_or(Failure::Over)?;
        let ticket = self.ticket(key, &browser).await?;
        let served = self.served(&ticket)?;
        let grants = served.grants().ok_or(Failure::Over)?;
        let sealer = &self.gateway.grants.sealer;
        let question = sealer
            .seal(Purpose::Connect, &browser.owner(), crate::now() + LIFE, key.as_bytes())
            .map_err(|_| Failure::Over)?;
        let scopes = ticket.challenge.scope.as_ref().unwrap_or(&grants.oauth.scopes).to_string();
        let page = Page {
            server: ticket.server.as_str(),
            host: grants.url.host_str().unwrap_or_default(),
            principal: &ticket.principal,
            is_user: ticket.kind == PrincipalKind::User,
            scopes: scopes.split_whitespace().map(str::to_owned).collect(),
            ticket: key,
            question: &question,
        };
        Ok(browser.remember(answer::page(StatusCode::OK, &page), self.secure()))
    }

    /// The person wants to: where to go on.
    async fn begin(&self, key: &str, body: Incoming) -> Result<Response<Body>, Failure> {
        let browser = Browser::known(&self.head.headers, self.secure()).ok_or(Failure::Over)?;
        if !is_own_form(&self.head.headers, self.public_url) {
            return Err(Failure::Over);
        }
        let body = crate::door::http::collect(body, FORM).await.map_err(|_| Failure::Over)?;
        let shown = form_urlencoded::parse(&body).find(|(name, _)| name == "question");
        let (_, shown) = shown.ok_or(Failure::Over)?;
        let now = crate::now();
        let sealer = &self.gateway.grants.sealer;
        let opened = sealer.open(Purpose::Connect, &browser.owner(), now, &shown);
        if opened.ok().as_deref() != Some(key.as_bytes()) {
            return Err(Failure::Over);
        }
        let ticket = self.ticket(key, &browser).await?;
        let served = self.served(&ticket)?;
        let grants = served.grants().ok_or(Failure::Over)?;
        let redirect = self.redirect()?;
        let terms = grants.terms(&ticket.challenge, &ticket.had, Some(&redirect)).await;
        let terms = match terms {
            Ok(terms) => terms,
            Err(fault) => return Err(self.failed(&ticket, fault).await),
        };
        let random = random().ok_or(Failure::Over)?;
        let state = random_id().map_err(|_| Failure::Over)?;
        let authorization = Authorization::begin(terms, redirect, &random);
        let url = authorization.url(&state);
        let connecting = &self.gateway.grants.connecting;
        lock(&connecting.tickets).remove(key);
        let visit = Visit { ticket, authorization, browser: browser.owner(), until: now + LIFE };
        if !keep(&mut lock(&connecting.visits), state, visit, |visit| visit.until <= now) {
            return Err(Failure::Over);
        }
        let next = Some((url.as_str(), "Go on"));
        let text = "You will sign in there, and come back here.";
        let title = format!("On to {}", url.host_str().unwrap_or_default());
        let message = Message { title: &title, text, next, ..Message::default() };
        Ok(answer::page(StatusCode::OK, &message))
    }

    /// Back from the authorization server.
    async fn callback(&self) -> Result<Response<Body>, Failure> {
        let query = self.head.uri.query().unwrap_or_default();
        let callback = Callback::read(query).map_err(|_| Failure::Over)?;
        let browser = Browser::known(&self.head.headers, self.secure()).ok_or(Failure::Over)?;
        let state = callback.state.as_deref().ok_or(Failure::Over)?;
        let connecting = &self.gateway.grants.connecting;
        let visit = {
            let mut visits = lock(&connecting.visits);
            // Somebody else's callback does not end this visit.
            let ours = visits.get(state).is_some_and(|visit| visit.browser == browser.owner());
            if ours { visits.remove(state) } else { None }
        };
        let now = crate::now();
        let visit = visit.filter(|visit| now < visit.until).ok_or(Failure::Over)?;
        let Visit { ticket, authorization, .. } = visit;
        let served = self.served(&ticket)?;
        let grants = served.grants().ok_or(Failure::Over)?;
        let code = match authorization.code(&callback) {
            Ok(code) => code,
            Err(fault) => return Err(self.failed(&ticket, fault).await),
        };
        let answer = grants.ask(authorization.request(code), &authorization.terms, now).await;
        let issuer = authorization.terms.issuer.issuer.clone();
        let grant = answer.and_then(|(status, body)| {
            Grant::read(authorization.terms.clone(), status, &body, now)
        });
        let grant = match grant {
            Ok(grant) => grant,
            Err(fault) => {
                if matches!(fault, vault::oauth::TokenError::Client) {
                    self.gateway.grants.forget_client(&issuer);
                }
                return Err(self.failed(&ticket, fault).await);
            }
        };
        let scopes = grant.scopes.to_string();
        // Recorded first: a grant that nobody can account for is not kept.
        let detail = format!("granted by {issuer}: {scopes}");
        if let Err(refusal) = self.record(&ticket, "", &detail).await {
            return Err(Failure::Fault { server: ticket.server, text: refusal.error().message });
        }
        let owner = Owner { partition: ticket.owner.clone(), principal: ticket.principal.clone() };
        let slot = grants.slots.of(&owner.partition);
        if let Err(refusal) = grants.keep(&owner, &slot, grant, now).await {
            return Err(Failure::Fault { server: ticket.server, text: refusal.error().message });
        }
        self.gateway.changed(Listed::Tools);
        self.gateway.changed(Listed::Prompts);
        let title = format!("{} is connected", ticket.server);
        let text = "You can close this page and make the call again.";
        let message = Message { title: &title, text, ..Message::default() };
        Ok(answer::page(StatusCode::OK, &message))
    }

    async fn failed(&self, ticket: &Ticket, fault: impl std::fmt::Display) -> Failure {
        let text = fault.to_string();
        let server = ticket.server.clone();
        match self.record(ticket, "grant", &text).await {
            Ok(()) => Failure::Fault { server, text },
            Err(refusal) => Failure::Fault { server, text: refusal.error().message },
        }
    }

    async fn record(&self, ticket: &Ticket, refused: &str, detail: &str) -> Result<(), Refusal> {
        let outcome = if refused.is_empty() { audit::Outcome::Ok } else { audit::Outcome::Refused };
        let record = audit::Record {
            kind: audit::Kind::Grant,
            principal: &ticket.principal,
            door: "http",
            server: ticket.server.as_str(),
            method: "connect",
            outcome: Some(outcome),
            refusal: refused,
            detail,
            ..audit::Record::default()
        };
        self.gateway.append(&record).await
    }
}
