//! What the types alone can't tell: keys that exclude each other, and what is probably not meant.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::{
    confinement,
    egress::{self, EnvValue},
    exchange,
    fault::{Finding, nearest},
    file::{self, File, Loopback, Role, Server},
    roles::Roles,
    secrets,
    value::Template,
};

/// All findings about a configuration that could be read, errors first.
pub fn check(file: &File, folder: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    check_door(file, folder, &mut findings);
    check_roles(&file.roles, file, &mut findings);
    super::provider::check(&file.identity, folder, &mut findings);
    super::sign_in::check(file, &mut findings);
    file.inspect.check(file, folder, &mut findings);
    file.telemetry.check(&mut findings);
    file.alerts.check(folder, &mut findings);
    file.audit.check(&mut findings);
    super::export::check(&file.export, folder, &mut findings);
    for (key, server) in &file.servers {
        check_server(key.0.as_str(), server.get_ref(), server.span(), folder, &mut findings);
    }
    super::models::check(file, folder, &mut findings);
    for (name, command) in crate::lock::unlocked(file, folder) {
        findings.push(Finding::warning(
            format!("`{name}` is fetched when it starts, and nobody has locked what that is"),
            command.span(),
            format!("run `bartizan lock {name}`"),
        ));
    }
    findings.sort_by_key(|finding| finding.severity as u8);
    findings
}

fn check_door(file: &File, folder: &Path, findings: &mut Vec<Finding>) {
    if let Some(tls) = &file.tls {
        for path in [&tls.cert, &tls.key].into_iter().chain(&tls.client_ca) {
            if let Err(error) = std::fs::File::open(folder.join(path.get_ref())) {
                findings.push(Finding::error(
                    format!("`{}` can't be read: {error}", path.get_ref().display()),
                    path.span(),
                    "name a file in PEM form that this user may read",
                ));
            }
        }
    }
    if let Some(url) = &file.public_url
        && !url.get_ref().is_origin()
    {
        findings.push(Finding::error(
            format!("`{}` has a path", url.get_ref().as_str()),
            url.span(),
            "write scheme and host alone, without a final slash, such as \"https://mcp.example.com\"",
        ));
    }
    check_listen(file, findings);
}

/// What it means to listen there.
pub fn check_listen(file: &File, findings: &mut Vec<Finding>) {
    let listen = file.listen.get_ref().0;
    if !listen.ip().is_loopback() {
        if file.tls.is_none() {
            findings.push(Finding::warning(
                "other machines can reach this gateway, and tokens travel unencrypted",
                file.listen.span(),
                "add a section [tls] with cert and key, or put a TLS proxy in front and listen on 127.0.0.1",
            ));
        }
        if listen.ip().is_unspecified() && file.hosts.is_empty() {
            findings.push(Finding::warning(
                "no name is accepted as `Host`, so whoever reaches this gateway by a name is refused",
                file.listen.span(),
                "name this gateway as its clients do, such as hosts = [\"mcp.example.com\"]",
            ));
        }
    }
}

/// Whom the file's permissions let in.
#[cfg(unix)]
pub fn check_mode(path: &Path, file: &File) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt;
    let mode = std::fs::metadata(path).ok()?.mode() & 0o777;
    let literal = file.servers.values().any(|server| {
        let credential = server.get_ref().credential.as_ref();
        credential.is_some_and(|one| one.get_ref().value.get_ref().reference.is_literal())
    });
    let title = if mode & 0o002 != 0 {
        format!("every user of this machine can change this file (its mode is {mode:o})")
    } else if mode & 0o004 != 0 && literal {
        format!(
            "every user of this machine can read the credential in this file (its mode is {mode:o})"
        )
    } else {
        return None;
    };
    let mend = Some(format!("chmod 600 {}", path.display()));
    Some(Finding { severity: super::Severity::Warning, title, span: None, mend })
}

#[cfg(not(unix))]
pub fn check_mode(_: &Path, _: &File) -> Option<Finding> {
    None
}

