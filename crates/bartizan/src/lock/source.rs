//! From a server's command to what would run.

use std::path::{Path, PathBuf};

/// What an entry starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub source: Source,
    /// The program's own arguments.
    pub args: Vec<String>,
}

/// What would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An MCP bundle: a file, or a URL.
    Bundle { place: String },
    /// A `server.json`, which names a package: a file, or a URL.
    Document { place: String },
    /// A program, or a script that stands for itself, with its interpreter and the arguments before it.
    File { path: PathBuf, interpreter: Option<(String, Vec<String>)> },
    /// A script in a project's folder.
    Folder { folder: PathBuf, program: PathBuf, interpreter: (String, Vec<String>) },
    /// What `npx` would fetch. `bin`: the program that it names, when that is not the package's own.
    Npm { spec: String, bin: Option<String> },
    /// What a container engine would fetch.
    Oci { image: String },
    /// What `uvx` would fetch, and what has to be beside it.
    Pypi { spec: String, with: Vec<String>, bin: Option<String> },
}

/// Files that say that a folder is one program.
const PROJECT: [&str; 3] = ["deno.json", "package.json", "pyproject.toml"];
/// How far up from a script they are looked for.
const PROJECT_DEPTH: usize = 4;
const INTERPRETERS: [&str; 8] = ["bun", "deno", "node", "nodejs", "perl", "php", "python", "ruby"];

impl Launch {
    /// Reads a command and its arguments. `Err`: why nobody can know beforehand what would run.
    pub fn of(command: &str, args: &[String], folder: &Path) -> Result<Launch, String> {
        if let Some(source) = fetched(command, folder) {
            return Ok(Launch { source, args: args.to_vec() });
        }
        let name =
            Path::new(command).file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        match name {
            "npx" => npx(args),
            "npm" if first(args) == Some("exec") => npx(&args[1..]),
            "uvx" => uvx(args),
            "uv" if args.starts_with(&["tool".into(), "run".into()]) => uvx(&args[2..]),
            "pipx" if first(args) == Some("run") => uvx(&args[1..]),
            "docker" | "podman" if first(args) == Some("run") => image(&args[1..]),
            _ => program(command, name, args, folder),
        }
    }

    /// What the lock compares: everything but the program's own arguments.
    pub fn spec(&self) -> String {
        let bin =
            |bin: &Option<String>| bin.as_ref().map(|bin| format!(" {bin}")).unwrap_or_default();
        match &self.source {
            Source::Bundle { place } => format!("mcpb:{place}"),
            Source::Document { place } => format!("server.json:{place}"),
            Source::File { path, .. } => format!("file:{}", path.display()),
            Source::Folder { folder, program, .. } => {
                format!("folder:{} {}", folder.display(), program.display())
            }
            Source::Npm { spec, bin: named } => format!("npm:{spec}{}", bin(named)),
            Source::Oci { image } => format!("oci:{image}"),
            Source::Pypi { spec, with, bin: named } => {
                let with: String = with.iter().map(|with| format!(" +{with}")).collect();
                format!("pypi:{spec}{with}{}", bin(named))
            }
        }
    }
}

/// What is no program itself but says what is: a `server.json` or an MCP bundle, by its path or URL.
pub fn fetched(command: &str, folder: &Path) -> Option<Source> {
    let bundle = command.split(['?', '#']).next().is_some_and(|path| path.ends_with(".mcpb"));
    let url = command.starts_with("https://") || command.starts_with("http://");
    let document = url
        || Path::new(command).file_name().is_some_and(|name| {
            name.to_str()
                .is_some_and(|name| name == "server.json" || name.ends_with(".server.json"))
        });
    let place = match url {
        true => command.to_owned(),
        false => {
            let path = folder.join(command);
            path.canonicalize().unwrap_or(path).display().to_string()
        }
    };
    match (bundle, document) {
        (true, _) => Some(Source::Bundle { place }),
        (false, true) => Some(Source::Document { place }),
        (false, false) => None,
    }
}

fn first(args: &[String]) -> Option<&str> {
    args.first().map(String::as_str)
}

/// Arguments of a launcher: flags, then the package, then what is the program's.
struct Flags {
    named: Vec<(String, String)>,
    rest: Vec<String>,
}

/// Reads up to the first argument that is no flag. `valued`: flags with a value.
fn flags(args: &[String], plain: &[&str], valued: &[&str]) -> Result<Flags, String> {
    let mut named = Vec::new();
    let mut args = args.iter().cloned().peekable();
    while let Some(flag) = args.next_if(|arg| arg.starts_with('-')) {
        if flag == "--" {
            break;
        }
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (flag, None),
        };
        if valued.contains(&flag.as_str()) {
            let value = value.or_else(|| args.next());
            named.push((flag.clone(), value.ok_or_else(|| format!("`{flag}` has no value"))?));
        } else if !plain.contains(&flag.as_str()) {
            return Err(format!("`{flag}` changes what would run in a way that can't be locked"));
        }
    }
    Ok(Flags { named, rest: args.collect() })
}

