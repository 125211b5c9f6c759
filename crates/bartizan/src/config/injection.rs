//! What the gateway adds to requests to a server or a model: headers, parameters of the query, signatures, certificates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use vault::{Credentials, VaultFault};

use super::{
    check::{check_secret, check_template, literal_secret},
    fault::Finding,
    file::Credential,
    secrets,
    value::{HeaderText, QueryText, Template, WordText},
};

/// OUTGOING authentication by a client certificate (mutual TLS), shown to servers that ask for one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClientCertificate {
    /// The certificate in PEM form, and behind it those between it and the authority.
    #[schemars(with = "Template", extend("examples" = ["${file:/run/secrets/client.pem}"]))]
    pub cert: Spanned<Template>,
    /// Its private key in PEM form.
    #[schemars(with = "Template", extend("examples" = ["${secret:client-key}"]))]
    pub key: Spanned<Template>,
    /// The authority of the server's own certificate in PEM form, where that is not one of the system's: then no other is trusted. A relative path begins at this file's folder.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/etc/bartizan/provider-ca.pem"]))]
    pub ca: Option<Spanned<PathBuf>>,
}

/// OUTGOING authentication by AWS's Signature Version 4.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Aws {
    /// The id of the access key.
    #[schemars(with = "Template", extend("examples" = ["${env:AWS_ACCESS_KEY_ID}"]))]
    pub access_key: Spanned<Template>,
    /// The secret access key.
    #[schemars(with = "Template", extend("examples" = ["${secret:aws}"]))]
    pub secret_key: Spanned<Template>,
    /// The session token of keys that are lent for a while.
    #[schemars(with = "Option<Template>", extend("examples" = ["${env:AWS_SESSION_TOKEN}"]))]
    pub session_token: Option<Spanned<Template>>,
    /// The region that the server is in.
    #[schemars(with = "WordText", extend("examples" = ["eu-central-1"]))]
    pub region: Spanned<WordText>,
    /// What AWS calls the service in signatures: `execute-api`, `lambda`, `bedrock-agentcore`.
    #[schemars(with = "WordText", extend("examples" = ["execute-api"]))]
    pub service: Spanned<WordText>,
}

/// All of it, of one entry.
pub struct Injected<'f> {
    /// `servers.NAME` or `models.NAME`.
    pub section: String,
    pub credential: Option<&'f Spanned<Credential>>,
    pub headers: &'f BTreeMap<HeaderText, Spanned<Template>>,
    pub query: &'f BTreeMap<QueryText, Spanned<Template>>,
    pub certificate: Option<&'f ClientCertificate>,
    pub aws: Option<&'f Aws>,
    /// Whether a token that is not configured comes besides.
    pub has_token: bool,
    pub is_plain: bool,
}

