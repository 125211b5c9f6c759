//! The authorization endpoint: sign-in, consent, and a code.

use serde_json::Value;

use crate::{
    State,
    directory::{Code, Grant, Session},
    fault::{Fault, opaque},
    page,
    request::{Answer, Asked, Form},
    scope::{self, Scope},
    token,
};

const COOKIE: &str = "ESTSAUTH";

/// What the client asks for, once it is known where answers may be sent.
struct Request<'a> {
    client: String,
    redirect_uri: &'a str,
    mode: &'a str,
    state: Option<&'a str>,
    query: &'a Form,
}

pub(crate) fn answer(state: &mut State, asked: &Asked) -> Answer {
    // The parameters stay in the query while the pages' forms are posted back to it.
    match Request::read(state, &asked.query) {
        Err(fault) => Answer::page(400, page::error(&fault.description(state))),
        Ok(request) => sign_in(state, asked, &request),
    }
}

impl<'a> Request<'a> {
    /// A client or a redirect URI that is not known gets no redirect.
    fn read(state: &State, query: &'a Form) -> Result<Request<'a>, Fault> {
        let needed = |name: &str| query.find(name).ok_or_else(|| Fault::about(900144, name));
        let id = needed("client_id")?;
        let app = state.directory.app(id).ok_or_else(|| Fault::about(700016, id))?;
        let redirect_uri = needed("redirect_uri")?;
        if !app.redirects_to(redirect_uri) {
            return Err(Fault::about(50011, redirect_uri));
        }
        Ok(Request {
            client: app.id.clone(),
            redirect_uri,
            mode: query.find("response_mode").unwrap_or("query"),
            state: query.find("state"),
            query,
        })
    }

    /// The answer to the client: by its redirect URI, without `iss`.
    fn reply(&self, mut fields: Vec<(&str, String)>) -> Answer {
        if let Some(state) = self.state {
            fields.push(("state", state.to_owned()));
        }
        fields.push(("session_state", crate::fault::uuid()));
        if self.mode == "form_post" {
            return Answer::page(200, page::form_post(self.redirect_uri, &fields));
        }
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        let encoded = encoded.extend_pairs(&fields).finish();
        let mark = match self.mode {
            "fragment" => "#",
            _ if self.redirect_uri.contains('?') => "&",
            _ => "?",
        };
        Answer::redirect(&format!("{}{mark}{encoded}", self.redirect_uri))
    }

    fn refuse(&self, state: &State, fault: &Fault) -> Answer {
        let mut fields = vec![
            ("error", fault.error.to_owned()),
            ("error_description", fault.description(state)),
        ];
        fields.extend(fault.suberror.map(|suberror| ("error_subcode", suberror.to_owned())));
        fields.extend(fault.claims.clone().map(|claims| ("claims", claims)));
        self.reply(fields)
    }
}

fn sign_in(state: &mut State, asked: &Asked, request: &Request) -> Answer {
    let scope = match checked(state, request) {
        Ok(scope) => scope,
        Err(fault) => return request.refuse(state, &fault),
    };
    let prompt = request.query.find("prompt").unwrap_or_default();
    let stepped_up = asks_second_factor(request.query.find("claims"));
    let known = asked.cookie(COOKIE).and_then(|cookie| state.given.sessions.get(cookie)).cloned();
    let known = known.filter(|session| {
        state.directory.user(&session.user).is_some_and(|user| user.valid_from <= session.since)
    });
    let mut cookie = None;
    let session = match (asked.form.find("loginfmt"), known) {
        (Some(name), _) => {
            let user = state.directory.user(name);
            let right = asked.form.find("passwd") == Some(crate::PASSWORD);
            let Some(user) = user.filter(|_| right) else {
                return Answer::page(200, page::sign_in(&Fault::new(50126).description(state)));
            };
            if !user.enabled {
                return Answer::page(200, page::sign_in(&Fault::new(50057).description(state)));
            }
            let session =
                Session { user: user.name.clone(), second_factor: stepped_up, since: state.now() };
            let value = opaque("");
            state.given.sessions.insert(value.clone(), session.clone());
            cookie = Some(value);
            session
        }
        (None, Some(session))
            if (!stepped_up || session.second_factor)
                && (asked.form.find("consent").is_some()
                    || !matches!(prompt, "login" | "select_account")) =>
        {
            session
        }
        (None, _) if prompt == "none" => return request.refuse(state, &Fault::new(50058)),
        (None, _) => return Answer::page(200, page::sign_in("")),
    };
    let answer = signed_in(state, asked, request, scope, session);
    match cookie {
        None => answer,
        Some(value) => answer.header(
            "set-cookie",
            &format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=None"),
        ),
    }
}

/// Consent, then the code.
fn signed_in(
    state: &mut State,
    asked: &Asked,
    request: &Request,
    scope: Scope,
    session: Session,
) -> Answer {
    let grant = Grant {
        client: request.client.clone(),
        session,
        scope,
        nonce: request.query.find("nonce").map(Into::into),
        challenges: token::knows_challenges(request.query.find("claims")),
    };
    if asked.form.find("consent") == Some("accept") {
        let resource = grant.scope.resource.clone();
        state.directory.app_mut(&resource).consented.insert(grant.client.clone());
    }
    match token::allowed(state, &grant) {
        Err(fault) if fault.code == 65001 => {
            if asked.form.find("consent") == Some("cancel") {
                return request.refuse(state, &Fault::new(65004));
            }
            let name = &state.directory.app(&request.client).unwrap().name;
            let scope = request.query.find("scope").unwrap_or_default();
            return Answer::page(200, page::consent(name, scope));
        }
        // Shown to the user; the client hears nothing.
        Err(fault) if fault.code == 50105 => {
            return Answer::page(400, page::error(&fault.description(state)));
        }
        Err(fault) => return request.refuse(state, &fault),
        Ok(()) => {}
    }
    let challenge = request.query.find("code_challenge").map(|challenge| {
        let method = request.query.find("code_challenge_method").unwrap_or("plain");
        (challenge.to_owned(), method.to_owned())
    });
    let code = opaque("1.AUEB");
    let redirect_uri = request.redirect_uri.to_owned();
    let expires = state.now() + 600;
    let given = Code { grant, redirect_uri, challenge, expires, used: false };
    state.given.codes.insert(code.clone(), given);
    request.reply(vec![("code", code)])
}

fn checked(state: &State, request: &Request) -> Result<Scope, Fault> {
    let needed = |name: &str| request.query.find(name).ok_or_else(|| Fault::about(900144, name));
    if needed("response_type")? != "code" {
        return Err(Fault { error: "unsupported_response_type", ..Fault::new(70000) });
    }
    let scope = Scope::read(state, needed("scope")?)?;
    scope::check_resource(state, request.query.find("resource"), &scope)?;
    Ok(scope)
}

/// Whether the `claims` parameter repeats what Conditional Access asked for.
fn asks_second_factor(claims: Option<&str>) -> bool {
    let claims: Value = claims.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    claims["access_token"].get("capolids").is_some()
}
