//! What a native program can use up: prints how far it came.

use std::fs::File;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Uses up one thing. Does not return.
pub fn run(name: &str, facts: &Value) -> ! {
    let many = facts["many"].as_u64().unwrap_or_default();
    let (count, why) = match name {
        "forks" => forks(many),
        "threads" => threads(many),
        "memory" => memory(many),
        "disk" => disk(many),
        "descriptors" => descriptors(many),
        "orphan" => orphan(),
        // What the first and the last of them start.
        "daemon" => daemon(),
        _ => wait(),
    };
    println!("stopped\t{count}\t{why}");
    // Threads that only wait must not keep it.
    std::process::exit(0);
}

fn wait() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(600));
    }
}

fn again(name: &str) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bomb", name, "{}"]).stdin(Stdio::null());
    Ok(command)
}

fn until(many: u64, step: impl Fn() -> io::Result<()>) -> (u64, String) {
    for count in 0..many {
        if let Err(error) = step() {
            return (count, error.to_string());
        }
    }
    (many, String::new())
}

fn forks(many: u64) -> (u64, String) {
    until(many, || again("wait")?.stdout(Stdio::null()).spawn().map(drop))
}

fn threads(many: u64) -> (u64, String) {
    until(many, || {
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        thread.spawn(|| wait()).map(drop)
    })
}

fn memory(many: u64) -> (u64, String) {
    const STEP: usize = 16 << 20;
    let mut held: Vec<Vec<u8>> = Vec::new();
    while ((held.len() * STEP) as u64) < many {
        let mut more: Vec<u8> = Vec::new();
        if let Err(error) = more.try_reserve_exact(STEP) {
            return ((held.len() * STEP) as u64, error.to_string());
        }
        more.resize(STEP, 1);
        held.push(more);
        println!("so far\t{}", held.len() * STEP);
    }
    (many, String::new())
}

fn disk(many: u64) -> (u64, String) {
    let _ignored = nix::sys::signal::SigSet::all().thread_block();
    let block = vec![1; 1 << 20];
    let mut size = 0;
    for number in 0..64 {
        let path = std::env::temp_dir().join(format!("fill{number}"));
        let mut file = match File::create(path) {
            Ok(file) => file,
            Err(error) => return (size, error.to_string()),
        };
        while size < many {
            match file.write(&block) {
                Ok(written) => size += written as u64,
                Err(error) if error.raw_os_error() == Some(libc::EFBIG) => break,
                Err(error) => return (size, error.to_string()),
            }
        }
    }
    (size, String::new())
}

fn descriptors(many: u64) -> (u64, String) {
    until(many, || {
        std::mem::forget(File::open("/dev/null")?);
        Ok(())
    })
}

fn orphan() -> (u64, String) {
    match again("daemon").and_then(|mut command| command.stdout(Stdio::inherit()).spawn()) {
        Ok(_) => {
            // It says that it is there; what follows is this one's end.
            std::thread::sleep(Duration::from_secs(1));
            (0, "left a daemon behind".to_owned())
        }
        Err(error) => (0, error.to_string()),
    }
}

/// Holds the standard output for as long as it lives.
fn daemon() -> ! {
    let _ignored = nix::sys::signal::SigSet::all().thread_block();
    // Not everywhere may it have a session of its own.
    let _ = nix::unistd::setsid();
    println!("daemon\tis there");
    wait()
}
