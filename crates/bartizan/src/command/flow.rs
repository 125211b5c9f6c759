//! `flow`: what conversations have read.

use serde::Serialize;
use serde_json::json;

use super::{
    now,
    trust::{Desk, decider},
    wait,
};
use crate::{
    cli::{Global, Output, flow::FlowCommand},
    config::fault::nearest,
    outcome::Mistake,
    print,
};

pub fn run(global: &Global, command: FlowCommand) -> anyhow::Result<()> {
    wait(async {
        let desk = Desk::open(global).await?;
        let done = match command {
            FlowCommand::Show => show(&desk).await,
            FlowCommand::Reset { principal, conversation } => {
                reset(&desk, &principal, conversation.as_deref()).await
            }
        };
        desk.store.close().await;
        done
    })
}

async fn show(desk: &Desk<'_>) -> anyhow::Result<()> {
    let lines: Vec<Line> = desk.store.flows(None).await?.into_iter().map(Line::of).collect();
    print::rows(desk.global.output, &lines, "no conversation has read anything that is labelled")
}

async fn reset(desk: &Desk<'_>, principal: &str, conversation: Option<&str>) -> anyhow::Result<()> {
    let known = desk.store.flows(None).await?;
    let own: Vec<_> = known.iter().filter(|flow| flow.principal == principal).collect();
    let named = |name: &str| own.iter().any(|flow| flow.conversation == name);
    if own.is_empty() || conversation.is_some_and(|name| !named(name)) {
        let others = known.iter().map(|flow| flow.principal.as_str());
        let mend = match nearest(principal, others).filter(|_| own.is_empty()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`bartizan flow show` shows all that have read something".to_owned(),
        };
        return Err(Mistake::new(format!("`{principal}` has no such conversation"), mend).into());
    }
    let count = desk.store.flow_reset(principal, conversation, &decider(), now()).await?;
    if desk.global.output == Output::Json {
        return print::json(&json!({"principal": principal, "conversations": count}));
    }
    print::line(&format!(
        "{count} of {principal} begin anew; a running gateway takes it up within a second"
    ))
}

#[derive(Serialize)]
struct Line {
    principal: String,
    conversation: String,
    labels: Vec<&'static str>,
    sources: Vec<String>,
    since: String,
}

impl Line {
    fn of(flow: store::Flow) -> Line {
        let sources: Vec<(u8, String)> = serde_json::from_str(&flow.sources).unwrap_or_default();
        let seconds = i64::try_from(flow.at).unwrap_or(i64::MAX);
        let since = jiff::Timestamp::from_second(seconds);
        Line {
            principal: flow.principal,
            conversation: flow.conversation,
            labels: policy::Labels::from_bits(flow.labels).names().collect(),
            sources: sources.into_iter().map(|(_, call)| call).collect(),
            since: since.map(|time| time.to_string()).unwrap_or_default(),
        }
    }
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] =
        &["PRINCIPAL", "CONVERSATION", "HAS READ", "BY", "SINCE"];

    fn cells(&self) -> Vec<String> {
        let conversation = if self.conversation.is_empty() { "-" } else { &self.conversation };
        vec![
            self.principal.clone(),
            print::tame(conversation),
            self.labels.join(", "),
            self.sources.join(", "),
            self.since.clone(),
        ]
    }
}
