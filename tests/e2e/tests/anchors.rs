//! Checkpoints outside of the gateway's reach: in a folder, in git, signed by a witness.

use std::{fs, path::Path, process::Stdio};

use e2e::{Era, Gateway, binary, eventually, python, run, source};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

async fn calls(gateway: &Gateway, count: usize) {
    let client = gateway.client(Era::Stateless).await;
    for _ in 0..count {
        assert_eq!(client.call_text("new__echo", json!({"text": "hi"})).await, "hi");
    }
}

async fn git(tree: &Path, arguments: &[&str]) -> String {
    run(Command::new("git").arg("-C").arg(tree).args(arguments)).await
}

fn size(note: &str) -> u64 {
    note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn checkpoints_are_kept_elsewhere_and_a_witness_signs_that_the_log_only_grew() {
    let outside = tempfile::tempdir().unwrap();
    let (share, tree) = (outside.path().join("share"), outside.path().join("tree"));
    let public = outside.path().join("audit.pub");
    fs::create_dir(&tree).unwrap();
    git(&tree, &["init", "--quiet"]).await;
    let mut witness = Command::new(python("python3"))
        .arg(source("servers/witness.py"))
        .arg(&public)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(witness.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let [_, url, key] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let command = binary("everything");
    let gateway = Gateway::start(&format!(
        "[servers.new]\ncommand = {command:?}\nargs = [\"stdio\"]\n\
         [audit.anchors]\nevery = \"1s\"\nfolder = {share:?}\ngit = {tree:?}\n\
         [audit.anchors.witnesses.python]\nurl = \"{url}\"\nkey = \"{key}\"\nallow-private = true\n"
    ))
    .await;
    let audit = gateway.folder().join("state/audit");
    fs::copy(audit.join("audit.pub"), &public).unwrap();
    let cosigned = || fs::read_to_string(audit.join("checkpoint.cosigned")).unwrap_or_default();
    let mut before = 0;
    for _ in 0..2 {
        calls(&gateway, 20).await;
        eventually("the witness signs what is new", async || size(&cosigned()) >= before + 40)
            .await;
        before = size(&cosigned());
    }
    let verify = ["audit", "verify", "--witness", key];
    let verified = run(gateway.command().args(verify)).await;
    assert!(
        verified.ends_with("\nOK\n") && verified.contains("witness.example/python"),
        "{verified}"
    );
    // Another's signature is none.
    let (name, rest) = key.split_once('+').unwrap();
    assert!(name != rest);
    let stranger = "witness.example.com/w1+30b0eacf+BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";
    let refused = gateway.command().args(["audit", "verify", "--witness", stranger]).output().await;
    assert_eq!(refused.unwrap().status.code(), Some(1));

    // What is outside is what was signed.
    let log = git(&tree, &["log", "--format=%s"]).await;
    assert!(log.lines().count() >= 2 && log.contains(" records"), "{log}");
    let kept: Vec<_> = fs::read_dir(&share).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut files: Vec<_> = fs::read_dir(&kept[0]).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    let first = files[0].to_str().unwrap();
    run(gateway.command().args(["audit", "verify", "--checkpoint", first])).await;
}
