-- Of the events that arrived between two moments, those without an end. How many were looked at stands in every row.
WITH look AS (
    SELECT e.key, e.id, e.reason,
           EXISTS (SELECT FROM notifications n WHERE n.event_key = e.key) AS tells,
           EXISTS (SELECT FROM fan_outs f WHERE f.event_key = e.key) AS is_large
    FROM events e WHERE e.received_at > $1 AND e.received_at <= $2
), broken AS (
    SELECT key AS id, ARRAY[CASE
        WHEN reason = '' THEN 'event_ends|the event ' || id || ' has neither a notification nor a reason'
        ELSE 'event_ends|the event ' || id || ' was for nobody (' || reason || '), and has notifications' END] AS flaws
    FROM look WHERE (reason = '' AND NOT tells AND NOT is_large) OR (reason <> '' AND tells)
)
SELECT looked.at AS looked_at, broken.id, broken.flaws
FROM (SELECT count(*) AS at FROM look) AS looked LEFT JOIN broken ON true
