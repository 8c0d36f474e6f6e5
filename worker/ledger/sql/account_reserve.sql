-- A block of sends by one account, evenly spaced, for this worker alone: at most $2, and at most a quarter of a second
-- of what the account takes. $3: how many it takes a second, 0 for any number. After a rest it is given more little by
-- little, over $4 seconds: from a tenth of its limit, or without one from 20 a second, doubled each second.
-- Nothing: the account rests.
WITH account AS (
    SELECT greatest(next_at, now()) AS first_at, state,
           extract(epoch FROM now() - ramp_from)::float8 AS ramped
    FROM accounts WHERE name = $1 AND state IN ('closed', 'ramping') FOR UPDATE
), rated AS (
    SELECT first_at,
           CASE WHEN $3::float8 = 0 THEN 20 * 2 ^ least(coalesce(ramped, $4::float8), $4::float8)
                WHEN state = 'ramping' THEN $3::float8 * least(1, 0.1 + 0.9 * ramped / $4::float8)
                ELSE $3::float8 END AS rate
    FROM account
), block AS (
    SELECT first_at, 1 / rate AS spacing, least($2::int, greatest(1, floor(rate / 4)))::int AS slots
    FROM rated
)
UPDATE accounts a SET next_at = b.first_at + make_interval(secs => b.slots * b.spacing)
FROM block b WHERE a.name = $1
RETURNING extract(epoch FROM b.first_at - now())::float8 AS delay, b.spacing, b.slots
