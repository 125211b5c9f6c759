//! The command line as it is typed.

pub mod audit;
pub mod clients;
pub mod flow;
pub mod report;
pub mod secret;
pub mod trust;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::config::value::{EgressName, Listen, Period, ServerKey, ValueFault};

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
    /// The configuration file [default: that of the gateway which runs on the state folder; else ./bartizan.toml if it is there, else ~/.config/bartizan/bartizan.toml]
    #[arg(long, global = true, value_name = "FILE", env = "BARTIZAN_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// The folder for tokens, records and what is remembered of servers [default: ~/.local/state/bartizan]
    #[arg(long, global = true, value_name = "DIR", env = "BARTIZAN_STATE_DIR", hide_env = true)]
    pub state_dir: Option<PathBuf>,
    /// The form of results: a table for people, or JSON for programs
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, value_name = "FORM")]
    pub output: Output,
    /// What is logged to standard error: off, error, warn, info, debug, trace, or a filter such as gateway=debug
    #[arg(long, global = true, value_name = "LEVEL", env = "BARTIZAN_LOG", hide_env = true)]
    pub log: Option<String>,
    /// The form of what is logged
    #[arg(long, global = true, value_enum, default_value_t = LogForm::Text, value_name = "FORM", env = "BARTIZAN_LOG_FORM", hide_env = true)]
    pub log_form: LogForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// For people
    Text,
    /// One JSON object a line
    Json,
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
Without a configuration file it listens on 127.0.0.1:8420 and offers a small demo server. \
A changed file is taken up without a restart; when it is broken, the gateway says so and \
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
  bartizan add notes --write ~/notes -- npx -y @modelcontextprotocol/server-filesystem ~/notes

What the server offers is shown, and usable once you confirm it (or with --yes). Later changes of \
it are held back: see `bartizan trust`.

In single quotes your shell leaves ${env:…} alone: the gateway reads the variable when it needs \
it, so that no secret is written to the file.

A command runs in a sandbox. It may read the paths among its arguments; --read names more of them, \
and --write those that it may change. Everything else is not there for it.")]
    Add(AddArgs),
    /// Take over the MCP servers of AI clients, and seal their keys
    #[command(after_help = "\
Examples:
  bartizan import                  everything that the clients of this user have
  bartizan import cursor vscode --dry-run
  bartizan import --file ./mcp.json --yes

Shows each server with the keys that stand in its entry, masked. When you confirm it, the keys are \
sealed in the vault, and the servers are written into the configuration here with references to \
them. The clients' files stay as they are until `bartizan connect`.")]
    Import(clients::ImportArgs),
    /// Put one keyless entry in place of the servers of an AI client
    #[command(after_help = "\
Examples:
  bartizan connect cursor claude-code
  bartizan connect vscode --dry-run          only show what would change
  bartizan connect --file .vscode/mcp.json   any configuration file, by its path

The client then starts `bartizan stdio` and reaches all servers of the configuration here by it. \
The change is shown first, keys masked, and made when you confirm it. What was there is kept, sealed, \
in the state folder: `bartizan disconnect` brings it back, byte for byte.")]
    Connect(clients::ConnectArgs),
    /// Put back what an AI client had before it was connected
    #[command(after_help = "\
Examples:
  bartizan disconnect cursor
  bartizan disconnect --all --yes")]
    Disconnect(clients::DisconnectArgs),
    /// Run a command with secrets in its environment
    #[command(after_help = "\
Examples:
  bartizan run --secret github=GITHUB_TOKEN -- gh pr list
  bartizan run --server git -- uvx mcp-server-git      as the entry of this server has it

The secrets are in the environment of that process and those that it starts, and nowhere else: this \
command becomes it, so signals and the exit code are its own. It is on record that it got them.")]
    #[cfg(unix)]
    Run(clients::RunArgs),
    /// Look for keys in AI clients' files, and for MCP servers outside of Bartizan
    #[command(after_help = "\
Examples:
  bartizan scan                  all clients of this user, their workspaces, and what listens here
  bartizan scan .                the clients' files in this folder
  bartizan scan . --sarif > bartizan.sarif

