//! What is measured: the upstream itself, Bartizan in front of it, a peer in front of it.

use std::{
    ffi::OsString,
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::process::Running;

/// Every caller is one principal here, so what one principal may hold must suffice for all.
const LIMITS: &str = "[limits]\nsessions-per-principal = 5000\nin-flight-per-principal = 256\n";

/// What a started Bartizan stands in front of.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A URL.
    Http(String),
    /// `echo-upstream stdio`.
    Stdio,
}

/// How Bartizan is configured, beside its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// A minted token, instead of `[identity] loopback = "open"`.
    pub token: bool,
    /// `[audit] sync = false`: replies do not wait for the disk.
    pub unsynced: bool,
    /// Metrics and this part of the traces, in percent, go there, and alerts are watched.
    pub collector: Option<(SocketAddr, u32)>,
    /// What is put into a request on its way to the server.
    pub credential: Credential,
}

/// A credential of the server's entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// None.
    #[default]
    None,
    /// A sealed secret.
    Sealed,
    /// A token of this token endpoint, by client credentials.
    Exchanged(SocketAddr),
}

impl Credential {
    /// What an entry with this name says of it.
    fn section(self, entry: &str) -> String {
        match self {
            Credential::None => String::new(),
            Credential::Sealed => {
                format!(
                    "[{entry}.credential]\nheader = \"authorization\"\nvalue = \"Bearer ${{secret:{SECRET}}}\"\n"
                )
            }
            Credential::Exchanged(address) => format!(
                "[{entry}.exchange]\nkind = \"client-credentials\"\ntoken-endpoint = \"http://{address}/token\"\nallow-private = true\n\
                 client-id = \"bench\"\nclient-secret = \"${{secret:{SECRET}}}\"\nscopes = [\"echo\"]\n"
            ),
        }
    }
}

/// The name of the sealed secret.
const SECRET: &str = "bench";

/// The programs and how they are started.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The gateway.
    pub bartizan: PathBuf,
    /// The upstream, beside this program.
    pub echo: PathBuf,
    /// Put in front of the gateway's command line (`taskset -c 0`, `valgrind …`).
    pub wrapper: Vec<OsString>,
    /// The eras the upstream admits to, as its `--era`.
    pub upstream_era: String,
    /// How long a start may take.
    pub patience: Duration,
}

impl Programs {
    /// Takes `echo-upstream` from the folder of the running program.
    ///
    /// # Errors
    /// When it is not there.
    pub fn new(bartizan: PathBuf) -> anyhow::Result<Self> {
        let echo = std::env::current_exe()?.with_file_name("echo-upstream");
        ensure!(echo.exists(), "{} is missing: cargo build --release -p bench", echo.display());
        let patience = Duration::from_secs(20);
        Ok(Self { bartizan, echo, wrapper: Vec::new(), upstream_era: "both".into(), patience })
    }

