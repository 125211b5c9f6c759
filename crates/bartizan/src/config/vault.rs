//! `[vault]` and `[secrets]`: how secrets are kept, and what is said of single ones.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use gateway::secrets;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use vault::{
    Source,
    sealed::keyring::{self, KeyringFault},
};

use super::{
    exchange::Exchange,
    fault::{Finding, Severity},
    file::File,
    resolve::ResolveFault,
    uses::{self, Use},
    value::{HostText, Period, Template, ValueFault, WebUrl},
};

/// How secrets are kept and fetched. A reference in a value, such as `${secret:github}`, is resolved when the value is used: sealed by
/// `bartizan secret set` (`${secret:NAME}`), in the environment (`${env:NAME}`) or in a file (`${file:/PATH}`). docs/vault.md explains it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Vault {
    /// Where the master key is, under which the sealed secrets are. A change is in force after `bartizan secret rotate-master`.
    #[schemars(with = "Master")]
    pub master: Master,
    /// The file of `master = "file"`, made when the first secret is set. By default `vault.key` in the state folder. A relative path begins at this file's folder.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/etc/bartizan/vault.key"]))]
    pub key_file: Option<Spanned<PathBuf>>,
    /// A file with the passphrase of `master = "passphrase"`. Without it, it is `bartizan-passphrase` among the service manager's credentials
    /// (systemd's `LoadCredential=`), or asked for on the terminal.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/run/credentials/bartizan.service/passphrase"]))]
    pub passphrase_file: Option<Spanned<PathBuf>>,
    /// HashiCorp Vault or OpenBao: for `${vault:MOUNT/PATH#FIELD}` (KV version 2) and `master = "transit"`.
    pub hashicorp: Option<HashiCorp>,
    /// Azure Key Vault: for `${keyvault:VAULT/NAME}` and `master = "key-vault"`.
    pub key_vault: Option<KeyVault>,
    /// How long a secret that was read is used before it is read again, where `[secrets]` says nothing else.
    #[schemars(with = "Period")]
    pub ttl: Period,
    /// How long before its end a secret is warned of.
    #[schemars(with = "Period")]
    pub warn_before: Period,
}

impl Default for Vault {
    fn default() -> Self {
        Vault {
            master: Master::default(),
            key_file: None,
            passphrase_file: None,
            hashicorp: None,
            key_vault: None,
            ttl: Period(Duration::from_secs(60)),
            warn_before: Period(Duration::from_secs(14 * 24 * 3600)),
        }
    }
}

/// Where the master key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Master {
    /// In a file that this user alone may read. It keeps copies of the state folder's database from saying anything; whoever reads the file too opens everything.
    #[default]
    File,
    /// Made from a passphrase by Argon2id, and nowhere on the disk.
    Passphrase,
    /// In the keyring of this user's session (Linux: the Secret Service of GNOME Keyring, KWallet or KeePassXC), sealed there under the login password. The gateway has to run in that session.
    Keyring,
    /// In the transit engine of HashiCorp Vault, which never gives it away: `transit-key` of `[vault.hashicorp]`.
    Transit,
    /// An RSA key in an Azure Key Vault, which never gives it away: `key` of `[vault.key-vault]`.
    KeyVault,
}

/// HashiCorp Vault or OpenBao.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HashiCorp {
    /// Where it is.
    #[schemars(with = "WebUrl", extend("examples" = ["https://vault.example.com:8200"]))]
    pub url: Spanned<WebUrl>,
    /// The token that it is shown, from a file or a variable. It is read anew for each request, so whoever renews it need not tell Bartizan.
    #[schemars(with = "Template", extend("examples" = ["${file:/run/secrets/vault-token}"]))]
    pub token: Spanned<Template>,
    /// Which namespace, where there are several.
    #[schemars(extend("examples" = ["team"]))]
    pub namespace: Option<String>,
    /// The authority of its certificate in PEM form, where that is not one of the system's. A relative path begins at this file's folder.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/etc/bartizan/vault-ca.pem"]))]
    pub ca: Option<Spanned<PathBuf>>,
    /// Lets `url` lead to a private address.
    #[serde(default)]
    pub allow_private: bool,
    /// The key of `master = "transit"`, as `MOUNT/NAME`.
    #[schemars(with = "Option<String>", extend("examples" = ["transit/bartizan"]))]
    pub transit_key: Option<Spanned<String>>,
}

