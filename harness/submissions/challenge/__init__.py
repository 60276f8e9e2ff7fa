"""Repositories of the efficient super-resolution challenges, which hold the networks of all teams, as they are.

:mod:`script` reads the chain of models in ``test_demo.py`` (with :mod:`statements`, :mod:`expressions` and
:mod:`values`), :mod:`imports` finds the files and packages that a branch needs, :mod:`extract` copies the files, and
:mod:`repository` describes each branch as a submission. The networks are built by ``harness.worker.challenge``.
"""
