-- Events by their producer's id; each source may have one.
SELECT e.key, e.source, e.id, e.type, e.time, e.subject, e.actor, e.audience, e.priority, e.expires_at, e.version,
       e.reason, e.repeats, e.received_at, e.routes, f.people AS members_told, f.finished_at AS told_at
FROM events e LEFT JOIN fan_outs f ON f.event_key = e.key
WHERE e.id = $1 AND ($2 = '' OR e.source = $2) ORDER BY e.received_at LIMIT $3
