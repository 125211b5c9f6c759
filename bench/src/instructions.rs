//! `bench instructions`: the gateway under callgrind with a few calls and with many; the difference is the cost of a call.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};
use bench::{
    callgrind::Profile,
    echo::Era,
    load::{Plan, run as load},
    target::{Credential, Programs, Setting, Upstream},
    wire::{Endpoint, Payload},
};
use clap::Args;

use crate::answer;

/// How it is run.
#[derive(Args)]
pub struct Options {
    /// The gateway with names and line tables: `cargo build --profile profiling -p bartizan`.
    #[arg(long, default_value = "target/profiling/bartizan")]
    bartizan: PathBuf,
    /// Calls of the short run.
    #[arg(long, default_value_t = 500)]
    few: u32,
    /// Calls of the long run.
    #[arg(long, default_value_t = 1500)]
    many: u32,
    /// Bytes of text in each result; 0 for `echo` with 32 bytes.
    #[arg(long, default_value_t = 0)]
    bytes: usize,
    /// Only the scenarios whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Lines of each list of functions.
    #[arg(long, default_value_t = 25)]
    top: usize,
    /// Also shows who calls functions whose name contains this; may be repeated.
    #[arg(long)]
    callers: Vec<String>,
    /// Fails when a scenario costs 5 % more instructions than the baseline says.
    #[arg(long)]
    check: bool,
    /// Writes the baseline.
    #[arg(long)]
    update: bool,
    /// The baseline.
    #[arg(long, default_value = "bench/baseline.json")]
    baseline: PathBuf,
}

const TOKEN_ANSWER: &str =
    r#"{"access_token":"a-token-that-nobody-looks-into","token_type":"Bearer","expires_in":3600}"#;

const INSTRUCTIONS: f64 = 80_000.0;
const ALLOCATIONS: f64 = 60.0;
const TOLERANCE: f64 = 0.05;

/// What a call costs.
struct Cost {
    instructions: f64,
    /// Valgrind offers no SHA instructions, so AWS-LC hashes in a way that takes about ten times as many others.
    sha256: f64,
    allocations: f64,
}

impl Cost {
    fn of(call: &Profile) -> Self {
        Self {
            instructions: call.total(),
            sha256: call.within("sha256_block"),
            allocations: call.allocations(),
        }
    }
}

/// A client's era, a door, and what lies behind it.
struct Scenario {
    name: &'static str,
    era: Era,
    path: &'static str,
    prefix: &'static str,
    setting: Setting,
    stdio: bool,
}

const OPEN: Setting =
    Setting { token: false, unsynced: false, collector: None, credential: Credential::None };
const TOKEN: Setting = Setting { token: true, ..OPEN };
const SEALED: Setting = Setting { credential: Credential::Sealed, ..OPEN };
/// The address is that of the token endpoint, once there is one.
const EXCHANGED: Setting = Setting { credential: Credential::Exchanged(NOWHERE), ..OPEN };
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const SCENARIOS: [Scenario; 8] = [
    scenario("stateless, one server", Era::Stateless, "/mcp/echo", "", OPEN, false),
    scenario("stateless, aggregate", Era::Stateless, "/mcp", "echo__", OPEN, false),
    scenario("stateless, one server, token", Era::Stateless, "/mcp/echo", "", TOKEN, false),
    scenario(
        "stateless, one server, sealed secret",
        Era::Stateless,
        "/mcp/echo",
        "",
        SEALED,
        false,
    ),
    scenario(
        "stateless, one server, cached token",
        Era::Stateless,
        "/mcp/echo",
        "",
        EXCHANGED,
        false,
    ),
    scenario("stateless, stdio server", Era::Stateless, "/mcp/echo", "", OPEN, true),
    scenario("handshake, one server", Era::Handshake, "/mcp/echo", "", OPEN, false),
    scenario("handshake, aggregate", Era::Handshake, "/mcp", "echo__", OPEN, false),
];

const fn scenario(
    name: &'static str,
    era: Era,
    path: &'static str,
    prefix: &'static str,
    setting: Setting,
    stdio: bool,
) -> Scenario {
    Scenario { name, era, path, prefix, setting, stdio }
}

/// Runs every scenario that was asked for.
pub fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.many > options.few, "--many must be more than --few");
    let mut measured = BTreeMap::new();
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&options.only)) {
        let call = profile(options, scenario).with_context(|| scenario.name)?;
        report(options, scenario, &call);
        measured.insert(scenario.name.to_owned(), Cost::of(&call));
    }
    println!(
        "\n| tools/call | instructions | of them SHA-256 | allocations |\n|---|---:|---:|---:|"
    );
    for (name, cost) in &measured {
        let Cost { instructions, sha256, allocations } = cost;
        println!("| {name} | {instructions:.0} | {sha256:.0} | {allocations:.1} |");
    }
    println!("| budget | {INSTRUCTIONS:.0} | | {ALLOCATIONS:.0} |");
    if options.update {
        let rounded: BTreeMap<_, _> =
            measured.iter().map(|(name, cost)| (name, cost.instructions.round())).collect();
        fs::write(&options.baseline, serde_json::to_string_pretty(&rounded)? + "\n")?;
    }
    if options.check { check(options, &measured) } else { Ok(()) }
}

