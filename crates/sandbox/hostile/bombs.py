"""A hostile server that uses something up: `bombs.py NAME FACTS` prints how far it came."""

import json
import os
import signal
import sys
import tempfile
import threading

TEMPORARY = tempfile.gettempdir()


def forks(facts):
    count = 0
    try:
        while count < facts["many"]:
            if os.fork() == 0:
                signal.pause()
            count += 1
    except OSError as error:
        return count, error
    return count, None


def threads(facts):
    count, stay = 0, threading.Event()
    try:
        while count < facts["many"]:
            threading.Thread(target=stay.wait, daemon=True).start()
            count += 1
    except RuntimeError as error:
        return count, error
    return count, None


def memory(facts):
    held, step = [], 16 << 20
    try:
        while len(held) * step < facts["many"]:
            held.append(bytearray(b"x" * step))
            print(f"so far\t{len(held) * step}", flush=True)
    except MemoryError as error:
        return len(held) * step, error
    return len(held) * step, None


def disk(facts):
    size, block = 0, b"x" * (1 << 20)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for number in range(64):
            with open(f"{TEMPORARY}/fill{number}", "wb", buffering=0) as file:
                while size < facts["many"]:
                    written = file.write(block)
                    size += written
                    if written < len(block):
                        break
    except OSError as error:
        return size, error
    return size, None


def descriptors(facts):
    held = []
    try:
        while len(held) < facts["many"]:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return len(held), error
    return len(held), None


def orphan(facts):
    """A daemon that holds the standard output for as long as it lives."""
    hear, say = os.pipe()
    if os.fork() == 0:
        try:
            os.setsid()
        except PermissionError:
            pass  # no session of its own, then
        if os.fork() == 0:
            for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(name, signal.SIG_IGN)
            print("daemon\tis there", flush=True)
            os.write(say, b"1")
            while True:
                signal.pause()
        os._exit(0)
    os.read(hear, 1)
    return 0, "left a daemon behind"


BOMBS = {
    "forks": forks, "threads": threads, "memory": memory, "disk": disk,
    "descriptors": descriptors, "orphan": orphan,
}

if __name__ == "__main__":
    count, end = BOMBS[sys.argv[1]](json.loads(sys.argv[-1]))
    print(f"stopped\t{count}\t{end}", flush=True)
    os._exit(0)
