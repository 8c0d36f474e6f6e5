"""The operator's commands, one file a group: they read arguments, ask the ledger or the broker, and print.

Each file is cheap to import, for `kabar --help` imports them all: what a command needs is imported when it runs.
"""
