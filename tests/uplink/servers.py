#!/usr/bin/env python3
"""What the uplink leads to: a web server at port 8080 and a name server at
port 53, of loopback. Prints "ready" when both listen."""
import hashlib
import http.server
import random
import socket
import threading

LARGE = random.Random(1).randbytes(5_000_000)


def digest(data):
    return hashlib.sha256(data).hexdigest().encode() + b"\n"


class Pages(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer({"/hello": b"hello\n", "/large": LARGE,
                     "/large.sum": digest(LARGE)}[self.path])

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        self.answer(digest(self.rfile.read(size)))

    def log_message(self, *_):
        pass


def resolve(query):
    """A of www.example.test; other types of it are empty, others unknown."""
    end = query.index(b"\0", 12) + 1
    question = query[12:end + 4]
    known = query[12:end] == b"\3www\7example\4test\0"
    is_a = known and query[end:end + 2] == b"\0\1"
    head = query[:2] + (b"\x81\x80" if known else b"\x81\x83")
    head += b"\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + bytes([192, 0, 2, 80])
    return head + question + (record if is_a else b"")


def serve_names(sock):
    while True:
        query, peer = sock.recvfrom(2000)
        sock.sendto(resolve(query), peer)


names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.1", 53))
threading.Thread(target=serve_names, args=(names,), daemon=True).start()
pages = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Pages)
print("ready", flush=True)
pages.serve_forever()
