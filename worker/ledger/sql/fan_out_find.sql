-- How far a large audience has been told.
SELECT lane, cursor, people, started_at, finished_at FROM fan_outs WHERE event_key = $1
