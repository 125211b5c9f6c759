//! The commands that look at AI clients' configurations.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::clients::Client;

#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// The client, by its name below; several may be named
    #[arg(value_enum, value_name = "CLIENT")]
    pub clients: Vec<Client>,
    /// A client's configuration file by its path, such as .vscode/mcp.json; may be given more than once
    #[arg(long, value_name = "PATH")]
    pub file: Vec<PathBuf>,
    /// Take servers out of the file that the configuration here does not have
    #[arg(long)]
    pub replace: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking first
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct DisconnectArgs {
    /// The client, by its name below; several may be named
    #[arg(value_enum, value_name = "CLIENT")]
    pub clients: Vec<Client>,
    /// A client's configuration file by its path; may be given more than once
    #[arg(long, value_name = "PATH")]
    pub file: Vec<PathBuf>,
    /// Restore every file that was connected
    #[arg(long, conflicts_with_all = ["clients", "file"])]
    pub all: bool,
    /// Restore the whole file as it was, losing what was changed since
    #[arg(long)]
    pub force: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking first
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Only from this client; several may be named [default: all, and their workspaces]
    #[arg(value_enum, value_name = "CLIENT")]
    pub clients: Vec<Client>,
    /// A client's configuration file by its path; may be given more than once
    #[arg(long, value_name = "PATH")]
    pub file: Vec<PathBuf>,
    /// Show what would be taken over, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking first
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A sealed secret, and the variable that it is put into; may be given more than once
    #[arg(long, value_name = "NAME=VARIABLE")]
    pub secret: Vec<String>,
    /// A server whose variables, as its entry in the configuration has them, the command gets too
    #[arg(long, value_name = "SERVER")]
    pub server: Option<String>,
    /// The command, after `--`
    #[arg(last = true, value_name = "COMMAND", required = true)]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ScanArgs {
    /// Look only here: a folder with a client's workspace files, or one configuration file
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Do not ask what listens on this machine
    #[arg(long)]
    pub no_ports: bool,
    /// Print SARIF 2.1.0, for code scanning
    #[arg(long)]
    pub sarif: bool,
}

impl Client {
    /// The names of all, for messages.
    pub fn names() -> String {
        let names: Vec<String> = Client::value_variants().iter().map(|one| one.name()).collect();
        names.join(", ")
    }
}