fn npx(args: &[String]) -> Result<Launch, String> {
    let plain = ["-y", "--yes", "-q", "--quiet", "--no-install"];
    let Flags { named, rest } = flags(args, &plain, &["-p", "--package"])?;
    let mut rest = rest.into_iter();
    let word = rest.next().ok_or("it names no package")?;
    let (spec, bin) = match named.as_slice() {
        [] => (word, None),
        [(_, package)] => (package.clone(), Some(word)),
        _ => return Err("it names several packages".into()),
    };
    let name = spec.strip_prefix('@').unwrap_or(&spec);
    if name.starts_with(['.', '/', '~']) || name.contains(':') || name.matches('/').count() > 1 {
        return Err(format!("`{spec}` is not a package of a registry"));
    }
    Ok(Launch { source: Source::Npm { spec, bin }, args: rest.collect() })
}

fn uvx(args: &[String]) -> Result<Launch, String> {
    let plain = ["-q", "--quiet", "--isolated", "--no-progress"];
    let valued = ["--from", "--spec", "--with"];
    let Flags { named, rest } = flags(args, &plain, &valued)?;
    let mut rest = rest.into_iter();
    let word = rest.next().ok_or("it names no package")?;
    let with = named.iter().filter(|(flag, _)| flag == "--with").map(|(_, value)| value.clone());
    let with: Vec<String> = with.collect();
    let from = named.iter().find(|(flag, _)| flag != "--with").map(|(_, value)| value.clone());
    let (spec, bin) = match from {
        Some(from) => (from, Some(word)),
        None => (word, None),
    };
    // `name@version` is uvx's own way to write it.
    let spec = match spec.split_once('@') {
        Some((name, "latest")) => name.to_owned(),
        Some((name, version)) if !version.contains(':') => format!("{name}=={version}"),
        Some(_) => return Err(format!("`{spec}` is not a package of an index")),
        None => spec,
    };
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.[],<>=!~".contains(c);
    if !spec.starts_with(|c: char| c.is_ascii_alphanumeric()) || !spec.chars().all(known) {
        return Err(format!("`{spec}` is not a package of an index"));
    }
    Ok(Launch { source: Source::Pypi { spec, with, bin }, args: rest.collect() })
}

/// The image is the first argument of which the rest is not an option's value: only those by digest are taken,
/// which no option's value looks like.
fn image(args: &[String]) -> Result<Launch, String> {
    let at = args.iter().position(|arg| !arg.starts_with('-') && arg.contains("@sha256:"));
    let at = at.ok_or("name the image by its digest, as in registry/name@sha256:…")?;
    let args = args.to_vec();
    Ok(Launch { source: Source::Oci { image: args[at].clone() }, args })
}

fn program(command: &str, name: &str, args: &[String], folder: &Path) -> Result<Launch, String> {
    let path = find(command, folder).ok_or_else(|| format!("`{command}` was not found"))?;
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if !INTERPRETERS.contains(&kind) {
        return Ok(Launch {
            source: Source::File { path, interpreter: None },
            args: args.to_vec(),
        });
    }
    let at = args.iter().position(|arg| !arg.starts_with('-')).ok_or("it names no script")?;
    let (flags, rest) = args.split_at(at);
    if flags.iter().any(|flag| {
        ["-m", "-c", "-e", "--eval", "-r", "--require", "--import"].contains(&flag.as_str())
    }) {
        return Err("what its flags load can't be locked; name a script or a package".into());
    }
    let script = folder.join(&rest[0]);
    let script = script.canonicalize().map_err(|error| format!("{}: {error}", script.display()))?;
    let interpreter = (command.to_owned(), flags.to_vec());
    let is_project = |folder: &&Path| PROJECT.iter().any(|file| folder.join(file).is_file());
    // What stands in `node_modules` needs what stands beside it: the project around the outermost one is the program.
    let modules = script.ancestors().filter(|folder| folder.ends_with("node_modules")).last();
    let project = match modules.map(|modules| modules.parent().filter(is_project)) {
        Some(None) => {
            return Err(format!(
                "`{}` needs the packages beside it in node_modules, and no project is around them; let npx start it: `npx -y PACKAGE` can be locked",
                script.display()
            ));
        }
        Some(project) => project,
        None => script.ancestors().skip(1).take(PROJECT_DEPTH).find(is_project),
    };
    let source = match project {
        Some(folder) => Source::Folder {
            program: script.strip_prefix(folder).unwrap_or(&script).to_owned(),
            folder: folder.to_owned(),
            interpreter,
        },
        None => Source::File { path: script, interpreter: Some(interpreter) },
    };
    Ok(Launch { source, args: rest[1..].to_vec() })
}

