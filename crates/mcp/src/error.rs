//! JSON-RPC errors and the codes that MCP gives them.

use crate::json::quote_onto;

/// The codes in use (specification 2026-07-28, basic/index#error-codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the specification's own")]
#[repr(i32)]
pub enum Code {
    Parse = -32700,
    InvalidRequest = -32600,
    MethodNotFound = -32601,
    InvalidParams = -32602,
    Internal = -32603,
    HeaderMismatch = -32020,
    MissingClientCapability = -32021,
    UnsupportedVersion = -32022,
    /// The person has to open a URL first (revision 2025-11-25, "URL Mode Elicitation").
    UrlElicitationRequired = -32042,
    /// Resource not found in revisions up to 2025-11-25.
    LegacyResourceNotFound = -32002,
    /// Refused by Bartizan: outside the range that JSON-RPC and MCP reserve.
    Refused = -31001,
    /// The server behind Bartizan failed or did not answer in time.
    Upstream = -31002,
    /// A limit was reached; a retry later makes sense.
    Limited = -31003,
}

/// An error object: a code, a message for the client, optional `data` as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// The code.
    pub code: i32,
    /// One sentence for the client.
    pub message: String,
    /// JSON text.
    pub data: Option<String>,
}

impl RpcError {
    /// Without data.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        RpcError { code: code as i32, message: message.into(), data: None }
    }

    /// With `data`, a JSON text that the caller vouches for.
    pub fn with_data(mut self, data: String) -> Self {
        self.data = Some(data);
        self
    }

    /// `{"code":…,"message":…,"data":…}`
    pub fn text(&self) -> String {
        let data = self.data.as_deref();
        let mut out = String::with_capacity(48 + self.message.len() + data.map_or(0, str::len));
        out.push_str("{\"code\":");
        out.push_str(&self.code.to_string());
        out.push_str(",\"message\":");
        quote_onto(&mut out, &self.message);
        if let Some(data) = data {
            out.push_str(",\"data\":");
            out.push_str(data);
        }
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_quotes_the_message_and_splices_the_data() {
        let error = RpcError::new(Code::HeaderMismatch, "say \"no\"\n");
        assert_eq!(error.text(), r#"{"code":-32020,"message":"say \"no\"\n"}"#);
        let error = error.with_data(r#"{"uri":"a:b"}"#.to_owned());
        assert_eq!(
            error.text(),
            r#"{"code":-32020,"message":"say \"no\"\n","data":{"uri":"a:b"}}"#
        );
    }
}
