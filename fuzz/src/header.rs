//! Header values come back as they went, and annotations never panic or repeat.

use mcp::{HeaderFault, Json, Limits, decode_header, encode_header, header_params};

/// A header's value, a line feed, the arguments, a line feed, the schema.
pub fn target(data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == b'\n');
    let header = parts.next().unwrap_or_default();
    round_trip(header);
    let mut json = parts.filter_map(|part| Json::read(part, &Limits::default()).ok());
    if let (Some(arguments), Some(schema)) = (json.next(), json.next()) {
        mirror(header, arguments, schema);
    }
}

fn round_trip(header: &[u8]) {
    if let Ok(text) = decode_header(header) {
        check_encoding(&text);
    }
    check_encoding(&String::from_utf8_lossy(header));
}

/// Encodes into a valid header that decodes to the same.
fn check_encoding(text: &str) {
    let encoded = encode_header(text);
    assert!(http_value(encoded.as_bytes()));
    match decode_header(encoded.as_bytes()) {
        Ok(decoded) => assert_eq!(decoded, text),
        Err(fault) => assert!(matches!(fault, HeaderFault::TooLong { .. }), "{fault}"),
    }
}

fn http_value(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

fn mirror(header: &[u8], arguments: Json<'_>, schema: Json<'_>) {
    let Ok(params) = header_params(schema) else { return };
    for (index, param) in params.iter().enumerate() {
        assert!(params.iter().skip(index + 1).all(|other| other.header != param.header));
        let value = param.value(arguments);
        // A client that sends what the arguments say is never refused.
        if let Some(value) = value {
            let sent = encode_header(&value);
            assert!(sent.len() > 8 << 10 || param.verify(Some(sent.as_bytes()), arguments).is_ok());
            assert!(param.verify(None, arguments).is_err());
        }
        let _ = param.verify(Some(header), arguments);
    }
}