fn check(options: &Options, measured: &BTreeMap<String, Cost>) -> anyhow::Result<()> {
    let stored = fs::read_to_string(&options.baseline)
        .with_context(|| options.baseline.display().to_string())?;
    let baseline: BTreeMap<String, f64> = serde_json::from_str(&stored)?;
    let mut faults = Vec::new();
    for (name, Cost { instructions, .. }) in measured {
        let Some(expected) = baseline.get(name) else {
            faults.push(format!("{name}: not in the baseline"));
            continue;
        };
        let change = instructions / expected - 1.0;
        if change > TOLERANCE {
            faults
                .push(format!("{name}: {instructions:.0} instructions, {:+.1} %", change * 100.0));
        } else if change < -TOLERANCE {
            println!("{name}: {:+.1} %: lower the baseline with --update", change * 100.0);
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// Starts the gateway under callgrind and makes three runs, with a dump after each: the first carries the start and
/// is thrown away; of the other two the difference is what the calls cost, without connecting and warming up.
fn profile(options: &Options, scenario: &Scenario) -> anyhow::Result<Profile> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("callgrind.out");
    let mut programs = Programs::new(options.bartizan.clone())?;
    programs.patience = Duration::from_secs(120);
    programs.wrapper = valgrind(&output);
    let upstream = programs.upstream("127.0.0.1:0", folder.path())?;
    let behind =
        if scenario.stdio { Upstream::Stdio } else { Upstream::Http(upstream.url.clone()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut setting = scenario.setting;
    if let Credential::Exchanged(address) = &mut setting.credential {
        *address = runtime.block_on(answer::always("application/json", TOKEN_ANSWER))?;
    }
    let gateway = programs.gateway(folder.path(), &behind, setting)?;
    let process = gateway.process()?;
    let endpoint = Endpoint {
        authority: process.authority(),
        path: scenario.path.into(),
        prefix: scenario.prefix.into(),
        token: gateway.token.clone(),
        era: scenario.era,
    };
    let mut profiles = Vec::new();
    for (part, calls) in [(1, options.few), (2, options.few), (3, options.many)] {
        let plan = plan(options, &endpoint, calls);
        let figures = runtime.block_on(load(&plan))?;
        ensure!(figures.calls == u64::from(calls), "only {} calls were made", figures.calls);
        dump(process.pid())?;
        if part > 1 {
            profiles.push(Profile::read(&folder.path().join(format!("callgrind.out.{part}")))?);
        }
    }
    let [few, many] = &profiles[..] else { anyhow::bail!("two profiles were expected") };
    Ok(many.per_call(few, options.many - options.few))
}

fn plan(options: &Options, endpoint: &Endpoint, calls: u32) -> Plan {
    Plan {
        endpoint: endpoint.clone(),
        payload: match options.bytes {
            0 => Payload::Echo,
            bytes => Payload::Size { bytes, sse: false },
        },
        concurrency: 1,
        warm_up: 50,
        duration: Duration::from_secs(300),
        calls: calls.into(),
        pids: Vec::new(),
    }
}

/// Writes what was counted since the last dump.
fn dump(pid: u32) -> anyhow::Result<()> {
    let mut command = Command::new("callgrind_control");
    let output = command.arg("--dump").arg(pid.to_string()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("OK"), "callgrind_control: {said}");
    Ok(())
}

fn valgrind(output: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(output);
    let words = [
        "valgrind",
        "--tool=callgrind",
        "--compress-strings=no",
        "--compress-pos=no",
        "--demangle=no",
    ];
    words.into_iter().map(Into::into).chain([file]).collect()
}

fn report(options: &Options, scenario: &Scenario, call: &Profile) {
    let share = |cost: f64| 100.0 * cost / call.total();
    println!(
        "\n# {}: {:.0} instructions, {:.1} allocations",
        scenario.name,
        call.total(),
        call.allocations()
    );
    println!("\n## Where the source stands");
    for (origin, cost) in call.origins().iter().take_while(|(_, cost)| share(*cost) > 0.5) {
        println!("{cost:>9.0} {:>5.1} %  {origin}", share(*cost));
    }
    println!("\n## Each crate with what it calls");
    for (name, cost) in call.entered().iter().take_while(|(_, cost)| share(*cost) > 1.0) {
        println!("{cost:>9.0} {:>5.1} %  {name}", share(*cost));
    }
    let lists = [("With what they call", call.inclusive()), ("On their own", call.own())];
    for (title, functions) in lists {
        println!("\n## {title}");
        for (name, cost) in functions.iter().take(options.top) {
            println!("{cost:>9.0} {:>5.1} %  {}", share(*cost), shortened(name));
        }
    }
    println!("\n## Who allocates");
    for (name, calls) in
        call.allocators().iter().take(options.top).take_while(|(_, calls)| *calls > 0.05)
    {
        println!("{calls:>9.2}  {}", shortened(name));
    }
    for part in &options.callers {
        println!("\n## Who calls {part}");
        for (caller, callee, calls, cost) in call.callers(part).iter().take(options.top) {
            println!("{cost:>9.0} {calls:>7.2} ×  {} <- {}", shortened(callee), shortened(caller));
        }
    }
}

/// Generic names run over pages.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 150;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
