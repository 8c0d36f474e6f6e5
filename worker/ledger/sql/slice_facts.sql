-- The next people of these roles in the order of their ids. `|| '{}'` keeps the planner from collecting all members by the
-- index on roles for each slice: this walks the primary key, once over all slices together.
SELECT p.id, p.roles,
       ARRAY(SELECT ARRAY[a.channel, a.address, coalesce(a.suppressed_reason, '')]
             FROM addresses a WHERE a.person_id = p.id ORDER BY a.channel, a.position, a.address) AS addresses,
       ARRAY(SELECT ARRAY[f.scope, f.channel, CASE WHEN f.enabled THEN 'on' ELSE 'off' END]
             FROM preferences f WHERE f.person_id = p.id) AS preferences
FROM people p
WHERE p.id > $2 AND (p.roles || '{}') && $1::text[] AND p.removed_at IS NULL
ORDER BY p.id LIMIT $3
