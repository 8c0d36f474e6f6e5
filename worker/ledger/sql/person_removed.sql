-- People gone, as a JSON array. The bare row stays, so that an older change that arrives late does not bring them back.
-- Answers of whom newer things are known.
WITH input AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS i (person_id text, at timestamptz)
), applied AS (
    INSERT INTO people AS p (id, changed_at, removed_at)
    SELECT person_id, at, now() FROM input
    ON CONFLICT (id) DO UPDATE
    SET name = NULL, locale = NULL, time_zone = NULL, roles = NULL,
        changed_at = excluded.changed_at, removed_at = excluded.removed_at
    WHERE p.changed_at <= excluded.changed_at
    RETURNING id
), unreachable AS (
    DELETE FROM addresses WHERE person_id = ANY(ARRAY(SELECT id FROM applied))
), unheeded AS (
    DELETE FROM preferences WHERE person_id = ANY(ARRAY(SELECT id FROM applied))
)
SELECT person_id FROM input EXCEPT SELECT id FROM applied
