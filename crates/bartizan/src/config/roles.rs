//! `[roles]` and `[policy]` as they are written.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use gateway::limits;
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::json;
use toml::Spanned;

use super::{
    fault::{Faulty, Finding},
    mistakes,
    value::{
        ArgumentText, Bounded, HintText, HoursText, Member, NetText, OriginText, PatternText,
        PerPeriod, Period, PointerText, RoleKey,
    },
};

/// Roles by name.
pub type Roles = BTreeMap<RoleKey, Spanned<Role>>;

/// Roles that the store holds, or that are put there.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What they are called in messages: the file, or `store:` and the name in the store.
    pub file: String,
    /// TOML.
    pub text: String,
    /// What it says.
    pub roles: Roles,
}

/// A text with roles alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alone {
    roles: Roles,
}

impl Shared {
    /// Reads and checks a text.
    pub fn read(file: &str, text: String) -> Result<Shared, Faulty> {
        match mistakes::read(&text) {
            Ok(Alone { roles }) => Ok(Shared { file: file.to_owned(), text, roles }),
            Err(findings) => Err(Faulty { path: file.into(), text, findings }),
        }
    }
}

/// Roles that the store holds, as the gateway takes them.
pub fn read_shared(text: &str) -> Result<Vec<policy::Role>, String> {
    match toml::from_str(text) {
        Ok(Alone { roles }) => Ok(resolved(&roles).collect()),
        Err(error) => Err(Finding::of(&error).title),
    }
}

/// As policy takes them.
pub fn resolved(roles: &Roles) -> impl Iterator<Item = policy::Role> + '_ {
    roles.iter().map(|(key, role)| role.get_ref().resolve(&key.0))
}

/// One role: its members and what they may call.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Role {
    /// Who has this role: `group:ID`, `role:NAME` (a role of the credential), `user:ID`, `workload:ID`, `tenant:ID`, `client:ID` (the OAuth client),
    /// `scope:NAME`, `token:NAME` (a minted token), `loopback` (callers that `[identity] loopback = "open"` lets in) or `owner`.
    /// A credential with a role of this name has it without being listed here.
    #[schemars(with = "Vec<Member>", extend("examples" = [json!(["group:8a1c", "token:ci"])]))]
    pub members: Vec<Spanned<Member>>,
    /// What the role may see and use, as `server/name`; `*` stands for any text. It covers tools, prompts and resources (by their URI);
    /// `tool:`, `prompt:`, `resource:` or `model:` in front narrows it to that kind; a language model is `name/deployment`. A table instead of a text adds conditions, all of which must hold:
    /// `annotated`, `arguments`, `networks`, `hours`, `acr`, `amr`, `max-age`, `scopes`, `labels`, `findings`. See docs/policy.md.
    #[schemars(with = "Vec<RuleText>", extend("examples" = [json!(["github/get_*", {"match": "tool:files/*", "annotated": ["read-only"]}])]))]
    pub allow: Vec<Spanned<RuleText>>,
    /// What it may do only once a person has approved the very call, even where `allow` says otherwise. In the same forms, with a `reason` for the approver.
    #[schemars(with = "Vec<RuleText>", extend("examples" = [json!([{"match": "github/merge_*", "reason": "changes the main branch"}])]))]
    pub ask: Vec<Spanned<RuleText>>,
    /// What it may not, even where `allow` or another of the caller's roles says otherwise. In the same forms.
    #[schemars(with = "Vec<RuleText>", extend("examples" = [json!(["files/write_*"])]))]
    pub deny: Vec<Spanned<RuleText>>,
    /// Under which circumstances `allow` and `ask` hold; `deny` always does.
    pub when: When,
}

/// Circumstances, all of which must hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct When {
    /// The caller's address is in one of these networks. Callers on local channels have none.
    #[schemars(extend("examples" = [json!(["10.0.0.0/8", "fd00::/8"])]))]
    pub networks: Vec<NetText>,
    /// It is one of these times of the week; UTC unless an offset is given.
    #[schemars(extend("examples" = [json!(["mon-fri 07:00-19:00 +01:00"])]))]
    pub hours: Vec<HoursText>,
    /// The user was authenticated in one of these ways (the token's `acr`).
    #[schemars(extend("examples" = [json!(["c1"])]))]
    pub acr: Vec<String>,
    /// By all of these methods (the token's `amr`).
    #[schemars(extend("examples" = [json!(["mfa"])]))]
    pub amr: Vec<String>,
    /// No longer ago than this.
    #[schemars(extend("examples" = ["8h"]))]
    pub max_age: Option<Period>,
    /// The credential has all of these OAuth scopes. A client that lacks them is told to ask for them.
    #[schemars(extend("examples" = [json!(["tools.write"])]))]
    pub scopes: Vec<String>,
}

