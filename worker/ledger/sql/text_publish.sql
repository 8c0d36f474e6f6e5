-- One more version of a text, and who published it. The caller holds the publishers' lock: editions are committed in
-- the order of their numbers, so whoever has seen one has seen all before it.
WITH published AS (
    INSERT INTO templates (id, event_type, audience, locale, channel, version, source, author, note)
    SELECT coalesce((SELECT max(id) FROM templates), 0) + 1, $1, $2, $3, $4,
           coalesce((SELECT max(version) FROM templates
                     WHERE event_type = $1 AND audience = $2 AND locale = $3 AND channel = $4), 0) + 1,
           $5, $6, $7
    RETURNING id, version
), noted AS (
    INSERT INTO audit (actor, action, subject, detail)
    SELECT $6, $8, $9, concat_ws(': ', 'version ' || version, nullif($7, '')) FROM published
)
SELECT id, version FROM published
