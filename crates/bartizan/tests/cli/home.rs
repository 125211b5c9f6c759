//! A user with an empty home folder.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

use serde_json::Value;

/// The user, who stands in a folder of their own.
pub struct Home {
    folder: tempfile::TempDir,
}

/// How a command ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|fault| panic!("{fault}: {}\n{}", self.out, self.err))
    }

    /// It has to have worked.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self
    }
}

impl Home {
    pub fn new() -> Self {
        Home { folder: tempfile::tempdir().unwrap() }
    }

    /// With a `bartizan.toml` where the user stands.
    pub fn with(config: &str) -> Self {
        let home = Home::new();
        home.write("bartizan.toml", config);
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with_input(args, "")
    }

    pub fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let done = child.wait_with_output().unwrap();
        Ran {
            code: done.status.code().unwrap_or(-1),
            out: String::from_utf8(done.stdout).unwrap(),
            err: String::from_utf8(done.stderr).unwrap(),
        }
    }

    /// A gateway on a port of its own.
    pub fn up(&self) -> Up {
        self.up_with(&[])
    }

    /// The same, with more variables.
    pub fn up_with(&self, environment: &[(&str, &str)]) -> Up {
        let mut command = self.command(&["up", "--listen", "127.0.0.1:0"]);
        command.envs(environment.iter().copied());
        Self::started(command)
    }

    /// The same through a shell's script, which gets the program and its arguments.
    pub fn up_as(&self, script: &str) -> Up {
        let up = self.command(&["up", "--listen", "127.0.0.1:0"]);
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(up.get_program()).args(up.get_args());
        command.current_dir(self.folder.path()).env_clear();
        command.envs(up.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::started(command)
    }

    fn started(mut command: Command) -> Up {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        let mut up = Up { child, out, err, address: String::new() };
        let first = up.line();
        up.address = first.strip_prefix("listening on http://").expect(&first).to_owned();
        up
    }
}

/// A running gateway, which ends with the test.
pub struct Up {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
    /// Where it listens.
    pub address: String,
}

impl Up {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Reads its log until a line contains `text`, and returns all up to there.
    pub fn logged(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let before = all.len();
            assert!(
                self.err.read_line(&mut all).unwrap() > 0,
                "the log ended without `{text}`:\n{all}"
            );
            if all[before..].contains(text) {
                return all;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let done =
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// From now on it can't make a file longer than this.
    #[cfg(target_os = "linux")]
    pub fn limit_files(&self, bytes: u64) {
        let limit = format!("--fsize={bytes}");
        let pid = self.child.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    }

    /// What it said on standard output, and its exit code.
    pub fn end(mut self) -> (String, i32) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code().unwrap_or(-1))
    }

    /// Posts to the door; the answer with its head.
    pub fn post(&self, path: &str, token: Option<&str>, body: &str) -> String {
        self.post_with(path, token, "", body)
    }

    /// The same with more headers, each ended by CR LF.
    pub fn post_with(&self, path: &str, token: Option<&str>, more: &str, body: &str) -> String {
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        let authorization =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{authorization}{more}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The repository's file.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
