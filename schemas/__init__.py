"""The contract: everything that crosses a process boundary. Knows nothing of the worker."""
