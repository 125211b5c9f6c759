"""A hostile server: tries to get out of its jail in every way that it knows.

`hostile.py FACTS` prints one line for each attempt, `held NAME WHY` or `ESCAPED NAME HOW`.
FACTS is JSON: what the test put outside, and what must not be reached.
"""

import errno
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile

from calls import (
    CLONE_NEWNS, CLONE_NEWUSER, CSTR, by_openat2, call, clone3_user_namespace, clone_user_namespace,
    denied_call, flag, idle_gateway, limit_gateway, mark, signal_by_descriptor, through_32_bits,
    through_x32, watch,
)

TEMPORARY = tempfile.gettempdir()
def read(path):
    with open(path, "rb") as file:
        return f"read {len(file.read(64))} bytes of {path}"


def write(path):
    with open(path, "ab") as file:
        file.write(b"owned")
    return f"wrote {path}"


def no_symlink(facts):
    os.symlink(facts["secret"], f"{TEMPORARY}/link")
    return read(f"{TEMPORARY}/link")


def hard_link(facts):
    os.link(facts["secret"], f"{TEMPORARY}/hard")
    return read(f"{TEMPORARY}/hard")


def rename_out(facts):
    with open(f"{TEMPORARY}/mine", "w") as file:
        file.write("x")
    os.rename(f"{TEMPORARY}/mine", os.path.join(facts["outside"], "renamed"))
    return "renamed"


def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as sock:
        sock.settimeout(2)
        sock.connect(address)
        if kind == socket.SOCK_DGRAM:
            sock.send(b"escaped")
        return f"reached {address}"


def resolve(name):
    found = socket.getaddrinfo(name, 80)
    return f"resolved {name}: {found[0]}"


def netlink_audit(_):
    with socket.socket(16, socket.SOCK_RAW, 9) as sock:
        return f"made {sock}"


def new_socket(family, kind, protocol=0):
    with socket.socket(family, kind, protocol) as sock:
        return f"made {sock}"


def type_into_terminal(_):
    import fcntl
    for fd in (0, 1, 2):
        try:
            fcntl.ioctl(fd, 0x5412, b"x")
            return f"typed into {fd}"
        except OSError as error:
            # The jail's answer; from a pipe the kernel itself would say ENOTTY.
            if error.errno not in (errno.EPERM, errno.EACCES):
                return f"the kernel looked at it: {error}"
    raise PermissionError("TIOCSTI")


def signal_others(facts):
    os.kill(facts["pid"], 0)
    return "could signal the gateway"


def other_processes(_):
    own = int(os.readlink("/proc/self"))
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    strangers = [pid for pid in pids if pid not in (own, 1) and not mine(pid)]
    if strangers:
        return f"sees {strangers}"
    raise PermissionError("only its own")


def mine(pid):
    """Whether a process was started by this one, or is its keeper."""
    while pid > 1:
        if pid == os.getpid():
            return True
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rsplit(")", 1)[1].split()[1])
    return False


def keep_a_descriptor(_):
    foreign = []
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                mode = os.fstat(int(name)).st_mode
            except OSError:
                continue
            if not stat.S_ISDIR(mode):
                foreign.append((name, os.readlink(f"/proc/self/fd/{name}")))
    if foreign:
        return f"inherited {foreign}"
    raise PermissionError("nothing beyond the three pipes")


def secret_in_environment(facts):
    for name, value in os.environ.items():
        if facts["token"] in value:
            return f"found the gateway's {name}"
    raise PermissionError("not there")


def privileges(facts):
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    names = ["CapInh", "CapPrm", "CapEff", "CapAmb"] + ["CapBnd"] * facts["bounded"]
    sets = {name: status[name] for name in names}
    if any(int(value, 16) for value in sets.values()) or status["NoNewPrivs"] != "1":
        return f"has {sets}, no_new_privs {status['NoNewPrivs']}"
    raise PermissionError("none")


def become_root(_):
    os.setuid(0)
    return f"is {os.getuid()}"


def device_node(_):
    os.mknod(f"{TEMPORARY}/mem", 0o600 | 0o020000, os.makedev(1, 1))
    return read(f"{TEMPORARY}/mem")


def run_suid(_):
    """A set-uid program of the system must not make this process more than it is."""
    for program in ("/usr/bin/su", "/bin/su", "/usr/bin/passwd"):
        if os.path.exists(program):
            script = f"import os; os.execv({program!r}, ['su', '-c', 'id -u'])"
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL)
            if done.stdout.strip() == "0":
                return f"{program} gave root"
    raise PermissionError("nothing gained")


def set_id_file(how):
    """Outside, a set-uid file in a named path would make whoever runs it its owner."""
    def attempt(facts):
        path = os.path.join(facts["writable"], "set-id")
        try:
            how(path)
            return f"made {path} {oct(os.stat(path).st_mode)}"
        finally:
            if os.path.exists(path):
                os.unlink(path)
    return attempt


