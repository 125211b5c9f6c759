//! `bartizan flow` as it is typed.

use clap::Subcommand;

#[derive(Clone, Debug, Subcommand)]
pub enum FlowCommand {
    /// Show what conversations have read, and by which calls
    #[command(after_help = "\
Examples:
  bartizan flow show
  bartizan flow show --output json

A conversation that has read private and untrusted data may not write where others can read. \
[flow] in the configuration has the rules, `reads` and `writes` of a server the labels.")]
    Show,
    /// Let a conversation begin anew
    #[command(after_help = "\
Examples:
  bartizan flow reset owner
  bartizan flow reset 'token:ci#1f2e3d4c' 'session x-5'

Look first at what it has read, and at what it wanted to do: the record of the refused call says it \
(bartizan audit search --refused). After a reset the conversation may write again, whatever its \
agent still holds in memory.")]
    Reset {
        /// The caller whose conversation it is, as `flow show` names them
        principal: String,
        /// The conversation, as `flow show` names it [default: all of that caller's]
        conversation: Option<String>,
    },
}
