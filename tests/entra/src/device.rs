//! The device authorization grant, with Entra's own error codes.

use serde_json::json;

use crate::{
    State,
    client::Client,
    directory::{Device, Grant, Session},
    fault::{Fault, opaque, random},
    page,
    request::{Answer, Asked},
    scope::Scope,
    token,
};

pub(crate) fn begin(state: &mut State, asked: &Asked) -> Result<Answer, Fault> {
    let id = asked.form.find("client_id").ok_or_else(|| Fault::about(900144, "client_id"))?;
    let app = state.directory.app(id).ok_or_else(|| Fault::about(700016, id))?;
    let client = app.id.clone();
    let text = asked.form.find("scope").ok_or_else(|| Fault::about(900144, "scope"))?;
    let scope = Scope::read(state, text)?;
    let letters = b"BCDFGHJKLMNPQRSTVWXZ";
    let user_code: String = random::<9>()
        .iter()
        .map(|byte| char::from(letters[usize::from(*byte) % letters.len()]))
        .collect();
    let device_code = opaque("DAQABAAEAAA");
    let at = format!("{}/common/oauth2/deviceauth", state.origin);
    let answer = json!({
        "user_code": user_code, "device_code": device_code, "verification_uri": at, "expires_in": 900, "interval": 5,
        "message": format!("To sign in, use a web browser to open the page {at} and enter the code {user_code} to authenticate."),
    });
    let expires = state.now() + 900;
    state
        .given
        .devices
        .insert(device_code, Device { client, scope, user_code, expires, answer: None });
    Ok(Answer::json(200, &answer))
}

/// Where the user enters the code, signs in and agrees, all in one form.
pub(crate) fn page(state: &mut State, asked: &Asked) -> Answer {
    let Some(shown) = asked.form.find("otc") else {
        return Answer::page(200, page::device(""));
    };
    let (name, password) = (asked.form.find("loginfmt"), asked.form.find("passwd"));
    let user = name.and_then(|name| state.directory.user(name));
    let user = user.filter(|user| user.enabled && password == Some(crate::PASSWORD));
    let Some(user) = user.map(|user| user.name.clone()) else {
        return Answer::page(200, page::device("AADSTS50126: wrong user name or password"));
    };
    let since = state.now();
    let found = state.given.devices.values_mut().find(|device| device.user_code == shown);
    let Some(device) = found else {
        return Answer::page(200, page::device("That code didn't work."));
    };
    let session = Session { user, second_factor: false, since };
    device.answer = Some((asked.form.find("decline") != Some("1")).then_some(session));
    Answer::page(200, "<p>You have signed in. You may now close this window.".into())
}

/// What a poll gets.
pub(crate) fn redeem(
    state: &mut State,
    client: &Client,
    code: &str,
) -> Result<(Session, Scope), Fault> {
    let device = state.given.devices.get(code).cloned().ok_or_else(|| Fault::new(70018))?;
    if device.client != client.id {
        return Err(Fault::new(70018));
    }
    if device.expires <= state.now() {
        return Err(Fault::new(70020));
    }
    let answer = device.answer.ok_or_else(|| Fault::new(70016))?;
    // RFC 8628 says `access_denied`; Entra says this.
    let declined = || Fault { error: "authorization_declined", ..Fault::new(65004) };
    let session = answer.ok_or_else(declined)?;
    let grant = Grant {
        client: client.id.clone(),
        session: session.clone(),
        scope: device.scope.clone(),
        nonce: None,
        challenges: false,
    };
    token::allowed(state, &grant)?;
    state.given.devices.remove(code);
    Ok((session, device.scope))
}
