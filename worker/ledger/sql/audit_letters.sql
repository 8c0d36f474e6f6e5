-- Open letters of deliveries that are not dead, from a place on.
WITH page AS (
    SELECT id, created_at, kind, delivery_id FROM dead_letters
    WHERE state = 'open' AND (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3
), broken AS (
    SELECT p.id, CASE WHEN d.id IS NULL THEN 'its delivery is not there' ELSE 'its delivery is ' || d.state END AS says
    FROM page p LEFT JOIN deliveries d ON d.id = p.delivery_id
    WHERE p.kind = 'delivery' AND d.state IS DISTINCT FROM 'dead'
)
SELECT looked.*, broken.id, ARRAY['letter_has_dead|the letter is open, and ' || broken.says] AS flaws
FROM (SELECT count(*) AS looked_at, (array_agg(created_at ORDER BY created_at DESC, id DESC))[1] AS at,
             (array_agg(id ORDER BY created_at DESC, id DESC))[1] AS behind FROM page) AS looked
LEFT JOIN broken ON true
