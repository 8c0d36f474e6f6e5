-- Dead letters of deliveries that turned out to be sent after all: nobody is asked to replay what went out. A statement of
-- its own, because a settlement that waited for the reaper does not see the letter that it wrote meanwhile.
UPDATE dead_letters l SET state = 'dropped', resolved_at = now()
FROM deliveries d
WHERE d.id = ANY($1::uuid[]) AND d.state = 'sent' AND l.kind = 'delivery' AND l.delivery_id = d.id AND l.state = 'open'
