//! Why a secret can't be had.

use std::path::PathBuf;

/// Why a reference, credential or environment can't be used. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum VaultFault {
    /// Keys that no signature can be made with.
    #[error("the keys for AWS are not what AWS gives out: printable characters without spaces")]
    Aws,
    /// Not a certificate and its key.
    #[error("the client certificate and its key are not both in PEM form")]
    Certificate,
    /// The value is empty.
    #[error("{0} is empty")]
    Empty(String),
    /// The environment variable is not set.
    #[error("environment variable {0} is not set")]
    EnvMissing(String),
    /// Not a name that an environment variable can have.
    #[error("`{0}` can't be the name of an environment variable")]
    EnvName(String),
    /// The file can't be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file can be read or written by every user.
    #[error("{path} is open to every user (mode {mode:03o}); run: chmod 600 {path}", path = path.display())]
    FileMode {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is longer than 64 KiB.
    #[error("{} is longer than 64 KiB", .0.display())]
    FileTooLong(PathBuf),
    /// A header that a credential must not set.
    #[error("header `{0}` is not a credential: Bartizan writes it itself")]
    HeaderForbidden(String),
    /// Not a header name.
    #[error("`{0}` is not a header name")]
    HeaderName(String),
    /// Two values for one name.
    #[error("`{0}` is given twice")]
    Duplicate(String),
    /// The value holds characters that a header or an environment can't carry.
    #[error("the value for `{0}` holds characters that can't be sent")]
    Value(String),
    /// The value is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    /// A place that no secret can have.
    #[error(
        "`${{{0}}}` names no place: write ${{keyvault:VAULT/NAME}} or ${{vault:MOUNT/PATH#FIELD}}, with letters, digits, `-` (and in a vault `_` and `.`)"
    )]
    Place(String),
    /// A path that is not absolute.
    #[error("`${{file:{0}}}`: the path must be absolute")]
    PathRelative(String),
    /// Not a name that a parameter can have.
    #[error("`{0}` can't be the name of a query parameter: 1 to 128 letters, digits and signs")]
    QueryName(String),
    /// Not a name that a sealed secret can have.
    #[error(
        "`{0}` can't be the name of a secret: 1 to 64 letters, digits, `-`, `_` and `.`, a letter or digit first"
    )]
    SecretName(String),
    /// A `$` that begins no reference.
    #[error(
        "at byte {at}: `$` begins a reference, such as ${{secret:NAME}}, ${{env:NAME}} or ${{file:/PATH}}; write $$ for a dollar sign"
    )]
    Syntax {
        /// Where.
        at: usize,
    },
}
