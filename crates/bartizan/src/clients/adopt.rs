//! A client's server as it stands behind Bartizan: its keys sealed, its variables in Bartizan's words.

use std::path::Path;

use super::{
    keys::{Key, Keys, Slot},
    known::{self, Known},
    server::{Piece, Reach, Server},
};
use crate::config::{
    self,
    edit::{NewHost, NewServer, Placeholder},
};

/// What becomes of a server.
#[derive(Debug)]
pub struct Adopted {
    pub server: NewServer,
    /// What is not taken over with it.
    pub lost: Vec<String>,
}

/// Why a server stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "it has a key in {0}, where Bartizan can't put one: see whether it takes it as a variable or a header"
    )]
    KeyIn(String),
    #[error("`{0}` is not a URL")]
    Url(String),
    #[error("`{0}` stands for something that only the client knows")]
    Variable(String),
}

/// How a client writes.
#[derive(Clone, Copy, Debug)]
pub struct Style<'h> {
    pub home: &'h Path,
    /// `$NAME` stands for a variable, without braces.
    pub bare: bool,
}

/// Takes one over. `named` gives a secret its name, by what is proposed and what it is: `None` where the client asks for
/// it, or has it elsewhere.
pub fn adopt(
    server: &Server,
    keys: &Keys,
    style: Style<'_>,
    named: &mut dyn FnMut(&str, Option<&str>) -> String,
) -> Result<Adopted, Unfit> {
    let bridged = bridged(server);
    let server = bridged.as_ref().unwrap_or(server);
    let found = keys.of(server);
    let mut writer = Writer { server, found: &found, style, named };
    let (new, lost) = match &server.reach {
        Reach::Command { command, args, env, cwd } => {
            let command = writer.plain(command)?;
            let args = (0..args.len())
                .map(|at| writer.plain_slot(Slot::Arg(at)))
                .collect::<Result<_, _>>()?;
            let egress = hosts(server);
            let known = Known::of(server.args());
            let (mut plain, mut placeholders) = (Vec::new(), Vec::new());
            for (at, (name, _)) in env.iter().enumerate() {
                let value = writer.template(Slot::Env(at), name)?;
                match known.and_then(|known| outside(known, name, &value)) {
                    Some(placeholder) => placeholders.push((name.clone(), placeholder)),
                    None => plain.push((name.clone(), value)),
                }
            }
            let cwd =
                cwd.as_ref().map(|text| writer.plain(&Piece { text: text.clone(), at: 0..0 }));
            let (read, write) = (Vec::new(), Vec::new());
            let (env, disabled, cwd) = (plain, !server.enabled, cwd.transpose()?);
            let new = NewServer::Command {
                command,
                args,
                env,
                placeholders,
                egress,
                read,
                write,
                cwd,
                disabled,
            };
            (new, Vec::new())
        }
        Reach::Url { headers, .. } => writer.remote(headers)?,
    };
    Ok(Adopted { server: new, lost })
}

/// What it reaches, as far as that is known: the service that it is for, and the addresses that its entry names.
fn hosts(server: &Server) -> Vec<NewHost> {
    let Reach::Command { args, env, .. } = &server.reach else { return Vec::new() };
    let texts = args.iter().chain(env.iter().map(|(_, piece)| piece));
    let mut named = known::named(texts.map(|piece| piece.text.as_str()));
    for host in Known::of(args).into_iter().flat_map(|known| known.hosts) {
        named.insert(known::Host { name: (*host).to_owned(), http: true });
    }
    named.into_iter().map(|host| NewHost { name: host.name, opaque: !host.http }).collect()
}

/// The key of a known server, which never has to enter it: a text that is nothing but one sealed secret.
fn outside(known: &Known, variable: &str, value: &str) -> Option<Placeholder> {
    let (_, slot) = known.key.filter(|(name, _)| *name == variable)?;
    let inside = value.strip_prefix("${secret:")?.strip_suffix('}')?;
    if inside.contains('$') {
        return None;
    }
    let (header, query) = match slot {
        known::Slot::Header("Authorization") => (None, None),
        known::Slot::Header(header) => (Some(header.to_owned()), None),
        known::Slot::Query(query) => (None, Some(query.to_owned())),
    };
    let hosts = known.hosts.iter().map(|host| (*host).to_owned()).collect();
    Some(Placeholder { secret: value.to_owned(), hosts, header, query })
}

