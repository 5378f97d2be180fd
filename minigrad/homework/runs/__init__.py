"""What the child process is given: the functions that run a student's code, one file a homework.

They import NumPy, the standard library and ``tools``, nothing else: the folder is copied into the
child's own and is all that it sees of the homework system.

Leaves out: what is asked and what is right, which stay with the parent.
"""
