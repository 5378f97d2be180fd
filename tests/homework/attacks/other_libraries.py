"""Lets others do the work: the reference, should it lie around, or another framework.

Stopped by: the cell holds neither; the worker finds only NumPy and the standard library, and behind
its own rules there is nothing to be found. A copy of the solution that is handed in is one that the
student had: no grader can tell.
"""

MODES = ("uid", "namespaces")
FRAMEWORKS = """
    import importlib, sys
    from importlib.machinery import PathFinder
    from minigrad import tries
    from minigrad.tries import attempt
    names = ["torch", "jax", "tensorflow", "scipy", "autograd", "cupy", "sympy", "pytest", "pip",
             "matplotlib", "site", "setuptools"]
    names.remove("site")
    if bypass:
        sys.meta_path[:] = [PathFinder]
        sys.path += [tries.CHECKOUT, tries.FOLDER, "/usr/lib/python3/dist-packages",
                     *[path + "/site-packages" for path in sys.path]]
        names += ["minigrad.homework", "minigrad.homework.checks.hw1", "minigrad.selfcheck_"]
    attempt({name: lambda name=name: importlib.import_module(name) for name in names})"""
HANDED_IN = {
    "the reference, anywhere on the disk": {"body": """
        import os
        from minigrad.tries import attempt
        def found():
            for at, folders, files in os.walk("/"):
                if at.startswith("/tree"):
                    continue
                if "minigrad" in folders and at != "/" or "homework" in folders or \\
                        "elementwise.py" in files or "autograd.py" in files:
                    return at
            raise FileNotFoundError(2, "nowhere")
        def compiled():
            for at, folders, files in os.walk("/tree"):
                for name in files:
                    if name.startswith("elementwise.") and name.endswith(".pyc"):
                        content = open(os.path.join(at, name), "rb").read()
                        if b"is not written yet" not in content and b"tries" not in content:
                            return name
            raise FileNotFoundError(2, "nowhere")
        attempt({"source": found, "compiled": compiled})""", "outcomes": {"RAISED"},
                                            "seen": "all 2 refused", "timeout_s": 20.0},
    "another framework": {"body": "bypass = False" + FRAMEWORKS.replace("\n    ", "\n"),
                          "outcomes": {"RAISED"}, "seen": "all 11 refused"},
    "another framework, past the worker's rules": {
        "body": "bypass = True" + FRAMEWORKS.replace("\n    ", "\n"),
        "outcomes": {"RAISED"}, "seen": "all 14 refused"},
}
