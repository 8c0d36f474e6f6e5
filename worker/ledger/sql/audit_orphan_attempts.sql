-- Attempts at deliveries that are not there, from a place on.
WITH page AS (
    SELECT delivery_id AS id FROM attempts WHERE delivery_id > $1 ORDER BY delivery_id FETCH FIRST ($2) ROWS WITH TIES
), broken AS (
    SELECT DISTINCT p.id FROM page p WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.id = p.id)
)
SELECT looked.*, broken.id, ARRAY['no_orphans|an attempt, and its delivery is not there'] AS flaws
FROM (SELECT count(*) AS looked_at, (array_agg(id ORDER BY id DESC))[1] AS behind FROM page) AS looked
LEFT JOIN broken ON true