/// A line of `allow`, `ask` or `deny`: a pattern, or a table.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RuleText {
    Pattern(PatternText),
    Table(Box<RuleTable>),
}

/// A pattern with conditions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RuleTable {
    /// On what.
    #[serde(rename = "match")]
    pub pattern: PatternText,
    /// What the tool's approved definition says of itself.
    #[serde(default)]
    pub annotated: Vec<HintText>,
    /// With which arguments, by JSON pointer.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, ArgumentText>")]
    pub arguments: BTreeMap<PointerText, ArgumentText>,
    #[serde(default)]
    pub networks: Vec<NetText>,
    #[serde(default)]
    pub hours: Vec<HoursText>,
    #[serde(default)]
    pub acr: Vec<String>,
    #[serde(default)]
    pub amr: Vec<String>,
    #[serde(default)]
    pub max_age: Option<Period>,
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The conversation has one of these labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// One of these detectors fired on the arguments.
    #[serde(default)]
    pub findings: Vec<String>,
    /// For the approver.
    #[serde(default)]
    pub reason: Option<String>,
}

/// By hand, so that a mistake in either form is told as what it is.
impl<'de> Deserialize<'de> for RuleText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RuleText, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RuleText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RuleText, E> {
                PatternText::try_from(text.to_owned()).map(RuleText::Pattern).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RuleText, A::Error> {
                RuleTable::deserialize(MapAccessDeserializer::new(map))
                    .map(|table| RuleText::Table(Box::new(table)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl RuleText {
    /// The server's part of its pattern.
    pub fn server(&self) -> String {
        match self {
            RuleText::Pattern(pattern) => pattern.server(),
            RuleText::Table(table) => table.pattern.server(),
        }
    }

    /// Whether it is `*` without a condition.
    pub fn is_everything(&self) -> bool {
        matches!(self, RuleText::Pattern(pattern) if pattern.0.to_string() == "*")
    }

    fn rule(&self) -> policy::Rule {
        let table = match self {
            RuleText::Pattern(pattern) => return policy::Rule::plain(pattern.0.clone()),
            RuleText::Table(table) => table,
        };
        let arguments = table
            .arguments
            .iter()
            .filter_map(|(at, test)| policy::ArgumentTest::new(&at.0, test.test().clone()));
        policy::Rule {
            when: policy::When {
                networks: nets(&table.networks),
                hours: table.hours.iter().map(|hours| hours.0.clone()).collect(),
                acr: table.acr.clone(),
                amr: table.amr.clone(),
                max_age: table.max_age.map(|age| age.0.as_secs()),
                scopes: table.scopes.clone(),
                labels: table.labels.clone(),
                findings: table.findings.clone(),
            },
            arguments: arguments.collect(),
            annotated: table.annotated.iter().map(|hint| hint.0).collect(),
            reason: table.reason.clone(),
            ..policy::Rule::plain(table.pattern.0.clone())
        }
    }
}

pub fn nets(texts: &[NetText]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.0).collect()
}

impl Role {
    /// As policy takes it.
    pub fn resolve(&self, name: &str) -> policy::Role {
        let rules =
            |rules: &[Spanned<RuleText>]| rules.iter().map(|rule| rule.get_ref().rule()).collect();
        policy::Role {
            name: name.to_owned(),
            members: self.members.iter().map(|member| member.get_ref().0.clone()).collect(),
            when: policy::When {
                networks: nets(&self.when.networks),
                hours: self.when.hours.iter().map(|hours| hours.0.clone()).collect(),
                acr: self.when.acr.clone(),
                amr: self.when.amr.clone(),
                max_age: self.when.max_age.map(|age| age.0.as_secs()),
                scopes: self.when.scopes.clone(),
                ..policy::When::default()
            },
            allow: rules(&self.allow),
            ask: rules(&self.ask),
            deny: rules(&self.deny),
        }
    }
}

/// What roles can't say, in Cedar.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Policy {
    /// Files with policies in Cedar. A relative path begins at this file's folder. What they can speak of is printed by `bartizan policy schema`.
    #[schemars(with = "Vec<PathBuf>", extend("examples" = [json!(["policies/finance.cedar"])]))]
    pub files: Vec<Spanned<PathBuf>>,
    /// A folder all of whose `*.cedar` files are taken, by name. Changed files are taken up without a restart, all or none.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["policies"]))]
    pub folder: Option<Spanned<PathBuf>>,
}

/// Where callers may come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Network {
    /// Proxies in front of this gateway. Their `X-Forwarded-For` tells where a client is; anybody else's is ignored.
    #[schemars(extend("examples" = [json!(["10.0.0.5/32"])]))]
    pub trusted_proxies: Vec<NetText>,
    /// Lets only these networks in. Without it, all.
    #[schemars(extend("examples" = [json!(["10.0.0.0/8", "fd00::/8"])]))]
    pub allow: Vec<NetText>,
    /// Never lets these in.
    #[schemars(extend("examples" = [json!(["10.6.0.0/16"])]))]
    pub deny: Vec<NetText>,
}

impl Network {
    /// As policy takes it.
    pub fn resolve(&self) -> policy::Network {
        policy::Network {
            trusted_proxies: nets(&self.trusted_proxies),
            allow: nets(&self.allow),
            deny: nets(&self.deny),
        }
    }
}

/// A limit on what is called.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LimitOn {
    /// On what, in the form of a role's `allow`.
    #[serde(rename = "match")]
    #[schemars(extend("examples" = [json!(["github/*"])]))]
    pub patterns: Vec<PatternText>,
    /// What is counted apart; together when empty.
    #[schemars(extend("examples" = [json!(["principal", "tool"])]))]
    pub per: Vec<Per>,
    /// At most so many in any stretch of time of that length.
    #[schemars(extend("examples" = ["100/1m"]))]
    pub rate: Option<PerPeriod>,
    /// At most so many in each period; a day begins at midnight UTC. Kept over a restart.
    #[schemars(extend("examples" = ["1000/1d"]))]
    pub quota: Option<PerPeriod>,
    /// At most so many at once.
    #[schemars(extend("examples" = [4]))]
    pub concurrency: Option<Bounded<1, 1_000_000>>,
    /// At most so many tokens of language models in any stretch of time of that length: a call that begins when they are used up is refused, one that has begun is counted to its end.
    #[schemars(extend("examples" = ["200000/1h"]))]
    pub tokens: Option<PerPeriod>,
}