/// Roles of a configuration, or of the store that its gateway has.
pub fn check_roles(roles: &Roles, file: &File, findings: &mut Vec<Finding>) {
    let servers = || file.servers.keys().chain(file.models.keys()).map(|key| key.0.as_str());
    for role in roles.values() {
        let Role { members, allow, ask, deny, when: _ } = role.get_ref();
        let loopback = members.iter().find(|member| member.get_ref().0.to_string() == "loopback");
        if let Some(member) = loopback.filter(|_| file.identity.loopback == Loopback::Token) {
            findings.push(Finding::warning(
                "nobody is let in as `loopback`",
                member.span(),
                "list token:NAME, or set loopback = \"open\" in [identity]",
            ));
        }
        for pattern in allow.iter().chain(ask).chain(deny) {
            let server = pattern.get_ref().server();
            if !server.contains('*') && !servers().any(|known| known == server) {
                let mend = match nearest(&server, servers()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add a section [servers.{server}], or take the line out"),
                };
                findings.push(Finding::warning(
                    format!("no server is called `{server}`"),
                    pattern.span(),
                    mend,
                ));
            }
        }
    }
}

fn check_server(
    name: &str,
    server: &Server,
    span: std::ops::Range<usize>,
    folder: &Path,
    findings: &mut Vec<Finding>,
) {
    match (&server.url, &server.command) {
        (None, None) => findings.push(Finding::error(
            format!("the server `{name}` has neither `url` nor `command`"),
            span,
            "add url = \"https://…\" for a remote server, or command = \"…\" for one to start",
        )),
        (Some(url), Some(command)) => {
            let span =
                url.span().start.max(command.span().start)..url.span().end.max(command.span().end);
            findings.push(Finding::error(
                format!("the server `{name}` has both `url` and `command`"),
                span,
                "keep one of them: url for a remote server, command for one to start",
            ));
        }
        (Some(_), None) => check_remote(name, server, folder, findings),
        (None, Some(command)) => {
            check_local(name, server, command, folder, findings);
            confinement::check(server, command.get_ref(), folder, findings);
        }
    }
}

fn check_remote(name: &str, server: &Server, folder: &Path, findings: &mut Vec<Finding>) {
    let stray = server
        .args
        .first()
        .map(|arg| arg.span())
        .or_else(|| server.env.values().next().map(|value| value.span()))
        .or_else(|| server.cwd.as_ref().map(|cwd| cwd.span()))
        .or_else(|| server.sandbox.read.first().map(|path| path.span()))
        .or_else(|| server.sandbox.write.first().map(|path| path.span()));
    if let Some(span) = stray {
        findings.push(Finding::error(
            format!(
                "`args`, `env`, `cwd` and `sandbox` are for a server to start, and `{name}` has a url"
            ),
            span,
            "take them out, or write command instead of url",
        ));
    }
    let Some(url) = &server.url else { return };
    let host = url.get_ref().0.host().unwrap_or_default();
    let near = is_this_machine(host);
    if !server.allow_private && (near || is_private(host)) {
        findings.push(Finding::warning(
            format!("`{host}` is a private address, so calls to `{name}` will be refused"),
            url.span(),
            "if that is meant, add allow-private = true",
        ));
    }
    if let Some(oauth) = &server.oauth {
        check_oauth(name, server, oauth, findings);
    }
    if let Some(exchange) = &server.exchange {
        exchange::check(name, exchange, findings);
        if server.shared && exchange.get_ref().is_for_callers() {
            let span = exchange.get_ref().kind.span();
            findings.push(not_shared("exchanged tokens", name, span));
        }
        if server.credential.is_some() || server.oauth.is_some() {
            findings.push(Finding::error(
                format!("`{name}` has `exchange` beside another credential"),
                exchange.get_ref().kind.span(),
                "keep one of credential, oauth and exchange",
            ));
        }
    }
    let injected = server.injected(name);
    injected.check(folder, findings);
    if injected.place().is_some() && url.get_ref().0.scheme_str() == Some("http") && !near {
        findings.push(Finding::warning(
            format!("the credential of `{name}` travels unencrypted"),
            url.span(),
            "write https://",
        ));
    }
    let Some(credential) = &server.credential else { return };
    let value = &credential.get_ref().value;
    check_template(value.get_ref(), value.span(), findings);
    if value.get_ref().reference.is_literal() {
        findings.push(literal_secret(
            "the credential stands in this file as it is",
            value.span(),
            "TOKEN",
        ));
    }
}

