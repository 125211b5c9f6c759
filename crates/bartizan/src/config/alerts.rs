//! The section `[alerts]`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use gateway::alerts as resolved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Spanned;

use super::{
    fault::Finding,
    value::{Bounded, Period, ServerUrl, Template, ValueFault},
};

/// Who is told when something happens that somebody should look at: docs/alerts.md. Nothing is watched while nobody is named here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Alerts {
    /// How often the log is verified against its signed checkpoints while the gateway runs. At least a second.
    #[schemars(with = "Period")]
    pub verify_every: Spanned<Period>,
    /// An HTTP endpoint that gets each alert as JSON, signed as standardwebhooks.com says.
    pub webhook: Option<Webhook>,
    /// A mail server that takes each alert as a message.
    pub mail: Option<Mail>,
    /// A program that gets each alert as JSON on standard input. It is started as the gateway's user, outside of any sandbox.
    pub command: Option<Program>,
    /// Rules by name. `injections`, `sign-ins`, `secrets`, `personal-data`, `new-hosts`, `drift` and `server-errors` are there by default; a section of such a name
    /// takes their place.
    #[schemars(with = "BTreeMap<String, Rule>")]
    pub rules: BTreeMap<RuleName, Rule>,
}

impl Default for Alerts {
    fn default() -> Self {
        Alerts {
            verify_every: Spanned::new(0..0, Period(Duration::from_secs(86_400))),
            webhook: None,
            mail: None,
            command: None,
            rules: BTreeMap::new(),
        }
    }
}

/// An HTTP endpoint.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Webhook {
    /// Where alerts are posted.
    #[schemars(with = "ServerUrl", extend("examples" = ["https://hooks.example.com/bartizan"]))]
    pub url: Spanned<ServerUrl>,
    /// What the signature is made with, as the endpoint knows it: `whsec_…`, or any text. Without it alerts are not signed.
    #[schemars(with = "Option<Template>", extend("examples" = ["${env:WEBHOOK_SECRET}"]))]
    pub secret: Option<Spanned<Template>>,
    /// Lets it be at an address that is not public: a loosening. An address that is written as digits needs none.
    #[serde(default)]
    pub allow_private: bool,
}

/// A mail server, and who gets mail.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mail {
    /// The server's name.
    #[schemars(extend("examples" = ["mail.example.com"]))]
    pub host: String,
    /// The port where it takes mail: 587, or 465 with `tls = "implicit"`.
    #[schemars(with = "Option<Bounded<1, 65535>>", extend("examples" = [587]))]
    pub port: Option<Bounded<1, 65535>>,
    /// How the connection is encrypted.
    #[serde(default)]
    #[schemars(with = "MailTls")]
    pub tls: MailTls,
    /// The authorities that its certificate is of, instead of the system's: a file in PEM form. A relative path begins at this file's folder.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/etc/bartizan/mail-ca.pem"]))]
    pub ca: Option<Spanned<PathBuf>>,
    /// The sender.
    #[schemars(with = "String", extend("examples" = ["Bartizan <bartizan@example.com>"]))]
    pub from: MailboxText,
    /// Who gets it.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["security@example.com"])]))]
    pub to: Vec<MailboxText>,
    /// The user's name, where the server wants one.
    #[schemars(extend("examples" = ["bartizan"]))]
    pub user: Option<String>,
    /// The user's password.
    #[schemars(with = "Option<Template>", extend("examples" = ["${env:MAIL_PASSWORD}"]))]
    pub password: Option<Spanned<Template>>,
    /// Lets it be at an address that is not public: a loosening. An address that is written as digits needs none.
    #[serde(default)]
    pub allow_private: bool,
}

/// How the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MailTls {
    /// By STARTTLS, and not at all where the server has none.
    #[default]
    StartTls,
    /// From the first byte on, as on port 465.
    Implicit,
    /// Not at all: a loosening.
    Off,
}

/// A program.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Program {
    /// The program. A relative path begins at this file's folder.
    #[schemars(with = "PathBuf", extend("examples" = ["/usr/local/bin/tell-somebody"]))]
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    #[schemars(extend("examples" = [json!(["--channel", "security"])]))]
    pub args: Vec<String>,
}

/// When somebody is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// Which records count: `kind auth`, `refusal held-back`, `outcome error`, `finding secret` (a class or a rule of the detectors), `with findings`; several
    /// joined by ` + ` must all hold. Those that any of the texts selects are counted.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["kind auth", "refusal authentication"])]))]
    pub records: Vec<RecordsText>,
    /// What is counted by itself.
    #[serde(default)]
    #[schemars(with = "Each")]
    pub each: Each,
    /// Tells only of what was never there before, since the rule is there: with `each = "host"`, a new host.
    #[serde(default)]
    pub first: bool,
    /// So many records tell.
    #[serde(default = "once")]
    #[schemars(with = "Bounded<1, 1000>")]
    pub count: Bounded<1, 1000>,
    /// Within this time; after it at the earliest somebody is told again.
    #[serde(default = "quarter")]
    #[schemars(with = "Period")]
    pub within: Period,
    /// Turns the rule off.
    #[serde(default)]
    pub off: bool,
}

fn once() -> Bounded<1, 1000> {
    Bounded(1)
}

