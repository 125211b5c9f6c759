//! Where clients keep their configuration, as their documentation has it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use super::{
    document::{Document, Format},
    file::Original,
};

/// Workspaces that are looked into, and files of one folder.
const MOST_WORKSPACES: usize = 500;
const MOST_FILES: usize = 200;

/// An AI client whose configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Client {
    ClaudeCode,
    ClaudeDesktop,
    Codex,
    Continue,
    Cursor,
    Gemini,
    /// GitHub Copilot in the IDEs of JetBrains.
    Jetbrains,
    /// The AI Assistant in these IDEs.
    JetbrainsAi,
    /// The agent of JetBrains.
    Junie,
    LmStudio,
    Vscode,
    Windsurf,
    Zed,
}

/// Where the servers stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub format: Format,
    /// The paths to them; `*` stands for any name. The first is where an entry is put.
    pub at: &'static [&'static [&'static str]],
}

const fn json(at: &'static [&'static [&'static str]]) -> Shape {
    Shape { format: Format::Json, at }
}

const MCP_SERVERS: Shape = json(&[&["mcpServers"]]);
const CLAUDE_CODE: Shape = json(&[&["mcpServers"], &["projects", "*", "mcpServers"]]);
const SERVERS: Shape = json(&[&["servers"]]);
const VSCODE_SETTINGS: Shape = json(&[&["mcp", "servers"]]);
const ZED: Shape = json(&[&["context_servers"]]);
const CODEX: Shape = Shape { format: Format::Toml, at: &[&["mcp_servers"]] };
/// The IDE writes it when it ends, so that nobody else can: it is only looked through.
const IDE_OPTIONS: Shape = Shape { format: Format::Xml, at: &[] };
const CONTINUE: Shape = Shape { format: Format::Yaml, at: &[&["mcpServers"]] };
/// A file that was named by its path: whatever clients call it.
const ANY: &[&[&str]] =
    &[&["mcpServers"], &["servers"], &["context_servers"], &["mcp_servers"], &["mcp", "servers"]];

/// Whom a file concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    User,
    Workspace,
}

/// A file that may hold MCP servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `None`: a file that was named by its path.
    pub client: Option<Client>,
    pub scope: Scope,
    pub path: PathBuf,
    pub shape: Shape,
}

impl Place {
    /// A file that was named by its path.
    pub fn named(path: &Path) -> Place {
        let format = match path.extension().and_then(|ending| ending.to_str()) {
            Some("toml") => Format::Toml,
            Some("yaml" | "yml") => Format::Yaml,
            _ => Format::Json,
        };
        let shape = Shape { format, at: ANY };
        Place { client: None, scope: Scope::Workspace, path: path.to_owned(), shape }
    }

    /// How it is called in a table.
    pub fn client_name(&self) -> String {
        self.client.map_or_else(|| "-".to_owned(), Client::name)
    }
}

/// The folders that this user's programs keep their files in.
#[derive(Clone, Debug)]
pub struct Home {
    pub home: PathBuf,
    /// Of programs that follow the system's customs.
    system: PathBuf,
    /// Of programs that follow those of Unix everywhere.
    config: PathBuf,
}

impl Home {
    /// Of the user who runs this; `None` without a home folder.
    pub fn of_user() -> Option<Home> {
        let home = std::env::home_dir().filter(|home| home.is_absolute())?;
        let named = |name| {
            std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute())
        };
        let config = named("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let system = if cfg!(target_os = "macos") {
            home.join("Library/Application Support")
        } else if cfg!(windows) {
            named("APPDATA").unwrap_or_else(|| home.join("AppData/Roaming"))
        } else {
            config.clone()
        };
        Some(Home { home, system, config })
    }

    /// Every file of every client that may be there: the user's own, then those of `here` and of each
    /// workspace that a client remembers.
    pub fn places(&self, here: Option<&Path>) -> Vec<Place> {
        let mut places: Vec<Place> =
            Client::value_variants().iter().flat_map(|client| client.of_user(self)).collect();
        places.extend(self.ide_options());
        let folders: BTreeSet<PathBuf> =
            here.map(Path::to_owned).into_iter().chain(self.workspaces()).collect();
        for folder in folders.iter().take(MOST_WORKSPACES) {
            for place in workspace_places(folder) {
                if !places.iter().any(|known| known.path == place.path) {
                    places.push(place);
                }
            }
        }
        places
    }

    /// Where the IDEs of JetBrains kept the AI Assistant's servers before 2025.3.
    fn ide_options(&self) -> impl Iterator<Item = Place> {
        let folder =
            if cfg!(any(windows, target_os = "macos")) { &self.system } else { &self.config };
        let ides = entries(&folder.join("JetBrains")).into_iter().take(MOST_FILES);
        ides.map(|ide| Place {
            client: Some(Client::JetbrainsAi),
            scope: Scope::User,
            path: ide.join("options/llm.mcpServers.xml"),
            shape: IDE_OPTIONS,
        })
    }

    /// Folders that VS Code, Cursor, Windsurf and Claude Code were opened in.
    fn workspaces(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for editor in ["Code", "Code - Insiders", "Cursor", "Windsurf", "VSCodium"] {
            let storage = self.system.join(editor).join("User/workspaceStorage");
            for entry in entries(&storage).into_iter().take(MOST_WORKSPACES) {
                let file = entry.join("workspace.json");
                folders.extend(text_at(&file, &["folder"]).and_then(|uri| file_uri(&uri)));
            }
        }
        let claude = self.home.join(".claude.json");
        if let Ok(Some(original)) = Original::read(&claude)
            && let Ok(document) = Document::read(Format::Json, original.text())
            && let Some(projects) = document.root().and_then(|root| root.get("projects"))
        {
            folders.extend(projects.members().map(|(key, _)| PathBuf::from(&key.name)));
        }
        folders.retain(|folder| folder.is_absolute() && folder.is_dir());
        folders
    }
}

