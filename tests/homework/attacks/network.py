"""Reaches somebody: the grader's machine, its neighbours, the internet.

Stopped by: the filter refuses sockets; in ``namespaces`` there is no device either.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "every kind": {"body": """
        import asyncio, socket, urllib.request
        from minigrad import tries
        from minigrad.tries import attempt, system
        here = ("127.0.0.1", tries.PORT)
        def udp():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"x", ("127.0.0.1", tries.UDP))
        def unix(path):
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(path)
        attempt({
            "tcp": lambda: socket.create_connection(here, 1).close(), "udp": udp,
            "unix": lambda: unix(tries.UNIX), "abstract": lambda: unix(tries.ABSTRACT),
            "web": lambda: urllib.request.urlopen(f"http://127.0.0.1:{tries.PORT}", timeout=1),
            "names": lambda: socket.getaddrinfo("example.org", 80),
            "netlink": lambda: socket.socket(16, 3, 0), "raw": lambda: socket.socket(2, 3, 1),
            "packets": lambda: socket.socket(17, 3, 0), "ipv6": lambda: socket.socket(10, 1),
            "vsock": lambda: socket.socket(40, 1), "pair": socket.socketpair,
            "loop": asyncio.new_event_loop, "by number": lambda: system(41, 2, 1, 0),
            "io_uring": lambda: system(425, 4, bytes(120)),
            "found": lambda: socket.socket(fileno=2).getsockname(),
        })""", "outcomes": {"RAISED"}, "seen": "all 16 refused"},
    "what was open before": {"module": """
        import socket
        found = []
        for number in range(64):
            try:
                found.append(socket.socket(fileno=number))
            except OSError:
                pass
        raise RuntimeError(f"{len(found)} sockets are open")""",
                             "outcomes": {"RAISED"}, "seen": ": 0 sockets are open"},
}
