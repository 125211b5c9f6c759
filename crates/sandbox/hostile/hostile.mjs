// A hostile server: what Node can try by itself. See hostile.py for the rest, and for FACTS.
import fs from "node:fs";
import net from "node:net";
import dgram from "node:dgram";
import dns from "node:dns/promises";
import http2 from "node:http2";
import path from "node:path";
import os from "node:os";
import { spawnSync } from "node:child_process";

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

/** A program of the system: what Node has no call for. */
const run = (program, ...args) => {
  const done = spawnSync(program, args, { timeout: 10_000, input: "" });
  if (done.status === 0) return `${program} said ${done.stdout}`;
  throw done.error ?? new Error(String(done.stderr).trim() || `it ended with ${done.status ?? done.signal}`);
};
const setId = (make) => () => {
  const file = path.join(facts.writable, "set-id");
  try {
    make(file);
    return `made ${file}, ${fs.statSync(file).mode.toString(8)}`;
  } finally {
    fs.rmSync(file, { force: true });
  }
};

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
  "chmod a readable file": () => fs.chmodSync(path.join(facts.readable, "note"), 0o777),
  "empty a readable file": () => fs.truncateSync(path.join(facts.readable, "note")),
  "empty a file outside": () => fs.truncateSync(facts.secret),
  "climb out of a writable path": () => read(path.join(facts.writable) + "/../secret"),
  "/proc/1/root": () => read("/proc/1/root" + facts.secret),
  "the keeper's memory": () => read("/proc/1/mem"),
  "the keeper's program": () => read("/proc/1/exe"),
  "/proc/kcore": () => read("/proc/kcore"),
  "/sys": () => `saw ${fs.readdirSync("/sys")}`,
  "control groups": () => fs.mkdirSync("/sys/fs/cgroup/owned"),
  "/dev/kmsg": () => read("/dev/kmsg"),
  "/dev/tty": () => read("/dev/tty"),
  "a block device": () => read("/dev/vda"),
  "write /etc": () => write("/etc/passwd"),
  "watch a folder": () => {
    fs.watch(facts.outside).close();
    return "watches";
  },
  "chmod set-uid": setId((file) => (fs.writeFileSync(file, ""), fs.chmodSync(file, 0o4755))),
  "chmod set-gid": setId((file) => (fs.writeFileSync(file, ""), fs.chmodSync(file, 0o2755))),
  "create set-uid": setId((file) => fs.openSync(file, "w", 0o4755)),
  "slow the gateway": () => os.setPriority(facts.pid, 19),
  "set-uid by a program": setId((file) => {
    fs.writeFileSync(file, "");
    run("chmod", "u+s", file);
  }),
  "see other processes": () => {
    const strangers = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((pid) => {
      if (pid === "1" || Number(pid) === process.pid) return false;
      return fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")[1] !== String(process.pid);
    });
    if (strangers.length) return `sees ${strangers}`;
    throw new Error("only its own");
  },
  "unshare": () => run("unshare", "-Ur", "id", "-u"),
  "unshare everything": () => run("unshare", "-Urmnipu", "true"),
  "mount": () => run("mount", "-t", "tmpfs", "x", temporary),
  "bind mount": () => run("mount", "--bind", "/proc", temporary),
  "remount writable": () => run("mount", "-o", "remount,rw", "/"),
  "unmount": () => run("umount", "-l", "/usr"),
  "pivot_root": () => run("pivot_root", temporary, temporary),
  "chroot": () => run("chroot", "/usr", "/bin/true"),
  "enter a namespace": () => run("nsenter", "-t", String(facts.pid), "-a", "true"),
  "make a device node": () => run("mknod", path.join(temporary, "mem"), "c", "1", "1"),
  "the kernel's log": () => run("dmesg"),
  "swapon": () => run("swapon", "/dev/vda"),
  "set the clock": () => run("date", "-s", "2000-01-01"),
  "set the host's name": () => run("hostname", "owned"),
  "another user": () => run("su", "-c", "id -u"),
  "set-uid shell": () => run("setpriv", "--reuid=0", "--clear-groups", "id", "-u"),
  "limit the gateway": () => run("prlimit", "--pid", String(facts.pid), "--core=0"),
  "idle the gateway": () => run("chrt", "-i", "-p", "0", String(facts.pid)),
  "kill by a program": () => run("kill", "-0", String(facts.pid)),
  "strange personality": () => {
    run("setarch", "-R", "true");
    return "got it";
  },
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
