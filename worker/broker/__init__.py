"""The only package that knows AMQP."""