impl Injected<'_> {
    /// Where the first of them stands.
    pub fn place(&self) -> Option<std::ops::Range<usize>> {
        let credential = self.credential.map(Spanned::span);
        let header = self.headers.values().next().map(Spanned::span);
        let query = self.query.values().next().map(Spanned::span);
        let certificate = self.certificate.map(|shown| shown.cert.span());
        let aws = self.aws.map(|aws| aws.access_key.span());
        credential.or(header).or(query).or(certificate).or(aws)
    }

    /// What the gateway sends.
    pub fn resolve(&self, folder: &Path) -> Result<Credentials, VaultFault> {
        let mut list = Vec::new();
        if let Some(credential) = self.credential {
            list.push(credential.get_ref().resolve()?);
        }
        for (name, value) in self.headers {
            list.push(vault::Credential::new(&name.0, value.get_ref().reference.clone())?);
        }
        for (name, value) in self.query {
            list.push(vault::Credential::query(&name.0, value.get_ref().reference.clone())?);
        }
        let mut credentials = Credentials::new(list)?;
        let reference = |template: &Spanned<Template>| template.get_ref().reference.clone();
        if let Some(aws) = self.aws {
            credentials = credentials.signed(vault::Aws {
                access_key: reference(&aws.access_key),
                secret_key: reference(&aws.secret_key),
                session_token: aws.session_token.as_ref().map(reference),
                region: aws.region.get_ref().0.as_str().into(),
                service: aws.service.get_ref().0.as_str().into(),
            })?;
        }
        if let Some(shown) = self.certificate {
            credentials = credentials.certified(vault::ClientCertificate {
                cert: reference(&shown.cert),
                key: reference(&shown.key),
                ca: shown.ca.as_ref().map(|ca| folder.join(ca.get_ref())),
            });
        }
        Ok(credentials)
    }

    /// What can't be meant.
    pub fn check(&self, folder: &Path, findings: &mut Vec<Finding>) {
        let section = &self.section;
        if let (Err(fault), Some(place)) = (self.resolve(folder), self.place()) {
            findings.push(Finding::error(
                format!("[{section}]: {fault}"),
                place,
                "each header and each parameter has one value, in credential, headers or query; with aws, `Authorization` and `X-Amz-…` are the signature's",
            ));
        }
        if self.has_token {
            self.check_token(findings);
        }
        for (what, name, value) in self.pairs() {
            check_template(value.get_ref(), value.span(), findings);
            if is_bare(name, value) {
                let title = format!(
                    "the {what} `{name}` seems to be a secret, and stands in this file as it is"
                );
                findings.push(literal_secret(&title, value.span(), "TOKEN"));
            }
        }
        if let Some(aws) = self.aws {
            check_template(aws.access_key.get_ref(), aws.access_key.span(), findings);
            check_secret(&aws.secret_key, "AWS_SECRET_ACCESS_KEY", findings);
            let token = aws.session_token.iter();
            token.for_each(|token| check_secret(token, "AWS_SESSION_TOKEN", findings));
        }
        let Some(shown) = self.certificate else { return };
        check_template(shown.cert.get_ref(), shown.cert.span(), findings);
        check_secret(&shown.key, "CLIENT_KEY", findings);
        if self.is_plain {
            findings.push(Finding::error(
                format!("[{section}.certificate] is never shown: the url begins with http://"),
                shown.cert.span(),
                "write https://, or take the certificate out",
            ));
        }
        if let Some(ca) = &shown.ca
            && let Err(error) = std::fs::File::open(folder.join(ca.get_ref()))
        {
            findings.push(Finding::error(
                format!("`{}` can't be read: {error}", ca.get_ref().display()),
                ca.span(),
                "name a file in PEM form that this user may read",
            ));
        }
    }

    /// A token goes into `Authorization`.
    fn check_token(&self, findings: &mut Vec<Finding>) {
        let taken =
            self.headers.iter().find(|(name, _)| name.0.eq_ignore_ascii_case("authorization"));
        let taken = taken.map(|(_, value)| ("headers.Authorization", value.span()));
        let aws = self.aws.map(|aws| ("aws", aws.access_key.span()));
        for (what, place) in taken.into_iter().chain(aws) {
            findings.push(Finding::error(
                format!(
                    "[{}] has `{what}` beside a token, and both are sent as `Authorization`",
                    self.section
                ),
                place,
                "keep one of them",
            ));
        }
    }

    /// Headers and parameters.
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str, &Spanned<Template>)> {
        let headers = self.headers.iter().map(|(name, value)| ("header", name.0.as_str(), value));
        let query = self.query.iter().map(|(name, value)| ("parameter", name.0.as_str(), value));
        headers.chain(query)
    }

    /// Whether a secret stands in the configuration as it is.
    pub fn is_bare(&self) -> bool {
        let literal = |value: &Spanned<Template>| value.get_ref().reference.is_literal();
        self.credential.is_some_and(|credential| literal(&credential.get_ref().value))
            || self.pairs().any(|(_, name, value)| is_bare(name, value))
            || self.aws.is_some_and(|aws| literal(&aws.secret_key))
            || self.certificate.is_some_and(|shown| literal(&shown.key))
    }
}

/// Whether this seems to be a secret, and stands there as it is.
fn is_bare(name: &str, value: &Spanned<Template>) -> bool {
    let template = value.get_ref();
    template.reference.is_literal()
        && (secrets::known_key(template.text()).is_some() || secrets::secret_name(name))
}
