//! The control matrix: `docs/controls.toml`, which is part of the program.

use std::fmt::Write;

use gateway::alerts::Selector;
use serde::{Deserialize, Serialize};

const TEXT: &str = include_str!("../../../../../docs/controls.toml");

/// All controls, and who asks for them.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    #[serde(rename = "control")]
    pub controls: Vec<Control>,
    #[serde(rename = "framework")]
    pub frameworks: Vec<Framework>,
}

/// Something that Bartizan does.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    pub id: String,
    pub title: String,
    pub what: String,
    /// Which records show it at work.
    pub records: Vec<Selector>,
    /// `FILE::FUNCTION`
    pub tests: Vec<String>,
}

/// A list of requirements.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    pub id: String,
    pub title: String,
    pub about: String,
    #[serde(rename = "row")]
    pub rows: Vec<Row>,
}

/// One requirement.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub id: String,
    pub title: String,
    pub state: State,
    pub controls: Vec<String>,
    #[serde(default)]
    pub note: String,
}

/// How far a requirement is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Met,
    Partly,
    Not,
    /// It is for whoever runs Bartizan.
    Yours,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Met => "met",
            State::Partly => "partly",
            State::Not => "not met",
            State::Yours => "yours",
        }
    }

    /// What colours it on the page.
    pub fn class(self) -> &'static str {
        match self {
            State::Met => "on",
            State::Partly => "partial",
            State::Not => "off",
            State::Yours => "yours",
        }
    }
}

impl Matrix {
    /// As it was built in.
    pub fn read() -> anyhow::Result<Matrix> {
        Ok(toml::from_str(TEXT)?)
    }

    pub fn control(&self, id: &str) -> Option<&Control> {
        self.controls.iter().find(|control| control.id == id)
    }

    /// `docs/controls.md`
    pub fn markdown(&self) -> String {
        let mut page = String::from(HEAD);
        for framework in &self.frameworks {
            // Writing to a String can't fail.
            let _ = write!(page, "\n## {}\n\n{}\n\n", framework.title, framework.about);
            page.push_str("| requirement | state | controls |\n| --- | --- | --- |\n");
            for row in &framework.rows {
                let title = |id: &String| {
                    let title = self.control(id).map_or(id.as_str(), |control| &control.title);
                    format!("[{title}](#{id})")
                };
                let mut controls: Vec<String> = row.controls.iter().map(title).collect();
                if !row.note.is_empty() {
                    controls.push(format!("*{}*", row.note));
                }
                let (id, state) = (&row.id, row.state.as_str());
                let name = if framework.id == "capabilities" { "" } else { id.as_str() };
                let label = [name, row.title.as_str()].join(" ");
                let _ = writeln!(page, "| {} | {state} | {} |", label.trim(), controls.join("; "));
            }
        }
        page.push_str("\n## Controls\n");
        for control in &self.controls {
            let Control { id, title, what, records, tests } = control;
            let _ = write!(page, "\n### <a id=\"{id}\"></a>{title}\n\n{what}\n\n");
            if !records.is_empty() {
                let records: Vec<String> = records.iter().map(Selector::to_string).collect();
                let _ = writeln!(page, "- records: `{}`", records.join("`, `"));
            }
            for test in tests {
                let (file, function) = test.split_once("::").unwrap_or((test, ""));
                let _ = writeln!(page, "- test: [`{function}`](../{file})");
            }
        }
        page
    }
}

const HEAD: &str = "\
# Controls

<!-- Generated from docs/controls.toml: UPDATE_DOCS=1 cargo nextest run -p bartizan docs -->

What Bartizan does, which requirements ask for it, and the tests that prove it. `bartizan report` prints the same with the number of
records of a period ([report.md](report.md)). A test fails when a test that is named here does not exist.

States: *met*; *partly*, with what is missing; *not met*; *yours*, for whoever runs Bartizan. Meeting a requirement of a standard takes an
organisation; the rows say what this product contributes. Nobody has certified them.
";
