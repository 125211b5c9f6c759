// A hostile server: what Node can try by itself. See hostile.py for the rest, and for FACTS.
import fs from "node:fs";
import net from "node:net";
import dgram from "node:dgram";
import dns from "node:dns/promises";
import http2 from "node:http2";
import path from "node:path";
import os from "node:os";
import { execFileSync, spawnSync } from "node:child_process";

const facts = JSON.parse(process.argv.at(-1));
const temporary = os.tmpdir();

const read = (file) => `read ${fs.readFileSync(file).length} bytes of ${file}`;
const write = (file) => (fs.appendFileSync(file, "owned"), `wrote ${file}`);
const within = (milliseconds, promise) =>
  Promise.race([
    promise,
    new Promise((_, no) => setTimeout(() => no(new Error("nothing came")), milliseconds)),
  ]);
const connect = (where) =>
  within(2000, new Promise((yes, no) => {
    const socket = net.connect(where, () => { socket.destroy(); yes("connected"); });
    socket.on("error", no);
  }));
const datagram = (port, host) =>
  within(2000, new Promise((yes, no) => {
    const socket = dgram.createSocket("udp4");
    socket.on("error", no);
    socket.send("escaped", port, host, (error) => (error ? no(error) : yes("sent")));
  }));

const attempts = {
  "read a secret": () => read(facts.secret),
  "read the gateway's state": () => read(facts.state),
  "read /etc/shadow": () => read("/etc/shadow"),
  "list the outside": () => `saw ${fs.readdirSync(facts.outside)}`,
  "list /home": () => `saw ${fs.readdirSync("/home")}`,
  "write outside": () => write(path.join(facts.outside, "owned")),
  "write a readable path": () => write(path.join(facts.readable, "owned")),
  "write /usr": () => write("/usr/owned"),
  "write its own program": () => write(process.argv[1]),
  "follow a symbolic link": () => {
    fs.symlinkSync(facts.secret, path.join(temporary, "link"));
    return read(path.join(temporary, "link"));
  },
  "make a hard link": () => {
    fs.linkSync(facts.secret, path.join(temporary, "hard"));
    return read(path.join(temporary, "hard"));
  },
  "rename out": () => {
    fs.writeFileSync(path.join(temporary, "mine"), "x");
    fs.renameSync(path.join(temporary, "mine"), path.join(facts.outside, "renamed"));
    return "renamed";
  },
  "/proc/self/root": () => read("/proc/self/root" + facts.secret),
  "/proc/PID/root": () => read(`/proc/${facts.pid}/root${facts.secret}`),
  "the gateway's environment": () => read(`/proc/${facts.pid}/environ`),
  "the gateway's memory": () => read(`/proc/${facts.pid}/mem`),
  "the keeper's environment": () => read("/proc/1/environ"),
  "/proc/sys": () => write("/proc/sys/kernel/core_pattern"),
  "/dev/mem": () => read("/dev/mem"),
  "signal the gateway": () => (process.kill(facts.pid, 0), "could"),
  "become root": () => (process.setuid(0), `is ${process.getuid()}`),
  "the gateway's variables": () => {
    const found = Object.entries(process.env).find(([, value]) => value.includes(facts.token));
    if (found) return `found ${found[0]}`;
    throw new Error("not there");
  },
  "unshare by a program": () => {
    const done = spawnSync("unshare", ["-Ur", "id", "-u"]);
    if (done.status === 0) return `is ${done.stdout}`;
    throw done.error ?? new Error(String(done.stderr).trim());
  },
  "mount by a program": () => execFileSync("mount", ["-t", "tmpfs", "x", temporary]).toString(),
  "loopback TCP": () => connect({ host: "127.0.0.1", port: facts.tcp }),
  "loopback TCP, IPv6": () => connect({ host: "::1", port: facts.tcp }),
  "loopback UDP": () => datagram(facts.udp, "127.0.0.1"),
  "cloud metadata": () => connect({ host: "169.254.169.254", port: 80 }),
  "a name server": () => datagram(53, "8.8.8.8"),
  "resolve a name": async () => `resolved ${(await within(5000, dns.resolve4("example.com")))}`,
  "an abstract socket": () => connect({ path: "\0" + facts.abstract }),
  "a socket file": () => connect({ path: facts.socket }),
  "HTTP/2": () =>
    within(2000, new Promise((yes, no) => {
      const session = http2.connect(`http://127.0.0.1:${facts.tcp}`, () => yes("connected"));
      session.on("error", no);
    })),
};

for (const [name, attempt] of Object.entries(attempts)) {
  try {
    console.log(`ESCAPED\t${name}\t${await attempt()}`);
  } catch (error) {
    console.log(`held\t${name}\t${String(error.message ?? error).split("\n")[0]}`);
  }
}
process.exit(0);
