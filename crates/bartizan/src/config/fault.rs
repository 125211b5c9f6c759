//! What is wrong with a configuration, shown at its place in the file.

use std::{
    io::IsTerminal,
    ops::Range,
    path::{Path, PathBuf},
};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::value::MEND;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The configuration can't be used.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub title: String,
    /// Where in the text, in bytes.
    pub span: Option<Range<usize>>,
    /// What to write instead.
    pub mend: Option<String>,
}

impl Finding {
    pub fn error(title: impl Into<String>, span: Range<usize>, mend: impl Into<String>) -> Self {
        Finding {
            severity: Severity::Error,
            title: title.into(),
            span: Some(span),
            mend: Some(mend.into()),
        }
    }

    pub fn warning(title: impl Into<String>, span: Range<usize>, mend: impl Into<String>) -> Self {
        Finding {
            severity: Severity::Warning,
            title: title.into(),
            span: Some(span),
            mend: Some(mend.into()),
        }
    }

    /// A refusal by the TOML reader or by one of our types.
    pub fn of(error: &toml::de::Error) -> Self {
        let (title, mend) = match error.message().split_once(MEND) {
            Some((what, mend)) => (what.to_owned(), Some(mend.to_owned())),
            None => explain(error.message()),
        };
        Finding { severity: Severity::Error, title, span: error.span(), mend }
    }

    /// Line and column, counted from one.
    pub fn position(&self, text: &str) -> Option<(usize, usize)> {
        let before = text.get(..self.span.as_ref()?.start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some((line, column))
    }
}

/// Puts serde's sentences into ours, and adds the mend.
fn explain(message: &str) -> (String, Option<String>) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (Some(("unknown field", _)), Some((name, known))) =
        (message.split_once(" `"), quoted.split_first())
    {
        // What many clients call so, and many people write.
        if *name == "header" && known.contains(&"credential") {
            let mend = "a header is a credential: [servers.NAME.credential] header = \"Authorization\", value = \"Bearer ${secret:NAME}\"";
            return (format!("unknown key `{name}`"), Some(mend.to_owned()));
        }
        return (format!("unknown key `{name}`"), Some(suggest(name, known, "the keys here are")));
    }
    if let (Some(("unknown variant", _)), Some((name, known))) =
        (message.split_once(" `"), quoted.split_first())
    {
        return (format!("unknown value `{name}`"), Some(suggest(name, known, "the values are")));
    }
    if let (Some(("missing field", _)), Some(name)) = (message.split_once(" `"), quoted.first()) {
        return (format!("the key `{name}` is missing"), Some(format!("add {name} = …")));
    }
    if let Some((found, wanted)) =
        message.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected "))
    {
        let (wanted, mend) = match wanted {
            "a string" if found.starts_with("integer") => (
                "a string",
                "write it in quotes, and with its unit if it has one, such as \"60s\" or \"10MiB\"",
            ),
            "a string" => ("a string", "write it in quotes"),
            "a sequence" => ("a list", "write it in square brackets: [\"…\"]"),
            "a boolean" => ("true or false", "write true or false, without quotes"),
            "i64" => ("a whole number", "write a whole number, without quotes"),
            _ => ("a section", "write a section in square brackets, or a table in braces"),
        };
        return (format!("{wanted} is expected, not {found}"), Some(mend.to_owned()));
    }
    (message.to_owned(), None)
}

/// "did you mean", or all that is possible.
pub fn suggest(name: &str, known: &[&str], otherwise: &str) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{otherwise} {}", known.join(", ")),
    }
}

/// The candidate that was probably meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normal = name.to_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::jaro_winkler(&normal, candidate).max(prefix_likeness(&normal, candidate)),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.83)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `server` for `servers`, `sessions-per` for `sessions-per-principal`.
fn prefix_likeness(name: &str, candidate: &str) -> f64 {
    if name.len() > 2 && candidate.starts_with(name) { 0.9 } else { 0.0 }
}

/// Findings about one file; the file can't be used, or it can't be read.
#[derive(Clone, Debug)]
pub struct Faulty {
    pub path: PathBuf,
    pub text: String,
    pub findings: Vec<Finding>,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&render(&self.path, &self.text, &self.findings, false))
    }
}

impl std::error::Error for Faulty {}

/// Whether messages on standard error may be coloured.
pub fn coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// All findings, each with the lines it is about.
pub fn render(path: &Path, text: &str, findings: &[Finding], coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let name = path.display().to_string();
    let reports: Vec<String> =
        findings.iter().map(|finding| render_one(&renderer, &name, text, finding)).collect();
    reports.join("\n\n")
}

fn render_one(renderer: &Renderer, name: &str, text: &str, finding: &Finding) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(finding.title.as_str())
        .elements(Vec::<annotate_snippets::Element<'_>>::new());
    match &finding.span {
        Some(span) => {
            let end = span.end.min(text.len());
            let span = span.start.min(end)..end;
            group = group.element(
                Snippet::source(text).path(name).annotation(AnnotationKind::Primary.span(span)),
            );
        }
        None => group = group.element(annotate_snippets::Origin::path(name)),
    }
    if let Some(mend) = &finding.mend {
        group = group.element(Level::HELP.message(mend.as_str()));
    }
    renderer.render(&[group]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_what_was_meant() {
        let keys = ["listen", "separator", "hosts", "origins", "servers", "sessions-per-principal"];
        assert_eq!(nearest("lissten", keys), Some("listen"));
        assert_eq!(nearest("server", keys), Some("servers"));
        assert_eq!(nearest("sessions_per_principal", keys), Some("sessions-per-principal"));
        assert_eq!(nearest("Origin", keys), Some("origins"));
        assert_eq!(nearest("port", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn positions_count_characters_from_one() {
        let finding = Finding::error("x", 11..12, "y");
        assert_eq!(finding.position("a = \"ä\"\nb = 2\n"), Some((2, 3)));
    }
}
