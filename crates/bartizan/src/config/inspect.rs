//! The section `[inspect]`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ::inspect::{Class, Rule, rules};
use gateway::inspection as resolved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Spanned;

use super::{
    fault::{Finding, nearest},
    file::File,
    value::{Period, ServerKey, ServerUrl, Template},
};

/// The detectors: what they look for, and what their findings lead to. Every finding is recorded, unless its mode is `off`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Inspect {
    /// What a finding leads to, by its class.
    pub modes: Modes,
    /// Files of further rules, in TOML. `bartizan inspect test FILE` tries their examples. A relative path begins at this file's folder.
    #[schemars(with = "Vec<PathBuf>", extend("examples" = [json!(["rules/ours.toml"])]))]
    pub rules: Vec<Spanned<PathBuf>>,
    /// How long the detectors may read one result.
    pub time: Period,
    /// What happens to a result that takes longer. `release` lets it pass as if nothing was found in the rest: a loosening.
    pub late: Late,
    /// Encloses the texts of results in marks that name their server, so that a model can be told that what stands between them is data, not orders.
    pub spotlight: bool,
    /// A detector of somebody else that is asked about each result, beside the built-in ones. What it finds has the mode of `injection`.
    pub external: Option<External>,
    /// Other modes for single servers; what such a section leaves out is at its default.
    #[schemars(with = "BTreeMap<ServerKey, Modes>")]
    pub servers: BTreeMap<ServerKey, Spanned<Modes>>,
}

impl Default for Inspect {
    fn default() -> Self {
        Inspect {
            modes: Modes::default(),
            rules: Vec::new(),
            time: Period(Duration::from_secs(2)),
            late: Late::Refuse,
            spotlight: false,
            external: None,
            servers: BTreeMap::new(),
        }
    }
}

/// An HTTP endpoint that judges texts. It sees whatever the servers answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct External {
    /// Where it is asked.
    #[schemars(with = "ServerUrl", extend("examples" = ["https://guard.example.com/judge"]))]
    pub url: Spanned<ServerUrl>,
    /// How it is asked.
    #[serde(default)]
    #[schemars(with = "Shape")]
    pub shape: Shape,
    /// What it knows the gateway by: for `hook` a bearer token, for Azure the subscription key.
    #[schemars(with = "Option<Template>", extend("examples" = ["${env:GUARD_KEY}"]))]
    pub key: Option<Spanned<Template>>,
    /// How long it may take for one result.
    #[serde(default = "half_a_second")]
    #[schemars(with = "Period")]
    pub deadline: Period,
    /// What happens to a result that it does not judge: no answer in time, an error, an answer of another shape, a text of more than eight requests. `release` lets it pass: a loosening.
    #[serde(default)]
    #[schemars(with = "Late")]
    pub on_failure: Late,
    /// Lets it be at an address that is not public: a loosening. An address that is written as digits needs none.
    #[serde(default)]
    pub allow_private: bool,
}

fn half_a_second() -> Period {
    Period(Duration::from_millis(500))
}

/// The request and the answer of a detector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Azure AI Content Safety, Prompt Shields: the URL is that of `text:shieldPrompt` with its `api-version`. Texts are sent as documents of 10,000 characters.
    AzurePromptShields,
    /// `{"server": …, "name": …, "text": …}` is posted, and `{"attack": true, "reason": "…"}` or `{"attack": false}` expected.
    #[default]
    Hook,
}

/// The mode of each class.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Modes {
    /// Arguments that break out of their type: traversal, injection into commands, SQL and templates, addresses inside of the network.
    pub argument: Mode,
    /// Tools that say they do harm.
    pub capability: Mode,
    /// Links, images and orders that carry data out.
    pub exfiltration: Mode,
    /// Characters and encodings that hide text from people.
    pub hidden: Mode,
    /// Text that gives orders to the model.
    pub injection: Mode,
    /// Data about people: mail addresses, phone, card and account numbers.
    pub personal: Mode,
    /// Schemas that let anything through.
    pub schema: Mode,
    /// Credentials.
    pub secret: Mode,
}

impl Default for Modes {
    fn default() -> Self {
        let usual = resolved::Modes::default();
        let of = |class| Mode::of(usual.of(class));
        Modes {
            argument: of(Class::Argument),
            capability: of(Class::Capability),
            exfiltration: of(Class::Exfiltration),
            hidden: of(Class::Hidden),
            injection: of(Class::Injection),
            personal: of(Class::Personal),
            schema: of(Class::Schema),
            secret: of(Class::Secret),
        }
    }
}

