"""The homework system: blanks cut from this library, and checks that say what is wrong with them.

The library is the solution; ``hwN.toml`` lists which functions are blanks, with points, hints and
checks. A student uses ``minigrad-hw`` (``cli``), a lecturer ``python -m
minigrad.homework.instructor``. Every check is run in a child process on the student's tree, and
judged in the parent from plain arrays.

Leaves out: solution markers in the library, and everything that grades by a final loss.
"""
