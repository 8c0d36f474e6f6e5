-- One person as known now.
SELECT id, coalesce(roles, '{}') AS roles, changed_at, removed_at FROM people WHERE id = $1