/// Azure Key Vault.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyVault {
    /// A token for it, from a file that something else keeps fresh. Without it, Bartizan is the managed identity of the machine that it runs on.
    #[schemars(with = "Option<Template>", extend("examples" = ["${file:/run/secrets/azure-token}"]))]
    pub token: Option<Spanned<Template>>,
    /// As whom Bartizan gets tokens for it, where that is not the machine's managed identity: `kind` is `client-credentials` or `workload-identity`, with everything that proves a client;
    /// `scopes` are the vault's to say. docs/exchange.md explains it.
    #[schemars(with = "Option<Exchange>")]
    pub exchange: Option<Spanned<Exchange>>,
    /// The client id of a user-assigned managed identity, where the machine has several.
    #[schemars(extend("examples" = ["6731de76-14a6-49ae-97bc-6eba6914391e"]))]
    pub client_id: Option<String>,
    /// What follows a vault's name; other clouds have others.
    #[serde(default = "azure")]
    pub suffix: HostText,
    /// Vaults that are elsewhere, by their name.
    #[serde(default)]
    pub urls: BTreeMap<String, WebUrl>,
    /// The authority of their certificates in PEM form, where that is not one of the system's. A relative path begins at this file's folder.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/etc/bartizan/vault-ca.pem"]))]
    pub ca: Option<Spanned<PathBuf>>,
    /// Lets vaults be at private addresses, as private endpoints are.
    #[serde(default)]
    pub allow_private: bool,
    /// The key of `master = "key-vault"`, an RSA key that may wrap and unwrap.
    #[schemars(with = "Option<WebUrl>", extend("examples" = ["https://prod.vault.azure.net/keys/bartizan"]))]
    pub key: Option<Spanned<WebUrl>>,
}

fn azure() -> HostText {
    HostText("vault.azure.net".to_owned())
}

/// What is said of one secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Secret {
    /// How long it is used before it is read again.
    #[schemars(extend("examples" = ["5m"]))]
    pub ttl: Option<Period>,
    /// How much longer it is used while the place that it is in does not answer. Without it, calls that need it are refused then.
    #[schemars(extend("examples" = ["1h"]))]
    pub use_stale_for: Option<Period>,
    /// Who must act before it expires: named in warnings.
    #[schemars(extend("examples" = ["ops@example.com"]))]
    pub owner: Option<String>,
}

/// A reference without `${` and `}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct SourceKey(#[schemars(with = "String")] pub Source);

impl TryFrom<String> for SourceKey {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let mend =
            "write what stands in the reference: \"secret:NAME\", \"env:NAME\", \"file:/PATH\"";
        match Source::parse(&text) {
            Ok(Some(source)) => Ok(SourceKey(source)),
            Ok(None) => Err(ValueFault::new(format!("`{text}` names no secret"), mend)),
            Err(fault) => Err(ValueFault::new(fault.to_string(), mend)),
        }
    }
}

impl From<SourceKey> for String {
    fn from(key: SourceKey) -> String {
        key.0.to_string()
    }
}

/// What the types can't tell.
pub fn check(file: &File, text: &str, findings: &mut Vec<Finding>) {
    check_master(&file.vault, findings);
    let used = uses::find(text);
    for one in &used {
        let section = match one.source {
            Source::KeyVault { .. } if file.vault.key_vault.is_none() => "vault.key-vault",
            Source::Vault { .. } if file.vault.hashicorp.is_none() => "vault.hashicorp",
            _ => continue,
        };
        findings.push(Finding::error(
            format!("`${{{}}}` can't be read: there is no section [{section}]", one.source),
            one.span.clone(),
            format!("add [{section}], which says where it is"),
        ));
    }
    for (key, said) in &file.secrets {
        if !used.iter().any(|one| one.source == key.0) {
            findings.push(Finding::warning(
                format!("nothing here uses `{}`", key.0),
                said.span(),
                format!("write ${{{}}} where it belongs, or take the section out", key.0),
            ));
        }
    }
}

fn check_master(vault: &Vault, findings: &mut Vec<Finding>) {
    let tokens = [
        vault.hashicorp.as_ref().map(|hashicorp| &hashicorp.token),
        vault.key_vault.as_ref().and_then(|key_vault| key_vault.token.as_ref()),
    ];
    for token in tokens.into_iter().flatten() {
        let reference = &token.get_ref().reference;
        if reference.is_literal() || !reference.is_local() {
            findings.push(Finding::error(
                "the token of a vault comes from a file or a variable of this machine",
                token.span(),
                "write ${file:/PATH} or ${env:NAME}",
            ));
        }
    }
    if let Some(exchange) = vault.key_vault.as_ref().and_then(|way| way.exchange.as_ref()) {
        super::exchange::check_key_vault(exchange, findings);
        let way = vault.key_vault.as_ref();
        if let Some(token) = way.and_then(|way| way.token.as_ref()) {
            findings.push(Finding::warning(
                "[vault.key-vault] has both `token` and `exchange`, and only the token is used",
                token.span(),
                "keep one of them",
            ));
        }
    }
    let (missing, master, key) = match vault.master {
        Master::Transit => (
            vault.hashicorp.as_ref().is_none_or(|way| way.transit_key.is_none()),
            "transit",
            "transit-key in [vault.hashicorp]",
        ),
        Master::KeyVault => (
            vault.key_vault.as_ref().is_none_or(|way| way.key.is_none()),
            "key-vault",
            "key in [vault.key-vault]",
        ),
        Master::Keyring if !keyring::MAY_BE => {
            findings.push(Finding {
                severity: Severity::Error,
                title: KeyringFault::Unsupported.to_string(),
                span: None,
                mend: Some(
                    "write master = \"passphrase\", \"transit\" or \"key-vault\"".to_owned(),
                ),
            });
            return;
        }
        Master::File | Master::Keyring | Master::Passphrase => return,
    };
    if missing {
        findings.push(Finding {
            severity: Severity::Error,
            title: format!("master = \"{master}\" needs a key"),
            span: None,
            mend: Some(format!("add {key}")),
        });
    }
}

