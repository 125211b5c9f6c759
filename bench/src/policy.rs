//! `bench policy`: what a decision costs with many policies and tools, beside Cedar asked about all of them.

use std::{hint::black_box, str::FromStr, time::Instant};

use cedar_policy::{Authorizer, Context as Circumstances, Entities, EntityUid, PolicySet, Request};
use clap::Args;
use policy::{
    Action, ArgumentTest, Context, Decision, Kind, Policy, PrincipalView, Role, Rule, Scalar, Test,
};

/// How much there is to decide on.
#[derive(Args)]
pub struct Options {
    /// Lines of roles, each of which is a policy.
    #[arg(long, default_value_t = 1000)]
    policies: usize,
    /// Tools, over 20 servers.
    #[arg(long, default_value_t = 2000)]
    tools: usize,
    /// Decisions in each measurement.
    #[arg(long, default_value_t = 20_000)]
    decisions: usize,
}

const SERVERS: usize = 20;
const ROLES: usize = 50;
const GROUPS: usize = 200;

pub fn run(options: &Options) -> anyhow::Result<()> {
    let plain = policy(options, false)?;
    let conditioned = policy(options, true)?;
    let roles: Vec<String> = (0..5).map(|at| format!("r{at}")).collect();
    let caller = PrincipalView { id: "token:bench", roles: &roles, ..PrincipalView::default() };
    // As the gateway has it: once for each caller.
    let caller = PrincipalView { digest: Some(caller.digest()), ..caller };
    let groups: Vec<String> =
        (0..GROUPS).map(|at| format!("{at:08}-0000-4000-8000-000000000000")).collect();
    let many = PrincipalView { groups: &groups, digest: None, ..caller };
    let many = PrincipalView { digest: Some(many.digest()), ..many };
    let names: Vec<(String, String)> = (0..options.tools)
        .map(|at| (format!("s{}", at % SERVERS), format!("t{}", at / SERVERS)))
        .collect();
    let arguments = br#"{"branch":"main","title":"a"}"#;
    let arguments = mcp::Json::read(arguments, &mcp::Limits::default())?;
    let context = Context { arguments: Some(arguments), time: 1_795_392_060, ..Context::default() };
    let decide_for = |caller: &PrincipalView<'_>, policy: &Policy, at: usize| {
        let (server, name) = &names[at % names.len()];
        policy.decide(caller, &Action::new(server, Kind::Tool, name), &context)
    };
    let decide = |policy: &Policy, at: usize| decide_for(&caller, policy, at);

    let first = each(names.len(), |at| drop(black_box(decide(&plain, at))));
    let again = each(options.decisions, |at| drop(black_box(decide(&plain, at))));
    (0..names.len()).for_each(|at| drop(black_box(decide_for(&many, &plain, at))));
    let grouped = each(options.decisions, |at| drop(black_box(decide_for(&many, &plain, at))));
    let permitted =
        (0..names.len()).filter(|at| matches!(decide(&plain, *at), Decision::Permit(_))).count();
    for at in 0..names.len() {
        black_box(decide(&conditioned, at));
    }
    let evaluated = each(options.decisions.min(names.len() * 2), |at| {
        drop(black_box(decide(&conditioned, at)));
    });
    let whole = whole(&plain, options)?;
    let rows = [
        ("from memory", again),
        ("from memory, a caller in 200 groups", grouped),
        ("first time", first),
        ("with arguments, evaluated each time", evaluated),
        ("baseline: Cedar, all policies", whole),
    ];
    println!(
        "{} policies, {} tools on {SERVERS} servers, {permitted} permitted\n",
        options.policies, options.tools
    );
    println!("| a decision | mean µs |\n| --- | ---: |");
    for (what, cost) in rows {
        println!("| {what} | {cost:.2} |");
    }
    Ok(())
}

/// Microseconds of each.
fn each(count: usize, mut what: impl FnMut(usize)) -> f64 {
    let began = Instant::now();
    (0..count).for_each(&mut what);
    began.elapsed().as_secs_f64() * 1e6 / count.max(1) as f64
}

fn policy(options: &Options, conditioned: bool) -> anyhow::Result<Policy> {
    let mut roles: Vec<Role> =
        (0..ROLES).map(|at| Role { name: format!("r{at}"), ..Role::default() }).collect();
    for at in 0..options.policies {
        let pattern = format!("tool:s{}/t{}*", at % SERVERS, at / SERVERS % 10);
        let mut rule = Rule::plain(pattern.parse()?);
        let main = Test::OneOf(vec![Scalar::Text("main".into())]);
        rule.arguments.extend(ArgumentTest::new("/branch", main).filter(|_| conditioned));
        let role = &mut roles[at / SERVERS % ROLES];
        if at % 10 == 9 { role.deny.push(rule) } else { role.allow.push(rule) }
    }
    Ok(Policy::new(&roles, &[])?)
}

/// Every policy asked about each call, as an engine without an index does.
fn whole(policy: &Policy, options: &Options) -> anyhow::Result<f64> {
    let set: PolicySet = policy.show().parse()?;
    let principal = EntityUid::from_str("Token::\"token:bench\"")?;
    let action = EntityUid::from_str("Action::\"tools/call\"")?;
    let resource = EntityUid::from_str("Tool::\"s1/t1\"")?;
    let request = Request::new(principal, action, resource, Circumstances::empty(), None)?;
    let (authorizer, entities) = (Authorizer::new(), Entities::empty());
    Ok(each(options.decisions.min(500), |_| {
        drop(black_box(authorizer.is_authorized(&request, &set, &entities)));
    }))
}
