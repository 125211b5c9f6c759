//! The smallest identity provider: it signs people in without asking, and remembers what it was asked.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A running provider.
#[derive(Clone)]
pub struct Provider {
    /// Its issuer.
    pub issuer: String,
    state: Arc<Mutex<State>>,
    key: EncodingKey,
    jwk: Value,
}

/// What a test looks at or changes.
#[derive(Default)]
pub struct State {
    /// Who signs in next.
    pub user: String,
    /// The groups of everybody.
    pub groups: Vec<String>,
    /// Whether refresh tokens are refused.
    pub disabled: bool,
    /// What goes into ID tokens in place of the right claim.
    pub wrong: Option<(&'static str, Value)>,
    /// The queries and forms that came, whole.
    pub asked: Vec<String>,
    codes: HashMap<String, HashMap<String, String>>,
    count: usize,
}

impl Provider {
    /// Starts one on a free port.
    pub async fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let pair = rcgen::KeyPair::generate().unwrap();
        let point = pair.public_key_raw().to_vec();
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..65]), "kid": "k", "alg": "ES256", "use": "sig"});
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let state = State { user: "alice".into(), ..State::default() };
        let provider = Provider { issuer, state: Arc::new(Mutex::new(state)), key, jwk };
        let serving = provider.clone();
        let service = service_fn(move |request| {
            let provider = serving.clone();
            async move { Ok::<_, Infallible>(provider.answer(request).await) }
        });
        e2e::serve(listener, service);
        provider
    }

    /// Looks at or changes the state.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// A signed token.
    pub fn sign(&self, typ: &str, claims: &Value) -> String {
        let header = Header {
            typ: Some(typ.into()),
            kid: Some("k".into()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let query = head.uri.query().unwrap_or_default().to_owned();
        match head.uri.path() {
            "/.well-known/openid-configuration" => ok(&json!({
                "issuer": self.issuer, "jwks_uri": format!("{}/jwks", self.issuer),
                "authorization_endpoint": format!("{}/authorize", self.issuer), "token_endpoint": format!("{}/token", self.issuer),
            })),
            "/jwks" => ok(&json!({"keys": [self.jwk]})),
            "/authorize" => self.authorize(&query),
            "/token" => self.token(std::str::from_utf8(&body).unwrap()),
            other => panic!("the provider was asked for {other}"),
        }
    }

    fn authorize(&self, query: &str) -> Response<Full<Bytes>> {
        let mut params = form(query);
        self.change(|state| {
            state.asked.push(query.to_owned());
            state.count += 1;
            let code = format!("provider-code-{}", state.count);
            let location =
                format!("{}?code={code}&state={}", params["redirect_uri"], params["state"]);
            params.insert("user".into(), state.user.clone());
            state.codes.insert(code, params);
            Response::builder()
                .status(302)
                .header("location", location)
                .body(Full::default())
                .unwrap()
        })
    }

    fn token(&self, body: &str) -> Response<Full<Bytes>> {
        let params = form(body);
        let (user, nonce) = match params["grant_type"].as_str() {
            "authorization_code" => {
                let begun = self.change(|state| state.codes.remove(&params["code"])).unwrap();
                let digest = sha256(&params["code_verifier"]);
                assert_eq!(begun["code_challenge"], B64.encode(digest), "our own PKCE");
                (begun["user"].clone(), begun.get("nonce").cloned())
            }
            "urn:ietf:params:oauth:grant-type:token-exchange" => {
                self.change(|state| state.asked.push(body.to_owned()));
                let user = params["subject_token"].strip_prefix("provider-access-").unwrap();
                return ok(&self.onward(user));
            }
            _ => {
                let user =
                    params["refresh_token"].strip_prefix("provider-refresh-").unwrap().to_owned();
                if self.change(|state| state.disabled) {
                    return refused("invalid_grant");
                }
                if params.contains_key("scope") {
                    self.change(|state| state.asked.push(body.to_owned()));
                    return ok(&self.onward(&user));
                }
                (user, None)
            }
        };
        let (groups, wrong) = self.change(|state| {
            state.asked.push(body.to_owned());
            (state.groups.clone(), state.wrong.clone())
        });
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.issuer, "aud": "bartizan", "sub": user, "name": format!("Dr. {user}"), "groups": groups,
            "iat": now, "exp": now + 600, "nonce": nonce,
        });
        if let Some((name, value)) = wrong {
            claims[name] = value;
        }
        ok(&json!({
            "access_token": format!("provider-access-{user}"), "id_token": self.sign("JWT", &claims), "token_type": "Bearer", "expires_in": 3600,
            "refresh_token": format!("provider-refresh-{user}"),
        }))
    }
}

impl Provider {
    /// A token for the server `orders`, as an answer.
    fn onward(&self, user: &str) -> Value {
        let token = self.sign("JWT", &json!({"aud": "api://orders", "upn": user}));
        json!({
            "access_token": token, "token_type": "Bearer", "expires_in": 3600,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        })
    }
}

fn sha256(text: &str) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).to_vec()
}

fn ok(value: &Value) -> Response<Full<Bytes>> {
    Response::builder()
        .header("content-type", "application/json")
        .body(Full::from(value.to_string()))
        .unwrap()
}

fn refused(error: &str) -> Response<Full<Bytes>> {
    let body = json!({"error": error, "error_description": "AADSTS50173: revoked\r\nTrace ID: x"});
    Response::builder().status(400).body(Full::from(body.to_string())).unwrap()
}

/// Reads a query or form.
pub fn form(text: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}