/// Warnings about sealed secrets that are used and not there.
pub fn unknown(text: &str, known: &[String]) -> Vec<Finding> {
    let missing = |found: Use| {
        let Source::Secret(name) = &found.source else { return None };
        if known.iter().any(|known| known == name.as_str()) {
            return None;
        }
        let mend = match super::fault::nearest(name.as_str(), known.iter().map(String::as_str)) {
            Some(near) => {
                format!("did you mean ${{secret:{near}}}? Or set it: bartizan secret set {name}")
            }
            None => format!("set it: bartizan secret set {name}"),
        };
        Some(Finding::warning(format!("there is no secret `{name}`"), found.span, mend))
    };
    uses::find(text).into_iter().filter_map(missing).collect()
}

/// What the gateway keeps and fetches secrets by.
pub fn resolve(
    file: &File,
    folder: &Path,
    state_dir: &Path,
) -> Result<secrets::Config, ResolveFault> {
    let Vault { master, key_file, passphrase_file, hashicorp, key_vault, ttl, warn_before } =
        &file.vault;
    let path = |path: &Spanned<PathBuf>| folder.join(path.get_ref());
    let rules = |said: &Secret| secrets::Rules {
        ttl: said.ttl.as_ref().unwrap_or(ttl).0,
        use_stale_for: said.use_stale_for.as_ref().map_or(Duration::ZERO, |period| period.0),
    };
    let of: HashMap<_, _> =
        file.secrets.iter().map(|(key, said)| (key.0.clone(), rules(said.get_ref()))).collect();
    Ok(secrets::Config {
        master: match master {
            Master::File => secrets::Master::File,
            Master::Keyring => secrets::Master::Keyring,
            Master::Passphrase => secrets::Master::Passphrase,
            Master::Transit => secrets::Master::Transit,
            Master::KeyVault => secrets::Master::KeyVault,
        },
        folder: state_dir.to_owned(),
        key_file: key_file.as_ref().map_or_else(|| state_dir.join(secrets::KEY_FILE), path),
        passphrase_file: passphrase_file.as_ref().map(path),
        hashicorp: hashicorp.as_ref().map(|way| secrets::hashicorp::Config {
            url: base(way.url.get_ref()),
            namespace: way.namespace.clone(),
            token: way.token.get_ref().reference.clone(),
            ca: way.ca.as_ref().map(path),
            allow_private: way.allow_private,
            transit_key: way.transit_key.as_ref().map(|key| key.get_ref().clone()),
        }),
        key_vault: key_vault.as_ref().map(|way| way_to(way, folder)).transpose()?,
        ttl: ttl.0,
        warn_before: warn_before.0,
        of,
        owners: file
            .secrets
            .iter()
            .filter_map(|(key, said)| Some((key.0.clone(), said.get_ref().owner.clone()?)))
            .collect(),
    })
}

fn way_to(way: &KeyVault, folder: &Path) -> Result<secrets::key_vault::Config, ResolveFault> {
    Ok(secrets::key_vault::Config {
        suffix: way.suffix.0.clone(),
        urls: way.urls.iter().map(|(name, url)| (name.to_lowercase(), base(url))).collect(),
        credential: credential(way, folder)?,
        ca: way.ca.as_ref().map(|ca| folder.join(ca.get_ref())),
        allow_private: way.allow_private,
        key: way.key.as_ref().map(|key| base(key.get_ref())),
    })
}

/// As whom Bartizan comes to a Key Vault.
fn credential(
    way: &KeyVault,
    folder: &Path,
) -> Result<secrets::key_vault::Credential, ResolveFault> {
    use secrets::key_vault::Credential;
    let exchanged = way.exchange.as_ref().map(|exchange| exchange.get_ref().resolve(folder));
    Ok(match (&way.token, exchanged.transpose()?) {
        (Some(token), _) => Credential::Token(token.get_ref().reference.clone()),
        (None, Some(gateway::exchange::Exchange::ClientCredentials(at))) => {
            Credential::Client(Box::new(at))
        }
        (None, _) => Credential::ManagedIdentity(way.client_id.clone()),
    })
}

fn base(url: &WebUrl) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_the_gateways_own() {
        let (folder, state) = (Path::new("/etc/bartizan"), Path::new("/state"));
        assert_eq!(resolve(&File::default(), folder, state).unwrap(), secrets::Config::bare(state));
    }

    #[test]
    fn unknown_secrets_are_named_with_their_place() {
        let text = "[servers.a]\nurl = \"https://a.example/mcp\"\ncredential = { value = \"Bearer ${secret:gihub}\" }\n";
        let found = unknown(text, &["github".to_owned()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].title, "there is no secret `gihub`");
        assert!(found[0].mend.as_ref().unwrap().starts_with("did you mean ${secret:github}?"));
        assert_eq!(found[0].position(text).unwrap().0, 3);
        assert!(unknown(text, &["gihub".to_owned()]).is_empty());
    }
}
