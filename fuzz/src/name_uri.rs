//! Names and URIs of the aggregate lead back to where they came from.

use mcp::{Separator, ServerName, ToolName};

/// Four lines: separator, server, tool, URI.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (separator, server, tool, uri) =
        (Separator::new(line()), ServerName::new(line()), ToolName::new(line()), line());
    if let Some((server, own)) = ServerName::unwrap_uri(uri) {
        // What can be unwrapped is the wrapping of one URI alone.
        assert_eq!(ServerName::new(server).map(|server| server.wrap_uri(&own)).as_deref(), Ok(uri));
    }
    let Ok(server) = server else { return };
    let wrapped = server.wrap_uri(uri);
    assert_eq!(ServerName::unwrap_uri(&wrapped), Some((server.as_str(), uri.to_owned())));
    for separator in [Separator::default()].into_iter().chain(separator) {
        assert!(Separator::split(&separator, server.as_str()).is_none());
        if let Ok(tool) = &tool {
            let joined = separator.join(&server, tool.as_str());
            assert_eq!(separator.split(&joined), Some((server.as_str(), tool.as_str())));
        }
    }
}
