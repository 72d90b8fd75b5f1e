"""The command line: one file a group of commands, and what they need to talk with a person.

What a command does is done elsewhere; nothing but `__main__` imports from here, tests apart.
"""
