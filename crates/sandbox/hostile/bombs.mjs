// A hostile server that uses something up: `bombs.mjs NAME FACTS` prints how far it came.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { spawn } from "node:child_process";

const [name, text] = process.argv.slice(-2);
const { many } = JSON.parse(text);
const said = (line) => fs.writeSync(1, line + "\n");
const stopped = (count, why) => {
  said(`stopped\t${count}\t${String(why?.message ?? why).split("\n")[0]}`);
  process.kill(process.pid, "SIGKILL");
};

const bombs = {
  forks: async () => {
    for (let count = 0; count < many; count++) {
      const child = spawn("sleep", ["600"], { stdio: "ignore" });
      const fault = await new Promise((done) => child.on("spawn", () => done()).on("error", done));
      if (fault) return stopped(count, fault);
    }
    stopped(many);
  },
  memory: () => {
    const held = [];
    const step = 16 << 20;
    try {
      while (held.length * step < many) {
        held.push(Buffer.alloc(step, 1));
        said(`so far\t${held.length * step}`);
      }
    } catch (fault) {
      return stopped(held.length * step, fault);
    }
    stopped(many);
  },
  disk: () => {
    let size = 0;
    const block = Buffer.alloc(1 << 20, 1);
    process.on("SIGXFSZ", () => {});
    try {
      for (let number = 0; number < 64; number++) {
        const file = fs.openSync(path.join(os.tmpdir(), `fill${number}`), "a");
        for (let written = block.length; written === block.length && size < many; ) {
          written = fs.writeSync(file, block);
          size += written;
          said(`so far\t${size}`);
        }
      }
    } catch (fault) {
      return stopped(size, fault);
    }
    stopped(size);
  },
  descriptors: () => {
    let count = 0;
    try {
      for (; count < many; count++) fs.openSync("/dev/null");
    } catch (fault) {
      return stopped(count, fault);
    }
    stopped(count);
  },
  // A daemon that holds the standard output for as long as it lives.
  orphan: () => {
    const script = "trap '' TERM HUP INT; printf 'daemon\\tis there\\n'; while :; do sleep 600; done";
    const daemon = spawn("sh", ["-c", script], { detached: true, stdio: ["ignore", 1, 2, "pipe"] });
    daemon.on("error", (fault) => stopped(0, fault));
    setInterval(() => daemon.exitCode === null && stopped(0, "left a daemon behind"), 1000);
  },
};
await bombs[name]();