/// What a finding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing, not even a record.
    Off,
    /// A record.
    Monitor,
    /// A note for the client in the result's `_meta`, `dev.bartizan/findings`.
    Label,
    /// What was found is replaced by a token, the same for the same value.
    Mask,
    /// A finding of high severity waits for an approver (`[approvals]`): before the call is sent, or before its result is released. One of medium severity is labelled.
    Ask,
    /// A finding of high severity is refused, one of medium severity labelled.
    Block,
}

/// What happens to a result that could not be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Late {
    /// It is refused.
    #[default]
    Refuse,
    /// It is released.
    Release,
}

impl Inspect {
    /// Rules that can't be read, and modes for servers that are not there.
    pub(super) fn check(&self, file: &File, folder: &Path, findings: &mut Vec<Finding>) {
        for path in &self.rules {
            if let Err(what) = read(&folder.join(path.get_ref())) {
                findings.push(Finding::error(
                    what,
                    path.span(),
                    "name a file of rules; `bartizan inspect test FILE` tries it",
                ));
            }
        }
        for (key, modes) in self.servers.iter().filter(|(key, _)| !file.servers.contains_key(*key))
        {
            let known = file.servers.keys().map(|key| key.0.as_str());
            let mend = match nearest(key.0.as_str(), known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a section [servers.{}], or take this one out", key.0.as_str()),
            };
            findings.push(Finding::warning(
                format!("no server is called `{}`", key.0.as_str()),
                modes.span(),
                mend,
            ));
        }
    }

    /// As the gateway takes it; rules were readable when the configuration was checked.
    pub(super) fn resolve(&self, folder: &Path) -> Result<resolved::Inspection, String> {
        let mut rules = Vec::new();
        for path in &self.rules {
            rules.extend(read(&folder.join(path.get_ref()))?);
        }
        let server = |(key, own): (&ServerKey, &Spanned<Modes>)| {
            (key.0.as_str().into(), own.get_ref().resolve())
        };
        Ok(resolved::Inspection {
            servers: self.servers.iter().map(server).collect(),
            modes: self.modes.resolve(),
            rules,
            time: self.time.0,
            release_late: self.late == Late::Release,
            spotlight: self.spotlight,
            external: self.external.as_ref().map(External::resolve),
        })
    }
}

impl External {
    fn resolve(&self) -> gateway::detector::External {
        use gateway::detector;
        detector::External {
            url: self.url.get_ref().0.clone(),
            shape: match self.shape {
                Shape::AzurePromptShields => detector::Shape::AzurePromptShields,
                Shape::Hook => detector::Shape::Hook,
            },
            key: self.key.as_ref().map(|key| key.get_ref().reference.clone()),
            deadline: self.deadline.0,
            release_unjudged: self.on_failure == Late::Release,
            allow_private: self.allow_private,
        }
    }
}

fn read(path: &Path) -> Result<Vec<Rule>, String> {
    let name = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|error| format!("`{name}` can't be read: {error}"))?;
    rules::read(&name, &text).map_err(|fault| fault.to_string())
}

impl Modes {
    fn resolve(&self) -> resolved::Modes {
        let Modes {
            argument,
            capability,
            exfiltration,
            hidden,
            injection,
            personal,
            schema,
            secret,
        } = *self;
        resolved::Modes::default()
            .with(Class::Argument, argument.resolve())
            .with(Class::Capability, capability.resolve())
            .with(Class::Exfiltration, exfiltration.resolve())
            .with(Class::Hidden, hidden.resolve())
            .with(Class::Injection, injection.resolve())
            .with(Class::Personal, personal.resolve())
            .with(Class::Schema, schema.resolve())
            .with(Class::Secret, secret.resolve())
    }
}

impl Mode {
    fn of(mode: resolved::Mode) -> Mode {
        match mode {
            resolved::Mode::Off => Mode::Off,
            resolved::Mode::Monitor => Mode::Monitor,
            resolved::Mode::Label => Mode::Label,
            resolved::Mode::Mask => Mode::Mask,
            resolved::Mode::Ask => Mode::Ask,
            resolved::Mode::Block => Mode::Block,
        }
    }

    fn resolve(self) -> resolved::Mode {
        match self {
            Mode::Off => resolved::Mode::Off,
            Mode::Monitor => resolved::Mode::Monitor,
            Mode::Label => resolved::Mode::Label,
            Mode::Mask => resolved::Mode::Mask,
            Mode::Ask => resolved::Mode::Ask,
            Mode::Block => resolved::Mode::Block,
        }
    }
}
