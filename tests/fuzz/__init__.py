"""Damaged, malicious and random files for every reader of the lab: each is either read or refused in one line.

    python -m tests.fuzz --inputs 100000

An input is known by (seed, number): ``--only 4711`` makes it again.
"""