fn check_oauth(
    name: &str,
    server: &Server,
    oauth: &toml::Spanned<file::OAuth>,
    findings: &mut Vec<Finding>,
) {
    let error = |what: String, mend: &str| Finding::error(what, oauth.span(), mend);
    if server.credential.is_some() {
        findings.push(error(
            format!("`{name}` has both `credential` and `oauth`"),
            "keep one of them: credential for a key that all callers share, oauth for grants",
        ));
    }
    if server.shared && oauth.get_ref().grant == file::GrantKind::User {
        findings.push(not_shared("grants", name, oauth.span()));
    }
    let oauth = oauth.get_ref();
    let proof = oauth.client_secret.is_some();
    if oauth.client_id.is_none() && (proof || oauth.issuer.is_some()) {
        findings.push(error(
            format!("the oauth section of `{name}` says more of a client without `client-id`"),
            "add client-id, as the authorization server gave it",
        ));
    } else if oauth.grant == file::GrantKind::Client && !(oauth.client_id.is_some() && proof) {
        findings.push(error(
            format!("`{name}` has grant = \"client\" and nothing that proves the client"),
            "add client-id, client-secret and issuer",
        ));
    }
    if let Some(value) = &oauth.client_secret {
        if oauth.issuer.is_none() {
            findings.push(Finding::error(
                format!("the server `{name}` itself would say where its `client-secret` is sent"),
                value.span(),
                "add issuer, the URL of the authorization server that gave it, such as issuer = \"https://login.example.com\"",
            ));
        }
        check_secret(value, "CLIENT_SECRET", findings);
    }
}

/// A session that all callers share would also carry what one of them was granted for another.
fn not_shared(whose: &str, name: &str, span: std::ops::Range<usize>) -> Finding {
    Finding::error(
        format!("`{name}` is shared by all callers, and its {whose} are each caller's own"),
        span,
        "take out shared = true",
    )
}

/// A client's secret, or its key.
pub fn check_secret(value: &toml::Spanned<Template>, name: &str, findings: &mut Vec<Finding>) {
    check_template(value.get_ref(), value.span(), findings);
    if value.get_ref().reference.is_literal() {
        let what = "the client's secret stands in this file as it is";
        findings.push(literal_secret(what, value.span(), name));
    }
}

