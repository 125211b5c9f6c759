//! `policy`: what it says, why, and whether it says what is meant.

pub mod arguments;
mod lint;
mod live;
mod question;
mod recorded;
mod replay;
pub mod stored;
mod test;

use policy::Policy;
use serde::Serialize;

use crate::{
    cli::{Global, Output, PolicyCommand},
    config::{LoadFault, Loaded, policies},
    print,
};

pub fn run(global: &Global, command: PolicyCommand) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Arguments { tool } => arguments::run(global, &tool),
        PolicyCommand::Check => lint::run(global),
        PolicyCommand::Explain(args) => explain(global, &args),
        PolicyCommand::Get { name } => stored::get(global, &name),
        PolicyCommand::List => stored::list(global),
        PolicyCommand::Put { name, file, roles } => stored::put(global, &name, &file, roles),
        PolicyCommand::Remove { name } => stored::remove(global, &name),
        PolicyCommand::Replay { from, policy, journal } => {
            replay::run(global, from, &policy, journal)
        }
        PolicyCommand::Schema => print::text(policy::SCHEMA),
        PolicyCommand::Show => print::text(of(&stored::load(global)?)?.show().trim_start()),
        PolicyCommand::Test { file } => test::run(global, &file),
        PolicyCommand::WhoCan { tool } => who_can(global, &tool),
    }
}

/// The policy of a configuration.
pub fn of(loaded: &Loaded) -> anyhow::Result<Policy> {
    Ok(policies::policy(loaded).map_err(|faulty| LoadFault::Faulty(Box::new(faulty)))?)
}

#[derive(Serialize)]
struct Explained {
    decision: &'static str,
    rule: String,
    roles: Vec<String>,
    considered: Vec<Line>,
    would_change_it: Vec<String>,
}

#[derive(Serialize)]
struct Line {
    rule: String,
    effect: &'static str,
    state: &'static str,
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] = &["RULE", "EFFECT", "HERE"];

    fn cells(&self) -> Vec<String> {
        vec![self.rule.clone(), self.effect.to_owned(), self.state.to_owned()]
    }
}

fn explain(global: &Global, args: &crate::cli::ExplainArgs) -> anyhow::Result<()> {
    let loaded = stored::load(global)?;
    let policy = of(&loaded)?;
    let question = question::Question::of(global, &loaded, args)?;
    let explanation =
        question.ask(|view, action, context| policy.explain(view, action, context))?;
    let line = |one: policy::Considered| Line {
        rule: one.rule,
        effect: one.effect,
        state: one.state.as_str(),
    };
    let explained = Explained {
        decision: explanation.decision.as_str(),
        rule: explanation.decision.rule().to_owned(),
        roles: explanation.roles,
        considered: explanation.considered.into_iter().map(line).collect(),
        would_change_it: explanation.mends,
    };
    if global.output == Output::Json {
        return print::json(&explained);
    }
    let roles = match explained.roles.as_slice() {
        [] => "none".to_owned(),
        roles => roles.join(", "),
    };
    print::line(&format!("{}: {}\nroles: {roles}\n", explained.decision, explained.rule))?;
    print::rows(global.output, &explained.considered, "no rule is about this")?;
    for (at, mend) in explained.would_change_it.iter().enumerate() {
        print::line(&format!(
            "{}{mend}",
            if at == 0 { "\nwhat would change it:\n  " } else { "  " }
        ))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Who {
    who: String,
    decision: &'static str,
    rule: String,
}

impl print::Row for Who {
    const TITLES: &'static [&'static str] = &["WHO", "DECISION", "RULE"];

    fn cells(&self) -> Vec<String> {
        vec![self.who.clone(), self.decision.to_owned(), self.rule.clone()]
    }
}

/// Each role, each token, and what is known of single callers: the decision for a caller with just that.
fn who_can(global: &Global, tool: &str) -> anyhow::Result<()> {
    let loaded = stored::load(global)?;
    let policy = of(&loaded)?;
    let (server, name) = question::thing(&loaded, tool)?;
    let mut rows = Vec::new();
    let tokens = super::wait(super::token::valid(global))?;
    for (who, held) in lint::callers(&loaded, &tokens) {
        let action = policy::Action::new(&server, policy::Kind::Tool, &name);
        let decision = policy.foresee(&held.view(), &action, &question::now());
        if decision.is_possible() {
            rows.push(Who { who, decision: decision.as_str(), rule: decision.rule().to_owned() });
        }
    }
    print::rows(global.output, &rows, "nobody")
}
