-- One person with addresses and preferences. `suppressed_at`: since when each address is off, in their order; '' for on.
SELECT id, name, locale, time_zone, coalesce(roles, '{}') AS roles, changed_at, removed_at,
       ARRAY(SELECT ARRAY[a.channel, a.address, coalesce(a.suppressed_reason, '')]
             FROM addresses a WHERE a.person_id = p.id ORDER BY a.channel, a.position, a.address) AS addresses,
       ARRAY(SELECT coalesce(to_char(a.suppressed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'), '')
             FROM addresses a WHERE a.person_id = p.id ORDER BY a.channel, a.position, a.address) AS suppressed_at,
       ARRAY(SELECT ARRAY[f.scope, f.channel, CASE WHEN f.enabled THEN 'on' ELSE 'off' END]
             FROM preferences f WHERE f.person_id = p.id ORDER BY f.scope, f.channel) AS preferences
FROM people p WHERE id = $1