/// `npx mcp-remote URL --header "NAME: VALUE"` reaches a remote server for clients that can't: Bartizan can. And
/// `docker run -e NAME=VALUE` passes a variable that can be passed without showing it.
fn bridged(server: &Server) -> Option<Server> {
    let Reach::Command { command, args, env, cwd } = &server.reach else { return None };
    let remote =
        |piece: &Piece| piece.text == "mcp-remote" || piece.text.starts_with("mcp-remote@");
    if let Some(at) = args.iter().position(remote) {
        let url = args.get(at + 1).filter(|url| url.text.starts_with("http"))?.clone();
        let mut headers = Vec::new();
        for pair in args[at + 2..].windows(2).filter(|pair| pair[0].text == "--header") {
            let (name, value) = pair[1].text.split_once(':')?;
            let piece = Piece { text: value.trim().to_owned(), at: pair[1].at.clone() };
            headers.push((name.trim().to_owned(), piece));
        }
        return Some(Server { reach: Reach::Url { url, headers }, ..server.clone() });
    }
    if Path::new(&command.text).file_name()?.to_str()? != "docker" {
        return None;
    }
    let (mut args, mut env) = (args.clone(), env.clone());
    for at in 1..args.len() {
        let flag = matches!(&*args[at - 1].text, "-e" | "--env");
        if let (true, Some((name, value))) = (flag, args[at].text.clone().split_once('=')) {
            env.push((name.to_owned(), Piece { text: value.to_owned(), at: args[at].at.clone() }));
            args[at].text = name.to_owned();
        }
    }
    let reach = Reach::Command { command: command.clone(), args, env, cwd: cwd.clone() };
    Some(Server { reach, ..server.clone() })
}

struct Writer<'s> {
    server: &'s Server,
    found: &'s [Key],
    style: Style<'s>,
    named: &'s mut dyn FnMut(&str, Option<&str>) -> String,
}

impl Writer<'_> {
    fn keys(&self, slot: Slot) -> impl Iterator<Item = &Key> {
        self.found.iter().filter(move |key| key.slot == slot)
    }

    /// A text in which no reference may stand.
    fn plain_slot(&mut self, slot: Slot) -> Result<String, Unfit> {
        if self.keys(slot).next().is_some() {
            return Err(Unfit::KeyIn(slot.name(self.server)));
        }
        match slot.piece(self.server) {
            Some(piece) => self.plain(piece),
            None => Ok(String::new()),
        }
    }

    fn plain(&mut self, piece: &Piece) -> Result<String, Unfit> {
        let text = self.translated(&piece.text)?.replace("$$", "\0");
        // What is not known before the server starts can't be an argument.
        if text.contains("${") {
            return Err(Unfit::Variable(piece.text.clone()));
        }
        Ok(text.replace('\0', "$"))
    }

    /// A text with references in place of its keys.
    fn template(&mut self, slot: Slot, proposed: &str) -> Result<String, Unfit> {
        let Some(piece) = slot.piece(self.server).cloned() else { return Ok(String::new()) };
        let ranges: Vec<_> = self.keys(slot).map(|key| key.within.clone()).collect();
        let mut text = String::new();
        let mut done = 0;
        for range in ranges {
            text.push_str(&self.translated(&piece.text[done..range.start])?);
            text.push_str(&self.secret(proposed, Some(&piece.text[range.clone()])));
            done = range.end;
        }
        text.push_str(&self.translated(&piece.text[done..])?);
        Ok(text)
    }

    fn secret(&mut self, proposed: &str, value: Option<&str>) -> String {
        format!("${{secret:{}}}", (self.named)(proposed, value))
    }

    fn remote(&mut self, all: &[(String, Piece)]) -> Result<(NewServer, Vec<String>), Unfit> {
        let (text, query) = self.address()?;
        let url: config::value::ServerUrl = text.parse().map_err(|_| Unfit::Url(text.clone()))?;
        let host = url.0.host().unwrap_or_default();
        let allow_private = config::is_this_machine(host) || config::is_private(host);
        let (mut credential, mut headers, mut lost) = (None, Vec::new(), Vec::new());
        for (at, (name, piece)) in all.iter().enumerate() {
            // Some clients write down what Bartizan and the protocol write themselves.
            if config::value::HeaderText::try_from(name.clone()).is_err() {
                lost.push(format!("header {name}"));
                continue;
            }
            let refers = self.keys(Slot::Header(at)).next().is_some() || piece.text.contains('$');
            let proposed = format!("{}-{}", self.server.name, name);
            let pair = (name.clone(), self.template(Slot::Header(at), &proposed)?);
            match credential {
                None if refers => credential = Some(pair),
                _ => headers.push(pair),
            }
        }
        let disabled = !self.server.enabled;
        Ok((
            NewServer::Url { url: text, allow_private, credential, headers, query, disabled },
            lost,
        ))
    }

    /// The URL without the parameters that hold keys, and these.
    fn address(&mut self) -> Result<(String, Vec<(String, String)>), Unfit> {
        let keys: Vec<_> = self.keys(Slot::Url).map(|key| key.within.clone()).collect();
        let Some(piece) = Slot::Url.piece(self.server).cloned().filter(|_| !keys.is_empty()) else {
            return Ok((self.plain_slot(Slot::Url)?, Vec::new()));
        };
        let elsewhere = || Unfit::KeyIn(Slot::Url.name(self.server));
        let Some((base, text)) = piece.text.split_once('?') else { return Err(elsewhere()) };
        if keys.iter().any(|key| key.start <= base.len()) || text.contains(['#', '$']) {
            return Err(elsewhere());
        }
        let (mut kept, mut taken, mut at) = (Vec::new(), Vec::new(), base.len() + 1);
        for pair in text.split('&') {
            let within = at..at + pair.len();
            at = within.end + 1;
            if !keys.iter().any(|key| key.start < within.end && within.start < key.end) {
                kept.push(pair);
                continue;
            }
            let (name, value) =
                url::form_urlencoded::parse(pair.as_bytes()).next().ok_or_else(elsewhere)?;
            let proposed = format!("{}-{name}", self.server.name);
            taken.push((name.into_owned(), self.secret(&proposed, Some(&value))));
        }
        let rest = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        let base = Piece { text: format!("{base}{rest}"), at: piece.at.clone() };
        Ok((self.plain(&base)?, taken))
    }

    /// The clients' variables as references, everything else as it is.
    fn translated(&mut self, text: &str) -> Result<String, Unfit> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            out.push_str(before);
            let (variable, next) = variable(behind, self.style.bare);
            match variable {
                Some(name) => out.push_str(&self.variable(name, text)?),
                None => out.push_str("$$"),
            }
            rest = next;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn variable(&mut self, name: &str, text: &str) -> Result<String, Unfit> {
        let unfit = || Unfit::Variable(text.to_owned());
        if let Some(id) = name.strip_prefix("input:") {
            return Ok(self.secret(id, None));
        }
        if let Some(inside) = name.strip_prefix('{') {
            let id = inside.trim_end_matches('}').trim().strip_prefix("secrets.");
            return id.map(|id| self.secret(id, None)).ok_or_else(unfit);
        }
        let name = name.strip_prefix("env:").unwrap_or(name);
        match name {
            "userHome" => return Ok(self.style.home.display().to_string()),
            "/" | "pathSeparator" => return Ok("/".to_owned()),
            _ => {}
        }
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name, None),
        };
        if !is_variable(name) || name.starts_with("workspace") {
            return Err(unfit());
        }
        match default {
            Some(default) if std::env::var_os(name).is_none() => Ok(default.replace('$', "$$")),
            _ => Ok(format!("${{env:{name}}}")),
        }
    }
}

