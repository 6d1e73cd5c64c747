"""Programs inside a template and its forks, on the project's interpreter: standard library only.

Nothing of ``preview`` is imported here; the files are run and found by their path.
"""
