-- Everything known of the people named, and of the people in each of the roles, up to a limit per role.
WITH person AS (
    SELECT id, roles FROM people WHERE id = ANY($1::text[]) AND removed_at IS NULL
    UNION ALL
    SELECT member.id, member.roles
    FROM unnest($2::text[]) AS wanted (role)
    CROSS JOIN LATERAL (SELECT id, roles FROM people
                        WHERE roles @> ARRAY[wanted.role] AND removed_at IS NULL LIMIT $3) AS member
)
SELECT p.id, coalesce(p.roles, '{}') AS roles,
       ARRAY(SELECT ARRAY[a.channel, a.address, coalesce(a.suppressed_reason, '')]
             FROM addresses a WHERE a.person_id = p.id ORDER BY a.channel, a.position, a.address) AS addresses,
       ARRAY(SELECT ARRAY[f.scope, f.channel, CASE WHEN f.enabled THEN 'on' ELSE 'off' END]
             FROM preferences f WHERE f.person_id = p.id) AS preferences
FROM person p
