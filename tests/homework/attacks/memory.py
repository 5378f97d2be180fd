"""Takes more memory than the machine has.

Stopped by: a limit of address space that the process cannot raise, and one process only.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "one array": {"body": "import numpy\nreturn numpy.ones(10**10)", "outcomes": {"MEMORY"}},
    "many arrays": {"body": """
        import numpy
        kept = []
        while True:
            kept.append(numpy.empty(10**7))""", "outcomes": {"MEMORY"}},
    "mapped, by hand": {"body": """
        import mmap
        kept = [mmap.mmap(-1, 2**28) for _ in range(100)]""", "outcomes": {"RAISED", "MEMORY"}},
    "limits raised": {"body": """
        import resource
        from minigrad.tries import attempt
        names = ("AS", "CPU", "NPROC", "NOFILE", "FSIZE", "MEMLOCK", "CORE")
        attempt({name: lambda name=name: resource.setrlimit(
            getattr(resource, f"RLIMIT_{name}"), (2**40, 2**40)) for name in names})""",
                      "outcomes": {"RAISED"}, "seen": "all 7 refused"},
    "an answer that is larger than any": {"body": """
        import numpy
        return numpy.zeros(10**6)""", "outcomes": {"RAISED", "MEMORY"}},
    "when imported": {"module": "import numpy\nkept = [numpy.empty(2**25) for _ in range(1000)]",
                      "outcomes": {"MEMORY"}},
}
