-- A mark came back. One that nobody has sent counts for nothing; one that was overtaken by a younger changes nothing.
UPDATE marks SET reached_at = $3
WHERE channel = $1 AND lane = $2 AND sent_at >= $3 AND NOT coalesce(reached_at BETWEEN $3 AND now(), false)