def with_file(change):
    def make(path):
        with open(path, "w") as file:
            change(path, file.fileno())
    return make


ATTEMPTS = {
    # files
    "read a secret": lambda f: read(f["secret"]),
    "read the gateway's state": lambda f: read(f["state"]),
    "read /etc/shadow": lambda f: read("/etc/shadow"),
    "list the outside": lambda f: str(os.listdir(f["outside"])),
    "list /home": lambda f: f"saw {os.listdir('/home')}",
    "write outside": lambda f: write(os.path.join(f["outside"], "owned")),
    "write a readable path": lambda f: write(os.path.join(f["readable"], "owned")),
    "change a readable file": lambda f: write(os.path.join(f["readable"], "note")),
    "chmod a readable file": lambda f: str(os.chmod(os.path.join(f["readable"], "note"), 0o777)),
    "write its own program": lambda f: write(sys.argv[0]),
    "write /usr": lambda f: write("/usr/owned"),
    "write /etc": lambda f: write("/etc/passwd"),
    "follow a symbolic link": no_symlink,
    "make a hard link": hard_link,
    "rename out": rename_out,
    "climb out of a writable path": lambda f: read(os.path.join(f["writable"], "..", "secret")),
    "empty a readable file": lambda f: str(os.truncate(os.path.join(f["readable"], "note"), 0)),
    "empty a file outside": lambda f: str(os.truncate(f["secret"], 0)),
    "mark a readable file": mark,
    "flag a readable file": flag,
    "watch a folder": watch,
    "chmod set-uid": set_id_file(with_file(lambda path, _: os.chmod(path, 0o4755))),
    "fchmod set-uid": set_id_file(with_file(lambda _, fd: os.fchmod(fd, 0o4755))),
    "chmod set-gid": set_id_file(with_file(lambda path, _: os.chmod(path, 0o2755))),
    "create set-uid": set_id_file(lambda path: os.open(path, os.O_CREAT | os.O_WRONLY, 0o4755)),
    "openat2 set-uid": set_id_file(by_openat2),
    "mknod set-uid": set_id_file(lambda path: os.mknod(path, 0o104755)),
    "/proc/self/root": lambda f: read("/proc/self/root" + f["secret"]),
    "/proc/1/root": lambda f: read("/proc/1/root" + f["secret"]),
    "/proc/PID/root": lambda f: read(f"/proc/{f['pid']}/root" + f["secret"]),
    "the gateway's memory": lambda f: read(f"/proc/{f['pid']}/mem"),
    "the gateway's environment": lambda f: read(f"/proc/{f['pid']}/environ"),
    "the keeper's memory": lambda f: read("/proc/1/mem"),
    "the keeper's environment": lambda f: read("/proc/1/environ"),
    "the keeper's program": lambda f: read("/proc/1/exe"),
    "/proc/sys": lambda f: write("/proc/sys/kernel/core_pattern"),
    "/proc/kcore": lambda f: read("/proc/kcore"),
    "/proc/sysrq-trigger": lambda f: str(open("/proc/sysrq-trigger", "ab")),
    "/sys": lambda f: f"saw {os.listdir('/sys')}",
    "control groups": lambda f: str(os.mkdir("/sys/fs/cgroup/owned")),
    "/dev/mem": lambda f: read("/dev/mem"),
    "/dev/kmsg": lambda f: read("/dev/kmsg"),
    "a block device": lambda f: read("/dev/vda"),
    "make a device node": device_node,
    # mounts and namespaces
    "mount": lambda f: denied_call("mount", CSTR(b"x"), CSTR(b"/tmp"), CSTR(b"tmpfs"), 0, 0),
    "bind mount": lambda f: denied_call("mount", CSTR(b"/proc"), CSTR(b"/tmp"), 0, 4096, 0),
    "remount writable": lambda f: denied_call("mount", 0, CSTR(b"/"), 0, 32 | 4096, 0),
    "unmount": lambda f: denied_call("umount2", CSTR(b"/usr"), 2),
    "pivot_root": lambda f: denied_call("pivot_root", CSTR(b"/tmp"), CSTR(b"/tmp")),
    "chroot": lambda f: denied_call("chroot", CSTR(b"/tmp")),
    "open_tree_attr": lambda f: denied_call("open_tree_attr", -100, CSTR(b"/"), 1, 0, 0),
    "open_tree": lambda f: denied_call("open_tree", -100, CSTR(b"/"), 1),
    "fsopen": lambda f: denied_call("fsopen", CSTR(b"tmpfs"), 0),
    "mount_setattr": lambda f: denied_call("mount_setattr", -100, CSTR(b"/"), 0, 0, 0),
    "unshare a user namespace": lambda f: denied_call("unshare", CLONE_NEWUSER),
    "unshare a mount namespace": lambda f: denied_call("unshare", CLONE_NEWNS),
    "clone a user namespace": clone_user_namespace,
    "clone3 a user namespace": clone3_user_namespace,
    "setns": lambda f: denied_call("setns", 0, 0),
    "open_by_handle_at": lambda f: denied_call("open_by_handle_at", -100, 0, 0),
    # the kernel
    "bpf": lambda f: denied_call("bpf", 0, 0, 0),
    "io_uring": lambda f: denied_call("io_uring_setup", 1, 0),
    "perf": lambda f: denied_call("perf_event_open", 0, 0, -1, -1, 0),
    "userfaultfd": lambda f: denied_call("userfaultfd", 1),
    "keyctl": lambda f: denied_call("keyctl", 0, -3, 0, 0, 0),
    "add_key": lambda f: denied_call("add_key", CSTR(b"user"), CSTR(b"x"), CSTR(b"y"), 1, -2),
    "request_key": lambda f: denied_call("request_key", CSTR(b"user"), CSTR(b"x"), 0, 0),
    "load a module": lambda f: denied_call("init_module", 0, 0, CSTR(b"")),
    "kexec": lambda f: denied_call("kexec_load", 0, 0, 0, 0),
    "the kernel's log": lambda f: denied_call("syslog", 2, 0, 0),
    "reboot": lambda f: denied_call("reboot", 0, 0, 0, 0),
    "swapon": lambda f: denied_call("swapon", CSTR(b"/tmp"), 0),
    "acct": lambda f: denied_call("acct", 0),
    "personality": lambda f: denied_call("personality", 0x0040000),
    "set the clock": lambda f: denied_call("clock_settime", 0, 0),
    "another numbering": through_x32,
    "32-bit numbering": through_32_bits,
    "memfd_secret": lambda f: denied_call("memfd_secret", 0),
    # processes
    "ptrace": lambda f: denied_call("ptrace", 16, 1, 0, 0),
    "process_vm_readv": lambda f: denied_call("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "pidfd_getfd": lambda f: denied_call("pidfd_getfd", 0, 0, 0),
    "kcmp": lambda f: denied_call("kcmp", 1, 1, 0, 0, 0),
    "signal the gateway": signal_others,
    "signal by a descriptor": signal_by_descriptor,
    "limit the gateway": limit_gateway,
    "slow the gateway": lambda f: call("setpriority", 0, f["pid"], 19),
    "idle the gateway": idle_gateway,
    "another's memory segment": lambda f: call("shmat", f["shm"], 0, 0),
    "see other processes": other_processes,
    "an inherited descriptor": keep_a_descriptor,
    "the gateway's variables": secret_in_environment,
    "privileges": privileges,
    "become root": become_root,
    "a set-uid program": run_suid,
    "type into a terminal": type_into_terminal,
    "/dev/tty": lambda f: read("/dev/tty"),
    # network
    "loopback TCP": lambda f: connect(socket.AF_INET, ("127.0.0.1", f["tcp"])),
    "loopback TCP, IPv6": lambda f: connect(socket.AF_INET6, ("::1", f["tcp"])),
    "loopback UDP": lambda f: connect(socket.AF_INET, ("127.0.0.1", f["udp"]), socket.SOCK_DGRAM),
    "cloud metadata": lambda f: connect(socket.AF_INET, ("169.254.169.254", 80)),
    "a name server": lambda f: connect(socket.AF_INET, ("8.8.8.8", 53), socket.SOCK_DGRAM),
    "resolve a name": lambda f: resolve("example.com"),
    "an abstract socket": lambda f: connect(socket.AF_UNIX, "\0" + f["abstract"]),
    "a socket file": lambda f: connect(socket.AF_UNIX, f["socket"]),
    "a raw socket": lambda f: new_socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "a packet socket": lambda f: new_socket(17, socket.SOCK_RAW),
    "vsock": lambda f: new_socket(40, socket.SOCK_STREAM),
    "Bluetooth": lambda f: new_socket(31, socket.SOCK_RAW, 1),
    "the kernel's cryptography": lambda f: new_socket(38, socket.SOCK_SEQPACKET),
    "XDP": lambda f: new_socket(44, socket.SOCK_RAW),
    "device events over netlink": lambda f: new_socket(16, socket.SOCK_DGRAM, 15),
    "audit over netlink": netlink_audit,
}


def attempt(name, facts):
    try:
        how = ATTEMPTS[name](facts)
    except (OSError, PermissionError) as error:
        return f"held\t{name}\t{error}"
    return f"ESCAPED\t{name}\t{how}"


def main():
    facts = json.loads(sys.argv[-1])
    for name in ATTEMPTS:
        print(attempt(name, facts), flush=True)


if __name__ == "__main__":
    main()
