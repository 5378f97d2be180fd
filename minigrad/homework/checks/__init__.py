"""What every check asks and what is right, one file a homework; ``CHECKS`` lists them all.

Only the parent process reads this folder.

Leaves out: points and limits, which stand in the TOML files.
"""
