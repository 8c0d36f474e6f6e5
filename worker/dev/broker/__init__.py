"""The development broker: an AMQP 0-9-1 server in this process, for trying Kabar without RabbitMQ.

It keeps everything in memory and nothing on disk. It speaks to unmodified clients of any language and follows RabbitMQ
wherever Kabar leans on it; the same suite of tests runs against both. It knows nothing of Kabar's own topology.

    server.py        listens, keeps the virtual hosts, closes
    connection.py    one socket: frames and back-pressure; with negotiation.py and heartbeat.py
    channels.py      the channels of one connection
    channel.py       one channel: consuming and settling
    publishing.py    one channel's publishes and their confirms
    declarations.py  one channel's exchange and queue methods
    vhost.py         exchanges, bindings and queues of one name space; routing and dead-lettering
    queue.py exchange.py message.py   the entities
    wire.py errors.py   frames made by hand where pamqp would cost too much; AMQP's errors
"""

from worker.dev.broker.server import DevelopmentBroker

__all__ = ["DevelopmentBroker"]
