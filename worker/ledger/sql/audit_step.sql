-- Where the next step of a walk over the events ends: behind so many, and behind all that arrived at the same moment.
SELECT max(received_at) AS upto, count(*) AS events
FROM (SELECT received_at FROM events WHERE received_at > $1 AND received_at <= $2
      ORDER BY received_at FETCH FIRST ($3) ROWS WITH TIES) AS step
