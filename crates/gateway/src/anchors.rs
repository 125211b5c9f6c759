//! What others keep of the log: checkpoints in a folder or a git repository, and witnesses who sign them too.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use audit::{Submission, WitnessKey, known_size, submission};
use http::{Request, StatusCode, header};
use http_body_util::Full;
use tokio::{process::Command, sync::watch};
use upstream::{Fetch, HttpClient};

use crate::Gateway;

/// Where checkpoints go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchors {
    /// How often, when there is a new one.
    pub every: Duration,
    /// A folder elsewhere, such as a file share: each checkpoint is a file.
    pub folder: Option<PathBuf>,
    /// A work tree of git: each checkpoint is a commit, pushed where there is a remote.
    pub git: Option<PathBuf>,
    /// Who signs as well.
    pub witnesses: Vec<Witness>,
}

impl Default for Anchors {
    fn default() -> Self {
        let every = Duration::from_secs(300);
        Anchors { every, folder: None, git: None, witnesses: Vec::new() }
    }
}

/// A witness, by C2SP tlog-witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The prefix of its interface.
    pub url: String,
    /// What its signatures are verified with.
    pub key: WitnessKey,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
}

/// An answer is a line or two.
const ANSWER: usize = 64 << 10;
const DEADLINE: Duration = Duration::from_secs(20);

/// Until the gateway ends.
pub(crate) async fn keep_anchors(gateway: Arc<Gateway>, mut stopping: watch::Receiver<bool>) {
    let mut done = 0;
    loop {
        let every = gateway.current().config.audit.anchors.every;
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stopping.changed() => return,
        }
        tokio::select! {
            size = gateway.anchor(done) => done = size,
            _ = stopping.changed() => return,
        }
    }
}

impl Gateway {
    /// Anchors the newest checkpoint, if it has more than `done` records; gives how many it has.
    async fn anchor(&self, done: u64) -> u64 {
        let config = &self.current().config;
        let (anchors, dir) = (&config.audit.anchors, config.state_dir.join("audit"));
        let newest = match submission(&dir, done) {
            Ok(Some(newest)) => newest,
            Ok(None) => return done,
            Err(fault) => {
                tracing::error!(%fault, "the checkpoint can't be read");
                return done;
            }
        };
        let origin = self.journal.origin().rsplit('/').next().unwrap_or_default().to_owned();
        let mut kept = Ok(());
        if let Some(folder) = &anchors.folder {
            kept = in_folder(folder, &origin, &newest)
                .map_err(|f| format!("{}: {f}", folder.display()));
        }
        if let (Ok(()), Some(tree)) = (&kept, &anchors.git) {
            kept = in_git(tree, &origin, &newest)
                .await
                .map_err(|f| format!("{}: {f}", tree.display()));
        }
        if let Err(fault) = &kept {
            tracing::error!("a checkpoint can't be anchored: {fault}");
        }
        let witnessed = self.ask_witnesses(&anchors.witnesses, &dir).await;
        if kept.is_ok() && witnessed { newest.size } else { done }
    }

    /// Collects the witnesses' signatures; whether all gave theirs.
    async fn ask_witnesses(&self, witnesses: &[Witness], dir: &Path) -> bool {
        let mut signed: Option<Submission> = None;
        let mut all = true;
        for witness in witnesses {
            match witness.ask(&self.client, dir, signed.as_ref()).await {
                Ok(Some(more)) => signed = Some(more),
                Ok(None) => {}
                Err(fault) => {
                    all = false;
                    tracing::error!("the witness {} did not sign: {fault}", witness.key.name());
                }
            }
        }
        if let Some(Err(fault)) = signed.map(|signed| signed.keep(dir)) {
            tracing::error!(%fault, "the cosigned checkpoint can't be written");
        }
        all
    }
}

impl Witness {
    /// Its signature on the newest checkpoint, added to what others signed before; none when nothing is new to it.
    async fn ask(
        &self,
        client: &HttpClient,
        dir: &Path,
        signed: Option<&Submission>,
    ) -> Result<Option<Submission>, String> {
        let fault = |fault: audit::AuditFault| fault.to_string();
        // What it knows of the log it says itself.
        let mut old = 0;
        for _ in 0..2 {
            let Some(sent) = submission(dir, old).map_err(fault)? else { return Ok(None) };
            let (status, answer) = self.post(client, &sent.body).await?;
            match status {
                StatusCode::OK => {
                    let before = signed.filter(|before| before.size == sent.size);
                    let cosigned = before.unwrap_or(&sent).cosigned(&answer, &self.key);
                    return cosigned.map(Some).ok_or_else(|| "not with its key".to_owned());
                }
                StatusCode::CONFLICT => {
                    old = known_size(&answer).ok_or("it says no size")?;
                }
                other => return Err(format!("{} answered HTTP {}", self.url, other.as_u16())),
            }
        }
        Err("it knows another log of this name".to_owned())
    }

    async fn post(&self, client: &HttpClient, body: &str) -> Result<(StatusCode, String), String> {
        let request = Request::post(format!("{}/add-checkpoint", self.url.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "text/plain")
            .body(Full::new(body.to_owned().into()))
            .map_err(|fault| fault.to_string())?;
        let rules = Fetch { bytes: ANSWER, deadline: DEADLINE, allow_private: self.allow_private };
        let answer = client.fetch(request, rules).await.map_err(|fault| fault.to_string())?;
        Ok((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()))
    }
}

/// A file for each checkpoint: what was put there is never changed.
fn in_folder(folder: &Path, origin: &str, newest: &Submission) -> std::io::Result<()> {
    let place = folder.join(origin);
    std::fs::create_dir_all(&place)?;
    let path = place.join(format!("{:020}.checkpoint", newest.size));
    let half = path.with_extension("half");
    std::fs::write(&half, newest.note())?;
    std::fs::rename(half, path)
}

/// The checkpoint's file in a work tree, committed and pushed.
async fn in_git(tree: &Path, origin: &str, newest: &Submission) -> Result<(), String> {
    let name = format!("{origin}.checkpoint");
    std::fs::write(tree.join(&name), newest.note()).map_err(|fault| fault.to_string())?;
    git(tree, &["add", "--", &name]).await?;
    let message = format!("{origin}: {} records", newest.size);
    let identity = ["-c", "user.name=Bartizan", "-c", "user.email=bartizan@localhost"];
    let commit = ["commit", "--quiet", "--allow-empty", "-m", &message, "--", &name];
    git(tree, &[&identity[..], &commit].concat()).await?;
    if git(tree, &["remote"]).await?.trim().is_empty() {
        return Ok(());
    }
    git(tree, &["push", "--quiet"]).await.map(drop)
}

async fn git(tree: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(tree).args(arguments);
    command.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null()).kill_on_drop(true);
    let ran = tokio::time::timeout(DEADLINE, command.output()).await;
    let ran = ran.map_err(|_| "git took too long")?.map_err(|fault| format!("git: {fault}"))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    Err(format!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&ran.stderr).trim()))
}
