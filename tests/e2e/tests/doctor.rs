//! `bartizan doctor` beside a gateway and its Entra: what is well, and what is said of each thing that is not.

use std::process::Stdio;

use e2e::Place;
use entra::{DAEMON, GATEWAY, GATEWAY_SECRET, GRAPH, STRANGER};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

/// What the doctor says, with the secret that it finds.
async fn doctor(place: &Place, secret: &str, application: Option<&str>) -> (i32, Vec<Value>) {
    let mut command = place.gateway.command();
    command
        .args(["doctor", "--output", "json"])
        .env("ENTRA_SECRET", secret)
        .env("SSL_CERT_FILE", place.entra.authority())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if application.is_some() {
        command.args(["--application", "-"]);
    }
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(application.unwrap_or_default().as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let findings = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{err}"));
    (output.status.code().unwrap(), findings)
}

/// The one finding of a check.
fn about<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    findings
        .iter()
        .find(|finding| finding["check"] == check)
        .unwrap_or_else(|| panic!("nothing about {check}: {findings:#?}"))
}

/// Fails the test unless a check failed, with this in what was found.
fn fails(findings: &[Value], check: &str, found: &str) {
    let finding = about(findings, check);
    assert_eq!(finding["state"], "fault", "{finding}");
    assert!(finding["found"].as_str().unwrap().contains(found), "{finding}");
    assert!(!finding["mend"].as_str().unwrap().is_empty(), "{finding}");
}

#[tokio::test]
async fn all_is_well() {
    let place = Place::new("").await;
    place.entra.change(|state| {
        let gateway = state.directory.app_mut(GATEWAY).oid.clone();
        let graph = state.directory.app_mut(GRAPH);
        graph.assigned.get_mut(&gateway).unwrap().insert("Application.Read.All".into());
    });
    let (code, findings) = doctor(&place, GATEWAY_SECRET, None).await;
    for finding in &findings {
        assert_eq!(finding["state"], "ok", "{finding}");
    }
    assert_eq!((code, findings.len()), (0, 14), "{findings:#?}");
    // It looked and changed nothing: nobody was signed in, no code was given out.
    assert_eq!(place.entra.asked("POST /hostile"), 0);
}

#[tokio::test]
async fn each_fault_has_its_mend() {
    let place = Place::new("").await;
    let entra = &place.entra;

    let (code, findings) = doctor(&place, "wrong", None).await;
    assert_eq!(code, 1);
    fails(&findings, "graph: client credentials", "AADSTS7000215");
    entra.change(|state| state.directory.app_mut(GATEWAY).secrets[0].1 = 0);
    fails(
        &doctor(&place, GATEWAY_SECRET, None).await.1,
        "graph: client credentials",
        "AADSTS7000222",
    );
    entra.change(|state| state.directory.app_mut(GATEWAY).secrets[0].1 = i64::MAX);

    entra.change(|state| state.directory.app_mut(GATEWAY).redirect_uris.clear());
    fails(&doctor(&place, GATEWAY_SECRET, None).await.1, "sign-in: redirect URI", "AADSTS50011");
    entra.register_redirect(&format!("{}/oauth/callback", place.url));

    entra.change(|state| {
        let granted = std::mem::take(&mut state.directory.app_mut(GRAPH).assigned);
        assert!(!granted.is_empty());
    });
    fails(
        &doctor(&place, GATEWAY_SECRET, None).await.1,
        "graph: client credentials",
        "Insufficient privileges",
    );

    for (seconds, state) in [(-400, "fault"), (30, "warning")] {
        entra.change(|all| all.trouble.clock = seconds);
        let findings = doctor(&place, GATEWAY_SECRET, None).await.1;
        assert_eq!(about(&findings, "entra: clock")["state"], state, "{findings:#?}");
    }
    entra.change(|state| state.trouble.clock = 0);

    // Another application's certificate.
    entra.change(|state| state.directory.apps.retain(|app| app.id == GATEWAY || app.id == DAEMON));
    entra.change(|state| state.directory.app_mut(GATEWAY).id = STRANGER.to_owned());
    fails(
        &doctor(&place, GATEWAY_SECRET, None).await.1,
        "sign-in: client authentication",
        "AADSTS700016",
    );

    entra.change(|state| state.trouble.login = true);
    fails(&doctor(&place, GATEWAY_SECRET, None).await.1, "entra: metadata", "HTTP 503");
}

#[tokio::test]
async fn a_registration_that_was_shown() {
    let place =
        Place::new("[roles.gone]\nmembers = [\"role:Nobody.Has.It\", \"group:x\"]\nallow = []")
            .await;
    let shown = include_str!("../../../docs/entra/application.json");
    let (code, findings) = doctor(&place, GATEWAY_SECRET, Some(shown)).await;
    assert_eq!(code, 1);
    fails(&findings, "registration: app roles", "Nobody.Has.It");
    fails(&findings, "registration: redirect URI", "/oauth/callback");
    assert_eq!(about(&findings, "registration: groups")["state"], "ok");
    let (_, findings) = doctor(&place, GATEWAY_SECRET, Some("not JSON")).await;
    fails(&findings, "registration", "not JSON");
}
