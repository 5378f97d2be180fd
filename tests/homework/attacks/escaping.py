"""Gets rights back, or leaves the folder that is its root.

Stopped by: another user without capabilities and without a way to new ones; the filter refuses the
calls that change roots, mounts and namespaces. Calls by other numbers (32 bit, x32) end the
process.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "become root": {"body": """
        import ctypes, os, struct
        from minigrad.tries import attempt, called
        def changed(change):
            change()
            if os.getresuid() == before:
                raise OSError(1, "nothing changed")
        before = os.getresuid()
        everything = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[0xFFFFFFFF] * 6)
        attempt({
            "setuid": lambda: changed(lambda: os.setuid(0)),
            "setresuid": lambda: changed(lambda: os.setresuid(0, 0, 0)),
            "setreuid": lambda: changed(lambda: os.setreuid(0, 0)),
            "seteuid": lambda: changed(lambda: os.seteuid(0)),
            "setfsuid": lambda: [called("setfsuid", 0), open("/minigrad-attack", "x")],
            "setgid": lambda: os.setresgid(12345, 12345, 12345),
            "setgroups": lambda: os.setgroups([0, 4]),
            "capset": lambda: called("capset", *everything),
            "keep capabilities": lambda: called("prctl", 47, 2, 21, 0, 0),
            "secure bits": lambda: called("prctl", 28, 0x2F, 0, 0, 0),
            "new privileges": lambda: called("prctl", 38, 0, 0, 0, 0),
            "no filter": lambda: called("prctl", 22, 0, 0, 0, 0),
        })""", "outcomes": {"RAISED"}, "seen": "all 12 refused"},
    "another root": {"body": """
        import os
        from minigrad.tries import attempt, called, system
        def up():
            os.chroot("/tree")
            for _ in range(64):
                os.chdir("..")
            os.chroot(".")
        attempt({
            "chroot": up, "pivot_root": lambda: system(155, b".", b"."),
            "mount": lambda: called("mount", b"proc", b"/tree", b"proc", 0, None),
            "remount": lambda: called("mount", None, b"/", None, 32, None),
            "bind": lambda: called("mount", b"/", b"/tree", None, 4096, None),
            "umount": lambda: called("umount2", b"/", 2),
            "open_tree": lambda: system(428, -100, b"/", 1),
            "fsopen": lambda: system(430, b"proc", 0),
            "mount_setattr": lambda: system(442, -100, b"/", 0, bytes(32), 32),
            "unshare user": lambda: called("unshare", 0x10000000),
            "unshare all": lambda: called("unshare", 0x7E020000),
            "unshare time": lambda: called("unshare", 0x80),
            "setns": lambda: called("setns", 0, 0),
            "by handle": lambda: system(304, 2, bytes(64), 0),
            "up": lambda: os.stat("/../../etc/passwd"),
            "device": lambda: os.mknod("/minigrad-attack", 0o020666, 0x101),
        })""", "outcomes": {"RAISED"}, "seen": "all 16 refused"},
    "the kernel": {"body": """
        import os, time
        from minigrad.tries import attempt, called, system
        attempt({
            "bpf": lambda: system(321, 0, bytes(128), 128),
            "perf": lambda: system(298, bytes(128), 0, -1, -1, 0),
            "userfaultfd": lambda: system(323, 0), "keyring": lambda: system(250, 0, -3, 1),
            "key": lambda: system(248, b"user", b"a", b"b", 1, -3),
            "key asked for": lambda: system(249, b"user", b"a", None, 0),
            "modules": lambda: system(175, b"", 0, b""),
            "kexec": lambda: system(246, 0, 0, None, 0),
            "ports": lambda: system(172, 3), "port range": lambda: system(173, 0, 1, 1),
            "name": lambda: system(170, b"x", 1), "domain": lambda: system(171, b"x", 1),
            "clock": lambda: time.clock_settime(time.CLOCK_REALTIME, 0),
            "swap": lambda: system(167, b"/dev/vda", 0), "accounting": lambda: system(163, b"/x"),
            "quota": lambda: system(179, 0x800002, b"/dev/vda", 0, 0),
            "restart": lambda: system(169, 0xFEE1DEAD, 672274793, 0x89ABCDEF, None),
            "lock memory": lambda: called("mlockall", 1),
            "real time": lambda: os.sched_setscheduler(0, 1, os.sched_param(50)),
            "nicer": lambda: os.setpriority(0, 0, -5), "io_uring": lambda: system(426, 3, 0, 0, 0),
            "kernel log": lambda: system(103, 3, bytes(99), 99),
        })""", "outcomes": {"RAISED"}, "seen": "all 22 refused", "dangerous": True},
    "calls by the numbers of x32": {"body": """
        from minigrad.tries import system
        system(0x40000000 + 41, 2, 1, 0)
        raise ValueError("went on")""", "outcomes": {"DIED"}, "seen": "SIGSYS"},
    "calls of 32 bit": {"body": """
        import ctypes, mmap
        page = mmap.mmap(-1, 4096, prot=7)
        page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        number = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        raise ValueError(f"went on as {number}")""", "outcomes": {"DIED"},
                        "seen": "SIGSYS|SIGSEGV"},
}