/// What a limit counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// Each verified caller.
    Principal,
    /// Each tool, prompt or resource.
    Tool,
    /// Each server.
    Server,
    /// Each OAuth client.
    Client,
    /// Each tenant.
    Tenant,
}

impl LimitOn {
    /// As the gateway takes it.
    pub fn resolve(&self, name: &str) -> limits::Limit {
        let per = |per: &Per| match per {
            Per::Client => limits::Per::Client,
            Per::Principal => limits::Per::Principal,
            Per::Server => limits::Per::Server,
            Per::Tenant => limits::Per::Tenant,
            Per::Tool => limits::Per::Tool,
        };
        limits::Limit {
            name: name.to_owned(),
            patterns: self.patterns.iter().map(|pattern| pattern.0.clone()).collect(),
            per: self.per.iter().map(per).collect(),
            rate: self.rate.map(rate),
            quota: self.quota.map(|quota| limits::Quota {
                count: u64::from(quota.count),
                period: quota.period.0.as_secs().max(1),
            }),
            concurrency: self.concurrency.map(|most| most.0),
            tokens: self.tokens.map(rate),
        }
    }
}

fn rate(of: PerPeriod) -> policy::Rate {
    let period = u64::try_from(of.period.0.as_millis()).unwrap_or(u64::MAX);
    policy::Rate { count: of.count, period }
}

/// Calls that a person must approve: what rules with `ask` lead to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Approvals {
    /// Who may approve, in the form of a role's members. `bartizan approvals` on this machine acts as `owner`.
    #[schemars(with = "Vec<Member>", extend("examples" = [json!(["owner", "group:approvers"])]))]
    pub approvers: Vec<Member>,
    /// Lets callers approve what they asked for themselves. A loosening: an agent that can start programs can then approve its own calls.
    pub own: bool,
    /// How many different approvers it takes.
    pub quorum: Bounded<1, 5>,
    /// How long a request for an approval, and the approval, are good. What is not approved by then is denied.
    pub expires: Period,
    /// How long a call waits for an answer before the client is told to come back with the same call.
    pub wait: Period,
    /// Where people reach this gateway, for clients that can show a link (URL elicitation).
    #[schemars(extend("examples" = ["https://mcp.example.com"]))]
    pub url: Option<OriginText>,
}

impl Default for Approvals {
    fn default() -> Approvals {
        let gateway::approval::Approvals { own, quorum, expires, wait, .. } =
            gateway::approval::Approvals::default();
        let quorum = u32::try_from(quorum).unwrap_or(1);
        Approvals {
            approvers: vec![Member(policy::Member::Id("owner".to_owned()))],
            own,
            quorum: Bounded(quorum),
            expires: Period(expires),
            wait: Period(wait),
            url: None,
        }
    }
}

impl Approvals {
    /// As the gateway takes it.
    pub fn resolve(&self) -> gateway::approval::Approvals {
        gateway::approval::Approvals {
            approvers: self.approvers.iter().map(|member| member.0.clone()).collect(),
            own: self.own,
            quorum: self.quorum.0 as usize,
            expires: self.expires.0,
            wait: self.wait.0,
            url: self.url.as_ref().map(|url| url.0.clone()),
        }
    }
}