fn find(command: &str, folder: &Path) -> Option<PathBuf> {
    let found = if command.contains('/') {
        folder.join(command)
    } else {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(command))
            .find(|file| file.is_file())?
    };
    found.canonicalize().ok().filter(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(line: &str) -> Result<Launch, String> {
        let mut words = line.split(' ').map(str::to_owned);
        let command = words.next().unwrap();
        Launch::of(&command, &words.collect::<Vec<_>>(), Path::new("/"))
    }

    fn spec(line: &str) -> String {
        let launch = launch(line).unwrap();
        format!("{} | {}", launch.spec(), launch.args.join(" "))
    }

    #[test]
    fn packages() {
        assert_eq!(spec("npx -y @a/b /srv -y"), "npm:@a/b | /srv -y");
        assert_eq!(spec("npx a@1.2"), "npm:a@1.2 | ");
        assert_eq!(spec("npx --package=@a/b@2 run x"), "npm:@a/b@2 run | x");
        assert_eq!(spec("npm exec -y -- a x"), "npm:a | x");
        assert_eq!(spec("uvx mcp-server-fetch --flag"), "pypi:mcp-server-fetch | --flag");
        assert_eq!(spec("uvx a@1.0 x"), "pypi:a==1.0 | x");
        assert_eq!(spec("uvx a@latest"), "pypi:a | ");
        assert_eq!(spec("uvx --from a[b]>=1 --with c run x"), "pypi:a[b]>=1 +c run | x");
        assert_eq!(spec("pipx run a"), "pypi:a | ");
        let image = format!("docker run -i --rm r/n@sha256:{}", "0".repeat(64));
        assert!(spec(&image).starts_with("oci:r/n@sha256:"));
        for bad in [
            "npx",
            "npx -c ls",
            "npx github:a/b",
            "npx ./here",
            "npx a/b/c",
            "npx -p a -p b c",
            "uvx",
            "uvx --python 3.9 a",
            "uvx git+https://x/y",
            "uvx a@git+https://x/y",
            "docker run -i r/n:latest",
            "python3 -m thing",
            "no-such-program-at-all",
        ] {
            assert!(launch(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn documents_and_bundles() {
        assert_eq!(spec("server.json x"), "server.json:/server.json | x");
        assert_eq!(spec("/srv/a.server.json"), "server.json:/srv/a.server.json | ");
        assert_eq!(
            spec("https://r.example/v0/servers/a%2Fb"),
            "server.json:https://r.example/v0/servers/a%2Fb | "
        );
        assert_eq!(spec("thing.mcpb --x"), "mcpb:/thing.mcpb | --x");
        assert_eq!(spec("https://h.example/a.mcpb?x=1"), "mcpb:https://h.example/a.mcpb?x=1 | ");
        assert!(launch("/srv/other.json").is_err());
    }

    #[test]
    fn programs_and_scripts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("p/src")).unwrap();
        std::fs::write(root.join("p/src/a.py"), "").unwrap();
        let of = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|&arg| arg.into()).collect();
            Launch::of("python3", &args, &root).unwrap().source
        };
        let interpreter = ("python3".to_owned(), vec!["-u".to_owned()]);
        let alone =
            Source::File { path: root.join("p/src/a.py"), interpreter: Some(interpreter.clone()) };
        assert_eq!(of(&["-u", "p/src/a.py", "x"]), alone);
        std::fs::write(root.join("p/pyproject.toml"), "").unwrap();
        let whole =
            Source::Folder { folder: root.join("p"), program: "src/a.py".into(), interpreter };
        assert_eq!(of(&["-u", "p/src/a.py", "x"]), whole);
        let shell = Launch::of("/bin/sh", &["x".into()], &root).unwrap();
        assert!(matches!(shell.source, Source::File { interpreter: None, .. }));
    }

    /// What stands beside it is part of it, since it would not start without.
    #[test]
    fn a_script_in_node_modules_comes_with_its_project_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let package = root.join("p/node_modules/@a/b");
        std::fs::create_dir_all(package.join("dist")).unwrap();
        std::fs::write(package.join("package.json"), "{}").unwrap();
        std::fs::write(package.join("dist/index.js"), "").unwrap();
        let args = ["p/node_modules/@a/b/dist/index.js".to_owned()];
        // Whether node is installed does not matter here.
        std::fs::write(root.join("node"), "").unwrap();
        let of = || Launch::of("./node", &args, &root);
        let refused = of().unwrap_err();
        assert!(refused.contains("npx -y"), "{refused}");
        std::fs::write(root.join("p/package.json"), "{}").unwrap();
        let Source::Folder { folder, program, .. } = of().unwrap().source else { panic!() };
        assert_eq!(folder, root.join("p"));
        assert_eq!(program, Path::new("node_modules/@a/b/dist/index.js"));
    }
}