/// What stands behind a `$`, and the text after it.
fn variable(behind: &str, bare: bool) -> (Option<&str>, &str) {
    if let Some(inside) = behind.strip_prefix("{{") {
        return match inside.find("}}") {
            Some(end) => (Some(&behind[1..end + 2]), &inside[end + 2..]),
            None => (None, behind),
        };
    }
    if let Some(inside) = behind.strip_prefix('{') {
        return match inside.split_once('}') {
            Some((name, next)) => (Some(name), next),
            None => (None, behind),
        };
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = behind.find(|c| !word(c)).unwrap_or(behind.len());
    let (name, next) = behind.split_at(end);
    if bare && is_variable(name) { (Some(name), next) } else { (None, behind) }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::{
        super::{document::Document, places::Place, server::servers},
        *,
    };

    fn adopted(entry: &str) -> Result<Adopted, Unfit> {
        let mut named = |name: &str, value: Option<&str>| {
            assert!(value.is_none_or(|value| value == KEY), "{value:?}");
            name.to_owned()
        };
        let text = format!("{{\"mcpServers\":{{\"x\":{entry}}}}}");
        let place = Place::named(Path::new("/a.json"));
        let document = Document::read(place.shape.format, &text).unwrap();
        let server = servers(&document, &place.shape).remove(0);
        let style = Style { home: Path::new("/home/me"), bare: true };
        adopt(&server, &Keys::new().unwrap(), style, &mut named)
    }

    const KEY: &str = "k2J8sR4mX9qWv7LtZ1nBc5Yd";

    #[test]
    fn keys_become_references_and_variables_are_translated() {
        let entry = format!(
            r#"{{"command":"${{userHome}}/bin/x","args":["a$","--x"],"cwd":"/w","env":{{
               "TOKEN":"{KEY}","A":"${{env:A}}","B":"$B","C":"${{B}}-1","D":"${{NOT_SET_:-d$}}",
               "E":"${{{{ secrets.E }}}}","F":"${{input:f}}","G":"1$","DSN":"pg://u:{KEY}@h/x"}}}}"#
        );
        let Adopted { server, lost } = adopted(&entry).unwrap();
        let NewServer::Command { command, args, env, cwd, .. } = server else { panic!() };
        assert_eq!((&*command, &*args.join(" ")), ("/home/me/bin/x", "a$ --x"));
        assert_eq!((cwd.as_deref(), lost.len()), (Some("/w"), 0));
        let env: Vec<&str> = env.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(
            env,
            [
                "${secret:TOKEN}",
                "${env:A}",
                "${env:B}",
                "${env:B}-1",
                "d$$",
                "${secret:E}",
                "${secret:f}",
                "1$$",
                "pg://u:${secret:DSN}@h/x"
            ]
        );
    }

    #[test]
    fn what_is_known_of_the_way_out_is_written() {
        let entry = format!(
            r#"{{"command":"npx","args":["-y","@modelcontextprotocol/server-github@1","--db","postgres://db.example.com/x"],"env":{{
               "GITHUB_PERSONAL_ACCESS_TOKEN":"{KEY}","MORE":"https://hooks.example.com/x"}}}}"#
        );
        let NewServer::Command { env, placeholders, egress, .. } = adopted(&entry).unwrap().server
        else {
            panic!()
        };
        assert_eq!(env.len(), 1);
        let (name, placeholder) = &placeholders[0];
        assert_eq!(name, "GITHUB_PERSONAL_ACCESS_TOKEN");
        assert_eq!(placeholder.secret, "${secret:GITHUB_PERSONAL_ACCESS_TOKEN}");
        assert_eq!(placeholder.hosts, ["api.github.com"]);
        let hosts: Vec<_> = egress.iter().map(|host| (host.name.as_str(), host.opaque)).collect();
        let expected = [
            ("api.github.com", false),
            ("db.example.com:5432", true),
            ("hooks.example.com", false),
        ];
        assert_eq!(hosts, expected);
    }

    #[test]
    fn remote_servers_have_their_credential() {
        let entry = format!(
            r#"{{"url":"http://localhost:1/mcp?a=1&api_key={KEY}&b","headers":{{"X-Region":"eu","Host":"x",
               "Authorization":"Bearer {KEY}","X-Org-Key":"{KEY}"}}}}"#
        );
        let Adopted { server, lost } = adopted(&entry).unwrap();
        let NewServer::Url { url, allow_private, credential, headers, query, .. } = server else {
            panic!()
        };
        assert_eq!((&*url, allow_private), ("http://localhost:1/mcp?a=1&b", true));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(credential, Some(pair("Authorization", "Bearer ${secret:x-Authorization}")));
        let region = pair("X-Region", "eu");
        assert_eq!(headers, [region, pair("X-Org-Key", "${secret:x-X-Org-Key}")]);
        assert_eq!(query, [pair("api_key", "${secret:x-api_key}")]);
        assert_eq!(lost, ["header Host"]);
    }

    #[test]
    fn bridges_are_taken_away() {
        let entry = format!(
            r#"{{"command":"npx","args":["-y","mcp-remote@latest","https://t.example/sse","--header","X-Api-Key: {KEY}"]}}"#
        );
        let NewServer::Url { url, credential, .. } = adopted(&entry).unwrap().server else {
            panic!()
        };
        assert_eq!(url, "https://t.example/sse");
        assert_eq!(credential.unwrap().1, "${secret:x-X-Api-Key}");
        let entry = format!(r#"{{"command":"docker","args":["run","-e","T_TOKEN={KEY}","img"]}}"#);
        let NewServer::Command { args, env, .. } = adopted(&entry).unwrap().server else {
            panic!()
        };
        assert_eq!(args, ["run", "-e", "T_TOKEN", "img"]);
        assert_eq!(env, [("T_TOKEN".to_owned(), "${secret:T_TOKEN}".to_owned())]);
    }

    #[test]
    fn what_can_not_be_kept_apart_stays() {
        let unfit = |entry: &str| adopted(entry).unwrap_err();
        let entry = format!(r#"{{"command":"a","args":["--token","{KEY}"]}}"#);
        assert_eq!(unfit(&entry), Unfit::KeyIn("argument 2".to_owned()));
        let entry = format!(r#"{{"url":"https://x.example/{KEY}/mcp"}}"#);
        assert_eq!(unfit(&entry), Unfit::KeyIn("url".to_owned()));
        for entry in [
            r#"{"command":"${workspaceFolder}/x"}"#,
            r#"{"command":"x","args":["${input:y}"]}"#,
            r#"{"command":"x","args":["${env:Y}"]}"#,
        ] {
            assert!(matches!(unfit(entry), Unfit::Variable(_)), "{entry}");
        }
        assert!(matches!(unfit(r#"{"url":"not one"}"#), Unfit::Url(_)));
    }
}
