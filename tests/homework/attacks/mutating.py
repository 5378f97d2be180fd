"""Changes its inputs, or what the grader compares them with.

Stopped by: inputs are drawn and kept in the grader; the process gets copies.
"""

MODES = ("uid", "namespaces")
HANDED_IN = {
    "in place": {"body": """
        if len(arguments) == 2 and a.shape == solve().shape:
            a /= b
            return a
        return solve()""", "honest": 2, "outcomes": {"WRONG", "PASS"}},
    "all to zero": {"body": """
        for one in arguments:
            one[...] = 0
        return solve() * 0""", "outcomes": {"WRONG"}},
    "those of the request, too": {"body": """
        from minigrad.tries import worker_frame
        for one in [*arguments, *worker_frame().f_locals["arrays"]]:
            one.flags.writeable = True
            one[...] = 0
        return arguments[0] * 0""", "outcomes": {"WRONG", "SHAPE", "RAISED"}},
    "another shape": {"body": """
        arguments[0].shape = (-1,)
        return arguments[0]""", "outcomes": {"WRONG", "SHAPE", "RAISED"}},
}