    /// Starts the upstream over HTTP.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn upstream(&self, listen: &str, folder: &Path) -> anyhow::Result<Running> {
        let mut command = Command::new(&self.echo);
        command.args(["http", "--listen", listen, "--era", &self.upstream_era]);
        Running::announced(command, &folder.join("upstream.log"), self.patience)
    }

    /// Writes a configuration into its own folder and starts the gateway on it.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn gateway(
        &self,
        folder: &Path,
        upstream: &Upstream,
        setting: Setting,
    ) -> anyhow::Result<Gateway> {
        let gateway = self.configured(folder, &self.configuration(upstream, setting))?;
        let token = if setting.token { Some(gateway.mint()?) } else { None };
        if setting.credential != Credential::None {
            gateway.seal()?;
        }
        let running = self.start(&gateway.paths)?;
        Ok(Gateway { running: Some(running), token, ..gateway })
    }

    /// The same in front of a model that speaks OpenAI's protocol, with a sealed key; it is called `bench`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn model(&self, folder: &Path, address: SocketAddr) -> anyhow::Result<Gateway> {
        let credential = Credential::Sealed.section("models.bench");
        let gateway = self.configured(
            folder,
            &format!(
                "listen = \"127.0.0.1:0\"\n[identity]\nloopback = \"open\"\n{LIMITS}[models.bench]\nkind = \"openai\"\nurl = \"http://{address}\"\n\
                 allow-private = true\n{credential}"
            ),
        )?;
        gateway.seal()?;
        let running = self.start(&gateway.paths)?;
        Ok(Gateway { running: Some(running), ..gateway })
    }

    fn configured(&self, folder: &Path, configuration: &str) -> anyhow::Result<Gateway> {
        fs::create_dir_all(folder)?;
        Gateway::configure(&self.bartizan, configuration, folder)
    }

    /// Starts the gateway on an existing configuration.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&self, paths: &Paths) -> anyhow::Result<Running> {
        let mut words = self.wrapper.iter();
        let mut command = match words.next() {
            Some(wrapper) => {
                let mut command = Command::new(wrapper);
                command.args(words).arg(&self.bartizan);
                command
            }
            None => Command::new(&self.bartizan),
        };
        paths.arguments(&mut command);
        command.arg("up");
        Running::announced(command, &paths.state.with_file_name("gateway.log"), self.patience)
    }

    fn configuration(&self, upstream: &Upstream, setting: Setting) -> String {
        let server = match upstream {
            Upstream::Http(url) => format!("url = \"{url}\"\nallow-private = true"),
            Upstream::Stdio => format!(
                "command = \"{}\"\nargs = [\"stdio\", \"--era\", \"{}\"]",
                self.echo.display(),
                self.upstream_era
            ),
        };
        let identity = if setting.token { "" } else { "[identity]\nloopback = \"open\"\n" };
        let audit = if setting.unsynced { "[audit]\nsync = false\n" } else { "" };
        let telemetry = setting.collector.map(|(address, sample)| {
            format!(
                "[telemetry]\nlisten = \"127.0.0.1:0\"\n[telemetry.otlp]\nendpoint = \"http://{address}\"\nevery = \"1s\"\nsample = {sample}\n\
                 [alerts.command]\nprogram = \"true\"\n"
            )
        });
        let telemetry = telemetry.unwrap_or_default();
        let credential = setting.credential.section("servers.echo");
        format!(
            "listen = \"127.0.0.1:0\"\n{identity}{audit}{telemetry}{LIMITS}[servers.echo]\n{server}\non-first-use = \"approve\"\n{credential}"
        )
    }
}

/// Files of one gateway.
#[derive(Clone, Debug)]
pub struct Paths {
    bartizan: PathBuf,
    config: PathBuf,
    state: PathBuf,
}

impl Paths {
    fn arguments(&self, command: &mut Command) {
        command.arg("--state-dir").arg(&self.state).arg("--config").arg(&self.config);
    }
}

/// A configured gateway, running or not.
#[derive(Debug)]
pub struct Gateway {
    /// Its files.
    pub paths: Paths,
    /// The process.
    pub running: Option<Running>,
    /// The token its door asks for.
    pub token: Option<String>,
}

impl Gateway {
    fn configure(bartizan: &Path, configuration: &str, folder: &Path) -> anyhow::Result<Self> {
        let (config, state) = (folder.join("bartizan.toml"), folder.join("state"));
        fs::write(&config, configuration)?;
        let paths = Paths { bartizan: bartizan.to_owned(), config, state };
        Ok(Self { paths, running: None, token: None })
    }

    fn mint(&self) -> anyhow::Result<String> {
        let mut command = Command::new(&self.paths.bartizan);
        self.paths.arguments(&mut command);
        let output = command.args(["token", "mint", "bench"]).output()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(
            output.status.success(),
            "token mint: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        said.lines().last().map(str::to_owned).context("token mint printed nothing")
    }

    /// Seals the secret that credentials name.
    fn seal(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.paths.bartizan);
        self.paths.arguments(&mut command);
        command.args(["secret", "set", SECRET]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().context("no standard input")?;
        input.write_all(b"a-key-of-forty-letters-that-nobody-needs")?;
        drop(input);
        ensure!(child.wait()?.success(), "secret set failed");
        Ok(())
    }

    /// The process, which runs.
    ///
    /// # Errors
    /// When it does not.
    pub fn process(&self) -> anyhow::Result<&Running> {
        self.running.as_ref().context("the gateway is not running")
    }
}
