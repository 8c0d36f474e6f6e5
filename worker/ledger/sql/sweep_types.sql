-- The types of which there are events, found by leaps through the index.
WITH RECURSIVE found AS (
    (SELECT type FROM events ORDER BY type LIMIT 1)
    UNION ALL
    SELECT (SELECT e.type FROM events e WHERE e.type > found.type ORDER BY e.type LIMIT 1) FROM found
    WHERE found.type IS NOT NULL
)
SELECT type FROM found WHERE type IS NOT NULL