Keys are known by their form, by the name beside them, or by their randomness; they are never \
printed. Whatever listens on a port of this machine is asked over HTTP whether it speaks MCP. Nothing \
that is found is started. The exit code is 1 when something is found.")]
    Scan(clients::ScanArgs),
    /// Take a server out of the configuration
    Remove {
        /// The server's name
        name: String,
    },
    /// Secrets, sealed: what the configuration names as ${secret:NAME}
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// What people let Bartizan have at servers with a sign-in of their own
    #[command(subcommand)]
    Grants(GrantsCommand),
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

Goes through the running gateway if there is one, otherwise through one that lives as long as the call. \
Exit code 1 when the call is refused or the tool reports an error.")]
    Call {
        /// Call the tool at the gateway where you are signed in (`bartizan login`), not here; its URL is needed if you are signed in at several
        #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true)]
        remote: Option<Option<String>>,
        /// The server's name
        server: String,
        /// The tool's own name, without the server's before it
        tool: String,
        /// The arguments, a JSON object; `-` reads them from standard input
        #[arg(default_value = "{}", value_name = "JSON", allow_hyphen_values = true)]
        arguments: String,
    },
    /// Speak MCP on standard input and output, for clients that can only start a program
    #[command(after_help = "\
For the client's configuration:
  {\"mcpServers\":{\"bartizan\":{\"command\":\"bartizan\",\"args\":[\"stdio\"]}}}

It passes everything on to the running gateway, as the owner of its state folder. When none is \
running, it is one itself. ./bartizan.toml is not looked at here, since the client chooses the \
folder: name the file with --config if it is meant.")]
    Stdio {
        /// Pass everything on to the gateway where you are signed in (`bartizan login`), not to the one here; its URL is needed if you are signed in at several
        #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, conflicts_with = "server")]
        remote: Option<Option<String>>,
        /// Offer only this server, its tools under their own names instead of SERVER__TOOL
        #[arg(long, value_name = "NAME", value_parser = typed::<ServerKey>)]
        server: Option<ServerKey>,
    },
    /// A small MCP server on standard input and output, to try things with
    DemoServer,
    /// The tokens that clients show
    #[command(subcommand)]
    Token(TokenCommand),
    /// Sign in at a gateway elsewhere
    #[command(after_help = "\
Examples:
  bartizan login https://mcp.example.com/mcp
  bartizan login https://mcp.example.com/mcp --device    the browser is on another machine
  bartizan call --remote github get_issue '{\"number\":1}'

Your browser opens on the gateway's page, which says what you agree to, and then on your \
organisation's sign-in page. The tokens are kept sealed in the state folder, and renewed as long as the \
gateway and your organisation agree. What opens them is a key in the keyring of your session (Linux: GNOME \
Keyring, KWallet, KeePassXC); where none answers, a key in a file beside them, or a passphrase with \
--passphrase. The command says which it was. `bartizan logout` takes tokens and key away.")]
    Login(LoginArgs),
    /// Sign out of a gateway elsewhere
    Logout {
        /// The gateway's URL; it can be left out when there is one sign-in only
        url: Option<String>,
    },
    /// Show where you are signed in, and as whom
    Whoami,
    /// The people who are signed in here
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// The clients through which people sign in here
    #[command(subcommand)]
    Clients(ClientsCommand),
    /// Which definitions of tools are approved, and what changed
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// What conversations have read, and where they may write
    #[command(subcommand)]
    Flow(flow::FlowCommand),
    /// What is protected on this machine, and what is not
    Posture,
    /// Write down, and install, what the servers that are started here are made of
    #[command(after_help = "\
Examples:
  bartizan lock                   every server with a command
  bartizan lock git               this one
  bartizan lock git --update      take what is newest now
  bartizan lock --allow-private   the registry is at a private address

npm and Python packages are fetched from the registry that npm and pip are configured for, in a \
sandbox that holds no secret, reaches nothing else and runs nothing of a package. What was fetched \
goes into the state folder, its digest into bartizan.lock, beside the configuration. From then on the \
server starts from exactly these bytes, or not at all.")]
    Lock(LockArgs),
    /// Show which locked servers have something newer
    #[command(after_help = "\
Examples:
  bartizan outdated
  bartizan outdated git --output json")]
    Outdated(RegistryArgs),
    /// What a server that is started here may touch
    #[command(subcommand)]
    Sandbox(SandboxCommand),
    /// List the processes of servers that the running gateway started
    #[command(after_help = "\
Examples:
  bartizan ps
  bartizan ps --output json

Each caller has a process of its own, unless the entry says shared = true. An idle one is ended, and \
one that crashes is started again after a pause that grows.")]
    Ps,
    /// Print what the running gateway counts, in the OpenMetrics text format
    #[command(after_help = "\
Example: bartizan metrics | grep refusals

A scraper gets the same from [telemetry] listen, at /metrics: docs/telemetry.md.")]
    Metrics,
    /// Watch the running gateway: calls, times, servers, the last refusals
    #[command(after_help = "\
Examples:
  bartizan top
  bartizan top --once --output json

Rates and times are those of the last ten rounds. Ctrl-C ends it.")]
    Top {
        /// Print one look and end. Without it the screen is drawn again and again, unless standard output is no terminal
        #[arg(long)]
        once: bool,
        /// How often the screen is drawn, such as 500ms or 2s
        #[arg(long, value_name = "PERIOD", default_value = "1s", value_parser = typed::<Period>)]
        every: Period,
    },
    /// Print what a server wrote to its standard error last
    #[command(after_help = "\
Example: bartizan logs files

At most the last 64 KiB of all its processes, without the secrets that its entry refers to.")]
    Logs {
        /// The server's name
        server: String,
    },
    /// End a server's processes; the next call starts it anew
    #[command(after_help = "Example: bartizan restart files")]
    Restart {
        /// The server's name
        server: String,
    },
    /// Whether people and programs can sign in, found out at the provider itself
    #[command(after_help = "\
Examples:
  bartizan doctor
  az ad app show --id CLIENT-ID | bartizan doctor --application -

Asks the providers of [identity.providers] and [sign-in] what the gateway would ask: their metadata \
and keys, the time, whether the redirect URI is registered, whether they take the gateway's \
credential, whether Graph tells groups; and the gateway's own metadata by its public URL. A fault \
comes with what to change and where; Entra's numbers (AADSTS…) are explained. Nobody signs in for it \
and nothing is changed. Exit code 1 when something does not work.")]
    Doctor {
        /// How the application is registered with Entra: what `az ad app show` printed; `-` reads it from standard input
        #[arg(long, value_name = "FILE")]
        application: Option<PathBuf>,
    },
    /// Describe the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Who may do what, and why
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Calls that wait for a person's approval
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// The record of calls
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Write what happened in a period as one page, for somebody who was not there
    #[command(after_help = "\
Examples:
  bartizan report --from 2026-10-01 --to 2026-11-01 --title 'Example Ltd' > october.html
  bartizan report --from 7d > week.html
  bartizan report --from 7d --output json
  bartizan report --controls

Who used what, what was refused and why, approvals, changed definitions, findings, what is not \
protected, whether the log is as it was signed, and which requirements of OWASP, CoSAI, NIST, SOC 2, \
ISO 27001, HIPAA and the GDPR are met by which control. The page is one file without scripts; it \
prints. Servers and protections are those of now, not of the period.")]
    Report(report::ReportArgs),
    /// Look at texts as the detectors do
    #[command(subcommand)]
    Inspect(crate::command::inspect::InspectCommand),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example: bartizan completions bash > ~/.local/share/bash-completion/completions/bartizan"
    )]
    Completions {
        /// The shell that the script is for
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
    /// The header that carries the remote server's credential, such as 'Authorization=Bearer ${env:TOKEN}'
    #[arg(long, value_name = "NAME=VALUE", requires = "url")]
    pub header: Option<String>,
    /// An environment variable for the command; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "url")]
    pub env: Vec<String>,
    /// A file or folder that the command may read; may be given more than once
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    pub read: Vec<PathBuf>,
    /// A file or folder that the command may read and change; may be given more than once
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    pub write: Vec<PathBuf>,
    /// Only write the configuration: do not start or call the server, and approve nothing
    #[arg(long)]
    pub no_connect: bool,
    /// Approve what the server offers now without asking first
    #[arg(long, short, conflicts_with = "no_connect")]
    pub yes: bool,
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
        /// A name of your choice, by which policies, the log and `token revoke` know it
        name: String,
        /// A role that it has: one of [roles], or `all`, which may call everything; may be given more than once
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
        /// The token's name, as `token list` shows it
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The gateway's URL, as clients use it; it can be left out to sign in again where you were
    pub url: Option<String>,
    /// Sign in with the browser of another machine: a code is shown, which you type in there
    #[arg(long)]
    pub device: bool,
    /// Print the sign-in page's address instead of opening a browser
    #[arg(long, conflicts_with = "device")]
    pub no_browser: bool,
    /// The client_id that the gateway's operator gave you, where clients can't register themselves
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// Protect the sign-ins that are kept here by a passphrase from now on, instead of by a key in the keyring or in a file
    #[arg(long)]
    pub passphrase: bool,
}

