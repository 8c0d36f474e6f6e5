-- What the server is, and how many connections it has room for.
SELECT current_setting('server_version_num')::int AS version_number, current_setting('server_version') AS version,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS connections
