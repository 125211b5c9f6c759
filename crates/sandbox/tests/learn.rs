//! What a server calls and asks for is seen, and what was seen is all that it needs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use sandbox::{Calls, Level, Profile, SpawnFault, Want, spawn};
use tokio::io::AsyncReadExt as _;

const NOBODY: u32 = 65534;

fn profile(level: Level, command: &str, script: &str, calls: Calls) -> Profile {
    Profile {
        args: vec!["-c".into(), script.into()],
        level,
        calls,
        jailer: Some(PathBuf::from(env!("CARGO_BIN_EXE_sandbox-jail"))),
        ..Profile::new("learn", command)
    }
}

/// What a server printed, and what was seen of it.
async fn run(profile: &Profile) -> (String, BTreeSet<&'static str>, Vec<(PathBuf, bool)>) {
    let spawned = spawn(profile).unwrap_or_else(|fault| panic!("{fault}"));
    let watching = spawned.watch.map(|watch| {
        std::thread::spawn(move || {
            let mut wants = Vec::new();
            watch.run(|want| wants.push(want));
            wants
        })
    });
    let mut child = spawned.child;
    drop(child.stdin.take());
    let (mut text, mut errors) = (String::new(), String::new());
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (a, b) = tokio::join!(out.read_to_string(&mut text), err.read_to_string(&mut errors));
    a.and(b).unwrap();
    child.wait().await.unwrap();
    let (mut calls, mut paths) = (BTreeSet::new(), Vec::new());
    // It ends by itself, since the server has.
    for want in watching.map(|thread| thread.join().unwrap()).unwrap_or_default() {
        match want {
            Want::Call(name) => drop(calls.insert(name)),
            Want::Path { path, write } => paths.push((path, write)),
        }
    }
    (text + &errors, calls, paths)
}

/// A folder that every user may enter.
fn outside() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("note"), "text").unwrap();
    folder
}

#[tokio::test]
async fn calls_and_paths_are_seen() {
    let outside = outside();
    let path = |name: &str| outside.path().join(name);
    for level in [Level::Strong, Level::Basic] {
        let script = format!(
            "cat {note}; cd /usr && cat ../{note}; echo x > {new}; ls -l bin/sh >/dev/null; echo end",
            note = path("note").display(),
            new = path("new").display(),
        );
        let (text, calls, paths) = run(&profile(level, "sh", &script, Calls::Learned)).await;
        assert!(text.contains("end\n"), "{level:?}: {text}");
        for call in ["openat", "wait4", "read"] {
            assert!(calls.contains(call), "{level:?} {call}: {calls:?}");
        }
        for want in [(path("note"), false), (path("new"), true), ("/usr/bin/sh".into(), false)] {
            assert!(paths.contains(&want), "{level:?} {want:?}: {paths:#?}");
        }
        let kernels = |(path, _): &(PathBuf, bool)| path.starts_with("/proc");
        assert!(!paths.iter().any(kernels), "{paths:#?}");
    }
}

#[tokio::test]
async fn what_was_learned_is_enough_and_nothing_else_works() {
    let python = "import os, threading, subprocess, json\n\
        t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n\
        print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())\n\
        print(len(os.listdir('/usr')) > 0)";
    for level in [Level::Strong, Level::Basic] {
        let program = "/usr/bin/python3";
        let (text, calls, _) = run(&profile(level, program, python, Calls::Learned)).await;
        assert_eq!(text, "thread\nchild\nTrue\n", "{level:?}");
        let mut list: Vec<String> = calls.iter().map(|call| (*call).to_owned()).collect();
        let only = |list: &[String]| profile(level, program, python, Calls::Only(list.to_vec()));
        assert_eq!(run(&only(&list)).await.0, text, "{level:?}");
        // What it did not do when it was watched.
        let more = format!("{python}\nos.symlink('/tmp/a', '/tmp/b')");
        let other = Profile { args: vec!["-c".into(), more], ..only(&list) };
        let answer = run(&other).await.0;
        assert!(answer.contains("Function not implemented"), "{level:?}: {answer}");
        list.retain(|call| call != "getdents64");
        let answer = run(&only(&list)).await.0;
        assert!(!answer.contains("True"), "{level:?}: {answer}");
    }
}

/// A list must not give back what is denied to all.
#[tokio::test]
async fn a_list_allows_nothing_that_is_denied() {
    let python = "import ctypes\nprint(ctypes.CDLL(None).unshare(0x10000000))";
    let program = "/usr/bin/python3";
    let (_, calls, _) = run(&profile(Level::Strong, program, python, Calls::Learned)).await;
    assert!(!calls.contains("unshare"), "what is denied is not seen: {calls:?}");
    let mut list: Vec<String> = calls.iter().map(|call| (*call).to_owned()).collect();
    list.push("unshare".into());
    let (text, ..) = run(&profile(Level::Strong, program, python, Calls::Only(list))).await;
    assert_eq!(text, "-1\n");
}

#[tokio::test]
async fn an_unconfined_server_has_no_list() {
    for calls in [Calls::Learned, Calls::Only(vec![])] {
        let fault = spawn(&profile(Level::Off, "true", "", calls)).unwrap_err();
        assert!(matches!(fault, SpawnFault::Level(_)), "{fault}");
    }
}

/// Those who watch need no privilege.
#[test]
fn the_same_as_an_ordinary_user() {
    if !nix::unistd::getuid().is_root() || !Path::new("/usr/bin/python3").exists() {
        return;
    }
    let tests = ["calls_and_paths_are_seen", "what_was_learned_is_enough_and_nothing_else_works"];
    let done = std::process::Command::new(std::env::current_exe().unwrap())
        .args(tests)
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .env("HOME", "/nonexistent")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let text = text + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains("2 passed"), "{text}");
}
