//! SARIF 2.1.0: what code scanning reads.

use serde_json::{Value, json};

use super::{Found, Report, listeners::Listener};

/// The findings as one run.
pub fn report(report: &Report) -> Value {
    let keys = report.keys.iter().map(key);
    let results: Vec<Value> = keys.chain(report.listeners.iter().map(listener)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "bartizan",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": [{
                    "id": "plaintext-key",
                    "shortDescription": {"text": "A key in the configuration of an AI client"},
                    "help": {"text": "`bartizan import` moves it into the vault, and `bartizan connect` takes it out of the file. Whoever could read the file may have it: replace the key where it was issued."},
                    "defaultConfiguration": {"level": "error"},
                }, {
                    "id": "rogue-server",
                    "shortDescription": {"text": "An MCP server that is not behind Bartizan"},
                    "help": {"text": "Whatever reaches it can use it: end it, or put it behind Bartizan with `bartizan add`."},
                    "defaultConfiguration": {"level": "warning"},
                }],
            }},
            "results": results,
        }],
    })
}

fn key(found: &Found) -> Value {
    let here = std::env::current_dir().unwrap_or_default();
    let path = found.file.strip_prefix(&here).unwrap_or(&found.file);
    let server = found.server.as_deref().map_or_else(String::new, |name| format!(" of {name}"));
    json!({
        "ruleId": "plaintext-key",
        "level": "error",
        "message": {"text": format!("{}: {} in {}{server}", found.key, found.what, found.part)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(path)},
            "region": {"startLine": found.line},
        }}],
        // The same finding has the same name when lines move.
        "partialFingerprints": {
            "key/v1": format!("{}/{}/{}", found.client, found.server.as_deref().unwrap_or("-"), found.part),
        },
    })
}

fn listener(listener: &Listener) -> Value {
    let url = format!("http://{}{}", listener.address, listener.path);
    let program = listener.program.as_deref().unwrap_or("an unknown program");
    json!({
        "ruleId": "rogue-server",
        "level": if listener.open { "warning" } else { "note" },
        "message": {"text": format!("{} {} at {url}, of {program}", listener.name, listener.version)},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": url}}}],
    })
}

/// A relative path stays one; an absolute one becomes a file URI.
fn uri(path: &std::path::Path) -> String {
    match url::Url::from_file_path(path) {
        Ok(url) => url.to_string(),
        Err(()) => path.display().to_string().replace('\\', "/"),
    }
}
