//! The methods that Bartizan knows by name; all others are `Other`.

/// A method of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub enum Method {
    CompletionComplete,
    Initialize,
    LoggingSetLevel,
    Other,
    Ping,
    PromptsGet,
    PromptsList,
    ResourcesList,
    ResourcesRead,
    ResourcesSubscribe,
    ResourcesTemplatesList,
    ResourcesUnsubscribe,
    ServerDiscover,
    SubscriptionsListen,
    TasksCancel,
    TasksGet,
    TasksUpdate,
    ToolsCall,
    ToolsList,
}

impl Method {
    /// By its name on the wire, which is case-sensitive.
    pub fn of(name: &str) -> Method {
        match name {
            "completion/complete" => Self::CompletionComplete,
            "initialize" => Self::Initialize,
            "logging/setLevel" => Self::LoggingSetLevel,
            "ping" => Self::Ping,
            "prompts/get" => Self::PromptsGet,
            "prompts/list" => Self::PromptsList,
            "resources/list" => Self::ResourcesList,
            "resources/read" => Self::ResourcesRead,
            "resources/subscribe" => Self::ResourcesSubscribe,
            "resources/templates/list" => Self::ResourcesTemplatesList,
            "resources/unsubscribe" => Self::ResourcesUnsubscribe,
            "server/discover" => Self::ServerDiscover,
            "subscriptions/listen" => Self::SubscriptionsListen,
            "tasks/cancel" => Self::TasksCancel,
            "tasks/get" => Self::TasksGet,
            "tasks/update" => Self::TasksUpdate,
            "tools/call" => Self::ToolsCall,
            "tools/list" => Self::ToolsList,
            _ => Self::Other,
        }
    }

    /// The member of `params` that `Mcp-Name` mirrors (2026-07-28, streamable HTTP; SEP-2663 for tasks).
    pub fn name_member(self) -> Option<&'static str> {
        match self {
            Self::ToolsCall | Self::PromptsGet => Some("name"),
            Self::ResourcesRead => Some("uri"),
            Self::TasksGet | Self::TasksUpdate | Self::TasksCancel => Some("taskId"),
            _ => None,
        }
    }
}
