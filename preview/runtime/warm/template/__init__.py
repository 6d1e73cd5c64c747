"""What runs inside a template and its forks, on the project's interpreter: the standard library and nothing else.

Nothing of ``preview`` is imported here; the files are run and found by their path.
"""
