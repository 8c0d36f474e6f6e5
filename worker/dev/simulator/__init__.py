"""Fake providers on loopback: an SMTP server, Telegram's Bot API and Slack, with pages that show what arrived.

They answer on the wire as the real ones do, refusals and silence included, and know nothing of the worker.
"""

from worker.dev.simulator.arrivals import Arrival, ChannelName
from worker.dev.simulator.simulator import Simulator

__all__ = ["Arrival", "ChannelName", "Simulator"]
