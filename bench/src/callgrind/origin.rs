//! Names of functions and paths of sources, put into a few drawers.

use std::fmt;

/// Whose source an instruction comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A crate of a registry.
    Crate(String),
    /// The C library, the linker, the allocator's C sources.
    Native,
    /// A crate of this workspace.
    Ours(String),
    /// `core`, `alloc`, `std`.
    Standard,
}

impl Origin {
    /// From the path of a source file.
    #[must_use]
    pub fn of(path: &str) -> Self {
        if path.contains("/library/") && (path.starts_with("/rustc/") || path.contains("/rustlib/"))
        {
            return Self::Standard;
        }
        if let Some((_, rest)) = path.split_once("/registry/src/") {
            let folder = rest.split('/').nth(1).unwrap_or_default();
            let name = folder.rsplit_once('-').map_or(folder, |(name, _)| name);
            return Self::Crate(name.to_owned());
        }
        match path.split_once("crates/") {
            Some((_, rest)) => Self::Ours(rest.split('/').next().unwrap_or_default().to_owned()),
            None => Self::Native,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crate(name) => write!(to, "{name}"),
            Self::Native => write!(to, "libc and other C"),
            Self::Ours(name) => write!(to, "{name} (ours)"),
            Self::Standard => write!(to, "core, alloc, std"),
        }
    }
}

/// Whether a call enters an allocator to get memory, from outside it.
#[must_use]
pub fn is_allocation(caller: &str, callee: &str) -> bool {
    let of_mimalloc = |name: &str| name.starts_with("mi_") || name.starts_with("_mi_");
    let asks = match callee {
        "malloc" | "calloc" | "realloc" | "posix_memalign" | "aligned_alloc" => true,
        _ => of_mimalloc(callee) && callee.contains("alloc") && !callee.contains("usable"),
    };
    let inside = |name: &str| {
        of_mimalloc(name)
            || matches!(name, "malloc" | "calloc" | "realloc" | "posix_memalign" | "aligned_alloc")
    };
    asks && !inside(caller)
}

/// Whether a function only passes a request for memory on.
#[must_use]
pub fn is_thin(name: &str) -> bool {
    let name = name.trim_start_matches('<');
    [
        "alloc::",
        "core::",
        "std::",
        "bytes::",
        "hashbrown::",
        "__rust",
        "__rdl",
        "__rg",
        "mimalloc::",
    ]
    .iter()
    .any(|part| name.starts_with(part))
        || name.contains("RawVec")
}

/// The crate in front of a demangled name, empty for C.
#[must_use]
pub fn crate_of(name: &str) -> &str {
    let path = name
        .trim_start_matches(['<', '&', '*', '(', '['])
        .trim_start_matches("mut ")
        .trim_start_matches("dyn ");
    path.split_once("::").map_or("", |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_with_their_crate() {
        assert_eq!(
            crate_of("<&mut serde_json::de::Deserializer<R> as serde_core::de::Deserializer>::f"),
            "serde_json"
        );
        assert_eq!(crate_of("gateway::door::serve::{{closure}}"), "gateway");
        assert_eq!(crate_of("__memcpy_avx_unaligned_erms"), "");
    }

    #[test]
    fn paths_name_their_crate() {
        let registry = "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/hyper-util-0.1.17/src/lib.rs";
        assert_eq!(Origin::of(registry), Origin::Crate("hyper-util".into()));
        assert_eq!(Origin::of("/src/project/crates/mcp/src/json.rs"), Origin::Ours("mcp".into()));
        assert_eq!(Origin::of("/rustc/0123/library/core/src/str/mod.rs"), Origin::Standard);
        assert_eq!(Origin::of("./string/../sysdeps/x86_64/multiarch/memmove.S"), Origin::Native);
    }
}
