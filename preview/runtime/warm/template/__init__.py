"""Programs that run inside a template and its forks, on the project's interpreter: standard library only.

They import nothing from ``preview``; the files are run and found by their path.
"""
