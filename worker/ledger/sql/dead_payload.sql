-- The payload of the event that a delivery tells.
SELECT e.data FROM deliveries d JOIN events e ON e.key = d.event_key WHERE d.id = $1
