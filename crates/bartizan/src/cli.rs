//! The command line as it is typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::value::{Listen, Period, ServerKey, ValueFault};

const AFTER: &str = "\
First steps:
  bartizan up                             start the gateway, with a small demo server inside
  bartizan call demo add '{\"a\":1,\"b\":2}'  call a tool
  bartizan add git -- uvx mcp-server-git  put a server of your own in the demo's place
  bartizan posture                        what is protected on this machine, and what is not

Exit codes: 0 done; 1 refused or failed; 2 a mistake in the command line or in the configuration.";

/// A security gateway for the Model Context Protocol.
#[derive(Debug, Parser)]
#[command(name = "bartizan", version, after_help = AFTER, disable_help_subcommand = true, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The configuration file [default: ./bartizan.toml if it is there, else ~/.config/bartizan/bartizan.toml]
    #[arg(long, global = true, value_name = "FILE", env = "BARTIZAN_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// The folder for tokens, records and what is remembered of servers [default: ~/.local/state/bartizan]
    #[arg(long, global = true, value_name = "DIR", env = "BARTIZAN_STATE_DIR", hide_env = true)]
    pub state_dir: Option<PathBuf>,
    /// How tables are printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, value_name = "FORM")]
    pub output: Output,
    /// What is logged to standard error: off, error, warn, info, debug, trace, or a filter such as gateway=debug
    #[arg(long, global = true, value_name = "LEVEL", env = "BARTIZAN_LOG", hide_env = true)]
    pub log: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the gateway
    #[command(after_help = "\
Without a configuration file it listens on 127.0.0.1:8420 and offers a small demo server.
A changed file is taken up without a restart; when it is broken, the gateway says so and
goes on with the old one. Ctrl-C ends it.

Examples:
  bartizan up
  bartizan up --listen 127.0.0.1:9000
  bartizan up --config /etc/bartizan/bartizan.toml --log info")]
    Up {
        /// The address and port to listen on, instead of what the configuration says
        #[arg(long, value_name = "ADDR", value_parser = typed::<Listen>)]
        listen: Option<Listen>,
    },
    /// Put a server into the configuration and show what it offers
    #[command(after_help = "\
Examples:
  bartizan add files -- npx -y @modelcontextprotocol/server-filesystem ~/docs
  bartizan add git --env 'GIT_TOKEN=${env:GIT_TOKEN}' -- uvx mcp-server-git
  bartizan add github https://api.githubcopilot.com/mcp/ \\
    --header 'Authorization=Bearer ${env:GITHUB_TOKEN}'

In single quotes your shell leaves ${env:…} alone: the gateway reads the variable when it needs
it, so that no secret is written to the file.")]
    Add(AddArgs),
    /// Take a server out of the configuration
    Remove {
        /// The server's name
        name: String,
    },
    /// List the servers
    #[command(after_help = "\
Examples:
  bartizan list                 ask each server what it offers
  bartizan list --offline       only what the configuration says
  bartizan list --output json")]
    List {
        /// Do not connect to any server
        #[arg(long)]
        offline: bool,
    },
    /// Validate the configuration
    #[command(
        after_help = "An error shows its line and the mend, and the exit code is 2. Warnings alone leave it 0."
    )]
    Check,
    /// Call a tool
    #[command(after_help = "\
Examples:
  bartizan call demo echo '{\"text\":\"hello\"}'
  bartizan call demo time
  echo '{\"a\":1,\"b\":2}' | bartizan call demo add -
  bartizan call demo greet                         the tool asks back; on a terminal you can answer

Goes through the running gateway if there is one, otherwise through one that lives as long as the call.
Exit code 1 when the call is refused or the tool reports an error.")]
    Call {
        /// The server's name
        server: String,
        /// The tool's own name
        tool: String,
        /// The arguments, a JSON object; `-` reads them from standard input
        #[arg(default_value = "{}", value_name = "JSON", allow_hyphen_values = true)]
        arguments: String,
    },
    /// Speak MCP on standard input and output, for clients that can only start a program
    #[command(after_help = "\
For the client's configuration:
  {\"mcpServers\":{\"bartizan\":{\"command\":\"bartizan\",\"args\":[\"stdio\"]}}}

It passes everything on to the running gateway, as the owner of its state folder. When none is
running, it is one itself. ./bartizan.toml is not looked at here, since the client chooses the
folder: name the file with --config if it is meant.")]
    Stdio {
        /// Offer this server alone, its names untouched
        #[arg(long, value_name = "NAME", value_parser = typed::<ServerKey>)]
        server: Option<ServerKey>,
    },
    /// A small MCP server on standard input and output, to try things with
    DemoServer,
    /// The tokens that clients show
    #[command(subcommand)]
    Token(TokenCommand),
    /// What is protected on this machine, and what is not
    Posture,
    /// Describe the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The record of calls
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example: bartizan completions bash > ~/.local/share/bash-completion/completions/bartizan"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// The name, which stands before its tools' names: a-z, 0-9 and single `-`, a letter first
    #[arg(value_parser = typed::<ServerKey>)]
    pub name: ServerKey,
    /// The URL of a remote server
    #[arg(value_name = "URL", conflicts_with = "command", required_unless_present = "command")]
    pub url: Option<String>,
    /// A header for the remote server, its credential
    #[arg(long, value_name = "NAME=VALUE", requires = "url")]
    pub header: Option<String>,
    /// An environment variable for the command; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "url")]
    pub env: Vec<String>,
    /// Write the configuration only
    #[arg(long)]
    pub no_connect: bool,
    /// The command to start, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is printed once and not kept
    #[command(after_help = "\
Examples:
  bartizan token mint laptop
  bartizan token mint ci --role ci --expires 30d
  export BARTIZAN_TOKEN=$(bartizan token mint laptop)")]
    Mint {
        /// A name to know it by
        name: String,
        /// A role it has; may be given more than once
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// How long it is valid, such as 12h or 30d; without it, until it is revoked
        #[arg(long, value_name = "PERIOD", value_parser = typed::<Period>)]
        expires: Option<Period>,
    },
    /// List the tokens
    List,
    /// Make a token invalid
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// A complete commented example
    Example,
    /// The reference page, in Markdown
    Reference,
    /// The JSON Schema, for editors
    Schema,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the last records
    Tail {
        /// How many
        #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
        lines: usize,
        /// Refused and failed calls only
        #[arg(long)]
        refused: bool,
    },
}

/// The same types as in the configuration, and the same mends.
fn typed<T: std::str::FromStr<Err = ValueFault>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|fault: ValueFault| fault.sentence())
}