fn check_local(
    name: &str,
    server: &Server,
    command: &toml::Spanned<String>,
    folder: &Path,
    findings: &mut Vec<Finding>,
) {
    if let Some(place) = server.injected(name).place() {
        findings.push(Finding::error(
            format!("`credential`, `headers`, `query`, `certificate` and `aws` are for a remote server, and `{name}` is started here"),
            place,
            "give it the secret as an environment variable: env = { API_TOKEN = \"${env:API_TOKEN}\" }",
        ));
    }
    if let Some(oauth) = &server.oauth {
        findings.push(Finding::error(
            format!("`oauth` is for a remote server, and `{name}` is started here"),
            oauth.span(),
            "take it out",
        ));
    }
    if let Some(exchange) = &server.exchange {
        findings.push(Finding::error(
            format!("`exchange` is for a remote server, and `{name}` is started here"),
            exchange.get_ref().kind.span(),
            "take it out",
        ));
    }
    let folder =
        server.cwd.as_ref().map_or_else(|| folder.to_owned(), |cwd| folder.join(cwd.get_ref()));
    if !folder.is_dir()
        && let Some(cwd) = &server.cwd
    {
        findings.push(Finding::warning(
            format!("`{}` is not a folder", cwd.get_ref().display()),
            cwd.span(),
            "name a folder that exists",
        ));
    }
    if crate::lock::fetched(command.get_ref(), &folder).is_some() {
        // Whether it is locked is looked at elsewhere.
    } else if server.enabled && find_program(command.get_ref(), &folder).is_none() {
        let mend = match command.get_ref().split_once(char::is_whitespace) {
            Some((program, _)) => format!(
                "write the program alone, command = \"{program}\", and the rest as args = [\"…\"]"
            ),
            None => "install it, or write its whole path".to_owned(),
        };
        findings.push(Finding::warning(
            format!("the program `{}` was not found", command.get_ref()),
            command.span(),
            mend,
        ));
    }
    for arg in &server.args {
        if let Some(kind) = secrets::known_key(arg.get_ref()) {
            findings.push(Finding::warning(
                format!("an argument looks like {kind}: it stands in this file, and every user of this machine can see it in the list of processes"),
                arg.span(),
                "seal it: `bartizan secret set TOKEN`, and pass it as an environment variable: env = { TOKEN = \"${secret:TOKEN}\" }",
            ));
        }
    }
    egress::check(name, server, findings);
    for (variable, value) in &server.env {
        let template = value.get_ref().template();
        check_template(template, value.span(), findings);
        let named = vec![(variable.clone(), template.reference.clone())];
        if let Err(fault) = vault::Environment::new(named) {
            findings.push(Finding::error(
                fault.to_string(),
                value.span(),
                "a name is made of letters, digits and _",
            ));
        }
        if !template.reference.is_literal() {
            continue;
        }
        let text = template.text();
        if let Some(kind) = secrets::known_key(text) {
            findings.push(literal_secret(
                &format!("`{variable}` holds {kind} as it is"),
                value.span(),
                variable,
            ));
        } else if secrets::secret_name(variable) || matches!(value.get_ref(), EnvValue::Secret(_)) {
            findings.push(literal_secret(
                &format!("`{variable}` seems to be a secret, and stands in this file as it is"),
                value.span(),
                variable,
            ));
        }
    }
}

pub fn literal_secret(title: &str, span: std::ops::Range<usize>, variable: &str) -> Finding {
    Finding::warning(
        title,
        span,
        format!(
            "seal it: `bartizan secret set {variable}`, and write \"${{secret:{variable}}}\" in its place; \"${{env:{variable}}}\" or \"${{file:/path/to/it}}\" where it is kept elsewhere"
        ),
    )
}

/// References that name nothing at this moment.
pub fn check_template(
    template: &Template,
    span: std::ops::Range<usize>,
    findings: &mut Vec<Finding>,
) {
    if let Some(fault) = template.reference.local_fault() {
        findings.push(Finding::warning(
            fault.to_string(),
            span,
            "without it this server can't be used",
        ));
    }
}

/// Whether a URL's host is this machine, by its text alone.
pub fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || literal(host).is_some_and(|ip| ip.is_loopback())
}

/// Whether a URL's host is an address that only a private network routes, by its text alone.
pub fn is_private(host: &str) -> bool {
    match literal(host) {
        Some(IpAddr::V4(ip)) => {
            ip.is_private()
                || ip.is_link_local()
                || ip.is_loopback()
                || ip.is_unspecified()
                || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64)
        }
        Some(IpAddr::V6(ip)) => {
            ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_loopback()
                || ip.is_unspecified()
        }
        None => false,
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The program's file, looked for as the operating system will.
pub fn find_program(command: &str, folder: &Path) -> Option<PathBuf> {
    if command.contains('/') {
        let path = folder.join(command);
        return path.is_file().then_some(path);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(command))
        .find(|candidate| candidate.is_file())
}
