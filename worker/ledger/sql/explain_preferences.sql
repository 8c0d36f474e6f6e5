-- One person's preferences as they stand now.
SELECT scope, channel, enabled, changed_at FROM preferences WHERE person_id = $1 ORDER BY scope, channel