impl Client {
    /// The name that the command line takes.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The user's own files. The first is the one that an entry is put into.
    pub fn of_user(self, home: &Home) -> Vec<Place> {
        let file = |path: PathBuf, shape| (path, shape);
        let (own, system) = (&home.home, &home.system);
        let files = match self {
            Client::ClaudeCode => vec![
                file(own.join(".claude.json"), CLAUDE_CODE),
                file(own.join(".claude/settings.json"), MCP_SERVERS),
            ],
            Client::ClaudeDesktop => {
                vec![file(system.join("Claude/claude_desktop_config.json"), MCP_SERVERS)]
            }
            Client::Codex => {
                let folder = std::env::var_os("CODEX_HOME").map(PathBuf::from);
                let folder = folder.filter(|path| path.is_absolute());
                let folder = folder.unwrap_or_else(|| own.join(".codex"));
                vec![file(folder.join("config.toml"), CODEX)]
            }
            Client::Continue => {
                let mut files = vec![file(own.join(".continue/config.yaml"), CONTINUE)];
                files.extend(continue_blocks(&own.join(".continue/mcpServers")));
                files
            }
            Client::Cursor => vec![file(own.join(".cursor/mcp.json"), MCP_SERVERS)],
            Client::Gemini => vec![file(own.join(".gemini/settings.json"), MCP_SERVERS)],
            Client::Jetbrains => {
                let folder = if cfg!(windows) { &home.system } else { &home.config };
                vec![file(folder.join("github-copilot/intellij/mcp.json"), SERVERS)]
            }
            Client::JetbrainsAi => vec![file(own.join(".ai/mcp/mcp.json"), MCP_SERVERS)],
            Client::Junie => vec![file(own.join(".junie/mcp/mcp.json"), MCP_SERVERS)],
            Client::LmStudio => vec![
                file(own.join(".lmstudio/mcp.json"), MCP_SERVERS),
                file(own.join(".cache/lm-studio/mcp.json"), MCP_SERVERS),
            ],
            Client::Vscode => vscode_files(&system.join("Code/User")),
            Client::Windsurf => {
                vec![file(own.join(".codeium/windsurf/mcp_config.json"), MCP_SERVERS)]
            }
            Client::Zed => {
                let folder = if cfg!(windows) { &home.system } else { &home.config };
                vec![file(folder.join("zed/settings.json"), ZED)]
            }
        };
        let place = |(path, shape)| Place { client: Some(self), scope: Scope::User, path, shape };
        files.into_iter().map(place).collect()
    }
}

fn vscode_files(user: &Path) -> Vec<(PathBuf, Shape)> {
    let profiles = entries(&user.join("profiles")).into_iter().take(MOST_FILES);
    let folders = std::iter::once(user.to_owned()).chain(profiles);
    let files = folders.flat_map(|folder| {
        [(folder.join("mcp.json"), SERVERS), (folder.join("settings.json"), VSCODE_SETTINGS)]
    });
    files.collect()
}

/// Each file of the folder is a block of its own.
fn continue_blocks(folder: &Path) -> Vec<(PathBuf, Shape)> {
    let shape = |path: &PathBuf| match path.extension().and_then(|ending| ending.to_str()) {
        Some("yaml" | "yml") => Some(CONTINUE),
        Some("json") => Some(MCP_SERVERS),
        _ => None,
    };
    let files = entries(folder).into_iter().take(MOST_FILES);
    files.filter_map(|path| shape(&path).map(|shape| (path, shape))).collect()
}

/// The files of all clients in one workspace.
pub fn workspace_places(folder: &Path) -> Vec<Place> {
    let fixed = [
        (Client::ClaudeCode, ".mcp.json", MCP_SERVERS),
        (Client::Codex, ".codex/config.toml", CODEX),
        (Client::Cursor, ".cursor/mcp.json", MCP_SERVERS),
        (Client::Gemini, ".gemini/settings.json", MCP_SERVERS),
        (Client::JetbrainsAi, ".ai/mcp/mcp.json", MCP_SERVERS),
        (Client::Junie, ".junie/mcp/mcp.json", MCP_SERVERS),
        (Client::Vscode, ".vscode/mcp.json", SERVERS),
        (Client::Vscode, ".vscode/settings.json", VSCODE_SETTINGS),
        (Client::Zed, ".zed/settings.json", ZED),
    ];
    let place =
        |client, path, shape| Place { client: Some(client), scope: Scope::Workspace, path, shape };
    let mut places: Vec<Place> = fixed
        .into_iter()
        .map(|(client, name, shape)| place(client, folder.join(name), shape))
        .collect();
    let blocks = continue_blocks(&folder.join(".continue/mcpServers"));
    places.extend(blocks.into_iter().map(|(path, shape)| place(Client::Continue, path, shape)));
    places
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn text_at(path: &Path, keys: &[&str]) -> Option<String> {
    let original = Original::read(path).ok().flatten()?;
    let document = Document::read(Format::Json, original.text()).ok()?;
    let mut node = document.root()?;
    for key in keys {
        node = node.get(key)?;
    }
    node.text().map(str::to_owned)
}

fn file_uri(uri: &str) -> Option<PathBuf> {
    url::Url::parse(uri).ok()?.to_file_path().ok()
}