fn quarter() -> Period {
    Period(Duration::from_secs(15 * 60))
}

/// What is counted by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    /// All records together.
    #[default]
    All,
    /// Each caller's.
    Caller,
    /// Each host's that a server reaches.
    Host,
    /// Each server's.
    Server,
}

/// The name of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleName(String);

impl TryFrom<String> for RuleName {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(good) {
            return Ok(RuleName(text));
        }
        let what = format!("`{text}` is no name for a rule");
        Err(ValueFault::new(what, "write a-z, 0-9 and `-`, such as \"sign-ins\""))
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> String {
        name.0
    }
}

/// Selects records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordsText(resolved::Selector);

impl TryFrom<String> for RecordsText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let mend = "write such as \"kind auth\", \"refusal held-back\", \"finding secret\" or \"kind egress + outcome ok\"";
        text.parse().map(RecordsText).map_err(|fault: String| ValueFault::new(fault, mend))
    }
}

impl From<RecordsText> for String {
    fn from(text: RecordsText) -> String {
        text.0.to_string()
    }
}

/// An address of mail, with or without a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailboxText(resolved::Mailbox);

impl TryFrom<String> for MailboxText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        resolved::Mailbox::from_str(&text).map(MailboxText).map_err(|_| {
            let what = format!("`{text}` is no address of mail");
            ValueFault::new(what, "write \"ops@example.com\" or \"Operations <ops@example.com>\"")
        })
    }
}

impl From<MailboxText> for String {
    fn from(text: MailboxText) -> String {
        text.0.to_string()
    }
}

impl Alerts {
    pub(super) fn check(&self, folder: &Path, findings: &mut Vec<Finding>) {
        if let Some(ca) = self.mail.as_ref().and_then(|mail| mail.ca.as_ref())
            && let Err(error) = std::fs::File::open(folder.join(ca.get_ref()))
        {
            findings.push(Finding::error(
                format!("`{}` can't be read: {error}", ca.get_ref().display()),
                ca.span(),
                "name a file in PEM form that this user may read",
            ));
        }
        if self.verify_every.get_ref().0 < Duration::from_secs(1) {
            findings.push(Finding::error(
                "the log can't be verified more often than once in a second",
                self.verify_every.span(),
                "write verify-every = \"1h\" or more",
            ));
        }
        if let Some(mail) = &self.mail
            && let (None, Some(password)) = (&mail.user, &mail.password)
        {
            findings.push(Finding::error(
                "a password without a user",
                password.span(),
                "add user = \"…\" to [alerts.mail]",
            ));
        }
    }

    /// As the gateway takes it.
    pub fn resolve(&self, folder: &Path) -> resolved::Alerts {
        let mut rules = resolved::usual();
        rules.retain(|rule| !self.rules.keys().any(|name| name.0 == *rule.name));
        let on = self.rules.iter().filter(|(_, rule)| !rule.off);
        rules.extend(on.map(|(name, rule)| rule.resolve(&name.0)));
        let webhook = self.webhook.as_ref().map(|webhook| resolved::Target::Webhook {
            url: webhook.url.get_ref().0.clone(),
            secret: webhook.secret.as_ref().map(|secret| secret.get_ref().reference.clone()),
            allow_private: webhook.allow_private,
        });
        let command = self.command.as_ref().map(|command| resolved::Target::Command {
            program: super::resolve::program(&command.program.to_string_lossy(), folder),
            args: command.args.clone(),
        });
        let mail = self.mail.as_ref().map(|mail| resolved::Target::Mail(mail.resolve(folder)));
        resolved::Alerts {
            rules,
            targets: webhook.into_iter().chain(mail).chain(command).collect(),
            verify_every: Some(self.verify_every.get_ref().0),
        }
    }
}

impl Mail {
    fn resolve(&self, folder: &Path) -> resolved::Mail {
        let password = self.password.as_ref().map(|text| text.get_ref().reference.clone());
        let usual = if self.tls == MailTls::Implicit { 465 } else { 587 };
        resolved::Mail {
            host: self.host.clone(),
            port: self.port.map_or(usual, |port| u16::try_from(port.0).unwrap_or(u16::MAX)),
            ca: self.ca.as_ref().map(|path| folder.join(path.get_ref())),
            tls: match self.tls {
                MailTls::Implicit => resolved::MailTls::Implicit,
                MailTls::Off => resolved::MailTls::Off,
                MailTls::StartTls => resolved::MailTls::StartTls,
            },
            from: self.from.0.clone(),
            to: self.to.iter().map(|to| to.0.clone()).collect(),
            login: self.user.clone().zip(password),
            allow_private: self.allow_private,
        }
    }
}

impl Rule {
    fn resolve(&self, name: &str) -> resolved::Rule {
        resolved::Rule {
            name: name.into(),
            records: self.records.iter().map(|text| text.0.clone()).collect(),
            each: match self.each {
                Each::All => resolved::Each::All,
                Each::Caller => resolved::Each::Caller,
                Each::Host => resolved::Each::Host,
                Each::Server => resolved::Each::Server,
            },
            first: self.first,
            count: self.count.0 as usize,
            within: self.within.0,
        }
    }
}
