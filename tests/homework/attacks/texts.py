"""Puts commands for a browser, a terminal or a spreadsheet into what the lecturer will read.

Stopped by: texts are cut, and lose control characters, before they are written down; in the table a
formula gets an apostrophe; Gradescope is told that they are text.
"""

MODES = ("uid", "namespaces")
EVIL = ("=cmd|' /C calc'!A0 <script>alert(1)</script> <img src=x onerror=alert(1)> "
        "\\x1b[2J\\x1b]0;title\\x07 \\u202e\\u2066 \\ud800 \\x00 \\r +1+1 @SUM(A1) \\u2028 \\n\\n")
HANDED_IN = {
    "in exceptions": {"body": f'raise ValueError("{EVIL}" * 9)', "outcomes": {"RAISED"}},
    "in names of classes": {"body": f"""
        raise type("{EVIL}".replace("\\0", ""), (Exception,), {{}})()""",
                            "outcomes": {"RAISED", "DIED"}},
    "printed": {"body": f"""
        import os
        os.write(2, "{EVIL}".encode("utf-8", "surrogatepass") * 99)
        print("\\n\\n<b>=1+1</b>\\x1b[31m")
        raise ValueError("printed")""", "outcomes": {"RAISED"}},
    "bytes that are no text": {"body": """
        import os
        os.write(1, bytes(range(256)) * 99)
        raise ValueError("printed")""", "outcomes": {"RAISED"}},
    "in names of types": {"body": f"""
        return type("{EVIL}".replace("\\0", ""), (), {{}})()""",
                          "outcomes": {"WRONG", "RAISED", "DIED"}},
    "in lines of the source": {"body": """
        raise ValueError("x")  # =cmd() <script>alert(1)</script> \x1b[2J \u202e""",
                               "outcomes": {"RAISED"}},
    "in what is said to be open": {"body": """
        raise NotImplementedError("hw1.Q1.<b>=cmd()</b> is not written yet")""",
                                   "outcomes": {"RAISED"}},
    "that another blank is to blame": {"body": """
        raise NotImplementedError("hw6.Q1.Nothing is not written yet")""",
                                       "outcomes": {"DIED", "RAISED"}},
}
