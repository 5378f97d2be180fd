"""Grading submissions, which are code of others: it runs in a cell, and is judged outside of it.

    submission   what may be taken from a zip file or folder, and what is refused
    cell         the walls, put up by the child process around itself
    isolation    which walls this machine has, measured, and the folder that a cell is in
    grade        one submission, or a class
    results      what is written down: JSON after every question, CSV for the class
    gradescope   the zip file for Gradescope, and what runs there
    statistics   a page about a class
"""
