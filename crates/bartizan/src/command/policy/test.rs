//! Cases that a policy must decide as they say.

use std::path::Path;

use policy::{Action, Annotations, Context, Kind};
use serde::{Deserialize, Serialize};

use super::{
    of,
    question::{self, Caller},
    stored,
};
use crate::{
    cli::Global,
    config::{Faulty, Finding, LoadFault},
    outcome::{Mistake, Told},
    print,
};

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

/// One case: who, what, under which circumstances, and what must come of it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Case {
    name: Option<String>,
    #[serde(rename = "as")]
    who: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    client: String,
    #[serde(default)]
    acr: String,
    #[serde(default)]
    amr: Vec<String>,
    tool: Option<String>,
    prompt: Option<String>,
    resource: Option<String>,
    arguments: Option<toml::Table>,
    #[serde(default)]
    annotated: Vec<String>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    findings: Vec<String>,
    from: Option<std::net::IpAddr>,
    at: Option<jiff::Timestamp>,
    expect: Expected,
    rule: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Expected {
    Permit,
    Ask,
    Deny,
}

impl Expected {
    fn as_str(self) -> &'static str {
        match self {
            Expected::Permit => "permit",
            Expected::Ask => "ask",
            Expected::Deny => "deny",
        }
    }
}

#[derive(Serialize)]
struct Row {
    case: String,
    ok: bool,
    expected: &'static str,
    decision: &'static str,
    rule: String,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["CASE", "OK", "EXPECTED", "DECISION", "RULE"];

    fn cells(&self) -> Vec<String> {
        let ok = if self.ok { "ok" } else { "WRONG" };
        vec![
            self.case.clone(),
            ok.to_owned(),
            self.expected.to_owned(),
            self.decision.to_owned(),
            self.rule.clone(),
        ]
    }
}

pub fn run(global: &Global, file: &Path) -> anyhow::Result<()> {
    let loaded = stored::load(global)?;
    let policy = of(&loaded)?;
    let text = std::fs::read_to_string(file).map_err(|error| {
        Mistake::new(format!("{}: {error}", file.display()), "name a file with cases")
    })?;
    let cases: Cases = toml::from_str(&text).map_err(|error| {
        let findings = vec![Finding::of(&error)];
        LoadFault::Faulty(Box::new(Faulty { path: file.to_owned(), text: text.clone(), findings }))
    })?;
    let mut rows = Vec::new();
    for (at, case) in cases.cases.iter().enumerate() {
        rows.push(decided(&loaded, &policy, at, case)?);
    }
    print::rows(global.output, &rows, "no cases: write [[case]]")?;
    if rows.iter().all(|row| row.ok) { Ok(()) } else { Err(Told::failure().into()) }
}

fn decided(
    loaded: &crate::config::Loaded,
    policy: &policy::Policy,
    at: usize,
    case: &Case,
) -> anyhow::Result<Row> {
    let named =
        [(Kind::Tool, &case.tool), (Kind::Prompt, &case.prompt), (Kind::Resource, &case.resource)];
    let named = named.into_iter().find_map(|(kind, name)| Some((kind, name.as_deref()?)));
    let (kind, text) = named.ok_or_else(|| {
        Mistake::new(format!("case {} asks about nothing", at + 1), "write tool = \"server__tool\"")
    })?;
    let (server, name) = question::thing(loaded, text)?;
    let mut annotations = Annotations::default();
    for hint in &case.annotated {
        question::annotate(&mut annotations, hint)?;
    }
    let caller = Caller {
        id: case.who.clone(),
        groups: case.groups.clone(),
        roles: case.roles.clone(),
        scopes: case.scopes.clone(),
        tenant: case.tenant.clone(),
        client: case.client.clone(),
        acr: case.acr.clone(),
        amr: case.amr.clone(),
        ..Caller::default()
    };
    let arguments = serde_json::to_string(&case.arguments.clone().unwrap_or_default())?;
    let arguments = mcp::Json::read(arguments.as_bytes(), &mcp::Limits::default())?;
    let labels: Vec<&str> = case.labels.iter().map(String::as_str).collect();
    let findings: Vec<&str> = case.findings.iter().map(String::as_str).collect();
    let context = Context {
        time: case.at.map_or_else(crate::command::now, |at| {
            u64::try_from(at.as_second()).unwrap_or_default()
        }),
        network: case.from,
        arguments: Some(arguments),
        labels: &labels,
        findings: &findings,
        ..Context::default()
    };
    let action = Action { annotations, ..Action::new(&server, kind, &name) };
    let decision = policy.decide(&caller.view(), &action, &context);
    let right = decision.as_str() == case.expect.as_str()
        && case.rule.as_ref().is_none_or(|rule| rule == decision.rule());
    Ok(Row {
        case: case.name.clone().unwrap_or_else(|| format!("{} {text} as {}", at + 1, case.who)),
        ok: right,
        expected: case.expect.as_str(),
        decision: decision.as_str(),
        rule: decision.rule().to_owned(),
    })
}
