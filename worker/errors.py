"""The one tree of exceptions. What is expected to fail is a value, not one of these.

    KabarError
    ├── ServiceUnavailable    a service that this process needs cannot be started or reached
    ├── SettingsInvalid       a setting is missing, wrong or unknown; names the variable
    ├── NotFound              what the command line asks for is not there
    ├── TopologyMismatch      the broker holds a queue or exchange that contradicts ours
    ├── BrokerAway            a publish was not confirmed: it may or may not have arrived
    └── TemplateInvalid       a text's source cannot be used; names its path and line

A message says what happened, to which thing, and what to do about it.
"""

from __future__ import annotations


class KabarError(Exception):
    """The root: the command line prints its message without a traceback."""


class ServiceUnavailable(KabarError):
    """A service that this process needs cannot be started or reached; the message names the remedy."""


class SettingsInvalid(KabarError):
    """A setting is missing, wrong or unknown. One line for each variable at fault, never its value."""


class NotFound(KabarError):
    """What the command line asks for is not there; the message says how to look for it."""


class TopologyMismatch(KabarError):
    """The broker holds a queue or exchange of the same name and other arguments; an operator must delete it."""


class BrokerAway(KabarError):
    """A publish was not confirmed in time: it may or may not have arrived, and is safe to repeat."""


class TemplateInvalid(KabarError):
    """A text's source cannot be used. `line` counts from 1; `remedy` says what to write instead."""

    def __init__(self, path: str, line: int, what: str, remedy: str) -> None:
        super().__init__(f"{path}, line {line}: {what}. Remedy: {remedy}.")
        self.path, self.line, self.what, self.remedy = path, line, what, remedy
