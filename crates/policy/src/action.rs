//! What is asked for.

use crate::{Kind, uri::is_ambiguous};

/// An operation of the protocol that policy decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum Operation {
    /// A call of a language model, through the pass-through.
    CallModel,
    Complete,
    GetPrompt,
    /// A method that Bartizan does not know.
    Method,
    ReadResource,
    SubscribeResource,
    TaskCancel,
    TaskGet,
    TaskUpdate,
    CallTool,
}

impl Operation {
    pub(crate) const ALL: [Operation; 10] = [
        Operation::CallModel,
        Operation::Complete,
        Operation::GetPrompt,
        Operation::Method,
        Operation::ReadResource,
        Operation::SubscribeResource,
        Operation::TaskCancel,
        Operation::TaskGet,
        Operation::TaskUpdate,
        Operation::CallTool,
    ];

    /// The name of the action in Cedar: the protocol's method.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::CallModel => "models/call",
            Operation::CallTool => "tools/call",
            Operation::Complete => "completion/complete",
            Operation::GetPrompt => "prompts/get",
            Operation::Method => "method",
            Operation::ReadResource => "resources/read",
            Operation::SubscribeResource => "resources/subscribe",
            Operation::TaskCancel => "tasks/cancel",
            Operation::TaskGet => "tasks/get",
            Operation::TaskUpdate => "tasks/update",
        }
    }

    /// The action that this one is part of: whoever may do that may do this.
    pub(crate) fn group(self) -> Option<Operation> {
        match self {
            Operation::TaskCancel | Operation::TaskGet | Operation::TaskUpdate => {
                Some(Operation::CallTool)
            }
            Operation::SubscribeResource => Some(Operation::ReadResource),
            _ => None,
        }
    }

    /// Whether it follows a call that was decided: its task is decided as it is in a list, up to
    /// conditions on the call itself.
    pub(crate) fn follows_a_call(self) -> bool {
        matches!(self, Operation::TaskCancel | Operation::TaskGet | Operation::TaskUpdate)
    }
}

/// What a tool says of itself. Hints of an untrusted server: they are worth as much as the
/// approval of the definition that holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Annotations {
    /// `readOnlyHint`
    pub read_only: bool,
    /// `destructiveHint`; without meaning for a tool that only reads.
    pub destructive: bool,
    /// `idempotentHint`
    pub idempotent: bool,
    /// `openWorldHint`
    pub open_world: bool,
}

impl Default for Annotations {
    /// What the protocol says of a tool that says nothing: the worst.
    fn default() -> Annotations {
        Annotations { read_only: false, destructive: true, idempotent: false, open_world: true }
    }
}

impl Annotations {
    /// Of a tool's definition. What is not a boolean is as good as absent.
    pub fn of(tool: mcp::Json<'_>) -> Annotations {
        let held = tool.get("annotations").unwrap_or(mcp::Json::EMPTY);
        let hints =
            held.pick(["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"]);
        let [read_only, destructive, idempotent, open_world] =
            hints.map(|hint| hint.and_then(mcp::Json::boolean));
        let worst = Annotations::default();
        let read_only = read_only.unwrap_or(worst.read_only);
        Annotations {
            read_only,
            destructive: !read_only && destructive.unwrap_or(worst.destructive),
            idempotent: idempotent.unwrap_or(worst.idempotent),
            open_world: open_world.unwrap_or(worst.open_world),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Action<'a> {
    /// What is to be done.
    pub operation: Operation,
    /// The server's name.
    pub server: &'a str,
    /// What it is about.
    pub kind: Kind,
    /// The tool's or prompt's own name, or the resource's own URI (or URI template).
    pub name: &'a str,
    /// Of a tool, as its approved definition has them.
    pub annotations: Annotations,
}

impl<'a> Action<'a> {
    /// Use of a thing in the way that its kind is used: call, get, read.
    pub fn new(server: &'a str, kind: Kind, name: &'a str) -> Action<'a> {
        let operation = match kind {
            Kind::Method => Operation::Method,
            Kind::Model => Operation::CallModel,
            Kind::Prompt => Operation::GetPrompt,
            Kind::Resource => Operation::ReadResource,
            Kind::Tool => Operation::CallTool,
        };
        Action { operation, server, kind, name, annotations: Annotations::default() }
    }

    /// A tool as its definition describes it.
    pub fn tool(server: &'a str, name: &'a str, annotations: Annotations) -> Action<'a> {
        Action { annotations, ..Action::new(server, Kind::Tool, name) }
    }

    /// The same thing, put to another use.
    pub fn with(self, operation: Operation) -> Action<'a> {
        Action { operation, ..self }
    }

    /// A URI that can be read in more than one way.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.kind == Kind::Resource && is_ambiguous(self.name)
    }
}
