-- Give an event's letter another body, and keep what was changed. One that is not open any more, has arrived again or
-- was edited by somebody else since it was read stays as it is.
WITH edited AS (
    UPDATE dead_letters SET body = $4
    WHERE id = $1 AND kind = 'event' AND state = 'open' AND arrivals = $2 AND body = $3
    RETURNING id
), noted AS (
    INSERT INTO audit (actor, action, subject, detail) SELECT $5, 'dead_letter.edited', id::text, $6 FROM edited
)
SELECT id FROM edited
