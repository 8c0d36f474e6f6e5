"""The zero-install world: PostgreSQL from a wheel, a development broker, a provider simulator, sample events."""
