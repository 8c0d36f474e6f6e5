"""Why an event was not published: what the producer raises, each with the event's id and what to do about it."""

from __future__ import annotations


class PublishError(Exception):
    """The broker did not confirm the event. To publish the same one again, hand `event_id` back as `id`."""

    def __init__(self, event_id: str, problem: str) -> None:
        super().__init__(event_id, problem)
        self.event_id = event_id
        self.problem = problem

    def __str__(self) -> str:
        return f"event {self.event_id}: {self.problem}"


class NotConfirmed(PublishError):
    """It is not known whether the event arrived. Publish it again with the same id: Kabar takes each id once."""


class Unroutable(PublishError):
    """The broker gave the event back because no queue would take it; nothing was kept."""


class TooLarge(PublishError):
    """The encoded event is over 256 KiB, or over what the broker takes. Publish a link to the large part instead."""
