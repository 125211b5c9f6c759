//! Signing in by the person's browser, which comes back to a port on the loopback (RFC 8252 §7.3).

use std::{process::Stdio, time::Duration};

use identity::broker::{Challenge, Params, encode};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use upstream::HttpClient;

use super::{
    Login, Server,
    oauth::{login, post},
    random,
};

/// A person may take so long.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Signs in.
pub async fn by_browser(
    client: &HttpClient,
    server: &Server,
    url: &str,
    client_id: &str,
    open: bool,
) -> anyhow::Result<Login> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let redirect = format!("http://127.0.0.1:{}/callback", listener.local_addr()?.port());
    let (state, verifier) = (random()?, random()?);
    let challenge = Challenge::of(&verifier);
    let query = encode([
        ("response_type", Some("code".into())),
        ("client_id", Some(client_id.into())),
        ("redirect_uri", Some(redirect.as_str().into())),
        ("resource", Some(url.into())),
        ("state", Some(state.as_str().into())),
        ("code_challenge", Some(challenge.as_str().into())),
        ("code_challenge_method", Some("S256".into())),
    ]);
    let page = format!("{}?{query}", server.authorization_endpoint);
    eprintln!("Sign in with your browser:\n\n  {page}\n");
    if open {
        show(&page);
    }
    let code = tokio::time::timeout(PATIENCE, came_back(&listener, &state, &server.issuer))
        .await
        .map_err(|_| anyhow::anyhow!("nobody signed in within ten minutes"))??;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &redirect),
        ("client_id", client_id),
        ("code_verifier", &verifier),
        ("resource", url),
    ];
    Ok(login(server, url, client_id, post(client, &server.token_endpoint, &form).await?))
}

/// Asks the desktop for a browser. The URL is an argument, which no shell reads; where there is no desktop the person copies it.
fn show(page: &str) {
    let web = page.starts_with("https://") || page.starts_with("http://");
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if web {
        let quiet = || Stdio::null();
        let _ = std::process::Command::new(opener)
            .arg(page)
            .stdin(quiet())
            .stdout(quiet())
            .stderr(quiet())
            .spawn();
    }
}

/// Waits for the browser to come back with the answer to our own question.
async fn came_back(listener: &TcpListener, state: &str, issuer: &str) -> anyhow::Result<String> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let Some(params) = query(&mut stream).await else { continue };
        // Somebody else's answer, or none: the person's own may still come.
        if params.get("state") != Some(state) || params.get("iss") != Some(issuer) {
            tell(&mut stream, "400 Bad Request", "This is not the sign-in that was begun here.")
                .await;
            continue;
        }
        match (params.get("code"), params.get("error")) {
            (Some(code), None) => {
                tell(&mut stream, "200 OK", "You are signed in. You can close this page.").await;
                return Ok(code.to_owned());
            }
            (_, error) => {
                tell(&mut stream, "200 OK", "You are not signed in. You can close this page.")
                    .await;
                let why = params.get("error_description").unwrap_or_default();
                anyhow::bail!(
                    "not signed in: {} {}",
                    error.unwrap_or("no code"),
                    crate::print::tame(why)
                );
            }
        }
    }
}

/// The query of a `GET /callback`.
async fn query(stream: &mut TcpStream) -> Option<Params> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(16 << 10));
    tokio::time::timeout(Duration::from_secs(5), reader.read_line(&mut line)).await.ok()?.ok()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    let (path, query) = target.split_once('?')?;
    Params::parse(query.as_bytes()).ok().filter(|_| path == "/callback")
}

async fn tell(stream: &mut TcpStream, status: &str, text: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
