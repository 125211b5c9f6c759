//! `bartizan trust` as it is typed.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Show what is held back and since when
    #[command(after_help = "\
Examples:
  bartizan trust status
  bartizan trust status files --all
  bartizan trust status --check            for scripts: exit code 1 when anything is held back

States: approved; new (nobody has decided yet); changed (something else was approved); rejected; \
revoked. Only what is approved is listed to clients and can be called.")]
    Status {
        /// Only this server [default: all]
        server: Option<String>,
        /// Show also what is approved
        #[arg(long)]
        all: bool,
        /// Exit with 1 when anything is held back
        #[arg(long)]
        check: bool,
    },
    /// Show what differs from what was approved, word by word
    #[command(after_help = "\
Examples:
  bartizan trust diff files
  bartizan trust diff files read_file --output json

Hidden characters are shown as ⟨U+200B⟩. Each change has a class (cosmetic, documentation, \
mention, …) and says what is new in it: an address, a path, an order to the model.")]
    Diff {
        /// The server's name
        server: String,
        /// Only this tool or prompt, by its name [default: all that differ]
        name: Option<String>,
    },
    /// Approve what a server shows
    #[command(after_help = "\
Examples:
  bartizan trust approve files                 all that waits, after showing it
  bartizan trust approve files read_file --yes

Approves exactly what was shown. What changes later is held back again. What was rejected or \
revoked is approved only by its name.")]
    Approve {
        /// The server's name
        server: String,
        /// The tools and prompts to approve, by name [default: all that are new or changed]
        names: Vec<String>,
        /// Do it without asking first
        #[arg(long, short)]
        yes: bool,
    },
    /// Write bartizan.lock: how all definitions stand, for review in version control
    #[command(after_help = "\
Examples:
  bartizan trust lock
  bartizan trust lock --check          for CI: exit code 1 when something is not as it was locked

Servers with how they are reached, digests of definitions, their states, who approved them, and \
signatures. It is written from what was seen last; `bartizan trust verify` asks the servers.")]
    Lock {
        /// The lock file [default: bartizan.lock beside the configuration]
        file: Option<std::path::PathBuf>,
        /// Write nothing: compare with the file, and exit with 1 where they differ
        #[arg(long)]
        check: bool,
    },
    /// Ask every server, and hold what it shows against bartizan.lock and its signatures
    #[command(after_help = "The exit code is 1 when anything differs.")]
    Verify {
        /// The lock file [default: bartizan.lock beside the configuration]
        file: Option<std::path::PathBuf>,
    },
    /// Approve what a reviewed bartizan.lock has as approved, as on another machine
    #[command(after_help = "\
Example:
  git pull && bartizan trust adopt --yes

Only exactly what was locked, of servers that are reached in the same way.")]
    Adopt {
        /// The lock file [default: bartizan.lock beside the configuration]
        file: Option<std::path::PathBuf>,
        /// Do it without asking first
        #[arg(long, short)]
        yes: bool,
    },
    /// Propose labels for a server's tools, for the flow rules
    #[command(after_help = "\
Example:
  bartizan trust suggest-labels mail >> bartizan.toml     then look at it, and change it

It goes by what the tools say of themselves, so somebody has to agree: labels count only in the \
configuration.")]
    SuggestLabels {
        /// The server's name
        server: String,
    },
    /// Sign what is approved, as the organisation that approved it
    #[command(after_help = "\
Examples:
  openssl genpkey -algorithm ed25519 -out acme.key
  openssl pkey -in acme.key -pubout -out acme.pem
  bartizan trust sign files --key acme.key --kid acme-2026
  bartizan trust sign files --key acme.key --kid acme-2026 --output json

Each signature is a detached JWS (ES256 or EdDSA) over the definition's digest. It is kept in the \
store, and with --output json printed as a provider would put it into \
_meta[\"dev.bartizan/signature\"]. [trust.keys] names the public keys that count, and \
require-signature the servers that need one.")]
    Sign {
        /// The server's name
        server: String,
        /// The tools and prompts to sign, by name [default: all that are approved]
        names: Vec<String>,
        /// The private key: a file with PKCS#8 in PEM form, P-256 or Ed25519
        #[arg(long, value_name = "FILE")]
        key: std::path::PathBuf,
        /// The key's id, as in [trust.keys]
        #[arg(long, value_name = "ID")]
        kid: String,
    },
    /// Show the pinned keys, and whether they count now
    Keys,
    /// Refuse what a server shows; what was approved before stays approved
    Reject {
        /// The server's name
        server: String,
        /// The tools and prompts to refuse, by name
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Take approvals back
    #[command(after_help = "\
Examples:
  bartizan trust revoke files write_file
  bartizan trust revoke files                  everything of that server

Nothing of it is listed or callable until it is approved again by its name.")]
    Revoke {
        /// The server's name
        server: String,
        /// The tools and prompts whose approval is taken back, by name [default: all of the server's]
        names: Vec<String>,
    },
}
