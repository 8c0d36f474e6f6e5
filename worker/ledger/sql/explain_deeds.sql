-- What operators did with these deliveries and letters, oldest first.
SELECT subject, at, actor, action, detail FROM audit WHERE subject = ANY($1::text[]) ORDER BY at
