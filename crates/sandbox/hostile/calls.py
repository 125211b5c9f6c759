"""System calls by their numbers, for what Python has no function of, and what a hostile server does with them."""

import ctypes
import errno
import mmap
import os
import platform
import signal
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
# Numbers of x86_64 and of the generic table, for what the C library has no function of.
X86 = platform.machine() == "x86_64"
NUMBERS = {
    "ptrace": (101, 117), "syslog": (103, 116), "pivot_root": (155, 41), "mount": (165, 40),
    "umount2": (166, 39), "reboot": (169, 142), "init_module": (175, 105), "acct": (163, 89),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "unshare": (272, 97),
    "perf_event_open": (298, 241), "open_by_handle_at": (304, 265), "setns": (308, 268),
    "process_vm_readv": (310, 270), "kcmp": (312, 272), "finit_module": (313, 273),
    "bpf": (321, 280), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "clone3": (435, 435), "pidfd_getfd": (438, 438), "mount_setattr": (442, 442),
    "swapon": (167, 224), "clone": (56, 220), "clock_settime": (227, 112),
    "personality": (135, 92), "kexec_load": (246, 104), "chroot": (161, 51),
    "prlimit64": (302, 261), "setpriority": (141, 140), "sched_setscheduler": (144, 119),
    "shmat": (30, 196), "inotify_add_watch": (254, 27), "inotify_init1": (294, 26),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "openat2": (437, 437),
    "setxattrat": (463, 463), "open_tree_attr": (467, 467), "file_setattr": (469, 469),
    "iopl": (172, -1), "modify_ldt": (154, -1), "memfd_secret": (447, 447),
}
CSTR = ctypes.c_char_p
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000


def call(name, *arguments):
    """A system call by its number; what it returns, or OSError."""
    return raw(NUMBERS[name][0 if X86 else 1], *arguments)


def raw(number, *arguments):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def denied_call(name, *arguments):
    """Only a refusal by the jail counts: an argument that the kernel finds wrong means it looked."""
    try:
        return f"returned {call(name, *arguments)}"
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS, errno.EACCES):
            raise
        return f"the kernel looked at it: {error}"


def through_x32(_):
    if not X86:
        raise PermissionError("no such numbering")
    try:
        raw(0x40000000 + 521, 0, 0, 0, 0)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise
        return f"the kernel looked at it: {error}"
    return "ptrace by its other number"


def clone_user_namespace(_):
    pid = call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a user namespace by clone"


def clone3_user_namespace(_):
    arguments = struct.pack("8Q", CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    buffer = ctypes.create_string_buffer(arguments)
    pid = call("clone3", buffer, len(arguments))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a user namespace by clone3"


def by_openat2(path):
    how = ctypes.create_string_buffer(struct.pack("3Q", os.O_CREAT | os.O_WRONLY, 0o4755, 0))
    call("openat2", -100, CSTR(path.encode()), how, 24)


def mark(facts):
    path = CSTR(os.path.join(facts["readable"], "note").encode())
    value = ctypes.create_string_buffer(b"owned")
    arguments = ctypes.create_string_buffer(struct.pack("QII", ctypes.addressof(value), 5, 0))
    return call("setxattrat", -100, path, 0, CSTR(b"user.owned"), arguments, 16)


def flag(facts):
    path = CSTR(os.path.join(facts["readable"], "note").encode())
    attributes = ctypes.create_string_buffer(struct.pack("Q4I", 0x80, 0, 0, 0, 0))
    return call("file_setattr", -100, path, attributes, 24, 0)


def watch(facts):
    watcher = call("inotify_init1", 0)
    try:
        path = CSTR(facts["outside"].encode())
        return f"watches {call('inotify_add_watch', watcher, path, 0xfff)}"
    finally:
        os.close(watcher)


def limit_gateway(facts):
    none = ctypes.create_string_buffer(struct.pack("QQ", 0, 0))
    return call("prlimit64", facts["pid"], 4, none, 0)


def idle_gateway(facts):
    priority = ctypes.create_string_buffer(struct.pack("i", 0))
    return call("sched_setscheduler", facts["pid"], 5, priority)


def signal_by_descriptor(facts):
    process = call("pidfd_open", facts["pid"], 0)
    try:
        return call("pidfd_send_signal", process, 0, 0, 0)
    finally:
        os.close(process)


def through_32_bits(_):
    """The calls of 32-bit programs have other numbers: 20 is getpid there."""
    if not X86:
        raise PermissionError("no such numbering")
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    pid = os.fork()
    if pid == 0:
        ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        raise PermissionError(f"killed by signal {os.WTERMSIG(status)}")
    return "the kernel answered"