#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// List the sessions
    List,
    /// End sessions: their tokens are refused from then on
    #[command(after_help = "\
Examples:
  bartizan sessions revoke bzs_4Zk2…
  bartizan sessions revoke --user user:corp/alice

The person can sign in again, as long as the identity provider lets them.")]
    Revoke {
        /// The session's id, as `sessions list` shows it
        #[arg(required_unless_present = "user", conflicts_with = "user")]
        id: Option<String>,
        /// End all sessions of this person, named as in `sessions list`
        #[arg(long, value_name = "USER")]
        user: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum ClientsCommand {
    /// List the clients
    List,
    /// Forget a client: its registration, what people let it do, its sessions
    Remove {
        /// The client's client_id, as `clients list` shows it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum GrantsCommand {
    /// Who connected what, and for which scopes
    List {
        /// Show your own, at the gateway where you are signed in (`bartizan login`); its URL is needed if you are signed in at several
        #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true)]
        remote: Option<Option<String>>,
    },
    /// Forget what somebody let Bartizan have at a server
    #[command(after_help = "\
Examples:
  bartizan grants revoke tracker user:3f2a…/91c0…    as the gateway's owner
  bartizan grants revoke tracker --remote            your own, where you are signed in

Without a command line: the page /grants of the gateway, in the browser in which you signed in.")]
    Revoke {
        /// The server's name
        server: String,
        /// The person whose it is, as `grants list` shows them
        #[arg(required_unless_present = "remote", conflicts_with = "remote")]
        principal: Option<String>,
        /// Forget your own, at the gateway where you are signed in (`bartizan login`); its URL is needed if you are signed in at several
        #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true)]
        remote: Option<Option<String>>,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a complete example, with a comment for each key
    Example,
    /// Print the reference of all keys, in Markdown
    Reference,
    /// Print the JSON Schema, by which editors complete and check the file
    Schema,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// What a policy can say of a tool's arguments, by the tool's own schema
    #[command(after_help = "\
Examples:
  bartizan policy arguments github__merge
  bartizan policy arguments github/merge --output json

Each argument with its type, whether it is always given, and a condition in Cedar that looks at it. The definition \
is what the running gateway offers, or else the approved one.")]
    Arguments {
        /// The tool (or prompt), as SERVER__TOOL or SERVER/TOOL
        tool: String,
    },
    /// Look for rules that can't be meant: idle ones, servers that nobody or everybody may use
    #[command(after_help = "\
Tools are looked at too, as the running gateway offers them or else as they are approved: those that \
nobody may call, rules that name none, and conditions on arguments that no tool takes, or never in that \
type. The exit code is 1 when there is something to look at.")]
    Check,
    /// Why somebody may or may not do something, and what would change it
    #[command(after_help = "\
Examples:
  bartizan policy explain --as token:ci --tool github__merge
  bartizan policy explain --as user:t1/o1 --group 8a1c --acr mfa --tool github__merge \\
    --arguments '{\"branch\":\"main\"}' --from 10.1.2.3 --at 2026-11-23T10:00:00Z

Nothing is connected to: what a token of an identity provider would say is given by options. A \
minted token's roles are looked up.")]
    Explain(Box<ExplainArgs>),
    /// Decide what the audit log recorded once more, by another configuration
    #[command(after_help = "\
Examples:
  bartizan policy replay --from 7d --policy new.toml
  bartizan policy replay --policy new.toml --output json

The log has who called what, from where, by which client, how they were authenticated, labels and \
findings; not arguments and not groups. A minted token's roles, the groups of people who are signed in \
and what approved tools say of themselves are looked up, and a role whose rule is on record was had. \
What hangs on the rest is shown as `unknown`, with what would have to be known.")]
    Replay {
        /// Only calls from then on: so long ago, such as 2h or 7d, or a time as 2026-11-23T17:00:00Z [default: all]
        #[arg(long, value_name = "WHEN", value_parser = when)]
        from: Option<Timestamp>,
        /// The configuration whose roles and policies decide
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        /// The folder of one journal, whose calls alone are decided [default: all journals in the state folder]
        #[arg(long, value_name = "DIR")]
        journal: Option<PathBuf>,
    },
    /// List the policies and roles that the store holds, for all gateways that share it
    List,
    /// Print one of the policies that the store holds
    Get {
        /// The policy's name, as `policy list` shows it
        name: String,
    },
    /// Put a policy in Cedar, or roles, into the store, in place of what has its name
    #[command(after_help = "\
Examples:
  bartizan policy put payments payments.cedar
  bartizan policy put payments - < payments.cedar
  bartizan policy put team roles.toml            # sections [roles.NAME], as in bartizan.toml

It is validated beside the roles and policies of the configuration and the other ones of the store, and refused \
with its place where it is not right. A condition on an argument that no tool takes is told, and kept. Gateways of \
this store apply it within a second, all or nothing, and record who put it there.")]
    Put {
        /// A name for it: 1 to 64 of a-z, 0-9, _ and -
        name: String,
        /// The file with the policy; `-` reads it from standard input
        file: PathBuf,
        /// It holds roles in TOML, which a name that ends in .toml says too
        #[arg(long)]
        roles: bool,
    },
    /// Take a policy, or roles, out of the store
    Remove {
        /// The policy's name, as `policy list` shows it
        name: String,
    },
    /// Print the schema of policies in Cedar: what they can speak of
    Schema,
    /// Print all roles, written as policies in Cedar, and the policies
    Show,
    /// Decide the cases of a file, and say which are not decided as they should be
    #[command(after_help = "\
A file of cases:
  [[case]]
  name = \"nobody merges into main without approval\"
  as = \"token:ci\"
  tool = \"github__merge\"
  arguments = { branch = \"main\" }
  expect = \"ask\"            # permit, ask or deny

Also: roles, groups, scopes, tenant, client, acr, amr, annotated, labels, findings, from, at, prompt, \
resource, and rule for the rule that must decide. The exit code is 1 when a case is decided otherwise.")]
    Test {
        /// The file of cases, as below
        file: PathBuf,
    },
    /// Which roles and callers may call a tool
    #[command(after_help = "Example: bartizan policy who-can github__merge")]
    WhoCan {
        /// The tool, as SERVER__TOOL or SERVER/TOOL
        tool: String,
    },
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The caller: token:NAME, user:ID, workload:ID, owner or loopback
    #[arg(long = "as", value_name = "CALLER")]
    pub who: String,
    /// The tool, as SERVER__TOOL or SERVER/TOOL
    #[arg(long, value_name = "NAME", conflicts_with_all = ["prompt", "resource", "model"])]
    pub tool: Option<String>,
    /// The prompt, as SERVER__PROMPT or SERVER/PROMPT
    #[arg(long, value_name = "NAME", conflicts_with_all = ["resource", "model"])]
    pub prompt: Option<String>,
    /// The resource, as SERVER/URI
    #[arg(long, value_name = "URI", conflicts_with = "model")]
    pub resource: Option<String>,
    /// The language model, as NAME/DEPLOYMENT
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The call's arguments, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub arguments: String,
    /// A group that the caller is in, by its id; may be given more than once
    #[arg(long = "group", value_name = "ID")]
    pub groups: Vec<String>,
    /// A role of the credential; may be given more than once
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// An OAuth scope of the credential; may be given more than once
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// The caller's tenant
    #[arg(long, value_name = "ID")]
    pub tenant: Option<String>,
    /// The client_id of the OAuth client through which the caller comes
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
    /// How strongly the user was authenticated: the token's `acr`, such as mfa
    #[arg(long, value_name = "ACR")]
    pub acr: Option<String>,
    /// A method by which the user was authenticated: of the token's `amr`, such as otp; may be given more than once
    #[arg(long, value_name = "AMR")]
    pub amr: Vec<String>,
    /// What the tool says of itself, such as read-only; may be given more than once
    #[arg(long, value_name = "HINT")]
    pub annotated: Vec<String>,
    /// A label of what the conversation has read, such as private; may be given more than once
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// A rule of the detectors that the arguments set off, by its id; may be given more than once
    #[arg(long = "finding", value_name = "ID")]
    pub findings: Vec<String>,
    /// The IP address that the caller comes from
    #[arg(long, value_name = "IP")]
    pub from: Option<std::net::IpAddr>,
    /// The time of the call, as 2026-11-23T17:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List the calls that wait
    List {
        /// List also those that were decided or have expired
        #[arg(long)]
        all: bool,
    },
    /// Show a call that waits: who asks, for exactly what, and why it needs you
    Show {
        /// The request's id, as `approvals list` shows it, or the beginning of it
        id: String,
    },
    /// Approve a call that waits: it may happen once
    #[command(after_help = "Example: bartizan approvals approve 3f9a")]
    Approve {
        /// The request's id, as `approvals list` shows it, or the beginning of it
        id: String,
    },
    /// Deny a call that waits
    Deny {
        /// The request's id, as `approvals list` shows it, or the beginning of it
        id: String,
    },
    /// Show each call as it begins to wait
    Watch,
}

/// A point in time, a day (its begin, UTC), or how long ago it was.
fn when(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Ok(day) = text.parse::<Date>()
        && text.len() == 10
        && let Ok(day) = day.to_zoned(TimeZone::UTC)
    {
        return Ok(day.timestamp());
    }
    let ago =
        text.parse::<Period>().ok().and_then(|Period(ago)| Timestamp::now().checked_sub(ago).ok());
    ago.ok_or_else(|| {
        "write how long ago, such as 2h or 7d, a day such as 2026-11-23 (UTC), or a time with its zone, such as 2026-11-23T17:00:00Z"
            .to_owned()
    })
}

/// The same types as in the configuration, and the same mends.
pub(crate) fn typed<T: std::str::FromStr<Err = ValueFault>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|fault: ValueFault| fault.sentence())
}

#[derive(Clone, Debug, Args)]
pub struct LockArgs {
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Take what the registry has now, whatever was locked before
    #[arg(long)]
    pub update: bool,
}

/// Which servers' packages, and how their registry is reached.
#[derive(Clone, Debug, Args)]
pub struct RegistryArgs {
    /// Only this server [default: every server with a command]
    #[arg(value_name = "SERVER")]
    pub server: Option<String>,
    /// A further host that the registry keeps files on; may be given more than once
    #[arg(long, value_name = "HOST", value_parser = typed::<EgressName>)]
    pub host: Vec<EgressName>,
    /// Let the registry be at an address that is not public
    #[arg(long)]
    pub allow_private: bool,
}

#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Show what a server runs, holds and reaches
    #[command(after_help = "Example: bartizan sandbox show git")]
    Show {
        /// The server's name
        server: String,
    },
    /// Propose the least that a server was seen to need, as a diff of the configuration
    #[command(after_help = "\
Set learn = true in [servers.NAME.sandbox] (files and system calls) or [servers.NAME.egress] (hosts), \
and use the server for a while first. What it asked for and did not get is proposed too, but for what \
looks like a secret: read the diff.

Examples:
  bartizan sandbox suggest git
  bartizan sandbox suggest git --write")]
    Suggest {
        /// The server's name
        server: String,
        /// Write the proposal into the configuration [default: only print it]
        #[arg(long)]
        write: bool,
    },
}
