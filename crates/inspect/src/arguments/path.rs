//! Paths that lead out of where they should stay, or to what is nobody's business.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};

use super::Verdict;
use crate::Severity;

const SENSITIVE: [&str; 30] = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc/sudoers",
    "/etc/gshadow",
    "/.ssh/",
    "id_rsa",
    "id_ed25519",
    "id_dsa",
    "id_ecdsa",
    "/.aws/",
    "/.kube/",
    "/.docker/",
    "/.gnupg",
    "/.netrc",
    "/.npmrc",
    "/.pgpass",
    "/.git-credentials",
    "_history",
    "authorized_keys",
    "/.env",
    "wp-config",
    "win.ini",
    "boot.ini",
    "/sam",
    "web.config",
    ".htpasswd",
    "/proc/self",
    "/launchagents/",
    "/cron",
    "docker.sock",
];
const SYSTEM: [&str; 22] = [
    "/etc/",
    "/proc/",
    "/sys/",
    "/boot/",
    "/dev/",
    "/var/log",
    "/var/run",
    "/var/spool",
    "/var/mail",
    "/var/lib/mysql",
    "/var/www",
    "/usr/local/",
    "/opt/lampp",
    "/windows/",
    "/winnt",
    "/usr/lib/",
    "/usr/pkg",
    "/logs/",
    "/apache",
    "/xampp",
    "/private/",
    "/php",
];

pub(crate) fn judge(text: &str, verdicts: &mut Vec<Verdict>) {
    let mut verdict = |rule, severity, message| verdicts.push(Verdict { rule, severity, message });
    let path = plain(text);
    if path.contains('\0') || path.contains("%00") {
        verdict("argument.null-byte", Severity::High, "A path with a null byte.");
    }
    if is_never_written(text) {
        verdict("argument.overlong", Severity::High, "A path in codes that no program writes.");
    }
    if climbs_in_base64(text) {
        verdict("argument.traversal", Severity::High, "A path in base64 that climbs out.");
    }
    let ups = path.split('/').filter(|part| matches!(*part, ".." | "..;" | "...." | "...")).count();
    let disguised =
        text.contains('%') || text.contains("0x2e") || !text.is_ascii() || path.contains("....");
    if ups > 0 && (ups > 1 || disguised || path.starts_with("/") || text.contains('\\')) {
        verdict("argument.traversal", Severity::High, "A path that climbs out of its folder.");
    } else if ups > 0 {
        verdict("argument.parent-path", Severity::Low, "A path that begins in the folder above.");
    }
    let lower = format!("/{}", path.trim_start_matches('/').to_ascii_lowercase());
    let lower = lower.replace("/~/", "/home/");
    if SENSITIVE.iter().any(|part| lower.contains(part)) {
        verdict("argument.secret-file", Severity::High, "A path to credentials or accounts.");
    } else if SYSTEM.iter().any(|prefix| lower.starts_with(prefix)) || is_drive_system(&lower) {
        verdict("argument.system-file", Severity::Medium, "A path into the system's own files.");
    }
    if [
        "php://",
        "expect://",
        "phar://",
        "zip://",
        "data://",
        "glob://",
        "file://",
        "jar:",
        "netdoc:",
    ]
    .iter()
    .any(|scheme| lower.contains(scheme))
    {
        verdict("argument.path-wrapper", Severity::Medium, "A path that names a way to open it.");
    }
}

/// Codes of bytes that UTF-8 does not have, codes of codes, and codes without their sign.
fn is_never_written(text: &str) -> bool {
    const CODES: [&str; 10] =
        ["%c0%", "%c1%", "%f8%80", "%fc%80", "%25c0", "%25c1", "%%3", "%%c", "..2f..", "..5c.."];
    let lower = text.to_ascii_lowercase();
    CODES.iter().any(|code| lower.contains(code))
}

fn climbs_in_base64(text: &str) -> bool {
    let coded = text.trim_end_matches('=');
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if !(12..=512).contains(&coded.len()) || !coded.as_bytes().iter().all(letters) {
        return false;
    }
    let decoded = BASE64_STANDARD_NO_PAD.decode(coded).unwrap_or_default();
    decoded.starts_with(b"../") || decoded.starts_with(b"/etc/") || decoded.starts_with(b"..\\")
}

fn is_drive_system(path: &str) -> bool {
    let rest = path.trim_start_matches('/');
    rest.as_bytes().get(1) == Some(&b':')
        && [
            "/windows",
            "/winnt",
            "/program files",
            "/inetpub",
            "/users/administrator",
            "/boot",
            "/xampp",
            "/apache",
            "/php",
            "/mysql",
        ]
        .iter()
        .any(|folder| rest[2..].starts_with(folder))
}

/// Decoded until nothing changes, with one kind of slash.
fn plain(text: &str) -> String {
    let mut path = text.to_owned();
    for _ in 0..4 {
        let decoded = decode(&path);
        if decoded == path {
            break;
        }
        path = decoded;
    }
    path.replace('\\', "/")
}

/// URL encoding, its form with `u`, `0x` codes, and the over-long forms of dot and slash that some decoders take.
fn decode(path: &str) -> String {
    let mut out = path.to_owned();
    const FORMS: [(&str, &str); 22] = [
        ("%c0%ae", "."),
        ("%c0%2e", "."),
        ("%c0%5e", "."),
        ("%e0%40%ae", "."),
        ("%e0%80%ae", "."),
        ("%u002e", "."),
        ("%uff0e", "."),
        ("0x2e", "."),
        ("%c0%af", "/"),
        ("%c0%2f", "/"),
        ("%c1%1c", "/"),
        ("%c1%9c", "/"),
        ("%e0%80%af", "/"),
        ("%u2215", "/"),
        ("%u2216", "/"),
        ("%uefc8", "/"),
        ("%uf025", "/"),
        ("0x2f", "/"),
        ("0x5c", "/"),
        ("%bg%qf", "/"),
        ("%252e", "."),
        ("%252f", "/"),
    ];
    let lower = out.to_ascii_lowercase();
    if lower.contains('%') || lower.contains("0x") {
        out = FORMS.iter().fold(lower, |path, (form, plain)| path.replace(form, plain));
    }
    let bytes = out.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes
            .get(at + 1..at + 3)
            .filter(|_| byte == b'%')
            .and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        decoded.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
