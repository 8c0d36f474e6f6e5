-- What of these events waits for a courier: published again after a crash between commit and publish. `|| ''`: see
-- lease.sql.
SELECT id, channel, lane FROM deliveries WHERE event_key = ANY($1::uuid[]) AND state || '' = 'queued'
