"""Answers to the exercises, a module a chapter: right ones in different styles, wrong ones and what each must be told.

``RIGHT`` and ``WRONG`` are by the name of the check. Among the wrong ones are misconceptions and attempts to cheat.
"""
