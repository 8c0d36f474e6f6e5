-- What was done with a letter, oldest first.
SELECT at, actor, action, detail FROM audit WHERE subject = $1::uuid::text ORDER BY at
