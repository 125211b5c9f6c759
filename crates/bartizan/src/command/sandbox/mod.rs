//! `sandbox`: what a local server may touch, and what it wanted.

mod files;
mod hosts;
mod suggest;

use sandbox::gate::Rule;
use serde::Serialize;

use super::load;
use super::lock::local_servers;
use crate::cli::{Global, SandboxCommand};
use crate::config::{
    egress::EnvValue,
    file::{Level, Server},
};
use crate::lock;
use crate::print;

pub fn run(global: &Global, command: &SandboxCommand) -> anyhow::Result<()> {
    match command {
        SandboxCommand::Show { server } => show(global, server),
        SandboxCommand::Suggest { server, write } => suggest::run(global, server, *write),
    }
}

/// One thing that a server may do or has.
#[derive(Serialize)]
struct Line {
    what: &'static str,
    value: String,
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] = &["WHAT", "VALUE"];

    fn cells(&self) -> Vec<String> {
        vec![self.what.to_owned(), self.value.clone()]
    }
}

fn show(global: &Global, name: &str) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let (_, server) = local_servers(&loaded, Some(name))?.remove(0);
    let mut lines = vec![Line { what: "command", value: command(server) }];
    let mut line = |what, value| lines.push(Line { what, value });
    match lock::read(&loaded.folder())?.get(name) {
        Some(package) => {
            let version = package.version.as_deref().unwrap_or_default();
            line("runs", format!("{} {version} {}", package.name, package.digest));
        }
        None => {
            line("runs", "whatever is found when it starts: `bartizan lock` locks it".to_owned())
        }
    }
    for (variable, value) in &server.env {
        match value.get_ref() {
            EnvValue::Plain(template) if template.reference.is_literal() => {
                line("variable", variable.clone());
            }
            EnvValue::Plain(_) => line("secret inside", variable.clone()),
            EnvValue::Secret(secret) if secret.descriptor.is_some() => {
                line("secret inside", format!("{variable}, from a descriptor"));
            }
            EnvValue::Secret(secret) => {
                let hosts: Vec<String> = secret.hosts.iter().map(ToString::to_string).collect();
                line("secret outside", format!("{variable}, for {}", hosts.join(", ")));
            }
        }
    }
    let confined = &server.sandbox;
    let level = match confined.level {
        Level::Strong => "strong",
        Level::Basic => "basic",
        Level::Off => "off: it may do whatever the gateway's user may",
    };
    line("level", level.to_owned());
    let cpu =
        confined.cpu.as_ref().map(|cpu| format!(", {} % of a core", cpu.0)).unwrap_or_default();
    line(
        "limits",
        format!(
            "{} MiB of memory, {} processes, {} open files, files of {} MiB{cpu}",
            confined.memory.0 >> 20,
            confined.processes.0,
            confined.descriptors.0,
            confined.disk.0 >> 20
        ),
    );
    for (what, paths) in [("reads", &server.sandbox.read), ("writes", &server.sandbox.write)] {
        for path in paths {
            line(what, path.get_ref().display().to_string());
        }
    }
    match server.sandbox.calls.len() {
        _ if server.sandbox.learn => {
            line("calls", "whatever is not denied to all (learn = true)".to_owned());
        }
        0 => line("calls", "whatever is not denied to all".to_owned()),
        count => line("calls", format!("{count} system calls, and what every program needs")),
    }
    match &server.egress {
        None => line("reaches", "nothing".to_owned()),
        Some(egress) => {
            for host in &egress.hosts {
                line("reaches", describe(&host.get_ref().rule()));
            }
            if egress.learn {
                line(
                    "reaches",
                    "every public host, on the ports 80 and 443 (learn = true)".to_owned(),
                );
            }
        }
    }
    print::rows(global.output, &lines, "")
}

fn command(server: &Server) -> String {
    let command = server.command.iter().map(|command| command.get_ref().as_str());
    let args = server.args.iter().map(|arg| arg.get_ref().as_str());
    command.chain(args).collect::<Vec<_>>().join(" ")
}

fn describe(rule: &Rule) -> String {
    let ports: Vec<String> = rule.ports.iter().map(u16::to_string).collect();
    let how = match rule.tls {
        sandbox::gate::Tls::Terminate => "",
        sandbox::gate::Tls::PassThrough => ", TLS not opened",
        sandbox::gate::Tls::Off => ", not looked into",
    };
    let private = if rule.allow_private { ", private addresses too" } else { "" };
    format!("{rule} on {}{how}{private}", ports.join(", "))
}
